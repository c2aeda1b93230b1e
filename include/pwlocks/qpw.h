/* SPDX-License-Identifier: MIT */
/* The names of the kernel series' version 3 (QPW), with its signatures, for code that was written against it.
 * Each is the function of lock.h or work.h that it maps to; what that one promises holds here.
 *
 * Version 3's local variants do not say which CPU they locked. So the library remembers it: each thread has a
 * small stack of (lock, CPU), out of line, some nanoseconds a pair. New code uses the names of lock.h. qpw.h
 * is not included by pwlocks.h.
 */
#ifndef PWLOCKS_QPW_H
#define PWLOCKS_QPW_H

#include "base.h"
#include "lock.h"
#include "work.h"

PW_BEGIN_DECLS

typedef pw_lock_t qpw_lock_t;
typedef pw_trylock_t qpw_trylock_t;

/** `struct qpw_struct` is `struct pw_struct`. */
#define qpw_struct pw_struct

/** Initializes an item; see INIT_PW(). */
#define INIT_QPW(qpw, func, cpu) INIT_PW(qpw, func, cpu)

PW_EXPORT void qpw_section_enter_slow(pw_lock_t *lock, int cpu);
PW_EXPORT int qpw_section_leave_slow(pw_lock_t *lock);
PW_EXPORT int qpw_section_cpu_slow(void);
PW_EXPORT void qpw_lockdep_assert_held_slow(pw_lock_t *lock);

/** See pw_lock_init(). */
PW_INLINE void qpw_lock_init(qpw_lock_t *lock)
{
    pw_lock_init(lock);
}

/** See pw_trylock_init(). */
PW_INLINE void qpw_trylock_init(qpw_trylock_t *lock)
{
    pw_trylock_init(lock);
}

/** See pw_lock(). */
PW_INLINE void qpw_lock(qpw_lock_t *lock, int cpu)
{
    pw_lock(lock, cpu);
}

/** Acquires the lock of the CPU that the caller runs on: pw_lock_local(), whose CPU the library remembers for
 * local_qpw_unlock() and qpw_this_cpu_ptr(). A thread can be in 16 such sections at once; one more aborts.
 * Released by the same thread, in any order. */
PW_INLINE void local_qpw_lock(qpw_lock_t *lock)
{
    qpw_section_enter_slow(lock, pw_lock_local(lock));
}

/** See pw_trylock(). Non-zero if the lock is now held. */
PW_INLINE int qpw_trylock(qpw_lock_t *lock, int cpu)
{
    return pw_trylock(lock, cpu);
}

/** As local_qpw_lock(), if the lock is free. Non-zero if it is now held. */
PW_INLINE int local_qpw_trylock(qpw_lock_t *lock)
{
    int cpu = pw_trylock_local(lock);
    if (cpu < 0)
        return 0;
    qpw_section_enter_slow(lock, cpu);
    return 1;
}

/** See pw_unlock(). */
PW_INLINE void qpw_unlock(qpw_lock_t *lock, int cpu)
{
    pw_unlock(lock, cpu);
}

/** Releases what local_qpw_lock() or local_qpw_trylock() took. Aborts if this thread is in no section of that
 * lock. */
PW_INLINE void local_qpw_unlock(qpw_lock_t *lock)
{
    pw_unlock_local(lock, qpw_section_leave_slow(lock));
}

PW_INLINE void pw_detail_local_qpw_lock_irqsave(qpw_lock_t *lock, unsigned long *flags)
{
    *flags = pw_local_irq_save();
    local_qpw_lock(lock);
}

/** The same with signals blocked; `flags`, an unsigned long, is assigned. See pw_lock_irqsave(). */
#define qpw_lock_irqsave(lock, flags, cpu) pw_lock_irqsave(lock, flags, cpu)
#define qpw_trylock_irqsave(lock, flags, cpu) ((int)pw_trylock_irqsave(lock, flags, cpu))
#define local_qpw_lock_irqsave(lock, flags) pw_detail_local_qpw_lock_irqsave(lock, &(flags))

/** See pw_unlock_irqrestore(). */
PW_INLINE void qpw_unlock_irqrestore(qpw_lock_t *lock, unsigned long flags, int cpu)
{
    pw_unlock_irqrestore(lock, flags, cpu);
}

/** Releases what local_qpw_lock_irqsave() took; then the signal mask is what it was. */
PW_INLINE void local_qpw_unlock_irqrestore(qpw_lock_t *lock, unsigned long flags)
{
    local_qpw_unlock(lock);
    pw_local_irq_restore(flags);
}

/** Aborts with one line unless the caller holds this lock for some CPU. Version 3 looks at the CPU that the
 * caller runs on, and so aborts wrongly for who holds another's; this looks at all if need be. */
PW_INLINE void qpw_lockdep_assert_held(qpw_lock_t *lock)
{
    /* relaxed: a thread sees its own store, and nobody else stores its id */
    if (pw_unlikely(!pw_detail_thread.tid) ||
        pw_unlikely(__atomic_load_n(&pw_this_cpu_ptr(lock)->owner, __ATOMIC_RELAXED) != pw_detail_thread.tid))
        qpw_lockdep_assert_held_slow(lock);
}

/** Returns the instance of a per-CPU pointer that belongs to the innermost section of this thread: of the CPU
 * whose lock local_qpw_lock() took, wherever the thread runs by now. Outside of sections the CPU that the
 * caller runs on. */
#define qpw_this_cpu_ptr(ptr) pw_per_cpu_ptr((ptr), qpw_section_cpu_slow())

/** See pw_queue_on(): 1 if queued, 0 if it was pending already, negative if refused (the kernel's returns a
 * bool). */
PW_INLINE int queue_percpu_work_on(int cpu, struct pw_workqueue *wq, struct pw_struct *qpw)
{
    return pw_queue_on(cpu, wq, qpw);
}

/** See pw_flush(). */
PW_INLINE int flush_percpu_work(struct pw_struct *qpw)
{
    return pw_flush(qpw);
}

/** See pw_get_cpu(). */
PW_INLINE int qpw_get_cpu(const struct pw_struct *work)
{
    return pw_get_cpu(work);
}

/** See pw_is_cpu_remote(). */
PW_INLINE int qpw_is_cpu_remote(int cpu)
{
    return pw_is_cpu_remote(cpu);
}

PW_END_DECLS

#endif
