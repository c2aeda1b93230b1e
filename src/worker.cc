// SPDX-License-Identifier: MIT
#include "worker.h"

#include "report.h"
#include "run_function.h"

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <sched.h>
#include <sys/resource.h>
#include <time.h>

namespace pw::detail {
namespace {

long now_ns()
{
    timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1'000'000'000 + time.tv_nsec;
}

// The next item of the batch. Its producer may have been preempted between its two steps, by us if we share its CPU.
pw_struct *next_item(worker &self)
{
    backoff wait;
    for (;;) {
        bool blocked;
        pw_struct *item = self.queue.next(blocked);
        if (!blocked)
            return item;
        wait.pause();
    }
}

// Runs everything that was queued when it was called. False if nothing was.
bool serve(worker &self, uint32_t generation)
{
    backoff wait;
    batch_queue::taken taken;
    while ((taken = self.queue.take()) == batch_queue::taken::blocked)
        wait.pause();
    if (taken == batch_queue::taken::nothing)
        return false;
    count(self.block->batches);
    pw_func_t last = nullptr;
    while (pw_struct *item = next_item(self)) {
        // Before the item may be queued again: all that is needed of it.
        pw_func_t function = item->func;
        PW_INJECT();
        uint64_t before = self.running.start(item, std::atomic_ref(item->state));
        PW_INJECT();
        bool counted = (before & item_state::internal) == 0;
        if (counted) {
            if (function != last)
                self.segment->name_function(last = function);
            // Relaxed: a statistic.
            self.block->running.store(reinterpret_cast<uintptr_t>(function), std::memory_order_relaxed);
        }
        run_function(function, item);
        // The item is not ours any more. In a fork's child nothing is: this thread is an orphan there, and `self` may
        // have a thread of its own again.
        if (generation != gate.generation)
            return true;
        if (counted)
            count(self.block->executed);
    }
    self.running.finish();
    self.block->running.store(0, std::memory_order_relaxed);
    return true;
}

// Waits for the first item of a new batch: awake for as long as idle_spin_us says, then asleep, without a timer.
void wait_for_work(worker &self)
{
    if (self.options.idle_spin_ns > 0) {
        long deadline = now_ns() + self.options.idle_spin_ns;
        do {
            for (int i = 0; i < 32; ++i) {
                if (!self.queue.empty())
                    return;
                cpu_relax();
            }
        } while (now_ns() < deadline);
    }
    PW_INJECT();
    self.queue.idle.declare();
    PW_INJECT();
    if (!self.queue.empty()) {
        self.queue.idle.retract();
        return;
    }
    self.block->sleeping.store(1, std::memory_order_relaxed);
    while (self.queue.idle.declared())
        futex_wait(self.queue.idle.address(), idle_word<native_atomics>::idle);
    self.block->sleeping.store(0, std::memory_order_relaxed);
    count(self.block->wakeups);
}

void warn_once(std::atomic_flag &warned, const char *what, int value, const char *why, int error)
{
    if (!warned.test_and_set(std::memory_order_relaxed))
        report("sched: %s:%d refused: %s; workers run in the ordinary class (needs %s)", what, value, strerror(error),
               why);
}

void *worker_main(void *argument)
{
    auto &self = *static_cast<worker *>(argument);
    uint32_t generation = self.generation;
    // Relaxed and late on purpose: a statistic.
    pw_detail_thread.tid = static_cast<uint32_t>(gettid());
    self.block->worker_tid = pw_detail_thread.tid;
    this_thread.worker_here = &self;
    adopt_caller(self.place);
    if (self.options.sched == sched_class::nice && setpriority(PRIO_PROCESS, 0, self.options.sched_value) != 0) {
        static constinit std::atomic_flag warned;
        warn_once(warned, "nice", self.options.sched_value, "CAP_SYS_NICE or RLIMIT_NICE", errno);
    }
    do {
        if (!serve(self, generation))
            wait_for_work(self);
    } while (generation == gate.generation && !self.leaving);
    // In a fork's child that returned from the function which forked: glibc ends a process with its last thread, but workers that
    // the child has started would keep it for ever, deaf to signals.
    if (generation != gate.generation)
        exit(EXIT_SUCCESS);
    return nullptr;
}

// Workers take no signals but those that their own instructions raise.
class block_signals {
  public:
    block_signals()
    {
        sigset_t set;
        sigfillset(&set);
        for (int synchronous : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS})
            sigdelset(&set, synchronous);
        pthread_sigmask(SIG_SETMASK, &set, &saved_);
    }
    ~block_signals() { pthread_sigmask(SIG_SETMASK, &saved_, nullptr); }
    block_signals(const block_signals &) = delete;
    block_signals &operator=(const block_signals &) = delete;

  private:
    sigset_t saved_;
};

void leave(pw_struct *)
{
    this_thread.worker_here->leaving = true;
}

} // namespace

int create_workers()
{
    if (!gate.workers)
        gate.workers = static_cast<worker *>(pw_alloc_percpu(sizeof(worker), alignof(worker)));
    return gate.workers ? 0 : -ENOMEM;
}

int start_worker(worker &self, const topology &machine)
{
    self.place = reserve_caller();
    if (!self.place)
        return -ENOMEM;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    // The class of whoever starts the runtime is not the workers'.
    pthread_attr_setinheritsched(&attributes, PTHREAD_EXPLICIT_SCHED);
    pthread_attr_setschedpolicy(&attributes, SCHED_OTHER);
    // Without this glibc gives the ordinary class its creator's real-time priority, which the kernel refuses.
    sched_param ordinary = {};
    pthread_attr_setschedparam(&attributes, &ordinary);
    // Pinned from its first instruction on. Not by the thread itself: nobody has to wait until it gets its CPU.
    int error = -machine.pin(attributes, self.cpu);
    if (!error) {
        block_signals blocked;
        error = pthread_create(&self.thread, &attributes, worker_main, &self);
    }
    pthread_attr_destroy(&attributes);
    if (error) {
        report("worker %d: thread not created: %s", self.cpu, strerror(error));
        unreserve_caller(self.place);
        return -EAGAIN;
    }
    pthread_setname_np(self.thread, self.name);
    if (self.options.sched == sched_class::fifo) {
        sched_param parameters = {};
        parameters.sched_priority = self.options.sched_value;
        if (int refused = pthread_setschedparam(self.thread, SCHED_FIFO, &parameters)) {
            static constinit std::atomic_flag warned;
            warn_once(warned, "fifo", self.options.sched_value, "CAP_SYS_NICE or RLIMIT_RTPRIO", refused);
        }
    }
    return 0;
}

void stop_worker(worker &self)
{
    pw_struct exit_item = {};
    exit_item.func = leave;
    exit_item.state = item_state::pending | item_state::internal;
    enqueue(self, exit_item);
    pthread_join(self.thread, nullptr);
}

int flush_spins()
{
    return possible_cpus() > 1 ? 100 : 0;
}

void queue_barrier::queue(worker &behind)
{
    item_.func = reached;
    item_.state = item_state::pending | item_state::internal;
    enqueue(behind, item_);
}

void queue_barrier::reached(pw_struct *item)
{
    reinterpret_cast<queue_barrier *>(item)->done_.complete();
}

} // namespace pw::detail
