// SPDX-License-Identifier: MIT
// A segment as the writer makes it, to be changed as a hostile or broken process could.
#pragma once

#include "catch.h"
#include "stat.h"
#include "stat_segments.h"

#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <vector>

inline constexpr size_t no_seal = 0;

// A segment's bytes, to be changed, and a descriptor with those bytes in it.
class forgery {
  public:
    explicit forgery(const sample_facts &facts = sample_facts())
    {
        pw::detail::stat_segment writer;
        REQUIRE(writer.create(facts, true) == 0);
        writer.row(3)->cells[1].queued = 6;
        writer.row(2)->running = 0x4000;
        writer.row(2)->running_cpu = 41;
        writer.name_function(reinterpret_cast<pw_func_t>(uintptr_t{0x4000}));
        writer.show_workqueue(0, "flusher", false, 7);
        writer.show_workqueue(2, "urgent", true, 9);
        std::vector<int> made = segment_descriptors();
        REQUIRE(made.size() == 1);
        struct stat now;
        REQUIRE(fstat(made[0], &now) == 0);
        bytes.resize(static_cast<size_t>(now.st_size));
        REQUIRE(pread(made[0], bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()));
    }
    ~forgery()
    {
        if (fd_ >= 0)
            close(fd_);
    }
    forgery(const forgery &) = delete;
    forgery &operator=(const forgery &) = delete;

    pw::stat::header &header() { return *reinterpret_cast<pw::stat::header *>(bytes.data()); }

    pw::stat::workqueue &workqueue(size_t place)
    {
        return at<pw::stat::workqueue>(header().workqueue_offset + place * header().workqueue_stride);
    }
    pw::stat::cpu_block &block(size_t index)
    {
        return at<pw::stat::cpu_block>(header().cpu_offset + index * header().cpu_stride);
    }
    pw::stat::histogram &histogram(size_t index, pw::stat::histogram_kind kind)
    {
        size_t place = index * header().histogram_count + kind;
        return at<pw::stat::histogram>(header().histogram_offset + place * header().histogram_stride);
    }
    pw::stat::tally &tally(size_t index, size_t place)
    {
        place += index * header().tally_capacity;
        return at<pw::stat::tally>(header().tally_offset + place * header().tally_stride);
    }
    pw::stat::counter &ran_on(size_t index, size_t where)
    {
        return at<pw::stat::counter>(header().place_offset + index * header().place_stride + where * 8);
    }
    pw::stat::caller_row &row(size_t index)
    {
        return at<pw::stat::caller_row>(header().caller_offset + index * header().caller_stride);
    }
    pw::stat::caller_cell &cell(size_t row_index, size_t index)
    {
        size_t row_at = header().caller_offset + row_index * header().caller_stride;
        return at<pw::stat::caller_cell>(row_at + header().cell_offset + index * header().cell_stride);
    }
    pw::stat::function &function(size_t place)
    {
        return at<pw::stat::function>(header().function_offset + place * header().function_stride);
    }
    // Where that function's name is, or a free place for it.
    pw::stat::function &name_of(uint64_t address)
    {
        auto find = [this](uint64_t wanted) {
            size_t place = 0;
            while (place < header().function_capacity && function(place).address != wanted)
                ++place;
            return place;
        };
        size_t place = find(address);
        if (place == header().function_capacity)
            place = find(0);
        return function(place);
    }

    // A new file with the bytes as they are now.
    int file(unsigned seals = F_SEAL_SHRINK, size_t size = 0)
    {
        if (fd_ >= 0)
            close(fd_);
        fd_ = memfd_create("forged", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        REQUIRE(pwrite(fd_, bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()));
        if (size > 0)
            REQUIRE(ftruncate(fd_, static_cast<off_t>(size)) == 0);
        if (seals != no_seal)
            REQUIRE(fcntl(fd_, F_ADD_SEALS, seals) == 0);
        return fd_;
    }

    std::vector<char> bytes;

  private:
    template <typename T>
    T &at(size_t offset)
    {
        bytes.at(offset + sizeof(T) - 1); // throws beyond the end
        return *reinterpret_cast<T *>(&bytes[offset]);
    }

    int fd_ = -1;
};
