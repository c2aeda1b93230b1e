// SPDX-License-Identifier: MIT
// A program for test_pw_stat.sh to look into. Usage: stat_target ITEMS [block|locks|workqueues]
//
// Queues ITEMS items to every CPU, waits until they have run, prints "ready STRATEGY SOURCE CPU...", and
// stays until its standard input ends; each "r" there stops the runtime, starts it and prints "again". With
// "block", an item that runs until then is queued to the first CPU
// before "ready", and three more behind it. With "locks", threads that the runtime does not know take locks
// of the last CPU before "ready": from the first CPU, seven times freely and once after a wait for a thread
// of the last CPU. With "workqueues", one that is named flusher and one that is named urgent, of high
// priority, exist, another did, and one item, which runs until standard input ends, was queued to the first
// CPU twice and taken back once before "ready".
#include <pwlocks/pwlocks.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sched.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace {

std::atomic<bool> entered = false;
std::atomic<bool> released = false;

template <typename Function>
std::thread on_cpu(int cpu, Function function)
{
    return std::thread([cpu, function] {
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET(cpu, &set);
        sched_setaffinity(0, sizeof set, &set);
        function();
    });
}

void use_locks()
{
    int first = pw_next_cpu(-1), last = first;
    pw_for_each_cpu (cpu)
        last = cpu;
    auto *lock = static_cast<pw_lock_t *>(pw_alloc_percpu(sizeof(pw_lock_t), alignof(pw_lock_t)));
    on_cpu(first, [=] {
        for (int i = 0; i < 7; ++i) {
            pw_lock(lock, last);
            pw_unlock(lock, last);
        }
    }).join();
    std::atomic<bool> held{false};
    std::thread holding = on_cpu(last, [&] {
        pw_lock(lock, last);
        held = true;
        while (__atomic_load_n(&pw_per_cpu_ptr(lock, last)->waiters, __ATOMIC_RELAXED) == 0)
            usleep(100);
        pw_unlock(lock, last);
    });
    while (!held)
        usleep(100);
    on_cpu(first, [=] {
        pw_lock(lock, last);
        pw_unlock(lock, last);
    }).join();
    holding.join();
    pw_free_percpu(lock);
}

void queue_or_exit(pw_struct &work, pw_workqueue *wq = nullptr)
{
    if (int result = pw_queue_on(pw_get_cpu(&work), wq, &work); result != 1) {
        fprintf(stderr, "stat_target: pw_queue_on: %d\n", result);
        exit(1);
    }
}

} // namespace

// Not in the unnamed namespace: the program exports them (-rdynamic), and pw-stat shall show their names.
void do_nothing(pw_struct *) {}

void wait_for_release(pw_struct *)
{
    entered = true;
    entered.notify_all();
    released.wait(false);
}

int main(int argc, char **argv)
{
    const char *what = argc == 3 ? argv[2] : "";
    bool block = strcmp(what, "block") == 0, locks = strcmp(what, "locks") == 0,
         workqueues = strcmp(what, "workqueues") == 0;
    if (argc < 2 || argc > 3 || (argc == 3 && !block && !locks && !workqueues)) {
        fprintf(stderr, "usage: stat_target ITEMS [block|locks|workqueues]\n");
        return 2;
    }
    auto items = static_cast<size_t>(atol(argv[1]));

    std::vector<pw_struct> works;
    works.reserve(items * static_cast<size_t>(pw_nr_cpus()));
    pw_for_each_cpu (cpu) {
        for (size_t i = 0; i < items; ++i) {
            pw_struct &work = works.emplace_back();
            INIT_PW(&work, do_nothing, cpu);
            queue_or_exit(work);
        }
    }
    for (pw_struct &work : works)
        if (pw_flush(&work) != 0)
            return 1;

    pw_workqueue *flusher = nullptr, *urgent = nullptr;
    if (workqueues) {
        pw_workqueue *gone = pw_workqueue_create("gone", 0);
        flusher = pw_workqueue_create("flusher", 0);
        urgent = pw_workqueue_create("urgent", PW_WQ_HIGHPRI);
        if (!gone || !flusher || !urgent || pw_workqueue_destroy(gone) != 0)
            return 1;
    }

    pw_struct blocking, behind[3];
    std::thread blocked;
    int first = pw_next_cpu(-1);
    if (block || workqueues) {
        INIT_PW(&blocking, wait_for_release, first);
        // Under the lock strategy the caller itself runs it.
        blocked = std::thread([&] { queue_or_exit(blocking, flusher); });
        entered.wait(false);
    }
    if (workqueues) {
        queue_or_exit(blocking, flusher);
        if (pw_cancel(&blocking) != 1)
            return 1;
    }
    if (block) {
        for (pw_struct &each : behind) {
            INIT_PW(&each, do_nothing, first);
            queue_or_exit(each);
        }
    }

    if (locks)
        use_locks();

    printf("ready %s %s", pw_strategy() == PW_STRATEGY_LOCK ? "lock" : "queue", pw_strategy_source());
    pw_for_each_cpu (cpu)
        printf(" %d", cpu);
    printf("\n");
    fflush(stdout);
    char byte;
    while (read(STDIN_FILENO, &byte, 1) > 0) {
        if (byte != 'r')
            continue;
        if (pw_runtime_stop() != 0 || pw_runtime_start(nullptr) != 0)
            return 1;
        printf("again\n");
        fflush(stdout);
    }
    released = true;
    released.notify_all();
    if (blocked.joinable())
        blocked.join();
    if (pw_workqueue_destroy(flusher) != 0 || pw_workqueue_destroy(urgent) != 0)
        return 1;
    return pw_runtime_stop() == 0 ? 0 : 1;
}
