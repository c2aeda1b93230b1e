// SPDX-License-Identifier: MIT
// Shared here: the segment's memory. Workers, callers and lockers write their parts (see stat_layout.h);
// create(), row() and destroy() are serialized by the runtime; name_function() may run on any number of
// threads, also beside row().
#include "stat.h"

#include "report.h"
#include "symbol.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <fcntl.h>
#include <memory>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U // Linux 6.3
#endif

namespace pw::detail {
namespace {

constexpr size_t line = 128; // two cache lines, which some processors fetch as a pair
constexpr size_t address_space = size_t{64} << 20;
constexpr size_t least_rows = 256;
constexpr size_t most_rows = 65536;
constexpr size_t last_resort_rows = 16;
constexpr size_t function_capacity = 512;
constexpr size_t longest_probe = 16;
constexpr size_t workqueue_capacity = 64;
constexpr size_t tally_capacity = 128;

constexpr size_t round_up(size_t size, size_t step)
{
    return (size + step - 1) / step * step;
}

size_t page_size()
{
    return static_cast<size_t>(sysconf(_SC_PAGESIZE));
}

// Bounded copy that always ends the string; `to` is zeroed memory.
void copy_text(char *to, size_t size, const char *text)
{
    memcpy(to, text, strnlen(text, size - 1));
}

uint64_t read_clock(clockid_t clock)
{
    timespec now = {};
    clock_gettime(clock, &now);
    return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

// A memfd, above the standard descriptors: a program started with those closed must not find the segment
// there.
int open_memfd()
{
    // Linux may insist on MFD_NOEXEC_SEAL (vm.memfd_noexec=2), and old ones do not know it.
    int fd = memfd_create(stat::segment_name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
    if (fd < 0 && errno == EINVAL)
        fd = memfd_create(stat::segment_name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return -errno;
    if (fd > STDERR_FILENO)
        return fd;
    int higher = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    int error = errno;
    close(fd);
    return higher < 0 ? -error : higher;
}

bool is_lack_of_resources(int error)
{
    return error == -ENOMEM || error == -EMFILE || error == -ENFILE;
}

} // namespace

stat_segment::plan stat_segment::plan_for(const stat_facts &facts)
{
    size_t cpus = facts.cpus.size();
    bool has_places = facts.strategy == PW_STRATEGY_LOCK && cpus <= stat::most_place_cpus;
    plan layout;
    layout.ignored = round_up(sizeof(stat::header), line);
    layout.functions = round_up(layout.ignored + sizeof(ignored_options::text), line);
    layout.workqueues = layout.functions + function_capacity * sizeof(stat::function);
    layout.cpus = round_up(layout.workqueues + workqueue_capacity * sizeof(stat::workqueue), line);
    layout.histograms = layout.cpus + cpus * sizeof(stat::cpu_block);
    layout.tallies = layout.histograms + cpus * stat::histogram_kinds * sizeof(stat::histogram);
    layout.places = layout.tallies + cpus * tally_capacity * sizeof(stat::tally);
    layout.place_count = has_places ? cpus + 1 : 0;
    layout.place_stride = round_up(layout.place_count * sizeof(stat::counter), line);
    layout.callers = layout.places + cpus * layout.place_stride;
    layout.row_stride = round_up(sizeof(stat::caller_row) + cpus * sizeof(stat::caller_cell), line);
    layout.row_capacity = std::clamp(address_space / layout.row_stride, least_rows, most_rows);
    return layout;
}

stat::cpu_block &stat_segment::cpu(size_t index) const
{
    return reinterpret_cast<stat::cpu_block *>(base_ + plan_.cpus)[index];
}

stat::histogram &stat_segment::histogram(size_t index, stat::histogram_kind kind) const
{
    return reinterpret_cast<stat::histogram *>(base_ + plan_.histograms)[index * stat::histogram_kinds + kind];
}

std::span<stat::tally> stat_segment::tallies(size_t index) const
{
    return {reinterpret_cast<stat::tally *>(base_ + plan_.tallies) + index * tally_capacity, tally_capacity};
}

std::span<stat::counter> stat_segment::places(size_t index) const
{
    return {reinterpret_cast<stat::counter *>(base_ + plan_.places + index * plan_.place_stride), plan_.place_count};
}

stat::lock_events &stat_segment::locks_of(int index) const
{
    return index < 0 ? head().elsewhere : cpu(static_cast<size_t>(index)).locks;
}

// Whether fd_ still is our file.
bool stat_segment::holds_file() const
{
    struct stat now;
    return fd_ >= 0 && fstat(fd_, &now) == 0 && now.st_dev == device_ && now.st_ino == inode_;
}

// Makes the first `size` bytes of the mapping usable, all at once allocated: running out of memory is an
// error here, but a SIGBUS at the first store later.
int stat_segment::grow(size_t size)
{
    size = round_up(size, page_size());
    if (size <= file_size_)
        return 0;
    if (size > mapped_)
        return -ENOMEM;
    if (fd_ < 0) {
        if (mprotect(base_ + file_size_, size - file_size_, PROT_READ | PROT_WRITE) != 0)
            return -errno;
        file_size_ = size;
        return 0;
    }
    // Beyond this limit the kernel would send SIGXFSZ.
    rlimit limit;
    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY && size > limit.rlim_cur)
        return -EFBIG;
    if (!holds_file())
        return -EBADF;
    int result;
    do
        result = fallocate(fd_, 0, 0, static_cast<off_t>(size));
    while (result != 0 && errno == EINTR);
    if (result != 0 && errno == EOPNOTSUPP)
        result = ftruncate(fd_, static_cast<off_t>(size));
    if (result != 0)
        return errno == ENOSPC ? -ENOMEM : -errno;
    file_size_ = size;
    return 0;
}

// Maps the plan's whole length, with fewer rows if that much address space or, after mlockall(MCL_FUTURE),
// that much lockable memory is not to be had.
int stat_segment::reserve(int protection, int flags)
{
    for (;;) {
        size_t length = round_up(plan_.end(), page_size());
        void *base = mmap(nullptr, length, protection, flags, fd_, 0);
        if (base != MAP_FAILED) {
            base_ = static_cast<char *>(base);
            mapped_ = length;
            return 0;
        }
        if ((errno != EAGAIN && errno != ENOMEM) || plan_.row_capacity <= last_resort_rows)
            return -ENOMEM;
        plan_.row_capacity /= 2;
    }
}

// The mapping reaches beyond the file's end; mlockall(MCL_FUTURE) locks what the file holds.
int stat_segment::map_file(size_t wanted)
{
    fd_ = open_memfd();
    if (fd_ < 0)
        return fd_;
    struct stat made;
    if (fstat(fd_, &made) != 0) {
        close(std::exchange(fd_, -1));
        return -ENOMEM;
    }
    device_ = made.st_dev;
    inode_ = made.st_ino;
    if (int error = reserve(PROT_READ | PROT_WRITE, MAP_SHARED))
        return error;
    if (int error = grow(wanted))
        return error;
    // From here on the file can only grow, and only this mapping (and a fork's copy of it) can write.
    if (fcntl(fd_, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL) != 0)
        return -errno;
    return 0;
}

// Without access until it is needed, so that mlockall(MCL_FUTURE) does not make all of it resident.
int stat_segment::map_anonymous(size_t wanted)
{
    if (int error = reserve(PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE))
        return error;
    return grow(wanted);
}

int stat_segment::create(const stat_facts &facts, bool visible)
{
    destroy();
    plan_ = plan_for(facts);
    size_t wanted = plan_.callers + plan_.row_stride; // room for one row at least
    int error = visible ? map_file(wanted) : map_anonymous(wanted);
    if (visible && error != 0 && !is_lack_of_resources(error)) {
        destroy();
        static constinit std::atomic_flag reported;
        if (!reported.test_and_set())
            report("stat: no sealed memfd: %s: pw-stat cannot see this process", strerrordesc_np(-error));
        plan_ = plan_for(facts);
        error = map_anonymous(wanted);
    }
    if (error != 0) {
        destroy();
        return is_lack_of_resources(error) ? error : -ENOMEM;
    }
    publish(facts);
    return 0;
}

void stat_segment::publish(const stat_facts &facts)
{
    auto &head = *std::construct_at(reinterpret_cast<stat::header *>(base_));
    head.version = stat::layout_version;
    head.header_size = sizeof(stat::header);
    head.segment_size = file_size_;
    head.pid = getpid();
    head.strategy = facts.strategy;
    head.lock_method = facts.lock_method;
    head.full = facts.full;
    head.start_ns = read_clock(CLOCK_BOOTTIME);
    head.start_monotonic_ns = read_clock(CLOCK_MONOTONIC);
    copy_text(head.source, sizeof head.source, facts.source);

    head.ignored_capacity = ignored_options::capacity;
    head.ignored_stride = ignored_options::text_size;
    head.ignored_offset = plan_.ignored;
    if (facts.ignored) {
        head.ignored_count = static_cast<uint32_t>(facts.ignored->count);
        int kept = std::min(facts.ignored->count, ignored_options::capacity);
        for (int i = 0; i < kept; ++i)
            copy_text(base_ + plan_.ignored + static_cast<size_t>(i) * ignored_options::text_size,
                      ignored_options::text_size, facts.ignored->text[i]);
    }

    head.function_capacity = function_capacity;
    head.function_stride = sizeof(stat::function);
    head.function_offset = plan_.functions;

    head.workqueue_capacity = workqueue_capacity;
    head.workqueue_stride = sizeof(stat::workqueue);
    head.workqueue_offset = plan_.workqueues;

    head.histogram_offset = plan_.histograms;
    head.histogram_stride = sizeof(stat::histogram);
    head.histogram_count = stat::histogram_kinds;
    head.tally_offset = plan_.tallies;
    head.tally_stride = sizeof(stat::tally);
    head.tally_capacity = tally_capacity;
    head.place_offset = plan_.places;
    head.place_stride = static_cast<uint32_t>(plan_.place_stride);
    head.place_count = static_cast<uint32_t>(plan_.place_count);

    head.cpu_count = static_cast<uint32_t>(facts.cpus.size());
    head.cpu_stride = sizeof(stat::cpu_block);
    head.cpu_offset = plan_.cpus;
    for (size_t i = 0; i < facts.cpus.size(); ++i) {
        auto &block = *std::construct_at(&cpu(i));
        block.cpu = facts.cpus[i].cpu;
        block.node = facts.cpus[i].node;
        block.isolated = facts.cpus[i].isolated;
    }

    head.caller_capacity = static_cast<uint32_t>(plan_.row_capacity);
    head.caller_stride = static_cast<uint32_t>(plan_.row_stride);
    head.caller_offset = plan_.callers;
    head.cell_stride = sizeof(stat::caller_cell);
    head.cell_offset = offsetof(stat::caller_row, cells);
    // release: pairs with the acquire of the magic in pw-stat; publishes everything above.
    head.magic.store(stat::magic, std::memory_order_release);
}

void stat_segment::destroy()
{
    if (base_)
        munmap(base_, mapped_);
    if (holds_file())
        close(fd_);
    base_ = nullptr;
    mapped_ = file_size_ = 0;
    rows_given_ = rows_refused_ = 0;
    fd_ = -1;
}

stat::caller_row *stat_segment::row(size_t slot)
{
    size_t given = std::min(slot, plan_.row_capacity - 1);
    if (grow(plan_.callers + (given + 1) * plan_.row_stride) != 0)
        given = std::min(given, (file_size_ - plan_.callers) / plan_.row_stride - 1);
    if (given != slot)
        head().callers_unseen.store(++rows_refused_, std::memory_order_relaxed); // relaxed: a statistic
    rows_given_ = std::max(rows_given_, static_cast<uint32_t>(given + 1));
    // release: pairs with the acquire in pw-stat, which then finds the file at least that long.
    head().caller_count.store(rows_given_, std::memory_order_release);
    return reinterpret_cast<stat::caller_row *>(base_ + plan_.callers + given * plan_.row_stride);
}

void stat_segment::show_workqueue(size_t place, const char *name, bool high, uint64_t id)
{
    if (place >= workqueue_capacity)
        return;
    auto &slot = reinterpret_cast<stat::workqueue *>(base_ + plan_.workqueues)[place];
    slot.state.store(0, std::memory_order_release); // what follows is not of the one before
    if (!name[0])
        return;
    slot.high = high;
    slot.id = id;
    memset(slot.name, 0, sizeof slot.name);
    copy_text(slot.name, sizeof slot.name, name);
    slot.state.store(1, std::memory_order_release); // pairs with the acquire in pw-stat; publishes the name
}

void stat_segment::name_function(pw_func_t function)
{
    auto address = reinterpret_cast<uint64_t>(function);
    auto *table = reinterpret_cast<stat::function *>(base_ + plan_.functions);
    size_t place = (address >> 4) * 0x9e3779b97f4a7c15 >> 32;
    for (size_t probe = 0; probe < longest_probe; ++probe, ++place) {
        // Relaxed: only the number matters here, nobody in this process reads the name.
        uint64_t found = table[place % function_capacity].address.load(std::memory_order_relaxed);
        if (found == address)
            return;
        if (found == 0)
            return add_function(address, place, longest_probe - probe);
    }
}

// No lock: it would be held across a fork, or by a thread of lower priority. Two threads that come here with
// the same function at once may name it twice, in neighbouring slots, which is harmless.
void stat_segment::add_function(uint64_t address, size_t place, size_t probes)
{
    auto *table = reinterpret_cast<stat::function *>(base_ + plan_.functions);
    symbol_name name(reinterpret_cast<pw_func_t>(address));
    for (; probes > 0; --probes, ++place) {
        stat::function &slot = table[place % function_capacity];
        uint64_t found = 0;
        // Relaxed: who claims the slot is alone with its name until the address is published.
        if (slot.address.compare_exchange_strong(found, stat::claimed, std::memory_order_relaxed)) {
            copy_text(slot.name, sizeof slot.name, name.text());
            // release: pairs with the acquire in pw-stat; publishes the name.
            slot.address.store(address, std::memory_order_release);
            return;
        }
        if (found == address)
            return;
    }
}

} // namespace pw::detail
