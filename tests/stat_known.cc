// SPDX-License-Identifier: MIT
// A program whose true counts are known, for stat_known.py: does one of everything, says what it did as one
// JSON line, and stays, with one worker stuck in a function and an item pending behind it, until its standard
// input ends.
#include <pwlocks/pwlocks.h>

#include <atomic>
#include <cstdio>
#include <ctime>
#include <sched.h>
#include <string>
#include <thread>
#include <unistd.h>

// Functions by names that pw-stat shows as they are.
extern "C" {
std::atomic<bool> known_entered{false}, known_released{false};
std::atomic<int> known_count{0};

void known_a(pw_struct *)
{
    ++known_count;
}
void known_b(pw_struct *)
{
    --known_count;
}
void known_long(pw_struct *)
{
    usleep(20000);
}
void known_pending(pw_struct *)
{
    known_count += 2;
}
void known_call(int, void *)
{
    known_count += 3;
}
void known_stuck(pw_struct *)
{
    known_entered = true;
    while (!known_released)
        usleep(1000);
}
}

namespace {

uint64_t now_ns()
{
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

void pin(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    sched_setaffinity(0, sizeof set, &set);
}

void must(bool held, const char *what)
{
    if (held)
        return;
    fprintf(stderr, "stat_known: %s\n", what);
    _exit(1);
}

// So often, each once.
void run(int (*queue)(int, pw_workqueue *, pw_struct *), pw_func_t function, int cpu, pw_workqueue *wq,
         int times)
{
    pw_struct item;
    INIT_PW(&item, function, cpu);
    for (int i = 0; i < times; ++i)
        must(queue(cpu, wq, &item) == 1 && pw_flush(&item) == 0, "an item was not run");
    must(pw_cancel_sync(&item) == 0, "an item was left");
}

// A lock of that CPU: so often from another one, and once after a wait.
uint64_t use_locks(int cpu, int here, int times)
{
    auto *lock = static_cast<pw_lock_t *>(pw_alloc_percpu(sizeof(pw_lock_t), alignof(pw_lock_t)));
    must(lock, "no memory for a lock");
    for (int i = 0; i < times; ++i) {
        pw_lock(lock, cpu);
        pw_unlock(lock, cpu);
    }
    std::atomic<bool> held{false};
    uint64_t waited = 0;
    std::thread holder([&] {
        pin(cpu);
        pw_lock(lock, cpu);
        held = true;
        while (__atomic_load_n(&pw_per_cpu_ptr(lock, cpu)->waiters, __ATOMIC_RELAXED) == 0)
            usleep(100);
        uint64_t began = now_ns();
        usleep(20000);
        waited = now_ns() - began;
        pw_unlock(lock, cpu);
    });
    while (!held)
        usleep(100);
    pin(here);
    pw_lock(lock, cpu);
    pw_unlock(lock, cpu);
    holder.join();
    return waited;
}

} // namespace

int main()
{
    must(pw_runtime_start(nullptr) == 0, "no runtime");
    int here = pw_next_cpu(-1), cpu = here;
    pw_for_each_cpu (each)
        cpu = each;
    pin(here);
    pw_workqueue *normal = pw_workqueue_create("known", 0),
                 *urgent = pw_workqueue_create("urgent", PW_WQ_HIGHPRI);
    run(pw_queue_on, known_a, cpu, nullptr, 100);
    uint64_t first_ns = now_ns();
    run(pw_queue_on, known_b, cpu, normal, 20);
    run(pw_queue_work_on, known_a, cpu, urgent, 5);
    run(pw_queue_on, known_long, cpu, nullptr, 2);
    run(pw_queue_work_on, known_long, cpu, nullptr, 3);
    run(pw_queue_on, known_b, here, nullptr, 7);
    must(pw_on_each_cpu(known_call, nullptr) == 0, "no calls");
    uint64_t waited = use_locks(cpu, here, 11);

    static pw_struct stuck, pending;
    INIT_PW(&stuck, known_stuck, cpu);
    INIT_PW(&pending, known_pending, cpu);
    uint64_t before_stuck = now_ns();
    must(pw_queue_work_on(cpu, nullptr, &stuck) == 1, "not stuck");
    while (!known_entered)
        usleep(100);
    uint64_t stuck_by = now_ns();
    must(pw_queue_work_on(cpu, normal, &pending) == 1, "not pending");
    must(pw_queue_work_on(cpu, normal, &pending) == 0, "not coalesced");
    must(pw_cancel(&pending) == 1, "not cancelled");
    must(pw_queue_work_on(cpu, normal, &pending) == 1, "not pending again");
    must(pw_queue_work_on(cpu, normal, &pending) == 0, "not coalesced again");
    printf("{\"pid\": %d, \"here\": %d, \"cpu\": %d, \"first_ns\": %lu, \"before_stuck_ns\": %lu, "
           "\"stuck_by_ns\": %lu, "
           "\"waited_ns\": %lu, \"ready_ns\": %lu}\n",
           getpid(), here, cpu, static_cast<unsigned long>(first_ns),
           static_cast<unsigned long>(before_stuck), static_cast<unsigned long>(stuck_by),
           static_cast<unsigned long>(waited), static_cast<unsigned long>(now_ns()));
    fflush(stdout);
    while (getchar() != EOF) {
    }
    known_released = true;
    must(pw_runtime_stop() == 0, "no stop");
}
