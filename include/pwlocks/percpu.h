/* SPDX-License-Identifier: MIT */
/* Per-CPU memory: one zeroed instance of an object for every CPU, each on its own CPU's node. A per-CPU pointer is
 * the address of CPU 0's instance; the others follow at a fixed distance. */
#ifndef PWLOCKS_PERCPU_H
#define PWLOCKS_PERCPU_H

#include "base.h"
#include "cpu.h"

PW_BEGIN_DECLS

/** Largest object, in bytes, that pw_alloc_percpu() can give: the distance between two CPUs' instances. */
#define PW_PERCPU_MAX ((size_t)1 << PW_PERCPU_SHIFT)

/** Allocates one zeroed object per CPU.
 *
 * @size:  bytes per CPU, 1 to PW_PERCPU_MAX.
 * @align: alignment in bytes, a power of two of at most PW_PERCPU_MAX.
 * Returns a per-CPU pointer that the caller owns and gives back with pw_free_percpu(); or NULL with errno EINVAL
 * (a size of 0 or over PW_PERCPU_MAX, an alignment that is no power of two or too large) or ENOMEM.
 * Instances of different CPUs never share a cache line or a page. Every CPU that can occur has an instance; pages are
 * taken only when touched, from the CPU's own NUMA node.
 * Any thread, any time, also before the runtime starts; may block; not from a signal handler. */
PW_EXPORT void *pw_alloc_percpu(size_t size, size_t align);

/** Frees what pw_alloc_percpu() returned.
 *
 * @ptr: NULL is allowed. A pointer that pw_alloc_percpu() did not return, or that was freed before, aborts the program
 *       with one line.
 * The caller makes sure that no CPU's instance is in use. Any thread; may block; not from a signal handler. */
PW_EXPORT void pw_free_percpu(void *ptr);

PW_INLINE void *pw_detail_per_cpu_ptr(const volatile void *ptr, int cpu)
{
    return (char *)(uintptr_t)ptr + ((uintptr_t)(uint32_t)cpu << PW_PERCPU_SHIFT);
}

/** Returns `cpu`'s instance of a per-CPU pointer, typed like the pointer.
 * @cpu: 0 to pw_nr_cpus() - 1; not checked. Any thread, any time, also from a signal handler. */
#define pw_per_cpu_ptr(ptr, cpu) ((__typeof__(ptr))pw_detail_per_cpu_ptr((ptr), (cpu)))

/** Returns the instance of the CPU that the caller runs on now; see pw_this_cpu() for what that is worth. */
#define pw_this_cpu_ptr(ptr) pw_per_cpu_ptr((ptr), pw_this_cpu())

PW_END_DECLS

#endif
