// SPDX-License-Identifier: MIT
#include "segment.h"

#include "stat_layout.h"
#include "text.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <map>
#include <set>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unordered_map>
#include <utility>

namespace pw::tool {
namespace {

// More than a writer ever makes: it keeps to about 64 MiB. A larger file is read no further.
constexpr uint64_t most_mapped = uint64_t{128} << 20;
constexpr uint64_t most_stride = uint64_t{1} << 20;
constexpr int most_cpus = 8192;
constexpr uint64_t most_ignored = 64;
constexpr uint64_t most_functions = 65536;
constexpr uint64_t most_workqueues = 65536;
constexpr uint64_t longest_workqueue_name = 255; // bytes; libraries allow fewer
// Headers and cells that a library wrote which knew no workqueues and could not cancel.
constexpr size_t oldest_header = offsetof(stat::header, workqueue_capacity);
constexpr size_t oldest_cell = offsetof(stat::caller_cell, cancelled);
constexpr size_t most_names = 4; // of functions that callers run for one CPU; further ones share a name

std::string strategy_name(uint32_t strategy)
{
    return strategy == 0 ? "queue" : strategy == 1 ? "lock" : "?";
}

std::string method_name(uint32_t method)
{
    return method == stat::method_rseq ? "rseq" : method == stat::method_atomic ? "atomic" : "?";
}

std::string hexadecimal(uint64_t number)
{
    char digits[24];
    snprintf(digits, sizeof digits, "0x%llx", static_cast<unsigned long long>(number));
    return digits;
}

uint64_t size_of(int fd)
{
    struct stat file;
    if (fstat(fd, &file) != 0 || !S_ISREG(file.st_mode))
        throw bad_segment("its stat segment is not a regular file");
    return static_cast<uint64_t>(file.st_size);
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
    if (size_of(fd) < sizeof(stat::header))
        throw bad_segment("its stat segment is malformed: shorter than its header");
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
    if (magic == 0)
        throw bad_segment("its stat segment is not finished yet");
    if (magic != stat::magic)
        throw bad_segment("its stat segment is malformed: wrong magic number");
    alignas(stat::header) char copy[sizeof(stat::header)];
    memcpy(copy, base_.get(), sizeof copy);
    const auto &header = *reinterpret_cast<const stat::header *>(copy);
    if (header.version != stat::layout_version)
        throw bad_segment("its stat segment has version " + std::to_string(header.version) +
                          ", this pw-stat reads " + std::to_string(stat::layout_version) +
                          ": use the pw-stat that came with its library");
    if (header.header_size < oldest_header)
        throw bad_segment("its stat segment is malformed: header too short");
    // Only now: a file that grew before the header was copied is as long as the header says.
    std::atomic_thread_fence(std::memory_order_acquire);
    usable_ = std::min(size_of(fd), most_mapped);

    ignored_ = {header.ignored_offset, header.ignored_stride,
                std::min(header.ignored_count, header.ignored_capacity)};
    ignored_ = checked("ignored options", ignored_, 8);
    functions_ = {header.function_offset, header.function_stride, header.function_capacity};
    functions_ = checked("functions", functions_, offsetof(stat::function, name) + 8);
    if (header.header_size >= offsetof(stat::header, workqueue_offset) + sizeof header.workqueue_offset) {
        workqueues_ = {header.workqueue_offset, header.workqueue_stride, header.workqueue_capacity};
        workqueues_ = checked("workqueues", workqueues_, offsetof(stat::workqueue, name) + 8);
    }
    cpus_ = {header.cpu_offset, header.cpu_stride, header.cpu_count};
    cpus_ = checked("CPUs", cpus_, offsetof(stat::cpu_block, locks) + sizeof(stat::lock_events));
    cell_offset_ = header.cell_offset;
    cell_stride_ = header.cell_stride;
    counts_cancelled_ = cell_stride_ >= oldest_cell + sizeof(stat::counter);
    if (ignored_.count > most_ignored || functions_.count > most_functions ||
        workqueues_.count > most_workqueues || cpus_.count > static_cast<uint64_t>(most_cpus))
        throw bad_segment("its stat segment is malformed: a table is too long");
    if (cell_offset_ % 8 != 0 || cell_offset_ < sizeof(stat::caller_row) || cell_stride_ % 8 != 0 ||
        cell_stride_ < oldest_cell)
        throw bad_segment("its stat segment is malformed: cells out of range");
    callers_ = {header.caller_offset, header.caller_stride,
                header.caller_count.load(std::memory_order_relaxed)};
    callers_ = checked("callers", callers_, cell_offset_ + cpus_.count * cell_stride_);

    facts_.pid = header.pid;
    facts_.strategy = strategy_name(header.strategy);
    facts_.lock_method = method_name(header.lock_method);
    facts_.start_ns = header.start_ns;
    facts_.source = printable({header.source, strnlen(header.source, sizeof header.source)});
    facts_.ignored_count = header.ignored_count;
    for (uint64_t i = 0; i < ignored_.count; ++i)
        facts_.ignored.push_back(printable(text(ignored_.offset + i * ignored_.stride, ignored_.stride)));
    facts_.callers_unseen = header.callers_unseen.load(std::memory_order_relaxed);
    std::set<int> numbers;
    for (uint64_t i = 0; i < cpus_.count; ++i)
        numbers.insert(read_constants(i).cpu);
    facts_.cpus.assign(numbers.begin(), numbers.end());
}

segment::array segment::checked(const char *what, array claimed, uint64_t least_stride) const
{
    // All three come from 32-bit fields but the offset, so that the product cannot overflow.
    bool in_range = claimed.stride % 8 == 0 && claimed.offset % 8 == 0 && claimed.stride >= least_stride &&
                    claimed.stride <= most_stride && claimed.offset <= usable_ &&
                    claimed.count * claimed.stride <= usable_ - claimed.offset;
    if (!in_range)
        throw bad_segment(std::string("its stat segment is malformed: ") + what + " out of range");
    return claimed;
}

// A word of an element. acquire: what was written before a count is seen by whoever saw the count; the order
// of `executed`, `cancelled` and `queued` and the names of functions and workqueues depend on it.
uint64_t segment::load(const array &from, uint64_t index, uint64_t field) const
{
    const char *word = base_.get() + from.offset + index * from.stride + field;
    return reinterpret_cast<const std::atomic<uint64_t> *>(word)->load(std::memory_order_acquire);
}

// Copies first: the length is looked for in what nobody changes any more.
std::string segment::text(uint64_t offset, uint64_t size) const
{
    std::string copy(base_.get() + offset, size);
    copy.resize(strnlen(copy.data(), size));
    return copy;
}

cpu_state segment::read_constants(uint64_t index) const
{
    uint64_t words[2] = {load(cpus_, index, 0), load(cpus_, index, 8)};
    int32_t fields[4]; // cpu, node, isolated, worker_tid
    static_assert(sizeof fields == sizeof words && offsetof(stat::cpu_block, isolated) == 8);
    memcpy(fields, words, sizeof fields);
    if (fields[0] < 0 || fields[0] >= most_cpus)
        throw bad_segment("its stat segment is malformed: CPU number out of range");
    cpu_state state = {};
    state.cpu = fields[0];
    state.node = fields[1];
    state.isolated = fields[2] != 0;
    return state;
}

std::vector<cpu_state> segment::read_cpus() const
{
    std::vector<cpu_state> cpus;
    for (uint64_t i = 0; i < cpus_.count; ++i) {
        cpu_state state = read_constants(i);
        state.batches = load(cpus_, i, offsetof(stat::cpu_block, batches));
        state.wakeups = load(cpus_, i, offsetof(stat::cpu_block, wakeups));
        uint64_t locks = offsetof(stat::cpu_block, locks);
        state.locks = {load(cpus_, i, locks + offsetof(stat::lock_events, remote)),
                       load(cpus_, i, locks + offsetof(stat::lock_events, contended))};
        cpus.push_back(std::move(state));
    }
    // Two passes, in this order: see stat_layout.h.
    auto sum_of = [this](uint64_t cpu, uint64_t field) {
        uint64_t sum = 0;
        for (uint64_t row = 0; row < callers_.count; ++row)
            sum += load(callers_, row, cell_offset_ + cpu * cell_stride_ + field);
        return sum;
    };
    for (uint64_t i = 0; i < cpus_.count; ++i)
        cpus[i].executed = load(cpus_, i, offsetof(stat::cpu_block, executed)) +
                           sum_of(i, offsetof(stat::caller_cell, executed));
    for (uint64_t i = 0; counts_cancelled_ && i < cpus_.count; ++i)
        cpus[i].cancelled = sum_of(i, offsetof(stat::caller_cell, cancelled));
    for (uint64_t i = 0; i < cpus_.count; ++i) {
        cpus[i].queued = sum_of(i, offsetof(stat::caller_cell, queued));
        uint64_t over = cpus[i].executed + cpus[i].cancelled;
        cpus[i].pending = cpus[i].queued > over ? cpus[i].queued - over : 0;
        // Last: a worker that sleeps although something is pending has not run since that was queued.
        cpus[i].sleeping = load(cpus_, i, offsetof(stat::cpu_block, sleeping)) != 0;
    }
    add_running(cpus);
    return cpus;
}

std::vector<workqueue_state> segment::read_workqueues() const
{
    std::vector<workqueue_state> workqueues;
    constexpr uint64_t name = offsetof(stat::workqueue, name);
    for (uint64_t i = 0; i < workqueues_.count; ++i) {
        uint64_t word = load(workqueues_, i, 0);
        uint32_t fields[2]; // state, high
        static_assert(sizeof fields == sizeof word && offsetof(stat::workqueue, high) == 4);
        memcpy(fields, &word, sizeof fields);
        if (fields[0] != 1)
            continue;
        std::string label = text(workqueues_.offset + i * workqueues_.stride + name,
                                 std::min(workqueues_.stride - name, longest_workqueue_name));
        // One that was destroyed meanwhile may have left its place, and half of this name, to another.
        std::atomic_thread_fence(std::memory_order_acquire);
        if (load(workqueues_, i, 0) == word)
            workqueues.push_back({printable(label), fields[1] != 0});
    }
    return workqueues;
}

lock_counts segment::read_elsewhere() const
{
    auto word = [this](uint64_t field) {
        const char *place = base_.get() + offsetof(stat::header, elsewhere) + field;
        // Relaxed: a statistic.
        return reinterpret_cast<const std::atomic<uint64_t> *>(place)->load(std::memory_order_relaxed);
    };
    return {word(offsetof(stat::lock_events, remote)), word(offsetof(stat::lock_events, contended))};
}

// Who runs what, with names from the function table.
void segment::add_running(std::vector<cpu_state> &cpus) const
{
    std::unordered_map<uint64_t, uint64_t> places;
    for (uint64_t i = 0; i < functions_.count; ++i)
        if (uint64_t address = load(functions_, i, 0); address != 0)
            places.emplace(address, i);
    auto name_of = [&](uint64_t address) {
        auto place = places.find(address);
        if (place == places.end())
            return hexadecimal(address);
        uint64_t offset =
            functions_.offset + place->second * functions_.stride + offsetof(stat::function, name);
        return printable(readable_symbol(text(offset, functions_.stride - offsetof(stat::function, name))));
    };
    for (uint64_t i = 0; i < cpus_.count; ++i)
        if (uint64_t address = load(cpus_, i, offsetof(stat::cpu_block, running)); address != 0)
            cpus[i].running = name_of(address);

    std::map<int, std::map<uint64_t, uint64_t>> by_cpu; // CPU, function, threads
    for (uint64_t row = 0; row < callers_.count; ++row) {
        uint64_t address = load(callers_, row, offsetof(stat::caller_row, running));
        uint64_t cpu = load(callers_, row, offsetof(stat::caller_row, running_cpu));
        if (address == 0 || cpu >= static_cast<uint64_t>(most_cpus))
            continue;
        auto &functions = by_cpu[static_cast<int>(cpu)];
        bool room = functions.size() < most_names || functions.contains(address);
        ++functions[room ? address : 0];
    }
    for (cpu_state &state : cpus)
        if (auto found = by_cpu.find(state.cpu); found != by_cpu.end())
            for (auto [address, threads] : found->second)
                state.caller_running.push_back({address == 0 ? "others" : name_of(address), threads});
}

} // namespace pw::tool
