// SPDX-License-Identifier: MIT
// Shared: the chunks and their records, written by any thread that holds the space's mutex. The objects
// themselves are their owners' business; only clear() and give_back() write there, to space that is in no
// object.
//
// A chunk is (CPUs x stride) of address space with a stride of no access behind it. It is reserved without
// access and opened up in every CPU's stride only as far as objects reach: for a program that called
// mlockall(MCL_FUTURE) the kernel populates whatever may be accessed. Nothing here touches memory that was
// never in an object.
//
// A chunk is never unmapped. A thread that unlocks looks at `waiters` after it has stored 0 to `owner`, and
// by then the next owner may have freed the object.
#include "percpu.h"

#include "report.h"
#include "topology.h"

#include <algorithm>
#include <bit>
#include <bitset>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <numaif.h>
#include <sys/mman.h>
#include <type_traits>
#include <unistd.h>
#include <utility>

// LeakSanitizer's, if the program has it: pointers in per-CPU memory keep what they point to.
extern "C" [[gnu::weak]] void __lsan_register_root_region(const void *start, size_t size);

namespace pw::detail {
namespace {

constexpr size_t stride = PW_PERCPU_MAX;
constexpr size_t commit_step = 64 * 1024;
constexpr size_t unit = 8; // sizes and alignments are multiples
constexpr size_t units_per_chunk = stride / unit;
constexpr size_t clean_granule = 4096; // divides every page size
static_assert(stride % commit_step == 0 && commit_step % clean_granule == 0);

constexpr size_t round_up(size_t value, size_t to)
{
    return (value + to - 1) & ~(to - 1);
}

constexpr size_t round_down(size_t value, size_t to)
{
    return value & ~(to - 1);
}

// One bit for each unit of a chunk.
class unit_map {
  public:
    bool contains(size_t at) const { return (words_[at / bits] >> (at % bits) & 1) != 0; }

    void insert(size_t first, size_t end)
    {
        for_words(first, end, [this](size_t word, uint64_t mask) { words_[word] |= mask; });
    }

    void erase(size_t first, size_t end)
    {
        for_words(first, end, [this](size_t word, uint64_t mask) { words_[word] &= ~mask; });
    }

    // The first unit from `at` on, and before `end`, that is in the map (or not in it); `end` if there is
    // none.
    size_t next(bool in, size_t at, size_t end) const
    {
        while (at < end) {
            uint64_t word = in ? words_[at / bits] : ~words_[at / bits];
            word >>= at % bits;
            if (word != 0)
                return std::min(at + static_cast<size_t>(std::countr_zero(word)), end);
            at = round_down(at, bits) + bits;
        }
        return end;
    }

  private:
    static constexpr size_t bits = 64;

    template <typename Function>
    static void for_words(size_t first, size_t end, Function function)
    {
        while (first < end) {
            size_t count = std::min(bits - first % bits, end - first);
            function(first / bits, (~uint64_t{0} >> (bits - count)) << (first % bits));
            first += count;
        }
    }

    uint64_t words_[units_per_chunk / bits] = {};
};

// Pages that are given back unless somebody keeps them.
class mapping {
  public:
    mapping(size_t size, int protection) : size_(size)
    {
        int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
        void *start = mmap(nullptr, size, protection, flags, -1, 0);
        start_ = start == MAP_FAILED ? nullptr : static_cast<char *>(start);
    }
    ~mapping()
    {
        if (start_ != nullptr)
            munmap(start_, size_);
    }
    mapping(const mapping &) = delete;
    mapping &operator=(const mapping &) = delete;

    char *start() const { return start_; }

    // Keeps one part for good, the rest goes back.
    void keep(char *first, size_t size)
    {
        char *start = std::exchange(start_, nullptr);
        if (first != start)
            munmap(start, static_cast<size_t>(first - start));
        char *rest = first + size;
        if (rest != start + size_)
            munmap(rest, static_cast<size_t>(start + size_ - rest));
    }

  private:
    char *start_;
    size_t size_;
};

// Places each CPU's stride on that CPU's node, one call for CPUs in a row. CPUs of no known node (offline
// ones) keep the default, the node of the first thread that touches a page. The node's own files are read
// because libnuma's numa_node_of_cpu() ends the program when it is called before libnuma's constructor has
// run, and takes heap memory.
void place_on_nodes(const percpu_machine &machine, char *base, int cpus)
{
    cpu_mask nodes; // the kernel lists nodes as it lists CPUs
    if (!read_cpu_list(machine.roots, "/devices/system/node/online", nodes) || nodes.count() < 2)
        return;
    for (int node = nodes.next(-1); node >= 0; node = nodes.next(node)) {
        char file[64];
        snprintf(file, sizeof file, "/devices/system/node/node%d/cpulist", node);
        cpu_mask there;
        if (!read_cpu_list(machine.roots, file, there))
            continue;
        for (int first = there.next(-1), last; first >= 0 && first < cpus; first = there.next(last)) {
            for (last = first; last + 1 < cpus && there.contains(last + 1);)
                ++last;
            machine.bind_to_node(base + static_cast<size_t>(first) * stride,
                                 static_cast<size_t>(last - first + 1) * stride, node);
        }
    }
}

constinit percpu_space process_space({possible_cpus, {}, bind_to_node});
static_assert(std::is_trivially_destructible_v<percpu_space>, "usable after exit handlers");

} // namespace

int bind_to_node(void *start, size_t length, int node)
{
    constexpr size_t max_nodes = 1024; // Linux's own bound
    constexpr size_t bits = 8 * sizeof(unsigned long);
    unsigned long mask[max_nodes / bits] = {};
    size_t index = static_cast<size_t>(node);
    if (index >= max_nodes)
        return -EINVAL;
    mask[index / bits] = 1UL << (index % bits);
    // The kernel takes the number of bits plus one.
    return mbind(start, length, MPOL_PREFERRED, mask, max_nodes + 1, 0) == 0 ? 0 : -errno;
}

struct percpu_space::chunk {
    explicit chunk(char *where) : base(where) {}

    static constexpr size_t none = units_per_chunk + 1;

    // The lowest `units` free ones in a row, aligned to `align` units; none if there is no such place.
    size_t find(size_t units, size_t align)
    {
        if (units >= refused)
            return none;
        first_free = used.next(false, first_free, units_per_chunk);
        for (size_t at = round_up(first_free, align); at + units <= units_per_chunk;) {
            size_t busy = used.next(true, at, at + units);
            if (busy == at + units)
                return at;
            at = round_up(used.next(false, busy, units_per_chunk), align);
        }
        // Any run of units + align - 1 would have held it.
        refused = std::min(refused, units + align - 1);
        return none;
    }

    size_t end_of(size_t first) const
    {
        size_t end = used.next(false, first, units_per_chunk);
        return starts.next(true, first + 1, end);
    }

    chunk *next = nullptr;
    char *const base; // CPU 0's stride; aligned to the stride
    size_t committed = 0;
    size_t objects = 0;
    size_t first_free = 0; // no unit below is free
    size_t refused = none; // no run of free units is this long
    unit_map used;
    unit_map starts; // where objects start, and where freed ones did until their space is reused
    std::bitset<stride / clean_granule> dirty; // an object has lain there; the others are zero for every CPU
};

void *percpu_space::allocate(size_t size, size_t align)
{
    if (size == 0 || size > stride || !std::has_single_bit(align) || align > stride) {
        errno = EINVAL;
        return nullptr;
    }
    size_t units = round_up(size, unit) / unit;
    size_t align_units = std::max(align, unit) / unit;
    int saved_errno = errno;
    void *object = nullptr;
    {
        std::lock_guard guard(mutex_);
        chunk *fitting = first_;
        size_t at = chunk::none;
        while (fitting != nullptr && (at = fitting->find(units, align_units)) == chunk::none)
            fitting = fitting->next;
        if (fitting == nullptr) {
            fitting = open_chunk();
            at = 0;
        }
        if (fitting != nullptr)
            object = take(*fitting, at, units);
    }
    errno = object != nullptr ? saved_errno : ENOMEM;
    return object;
}

void *percpu_space::take(chunk &from, size_t first, size_t units)
{
    size_t begin = first * unit;
    size_t end = begin + units * unit;
    if (!commit(from, end))
        return nullptr;
    clear(from, begin, end);
    for (size_t at = round_down(begin, clean_granule); at < end; at += clean_granule)
        from.dirty.set(at / clean_granule);
    from.used.insert(first, first + units);
    from.starts.erase(first, first + units);
    from.starts.insert(first, first + 1);
    ++from.objects;
    return from.base + begin;
}

const char *percpu_space::release(void *ptr)
{
    int saved_errno = errno;
    uintptr_t address = reinterpret_cast<uintptr_t>(ptr);
    std::lock_guard guard(mutex_);
    for (chunk *owner = first_; owner != nullptr; owner = owner->next) {
        size_t offset = address - reinterpret_cast<uintptr_t>(owner->base);
        if (offset >= cpus() * stride) // also an address below the base
            continue;
        if (offset >= stride)
            return "one CPU's instance, not the per-CPU pointer";
        size_t first = offset / unit;
        bool at_start = offset % unit == 0 && owner->starts.contains(first);
        if (!owner->used.contains(first))
            return at_start ? "freed before" : "not from pw_alloc_percpu";
        if (!at_start)
            return "not the start of an object";
        size_t end = owner->end_of(first);
        owner->used.erase(first, end);
        owner->first_free = std::min(owner->first_free, first);
        owner->refused = chunk::none;
        --owner->objects;
        give_back(*owner, offset, end * unit);
        errno = saved_errno;
        return nullptr;
    }
    return "not from pw_alloc_percpu";
}

percpu_usage percpu_space::usage()
{
    percpu_usage sum;
    std::lock_guard guard(mutex_);
    for (const chunk *each = first_; each != nullptr; each = each->next) {
        ++sum.chunks;
        sum.objects += each->objects;
        sum.committed += each->committed;
        for (size_t at = 0; at < units_per_chunk;) {
            size_t free = each->used.next(false, at, units_per_chunk);
            sum.allocated += (free - at) * unit;
            sum.free_extents += free < units_per_chunk ? 1 : 0;
            at = each->used.next(true, free, units_per_chunk);
        }
    }
    return sum;
}

percpu_space::chunk *percpu_space::open_chunk()
{
    size_t accessible = 0;
    size_t reserved = 0;
    // A stride of guard behind the last CPU, and one to align within.
    if (__builtin_mul_overflow(cpus(), stride, &accessible) ||
        __builtin_add_overflow(accessible, 2 * stride, &reserved))
        return nullptr;
    mapping space(reserved, PROT_NONE);
    mapping record(sizeof(chunk), PROT_READ | PROT_WRITE);
    if (space.start() == nullptr || record.start() == nullptr)
        return nullptr;
    char *base = space.start() + (-reinterpret_cast<uintptr_t>(space.start()) & (stride - 1));
    space.keep(base, accessible + stride);
    // A huge page would span two CPUs' strides, hence nodes. Fails where there are none.
    madvise(base, accessible, MADV_NOHUGEPAGE);
    place_on_nodes(machine_, base, machine_.cpus());
    if (__lsan_register_root_region != nullptr)
        __lsan_register_root_region(base, accessible);
    chunk *opened = std::construct_at(reinterpret_cast<chunk *>(record.start()), base);
    record.keep(record.start(), sizeof(chunk));
    (last_ == nullptr ? first_ : last_->next) = opened;
    last_ = opened;
    return opened;
}

// Opens up every CPU's stride as far as `end`. False if the kernel refuses; what was opened until then does
// no harm.
bool percpu_space::commit(chunk &grown, size_t end)
{
    size_t wanted = round_up(end, commit_step);
    if (wanted <= grown.committed)
        return true;
    for (size_t cpu = 0; cpu < cpus(); ++cpu) {
        char *start = grown.base + cpu * stride + grown.committed;
        if (mprotect(start, wanted - grown.committed, PROT_READ | PROT_WRITE) != 0)
            return false;
    }
    grown.committed = wanted;
    return true;
}

// Makes space that is in no object zero again for every CPU. Looks first and writes only where it must:
// looking at a page that was never written maps the kernel's shared page of zeros and takes no memory.
void percpu_space::clear(const chunk &reused, size_t begin, size_t end)
{
    using word [[gnu::may_alias]] = uint64_t;
    for (size_t cpu = 0; cpu < cpus(); ++cpu) {
        for (size_t at = begin; at < end;) {
            size_t part_end = std::min(round_down(at, clean_granule) + clean_granule, end);
            if (reused.dirty.test(at / clean_granule)) {
                char *instance = reused.base + cpu * stride;
                // relaxed: the mutex orders these; atomic only because a thread that unlocked here may still
                // look at `waiters`, see above
                for (; at < part_end; at += unit) {
                    word *place = reinterpret_cast<word *>(instance + at);
                    if (__atomic_load_n(place, __ATOMIC_RELAXED) != 0)
                        __atomic_store_n(place, 0, __ATOMIC_RELAXED);
                }
            }
            at = part_end;
        }
    }
}

// Gives the whole pages of a large freed object back to the kernel, which makes them zero. Small ones stay:
// the kernel interrupts every CPU that runs this process, the isolated ones too, to take a page away.
void percpu_space::give_back(chunk &freed, size_t begin, size_t end)
{
    size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    size_t first = round_up(begin, page);
    size_t last = round_down(end, page);
    if (end - begin < commit_step || first >= last)
        return;
    for (size_t cpu = 0; cpu < cpus(); ++cpu)
        if (madvise(freed.base + cpu * stride + first, last - first, MADV_DONTNEED) != 0)
            return; // locked in memory: clear() has to do it
    for (size_t at = first; at < last; at += clean_granule)
        freed.dirty.reset(at / clean_granule);
}

void percpu_before_fork()
{
    process_space.lock();
}

void percpu_after_fork_parent()
{
    process_space.unlock();
}

void percpu_after_fork_child()
{
    process_space.unlock();
}

} // namespace pw::detail

void *pw_alloc_percpu(size_t size, size_t align)
{
    return pw::detail::process_space.allocate(size, align);
}

void pw_free_percpu(void *ptr)
{
    if (ptr == nullptr)
        return;
    const char *wrong = pw::detail::process_space.release(ptr);
    if (wrong != nullptr)
        pw::detail::die("pw_free_percpu: %s: %p", wrong, ptr);
}
