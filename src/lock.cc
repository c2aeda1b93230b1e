// SPDX-License-Identifier: MIT
// Locks: the contended path, and everything else that is not a free lock of our own CPU. Who writes the
// words, and what may run at the same time, is in include/pwlocks/lock.h; doc/MEMORY-ORDER.md, "Locks".
#include "lock.h"

#include "callers.h"
#include "clock.h"
#include "futex.h"
#include "inject.h"
#include "lock_events.h"
#include "report.h"
#include "strategy.h"
#include "symbol.h"
#include "topology.h"

#include <algorithm>
#include <csignal>
#include <linux/membarrier.h>
#include <sched.h>
#include <unistd.h>

#include <pwlocks/lock.h>

// glibc 2.35 and later; null elsewhere, and then there is no registration to use.
extern "C" {
extern const unsigned int __rseq_size __attribute__((weak));
extern const ptrdiff_t __rseq_offset __attribute__((weak));
}

struct pw_detail_globals pw_detail_globals = {};
__thread struct pw_detail_thread pw_detail_thread __attribute__((tls_model("initial-exec"))) = {};

namespace pw::detail {
namespace {

// Written once, at load or by the first lock that comes earlier; both find the same.
enum : uint32_t { unknown, usable, unusable };
constinit std::atomic<uint32_t> rseq_state{unknown};

bool find_rseq()
{
#if PW_DETAIL_HAVE_RSEQ && !PW_DETAIL_TSAN
    if (!&__rseq_size || !&__rseq_offset || __rseq_size == 0 || __rseq_offset > INT32_MAX ||
        __rseq_offset < INT32_MIN)
        return false;
    pw_detail_globals.rseq_offset = static_cast<int32_t>(__rseq_offset);
    if (pw_detail_rseq_cpu() < 0)
        return false;
    // Another CPU's lock is taken with membarrier's help (Linux 5.10);
    // without it every locker must use the atomic method.
    return syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ, 0, 0) == 0;
#else
    return false; // no sequence for this architecture, or ThreadSanitizer, which cannot see it
#endif
}

bool rseq_usable()
{
    uint32_t state =
        rseq_state.load(std::memory_order_acquire); // pairs with the store below: publishes the offset
    if (state == unknown) {
        state = find_rseq() ? usable : unusable;
        rseq_state.store(state, std::memory_order_release);
    }
    return state == usable;
}

// The first lock taken fixes the strategy and with it the method, for the life of the process.
uint32_t decide_mode()
{
    uint32_t mode = PW_DETAIL_MODE_SLOW;
    pw_strategy_t strategy = use_strategy();
    if (rseq_usable())
        mode = strategy == PW_STRATEGY_LOCK ? PW_DETAIL_MODE_LOCK : PW_DETAIL_MODE_QUEUE;
    // Release: pairs with nothing in the inlines, which need the offset only: it was stored by this thread,
    // or before rseq_state by another; on architectures that reorder loads the inline code depends on the
    // mode by a branch and reads the same line.
    __atomic_store_n(&pw_detail_globals.lock_mode, mode, __ATOMIC_RELEASE);
    return mode;
}

uint32_t mode_in_force()
{
    uint32_t mode = pw_detail_mode();
    return pw_likely(mode != PW_DETAIL_MODE_UNSET) ? mode : decide_mode();
}

uint32_t my_tid()
{
    if (pw_unlikely(!pw_detail_thread.tid))
        pw_detail_thread.tid = static_cast<uint32_t>(gettid());
    return pw_detail_thread.tid;
}

// Everything that goes out of line begins here: from now on this thread need not. Returns its id.
uint32_t know_thread()
{
    uint32_t mode = mode_in_force(), tid = my_tid();
    pw_detail_thread.queue_tid = mode == PW_DETAIL_MODE_QUEUE ? tid : 0;
    pw_detail_thread.lock_tid = mode == PW_DETAIL_MODE_LOCK ? tid : 0;
    return tid;
}

std::atomic_ref<uint32_t> owner_of(pw_lock_t *instance)
{
    return std::atomic_ref(instance->owner);
}

// A lock leaves errno alone, as its users expect: a signal handler that tries one, a caller between a failed
// call and its message.
class errno_kept {
  public:
    errno_kept() = default;
    ~errno_kept() { errno = saved_; }
    errno_kept(const errno_kept &) = delete;
    errno_kept &operator=(const errno_kept &) = delete;

  private:
    int saved_ = errno;
};

// Interrupts every restartable sequence that runs on `cpu`, so that it starts again, and is a full barrier
// there and here.
void restart_sequences(int cpu)
{
    errno_kept here;
    if (syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ, MEMBARRIER_CMD_FLAG_CPU, cpu) == 0)
        return;
    // Linux before 5.10 knows no single CPU.
    if (syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ, 0, 0) != 0)
        die("lock: membarrier refused after it was registered: errno %d", errno);
}

// Queue strategy, a CPU that we are not on. A sequence there may have read owner as 0 before our
// compare-and-swap and store its own id behind it. So: 1. we swap; 2. every sequence of that CPU that has not
// stored yet starts again and finds us; 3. one that had stored is seen now. Whoever is in owner then holds
// the lock. Without step 2: owner is read as ours, and overwritten afterwards.
bool acquire_remote(pw_lock_t *instance, int cpu, uint32_t tid)
{
    uint32_t expected = 0;
    if (!owner_of(instance).compare_exchange_strong(expected, tid, std::memory_order_acquire,
                                                    std::memory_order_relaxed))
        return false;
    PW_INJECT();
    restart_sequences(cpu);
    count_lock_event(cpu, &stat::lock_events::remote);
    // Acquire: as in the compare-and-swap; the barrier has ordered it.
    if (owner_of(instance).load(std::memory_order_acquire) == tid)
        return true;
    count_lock_event(cpu, &stat::lock_events::lost_races);
    return false;
}

// How often a sequence that was interrupted starts again. Interrupted each time, as by a debugger that steps
// through it, it gives way to the remote acquire, which is right on the own CPU too and has no sequence.
constexpr int most_restarts = 16;

// One attempt at a given instance, by the process's method.
bool acquire_once(pw_lock_t *instance, int cpu, uint32_t tid)
{
    if (mode_in_force() != PW_DETAIL_MODE_QUEUE)
        return pw_detail_cas_acquire(instance, tid);
    for (int restarts = 0; restarts < most_restarts && pw_detail_rseq_cpu() == cpu; ++restarts) {
        int result = pw_detail_rseq_acquire_on(&instance->owner, cpu, tid);
        if (result == 0)
            return true;
        // Relaxed: only an attempt is saved.
        if (result == PW_DETAIL_RSEQ_REFUSED && owner_of(instance).load(std::memory_order_relaxed) != 0)
            return false;
    }
    return owner_of(instance).load(std::memory_order_relaxed) == 0 && acquire_remote(instance, cpu, tid);
}

// The same for the CPU that we are on. The CPU, or negative if its instance is held.
int acquire_local_once(pw_lock_t *lock, uint32_t tid)
{
    if (mode_in_force() == PW_DETAIL_MODE_QUEUE)
        for (int restarts = 0; restarts < most_restarts; ++restarts)
            if (int cpu = pw_detail_rseq_acquire_local(&lock->owner, tid); cpu != PW_DETAIL_RSEQ_ABORTED)
                return cpu;
    int cpu = pw_this_cpu();
    return acquire_once(pw_per_cpu_ptr(lock, cpu), cpu, tid) ? cpu : -1;
}

void check_range(const char *call, int cpu)
{
    if (cpu < 0 || cpu >= possible_cpus())
        die("%s: cpu %d is out of range: 0 to %d", call, cpu, possible_cpus() - 1);
}

[[noreturn]] void die_self_deadlock(const pw_lock_t *instance, int cpu)
{
    const void *address = instance;
    if (pw_func_t function = this_thread.function)
        die("lock %p of cpu %d: self-deadlock: thread %u holds it already, in work function %s", address, cpu,
            pw_detail_thread.tid, symbol_name(function).text());
    die("lock %p of cpu %d: self-deadlock: thread %u holds it already", address, cpu, pw_detail_thread.tid);
}

// Says, once for the same holder and lock, that nobody is going to release it.
void report_if_gone(pw_lock_t *instance, int cpu, uint32_t holder)
{
    if (tgkill(getpid(), static_cast<pid_t>(holder), 0) == 0 || errno != ESRCH)
        return;
    // It may have released, and then ended. Relaxed: the kernel's answer came through its own barriers.
    if (owner_of(instance).load(std::memory_order_relaxed) != holder)
        return;
    static constinit std::atomic<uint64_t> last{0};
    uint64_t this_case = reinterpret_cast<uintptr_t>(instance) << 22 ^ holder;
    if (last.exchange(this_case, std::memory_order_relaxed) !=
        this_case) // relaxed: only who prints is decided
        report("lock %p of cpu %d: held by thread %u, which is gone: it ended, or stayed behind in a fork's "
               "parent; waiting",
               static_cast<void *>(instance), cpu, holder);
}

// Waiting for a held instance. Spins for some two microseconds, once, where the holder can be running at the
// same time; never under queue, where it shares our CPU or is about to leave. Then sleeps, always with a
// timeout: the release has no full barrier between its store and its look at `waiters`, so it may miss us.
// Sleeping also lets a holder of lower priority run.
class contended_wait {
  public:
    contended_wait() = default;
    // The lock is ours.
    ~contended_wait()
    {
        if (counted_)
            count_lock_wait(counted_for_, elapsed(since_, now_ns()));
    }
    contended_wait(const contended_wait &) = delete;
    contended_wait &operator=(const contended_wait &) = delete;

    void pause(pw_lock_t *instance, int cpu, uint32_t tid)
    {
        uint32_t holder =
            owner_of(instance).load(std::memory_order_relaxed); // relaxed: the kernel compares again
        if (holder == tid)
            die_self_deadlock(instance, cpu);
        if (!counted_ && holder != 0) {
            counted_ = true;
            counted_for_ = cpu;
            since_ = now_ns();
            count_lock_event(cpu, &stat::lock_events::contended);
        }
        while (holder != 0 && spins_ > 0) {
            --spins_;
            cpu_relax();
            holder = owner_of(instance).load(std::memory_order_relaxed);
        }
        if (holder == 0)
            return;
        std::atomic_ref waiters(instance->waiters);
        // Sequentially consistent: a full barrier before the kernel's look at owner narrows the releaser's
        // window.
        errno_kept here;
        waiters.fetch_add(1, std::memory_order_seq_cst);
        timespec timeout = {0, timeout_};
        futex_wait(&instance->owner, holder, &timeout);
        waiters.fetch_sub(1, std::memory_order_relaxed); // relaxed: a hint to releasers
        if (timeout_ == longest_timeout && holder == last_holder_)
            report_if_gone(instance, cpu, holder);
        last_holder_ = holder;
        if (timeout_ < longest_timeout)
            timeout_ = std::min(2 * timeout_, longest_timeout);
    }

  private:
    static constexpr int spin_limit = 50;
    static constexpr long longest_timeout = 10'000'000; // 10 ms
    bool counted_ = false;
    int counted_for_ = 0;
    uint64_t since_ = 0;
    uint32_t last_holder_ = 0;
    int spins_ = pw_detail_mode() != PW_DETAIL_MODE_QUEUE && possible_cpus() > 1 ? spin_limit : 0;
    long timeout_ = 200'000; // 0.2 ms
};

} // namespace

void prepare_locks()
{
    my_tid();
    rseq_usable();
}

stat::lock_method lock_method()
{
    return rseq_usable() && pw_strategy() == PW_STRATEGY_QUEUE ? stat::method_rseq : stat::method_atomic;
}

void fix_lock_method()
{
    mode_in_force();
}

void lock_after_fork_child()
{
    pw_detail_thread = {};
    if (rseq_usable())
        syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ, 0, 0);
}

} // namespace pw::detail

using namespace pw::detail;

void pw_lock_init(pw_lock_t *lock)
{
    for (int cpu = 0; cpu < possible_cpus(); ++cpu) {
        pw_lock_t *instance = pw_per_cpu_ptr(lock, cpu);
        // Reading first: CPUs that nobody uses get no memory for their instance.
        if (instance->owner || instance->waiters)
            *instance = {};
    }
}

int pw_lock_local_slow(pw_lock_t *lock)
{
    uint32_t tid = know_thread();
    contended_wait wait;
    for (;;) {
        int cpu = acquire_local_once(lock, tid);
        if (cpu >= 0)
            return cpu;
        cpu = pw_this_cpu();
        wait.pause(pw_per_cpu_ptr(lock, cpu), cpu, tid);
    }
}

int pw_trylock_local_slow(pw_lock_t *lock)
{
    int cpu = acquire_local_once(lock, know_thread());
    return cpu >= 0 ? cpu : -EBUSY;
}

void pw_lock_slow(pw_lock_t *lock, int cpu)
{
    check_range("pw_lock", cpu);
    uint32_t tid = know_thread();
    pw_lock_t *instance = pw_per_cpu_ptr(lock, cpu);
    contended_wait wait;
    while (!acquire_once(instance, cpu, tid))
        wait.pause(instance, cpu, tid);
}

bool pw_trylock_slow(pw_lock_t *lock, int cpu)
{
    check_range("pw_trylock", cpu);
    return acquire_once(pw_per_cpu_ptr(lock, cpu), cpu, know_thread());
}

void pw_trylock_init(pw_trylock_t *lock)
{
    pw_lock_init(lock);
}

void pw_lockdep_assert_held_slow(pw_lock_t *lock, int cpu)
{
    pw_lock_t *instance = pw_per_cpu_ptr(lock, cpu);
    uint32_t holder = owner_of(instance).load(std::memory_order_relaxed); // relaxed: only our own id matters
    const void *address = instance;
    if (holder == my_tid())
        return;
    if (holder == 0)
        die("pw_lockdep_assert_held: lock %p of cpu %d: thread %u does not hold it: nobody does", address,
            cpu, my_tid());
    die("pw_lockdep_assert_held: lock %p of cpu %d: thread %u does not hold it: thread %u does", address, cpu,
        my_tid(), holder);
}

void pw_unlock_slow(pw_lock_t *lock, int cpu)
{
    futex_wake(&pw_per_cpu_ptr(lock, cpu)->owner, 1);
}

int pw_this_cpu_slow(void)
{
    if (rseq_usable())
        return pw_detail_rseq_cpu();
    return sched_getcpu();
}
