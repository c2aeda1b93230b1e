// SPDX-License-Identifier: MIT
#include "watchdog.h"

#include "futex.h"
#include "report.h"
#include "symbol.h"

#include <pwlocks/runtime.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <optional>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <utility>

namespace pw::detail {
namespace {

constexpr uint64_t ns_a_ms = 1'000'000;
constexpr uint64_t hog_watch_ns = 20 * ns_a_ms;   // between the two looks at those that may be the hog
constexpr uint64_t late_enough_ns = 10 * ns_a_ms; // a sleep that is this much too long was a stop

uint64_t now_ns(clockid_t clock = CLOCK_MONOTONIC)
{
    timespec time = {};
    if (clock_gettime(clock, &time) != 0)
        return 0;
    return static_cast<uint64_t>(time.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(time.tv_nsec);
}

// A worker's thread: what it ran in its life from its clock, which is exact also on a CPU without a tick.
thread_sample sample(pid_t tid)
{
    if (tid == 0)
        return {'R', 0}; // telling its tid is the first thing that a worker does
    thread_facts facts;
    if (!thread_files(getpid(), tid).facts(facts))
        return {};
    // As pthread_getcpuclockid() makes it, of a thread id: per thread, scheduler's time.
    auto clock = static_cast<clockid_t>(~static_cast<unsigned>(tid) << 3 | 6);
    uint64_t on_cpu = now_ns(clock);
    return on_cpu ? thread_sample{facts.state, on_cpu} : thread_sample{};
}

// What a message shows of a thread's name, which anyone may choose.
struct shown_name {
    char text[4 * thread_facts::longest_name + 1];

    explicit shown_name(const char *name)
    {
        char *end = text;
        for (; *name; ++name) {
            auto byte = static_cast<unsigned char>(*name);
            if (byte < 0x20 || byte > 0x7e || byte == '"')
                end += snprintf(end, 5, "\\x%02x", byte);
            else
                *end++ = *name;
        }
        *end = '\0';
    }
};

struct shown_class {
    char text[24];

    explicit shown_class(const thread_facts &thread)
    {
        switch (thread.policy) {
        case SCHED_FIFO:
        case SCHED_RR:
            snprintf(text, sizeof text, "%s %d", thread.policy == SCHED_FIFO ? "fifo" : "rr",
                     thread.rt_priority);
            break;
        case deadline_policy:
            strcpy(text, "deadline");
            break;
        case SCHED_OTHER:
            snprintf(text, sizeof text, thread.nice ? "nice %d" : "other", thread.nice);
            break;
        default:
            snprintf(text, sizeof text, "policy %d", thread.policy);
        }
    }
};

// What helps against it. Above some things no worker can be.
struct advice {
    char text[128];

    advice(const hog_candidate *hog, bool lock_strategy)
    {
        const char *lock = "use the lock strategy (PWLOCKS=1)";
        int needed = hog ? rank(hog->thread) + 1 : 1;
        if (needed > highest_fifo)
            strcpy(text, lock_strategy ? "lower its priority" : lock);
        else if (hog)
            snprintf(text, sizeof text, "raise the workers' priority (sched=fifo:%d or more)%s%s", needed,
                     lock_strategy ? "" : " or ", lock_strategy ? "" : lock);
        else
            snprintf(text, sizeof text, "raise the workers' priority (sched=fifo:N)%s%s",
                     lock_strategy ? "" : " or ", lock_strategy ? "" : lock);
    }
};

unsigned long long in_ms(uint64_t ns)
{
    return ns / ns_a_ms;
}

pw_func_t function_at(uint64_t address)
{
    return reinterpret_cast<pw_func_t>(static_cast<uintptr_t>(address));
}

} // namespace

bool watch_case::goes_on(const watched_worker &now) const
{
    bool busy = now.running || now.has_work;
    return busy && busy_ && now.cpu == cpu_ && now.running == running_ && now.progress == progress_;
}

// Once.
bool watch_case::over(span_of_time &time, uint64_t limit_ns)
{
    if (time.ns < limit_ns || time.told)
        return false;
    return time.told = true;
}

watch_finding watch_case::look(const watched_worker &now, const thread_sample &thread, uint64_t elapsed_ns,
                               uint64_t limit_ns)
{
    if (!goes_on(now)) {
        *this = {};
        busy_ = now.running || now.has_work;
        cpu_ = now.cpu;
        running_ = now.running;
        progress_ = now.progress;
        return {};
    }
    // Runnable at both looks and not on a CPU between them: it waited all the time.
    bool waits = thread.state == 'R' && thread_.state == 'R' && thread.on_cpu_ns == thread_.on_cpu_ns;
    wait_.ns = waits ? wait_.ns + elapsed_ns : 0;
    if (running_ && !waits)
        run_.ns += elapsed_ns;
    // Asleep with something queued: the wake-up is its producer's next step.
    bool idles = !running_ && !waits && !now.sleeping && thread.state && thread_.state;
    stuck_.ns = idles ? stuck_.ns + elapsed_ns : 0;
    thread_ = thread;
    if (over(wait_, limit_ns))
        return {watch_verdict::starved, wait_.ns};
    if (over(run_, limit_ns))
        return {watch_verdict::long_run, run_.ns};
    if (over(stuck_, limit_ns))
        return {watch_verdict::stuck, stuck_.ns};
    return {};
}

uint64_t stopped_ns(uint64_t slept_ns, uint64_t wanted_ns, uint64_t waited_ns)
{
    uint64_t explained = wanted_ns + waited_ns;
    return slept_ns > explained + late_enough_ns ? slept_ns - explained : 0;
}

uint64_t watch_period_ns(int limit_ms)
{
    return std::clamp<uint64_t>(static_cast<uint64_t>(limit_ms) * ns_a_ms / 4, ns_a_ms, 1000 * ns_a_ms);
}

watch_line watch_line::long_run(int cpu, uint64_t ns, const char *function, pid_t caller_thread)
{
    watch_line line;
    int length =
        snprintf(line.text_, sizeof line.text_,
                 "watchdog: cpu %d: work function %s has been running for %llu ms", cpu, function, in_ms(ns));
    if (caller_thread && length > 0 && static_cast<size_t>(length) < sizeof line.text_)
        snprintf(line.text_ + length, sizeof line.text_ - static_cast<size_t>(length), " on thread %d",
                 caller_thread);
    return line;
}

watch_line watch_line::stuck(int cpu, uint64_t ns, const watched_worker &worker, char state)
{
    watch_line line;
    snprintf(
        line.text_, sizeof line.text_,
        "watchdog: cpu %d: worker has not started what is queued for %llu ms: its thread %d is in state %c",
        cpu, in_ms(ns), worker.tid, state);
    return line;
}

watch_line watch_line::starved(int cpu, uint64_t ns, const char *function, const hog_candidate *hog,
                               pid_t own_pid, bool lock_strategy)
{
    char owner[32] = "";
    if (hog && hog->pid != own_pid)
        snprintf(owner, sizeof owner, " of process %d", hog->pid);
    char keeper[sizeof(shown_name) + sizeof(shown_class) + 80] =
        "the thread that keeps it cannot be seen in /proc";
    if (hog)
        snprintf(keeper, sizeof keeper, "thread %d \"%s\"%s (%s) keeps it", hog->thread.tid,
                 shown_name(hog->thread.name).text, owner, shown_class(hog->thread).text);
    watch_line line;
    snprintf(line.text_, sizeof line.text_,
             "watchdog: cpu %d: worker has not got its CPU for %llu ms%s%.160s: %s: %s", cpu, in_ms(ns),
             function ? ", in work function " : "", function ? function : "", keeper,
             advice(hog, lock_strategy).text);
    return line;
}

template <typename T>
bool mapped_array<T>::grow(size_t count)
{
    if (count <= size_)
        return true;
    count = std::max(count, size_ * 2);
    void *memory =
        items_ ? mremap(items_, size_ * sizeof(T), count * sizeof(T), MREMAP_MAYMOVE)
               : mmap(nullptr, count * sizeof(T), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return false;
    items_ = static_cast<T *>(memory);
    size_ = count;
    return true;
}

template <typename T>
void mapped_array<T>::release()
{
    if (items_)
        munmap(items_, size_ * sizeof(T));
    items_ = nullptr;
    size_ = 0;
}

int watchdog::start(int limit_ms, const cpu_mask &housekeeping, const watch_source &source)
{
    source_ = &source;
    limit_ns_ = static_cast<uint64_t>(limit_ms) * ns_a_ms;
    period_ns_ = watch_period_ns(limit_ms);
    stop_.store(0, std::memory_order_relaxed); // relaxed: pthread_create orders
    if (!workers_.grow(source.workers())) {
        report("watchdog: no memory: %s", strerror(errno));
        return -ENOMEM;
    }
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    // The class of whoever starts the runtime is not the watchdog's; see start_worker().
    pthread_attr_setinheritsched(&attributes, PTHREAD_EXPLICIT_SCHED);
    pthread_attr_setschedpolicy(&attributes, SCHED_OTHER);
    sched_param ordinary = {};
    pthread_attr_setschedparam(&attributes, &ordinary);
    cpu_set_t set[max_cpus / CPU_SETSIZE];
    CPU_ZERO_S(sizeof set, set);
    for (int cpu = housekeeping.next(-1); cpu >= 0; cpu = housekeeping.next(cpu))
        CPU_SET_S(static_cast<size_t>(cpu), sizeof set, set);
    // There from its first instruction on: it never ran on a CPU that is to be left alone.
    int error = housekeeping.empty() ? 0 : pthread_attr_setaffinity_np(&attributes, sizeof set, set);
    // No signal but those that its own instructions raise.
    sigset_t signals;
    sigfillset(&signals);
    for (int synchronous : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS})
        sigdelset(&signals, synchronous);
    if (!error)
        error = pthread_attr_setsigmask_np(&attributes, &signals);
    if (!error)
        error = pthread_create(&thread_, &attributes, run, this);
    pthread_attr_destroy(&attributes);
    if (error) {
        report("watchdog: thread not created: %s", strerror(error));
        workers_.release();
        return -EAGAIN;
    }
    started_ = true;
    pthread_setname_np(thread_, "pw/watchdog");
    return 0;
}

void watchdog::stop()
{
    if (!started_)
        return;
    // Relaxed: the word stands for itself, and what is freed below comes behind the join.
    stop_.store(1, std::memory_order_relaxed);
    futex_wake(&stop_, 1);
    pthread_join(thread_, nullptr);
    forget();
}

void watchdog::forget()
{
    started_ = false;
    workers_.release();
    callers_.release();
}

bool watchdog::stopping() const
{
    return stop_.load(std::memory_order_relaxed) != 0; // relaxed: see stop()
}

// Until stop(), or for that long; perhaps shorter.
void watchdog::sleep(uint64_t ns)
{
    timespec time = {static_cast<time_t>(ns / 1'000'000'000), static_cast<long>(ns % 1'000'000'000)};
    futex_wait(&stop_, 0, &time);
}

void *watchdog::run(void *self)
{
    static_cast<watchdog *>(self)->watch();
    return nullptr;
}

void watchdog::watch()
{
    thread_files own(getpid(), gettid());
    for (uint64_t last = now_ns(); !stopping();) {
        uint64_t waited = own.times().waited_ns, before = now_ns();
        sleep(period_ns_);
        uint64_t now = now_ns();
        if (stopping())
            break;
        // Where the times cannot be read any more, it counts as if we had waited.
        uint64_t waited_now = own.times().waited_ns;
        uint64_t delay = waited_now >= waited ? waited_now - waited : now - before;
        look(now - last - stopped_ns(now - before, period_ns_, delay));
        last = now;
    }
}

void watchdog::look(uint64_t elapsed_ns)
{
    look_at_callers(elapsed_ns);
    if (look_at_workers(elapsed_ns))
        tell_starved();
}

// Says what there is to say, but of starved workers: true if there are any.
bool watchdog::look_at_workers(uint64_t elapsed_ns)
{
    bool starved = false;
    for (size_t i = 0, count = std::min(source_->workers(), workers_.size()); i < count; ++i) {
        worker_slot &slot = workers_[i];
        watched_worker now = source_->worker(i);
        thread_sample thread = slot.seen.goes_on(now) ? sample(now.tid) : thread_sample{};
        watch_finding found = slot.seen.look(now, thread, elapsed_ns, limit_ns_);
        switch (found.verdict) {
        case watch_verdict::nothing:
            break;
        case watch_verdict::long_run: {
            symbol_name name(function_at(now.running));
            report("%s", watch_line::long_run(now.cpu, found.lasted_ns, name.text(), 0).text());
            break;
        }
        case watch_verdict::stuck:
            report("%s", watch_line::stuck(now.cpu, found.lasted_ns, now, thread.state).text());
            break;
        case watch_verdict::starved:
            slot.starved = now;
            slot.starved_ns = found.lasted_ns;
            starved = true;
        }
    }
    return starved;
}

void watchdog::look_at_callers(uint64_t elapsed_ns)
{
    size_t count = source_->callers();
    if (!callers_.grow(count))
        count = callers_.size(); // those that we have memory for
    for (size_t i = 0; i < count; ++i) {
        watched_caller caller = source_->caller(i);
        watched_worker now = {caller.cpu, caller.tid, false, false, caller.running, caller.progress};
        // Whether the program's threads get a CPU is its own matter: nothing is known of them.
        watch_finding found = callers_[i].look(now, {}, elapsed_ns, limit_ns_);
        if (found.verdict == watch_verdict::nothing)
            continue;
        symbol_name name(function_at(now.running));
        report("%s", watch_line::long_run(now.cpu, found.lasted_ns, name.text(), now.tid).text());
    }
}

// One search for all that are starved at the same look: on a large machine it takes long.
void watchdog::tell_starved()
{
    cpu_mask cpus;
    for (size_t i = 0; i < workers_.size(); ++i)
        if (workers_[i].starved_ns)
            cpus.insert(workers_[i].starved.cpu);
    hog_search search;
    search.list(cpus, stop_);
    if (stopping()) // the list may be cut
        return;
    sleep(hog_watch_ns);
    search.measure();
    bool lock_strategy = pw_strategy() == PW_STRATEGY_LOCK;
    for (size_t i = 0; i < workers_.size(); ++i) {
        const watched_worker &worker = workers_[i].starved;
        uint64_t ns = std::exchange(workers_[i].starved_ns, 0);
        if (!ns)
            continue;
        const hog_candidate *hog = choose_hog(search.candidates(), worker.cpu, worker.tid);
        std::optional<symbol_name> name;
        if (worker.running)
            name.emplace(function_at(worker.running));
        report("%s", watch_line::starved(worker.cpu, ns, name ? name->text() : nullptr, hog, getpid(),
                                         lock_strategy)
                         .text());
    }
}

} // namespace pw::detail
