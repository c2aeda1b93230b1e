// SPDX-License-Identifier: MIT
#include "watched.h"

#include "watchdog.h"
#include "worker.h"

namespace pw::detail {
namespace {

// Relaxed, all: statistics, which need not agree with one another.
uint64_t look_at(const stat::counter &counter)
{
    return counter.load(std::memory_order_relaxed);
}

class runtime_source final : public watch_source {
  public:
    void watch(const stat_segment &segment)
    {
        segment_ = &segment;
        workers_ = 0;
        for_each_active([this](pw::detail::worker &) { ++workers_; });
    }

    size_t workers() const override { return workers_; }
    size_t callers() const override { return gate.strategy == PW_STRATEGY_LOCK ? segment_->rows() : 0; }

    watched_worker worker(size_t index) const override
    {
        pw::detail::worker *found = nullptr;
        for_each_active([&](pw::detail::worker &each) {
            if (each.index == index)
                found = &each;
        });
        const stat::cpu_block &block = *found->block;
        watched_worker seen;
        seen.cpu = found->cpu;
        seen.tid = static_cast<pid_t>(std::atomic_ref(const_cast<uint32_t &>(block.worker_tid)).load(std::memory_order_relaxed));
        seen.has_work = !found->queue.nothing_arrived() || !found->high.nothing_arrived() || !found->calls.nothing_arrived();
        seen.sleeping = look_at(block.sleeping);
        seen.running = look_at(block.running);
        seen.progress = look_at(block.executed) + look_at(block.batches) + look_at(block.wakeups);
        return seen;
    }

    watched_caller caller(size_t index) const override
    {
        const stat::caller_row &row = segment_->row_at(index);
        watched_caller seen;
        seen.cpu = static_cast<int>(look_at(row.running_cpu));
        seen.running = look_at(row.running);
        seen.progress = look_at(row.started);
        return seen;
    }

  private:
    const stat_segment *segment_ = nullptr;
    size_t workers_ = 0;
};

constinit watchdog dog;
constinit runtime_source source;

} // namespace

void start_watching(int limit_ms, const cpu_mask &housekeeping, const stat_segment &segment)
{
    source.watch(segment);
    dog.start(limit_ms, housekeeping, source);
}

void stop_watching()
{
    dog.stop();
}

void forget_watching()
{
    dog.forget();
}

} // namespace pw::detail
