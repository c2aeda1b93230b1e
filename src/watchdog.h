// SPDX-License-Identifier: MIT
// watchdog_ms: says once, on stderr, which work function runs for too long, and which worker does not get its
// CPU and who keeps it.
//
// One thread that looks a few times within the limit, on housekeeping CPUs; nothing wakes on the CPUs that it
// watches. What it looks at is statistics that others write for themselves, and /proc. It compares what it
// sees with what it saw before, so durations are lower bounds: never too long, and too short by at most the
// time between two looks.
//
// What is shared: `stop_`, written by stop() and read by the thread. Everything else is set before the thread
// exists and read behind its end, or is the thread's own. It calls no malloc(): an allocator may be waiting
// for the very work that is late.
#pragma once

#include "hog.h"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <pthread.h>
#include <span>
#include <string_view>
#include <sys/types.h>

namespace pw::detail {

// A worker at one moment. Nothing in it need be consistent with the rest.
struct watched_worker {
    int cpu = -1;
    pid_t tid = 0;         // 0: its thread has never run, or has not said so yet
    bool has_work = false; // something is queued and not started
    bool sleeping =
        false;            // it declared itself idle; still true while it waits for its CPU behind its wake-up
    uint64_t running = 0; // address of the function that it runs, 0 if none
    uint64_t progress = 0; // changes whenever it starts or ends a function, takes a batch or goes to sleep
};

// Lock strategy: a thread of the program that runs functions itself.
struct watched_caller {
    int cpu = -1;  // for which it runs the function
    pid_t tid = 0; // 0: not known
    uint64_t running = 0;
    uint64_t progress = 0;
};

// What is watched. Called by the watchdog's thread only, between start() and the end of stop().
class watch_source {
  public:
    virtual size_t workers() const = 0; // the same at every look
    virtual size_t callers() const = 0; // never fewer than at an earlier look
    virtual watched_worker worker(size_t index) const = 0;
    virtual watched_caller caller(size_t index) const = 0;

  protected:
    ~watch_source() = default;
};

// What is known of a worker's thread at one moment.
struct thread_sample {
    char state = 0;         // as in /proc: 'R' on a CPU or waiting for one; 0: not known
    uint64_t on_cpu_ns = 0; // in its life
};

enum class watch_verdict {
    nothing,
    long_run, // runs a function, or is blocked in it
    starved,  // has something to do and did not get its CPU
    stuck     // has something to do and does not start it, though it could
};

struct watch_finding {
    watch_verdict verdict = watch_verdict::nothing;
    uint64_t lasted_ns = 0;
};

// One worker or caller from look to look. All bytes zero is its first state.
class watch_case {
  public:
    // Whether what was seen last still goes on: only then does it matter what its thread does.
    bool goes_on(const watched_worker &now) const;

    // Takes what is seen now, `elapsed_ns` behind the last look. Finds each thing once, until there is
    // progress. `thread` is looked at if goes_on(). Time in which the thread waited for its CPU is not held
    // against a function.
    watch_finding look(const watched_worker &now, const thread_sample &thread, uint64_t elapsed_ns,
                       uint64_t limit_ns);

  private:
    // What goes on for how long, and whether that was said.
    struct span_of_time {
        uint64_t ns;
        bool told;
    };
    bool over(span_of_time &time, uint64_t limit_ns);

    bool busy_;
    int cpu_;
    uint64_t running_, progress_;
    thread_sample thread_;
    span_of_time run_, wait_, stuck_;
};

// How much of a sleep that lasted `slept_ns`, instead of `wanted_ns`, the process was stopped (SIGSTOP, a
// debugger, the whole machine): nobody could make progress then. `waited_ns` of it was spent waiting for a
// CPU, which is no excuse.
uint64_t stopped_ns(uint64_t slept_ns, uint64_t wanted_ns, uint64_t waited_ns);

// How long the watchdog sleeps between looks.
uint64_t watch_period_ns(int limit_ms);

// The lines, without "pwlocks: ", for report().
class watch_line {
  public:
    static watch_line long_run(int cpu, uint64_t ns, const char *function, pid_t caller_thread);
    static watch_line stuck(int cpu, uint64_t ns, const watched_worker &worker, char state);
    // `function` is null if it runs none; `hog` null if none was found. `own_pid` tells whose thread that is;
    // `lock_strategy` whether that is already in force.
    static watch_line starved(int cpu, uint64_t ns, const char *function, const hog_candidate *hog,
                              pid_t own_pid, bool lock_strategy);
    const char *text() const { return text_; }

  private:
    char text_[560]; // more than report() takes
};

// A zeroed array that grows, straight from the kernel. Freed by release(), not by a destructor: it belongs to
// a watchdog, see there.
template <typename T>
class mapped_array {
  public:
    bool grow(size_t count); // to at least that many; false if there is no memory, and nothing changes
    void release();
    size_t size() const { return size_; }
    T &operator[](size_t index) { return items_[index]; }

  private:
    T *items_ = nullptr;
    size_t size_ = 0;
};

// A static object that is never destroyed, since its thread runs until the process ends unless it is stopped.
class watchdog {
  public:
    // Starts the thread, on `housekeeping` (empty: wherever its creator may run). `source` must live until
    // stop() has returned. 0, or, with a line on stderr, -EAGAIN or -ENOMEM. Limit in milliseconds, at
    // least 1.
    int start(int limit_ms, const cpu_mask &housekeeping, const watch_source &source);

    // Ends the thread and waits for that: at most for a look. Nothing if it was not started.
    void stop();

    // Fork's child, which does not have the thread.
    void forget();

  private:
    struct worker_slot {
        watch_case seen;
        watched_worker starved; // while starved_ns is not 0
        uint64_t starved_ns;
    };

    static void *run(void *self);
    void watch();
    void look(uint64_t elapsed_ns);
    bool look_at_workers(uint64_t elapsed_ns);
    void look_at_callers(uint64_t elapsed_ns);
    void tell_starved();
    void sleep(uint64_t ns);
    bool stopping() const;

    std::atomic<uint32_t> stop_{0}; // the thread sleeps on it
    bool started_ = false;
    pthread_t thread_ = {};
    uint64_t limit_ns_ = 0, period_ns_ = 0;
    const watch_source *source_ = nullptr;
    mapped_array<worker_slot> workers_;
    mapped_array<watch_case> callers_;
};

} // namespace pw::detail
