/* SPDX-License-Identifier: MIT */
/* Per-CPU work: an item names a function and the CPU whose data it is for; queueing it gets the function run for that
 * CPU, by its worker under the queue strategy and by the caller under the lock strategy, with the same guarantees:
 *
 *  1. After pw_queue_on() returns 1 or 0, at least one whole execution of the function starts after the call and sees
 *     every write made before it, unless the item is cancelled first.
 *  2. An item never runs concurrently with itself.
 *  3. Pending is cleared before the function starts: it may queue its own item, and may free it unless it queued it.
 *  4. After pw_flush() returns 0, every execution queued before it has finished and its writes are visible.
 *  5. Items that one thread queues to one CPU and one workqueue start in that order (those given to pw_queue_on() among
 *     themselves, and those given to pw_queue_work_on() among themselves).
 *  6. The function may sleep; that delays only that CPU's later items (queue) or its caller (lock).
 *  7. Nothing accepted is lost: not at stop, not when a CPU goes offline, not when a producer dies.
 *
 * Every call but pw_get_cpu() and the initializers may also return -ENOMEM, when a thread makes its first one.
 *
 * One rule is the program's: do not queue, flush, cancel or call while holding a lock that the function takes. A function must return:
 * one that throws, or that ends its thread under the queue strategy, aborts the program with one line.
 *
 * Whoever waits from inside work, in any of the calls below, gets -EDEADLK instead where the wait could never end: functions that wait
 * for one another in a circle, of any length and through any of the calls. One of them gets the error, and nothing was changed.
 */
#ifndef PWLOCKS_WORK_H
#define PWLOCKS_WORK_H

#include "base.h"
#include "cpu.h"

PW_BEGIN_DECLS

struct pw_struct;
struct pw_workqueue;

/** A work function. It receives the item that was queued, usually a member of a larger structure. It runs with its runner's
 * priority, signal mask and thread-local data: the worker's under queue, the caller's under lock. */
typedef void (*pw_func_t)(struct pw_struct *work);

/** A work item. Embed it; the fields are private. The program owns the memory and keeps it while the item is pending. */
struct pw_struct {
    void *next; /* link of the queue that the item is in; written by whoever made it pending */
    pw_func_t func;
    struct pw_workqueue *wq; /* of the last queueing; written by whoever made it pending */
    uint64_t ticket; /* lock strategy: place among what was handed over; else the node that stands in for the item, since when it is queued, or 0 */
    uint64_t state;  /* pending, route, claimant: see src/item.h; shared by producers and the runner */
    int32_t cpu;
    uint32_t kind; /* 1: the work of a pw_delayed */
};
PW_STATIC_ASSERT(sizeof(struct pw_struct) == 48, "ABI; at most one cache line");

/** Initializes an item that is not pending.
 *
 * @work: the item. @func: what to run. @cpu: the CPU whose data the work is for, and the only one it can be queued to;
 * checked by pw_queue_on(). Any thread, while the item is not queued, not running, and not held by a list since a pw_cancel(). */
PW_INLINE void pw_init_work(struct pw_struct *work, pw_func_t func, int cpu)
{
    work->next = NULL;
    work->func = func;
    work->wq = NULL;
    work->ticket = 0;
    work->state = 0;
    work->cpu = cpu;
    work->kind = 0;
}
#define INIT_PW(work, func, cpu) pw_init_work((work), (func), (cpu))

/** Gets the item's function run for its CPU, by the chosen strategy.
 *
 * Under queue the item goes to the worker of `cpu` and the call returns at once; it makes a system call only if that worker
 * sleeps, or if it meets another thread that was preempted in the middle of queueing the same item; and it allocates
 * only for an item that was cancelled and that its worker has not come past since. Under lock the function runs here
 * before the call returns, unless this item runs already or an earlier item of this thread still waits behind a running one: then
 * it is handed to the thread that runs. Starts the runtime if it was never started.
 * @cpu:  the CPU given to INIT_PW(). @wq: a workqueue, or NULL, the system workqueue. @work: an item; must stay valid until it
 *        has run.
 * Returns 1: queued, or executed, or handed to the thread executing it; 0: already pending; -EINVAL: NULL item or function,
 * CPU out of range or different from INIT_PW's, a workqueue that was destroyed, the work of a pw_delayed, an item that was used
 * with pw_queue_work_on(), or one that was queued to a workqueue of another priority (PW_WQ_HIGHPRI) before; -ENODEV: the CPU has
 * no worker; -ECANCELED: the workqueue is being drained and the caller is not one of its functions, or the item is being
 * cancelled by pw_cancel_sync(); -ENOMEM; -ESHUTDOWN: the runtime is stopping or stopped; what pw_runtime_start() returns if it could not
 * start. A negative return leaves the item not queued.
 * Any thread, also from inside work; never sleeps under queue once the runtime runs, under lock sleeps if the function
 * does; not from a signal handler.
 * Release for the caller's earlier writes, which the function sees; see guarantees 1 and 5 above. */
PW_EXPORT int pw_queue_on(int cpu, struct pw_workqueue *wq, struct pw_struct *work);

/** Gets the item's function run on its CPU's worker, under both strategies. Otherwise as pw_queue_on() under queue.
 * An item is used with pw_queue_on() or with pw_queue_work_on() for its whole life, never with both (-EINVAL). */
PW_EXPORT int pw_queue_work_on(int cpu, struct pw_workqueue *wq, struct pw_struct *work);

/** Waits until every execution queued before the call has finished.
 *
 * @work: an item that INIT_PW() initialized; may be idle, pending or running. For the work of a pw_delayed that is armed, nothing is
 *        queued yet: see pw_flush_delayed().
 * Returns 0; -EINVAL: NULL item or function, or CPU out of range; -EDEADLK: from inside work for the item's own CPU, or where the wait
 * could never end.
 * After pw_runtime_stop() there is nothing to wait for: 0.
 * Any thread; sleeps; not from a signal handler. Acquire: the function's writes are visible. */
PW_EXPORT int pw_flush(struct pw_struct *work);

/** Takes back an item that has not started.
 *
 * Does not wait for one that runs. Afterwards the item may be queued again at once, by any thread, and comes behind what is queued by
 * then. Under queue its worker's list may still hold it, so its memory must be kept until pw_cancel_sync() has returned or an
 * execution that was queued later has started.
 * @work: an item that INIT_PW() or INIT_PW_DELAYED() (`&delayed->work`) initialized.
 * Returns 1: it was pending, or armed, and will not run for any queueing before this call; 0: it was not pending; -EINVAL: NULL
 * item or function, or CPU out of range.
 * Any thread, also from inside work; never sleeps; not from a signal handler. */
PW_EXPORT int pw_cancel(struct pw_struct *work);

/** Takes back an item that has not started and waits for one that runs.
 *
 * While it waits, queueing the item is refused with -ECANCELED, so an item that queues itself is ended as well. When it returns, the
 * item is neither pending nor running, no list holds it, and it may be freed, unless another thread queues it again behind that.
 * Returns as pw_cancel(); or -EDEADLK: called from the item's own function, or the wait could never end; then the item was not
 * cancelled.
 * Any thread, also from inside work; sleeps; not from a signal handler. Acquire: the function's writes are visible. */
PW_EXPORT int pw_cancel_sync(struct pw_struct *work);

/** Returns the CPU whose data the item is for: the one given to INIT_PW(), whichever thread runs the function. */
PW_EXPORT int pw_get_cpu(const struct pw_struct *work);

/* Workqueues: items that are flushed and drained together. Each CPU's worker serves all of them, in the order of queueing. */

/** Flag of pw_workqueue_create(): each worker serves the workqueue's items before all normal ones. The normal ones are not starved:
 * one of them starts behind at most PW_WQ_HIGHPRI_BURST of these. Under lock, where a queueing caller runs its item itself, there is
 * nothing to overtake. */
#define PW_WQ_HIGHPRI 1u
#define PW_WQ_HIGHPRI_BURST 16

/** Longest name of a workqueue, in bytes without the terminating zero. */
#define PW_WQ_NAME_MAX 31

/** Creates a workqueue.
 *
 * @name:  1 to PW_WQ_NAME_MAX bytes, shown by pw-stat; copied. @flags: 0 or PW_WQ_HIGHPRI.
 * Returns a workqueue that the caller owns and gives back with pw_workqueue_destroy(); or NULL with errno EINVAL (no name, unknown
 * flags), ENAMETOOLONG or ENOMEM.
 * Any thread, any time, also before the runtime starts; it outlives stop and start. May block; not from a signal handler. */
PW_EXPORT struct pw_workqueue *pw_workqueue_create(const char *name, unsigned flags);

/** Waits until everything queued to a workqueue before the call has finished, on every CPU.
 *
 * @wq: a workqueue, or NULL, the system one. Delayed items that are armed are not queued yet.
 * Returns 0; -EINVAL: the workqueue was destroyed; -ENOMEM; -EDEADLK: from inside work, the wait could never end, as from one of the
 * workqueue's own functions.
 * Any thread; sleeps; not from a signal handler. Acquire: the functions' writes are visible. */
PW_EXPORT int pw_workqueue_flush(struct pw_workqueue *wq);

/** Waits until a workqueue is empty.
 *
 * Meanwhile only the workqueue's own functions, and delayed items that fall due, can queue to it: everybody else gets -ECANCELED.
 * Armed delayed items stay armed.
 * @wq: not NULL: the system workqueue cannot be drained.
 * Returns as pw_workqueue_flush(). Any thread; sleeps; not from a signal handler. */
PW_EXPORT int pw_workqueue_drain(struct pw_workqueue *wq);

/** Drains a workqueue and gives it back. Its armed delayed items run now, as by pw_flush_delayed(). Later use of it is -EINVAL,
 * as long as its memory is not another workqueue's.
 * @wq: NULL is allowed: nothing happens. Returns as pw_workqueue_drain(); after an error the workqueue is still there, but what was
 * armed may have been queued. */
PW_EXPORT int pw_workqueue_destroy(struct pw_workqueue *wq);

/* Delayed work: items that are queued when their time has come. */

/** A delayed item. Embed it; the fields but `work`'s address are private. */
struct pw_delayed {
    struct pw_struct work; /* the function receives its address */
    uint64_t due;          /* CLOCK_MONOTONIC, in nanoseconds; this and the rest belong to the CPU's timers */
    uint64_t order;        /* among those of the same time */
    struct pw_delayed *left, *right, *parent;
    uint64_t rank;
};
PW_STATIC_ASSERT(sizeof(struct pw_delayed) == 96, "ABI");

/** Initializes a delayed item that is not armed. As INIT_PW(); the function receives `&delayed->work`. */
PW_INLINE void pw_init_delayed(struct pw_delayed *delayed, pw_func_t func, int cpu)
{
    pw_init_work(&delayed->work, func, cpu);
    delayed->work.kind = 1;
    delayed->due = 0;
    delayed->order = 0;
    delayed->left = delayed->right = delayed->parent = NULL;
    delayed->rank = 0;
}
#define INIT_PW_DELAYED(delayed, func, cpu) pw_init_delayed((delayed), (func), (cpu))

/** Arms a delayed item: it is queued as by pw_queue_on() when `ns` nanoseconds have passed, never earlier.
 *
 * Under queue the CPU's worker keeps the time; under lock a thread on another CPU that is not isolated, if there is one, which runs the
 * function as well.
 * Stop, and pw_workqueue_destroy(), run at once what is armed.
 * @cpu, @wq: as for pw_queue_on(). @delayed: must stay valid until it has run. @ns: nanoseconds of CLOCK_MONOTONIC; 0 queues now.
 * Returns 1: armed (or queued); 0: already armed or pending, and left as it is; errors as of pw_queue_on().
 * Any thread, also from inside work; blocks briefly; not from a signal handler. Release, as pw_queue_on(). */
PW_EXPORT int pw_queue_delayed_on(int cpu, struct pw_workqueue *wq, struct pw_delayed *delayed, uint64_t ns);

/** Arms a delayed item anew: it is queued when `ns` nanoseconds from now have passed, and not when it would have been.
 *
 * Returns 1: it was armed, or pending since it had fallen due, and now waits for the new time; 0: it was neither, and is armed now;
 * errors as of pw_queue_on(), and then the item is as it was. Otherwise as pw_queue_delayed_on(). */
PW_EXPORT int pw_mod_delayed_on(int cpu, struct pw_workqueue *wq, struct pw_delayed *delayed, uint64_t ns);

/** Disarms a delayed item, or takes it back if it has fallen due, and waits if it runs: pw_cancel_sync() of its work. */
PW_EXPORT int pw_cancel_delayed_sync(struct pw_delayed *delayed);

/** Queues an armed item now, and waits until it has finished, as pw_flush() does. Returns as pw_flush(); under lock
 * the item may have been queued where that is -EDEADLK. Or -ENOMEM: it is armed as before. */
PW_EXPORT int pw_flush_delayed(struct pw_delayed *delayed);

/** Calls a function once for every CPU that has a worker, and waits until all calls have returned.
 *
 * Under queue each call is made by that CPU's worker, ahead of everything that is queued there, all in parallel; under lock all are made by
 * the caller, one after the other. Called from a worker, that one makes its own CPU's call itself, and makes others' calls to its CPU
 * while it waits.
 * @fn: gets the CPU's number and `arg`; takes that CPU's locks for its data, as a work function does. It must not end its thread.
 * Starts the runtime if it was never started.
 * Returns 0; -EINVAL: NULL function; -ESHUTDOWN; -ENOMEM; -EDEADLK: from inside work, the wait could never end, and no call
 * was made; what pw_runtime_start() returns if it could not start.
 * Any thread; sleeps; not from a signal handler. The functions see the caller's earlier writes, and it sees theirs. */
PW_EXPORT int pw_on_each_cpu(void (*fn)(int cpu, void *arg), void *arg);

PW_END_DECLS

#endif
