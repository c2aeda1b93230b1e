// SPDX-License-Identifier: MIT
// Shared: possible_count, which any thread may write at any time, all of them the same value; complained, set
// by whoever is first. A topology is written by its constructor only; hwloc lets any number of threads read a
// loaded one.
#include "topology.h"

#include "report.h"

#include <pwlocks/cpu.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <hwloc.h>
#include <hwloc/glibc-sched.h>
#include <hwloc/linux.h>
#include <memory>
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

namespace pw::detail {
namespace {

constinit std::atomic<int> possible_count{0};
constinit std::atomic<bool> complained{false};

// An affinity that has room for every CPU number; glibc's cpu_set_t alone ends at 1023.
class affinity {
  public:
    affinity() { CPU_ZERO_S(sizeof sets_, sets_); }

    // Of the calling thread. Empty if the kernel does not say.
    cpu_mask read()
    {
        cpu_mask mask;
        if (sched_getaffinity(0, sizeof sets_, sets_) == 0)
            for (int cpu = 0; cpu < max_cpus; ++cpu)
                if (CPU_ISSET_S(static_cast<size_t>(cpu), sizeof sets_, sets_))
                    mask.insert(cpu);
        return mask;
    }

    int bind_this_thread(int cpu)
    {
        CPU_SET_S(static_cast<size_t>(cpu), sizeof sets_, sets_);
        return -pthread_setaffinity_np(pthread_self(), sizeof sets_, sets_);
    }

  private:
    cpu_set_t sets_[max_cpus / CPU_SETSIZE];
};

// The affinity now; a CPU that we can name in any case if the kernel keeps it secret.
cpu_mask affinity_now()
{
    cpu_mask now = affinity().read();
    if (now.empty())
        now.insert(std::max(sched_getcpu(), 0));
    return now;
}

// What exists as far as the kernel's files tell, for when hwloc does not.
cpu_mask online_cpus()
{
    cpu_mask online;
    if (!read_cpu_list({}, "/devices/system/cpu/online", online))
        for (int cpu = 0; cpu < possible_cpus(); ++cpu)
            online.insert(cpu);
    return online;
}

// Says once why hwloc is of no use; each start of the runtime loads a topology.
void complain(const char *why)
{
    // relaxed: only who is first matters
    if (!complained.exchange(true, std::memory_order_relaxed))
        report("hwloc: %s, working from the affinity alone", why);
}

struct topology_deleter {
    void operator()(hwloc_topology_t topology) const { hwloc_topology_destroy(topology); }
};
using topology_handle = std::unique_ptr<hwloc_topology, topology_deleter>;

struct bitmap_deleter {
    void operator()(hwloc_bitmap_t bitmap) const { hwloc_bitmap_free(bitmap); }
};
using bitmap_handle = std::unique_ptr<hwloc_bitmap_s, bitmap_deleter>;

// Only PUs and NUMA nodes, and the groups without which hwloc hangs every node below the whole machine: 0.27
// ms a load on two CPUs, where the defaults take 0.63 ms (best of 400 each). hwloc's x86 backend would run on
// every CPU in turn, the isolated ones included: DONT_CHANGE_BINDING leaves it out.
topology_handle load_topology()
{
    // Without sysfs hwloc prints a message of its own and numbers the CPUs by itself.
    if (access("/sys/devices/system/cpu/online", R_OK) != 0) {
        complain("/sys cannot be read");
        return nullptr;
    }
    hwloc_topology_t raw = nullptr;
    if (hwloc_topology_init(&raw) != 0) {
        complain("no topology could be set up");
        return nullptr;
    }
    topology_handle topology(raw);
    hwloc_topology_set_all_types_filter(raw, HWLOC_TYPE_FILTER_KEEP_NONE);
    hwloc_topology_set_type_filter(raw, HWLOC_OBJ_GROUP, HWLOC_TYPE_FILTER_KEEP_STRUCTURE);
    unsigned long flags = HWLOC_TOPOLOGY_FLAG_DONT_CHANGE_BINDING;
#if HWLOC_API_VERSION >= 0x00020800
    flags |=
        HWLOC_TOPOLOGY_FLAG_NO_DISTANCES | HWLOC_TOPOLOGY_FLAG_NO_MEMATTRS | HWLOC_TOPOLOGY_FLAG_NO_CPUKINDS;
#endif
    // A library older than the header that we were built with may not know the later ones.
    if (hwloc_topology_set_flags(raw, flags) != 0)
        hwloc_topology_set_flags(raw, HWLOC_TOPOLOGY_FLAG_DONT_CHANGE_BINDING);
    if (hwloc_topology_load(raw) != 0) {
        complain("the topology could not be loaded");
        return nullptr;
    }
    if (!hwloc_topology_is_thissystem(raw)) {
        complain("it describes another machine (HWLOC_XMLFILE, HWLOC_SYNTHETIC or HWLOC_FSROOT is set)");
        return nullptr;
    }
    return topology;
}

const char *name_of(cpus_choice choice)
{
    switch (choice) {
    case cpus_choice::housekeeping:
        return "housekeeping";
    case cpus_choice::isolated:
        return "isolated";
    default:
        return "allowed";
    }
}

} // namespace

bool read_cpu_list(const system_roots &roots, const char *file, cpu_mask &mask)
{
    char path[1024];
    int path_length = snprintf(path, sizeof path, "%s%s", roots.sys, file);
    if (path_length < 0 || static_cast<size_t>(path_length) >= sizeof path)
        return false;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return false;
    char text[4096 + 1]; // one more than allowed: a full buffer is a list that was cut off
    size_t length = 0;
    ssize_t got = 0;
    do {
        got = read(fd, text + length, sizeof text - length);
        if (got > 0)
            length += static_cast<size_t>(got);
    } while (length < sizeof text && (got > 0 || (got < 0 && errno == EINTR)));
    close(fd);
    return got >= 0 && length < sizeof text && parse_cpu_list({text, length}, mask);
}

int read_possible_cpus(const system_roots &roots)
{
    cpu_mask possible;
    if (read_cpu_list(roots, "/devices/system/cpu/possible", possible) && !possible.empty())
        return possible.highest() + 1;
    // A count, while numbers may be sparse: at least those that we can run on now are covered.
    long configured = sysconf(_SC_NPROCESSORS_CONF);
    long seen = std::max(affinity().read().highest() + 1, 1);
    return static_cast<int>(std::clamp(configured, seen, long{max_cpus}));
}

int possible_cpus()
{
    // relaxed: the number is all there is, and every writer writes the same one
    int count = possible_count.load(std::memory_order_relaxed);
    if (count == 0) {
        int saved = errno;
        count = read_possible_cpus({});
        possible_count.store(count, std::memory_order_relaxed);
        errno = saved;
    }
    return count;
}

topology::topology() : handle_(load_topology().release()) {}

topology::~topology()
{
    topology_handle owned(handle_);
}

cpu_mask topology::existing() const
{
    if (handle_ == nullptr)
        return online_cpus();
    cpu_mask existing;
    hwloc_const_cpuset_t set = hwloc_topology_get_allowed_cpuset(handle_);
    for (int cpu = hwloc_bitmap_next(set, -1); cpu >= 0 && cpu < possible_cpus(); cpu = hwloc_bitmap_next(set, cpu))
        existing.insert(cpu);
    return existing;
}

cpu_mask topology::allowed() const
{
    return usable_cpus(existing(), launch_affinity(), affinity_now());
}

int topology::node_of(int cpu) const
{
    if (handle_ == nullptr || cpu < 0)
        return -1;
    hwloc_obj_t pu = hwloc_get_pu_obj_by_os_index(handle_, static_cast<unsigned>(cpu));
    return pu == nullptr ? -1 : hwloc_bitmap_first(pu->nodeset);
}

// Not hwloc_set_cpubind(): a set that covers all CPUs that are online and allowed counts as "everywhere"
// there and is widened to the offline and disallowed ones. On the only CPU of a cpuset the thread would be
// loose as soon as another one comes online.
int topology::bind_this_thread(int cpu) const
{
    if (cpu < 0 || cpu >= max_cpus)
        return -EINVAL;
    if (handle_ == nullptr)
        return affinity().bind_this_thread(cpu);
    bitmap_handle set(hwloc_bitmap_alloc());
    if (set == nullptr || hwloc_bitmap_only(set.get(), static_cast<unsigned>(cpu)) != 0)
        return -ENOMEM;
    return hwloc_linux_set_tid_cpubind(handle_, 0, set.get()) == 0 ? 0 : -errno;
}

int topology::pin(pthread_attr_t &attributes, int cpu) const
{
    if (cpu < 0 || cpu >= max_cpus)
        return -EINVAL;
    cpu_set_t set[max_cpus / CPU_SETSIZE];
    CPU_ZERO_S(sizeof set, set);
    if (handle_ == nullptr) {
        CPU_SET_S(static_cast<size_t>(cpu), sizeof set, set);
    } else {
        bitmap_handle only(hwloc_bitmap_alloc());
        if (only == nullptr || hwloc_bitmap_only(only.get(), static_cast<unsigned>(cpu)) != 0 ||
            hwloc_cpuset_to_glibc_sched_affinity(handle_, only.get(), set, sizeof set) != 0)
            return -ENOMEM;
    }
    return -pthread_attr_setaffinity_np(&attributes, sizeof set, set);
}

cpu_mask usable_cpus(const cpu_mask &existing, const cpu_mask &launch, const cpu_mask &now)
{
    cpu_mask usable = existing & launch;
    if (usable.empty())
        usable = existing & now;
    return usable.empty() ? now : usable;
}

bool plan_cpus(const cpu_mask &allowed, const cpu_mask &isolated, const option_set &options,
               const char *source, cpu_mask &out)
{
    char text[256];
    switch (options.cpus) {
    case cpus_choice::unset:
    case cpus_choice::allowed:
        out = allowed;
        break;
    case cpus_choice::housekeeping:
        out = allowed.without(isolated);
        break;
    case cpus_choice::isolated:
        out = allowed & isolated;
        break;
    case cpus_choice::list:
        out = options.cpu_list & allowed;
        break;
    }
    bool is_list = options.cpus == cpus_choice::list;
    if (source == nullptr)
        return !out.empty();
    if (out.empty()) {
        std::string_view list =
            is_list ? format_cpu_list(options.cpu_list, text, sizeof text) : name_of(options.cpus);
        report("%s: cpus: none of these CPUs is ours: %.*s", source, static_cast<int>(list.size()),
               list.data());
        return false;
    }
    cpu_mask foreign = options.cpu_list.without(allowed);
    if (is_list && !foreign.empty()) {
        std::string_view list = format_cpu_list(foreign, text, sizeof text);
        report("%s: cpus: not ours or not online, left out: %.*s", source, static_cast<int>(list.size()),
               list.data());
    }
    return true;
}

bool plan_workers(const topology &machine, const option_set &options, const char *source,
                  std::vector<worker_cpu> &out)
{
    cpu_mask isolated = read_isolated({});
    cpu_mask cpus;
    out.clear();
    if (!plan_cpus(machine.allowed(), isolated, options, source, cpus))
        return false;
    out.reserve(static_cast<size_t>(cpus.count()));
    for (int cpu = cpus.next(-1); cpu >= 0; cpu = cpus.next(cpu))
        out.push_back({cpu, machine.node_of(cpu), isolated.contains(cpu)});
    return true;
}

} // namespace pw::detail

extern "C" int pw_nr_cpus(void)
{
    return pw::detail::possible_cpus();
}
