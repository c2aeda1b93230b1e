/* SPDX-License-Identifier: MIT */
/* Start, stop and strategy. */
#ifndef PWLOCKS_RUNTIME_H
#define PWLOCKS_RUNTIME_H

#include "base.h"

PW_BEGIN_DECLS

/** How one CPU's work reaches another CPU's data. */
typedef enum {
    PW_STRATEGY_QUEUE = 0, /**< pwlocks=0: the operation goes to that CPU's worker */
    PW_STRATEGY_LOCK = 1   /**< pwlocks=1: the caller does it here, under that CPU's lock */
} pw_strategy_t;

/** Returns the strategy in force.
 *
 * Decided before ordinary constructors run; pw_runtime_start("pwlocks=...") may still change it until the first lock is
 * taken or the first item queued, nothing may afterwards. Any thread, any time, also before start and from a signal
 * handler. */
PW_EXPORT pw_strategy_t pw_strategy(void);

/** Returns where the strategy comes from: "PWLOCKS", "PWLOCKS_OPTIONS", a file's path, "program", "isolation" or
 * "build".
 *
 * The string belongs to the library and stays valid. Any thread, any time. */
PW_EXPORT const char *pw_strategy_source(void);

/** Starts one pinned worker per CPU.
 *
 * Optional: the first call that needs a worker starts the runtime with the operator's options. What the operator set
 * (PWLOCKS, PWLOCKS_OPTIONS, the configuration file) wins over the same key in `options`.
 * @options: "key=value key=value" or NULL. Keys: pwlocks (0, 1, off, on, n, y, auto), cpus (a list such as 0-3,8, or
 *           allowed, housekeeping, isolated), idle_spin_us (microseconds, 0 to 1000000), sched (other, nice:N with
 *           -20 to 19, fifo:P with 1 to 99), stats (on, off, full: for pw-stat), watchdog_ms (0 to 3600000: reports on
 *           stderr work functions that run, and workers that wait for their CPU, longer than that; 0, the default, is off).
 * Returns 0; -EINVAL if `options` is malformed or names no CPU that is ours (one line on stderr says what is wrong,
 * nothing is started); -EALREADY if the runtime runs; -EBUSY if pwlocks= would change the strategy after a lock was
 * taken or an item queued; -EAGAIN if a thread could not be created; -ENOMEM; -EMFILE or -ENFILE if no descriptor was
 * left for the stat segment; -EDEADLK from inside work while the runtime stops.
 * A scheduling class for which the privilege lacks is reported on stderr and replaced by the ordinary one.
 * Any thread; blocks until every worker is pinned. Writes before it are visible to all work. */
PW_EXPORT int pw_runtime_start(const char *options);

/** Runs everything that was queued, then ends the workers.
 *
 * From the moment it is called, queueing returns -ESHUTDOWN; so a self-queueing item ends. When it returns no function
 * of an item runs any more, on any thread. Start again with pw_runtime_start(); nothing else does.
 * Returns 0; -ESRCH if the runtime does not run; -EDEADLK from inside work.
 * Any thread; blocks for as long as queued functions run. All work's writes are visible when it returns. */
PW_EXPORT int pw_runtime_stop(void);

PW_END_DECLS

#endif
