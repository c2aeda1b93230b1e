// SPDX-License-Identifier: MIT
// What the lock strategy writes into the stat segment: what ran for a CPU in its lane, for how long, and on
// which CPU.
//
// Who writes what: the thread that runs something, its row and its own execution; whoever holds the lane's
// mutex, the rest.
//
// Two looks at the clock cost as much as all the rest of a short item. So with stats=on a function's first run is timed, and
// each one while its runs take long_run_ns in the mean; else one of `sampled`, which stands for as many. With stats=full each one.
#pragma once

#include "clock.h"
#include "counters.h"
#include "item.h"
#include "tally.h"
#include "worker.h"

#include <pwlocks/cpu.h>

namespace pw::detail {

// Something that runs in a lane, once. On the stack of the thread that runs it. What has no value here gets
// one when it begins or ends: every store between two locked instructions makes the second one wait.
struct execution {
    stat::tally *tally = nullptr;
    bool fresh = false;     // as found_tally has it
    unsigned weight = 0;    // runs that this one's time stands for; 0: it is not timed
    uint64_t queued_at = 0; // with stats=full, if it was not run at once: the lower bits of when
    uint64_t waited, began, lasted; // 0 where it is not timed
    size_t place;                   // where it ran
    // What the row showed before; the other two only where there was something.
    uint64_t outer, outer_cpu, outer_since;
};

class lane_stat {
  public:
    void init(stat_segment &segment, size_t index)
    {
        segment_ = &segment;
        index_ = index;
        places_ = segment.places(index);
    }

    // Under the mutex: what is about to run.
    void admit(execution &next, uintptr_t function, const pw_workqueue *wq)
    {
        uint64_t workqueue = wq ? wq->id : 0;
        if (pw_unlikely(function != function_ || workqueue != workqueue_)) {
            function_ = function;
            workqueue_ = workqueue;
            found_tally found = find_tally(segment_->tallies(index_), function, workqueue);
            tally_ = found.tally;
            next.fresh = found.fresh;
        }
        next.tally = tally_;
        next.weight = weight_of(*tally_);
    }

    // The thread that runs it, on either side of that.
    void begin(execution &now, uintptr_t function, stat::caller_row &row, int cpu) const
    {
        if (pw_unlikely(now.fresh)) {
            segment_->name_function(reinterpret_cast<pw_func_t>(function));
            now.fresh = false;
        }
        if (!places_.empty())
            now.place = place_here();
        now.began = now.weight > 0 ? now_ns() : 0;
        if (pw_unlikely(gate.stats == stats_choice::full))
            now.waited = now.queued_at ? item_state::since_handed_over(now.queued_at, now.began) : 0;
        // Relaxed, all: statistics of this thread's own; but a reader that sees what runs sees since when,
        // and for which CPU.
        now.outer = row.running.load(std::memory_order_relaxed);
        if (pw_unlikely(now.outer != 0)) {
            now.outer_cpu = row.running_cpu.load(std::memory_order_relaxed);
            now.outer_since = row.running_since.load(std::memory_order_relaxed);
        }
        row.running_cpu.store(static_cast<uint64_t>(cpu), std::memory_order_relaxed);
        row.running_since.store(now.began, std::memory_order_relaxed);
        row.started.store(row.started.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
        row.running.store(function, std::memory_order_release);
    }
    static void end(execution &now, stat::caller_row &row)
    {
        now.lasted = now.weight > 0 ? elapsed(now.began, now_ns()) : 0;
        if (pw_unlikely(now.outer != 0)) {
            row.running_cpu.store(now.outer_cpu, std::memory_order_relaxed);
            row.running_since.store(now.outer_since, std::memory_order_relaxed);
        }
        row.running.store(now.outer, std::memory_order_release);
    }

    // Under the mutex: what has run, an item or, by the second, a call.
    void add_item(const execution &done) const
    {
        add_run(done);
        if (pw_unlikely(gate.stats == stats_choice::full)) {
            count(bucket_of(segment_->histogram(index_, stat::wait_away), done.waited));
            count(bucket_of(segment_->histogram(index_, stat::run_away), done.lasted));
        }
    }
    void add_run(const execution &done) const
    {
        count(done.tally->away);
        if (!places_.empty())
            count(places_[done.place]);
        if (pw_unlikely(done.lasted > 0)) {
            // A long one among short ones stands for itself.
            add(done.tally->away_ns, done.lasted < long_run_ns ? done.lasted * done.weight : done.lasted);
            raise(done.tally->away_longest_ns, done.lasted);
        }
    }

  private:
    static constexpr unsigned sampled = 256;
    static constexpr uint64_t long_run_ns = 2500;

    static unsigned weight_of(const stat::tally &tally)
    {
        if (pw_unlikely(gate.stats != stats_choice::on))
            return gate.stats == stats_choice::full;
        // Relaxed, twice: written under the mutex, as this is.
        uint64_t runs = tally.away.load(std::memory_order_relaxed);
        if (pw_unlikely(tally.away_ns.load(std::memory_order_relaxed) >= runs * long_run_ns))
            return 1; // the first one among them
        return runs % sampled == 0 ? sampled : 0;
    }

    // The last one for CPUs that have no block, and for a thread that does not know where it is.
    size_t place_here() const
    {
        auto cpu = static_cast<unsigned>(pw_this_cpu());
        if (pw_unlikely(cpu >= static_cast<unsigned>(gate.cpus)))
            return places_.size() - 1;
        const worker &there = *worker_of(static_cast<int>(cpu));
        return there.active ? there.index : places_.size() - 1;
    }

    uint64_t function_ = 0, workqueue_ = 0; // of what was admitted last
    stat::tally *tally_ = nullptr;          // theirs
    std::span<stat::counter> places_;
    stat_segment *segment_ = nullptr;
    size_t index_ = 0;
};

} // namespace pw::detail
