// SPDX-License-Identifier: MIT
#include "hog.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace pw::detail {
namespace {

// A small file, as much as fits. Empty if it cannot be read.
class small_file {
  public:
    explicit small_file(const char *path)
    {
        int file = open(path, O_RDONLY | O_CLOEXEC);
        if (file < 0)
            return;
        ssize_t got = read(file, text_, sizeof text_);
        close(file);
        length_ = got > 0 ? static_cast<size_t>(got) : 0;
    }
    std::string_view text() const { return {text_, length_}; }

  private:
    char text_[1024];
    size_t length_ = 0;
};

small_file read_of_thread(pid_t pid, pid_t tid, const char *name)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task/%d/%s", pid, tid, name);
    return small_file(path);
}

// The numbers among a folder's names. Not with readdir(): opendir() calls malloc().
template <typename Function>
void for_each_number(const char *folder, Function function)
{
    int file = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (file < 0)
        return;
    alignas(8) char entries[4096];
    constexpr size_t length_at = 16, name_at = 19; // of linux_dirent64: ino, off, reclen, type, name
    for (long got; (got = syscall(SYS_getdents64, file, entries, sizeof entries)) > 0;) {
        for (size_t at = 0; at < static_cast<size_t>(got);) {
            unsigned short length;
            memcpy(&length, entries + at + length_at, sizeof length);
            const char *name = entries + at + name_at;
            const char *end = name + strlen(name);
            int number = 0;
            auto [stopped, error] = std::from_chars(name, end, number);
            if (error == std::errc{} && stopped == end)
                function(number);
            at += length;
        }
    }
    close(file);
}

// The next word of a line.
std::string_view take_word(std::string_view &line)
{
    line.remove_prefix(std::min(line.find_first_not_of(" \n"), line.size()));
    std::string_view word = line.substr(0, line.find_first_of(" \n"));
    line.remove_prefix(word.size());
    return word;
}

template <typename Number>
bool to_number(std::string_view word, Number &number)
{
    auto [stopped, error] = std::from_chars(word.data(), word.data() + word.size(), number);
    return error == std::errc{} && stopped == word.data() + word.size();
}

uint64_t tick_ns()
{
    long a_second = sysconf(_SC_CLK_TCK);
    return 1'000'000'000u / static_cast<uint64_t>(a_second > 0 ? a_second : 100);
}

} // namespace

int rank(const thread_facts &thread)
{
    switch (thread.policy) {
    case deadline_policy:
        return highest_fifo + 1;
    case SCHED_FIFO:
    case SCHED_RR:
        return thread.rt_priority;
    default:
        return 0;
    }
}

bool thread_files::facts(thread_facts &out) const
{
    return parse_thread_stat(read_of_thread(pid_, tid_, "stat").text(), out);
}

thread_times thread_files::times() const
{
    thread_times times = {};
    parse_thread_times(read_of_thread(pid_, tid_, "schedstat").text(), times);
    return times;
}

bool parse_thread_stat(std::string_view line, thread_facts &out)
{
    // "tid (name) state ...": the name may contain blanks and parentheses.
    size_t first = line.find(" ("), last = line.rfind(") ");
    if (first == line.npos || last == line.npos || last < first + 2)
        return false;
    thread_facts facts = {};
    std::string_view name = line.substr(first + 2, last - first - 2).substr(0, thread_facts::longest_name);
    name.copy(facts.name, name.size());
    bool good = to_number(line.substr(0, first), facts.tid);
    std::string_view rest = line.substr(last + 1);
    uint64_t user = 0, system = 0;
    for (int field = 3; field <= 41; ++field) { // as numbered in proc(5)
        std::string_view word = take_word(rest);
        switch (field) {
        case 3:
            good &= word.size() == 1;
            facts.state = good ? word[0] : 0;
            break;
        case 14:
            good &= to_number(word, user);
            break;
        case 15:
            good &= to_number(word, system);
            break;
        case 19:
            good &= to_number(word, facts.nice);
            break;
        case 39:
            good &= to_number(word, facts.cpu);
            break;
        case 40:
            good &= to_number(word, facts.rt_priority);
            break;
        case 41:
            good &= to_number(word, facts.policy);
            break;
        }
    }
    if (!good)
        return false;
    facts.ticks = user + system;
    out = facts;
    return true;
}

bool parse_thread_times(std::string_view line, thread_times &out)
{
    thread_times times;
    if (!to_number(take_word(line), times.on_cpu_ns) || !to_number(take_word(line), times.waited_ns))
        return false;
    out = times;
    return true;
}

uint64_t grown_ns(uint64_t on_cpu_before, uint64_t on_cpu_now, uint64_t ticks_before, uint64_t ticks_now,
                  uint64_t tick_ns)
{
    uint64_t exact = on_cpu_now > on_cpu_before ? on_cpu_now - on_cpu_before : 0;
    uint64_t coarse = ticks_now > ticks_before ? (ticks_now - ticks_before) * tick_ns : 0;
    return std::max(exact, coarse);
}

const hog_candidate *choose_hog(std::span<const hog_candidate> candidates, int cpu, pid_t worker)
{
    const hog_candidate *best = nullptr;
    for (const hog_candidate &each : candidates) {
        if (each.thread.cpu != cpu || each.thread.tid == worker)
            continue;
        // Did not run now: a real-time thread may just be throttled, another one waits as the worker does.
        // And one that never ran keeps nobody: the worker itself, when it has not told its tid.
        bool ran_ever = each.on_cpu_ns || each.thread.ticks;
        if (each.grown_ns == 0 && (rank(each.thread) == 0 || !ran_ever))
            continue;
        if (!best || each.grown_ns > best->grown_ns ||
            (each.grown_ns == best->grown_ns && rank(each.thread) > rank(best->thread)))
            best = &each;
    }
    return best;
}

void hog_search::consider(pid_t pid, pid_t tid, const cpu_mask &cpus)
{
    hog_candidate found = {};
    thread_files files(pid, tid);
    if (count_ == most_candidates || !files.facts(found.thread) || found.thread.state != 'R' ||
        !cpus.contains(found.thread.cpu))
        return;
    found.pid = pid;
    found.on_cpu_ns = files.times().on_cpu_ns;
    candidates_[count_++] = found;
}

void hog_search::list(const cpu_mask &cpus, const std::atomic<uint32_t> &stop)
{
    pid_t self = gettid();
    count_ = 0;
    for_each_number("/proc", [&](pid_t pid) {
        char folder[32];
        snprintf(folder, sizeof folder, "/proc/%d/task", pid);
        for_each_number(folder, [&](pid_t tid) {
            // Relaxed: it only makes us return earlier. We are runnable always when we look.
            if (tid != self && stop.load(std::memory_order_relaxed) == 0)
                consider(pid, tid, cpus);
        });
    });
}

void hog_search::measure()
{
    uint64_t tick = tick_ns();
    for (hog_candidate &each : std::span(candidates_, count_)) {
        thread_files files(each.pid, each.thread.tid);
        thread_facts now;
        if (files.facts(now))
            each.grown_ns =
                grown_ns(each.on_cpu_ns, files.times().on_cpu_ns, each.thread.ticks, now.ticks, tick);
    }
}

} // namespace pw::detail
