// SPDX-License-Identifier: MIT
// Signals and locks: the irqsave variants keep a handler of this thread away from a lock that the thread
// holds, so that the handler may wait for the same lock; and the assertion that a lock is held.
#include "catch.h"
#include "dies.h"
#include "lock_memory.h"

#include <csetjmp>
#include <csignal>
#include <ctime>
#include <string>
#include <sys/syscall.h>
#include <thread>
#include <vector>

namespace {

// The kernel's mask of this thread, which also shows the two signals that the C library hides.
unsigned long mask_now()
{
    unsigned long mask = 0;
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, nullptr, &mask, sizeof mask);
    return mask;
}

bool blocks(int number)
{
    return mask_now() >> (number - 1) & 1;
}

// Each way to take a lock with signals blocked, and the way back. Returns the CPU, or negative.
struct way {
    const char *name;
    int (*take)(pw_lock_t *lock, unsigned long &flags, int cpu);
    void (*release)(pw_lock_t *lock, unsigned long flags, int cpu);
};
const way ways[] = {
    {"lock",
     [](pw_lock_t *lock, unsigned long &flags, int cpu) {
         pw_lock_irqsave(lock, flags, cpu);
         return cpu;
     },
     [](pw_lock_t *lock, unsigned long flags, int cpu) { pw_unlock_irqrestore(lock, flags, cpu); }},
    {"lock_local",
     [](pw_lock_t *lock, unsigned long &flags, int) { return pw_lock_local_irqsave(lock, flags); },
     [](pw_lock_t *lock, unsigned long flags, int cpu) { pw_unlock_local_irqrestore(lock, flags, cpu); }},
    {"trylock",
     [](pw_lock_t *lock, unsigned long &flags, int cpu) {
         return pw_trylock_irqsave(lock, flags, cpu) ? cpu : -EBUSY;
     },
     [](pw_lock_t *lock, unsigned long flags, int cpu) { pw_unlock_irqrestore(lock, flags, cpu); }},
    {"trylock_local",
     [](pw_lock_t *lock, unsigned long &flags, int) { return pw_trylock_local_irqsave(lock, flags); },
     [](pw_lock_t *lock, unsigned long flags, int cpu) { pw_unlock_local_irqrestore(lock, flags, cpu); }},
};

// A handler that waits for the lock with one of the calls above.
struct {
    pw_lock_t *lock = nullptr;
    int cpu = -1;
    volatile long *guarded = nullptr;
    std::atomic<long> handled{0};
} in_handler;

void take_it(int)
{
    int saved = errno;
    unsigned long flags;
    bool local = in_handler.handled.load(std::memory_order_relaxed) % 2;
    int cpu = in_handler.cpu;
    if (local)
        cpu = pw_lock_local_irqsave(in_handler.lock, flags);
    else
        pw_lock_irqsave(in_handler.lock, flags, cpu);
    *in_handler.guarded = *in_handler.guarded + 1;
    pw_unlock_irqrestore(in_handler.lock, flags, cpu);
    in_handler.handled.fetch_add(1, std::memory_order_relaxed);
    errno = saved;
}

// The same, and arms the next signal: some time from now, so that the thread gets on in between.
timer_t storm_timer;

void arm_storm()
{
    itimerspec soon = {{0, 0}, {0, 10'000}};
    timer_settime(storm_timer, 0, &soon, nullptr);
}

void take_it_and_arm(int number)
{
    take_it(number);
    arm_storm();
}

class handled_by {
  public:
    handled_by(int number, void (*handler)(int)) : number_(number)
    {
        struct sigaction action = {};
        action.sa_handler = handler;
        action.sa_flags = SA_RESTART;
        sigaction(number_, &action, &saved_);
    }
    ~handled_by() { sigaction(number_, &saved_, nullptr); }
    handled_by(const handled_by &) = delete;
    handled_by &operator=(const handled_by &) = delete;

  private:
    int number_;
    struct sigaction saved_;
};

void watch(const lock_memory &lock, int cpu, volatile long *guarded)
{
    in_handler.lock = lock.get();
    in_handler.cpu = cpu;
    in_handler.guarded = guarded;
    in_handler.handled = 0;
}

} // namespace

TEST_CASE("irqsave blocks signals for as long as the lock is held, and a handler then takes the same lock")
{
    if (PW_DETAIL_TSAN) {
        WARN("skipped: ThreadSanitizer puts signals off until its thread blocks");
        return;
    }
    lock_memory lock;
    int cpu = given_cpus.back();
    pinned here(cpu);
    REQUIRE(here);
    volatile long guarded = 0;
    handled_by handler(SIGUSR1, take_it);
    watch(lock, cpu, &guarded);
    const unsigned long before = mask_now();
    long expected = 0;
    for (const way &each : ways) {
        CAPTURE(each.name);
        unsigned long flags = ~0ul;
        int taken = each.take(lock.get(), flags, cpu);
        REQUIRE(taken == cpu);
        CHECK(flags == before);
        CHECK(owner_of(lock, cpu) == my_id());
        syscall(SYS_tgkill, getpid(), gettid(), SIGUSR1); // raise() may unblock what it wants delivered
        CHECK(in_handler.handled == expected);
        guarded = guarded + 1;
        each.release(lock.get(), flags, taken);
        CHECK(in_handler.handled == ++expected);
        CHECK(mask_now() == before);
        CHECK(free_everywhere(lock));
    }
    CHECK(guarded == 8);
}

TEST_CASE("irqsave blocks every signal but the thread's own faults and those of the C library")
{
    lock_memory lock;
    int cpu = given_cpus.back();
    for (const way &each : ways) {
        CAPTURE(each.name);
        pinned here(cpu);
        unsigned long flags;
        int taken = each.take(lock.get(), flags, cpu);
        REQUIRE(taken == cpu);
        for (int number = 1; number <= 64; ++number) {
            bool cannot_be = number == SIGKILL || number == SIGSTOP;
            bool fault = number == SIGSEGV || number == SIGBUS || number == SIGILL || number == SIGFPE ||
                         number == SIGTRAP || number == SIGSYS;
            bool c_library = number == 32 || number == 33;
            CAPTURE(number);
            CHECK(blocks(number) == !(cannot_be || fault || c_library));
        }
        each.release(lock.get(), flags, taken);
    }
}

TEST_CASE("irqsave sections nest, and each release brings back the mask before its own")
{
    lock_memory outer, inner;
    int cpu = given_cpus.back();
    pinned here(cpu);
    sigset_t some, saved;
    sigemptyset(&some);
    sigaddset(&some, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &some, &saved);
    const unsigned long before = mask_now();
    unsigned long outer_flags, inner_flags;
    pw_lock_irqsave(outer.get(), outer_flags, cpu);
    const unsigned long inside = mask_now();
    int taken = pw_lock_local_irqsave(inner.get(), inner_flags);
    CHECK(inner_flags == inside);
    CHECK(mask_now() == inside);
    pw_unlock_local_irqrestore(inner.get(), inner_flags, taken);
    CHECK(mask_now() == inside);
    CHECK(blocks(SIGUSR1));
    pw_unlock_irqrestore(outer.get(), outer_flags, cpu);
    CHECK(mask_now() == before);
    CHECK(blocks(SIGUSR2));
    CHECK_FALSE(blocks(SIGUSR1));
    pthread_sigmask(SIG_SETMASK, &saved, nullptr);
}

TEST_CASE("an irqsave try that fails leaves the signals as they were")
{
    lock_memory lock;
    int cpu = given_cpus.back();
    pinned here(cpu);
    const unsigned long before = mask_now();
    holder other(lock, cpu, cpu);
    unsigned long flags;
    CHECK_FALSE(pw_trylock_irqsave(lock.get(), flags, cpu));
    CHECK(mask_now() == before);
    CHECK(pw_trylock_local_irqsave(lock.get(), flags) == -EBUSY);
    CHECK(mask_now() == before);
    CHECK(owner_of(lock, cpu) == other.id());
}

TEST_CASE("every irqsave call excludes other threads, from their CPU and from another")
{
    lock_memory lock;
    int cpu = given_cpus.back();
    long plain = 0;
    const long rounds = 20'000 / scale;
    long taken[4] = {};
    std::vector<std::thread> threads;
    for (size_t index = 0; index < 4; ++index)
        threads.emplace_back([&, index] {
            const way &mine = ways[index];
            bool local = index % 2;
            pinned here(local || index == 2 ? cpu : given_cpus.front());
            for (long i = 0; i < rounds; ++i) {
                unsigned long flags;
                int at = mine.take(lock.get(), flags, cpu);
                if (at != cpu) {
                    if (at >= 0) // moved: its CPU went offline
                        mine.release(lock.get(), flags, at);
                    continue;
                }
                ++plain;
                ++taken[index];
                mine.release(lock.get(), flags, at);
            }
        });
    for (std::thread &each : threads)
        each.join();
    CHECK(plain == taken[0] + taken[1] + taken[2] + taken[3]);
    CHECK(taken[0] == rounds);
    CHECK(taken[1] == rounds);
    CHECK(taken[3] > 0);
    CHECK(free_everywhere(lock));
}

namespace {

sigjmp_buf out_of_fault;

void leave_fault(int)
{
    siglongjmp(out_of_fault, 1);
}

} // namespace

TEST_CASE("a fault inside an irqsave section reaches its handler")
{
    lock_memory lock;
    handled_by handler(SIGFPE, leave_fault);
    const unsigned long before = mask_now();
    // volatile: they are looked at behind the jump.
    volatile int taken = -1;
    volatile unsigned long saved = 0;
    if (sigsetjmp(out_of_fault, 1) == 0) {
        unsigned long flags;
        taken = pw_lock_local_irqsave(lock.get(), flags);
        saved = flags;
        syscall(SYS_tgkill, getpid(), gettid(), SIGFPE); // delivered at once, as a fault would be
        FAIL("blocked");
    }
    REQUIRE(taken >= 0);
    CHECK(owner_of(lock, taken) == my_id());
    pw_unlock_local_irqrestore(lock.get(), saved, taken);
    CHECK(mask_now() == before);
}

TEST_CASE("another thread may change the process's group while a thread is in an irqsave section")
{
    // The C library asks every thread by a signal and waits for all of them.
    lock_memory lock;
    std::atomic<bool> inside{false}, over{false};
    std::thread section([&] {
        unsigned long flags;
        int cpu = pw_lock_local_irqsave(lock.get(), flags);
        inside = true;
        eventually([&] { return over.load(); });
        pw_unlock_local_irqrestore(lock.get(), flags, cpu);
    });
    REQUIRE(eventually([&] { return inside.load(); }));
    CHECK(setresgid(static_cast<gid_t>(-1), getegid(), static_cast<gid_t>(-1)) == 0);
    CHECK_FALSE(over);
    over = true;
    section.join();
}

TEST_CASE("a storm of timer signals whose handler takes the lock that its thread takes")
{
    if (PW_DETAIL_TSAN) {
        WARN("skipped: ThreadSanitizer puts signals off until its thread blocks");
        return;
    }
    lock_memory lock;
    int cpu = given_cpus.back();
    pinned here(cpu);
    volatile long guarded = 0;
    handled_by handler(SIGRTMIN, take_it_and_arm);
    watch(lock, cpu, &guarded);
    sigevent event = {};
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = SIGRTMIN;
    event._sigev_un._tid = gettid();
    REQUIRE(timer_create(CLOCK_MONOTONIC, &event, &storm_timer) == 0);
    arm_storm();
    const long signals = 100'000 / scale;
    long acquired = 0;
    auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(120);
    while (in_handler.handled.load(std::memory_order_relaxed) < signals &&
           std::chrono::steady_clock::now() < limit) {
        for (const way &each : ways) {
            unsigned long flags;
            int taken = each.take(lock.get(), flags, cpu);
            if (taken < 0)
                continue;
            guarded = guarded + 1;
            ++acquired;
            each.release(lock.get(), flags, taken);
        }
    }
    timer_delete(storm_timer);
    CHECK(in_handler.handled >= signals);
    CHECK(guarded == acquired + in_handler.handled);
    CHECK(acquired > 0);
    CHECK(free_everywhere(lock));
}

TEST_CASE("the assertion that a lock is held is content with its holder, wherever that runs")
{
    lock_memory lock;
    for (int cpu : given_cpus) {
        pw_lock(lock.get(), cpu);
        for (int from : given_cpus) {
            pinned here(from);
            pw_lockdep_assert_held(lock.get(), cpu);
        }
        pw_unlock(lock.get(), cpu);
    }
    std::thread([&] { // whose first use of a lock this is
        int cpu = pw_lock_local(lock.get());
        pw_lockdep_assert_held(lock.get(), cpu);
        pw_unlock_local(lock.get(), cpu);
    })
        .join();
    CHECK(free_everywhere(lock));
}

TEST_CASE("dies: the assertion on a free lock", "[.]")
{
    lock_memory lock;
    int cpu = given_cpus.back();
    expect_death(lock, cpu);
    pw_lockdep_assert_held(lock.get(), cpu);
}

TEST_CASE("dies: the assertion on another CPU's lock than the one that is held", "[.]")
{
    lock_memory lock;
    int cpu = given_cpus.back(), other = cpu == 0 ? pw_nr_cpus() - 1 : cpu - 1;
    expect_death(lock, other);
    pw_lock(lock.get(), cpu);
    if (other != cpu)
        pw_lockdep_assert_held(lock.get(), other);
    pw_unlock(lock.get(), cpu);
    pw_lockdep_assert_held(lock.get(), other);
}

TEST_CASE("dies: the assertion on a lock that another thread holds", "[.]")
{
    lock_memory lock;
    int cpu = given_cpus.back();
    holder other(lock, cpu, cpu);
    expect_death(lock, cpu);
    fprintf(stderr, "%u\n", other.id());
    pw_lockdep_assert_held(lock.get(), cpu);
}

TEST_CASE(
    "the assertion that a lock is held aborts with one line that names the lock, the CPU and the holder")
{
    for (const char *each : {"dies: the assertion on a free lock",
                             "dies: the assertion on another CPU's lock than the one that is held"}) {
        last_words words(aborts(each));
        int cpu = given_cpus.back();
        if (std::string(each).find("another") != std::string::npos)
            cpu = cpu == 0 ? pw_nr_cpus() - 1 : cpu - 1;
        CHECK(words.line == std::string("pwlocks: pw_lockdep_assert_held: lock ") + words.lock + " of cpu " +
                                std::to_string(cpu) + ": thread " + std::to_string(words.pid) +
                                " does not hold it: nobody does\n");
    }
    last_words words(aborts("dies: the assertion on a lock that another thread holds"));
    size_t end = words.line.find('\n');
    REQUIRE(end != std::string::npos);
    CHECK(words.line.substr(end + 1) == std::string("pwlocks: pw_lockdep_assert_held: lock ") + words.lock +
                                            " of cpu " + std::to_string(given_cpus.back()) + ": thread " +
                                            std::to_string(words.pid) + " does not hold it: thread " +
                                            words.line.substr(0, end) + " does\n");
}
