// SPDX-License-Identifier: MIT
// Work done by whoever needs it first, before constructors too. Shared: the state word, written by the thread
// that does the work; and what the work writes, read-only afterwards.
#pragma once

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <ctime>

namespace pw::detail {

class once {
  public:
    // Runs the function unless it ran; returns when it has finished, whoever runs it. Later callers wait
    // asleep: the first may be of lower priority and share their CPU. All signals are blocked meanwhile, so
    // that no handler can wait for the thread that it interrupted. errno stays. The function must not come
    // back here.
    template <typename Function>
    void run(Function function)
    {
        // acquire: pairs with the release below; everything that the function wrote is visible
        if (state_.load(std::memory_order_acquire) == done)
            return;
        int saved_errno = errno;
        sigset_t all, before;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        uint32_t expected = unset;
        // relaxed: the winner needs nothing of others, the losers look again below
        if (state_.compare_exchange_strong(expected, running, std::memory_order_relaxed)) {
            function();
            state_.store(done, std::memory_order_release); // release: pairs with the two acquires
        }
        pthread_sigmask(SIG_SETMASK, &before, nullptr);
        const timespec moment = {0, 100'000};
        while (state_.load(std::memory_order_acquire) != done)
            nanosleep(&moment, nullptr);
        errno = saved_errno;
    }

  private:
    enum : uint32_t { unset, running, done };
    std::atomic<uint32_t> state_{unset};
};

} // namespace pw::detail
