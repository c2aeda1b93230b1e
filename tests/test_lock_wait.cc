// SPDX-License-Identifier: MIT
// Waiting for a lock, trying one from a signal handler, and waiting for oneself.
#include "catch.h"
#include "dies.h"
#include "lock_memory.h"

#include <csignal>
#include <dlfcn.h>
#include <string>
#include <thread>
#include <vector>

TEST_CASE("a contended lock is waited for asleep, and taken when its holder lets go")
{
    lock_memory lock;
    for (int from : given_cpus) {
        for (int cpu : given_cpus) {
            for (bool local : {false, true}) {
                if (local && from != cpu)
                    continue;
                holder other(lock, cpu, cpu);
                std::atomic<uint32_t> taken_by{0};
                int returned = -1;
                bool errno_kept = false;
                thread_usage used;
                std::thread waiter([&] {
                    pinned here(from);
                    thread_usage before = thread_usage::now();
                    errno = 4711;
                    if (local)
                        returned = pw_lock_local(lock.get());
                    else
                        pw_lock(lock.get(), cpu);
                    errno_kept = errno == 4711;
                    used = thread_usage::now().since(before);
                    taken_by = owner_of(lock, cpu);
                    pw_unlock(lock.get(), cpu);
                });
                // Only then does it hold the lock for long.
                bool waited = eventually([&] { return waiters_of(lock, cpu) == 1; });
                std::this_thread::sleep_for(std::chrono::milliseconds(200));
                CHECK(taken_by == 0);
                other.release();
                waiter.join();
                CHECK(waited);
                CHECK(taken_by != 0);
                CHECK(taken_by != other.id());
                CHECK(returned == (local ? cpu : -1));
                CHECK(errno_kept);
                CHECK(used.sleeps > 0);
                // CPU time, not time: a waiter that spins has used 200 ms, this one some dozens of wake-ups.
                CHECK(used.cpu_us < 100'000);
                CHECK(waiters_of(lock, cpu) == 0);
            }
        }
    }
}

TEST_CASE("every one of many waiters gets the lock once its holder lets go")
{
    lock_memory lock;
    constexpr uint32_t count = 12;
    int cpu = given_cpus.back();
    holder other(lock, cpu, given_cpus.front());
    int plain = 0;
    std::vector<std::thread> waiters;
    for (uint32_t i = 0; i < count; ++i)
        waiters.emplace_back([&, i] {
            pinned here(given_cpus[i % given_cpus.size()]);
            pw_lock(lock.get(), cpu);
            ++plain;
            pw_unlock(lock.get(), cpu);
        });
    // All are on their way; how many are asleep at one moment depends on their timeouts.
    bool waited = eventually([&] { return waiters_of(lock, cpu) >= count / 2; });
    other.release();
    for (std::thread &each : waiters)
        each.join();
    CHECK(waited);
    CHECK(plain == count);
    CHECK(free_everywhere(lock));
    CHECK(waiters_of(lock, cpu) == 0);
}

TEST_CASE("a real-time waiter lets the ordinary holder of its own CPU run")
{
    // A waiter that spun would keep the holder off the CPU until real-time throttling steps in.
    lock_memory lock;
    int cpu = given_cpus.back();
    constexpr int rounds = 40;
    std::atomic<int> held{0}, taken{0};
    std::atomic<bool> refused{false};
    thread_usage used;
    bool in_time = true;
    std::thread ordinary([&] {
        pinned here(cpu);
        for (int round = 1; round <= rounds && in_time; ++round) {
            pw_lock(lock.get(), cpu);
            held = round;
            in_time = eventually([&] { return waiters_of(lock, cpu) != 0 || refused; });
            pw_unlock(lock.get(), cpu);
            in_time = in_time && eventually([&] { return taken == round || refused; });
        }
    });
    std::thread real_time([&] {
        pinned here(cpu);
        sched_param parameters = {};
        parameters.sched_priority = 10;
        if (pthread_setschedparam(pthread_self(), SCHED_FIFO, &parameters) != 0) {
            refused = true;
            return;
        }
        thread_usage before = thread_usage::now();
        for (int round = 1; round <= rounds; ++round) {
            if (!eventually([&] { return held == round; }))
                return;
            pw_lock(lock.get(), cpu);
            pw_unlock(lock.get(), cpu);
            taken = round;
        }
        used = thread_usage::now().since(before);
    });
    ordinary.join();
    real_time.join();
    if (refused) {
        WARN("skipped: SCHED_FIFO is not permitted here (needs CAP_SYS_NICE or RLIMIT_RTPRIO)");
        return;
    }
    CHECK(in_time);
    CHECK(taken == rounds);
    CHECK(used.sleeps >= rounds);
    CHECK(used.cpu_us < 1'000'000);
    CHECK(free_everywhere(lock));
}

namespace {

// What the signal handler sees of the lock that its thread holds, or is about to take or to leave.
struct seen_by_handler {
    pw_lock_t *lock = nullptr;
    int cpu = -1;
    std::atomic<int> tried{0};
    int taken = 0, local = 0;
    volatile long *guarded = nullptr;

    void watch(pw_lock_t *which, int on, volatile long *data)
    {
        lock = which;
        cpu = on;
        guarded = data;
        tried = taken = local = 0;
    }
};
seen_by_handler seen;

void try_both(int)
{
    int saved = errno;
    seen.tried.fetch_add(1, std::memory_order_relaxed);
    seen.local = pw_trylock_local(seen.lock);
    if (seen.local >= 0) {
        if (seen.guarded)
            *seen.guarded = *seen.guarded + 1;
        pw_unlock_local(seen.lock, seen.local);
        ++seen.taken;
    }
    if (pw_trylock(seen.lock, seen.cpu)) {
        if (seen.guarded)
            *seen.guarded = *seen.guarded + 1;
        pw_unlock(seen.lock, seen.cpu);
        ++seen.taken;
    }
    errno = saved;
}

class handled {
  public:
    explicit handled(void (*handler)(int))
    {
        struct sigaction action = {};
        action.sa_handler = handler;
        action.sa_flags = SA_RESTART;
        sigaction(SIGUSR1, &action, &saved_);
    }
    ~handled() { sigaction(SIGUSR1, &saved_, nullptr); }
    handled(const handled &) = delete;
    handled &operator=(const handled &) = delete;

  private:
    struct sigaction saved_;
};

} // namespace

TEST_CASE("a signal handler may try the lock that its thread holds")
{
    lock_memory lock;
    int cpu = given_cpus.back();
    pinned here(cpu);
    REQUIRE(here);
    handled handler(try_both);
    seen.watch(lock.get(), cpu, nullptr);
    pw_lock(lock.get(), cpu);
    raise(SIGUSR1);
    CHECK(seen.tried == 1);
    CHECK(seen.local == -EBUSY);
    CHECK(seen.taken == 0);
    CHECK(owner_of(lock, cpu) == my_id());
    pw_unlock(lock.get(), cpu);
    raise(SIGUSR1);
    CHECK(seen.tried == 2);
    CHECK(seen.local == cpu);
    CHECK(seen.taken == 2);
    CHECK(free_everywhere(lock));
}

TEST_CASE("a signal handler that tries the lock anywhere in its thread's acquisitions never gets in between")
{
    if (PW_DETAIL_TSAN) {
        WARN("skipped: ThreadSanitizer puts signals off until its thread blocks");
        return;
    }
    lock_memory lock;
    int cpu = given_cpus.back();
    volatile long guarded = 0;
    handled handler(try_both);
    seen.watch(lock.get(), cpu, &guarded);
    constexpr int signals = 5'000 / scale;
    std::atomic<bool> over{false};
    long acquired = 0;
    std::thread locker([&] {
        pinned here(cpu);
        while (!over.load(std::memory_order_relaxed)) {
            if (acquired % 2)
                pw_lock_local(lock.get());
            else
                pw_lock(lock.get(), cpu);
            guarded = guarded + 1;
            pw_unlock(lock.get(), cpu);
            ++acquired;
        }
    });
    int handled_before = 0;
    for (int i = 0; i < signals; ++i) {
        pthread_kill(locker.native_handle(), SIGUSR1);
        while (seen.tried == handled_before && given_cpus.size() > 1)
            std::this_thread::yield();
        handled_before = seen.tried;
    }
    over = true;
    locker.join();
    CHECK(seen.tried > 0);
    CHECK(guarded == acquired + seen.taken);
    CHECK(free_everywhere(lock));
}

namespace {

struct self_locked {
    pw_struct work = {};
    pw_lock_t *lock = nullptr;
};

void lock_twice(pw_struct *work)
{
    auto *self = reinterpret_cast<self_locked *>(work);
    pw_lock(self->lock, pw_get_cpu(work));
    pw_lock(self->lock, pw_get_cpu(work));
}

// As the library names it: the symbol, or where it is in the program.
bool names_lock_twice(const std::string &name)
{
    Dl_info info = {};
    dladdr(reinterpret_cast<void *>(lock_twice), &info);
    if (info.dli_sname && name == info.dli_sname)
        return true;
    auto offset = reinterpret_cast<uintptr_t>(lock_twice) - reinterpret_cast<uintptr_t>(info.dli_fbase);
    size_t plus = name.rfind("+0x");
    return plus != std::string::npos && std::stoull(name.substr(plus + 3), nullptr, 16) == offset;
}

} // namespace

TEST_CASE("dies: pw_lock of a lock that this thread holds", "[.]")
{
    lock_memory lock;
    pinned here(given_cpus.back());
    expect_death(lock, 0);
    pw_lock(lock.get(), 0);
    pw_lock(lock.get(), 0);
}

TEST_CASE("dies: pw_lock_local of a lock that this thread holds", "[.]")
{
    lock_memory lock;
    int cpu = given_cpus.back();
    pinned here(cpu);
    expect_death(lock, cpu);
    pw_lock(lock.get(), cpu);
    pw_lock_local(lock.get());
}

TEST_CASE("dies: a work function that takes its lock twice", "[.]")
{
    lock_memory lock;
    int cpu = last_cpu();
    self_locked item;
    item.lock = lock.get();
    INIT_PW(&item.work, lock_twice, cpu);
    expect_death(lock, cpu);
    pw_queue_on(cpu, nullptr, &item.work);
    pw_flush(&item.work);
}

TEST_CASE("a self-deadlock aborts with one line that names the lock, the CPU and the thread")
{
    last_words waited(aborts("dies: pw_lock of a lock that this thread holds"));
    CHECK(waited.line == waited.start_of_line(0) + std::to_string(waited.pid) + " holds it already\n");
    last_words local(aborts("dies: pw_lock_local of a lock that this thread holds"));
    CHECK(local.line ==
          local.start_of_line(given_cpus.back()) + std::to_string(local.pid) + " holds it already\n");
}

TEST_CASE("a self-deadlock inside work names the function too")
{
    last_words words(aborts("dies: a work function that takes its lock twice"));
    std::string start = words.start_of_line(last_cpu());
    INFO(words.line);
    REQUIRE(words.line.rfind(start, 0) == 0);
    unsigned thread = 0;
    char function[256] = "";
    REQUIRE(sscanf(words.line.c_str() + start.size(), "%u holds it already, in work function %255s", &thread,
                   function) == 2);
    CHECK(words.line ==
          start + std::to_string(thread) + " holds it already, in work function " + function + "\n");
    // The caller itself under lock, a worker under queue.
    CHECK((thread == words.pid) == under_lock());
    CHECK(names_lock_twice(function));
}
