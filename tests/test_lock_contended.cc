// SPDX-License-Identifier: MIT
// Waiting under trouble: a holder that was stopped, more threads than CPUs, real-time threads above their
// holder, a holder that has gone, a debugger. Whoever waits makes progress in the end, and does not burn a
// CPU meanwhile.
#include "capture.h"
#include "catch.h"
#include "lock_memory.h"
#include "programs.h"

#include <csignal>
#include <string>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <thread>
#include <vector>

namespace {

std::atomic<bool> handler_entered{false}, handler_may_leave{false};

void stay_in_handler(int)
{
    handler_entered = true;
    while (!handler_may_leave)
        usleep(1000);
}

// Raises the calling thread to SCHED_FIFO. False where that is not permitted.
bool become_fifo(int priority)
{
    sched_param parameters = {};
    parameters.sched_priority = priority;
    return pthread_setschedparam(pthread_self(), SCHED_FIFO, &parameters) == 0;
}

// A waiter and a holder on one CPU, both of SCHED_FIFO but for a holder of priority 0. The holder leaves when
// it is waited for.
struct priorities {
    int waiter, holder;
};

void waiter_lets_holder_run(priorities of)
{
    lock_memory lock;
    int cpu = given_cpus.back();
    constexpr int rounds = 200;
    std::atomic<int> held{0}, taken{0};
    std::atomic<bool> refused{false};
    std::atomic<bool> in_time{true};
    thread_usage used;
    std::thread holding([&] {
        pinned here(cpu);
        if (of.holder > 0 && !become_fifo(of.holder))
            refused = true;
        for (int round = 1; round <= rounds && in_time && !refused; ++round) {
            pw_lock(lock.get(), cpu);
            held = round;
            in_time = eventually([&] { return waiters_of(lock, cpu) != 0 || refused; });
            pw_unlock(lock.get(), cpu);
            in_time = in_time && eventually([&] { return taken == round || refused; });
        }
    });
    std::thread waiting([&] {
        pinned here(cpu);
        if (!become_fifo(of.waiter))
            refused = true;
        thread_usage before = thread_usage::now();
        for (int round = 1; round <= rounds && !refused; ++round) {
            if (!eventually([&] { return held == round || refused || !in_time; }) || !in_time)
                return;
            if (round % 2) {
                int at = pw_lock_local(lock.get());
                pw_unlock_local(lock.get(), at);
            } else {
                pw_lock(lock.get(), cpu);
                pw_unlock(lock.get(), cpu);
            }
            taken = round;
        }
        used = thread_usage::now().since(before);
    });
    holding.join();
    waiting.join();
    if (refused) {
        WARN("skipped: SCHED_FIFO is not permitted here (needs CAP_SYS_NICE or RLIMIT_RTPRIO)");
        return;
    }
    CHECK(in_time);
    CHECK(taken == rounds);
    CHECK(used.sleeps >= rounds);
    CHECK(used.cpu_us < 2'000'000);
    CHECK(free_everywhere(lock));
}

} // namespace

TEST_CASE("a SCHED_FIFO waiter lets the SCHED_OTHER holder of its CPU run")
{
    waiter_lets_holder_run({50, 0});
}

TEST_CASE("a SCHED_FIFO 50 waiter lets the SCHED_FIFO 10 holder of its CPU run")
{
    waiter_lets_holder_run({50, 10});
}

TEST_CASE("waiters for a holder that stands still use next to no CPU time, and go on when it does")
{
    lock_memory lock;
    int cpu = given_cpus.back();
    handler_entered = handler_may_leave = false;
    struct sigaction action = {}, saved;
    action.sa_handler = stay_in_handler;
    sigaction(SIGUSR1, &action, &saved);
    std::atomic<bool> holds{false}, leave{false};
    std::thread standing([&] {
        pinned here(cpu);
        pw_lock(lock.get(), cpu);
        holds = true;
        eventually([&] { return leave.load(); });
        pw_unlock(lock.get(), cpu);
    });
    REQUIRE(eventually([&] { return holds.load(); }));
    pthread_kill(standing.native_handle(), SIGUSR1);
    bool stands = PW_DETAIL_TSAN || eventually([&] { return handler_entered.load(); });
    constexpr size_t count = 6;
    std::vector<thread_usage> used(count);
    std::atomic<size_t> done{0};
    std::vector<std::thread> waiting;
    for (size_t i = 0; i < count; ++i)
        waiting.emplace_back([&, i] {
            pinned here(given_cpus[i % given_cpus.size()]);
            thread_usage before = thread_usage::now();
            pw_lock(lock.get(), cpu);
            used[i] = thread_usage::now().since(before);
            pw_unlock(lock.get(), cpu);
            ++done;
        });
    bool waited = eventually([&] { return waiters_of(lock, cpu) == count; });
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
    CHECK(done == 0);
    handler_may_leave = true;
    leave = true;
    for (std::thread &each : waiting)
        each.join();
    standing.join();
    sigaction(SIGUSR1, &saved, nullptr);
    CHECK(stands);
    CHECK(waited);
    // Of half a second, a spinning waiter would have used that much, these some 60 wake-ups.
    for (const thread_usage &each : used)
        CHECK(each.cpu_us < (sanitized ? 250'000 : 100'000));
    CHECK(free_everywhere(lock));
    CHECK(waiters_of(lock, cpu) == 0);
}

TEST_CASE("sixty-four threads on the CPUs that there are all get their turns")
{
    lock_memory lock;
    int cpu = given_cpus.back();
    constexpr size_t count = 64;
    const int rounds = 400 / scale;
    long plain = 0;
    std::vector<int> turns(count, 0);
    std::vector<std::thread> threads;
    for (size_t i = 0; i < count; ++i)
        threads.emplace_back([&, i] {
            pinned here(given_cpus[i % given_cpus.size()]);
            for (int round = 0; round < rounds; ++round) {
                pw_lock(lock.get(), cpu);
                long before = plain;
                if (round % 8 == 0)
                    sched_yield(); // preempted while it holds the lock
                plain = before + 1;
                pw_unlock(lock.get(), cpu);
                ++turns[i];
            }
        });
    for (std::thread &each : threads)
        each.join();
    CHECK(plain == static_cast<long>(count) * rounds);
    for (int each : turns)
        CHECK(each == rounds);
    CHECK(free_everywhere(lock));
    CHECK(waiters_of(lock, cpu) == 0);
}

TEST_CASE("child: threads that contend for one lock", "[.]")
{
    lock_memory lock;
    int cpu = given_cpus.back();
    const long rounds = 30'000 / scale;
    long plain = 0;
    std::vector<std::thread> threads;
    for (size_t i = 0; i < 8; ++i)
        threads.emplace_back([&, i] {
            pinned here(given_cpus[i % given_cpus.size()]);
            for (long round = 0; round < rounds; ++round) {
                pw_lock(lock.get(), cpu);
                plain = plain + 1;
                if (round % 64 == 0)
                    usleep(100);
                pw_unlock(lock.get(), cpu);
            }
        });
    for (std::thread &each : threads)
        each.join();
    CHECK(plain == 8 * rounds);
}

TEST_CASE("a process that is stopped and continued again and again loses no turn and no wake-up")
{
    child contending({this_program(), "child: threads that contend for one lock"});
    int stops = 0;
    siginfo_t info = {};
    auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (stops < 100 && std::chrono::steady_clock::now() < limit) {
        info.si_pid = 0;
        // Not reaped, that is for wait().
        if (waitid(P_PID, static_cast<id_t>(contending.pid()), &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
            info.si_pid != 0)
            break;
        kill(contending.pid(), SIGSTOP);
        usleep(5'000);
        kill(contending.pid(), SIGCONT);
        usleep(5'000);
        ++stops;
    }
    ended result = contending.wait();
    INFO(shown(result));
    CHECK(passed(result));
    CHECK(stops > 3);
}

TEST_CASE(
    "a holder that ended without releasing is reported once, with the thread and the lock, by whoever waits")
{
    lock_memory lock;
    int cpu = given_cpus.back();
    uint32_t gone = 0;
    std::thread([&] {
        gone = my_id();
        pw_lock(lock.get(), cpu);
    }).join();
    REQUIRE(owner_of(lock, cpu) == gone);
    std::string text;
    std::atomic<int> taken{0};
    std::vector<std::thread> waiting;
    {
        stderr_capture capture;
        for (int i = 0; i < 2; ++i)
            waiting.emplace_back([&] {
                pw_lock(lock.get(), cpu);
                ++taken;
                pw_unlock(lock.get(), cpu);
            });
        std::this_thread::sleep_for(std::chrono::milliseconds(500));
        text = capture.text();
    }
    CHECK(taken == 0);
    char address[32];
    snprintf(address, sizeof address, "%p", static_cast<void *>(&lock.of(cpu)));
    CHECK(text == std::string("pwlocks: lock ") + address + " of cpu " + std::to_string(cpu) +
                      ": held by thread " + std::to_string(gone) +
                      ", which is gone: it ended, or stayed behind in a fork's parent; waiting\n");
    // Whoever knows better may release it: any thread can.
    pw_unlock(lock.get(), cpu);
    for (std::thread &each : waiting)
        each.join();
    CHECK(taken == 2);
    CHECK(free_everywhere(lock));
}

TEST_CASE("a holder that lives, however long it holds, is not reported")
{
    lock_memory lock;
    int cpu = given_cpus.back();
    stderr_capture capture;
    {
        holder other(lock, cpu, cpu);
        std::thread waiting([&] {
            pw_lock(lock.get(), cpu);
            pw_unlock(lock.get(), cpu);
        });
        std::this_thread::sleep_for(std::chrono::milliseconds(300));
        other.release();
        waiting.join();
    }
    CHECK(capture.text() == "");
}

namespace {

// Shared with the traced child: how often it has come round.
struct steps_seen {
    std::atomic<long> rounds{0}, wrong{0};
};

[[noreturn]] void lock_for_ever(const lock_memory &lock, steps_seen &seen)
{
    // The child's first lock, and each way on.
    for (;;) {
        int cpu = pw_lock_local(lock.get());
        seen.wrong += owner_of(lock, cpu) != my_id();
        pw_unlock_local(lock.get(), cpu);
        cpu = given_cpus.back();
        pw_lock(lock.get(), cpu);
        seen.wrong += owner_of(lock, cpu) != my_id();
        pw_unlock(lock.get(), cpu);
        if (cpu = pw_trylock_local(lock.get()); cpu >= 0)
            pw_unlock_local(lock.get(), cpu);
        if (cpu = given_cpus.back(); pw_trylock(lock.get(), cpu))
            pw_unlock(lock.get(), cpu);
        seen.rounds.fetch_add(1, std::memory_order_relaxed);
    }
}

} // namespace

TEST_CASE("a thread that a debugger steps through its locks, instruction by instruction, gets them")
{
    // Every step interrupts the sequence that it is in.
    if (sanitized) {
        WARN("skipped: a sanitizer's run time is stepped through as well, for minutes");
        return;
    }
    lock_memory lock;
    void *shared =
        mmap(nullptr, sizeof(steps_seen), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(shared != MAP_FAILED);
    auto &seen = *new (shared) steps_seen;
    pid_t stepped = fork();
    if (stepped == 0) {
        alarm(60);
        if (ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0)
            _exit(errno == EPERM ? 77 : 1);
        kill(getpid(), SIGSTOP);
        lock_for_ever(lock, seen);
    }
    int status = 0;
    REQUIRE(waitpid(stepped, &status, 0) == stepped);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
        WARN("skipped: ptrace is not permitted here");
        munmap(shared, sizeof(steps_seen));
        return;
    }
    REQUIRE(WIFSTOPPED(status));
    long steps = 0;
    constexpr long rounds = 5;
    for (; seen.rounds < rounds && steps < 2'000'000; ++steps) {
        if (ptrace(PTRACE_SINGLESTEP, stepped, nullptr, nullptr) != 0 ||
            waitpid(stepped, &status, 0) != stepped || !WIFSTOPPED(status) || WSTOPSIG(status) != SIGTRAP)
            break;
    }
    INFO("steps " << steps << ", status " << status);
    CHECK(seen.rounds >= rounds);
    CHECK(seen.wrong == 0);
    kill(stepped, SIGKILL);
    if (WIFSTOPPED(status))
        waitpid(stepped, &status, 0);
    munmap(shared, sizeof(steps_seen));
}
