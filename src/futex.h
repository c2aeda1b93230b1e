// SPDX-License-Identifier: MIT
// The futex system call on process-private words, and the short pause of a spinning thread.
#pragma once

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

namespace pw::detail {

// Sleeps while *word == expected; `timeout` is relative, null is for ever. Returns on a wake-up, a changed word, the timeout
// or a signal: callers look again.
inline void futex_wait(const void *word, uint32_t expected, const timespec *timeout = nullptr)
{
    int saved = errno;
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, timeout, nullptr, 0);
    errno = saved;
}

// The same until a time of CLOCK_MONOTONIC, in nanoseconds.
inline void futex_wait_until(const void *word, uint32_t expected, uint64_t until)
{
    int saved = errno;
    timespec time = {static_cast<time_t>(until / 1'000'000'000), static_cast<long>(until % 1'000'000'000)};
    syscall(SYS_futex, word, FUTEX_WAIT_BITSET_PRIVATE, expected, &time, nullptr, FUTEX_BITSET_MATCH_ANY);
    errno = saved;
}

// Wakes up to `count` sleepers. The word is only an address to the kernel: it may be gone by now.
inline void futex_wake(const void *word, int count)
{
    int saved = errno;
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, nullptr, nullptr, 0);
    errno = saved;
}

inline void cpu_relax()
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield" ::: "memory");
#else
    std::atomic_signal_fence(std::memory_order_seq_cst);
#endif
}

// What the protocol headers wait with, as atomics.h is what they count with: a policy, which models replace.
struct native_futex {
    static void wait(const void *word, uint32_t expected) { futex_wait(word, expected); }
    static void wake(const void *word) { futex_wake(word, 1); }
    static void relax() { cpu_relax(); }
};

inline void sleep_ns(long ns)
{
    int saved = errno;
    timespec time = {ns / 1'000'000'000, ns % 1'000'000'000};
    syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &time, nullptr); // not nanosleep(): no cancellation point
    errno = saved;
}

// Waiting for another thread that is about to do something short, but may have been preempted, on this very CPU and
// with a lower priority than ours. So: spin briefly, then sleep, longer each time, and never spin again.
class backoff {
  public:
    void pause()
    {
        if (spins_ < spin_limit) {
            ++spins_;
            cpu_relax();
            return;
        }
        sleep_ns(sleep_);
        if (sleep_ < longest_sleep)
            sleep_ *= 2;
    }

  private:
    static constexpr int spin_limit = 64;
    static constexpr long longest_sleep = 1'000'000; // 1 ms
    int spins_ = 0;
    long sleep_ = 10'000; // 10 us
};

} // namespace pw::detail
