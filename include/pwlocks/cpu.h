/* SPDX-License-Identifier: MIT */
/* CPUs: which one we are on, which ones have a worker. Numbers are the operating system's, may be sparse, and
 * index everything that is per CPU. */
#ifndef PWLOCKS_CPU_H
#define PWLOCKS_CPU_H

#include "base.h"
#include "rseq.h"

PW_BEGIN_DECLS

/** Returns the highest CPU number that can occur on this machine, plus one.
 *
 * Counts CPUs that are offline or not ours too, so an array of that many elements can be indexed by every CPU
 * number that this library ever returns. Constant for the life of the process.
 * Any thread, any time; does not block. */
PW_EXPORT int pw_nr_cpus(void);

/** Tells whether a CPU has a worker.
 *
 * @cpu: CPU number; one that is out of range has no worker.
 * Starts the runtime if it was never started. False for every CPU after pw_runtime_stop().
 * Any thread; may block while workers start. */
PW_EXPORT bool pw_cpu_online(int cpu);

/** Returns the next CPU that has a worker after `cpu`, or -1; start with -1. See pw_for_each_cpu().
 * Starts the runtime if it was never started; -1 if that fails, which is tried once. */
PW_EXPORT int pw_next_cpu(int cpu);

/** Iterates over the CPUs that have a worker, in rising order; `cpu` is declared by the loop.
 * Starts the runtime if it was never started; any thread. */
#define pw_for_each_cpu(cpu) for (int cpu = pw_next_cpu(-1); cpu >= 0; cpu = pw_next_cpu(cpu))

PW_EXPORT int pw_this_cpu_slow(void);

/** Returns the CPU that the caller runs on at the moment of the call.
 *
 * A thread that is not pinned may have moved when it looks at the result; pw_lock_local() returns a CPU that stays
 * right for as long as its lock is held. Any thread, any time, also from a signal handler. */
PW_INLINE int pw_this_cpu(void)
{
    uint32_t mode = pw_detail_mode();
    if (PW_DETAIL_HAVE_RSEQ && pw_likely(mode == PW_DETAIL_MODE_QUEUE || mode == PW_DETAIL_MODE_LOCK))
        return pw_detail_rseq_cpu();
    return pw_this_cpu_slow();
}

/** Tells whether touching `cpu`'s data from here is remote access.
 *
 * Inside work: false under the queue strategy, where the function runs on its CPU's worker (unless that CPU has gone
 * offline under it), and true under the lock strategy when the caller runs elsewhere.
 * Any thread, any time, also from a signal handler. */
PW_INLINE bool pw_is_cpu_remote(int cpu)
{
    return cpu != pw_this_cpu();
}

PW_END_DECLS

#endif
