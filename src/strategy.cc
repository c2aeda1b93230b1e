// SPDX-License-Identifier: MIT
// Shared: launch, written by the one thread that `once` lets in, before it says done; read-only afterwards.
//
// Nothing here may allocate, and nothing may rely on a constructor having run.
#include "strategy.h"

#include "once.h"
#include "small_file.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <sched.h>
#include <unistd.h>

#ifndef PWLOCKS_LOCK_STRATEGY
#define PWLOCKS_LOCK_STRATEGY 1
#endif
#ifndef PWLOCKS_DEFAULT_LOCK
#define PWLOCKS_DEFAULT_LOCK 0
#endif

namespace pw::detail {
namespace {

constexpr size_t longest_file = 65536;

void join(char (&out)[1024], const char *root, const char *rest)
{
    snprintf(out, sizeof out, "%s%s", root, rest);
}

cpu_mask read_cpu_file(const system_roots &roots, const char *name)
{
    char path[1024];
    join(path, roots.sys, name);
    small_file file;
    cpu_mask cpus;
    // A kernel without the feature has no such file, or "(null)" in it: nothing is isolated then.
    if (file.read(path, longest_file) == 0)
        parse_cpu_list(file.text(), cpus);
    return cpus;
}

constexpr std::string_view lock_not_built = ": the lock strategy is not compiled in, ignored";

bool given(const char *text)
{
    return text != nullptr && *text != '\0';
}

void ignore(ignored_options &ignored, std::initializer_list<std::string_view> parts)
{
    ignored_line line;
    line.append(parts);
    line.publish(&ignored);
}

void parse_file(const char *path, bool may_be_missing, option_set &options, ignored_options &ignored)
{
    small_file file;
    int error = file.read(path, longest_file);
    if (may_be_missing && (error == ENOENT || error == ENOTDIR))
        return;
    if (error == EFBIG) {
        ignore(ignored, {path, ": larger than 64 KiB, ignored"});
    } else if (error != 0) {
        const char *why = strerrordesc_np(error);
        ignore(ignored, {path, ": cannot be read: ", why != nullptr ? why : "unknown error", ", ignored"});
    } else if (file.text().find('\0') != std::string_view::npos) {
        ignore(ignored, {path, ": contains NUL bytes, ignored"});
    } else {
        parse_options(file.text(), path, true, options, &ignored);
    }
}

constinit once launch_once;
constinit cpu_mask launch;

void read_launch_affinity()
{
    cpu_set_t sets[max_cpus / CPU_SETSIZE];
    // The first thread's, in case a library's constructor runs in a thread that loaded it late.
    bool known =
        sched_getaffinity(getpid(), sizeof sets, sets) == 0 || sched_getaffinity(0, sizeof sets, sets) == 0;
    for (int cpu = 0; cpu < max_cpus; ++cpu)
        if (!known || CPU_ISSET_S(static_cast<size_t>(cpu), sizeof sets, sets))
            launch.insert(cpu);
}

} // namespace

void resolve_in_build(const build_facts &build, const operator_texts &texts, const system_roots &roots,
                      const cpu_mask &ours, resolution &out)
{
    out = {};
    out.lock_built = build.lock_strategy;
    strategy_choice choice = strategy_choice::unset;
    auto note_cpus = [&](const option_set &from, std::string_view source) {
        if (from.cpus != cpus_choice::unset && out.cpus_source[0] == '\0')
            out.cpus_source[source.copy(out.cpus_source, sizeof out.cpus_source - 1)] = '\0';
    };
    auto ask = [&](strategy_choice asked, std::string_view source) {
        if (choice != strategy_choice::unset || asked == strategy_choice::unset)
            return;
        if (asked == strategy_choice::lock && !build.lock_strategy) {
            ignore(out.ignored, {source, lock_not_built});
            return;
        }
        choice = asked;
        out.source[source.copy(out.source, sizeof out.source - 1)] = '\0';
    };

    if (given(texts.pwlocks)) {
        strategy_choice asked = strategy_choice::unset;
        if (!parse_strategy(texts.pwlocks, asked))
            ignore(out.ignored, {"PWLOCKS: invalid value ", quoted(texts.pwlocks), ", ignored"});
        ask(asked, "PWLOCKS");
    }
    if (given(texts.pwlocks_options)) {
        parse_options(texts.pwlocks_options, "PWLOCKS_OPTIONS", false, out.options, &out.ignored);
        ask(out.options.strategy, "PWLOCKS_OPTIONS");
        note_cpus(out.options, "PWLOCKS_OPTIONS");
    }
    char usual_path[1024];
    join(usual_path, roots.etc, "/pwlocks.conf");
    const char *path = given(texts.pwlocks_conf) ? texts.pwlocks_conf : usual_path;
    option_set from_file;
    parse_file(path, path == usual_path, from_file, out.ignored);
    ask(from_file.strategy, path);
    note_cpus(from_file, path);
    out.options.fill_from(from_file);

    out.by_operator = choice != strategy_choice::unset && build.lock_strategy;
    if (out.by_operator && choice != strategy_choice::automatic) {
        out.strategy = choice == strategy_choice::lock ? PW_STRATEGY_LOCK : PW_STRATEGY_QUEUE;
    } else if (build.lock_strategy && !(read_isolated(roots) & ours).empty()) {
        out.strategy = PW_STRATEGY_LOCK;
        strcpy(out.source, "isolation");
    } else {
        out.strategy = build.lock_strategy && build.default_lock ? PW_STRATEGY_LOCK : PW_STRATEGY_QUEUE;
        strcpy(out.source, "build");
    }
}

void resolve(const operator_texts &texts, const system_roots &roots, const cpu_mask &ours, resolution &out)
{
    resolve_in_build({PWLOCKS_LOCK_STRATEGY != 0, PWLOCKS_DEFAULT_LOCK != 0}, texts, roots, ours, out);
}

cpu_mask read_isolated(const system_roots &roots)
{
    cpu_mask isolated = read_cpu_file(roots, "/devices/system/cpu/isolated");
    cpu_mask nohz_full = read_cpu_file(roots, "/devices/system/cpu/nohz_full");
    for (int cpu = nohz_full.next(-1); cpu >= 0; cpu = nohz_full.next(cpu))
        isolated.insert(cpu);
    return isolated;
}

const cpu_mask &launch_affinity()
{
    launch_once.run(read_launch_affinity);
    return launch;
}

} // namespace pw::detail
