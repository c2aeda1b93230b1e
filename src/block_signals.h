// SPDX-License-Identifier: MIT
// The signal mask that the library's threads that run functions begin with.
#pragma once

#include <csignal>
#include <initializer_list>

namespace pw::detail {

// While it exists the thread takes no signals but those that its own instructions raise: so do the threads
// that it makes.
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

} // namespace pw::detail
