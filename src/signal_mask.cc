// SPDX-License-Identifier: MIT
// Blocking signals, for the irqsave variants of locks. System calls without the C library in between: its
// pthread_sigmask() would take a sigset_t of 1,024 bits to carry the kernel's 64.
#include <cerrno>
#include <csignal>
#include <sys/syscall.h>
#include <unistd.h>

#include <pwlocks/lock.h>

namespace {

static_assert(sizeof(unsigned long) == 8, "flags hold the kernel's mask");

constexpr unsigned long bit(int number)
{
    return 1ul << (number - 1);
}

// Raised by the thread's own instruction: blocked, they would kill the process. And the two that the C
// library's cancellation and its set*id() for all threads are made of, which have no names: blocked, setuid()
// in another thread would wait for us.
constexpr unsigned long left_open =
    bit(SIGSEGV) | bit(SIGBUS) | bit(SIGILL) | bit(SIGFPE) | bit(SIGTRAP) | bit(SIGSYS) | bit(32) | bit(33);

// rt_sigprocmask(2). Cannot fail with these arguments.
void set_mask(unsigned long how, const unsigned long *set, unsigned long *before)
{
#if defined(__x86_64__)
    register unsigned long size __asm__("r10") = sizeof *set;
    unsigned long result = SYS_rt_sigprocmask;
    __asm__ volatile("syscall"
                     : "+a"(result)
                     : "D"(how), "S"(set), "d"(before), "r"(size)
                     : "rcx", "r11", "memory", "cc");
#else
    int saved = errno;
    syscall(SYS_rt_sigprocmask, how, set, before, sizeof *set);
    errno = saved;
#endif
}

} // namespace

unsigned long pw_local_irq_save(void)
{
    constexpr unsigned long blocked = ~left_open;
    unsigned long before = 0;
    set_mask(SIG_BLOCK, &blocked, &before);
    return before;
}

void pw_local_irq_restore(unsigned long flags)
{
    set_mask(SIG_SETMASK, &flags, nullptr);
}
