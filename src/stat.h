// SPDX-License-Identifier: MIT
// The stat segment's writer: creation, rows for calling threads, names of functions. See stat_layout.h.
#pragma once

#include "options.h"
#include "stat_layout.h"
#include "topology.h"

#include <pwlocks/runtime.h>
#include <pwlocks/work.h>

#include <span>
#include <sys/types.h>

namespace pw::detail {

struct stat_facts {
    pw_strategy_t strategy;
    const char *source;
    stat::lock_method lock_method;
    const ignored_options *ignored;
    std::span<const worker_cpu> cpus;
    bool full = false;
};

// One segment per start of the runtime. With `visible` false the same memory without a memfd: the writers
// need no branch and nobody sees it. The mapping covers the largest possible number of rows from the start
// and never moves; the file grows as rows are handed out, and is sealed against shrinking and against new
// writable mappings.
class stat_segment {
  public:
    stat_segment() = default;
    ~stat_segment() { destroy(); }
    stat_segment(const stat_segment &) = delete;
    stat_segment &operator=(const stat_segment &) = delete;

    // 0, -ENOMEM, -EMFILE, -ENFILE. Where memfds or seals do not exist, or RLIMIT_FSIZE forbids the file:
    // reports it once and falls back to invisible memory.
    int create(const stat_facts &facts, bool visible);

    // Unmaps and closes. Also right in a fork's child, where it drops the parent's segment.
    void destroy();

    bool created() const { return base_ != nullptr; }
    stat::cpu_block &cpu(size_t index) const;

    // Of the CPU with that block, or of all that have none.
    stat::lock_events &locks_of(int index) const;

    // Of the CPU with that block: a histogram, the tallies, and how often its items ran on which CPU under the lock strategy, by the
    // blocks' order, at the end elsewhere. That one is empty under queue, and where there are too many CPUs.
    stat::histogram &histogram(size_t index, stat::histogram_kind kind) const;
    std::span<stat::tally> tallies(size_t index) const;
    std::span<stat::counter> places(size_t index) const;

    bool full() const { return head().full; }
    uint64_t start_ns() const { return head().start_monotonic_ns; }

    // The row of caller slot `slot` (0, 1, 2 ... in any order), growing the file to hold it; beyond the
    // capacity, or if the file cannot grow, the last row, counted in callers_unseen. Serialized by the
    // caller.
    stat::caller_row *row(size_t slot);

    // The rows given out so far, by any thread: their number, and one of them.
    size_t rows() const { return head().caller_count.load(std::memory_order_acquire); }
    const stat::caller_row &row_at(size_t index) const
    {
        return *reinterpret_cast<const stat::caller_row *>(base_ + plan_.callers + index * plan_.row_stride);
    }

    // Publishes the name of `function` if it is not there yet. Any thread. Takes no lock and allocates
    // nothing; the first time for a function it searches the symbols of that function's module.
    void name_function(pw_func_t function);

    // Shows a workqueue at that place, or none with an empty name. Serialized by the caller.
    void show_workqueue(size_t place, const char *name, bool high, uint64_t id);

  private:
    struct plan {
        size_t ignored, functions, workqueues, cpus, histograms, tallies, places, callers; // offsets
        size_t row_stride, row_capacity;
        size_t place_count, place_stride;
        size_t end() const { return callers + row_capacity * row_stride; }
    };
    static plan plan_for(const stat_facts &facts);
    int reserve(int protection, int flags);
    int map_file(size_t wanted);
    int map_anonymous(size_t wanted);
    int grow(size_t size);
    bool holds_file() const;
    void publish(const stat_facts &facts);
    stat::header &head() const { return *reinterpret_cast<stat::header *>(base_); }
    void add_function(uint64_t address, size_t place, size_t probes);

    char *base_ = nullptr;
    size_t mapped_ = 0;
    size_t file_size_ = 0;
    plan plan_ = {};
    uint32_t rows_given_ = 0;
    uint32_t rows_refused_ = 0;
    int fd_ = -1;
    // What fd_ is: a program that closes all descriptors may have given the number to a file of its own.
    dev_t device_ = 0;
    ino_t inode_ = 0;
};

} // namespace pw::detail
