// SPDX-License-Identifier: MIT
// What this process's stat segment holds right now, read as it lies there, by its header's offsets.
#pragma once

#include "../src/stat_layout.h"

#include <cstdint>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <sys/mman.h>
#include <sys/stat.h>

#include <fcntl.h>
#include <unistd.h>

struct tally_counts {
    uint64_t here = 0, here_ns = 0, here_longest_ns = 0;
    uint64_t away = 0, away_ns = 0, away_longest_ns = 0;
};

struct cell_counts {
    uint64_t queued = 0, executed = 0, cancelled = 0, coalesced = 0;
};

class own_segment {
  public:
    own_segment()
    {
        for (const auto &entry : std::filesystem::directory_iterator("/proc/self/fd")) {
            std::error_code closed; // the iterator's own
            auto link = std::filesystem::read_symlink(entry.path(), closed).string();
            if (link.starts_with(std::string("/memfd:") + pw::stat::segment_name))
                map(entry.path());
        }
        if (!base_)
            throw std::runtime_error("this process has no stat segment");
    }
    ~own_segment() { munmap(const_cast<char *>(base_), size_); }
    own_segment(const own_segment &) = delete;
    own_segment &operator=(const own_segment &) = delete;

    const pw::stat::header &head() const { return at<pw::stat::header>(0); }

    // The CPU's place among those with a block.
    size_t index_of(int cpu) const
    {
        for (size_t i = 0; i < head().cpu_count; ++i)
            if (block_at(i).cpu == cpu)
                return i;
        throw std::runtime_error("this CPU has no block");
    }
    const pw::stat::cpu_block &block(int cpu) const { return block_at(index_of(cpu)); }

    const pw::stat::caller_row &row(size_t index) const
    {
        return at<pw::stat::caller_row>(head().caller_offset + index * head().caller_stride);
    }

    // What all threads did for that CPU.
    cell_counts cells(int cpu) const
    {
        cell_counts sum;
        for (size_t row = 0; row < head().caller_count; ++row) {
            const auto &cell =
                at<pw::stat::caller_cell>(head().caller_offset + row * head().caller_stride +
                                          head().cell_offset + index_of(cpu) * head().cell_stride);
            sum.queued += cell.queued;
            sum.executed += cell.executed;
            sum.cancelled += cell.cancelled;
            sum.coalesced += cell.coalesced;
        }
        return sum;
    }

    // Of one function and workqueue on that CPU, wherever in its table; of any function where that is null.
    tally_counts tallied(int cpu, const void *function = nullptr, uint64_t workqueue = 0) const
    {
        tally_counts sum;
        for (size_t i = 0; i < head().tally_capacity; ++i) {
            const auto &each = at<pw::stat::tally>(
                head().tally_offset + (index_of(cpu) * head().tally_capacity + i) * head().tally_stride);
            if (function &&
                (each.function != reinterpret_cast<uintptr_t>(function) || each.workqueue != workqueue))
                continue;
            sum.here += each.here;
            sum.here_ns += each.here_ns;
            sum.here_longest_ns = std::max<uint64_t>(sum.here_longest_ns, each.here_longest_ns);
            sum.away += each.away;
            sum.away_ns += each.away_ns;
            sum.away_longest_ns = std::max<uint64_t>(sum.away_longest_ns, each.away_longest_ns);
        }
        return sum;
    }

    const pw::stat::histogram &histogram(int cpu, pw::stat::histogram_kind kind) const
    {
        return at<pw::stat::histogram>(head().histogram_offset +
                                       (index_of(cpu) * head().histogram_count + kind) *
                                           head().histogram_stride);
    }

    // How many of a CPU's items ran on another one; with -1 where there is no block.
    uint64_t ran_on(int cpu, int where) const
    {
        size_t place = where < 0 ? head().cpu_count : index_of(where);
        return at<pw::stat::counter>(head().place_offset + index_of(cpu) * head().place_stride +
                                     place * sizeof(pw::stat::counter));
    }

    bool names(const void *function) const
    {
        for (size_t i = 0; i < head().function_capacity; ++i)
            if (at<pw::stat::function>(head().function_offset + i * head().function_stride).address ==
                reinterpret_cast<uintptr_t>(function))
                return true;
        return false;
    }

  private:
    void map(const std::string &path)
    {
        int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
        struct stat file;
        if (fd < 0 || fstat(fd, &file) != 0)
            throw std::runtime_error("cannot open " + path);
        size_ = static_cast<size_t>(file.st_size);
        void *base = mmap(nullptr, size_, PROT_READ, MAP_SHARED, fd, 0);
        close(fd);
        if (base == MAP_FAILED)
            throw std::runtime_error("cannot map " + path);
        base_ = static_cast<const char *>(base);
    }
    template <typename T>
    const T &at(uint64_t offset) const
    {
        if (offset + sizeof(T) > size_)
            throw std::runtime_error("beyond the segment's end");
        return *reinterpret_cast<const T *>(base_ + offset);
    }
    const pw::stat::cpu_block &block_at(size_t index) const
    {
        return at<pw::stat::cpu_block>(head().cpu_offset + index * head().cpu_stride);
    }

    const char *base_ = nullptr;
    size_t size_ = 0;
};

inline uint64_t total(const pw::stat::histogram &histogram)
{
    uint64_t sum = 0;
    for (const pw::stat::counter &each : histogram.buckets)
        sum += each;
    return sum;
}

// Of those that took at least `ns`, or nearly: the whole bucket that it falls into.
inline uint64_t from_bucket_of(const pw::stat::histogram &histogram, uint64_t ns)
{
    uint64_t sum = 0;
    for (unsigned i = std::bit_width(ns); i < pw::stat::histogram_buckets; ++i)
        sum += histogram.buckets[i];
    return sum;
}
