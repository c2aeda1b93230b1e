// SPDX-License-Identifier: MIT
// Reading another process's stat segment. It is hostile input: everything in it may be wrong on purpose and
// may change while we look. Whatever is read is checked against the file's size first, its amount is bounded,
// and what leaves here is safe to print.
#pragma once

#include "snapshot.h"

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <vector>

namespace pw::tool {

// Not a segment that we can read; what() says why.
struct bad_segment : std::runtime_error {
    using runtime_error::runtime_error;
};

// Not one yet: the process is about to start its runtime.
struct unfinished_segment : bad_segment {
    using bad_segment::bad_segment;
};

struct segment_facts {
    int pid = 0; // in the process's own pid namespace
    std::string strategy;
    std::string source;
    std::string lock_method;
    bool full = false;               // stats=full
    uint64_t start_ns = 0;           // CLOCK_BOOTTIME
    uint64_t start_monotonic_ns = 0; // CLOCK_MONOTONIC at that moment
    uint32_t ignored_count = 0;      // may exceed the texts that were kept
    std::vector<std::string> ignored;
    uint32_t callers_unseen = 0;
    std::vector<int> cpus; // rising, each once, at least one
};

// A mapped segment.
class segment {
  public:
    // Maps and checks what `fd`, open for reading, refers to; the descriptor stays the caller's. Throws
    // bad_segment.
    explicit segment(int fd);

    const segment_facts &facts() const { return facts_; }

    // What it holds now, but for rows of callers behind the end that the file had when it was mapped. A run that the
    // process does not time is taken to have begun when it was first seen.
    snapshot read() const;

    // Whether `fd` is the same file, and has not grown since it was mapped.
    bool is_all_of(int fd) const;

    // The file's, which no other segment of the process has.
    uint64_t inode() const { return inode_; }

  private:
    // Where `count` elements of `stride` bytes are; all of them within the file.
    struct array {
        uint64_t offset = 0;
        uint64_t stride = 0;
        uint64_t count = 0;
    };
    // What never changes of a CPU, and its place in the tables.
    struct known_cpu {
        int cpu;
        int node;
        bool isolated;
        uint64_t place;
    };
    // What a caller runs and the process does not time.
    struct untimed_run {
        uint64_t started, function; // which run of that row it is
        uint64_t seen_ns;
    };
    struct unmap {
        void operator()(const char *base) const;
    };
    class reading;        // segment_tables.cc
    class function_names; // function_names.h

    void map(int fd);
    void take_header(int fd);
    void take_tables(const void *copied_header);
    void take_facts(const void *copied_header);
    void take_cpus();
    array checked(const char *what, array claimed, uint64_t least_stride, uint64_t most) const;
    uint64_t caller_count() const;
    uint64_t load(const array &from, uint64_t place, uint64_t field) const;
    uint32_t header_number(uint64_t field) const;
    std::string text(const array &from, uint64_t place, uint64_t field, uint64_t most) const;

    uint64_t inode_ = 0, size_ = 0;
    uint64_t usable_ = 0; // bytes of the mapping that the file is known to have
    std::unique_ptr<const char, unmap> base_;
    array ignored_, functions_, workqueues_, cpus_, histograms_, tallies_, places_, callers_;
    uint64_t histogram_count_ = 0, tally_count_ = 0, place_count_ = 0; // of one CPU
    uint64_t cell_offset_ = 0, cell_stride_ = 0;                       // within a row
    std::vector<known_cpu> known_cpus_;                                // by rising number
    segment_facts facts_;
    mutable std::unordered_map<uint64_t, untimed_run> untimed_; // by the row's number: those of the last read()
};

} // namespace pw::tool
