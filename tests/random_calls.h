// SPDX-License-Identifier: MIT
// How stress_random calls the library: each call is counted by what it returned, which must be something that
// work.h allows there; and each thread notes what it is at, for a watchdog that ends a run that hangs.
#pragma once

#include <pwlocks/pwlocks.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <pthread.h>
#include <string>
#include <thread>
#include <time.h>
#include <unistd.h>

namespace stress {

// What can go wrong, counted; the first few are printed.
enum error {
    not_allowed,
    concurrent,
    out_of_order,
    too_early,
    not_seen,
    not_visible,
    miscounted,
    still_inside,
    error_kinds
};
inline constexpr const char *error_names[] = {"returned what work.h does not allow there",
                                              "ran concurrently with itself",
                                              "started out of order",
                                              "ran before it was due",
                                              "what was posted was not seen",
                                              "flushed but not visible",
                                              "executions are not what was accepted less what was cancelled",
                                              "still inside its function"};
inline std::atomic<long> errors[error_kinds];

inline bool first_few(error what)
{
    return errors[what].fetch_add(1, std::memory_order_relaxed) < 5;
}

inline void fail(error what, const char *where, const void *item, long seen, long expected)
{
    if (first_few(what))
        fprintf(stderr, "stress_random: %s, item %p: %s: %ld instead of %ld\n", where, item,
                error_names[what], seen, expected);
}

inline long failures()
{
    long sum = 0;
    for (const std::atomic<long> &each : errors)
        sum += each.load(std::memory_order_relaxed);
    return sum;
}

enum call {
    queue_on,
    queue_work_on,
    queue_delayed,
    mod_delayed,
    cancel,
    cancel_sync,
    cancel_delayed_sync,
    flush,
    flush_delayed,
    wq_create,
    wq_flush,
    wq_drain,
    wq_destroy,
    on_each_cpu,
    call_kinds
};
inline constexpr const char *call_names[] = {"pw_queue_on",
                                             "pw_queue_work_on",
                                             "pw_queue_delayed_on",
                                             "pw_mod_delayed_on",
                                             "pw_cancel",
                                             "pw_cancel_sync",
                                             "pw_cancel_delayed_sync",
                                             "pw_flush",
                                             "pw_flush_delayed",
                                             "pw_workqueue_create",
                                             "pw_workqueue_flush",
                                             "pw_workqueue_drain",
                                             "pw_workqueue_destroy",
                                             "pw_on_each_cpu"};

// What a call returned. Sets of them say what is allowed.
inline constexpr unsigned one = 1, zero = 2, canceled = 4, deadlock = 8, shutdown = 16, invalid = 32;
inline constexpr int result_kinds = 7;
inline constexpr const char *result_names[] = {"1",         "0",      "ECANCELED", "EDEADLK",
                                               "ESHUTDOWN", "EINVAL", "else"};

inline int kind_of(int returned)
{
    switch (returned) {
    case 1:
        return 0;
    case 0:
        return 1;
    case -ECANCELED:
        return 2;
    case -EDEADLK:
        return 3;
    case -ESHUTDOWN:
        return 4;
    case -EINVAL:
        return 5;
    default:
        return 6;
    }
}

inline void fail_call(call which, const void *item, int returned, unsigned allowed)
{
    if (!first_few(not_allowed))
        return;
    std::string names;
    for (int kind = 0; kind < result_kinds; ++kind)
        if (allowed & 1u << kind)
            names += std::string(" ") + result_names[kind];
    fprintf(stderr, "stress_random: %s, item %p: %s: %d (%s) instead of%s\n", call_names[which], item,
            error_names[not_allowed], returned, result_names[kind_of(returned)], names.c_str());
}

// Set before a stop begins: from then on queueing may be refused, and delayed items may run early.
inline std::atomic<bool> stopping;

// One thread's notes. Relaxed, all: single writer, read at the end or by the watchdog.
struct alignas(64) notes {
    std::atomic<bool> taken;
    std::atomic<int> thread;
    std::atomic<const char *> doing;
    std::atomic<const void *> with;
    std::atomic<long> calls[call_kinds][result_kinds];
    std::atomic<long> executions, posts_checked;
};
inline notes all_notes[2048];

inline void count(std::atomic<long> &counter)
{
    counter.store(counter.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
}

// Workers take a place too, when they run their first function; a thread that ends leaves its place to
// another.
struct place {
    notes *mine = nullptr;

    place()
    {
        for (notes &each : all_notes)
            if (!each.taken.exchange(true, std::memory_order_acquire)) {
                mine = &each;
                mine->thread.store(gettid(), std::memory_order_relaxed);
                return;
            }
        fprintf(stderr, "stress_random: more threads than places for notes\n");
        abort();
    }
    ~place() { mine->taken.store(false, std::memory_order_release); }
    place(const place &) = delete;
    place &operator=(const place &) = delete;
};
inline notes &my_notes()
{
    static thread_local place here;
    return *here.mine;
}

// What this thread is at while the object lives.
class at {
  public:
    at(const char *what, const void *with)
        : mine_(my_notes()), outer_(mine_.doing.load(std::memory_order_relaxed)),
          outer_with_(mine_.with.load(std::memory_order_relaxed))
    {
        note(what, with);
    }
    ~at() { note(outer_, outer_with_); }
    at(const at &) = delete;
    at &operator=(const at &) = delete;

  private:
    void note(const char *what, const void *with)
    {
        mine_.doing.store(what, std::memory_order_relaxed);
        mine_.with.store(with, std::memory_order_relaxed);
    }

    notes &mine_;
    const char *outer_;
    const void *outer_with_;
};

// Makes a call. `item` is not touched: the function may have freed it.
template <typename Function>
int checked(call which, unsigned allowed, const void *item, Function function)
{
    int returned;
    {
        at now(call_names[which], item);
        returned = function();
    }
    int kind = kind_of(returned);
    count(my_notes().calls[which][kind]);
    bool queues = which <= mod_delayed || which == on_each_cpu;
    if (queues && stopping.load(std::memory_order_relaxed))
        allowed |= shutdown;
    if (!(allowed & 1u << kind))
        fail_call(which, item, returned, allowed);
    return returned;
}

// An item goes one way for its whole life.
enum class way { on, worker, delayed };
inline constexpr way ways[] = {way::on, way::worker, way::delayed};
inline constexpr const char *own_names[] = {"own item", "own item for its worker", "own delayed item"};
inline constexpr const char *shared_names[] = {"shared item", "shared item for its worker",
                                               "shared delayed item"};
inline const char *own_name(way how)
{
    return own_names[static_cast<int>(how)];
}
inline const char *shared_name(way how)
{
    return shared_names[static_cast<int>(how)];
}

// The calls on items of any way; an ordinary item is a pw_delayed of which only `work` is used.
inline int queue_item(way how, struct pw_workqueue *wq, pw_delayed &item, uint64_t ns, unsigned allowed)
{
    int cpu = pw_get_cpu(&item.work);
    switch (how) {
    case way::on:
        return checked(queue_on, allowed, &item, [&] { return pw_queue_on(cpu, wq, &item.work); });
    case way::worker:
        return checked(queue_work_on, allowed, &item, [&] { return pw_queue_work_on(cpu, wq, &item.work); });
    default:
        return checked(queue_delayed, allowed, &item,
                       [&] { return pw_queue_delayed_on(cpu, wq, &item, ns); });
    }
}
inline int mod_item(struct pw_workqueue *wq, pw_delayed &item, uint64_t ns, unsigned allowed)
{
    int cpu = pw_get_cpu(&item.work);
    return checked(mod_delayed, allowed, &item, [&] { return pw_mod_delayed_on(cpu, wq, &item, ns); });
}
inline int cancel_item(pw_delayed &item, unsigned allowed)
{
    return checked(cancel, allowed, &item, [&] { return pw_cancel(&item.work); });
}
inline int cancel_item_sync(way how, pw_delayed &item, unsigned allowed)
{
    if (how == way::delayed)
        return checked(cancel_delayed_sync, allowed, &item, [&] { return pw_cancel_delayed_sync(&item); });
    return checked(cancel_sync, allowed, &item, [&] { return pw_cancel_sync(&item.work); });
}
inline int flush_item(way how, pw_delayed &item, unsigned allowed)
{
    if (how == way::delayed)
        return checked(flush_delayed, allowed, &item, [&] { return pw_flush_delayed(&item); });
    return checked(flush, allowed, &item, [&] { return pw_flush(&item.work); });
}
inline int flush_wq(struct pw_workqueue *wq, unsigned allowed)
{
    return checked(wq_flush, allowed, wq, [&] { return pw_workqueue_flush(wq); });
}
inline int drain_wq(struct pw_workqueue *wq, unsigned allowed)
{
    return checked(wq_drain, allowed, wq, [&] { return pw_workqueue_drain(wq); });
}
inline int destroy_wq(struct pw_workqueue *wq, unsigned allowed)
{
    return checked(wq_destroy, allowed, wq, [&] { return pw_workqueue_destroy(wq); });
}
inline struct pw_workqueue *create_wq(const char *name, unsigned flags)
{
    struct pw_workqueue *made = nullptr;
    checked(wq_create, zero, name, [&] {
        made = pw_workqueue_create(name, flags);
        return made ? 0 : -errno;
    });
    if (!made)
        abort(); // said already why
    return made;
}

inline uint64_t now_ns()
{
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

// The alarm is waited for by a thread of its own: a handler might run in a thread that a sanitizer does not
// let go. First thing in main(), so that every other thread has the signal blocked.
inline void start_watchdog()
{
    sigset_t alarm_only;
    sigemptyset(&alarm_only);
    sigaddset(&alarm_only, SIGALRM);
    pthread_sigmask(SIG_BLOCK, &alarm_only, nullptr);
    std::thread([alarm_only] {
        int number;
        sigwait(&alarm_only, &number);
        fprintf(stderr, "stress_random: it hangs. What each thread is at:\n");
        for (notes &each : all_notes)
            if (each.taken.load(std::memory_order_relaxed)) {
                const char *doing = each.doing.load(std::memory_order_relaxed);
                fprintf(stderr, "  thread %d: %s %p\n", each.thread.load(std::memory_order_relaxed),
                        doing ? doing : "nothing", each.with.load(std::memory_order_relaxed));
            }
        _exit(1);
    }).detach();
}

// When every thread has ended.
inline void print_totals()
{
    for (int which = 0; which < call_kinds; ++which) {
        printf("%-22s", call_names[which]);
        for (int kind = 0; kind < result_kinds; ++kind) {
            long sum = 0;
            for (const notes &each : all_notes)
                sum += each.calls[which][kind].load(std::memory_order_relaxed);
            if (sum)
                printf("  %s: %ld", result_names[kind], sum);
        }
        printf("\n");
    }
    long executions = 0, posts = 0;
    for (const notes &each : all_notes) {
        executions += each.executions.load(std::memory_order_relaxed);
        posts += each.posts_checked.load(std::memory_order_relaxed);
    }
    printf("executions: %ld; posts to shared items that were checked: %ld\n", executions, posts);
}

} // namespace stress
