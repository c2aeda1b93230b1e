// SPDX-License-Identifier: MIT
// Shared here: the file that we map and the process writes. We only read. What says where something lies is
// copied once, checked, and used from the copy; what the tables hold is read by segment_tables.cc.
#include "segment.h"

#include "stat_layout.h"
#include "text.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

namespace pw::tool {
namespace {

// More than a writer makes for 8192 CPUs. A larger file is read no further.
constexpr uint64_t most_mapped = uint64_t{256} << 20;
constexpr uint64_t most_stride = uint64_t{1} << 20;
constexpr int most_cpus = 8192;
constexpr uint64_t most_ignored = 64;
constexpr uint64_t longest_ignored = 1023;
constexpr uint64_t most_functions = 65536;
constexpr uint64_t most_workqueues = 65536;
constexpr uint64_t most_histograms = 64; // of one CPU
constexpr uint64_t most_tallies = 1024;  // of one CPU
constexpr uint64_t most_callers = uint64_t{1} << 20;

std::string strategy_name(uint32_t strategy)
{
    return strategy == 0 ? "queue" : strategy == 1 ? "lock" : "?";
}

std::string method_name(uint32_t method)
{
    return method == stat::method_rseq ? "rseq" : method == stat::method_atomic ? "atomic" : "?";
}

struct stat regular_file(int fd)
{
    struct stat file;
    if (fstat(fd, &file) != 0 || !S_ISREG(file.st_mode))
        throw bad_segment("its stat segment is not a regular file");
    return file;
}

bad_segment malformed(const std::string &why)
{
    return bad_segment("its stat segment is malformed: " + why);
}

} // namespace

segment::segment(int fd)
{
    map(fd);
    take_header(fd);
}

void segment::unmap::operator()(const char *base) const
{
    munmap(const_cast<char *>(base), most_mapped);
}

// One length for every file: address space behind a file's end costs nothing, and is not touched.
void segment::map(int fd)
{
    auto size = static_cast<uint64_t>(regular_file(fd).st_size);
    // Read, not mapped: before it is sealed it may shrink.
    uint64_t magic = 0;
    if (pread(fd, &magic, sizeof magic, 0) >= 0 && magic == 0 && (size == 0 || size >= sizeof(stat::header)))
        throw unfinished_segment("its stat segment is not finished yet");
    if (size < sizeof(stat::header))
        throw malformed("shorter than its header");
    // Without this seal the file could shrink under us, and reading it would be a SIGBUS.
    int seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0 || (seals & F_SEAL_SHRINK) == 0)
        throw bad_segment("its stat segment is not sealed against shrinking");
    void *base = mmap(nullptr, most_mapped, PROT_READ, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED)
        throw bad_segment(std::string("its stat segment cannot be mapped: ") + strerror(errno));
    base_.reset(static_cast<const char *>(base));
}

// Copies the header once: what was checked is what is used, whatever the process writes there meanwhile.
void segment::take_header(int fd)
{
    // acquire: pairs with the release at the end of the writer's publish().
    auto magic =
        reinterpret_cast<const std::atomic<uint64_t> *>(base_.get())->load(std::memory_order_acquire);
    if (magic != stat::magic)
        throw malformed("wrong magic number");
    alignas(stat::header) char copy[sizeof(stat::header)];
    memcpy(copy, base_.get(), sizeof copy);
    const auto &header = *reinterpret_cast<const stat::header *>(copy);
    if (header.version != stat::layout_version)
        throw bad_segment("its stat segment has version " + std::to_string(header.version) +
                          ", this pw-stat reads " + std::to_string(stat::layout_version) +
                          ": use the pw-stat that came with its library");
    if (header.header_size < sizeof(stat::header))
        throw malformed("header too short");
    // Only now: a file that grew before the header was copied is as long as the header says.
    std::atomic_thread_fence(std::memory_order_acquire);
    struct stat file = regular_file(fd);
    inode_ = file.st_ino;
    size_ = static_cast<uint64_t>(file.st_size);
    usable_ = std::min(size_, most_mapped);
    take_tables(copy);
    take_facts(copy);
    take_cpus();
}

void segment::take_tables(const void *copied_header)
{
    const auto &header = *static_cast<const stat::header *>(copied_header);
    ignored_ = {header.ignored_offset, header.ignored_stride,
                std::min(header.ignored_count, header.ignored_capacity)};
    ignored_ = checked("ignored options", ignored_, 8, most_ignored);
    functions_ = {header.function_offset, header.function_stride, header.function_capacity};
    functions_ = checked("functions", functions_, offsetof(stat::function, name) + 8, most_functions);
    workqueues_ = {header.workqueue_offset, header.workqueue_stride, header.workqueue_capacity};
    workqueues_ = checked("workqueues", workqueues_, offsetof(stat::workqueue, name) + 8, most_workqueues);
    cpus_ = {header.cpu_offset, header.cpu_stride, header.cpu_count};
    cpus_ = checked("CPUs", cpus_, offsetof(stat::cpu_block, wakes_sent) + sizeof(stat::counter), most_cpus);
    if (cpus_.count == 0)
        throw malformed("no CPUs");

    histogram_count_ = header.histogram_count;
    histograms_ = {header.histogram_offset, header.histogram_stride, cpus_.count * histogram_count_};
    histograms_ = checked("histograms", histograms_, sizeof(stat::histogram), cpus_.count * most_histograms);
    tally_count_ = header.tally_capacity;
    tallies_ = {header.tally_offset, header.tally_stride, cpus_.count * tally_count_};
    tallies_ = checked("tallies", tallies_, sizeof(stat::tally), cpus_.count * most_tallies);
    place_count_ = header.place_count;
    bool fits_cpus =
        place_count_ == 0 || (place_count_ == cpus_.count + 1 && cpus_.count <= stat::most_place_cpus);
    if (!fits_cpus)
        throw malformed("places for another number of CPUs");
    places_ = {header.place_offset, header.place_stride, place_count_ == 0 ? 0 : cpus_.count};
    places_ = checked("places", places_, place_count_ * sizeof(stat::counter), cpus_.count);

    cell_offset_ = header.cell_offset;
    cell_stride_ = header.cell_stride;
    if (cell_offset_ % 8 != 0 || cell_offset_ < sizeof(stat::caller_row) || cell_stride_ % 8 != 0 ||
        cell_stride_ < sizeof(stat::caller_cell))
        throw malformed("cells out of range");
    callers_ = {header.caller_offset, header.caller_stride,
                header.caller_count.load(std::memory_order_relaxed)};
    callers_ = checked("callers", callers_, cell_offset_ + cpus_.count * cell_stride_, most_callers);
}

void segment::take_facts(const void *copied_header)
{
    const auto &header = *static_cast<const stat::header *>(copied_header);
    facts_.pid = header.pid;
    facts_.strategy = strategy_name(header.strategy);
    facts_.lock_method = method_name(header.lock_method);
    facts_.full = header.full != 0;
    facts_.start_ns = header.start_ns;
    facts_.start_monotonic_ns = header.start_monotonic_ns;
    facts_.source = printable({header.source, strnlen(header.source, sizeof header.source)});
    facts_.ignored_count = header.ignored_count;
    for (uint64_t i = 0; i < ignored_.count; ++i)
        facts_.ignored.push_back(printable(text(ignored_, i, 0, longest_ignored)));
    facts_.callers_unseen = header.callers_unseen.load(std::memory_order_relaxed);
}

void segment::take_cpus()
{
    for (uint64_t i = 0; i < cpus_.count; ++i) {
        uint64_t words[2] = {load(cpus_, i, 0), load(cpus_, i, 8)};
        int32_t fields[4]; // cpu, node, isolated, worker_tid
        static_assert(sizeof fields == sizeof words && offsetof(stat::cpu_block, isolated) == 8);
        memcpy(fields, words, sizeof fields);
        if (fields[0] < 0 || fields[0] >= most_cpus)
            throw malformed("CPU number out of range");
        known_cpus_.push_back({fields[0], std::max(fields[1], -1), fields[2] != 0, i});
    }
    std::sort(known_cpus_.begin(), known_cpus_.end(),
              [](const known_cpu &one, const known_cpu &other) { return one.cpu < other.cpu; });
    for (const known_cpu &each : known_cpus_) {
        if (!facts_.cpus.empty() && facts_.cpus.back() == each.cpu)
            throw malformed("two blocks of CPU " + std::to_string(each.cpu));
        facts_.cpus.push_back(each.cpu);
    }
}

segment::array segment::checked(const char *what, array claimed, uint64_t least_stride, uint64_t most) const
{
    if (claimed.count > most)
        throw malformed(std::string("too many ") + what);
    // Stride and count are bounded, so that their product cannot overflow.
    bool in_range = claimed.stride % 8 == 0 && claimed.offset % 8 == 0 && claimed.stride >= least_stride &&
                    claimed.stride <= most_stride && claimed.offset <= usable_ &&
                    claimed.count * claimed.stride <= usable_ - claimed.offset;
    if (!in_range)
        throw malformed(std::string(what) + " out of range");
    return claimed;
}

// The rows that exist by now, as far as they are in the file as it was when it was mapped.
uint64_t segment::caller_count() const
{
    uint64_t now = header_number(offsetof(stat::header, caller_count));
    return std::min({now, most_callers, (usable_ - callers_.offset) / callers_.stride});
}

bool segment::is_all_of(int fd) const
{
    struct stat now;
    // Memfds lie in one file system, whose numbers come again after four thousand million files.
    return fstat(fd, &now) == 0 && now.st_ino == inode_ && static_cast<uint64_t>(now.st_size) == size_;
}

// A word of an element. acquire: what was written before a count is seen by whoever saw the count; the order
// of `executed`, `cancelled` and `queued` and the names of functions and workqueues depend on it.
uint64_t segment::load(const array &from, uint64_t place, uint64_t field) const
{
    const char *word = base_.get() + from.offset + place * from.stride + field;
    return reinterpret_cast<const std::atomic<uint64_t> *>(word)->load(std::memory_order_acquire);
}

// Of 32 bits. acquire: as above.
uint32_t segment::header_number(uint64_t field) const
{
    return reinterpret_cast<const std::atomic<uint32_t> *>(base_.get() + field)
        ->load(std::memory_order_acquire);
}

// Zero-terminated, in what is left of the element, and no longer than `most` bytes. Copies first: the end is
// looked for in what nobody changes any more.
std::string segment::text(const array &from, uint64_t place, uint64_t field, uint64_t most) const
{
    std::string copy(base_.get() + from.offset + place * from.stride + field,
                     std::min(from.stride - field, most));
    copy.resize(strnlen(copy.data(), copy.size()));
    return copy;
}

} // namespace pw::tool
