// SPDX-License-Identifier: MIT
// Segments as the library's writer makes them, without most of what is empty in them: a fuzzer makes more of
// a few kilobytes.
#include "fuzz_segment.h"
#include "stat_segments.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <sys/stat.h>

namespace {

uint64_t now_ns()
{
    timespec now = {};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

// What a runtime might have written by now.
void fill(pw::detail::stat_segment &writer, const sample_facts &facts)
{
    uint64_t function = 0x4000;
    for (size_t i = 0; i < facts.cpus.size(); ++i) {
        pw::stat::cpu_block &block = writer.cpu(i);
        block.worker_tid = static_cast<uint32_t>(100 + i);
        block.executed = 20 * i;
        block.batches = block.wakeups = block.wakes_sent = 7;
        block.seen_cpu = static_cast<uint64_t>(facts.cpus[i].cpu) + 1;
        block.busy_ns = block.idle_ns = 1'000'000;
        if (i == 0) {
            block.running = function;
            block.running_since = block.turn_since = now_ns() - 1'000'000;
        } else {
            block.sleeping = 1;
            block.idle_since = now_ns() - 2'000'000;
        }
        block.locks.remote = block.locks.contended = 3;
        block.locks.waited_ns = 5'000;
        auto tallies = writer.tallies(i);
        for (size_t t = 0; t < 2; ++t) {
            tallies[t].function = t == 0 ? function : pw::stat::other_functions;
            tallies[t].workqueue = t == 0 ? 7 : 0;
            tallies[t].here = tallies[t].away = 10 + t;
            tallies[t].here_ns = tallies[t].away_ns = 1'000 * (i + 1);
            tallies[t].here_longest_ns = 400;
        }
        for (pw::stat::counter &place : writer.places(i))
            place = i;
        for (uint32_t kind = 0; kind < pw::stat::histogram_kinds; ++kind)
            writer.histogram(i, static_cast<pw::stat::histogram_kind>(kind)).buckets[10 + i] = 5;
    }
    auto *row = writer.row(1);
    row->running = function;
    row->running_cpu = static_cast<uint64_t>(facts.cpus.back().cpu);
    row->running_since = now_ns();
    row->cells[0].queued = 30;
    row->cells[0].executed = row->cells[0].cancelled = row->cells[0].coalesced = 2;
    writer.name_function(reinterpret_cast<pw_func_t>(function));
    writer.name_function(reinterpret_cast<pw_func_t>(uintptr_t{0x5000}));
    writer.show_workqueue(0, "flusher", false, 7);
    writer.show_workqueue(1, "urgent", true, 8);
}

std::vector<uint8_t> contents(int fd)
{
    struct stat file = {};
    if (fstat(fd, &file) != 0)
        abort();
    std::vector<uint8_t> bytes(static_cast<size_t>(file.st_size));
    if (pread(fd, bytes.data(), bytes.size(), 0) != file.st_size)
        abort();
    return bytes;
}

// The same segment with few places in each table.
class compaction {
  public:
    explicit compaction(std::vector<uint8_t> whole)
        : whole_(std::move(whole)), small_(sizeof(pw::stat::header))
    {
        memcpy(small_.data(), whole_.data(), small_.size());
        const auto &from = *reinterpret_cast<const pw::stat::header *>(whole_.data());
        uint64_t cpus = from.cpu_count;

        uint64_t offset = start();
        take(from.ignored_offset, from.ignored_stride * std::min(2u, from.ignored_capacity));
        header().ignored_offset = offset;
        header().ignored_capacity = 2;

        offset = start();
        uint32_t functions = 0;
        for (uint32_t i = 0; i < from.function_capacity; ++i) {
            uint64_t at = from.function_offset + i * from.function_stride;
            if (reinterpret_cast<const pw::stat::function *>(&whole_[at])->address == 0)
                continue;
            take(at, from.function_stride);
            ++functions;
        }
        auto &named = *reinterpret_cast<pw::stat::function *>(&small_[offset]);
        strcpy(named.name, "_ZN5cache5drainERKSt6vectorIiSaIiEES4_P9pw_struct");
        header().function_offset = offset;
        header().function_capacity = functions;

        offset = start();
        take(from.workqueue_offset, 3 * from.workqueue_stride);
        header().workqueue_offset = offset;
        header().workqueue_capacity = 3;

        offset = start();
        take(from.cpu_offset, cpus * from.cpu_stride);
        header().cpu_offset = offset;

        offset = start();
        take(from.histogram_offset, cpus * from.histogram_count * from.histogram_stride);
        header().histogram_offset = offset;

        offset = start();
        for (uint64_t i = 0; i < cpus; ++i)
            take(from.tally_offset + i * from.tally_capacity * from.tally_stride, 3 * from.tally_stride);
        header().tally_offset = offset;
        header().tally_capacity = 3;

        offset = start();
        take(from.place_offset, from.place_count == 0 ? 0 : cpus * from.place_stride);
        header().place_offset = offset;

        offset = start();
        take(from.caller_offset, from.caller_count * from.caller_stride);
        header().caller_offset = offset;
        header().segment_size = small_.size();
    }

    std::vector<uint8_t> result() { return std::move(small_); }

  private:
    pw::stat::header &header() { return *reinterpret_cast<pw::stat::header *>(small_.data()); }

    uint64_t start()
    {
        small_.resize((small_.size() + 7) / 8 * 8);
        return small_.size();
    }

    void take(uint64_t offset, uint64_t size)
    {
        if (offset + size > whole_.size())
            abort();
        small_.insert(small_.end(), &whole_[offset], &whole_[offset] + size);
    }

    std::vector<uint8_t> whole_, small_;
};

} // namespace

std::vector<seed> make_seeds()
{
    std::vector<seed> seeds;
    for (pw_strategy_t strategy : {PW_STRATEGY_QUEUE, PW_STRATEGY_LOCK})
        for (size_t cpus : {1, 3}) {
            sample_facts facts;
            facts.strategy = strategy;
            facts.cpus.resize(cpus);
            facts.ignored.add("PWLOCKS: \"2x\" is no strategy");
            pw::detail::stat_facts told = facts;
            told.full = cpus > 1;
            pw::detail::stat_segment writer;
            if (writer.create(told, true) != 0)
                abort();
            fill(writer, facts);
            std::string name = strategy == PW_STRATEGY_LOCK ? "lock-" : "queue-";
            seeds.push_back(
                {name + std::to_string(cpus), compaction(contents(segment_descriptors().at(0))).result()});
        }
    return seeds;
}
