/* SPDX-License-Identifier: MIT */
/* Per-CPU work: an item names a function and the CPU whose data it is for; queueing it gets the function run for that
 * CPU, by its worker under the queue strategy and by the caller under the lock strategy, with the same guarantees:
 *
 *  1. After pw_queue_on() returns 1 or 0, at least one whole execution of the function starts after the call and sees
 *     every write made before it.
 *  2. An item never runs concurrently with itself.
 *  3. Pending is cleared before the function starts: it may queue its own item, and may free it unless it queued it.
 *  4. After pw_flush() returns 0, every execution queued before it has finished and its writes are visible.
 *  5. Items that one thread queues to one CPU and one workqueue start in that order (those given to pw_queue_on() among
 *     themselves, and those given to pw_queue_work_on() among themselves).
 *  6. The function may sleep; that delays only that CPU's later items (queue) or its caller (lock).
 *  7. Nothing accepted is lost: not at stop, not when a CPU goes offline, not when a producer dies.
 *
 * One rule is the program's: do not queue or flush while holding a lock that the function takes. A function must return:
 * one that throws, or that ends its thread under the queue strategy, aborts the program with one line.
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
    struct pw_workqueue *wq;
    uint64_t ticket; /* lock strategy: place among what was handed to a running thread */
    uint64_t state;  /* pending, route, claimant: see src/item.h; shared by producers and the runner */
    int32_t cpu;
    uint32_t reserved;
};
PW_STATIC_ASSERT(sizeof(struct pw_struct) == 48, "ABI; at most one cache line");

/** Initializes an item that is not pending.
 *
 * @work: the item. @func: what to run. @cpu: the CPU whose data the work is for, and the only one it can be queued to;
 * checked by pw_queue_on(). Any thread, while the item is not queued and not running. */
PW_INLINE void pw_init_work(struct pw_struct *work, pw_func_t func, int cpu)
{
    work->next = NULL;
    work->func = func;
    work->wq = NULL;
    work->ticket = 0;
    work->state = 0;
    work->cpu = cpu;
    work->reserved = 0;
}
#define INIT_PW(work, func, cpu) pw_init_work((work), (func), (cpu))

/** Gets the item's function run for its CPU, by the chosen strategy.
 *
 * Under queue the item goes to the worker of `cpu` and the call returns at once; it allocates nothing and makes a system
 * call only if that worker sleeps, or if it meets another thread that was preempted in the middle of queueing the same item. Under lock the function runs here before the call returns, unless this item runs
 * already or an earlier item of this thread still waits behind a running one: then it is handed to the thread that runs.
 * Starts the runtime if it was never started.
 * @cpu:  the CPU given to INIT_PW(). @wq: NULL, the system workqueue. @work: an item; must stay valid until it has run.
 * Returns 1: queued, or executed, or handed to the thread executing it; 0: already pending; -EINVAL: NULL item or function,
 * CPU out of range or different from INIT_PW's, a workqueue that does not exist, or an item that was used with
 * pw_queue_work_on(); -ENODEV: the CPU has no worker; -ESHUTDOWN: the runtime is stopping or stopped; what
 * pw_runtime_start() returns if it could not start. A negative return leaves the item not queued.
 * Any thread, also from inside work; never sleeps under queue once the runtime runs, under lock sleeps if the function
 * does; not from a signal handler.
 * Release for the caller's earlier writes, which the function sees; see guarantees 1 and 5 above. */
PW_EXPORT int pw_queue_on(int cpu, struct pw_workqueue *wq, struct pw_struct *work);

/** Gets the item's function run on its CPU's worker, under both strategies. Otherwise as pw_queue_on() under queue.
 * An item is used with pw_queue_on() or with pw_queue_work_on() for its whole life, never with both (-EINVAL). */
PW_EXPORT int pw_queue_work_on(int cpu, struct pw_workqueue *wq, struct pw_struct *work);

/** Waits until every execution queued before the call has finished.
 *
 * @work: an item that INIT_PW() initialized; may be idle, pending or running.
 * Returns 0; -EINVAL: NULL item or function, or CPU out of range; -EDEADLK: called from inside work for the item's own CPU, or where
 * the wait could never end because this thread itself runs what the item waits for.
 * After pw_runtime_stop() there is nothing to wait for: 0.
 * Any thread; sleeps; not from a signal handler. Acquire: the function's writes are visible. */
PW_EXPORT int pw_flush(struct pw_struct *work);

/** Returns the CPU whose data the item is for: the one given to INIT_PW(), whichever thread runs the function. */
PW_EXPORT int pw_get_cpu(const struct pw_struct *work);

PW_END_DECLS

#endif
