// SPDX-License-Identifier: MIT
// Which CPUs there are, which ones get a worker, where they are; hwloc's view of the machine.
#pragma once

#include "cpu_mask.h"
#include "options.h"
#include "strategy.h"

#include <pthread.h>
#include <vector>

struct hwloc_topology;

namespace pw::detail {

// Highest CPU number that can occur, plus one: from /sys/devices/system/cpu/possible, else sysconf. Cached,
// allocates nothing, works before constructors.
int possible_cpus();

// The same for a machine described by roots.sys, read anew; 1 to max_cpus.
int read_possible_cpus(const system_roots &roots);

// Reads roots.sys + `file`, a list such as "0-3,8", of at most 4 KiB. Returns false, and leaves `mask` alone,
// if it cannot be read or is malformed. Allocates nothing.
bool read_cpu_list(const system_roots &roots, const char *file, cpu_mask &mask);

struct worker_cpu {
    int cpu;
    int node;      // NUMA node's OS number, -1 if unknown
    bool isolated; // in isolated or nohz_full
};

// hwloc's topology, loaded for as long as the object lives. Where hwloc fails or describes another machine,
// that is reported once and the object works from the affinity alone: every node is unknown then.
class topology {
  public:
    topology();
    ~topology();
    topology(const topology &) = delete;
    topology &operator=(const topology &) = delete;

    bool loaded() const { return handle_ != nullptr; }

    // The PUs that are online and that the cgroup's cpuset grants, whatever our affinity.
    cpu_mask existing() const;

    // The PUs that we may run on: hwloc's allowed set within the affinity that the process was launched with.
    // Never empty.
    cpu_mask allowed() const;
    int node_of(int cpu) const;

    // Binds the calling thread to one CPU. 0 or -errno.
    int bind_this_thread(int cpu) const;

    // Lets a thread that is created with these attributes start on one CPU and stay there. 0 or -errno.
    int pin(pthread_attr_t &attributes, int cpu) const;

  private:
    ::hwloc_topology *handle_ = nullptr;
};

// topology::allowed() for given sets: what exists within the launch affinity; else, if the CPUs that were
// ours then are gone, what exists within the caller's affinity now; else that affinity. Empty only if `now`
// is.
cpu_mask usable_cpus(const cpu_mask &existing, const cpu_mask &launch, const cpu_mask &now);

// The CPUs that get a worker under `options`, in rising order. CPUs of a list that are not ours are reported
// and left out (`source` names who asked; null: not reported). False if none remains; that too is reported.
// May throw std::bad_alloc.
bool plan_workers(const topology &machine, const option_set &options, const char *source,
                  std::vector<worker_cpu> &out);

// The choice that plan_workers() makes, for given sets.
bool plan_cpus(const cpu_mask &allowed, const cpu_mask &isolated, const option_set &options,
               const char *source, cpu_mask &out);

} // namespace pw::detail
