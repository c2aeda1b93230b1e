// SPDX-License-Identifier: MIT
// Shared, and who writes it:
//   launch, process            the one thread that `once` lets in, before it says done; read-only afterwards
//   in_force                   settle(): that same thread; choose(), use(): any thread
// At the same time may run: anything with anything. A second thread that needs what is being resolved waits
// for the first; see once.h.
//
// Nothing here may allocate, and nothing may rely on a constructor having run.
#include "strategy.h"

#include "once.h"
#include "report.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <sched.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef PWLOCKS_LOCK_STRATEGY
#define PWLOCKS_LOCK_STRATEGY 1
#endif
#ifndef PWLOCKS_DEFAULT_LOCK
#define PWLOCKS_DEFAULT_LOCK 0
#endif

namespace pw::detail {
namespace {

// A small file as a whole, read into pages of its own: no heap, no large stack frame. Never blocks: an empty
// pipe or a terminal is an error here.
class small_file {
  public:
    small_file() = default;
    ~small_file()
    {
        if (text_ != nullptr)
            munmap(text_, mapped_);
    }
    small_file(const small_file &) = delete;
    small_file &operator=(const small_file &) = delete;

    // Once. 0, an errno, or EFBIG if there are more than `longest` bytes.
    int read(const char *path, size_t longest)
    {
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        if (fd < 0)
            return errno;
        int error = map(longest + 1);
        if (error == 0)
            error = fill(fd);
        close(fd);
        return error;
    }

    // The pages are zero behind it: the last string that it holds is terminated.
    std::string_view text() const { return {text_, length_}; }

  private:
    int map(size_t size)
    {
        constexpr int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
        void *pages = mmap(nullptr, size, PROT_READ | PROT_WRITE, flags, -1, 0);
        if (pages == MAP_FAILED)
            return errno;
        text_ = static_cast<char *>(pages);
        mapped_ = size;
        return 0;
    }

    int fill(int fd)
    {
        while (length_ < mapped_) {
            ssize_t got = ::read(fd, text_ + length_, mapped_ - length_);
            if (got == 0)
                return 0;
            if (got > 0)
                length_ += static_cast<size_t>(got);
            else if (errno != EINTR)
                return errno;
        }
        return EFBIG;
    }

    char *text_ = nullptr;
    size_t mapped_ = 0;
    size_t length_ = 0;
};

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

// False until the library's constructor runs, which is after libc's.
constinit std::atomic<bool> libc_ready{false};

// The process's environment. A function in the program's .preinit_array runs before libc has set `environ`;
// the kernel's copy serves then.
class environment {
  public:
    environment()
    {
        // relaxed: nothing is published through it, and where a constructor races with us both answers are
        // right
        if (environ != nullptr || libc_ready.load(std::memory_order_relaxed))
            return;
        too_early_ = true;
        // What the kernel grants arguments and environment together.
        constexpr size_t longest = size_t{6} << 20;
        if (getauxval(AT_SECURE) != 0 || initial_.read("/proc/self/environ", longest) != 0)
            unreadable_ = true;
    }

    const char *find(std::string_view name) const
    {
        if (!too_early_)
            return secure_getenv(name.data());
        std::string_view rest = unreadable_ ? std::string_view() : initial_.text();
        while (!rest.empty()) {
            std::string_view entry = rest.substr(0, rest.find('\0'));
            if (entry.size() > name.size() && entry.starts_with(name) && entry[name.size()] == '=')
                return entry.data() + name.size() + 1;
            rest.remove_prefix(std::min(entry.size() + 1, rest.size()));
        }
        return nullptr;
    }

  private:
    bool too_early_ = false;
    bool unreadable_ = false;
    small_file initial_;
};

constinit once launch_once;
constinit cpu_mask launch;
constinit once process_once;
constinit resolution process;
constinit strategy_word in_force;

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

void resolve_process()
{
    environment texts;
    resolve({texts.find("PWLOCKS"), texts.find("PWLOCKS_OPTIONS"), texts.find("PWLOCKS_CONF")},
            system_roots{}, launch_affinity(), process);
    in_force.settle(process);
}

// Before ordinary constructors, which may take locks.
[[gnu::constructor(101)]] void settle_before_constructors()
{
    libc_ready.store(true, std::memory_order_relaxed); // relaxed: see environment
    resolved();
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

const resolution &resolved()
{
    process_once.run(resolve_process);
    return process;
}

int strategy_from_program(strategy_choice choice)
{
    const resolution &found = resolved();
    return in_force.choose(choice, found);
}

pw_strategy_t use_strategy()
{
    if (!in_force.settled())
        resolved();
    return in_force.use();
}

// Every access to the word is relaxed: it stands for itself, nothing else is published
// through it, and all changes of one word have one order. So a choice comes before the first use, or sees it.

void strategy_word::settle(const resolution &found)
{
    word_.store(word_of(found), std::memory_order_relaxed);
}

int strategy_word::choose(strategy_choice choice, const resolution &found)
{
    if (choice == strategy_choice::lock && !found.lock_built)
        report("program%.*s", static_cast<int>(lock_not_built.size()), lock_not_built.data());
    if (choice == strategy_choice::unset || found.by_operator || !found.lock_built)
        return 0;
    uint32_t wanted = word_of(found);
    if (choice != strategy_choice::automatic)
        wanted = settled_bit | program_bit | (choice == strategy_choice::lock ? lock_bit : 0);
    uint32_t now = word_.load(std::memory_order_relaxed);
    do {
        if ((now & used_bit) != 0)
            return ((now ^ wanted) & lock_bit) != 0 ? -EBUSY : 0;
    } while (!word_.compare_exchange_weak(now, wanted, std::memory_order_relaxed));
    return 0;
}

pw_strategy_t strategy_word::use()
{
    uint32_t now = word_.load(std::memory_order_relaxed);
    if ((now & used_bit) == 0)
        now = word_.fetch_or(used_bit, std::memory_order_relaxed);
    return strategy_in(now);
}

} // namespace pw::detail

using namespace pw::detail;

extern "C" pw_strategy_t pw_strategy(void)
{
    if (!in_force.settled())
        resolved();
    return in_force.strategy();
}

extern "C" const char *pw_strategy_source(void)
{
    const resolution &found = resolved();
    return in_force.by_program() ? "program" : found.source;
}
