/* SPDX-License-Identifier: MIT */
/* What the runtime does, in numbers: the program's own view of what pw-stat shows. */
#ifndef PWLOCKS_STAT_H
#define PWLOCKS_STAT_H

#include "base.h"

#include <stddef.h>
#include <stdint.h>

PW_BEGIN_DECLS

/** Of one CPU, or summed over all. Counts and times are since the runtime's start. Members are only added, at the end. */
struct pw_stat {
    uint64_t start_ns; /**< when the runtime started, CLOCK_MONOTONIC: another start, other counts */
    uint64_t workers;  /**< whose numbers these are: 1, or all */
    uint64_t sleeping; /**< of them, that sleep now */
    uint64_t running;  /**< functions that run now: on workers and, under the lock strategy, on callers */

    uint64_t queued;        /**< items accepted */
    uint64_t coalesced;     /**< calls that found their item pending already */
    uint64_t executed;      /**< items run to the end, by the worker or by callers */
    uint64_t executed_away; /**< of those, by callers (lock strategy) */
    uint64_t cancelled;     /**< of those queued: taken back before they started */
    uint64_t pending;       /**< queued, and neither run to the end nor taken back */
    uint64_t calls;         /**< of pw_on_each_cpu(), made by the worker */
    uint64_t batches;       /**< times the worker took everything that was queued */
    uint64_t wakeups;       /**< times it was woken from sleep */
    uint64_t wakes_sent;    /**< system calls made to wake it */

    uint64_t busy_ns;   /**< the worker had something to run; up to now, as the next two */
    uint64_t idle_ns;   /**< it had nothing to run */
    uint64_t asleep_ns; /**< of that, it slept */

    uint64_t locks_remote;     /**< the CPU's locks taken from another CPU with membarrier(2) (queue strategy) */
    uint64_t locks_contended;  /**< acquisitions that had to wait */
    uint64_t locks_waited_ns;  /**< for how long they did */
    uint64_t locks_lost_races; /**< remote attempts that a restartable sequence overtook (queue strategy) */
};

#define PW_STAT_ALL (-1)

/** Reads what the runtime counted for one CPU, or for all.
 *
 * Counts with stats=off, too. The numbers are read one after the other while work goes on, so two of them may be a few
 * items apart. The calling thread finds counted what it queued; what it saw end may be counted a moment later.
 * @cpu: a CPU that has a worker, or PW_STAT_ALL for the sums over all of them; those of locks then include CPUs that have
 *       none.
 * @stat: is filled in, if 0 is returned.
 * @size: sizeof(struct pw_stat) as the program was compiled: if that is less than the library's, it is filled as far as it
 *        goes; if it is more, the rest is zeroed.
 * Returns 0; -EINVAL if `cpu` is out of range, `stat` NULL or `size` 0; -ESRCH if the runtime does not run (this does not
 * start it); -ENODEV if the CPU has no worker.
 * Any thread, also inside work; not a signal handler. Takes no lock and no memory and does not sleep; a stop waits for it.
 * Its time grows with the number of threads that queued something at once. */
PW_EXPORT int pw_stat_read(int cpu, struct pw_stat *stat, size_t size);

PW_END_DECLS

#endif
