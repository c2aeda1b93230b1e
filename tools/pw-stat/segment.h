// SPDX-License-Identifier: MIT
// Reading another process's stat segment. It is hostile input: everything in it may be wrong on purpose and
// may change while we look. Whatever is read is checked against the file's size first, and what leaves here
// is safe to print.
#pragma once

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace pw::tool {

// Not a segment that we can read; what() says why.
struct bad_segment : std::runtime_error {
    using runtime_error::runtime_error;
};

struct segment_facts {
    int pid; // in the process's own pid namespace
    std::string strategy;
    std::string source;
    std::string lock_method;
    uint64_t start_ns;      // CLOCK_BOOTTIME
    uint32_t ignored_count; // may exceed the texts that were kept
    std::vector<std::string> ignored;
    uint32_t callers_unseen;
    std::vector<int> cpus; // rising, each once
};

struct lock_counts {
    uint64_t remote;    // taken from another CPU, with membarrier(2)
    uint64_t contended; // had to be waited for
};

struct running_function {
    std::string name;
    uint64_t threads;
};

struct cpu_state {
    int cpu;
    int node; // -1: unknown
    bool isolated;
    uint64_t queued;
    uint64_t executed;
    uint64_t cancelled; // of those queued: taken back before they started
    uint64_t pending;   // never "negative": see stat_layout.h
    uint64_t batches;
    uint64_t wakeups;
    lock_counts locks;
    bool sleeping;
    std::string running;                          // what the worker runs, empty if nothing
    std::vector<running_function> caller_running; // lock strategy: what callers run for this CPU
};

struct workqueue_state {
    std::string name;
    bool high; // served before normal ones
};

// A mapped segment.
class segment {
  public:
    // Maps and checks what `fd`, open for reading, refers to; the descriptor stays the caller's. Throws
    // bad_segment.
    explicit segment(int fd);

    const segment_facts &facts() const { return facts_; }

    // The counters now, one element per CPU block. Throws bad_segment.
    std::vector<cpu_state> read_cpus() const;

    // The workqueues that exist now, but for the system one.
    std::vector<workqueue_state> read_workqueues() const;

    // Events of locks of CPUs that have no block.
    lock_counts read_elsewhere() const;

  private:
    // Where `count` elements of `stride` bytes are; all of them within the file.
    struct array {
        uint64_t offset = 0;
        uint64_t stride = 0;
        uint64_t count = 0;
    };
    struct unmap {
        void operator()(const char *base) const;
    };
    void map(int fd);
    void take_header(int fd);
    array checked(const char *what, array claimed, uint64_t least_stride) const;
    uint64_t load(const array &from, uint64_t index, uint64_t field) const;
    std::string text(uint64_t offset, uint64_t size) const;
    cpu_state read_constants(uint64_t index) const;
    void add_running(std::vector<cpu_state> &cpus) const;

    std::unique_ptr<const char, unmap> base_;
    uint64_t usable_ = 0; // bytes of the mapping that the file is known to have
    array ignored_, functions_, workqueues_, cpus_, callers_;
    uint64_t cell_offset_ = 0, cell_stride_ = 0; // within a row
    bool counts_cancelled_ = false;              // the library is recent enough
    segment_facts facts_ = {};
};

} // namespace pw::tool
