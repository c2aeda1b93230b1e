/* SPDX-License-Identifier: MIT */
/* Per-CPU locks: the uncontended path, inline.
 *
 * A lock is a word in per-CPU memory that holds the kernel thread id of its holder, 0 when free. Who writes
 * it:
 *
 *   owner    0 -> tid    the acquirer: a restartable sequence on the lock's own CPU (queue strategy), an
 * atomic compare-and-swap from anywhere (lock strategy, and queue strategy from another CPU) tid -> 0    the
 * holder, a plain releasing store, on any CPU waiters             waiting threads, atomic count; the holder
 * only reads it
 *
 *   may run at once           local acquire   remote acquire   release   wait
 *   local acquire (same CPU)  no: rseq        yes (1)          yes       yes
 *   remote acquire            yes (1)         yes: CAS         yes       yes
 *   (1) queue strategy: membarrier(RSEQ) and a second look decide; see src/lock.cc and doc/MEMORY-ORDER.md.
 */
#ifndef PWLOCKS_LOCK_H
#define PWLOCKS_LOCK_H

#include "base.h"
#include "cpu.h"
#include "percpu.h"

PW_BEGIN_DECLS

/** A per-CPU lock. Lives in per-CPU memory, alone or inside a structure; zeroed memory is an unlocked lock,
 * also before any constructor has run. Every argument `lock` below is a per-CPU pointer. Fields are private.
 */
typedef struct {
    uint32_t owner;   /* kernel thread id of the holder, 0 when free; the futex word of waiters */
    uint32_t waiters; /* threads waiting in the slow path */
} pw_lock_t;
PW_STATIC_ASSERT(sizeof(pw_lock_t) == 8 && offsetof(pw_lock_t, waiters) == 4, "ABI");

/** The same, as the kernel's pwlocks name a lock that is also tried. */
typedef pw_lock_t pw_trylock_t;

#if PW_DETAIL_TSAN
/* ThreadSanitizer sees neither inline assembly nor code outside its build: tell it the hand-over edges. */
void __tsan_acquire(void *addr);
void __tsan_release(void *addr);
#define pw_detail_tsan_acquire(addr) __tsan_acquire(addr)
#define pw_detail_tsan_release(addr) __tsan_release(addr)
#else
#define pw_detail_tsan_acquire(addr) ((void)0)
#define pw_detail_tsan_release(addr) ((void)0)
#endif

PW_EXPORT int pw_lock_local_slow(pw_lock_t *lock);
PW_EXPORT int pw_trylock_local_slow(pw_lock_t *lock);
PW_EXPORT void pw_lock_slow(pw_lock_t *lock, int cpu);
PW_EXPORT bool pw_trylock_slow(pw_lock_t *lock, int cpu);
PW_EXPORT void pw_unlock_slow(pw_lock_t *lock, int cpu);
PW_EXPORT void pw_lockdep_assert_held_slow(pw_lock_t *lock, int cpu);

/* Takes an instance with a compare-and-swap, the lock strategy's way. A compare-and-swap costs what the
 * exchange costs (within 3 %), and `owner` never names anybody but the holder. */
PW_INLINE bool pw_detail_cas_acquire(pw_lock_t *instance, uint32_t tid)
{
    uint32_t free_word = 0;
    /* acquire: pairs with the release in pw_unlock(); the holder before us has left */
    return __atomic_compare_exchange_n(&instance->owner, &free_word, tid, 0, __ATOMIC_ACQUIRE,
                                       __ATOMIC_RELAXED);
}

/** Initializes every CPU's instance of a lock as unlocked.
 *
 * @lock: per-CPU pointer. Memory fresh from pw_alloc_percpu() needs no initialization.
 * Any thread, while nobody uses the lock. Orders nothing. */
PW_EXPORT void pw_lock_init(pw_lock_t *lock);

/** The same for a lock that is also tried. */
PW_EXPORT void pw_trylock_init(pw_trylock_t *lock);

/** Acquires the lock of the CPU that the caller runs on, waiting if it is held.
 *
 * @lock: per-CPU pointer.
 * Returns the CPU whose instance is now held, 0 to pw_nr_cpus() - 1; it stays that CPU's lock, and selects
 * the data, even if the thread migrates: pw_per_cpu_ptr(data, cpu). Aborts with one line if this thread holds
 * that instance already. Any thread, under both strategies; may sleep; not from a signal handler that may
 * interrupt a holder. Acquire: everything that earlier holders of this instance wrote is visible. */
PW_INLINE int pw_lock_local(pw_lock_t *lock)
{
    uint32_t tid = pw_detail_thread.queue_tid;
    int cpu;
    if (PW_DETAIL_HAVE_RSEQ && pw_likely(tid)) {
        cpu = pw_detail_rseq_acquire_local(&lock->owner, tid);
        if (pw_unlikely(cpu < 0))
            cpu = pw_lock_local_slow(lock);
    } else if (PW_DETAIL_HAVE_RSEQ && pw_likely(tid = pw_detail_thread.lock_tid)) {
        cpu = pw_detail_rseq_cpu();
        if (pw_unlikely(!pw_detail_cas_acquire(pw_per_cpu_ptr(lock, cpu), tid)))
            cpu = pw_lock_local_slow(lock);
    } else {
        cpu = pw_lock_local_slow(lock);
    }
    pw_detail_tsan_acquire(pw_per_cpu_ptr(lock, cpu));
    return cpu;
}

/** Acquires the lock of the CPU that the caller runs on, if it is free.
 *
 * Returns that CPU as pw_lock_local() does, or -EBUSY if its instance is held.
 * Any thread, under both strategies; never sleeps; safe in a signal handler. Acquire if it returns a CPU. */
PW_INLINE int pw_trylock_local(pw_lock_t *lock)
{
    uint32_t tid = pw_detail_thread.queue_tid;
    int cpu;
    if (PW_DETAIL_HAVE_RSEQ && pw_likely(tid)) {
        cpu = pw_detail_rseq_acquire_local(&lock->owner, tid);
        if (pw_unlikely(cpu == PW_DETAIL_RSEQ_ABORTED))
            cpu = pw_trylock_local_slow(lock);
        if (pw_unlikely(cpu < 0))
            return -EBUSY;
    } else if (PW_DETAIL_HAVE_RSEQ && pw_likely(tid = pw_detail_thread.lock_tid)) {
        cpu = pw_detail_rseq_cpu();
        if (!pw_detail_cas_acquire(pw_per_cpu_ptr(lock, cpu), tid))
            return -EBUSY;
    } else {
        cpu = pw_trylock_local_slow(lock);
        if (cpu < 0)
            return -EBUSY;
    }
    pw_detail_tsan_acquire(pw_per_cpu_ptr(lock, cpu));
    return cpu;
}

/** Acquires the lock of a given CPU, waiting if it is held.
 *
 * @lock: per-CPU pointer. @cpu: 0 to pw_nr_cpus() - 1, not checked; it need not be online or have a worker.
 * Right from any CPU under both strategies. Under queue, another CPU's lock costs a membarrier (some 10 us,
 * and an interrupt there): it is for rare cases, programs use pw_queue_on(). Aborts with one line if this
 * thread holds it already. Any thread; may sleep; not from a signal handler that may interrupt a holder.
 * Acquire. */
PW_INLINE void pw_lock(pw_lock_t *lock, int cpu)
{
    pw_lock_t *instance = pw_per_cpu_ptr(lock, cpu);
    uint32_t tid = pw_detail_thread.queue_tid;
    if (PW_DETAIL_HAVE_RSEQ && pw_likely(tid)) {
        if (pw_unlikely(pw_detail_rseq_acquire_on(&instance->owner, cpu, tid) < 0))
            pw_lock_slow(lock, cpu);
    } else if (PW_DETAIL_HAVE_RSEQ && pw_likely(tid = pw_detail_thread.lock_tid)) {
        if (pw_unlikely(!pw_detail_cas_acquire(instance, tid)))
            pw_lock_slow(lock, cpu);
    } else {
        pw_lock_slow(lock, cpu);
    }
    pw_detail_tsan_acquire(instance);
}

/** Acquires the lock of a given CPU, if it is free.
 *
 * @cpu: as in pw_lock().
 * Returns true if the lock is now held. Under queue, false may also mean that a thread of that CPU took it at
 * the same moment. Any thread; never sleeps; safe in a signal handler. Acquire if it returns true. */
PW_INLINE bool pw_trylock(pw_lock_t *lock, int cpu)
{
    pw_lock_t *instance = pw_per_cpu_ptr(lock, cpu);
    uint32_t tid = pw_detail_thread.queue_tid;
    bool taken;
    if (PW_DETAIL_HAVE_RSEQ && pw_likely(tid))
        taken = pw_likely(pw_detail_rseq_acquire_on(&instance->owner, cpu, tid) == 0) ||
                pw_trylock_slow(lock, cpu);
    else if (PW_DETAIL_HAVE_RSEQ && pw_likely(tid = pw_detail_thread.lock_tid))
        taken = pw_detail_cas_acquire(instance, tid);
    else
        taken = pw_trylock_slow(lock, cpu);
    if (taken)
        pw_detail_tsan_acquire(instance);
    return taken;
}

/** Releases a lock taken with pw_lock() or pw_trylock().
 *
 * @cpu: the CPU that was locked. The caller holds it, and may run on any CPU by now.
 * Any thread that holds it; never sleeps; safe in a signal handler.
 * Release: what the holder wrote is visible to the next holder. */
PW_INLINE void pw_unlock(pw_lock_t *lock, int cpu)
{
    pw_lock_t *instance = pw_per_cpu_ptr(lock, cpu);
    pw_detail_tsan_release(instance);
    /* release: pairs with the acquiring load or compare-and-swap of owner; publishes the holder's writes */
    __atomic_store_n(&instance->owner, 0, __ATOMIC_RELEASE);
    /* relaxed, and no full barrier before it: a waiter that this load misses wakes by its timeout */
    if (pw_unlikely(__atomic_load_n(&instance->waiters, __ATOMIC_RELAXED)))
        pw_unlock_slow(lock, cpu);
}

/** Releases the lock that pw_lock_local() or pw_trylock_local() took.
 *
 * @cpu: what that call returned. Otherwise as pw_unlock(). */
PW_INLINE void pw_unlock_local(pw_lock_t *lock, int cpu)
{
    pw_unlock(lock, cpu);
}

/** Blocks the caller's signals: what local_irq_save() is to interrupts in the kernel.
 *
 * Returns the signal mask as it was, for pw_local_irq_restore(): the kernel's 64 bits, signal n in bit n - 1.
 * Sections nest. What a fault of the thread itself raises stays open (SIGSEGV, SIGBUS, SIGILL, SIGFPE,
 * SIGTRAP, SIGSYS), and so do the two signals that the C library keeps for itself. Any thread, also in a
 * signal handler; one system call. Orders nothing. */
PW_EXPORT unsigned long pw_local_irq_save(void);

/** Sets the caller's signal mask to what pw_local_irq_save() returned; signals that came meanwhile are
 * delivered now. */
PW_EXPORT void pw_local_irq_restore(unsigned long flags);

/* The halves of the macros below. */
PW_INLINE void pw_detail_lock_irqsave(pw_lock_t *lock, unsigned long *flags, int cpu)
{
    *flags = pw_local_irq_save();
    pw_lock(lock, cpu);
}

PW_INLINE int pw_detail_lock_local_irqsave(pw_lock_t *lock, unsigned long *flags)
{
    *flags = pw_local_irq_save();
    return pw_lock_local(lock);
}

PW_INLINE bool pw_detail_trylock_irqsave(pw_lock_t *lock, unsigned long *flags, int cpu)
{
    *flags = pw_local_irq_save();
    if (pw_trylock(lock, cpu))
        return true;
    pw_local_irq_restore(*flags);
    return false;
}

PW_INLINE int pw_detail_trylock_local_irqsave(pw_lock_t *lock, unsigned long *flags)
{
    int cpu;
    *flags = pw_local_irq_save();
    cpu = pw_trylock_local(lock);
    if (cpu < 0)
        pw_local_irq_restore(*flags);
    return cpu;
}

/** As pw_lock(), pw_lock_local(), pw_trylock() and pw_trylock_local(), with signals blocked from before the
 * acquisition: a signal handler of this thread cannot come upon a lock that the thread holds, and may take it
 * with a waiting call.
 *
 * @flags: a variable of type unsigned long, assigned; opaque. Give it to the matching unlock, by the same
 * thread. A try that fails leaves the signals as they were. See pw_local_irq_save() for what is blocked. Safe
 * in a signal handler if every other holder of the lock has its signals blocked too. In other languages:
 * pw_local_irq_save(), then the call. */
#define pw_lock_irqsave(lock, flags, cpu) pw_detail_lock_irqsave(lock, &(flags), cpu)
#define pw_lock_local_irqsave(lock, flags) pw_detail_lock_local_irqsave(lock, &(flags))
#define pw_trylock_irqsave(lock, flags, cpu) pw_detail_trylock_irqsave(lock, &(flags), cpu)
#define pw_trylock_local_irqsave(lock, flags) pw_detail_trylock_local_irqsave(lock, &(flags))

/** As pw_unlock(), and then the signal mask is what it was: pending signals are delivered behind the release.
 *
 * @flags: what the acquisition assigned. Safe in a signal handler. */
PW_INLINE void pw_unlock_irqrestore(pw_lock_t *lock, unsigned long flags, int cpu)
{
    pw_unlock(lock, cpu);
    pw_local_irq_restore(flags);
}

/** As pw_unlock_irqrestore(), with the CPU that pw_lock_local_irqsave() or pw_trylock_local_irqsave()
 * returned. */
PW_INLINE void pw_unlock_local_irqrestore(pw_lock_t *lock, unsigned long flags, int cpu)
{
    pw_unlock_irqrestore(lock, flags, cpu);
}

/** Aborts with one line, naming the lock, the CPU and the holder, unless the calling thread holds the lock of
 * `cpu`.
 *
 * @cpu: 0 to pw_nr_cpus() - 1, not checked. In a fork's child what was locked at the fork is held by a thread
 * of the parent. Any thread, also in a signal handler; orders nothing. NDEBUG does not matter. */
PW_INLINE void pw_lockdep_assert_held(pw_lock_t *lock, int cpu)
{
    uint32_t tid = pw_detail_thread.tid;
    /* relaxed: a thread sees its own store, and nobody else stores its id */
    if (pw_unlikely(!tid) ||
        pw_unlikely(__atomic_load_n(&pw_per_cpu_ptr(lock, cpu)->owner, __ATOMIC_RELAXED) != tid))
        pw_lockdep_assert_held_slow(lock, cpu);
}

PW_END_DECLS

#endif
