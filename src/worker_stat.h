// SPDX-License-Identifier: MIT
// What a worker writes into the stat segment about itself and its CPU. All of it is the worker's own.
//
// What it counts is exact after each item. What takes time is told by looks at the clock, one at each end of
// a turn and one every most_items items; what ran in between, a stretch, shares its time. While the items of
// the last stretch were not short, each one is a stretch of its own: then a look costs little beside it. With
// stats=full each one is, with a look ahead of it as well.
//
// A worker that waits for work looks at the clock anyway. So a turn's begin costs no look of its own: it is when
// that wait saw something, by the last look and the number of looks for work behind it. If the worker was kept from
// its CPU in between, that is too early by as long.
#pragma once

#include "counters.h"
#include "options.h"
#include "stat.h"
#include "tally.h"
#include "workqueue.h"

#include <utility>

#include <pwlocks/base.h>

namespace pw::detail {

class worker_stat {
  public:
    // A deputy's has no tallies: it counts nobody's items.
    void init(stat::cpu_block &block, stats_choice detail)
    {
        block_ = &block;
        detail_ = detail;
        stretch_ = detail == stats_choice::full ? 1 : most_items;
    }
    void init(stat_segment &segment, size_t index, stats_choice detail)
    {
        init(segment.cpu(index), detail);
        segment_ = &segment;
        index_ = index;
    }

    // Its thread runs from here on.
    void begin_thread();

    // When a wait saw that there was something, as far as is known without another look at the clock. 0: not known any more.
    void saw_work(uint64_t when) { seen_ = when; }

    // The worker has taken something: a turn begins here, unless one is under way.
    void enter_turn()
    {
        if (pw_unlikely(!in_turn_))
            begin_turn();
    }

    // Behind the last item, when those who flush know that it has ended: nobody waits for this look at the
    // clock.
    void leave_turn();

    // When that was, for the first who asks; else 0.
    uint64_t take_turn_end() { return std::exchange(turn_end_, 0); }

    // `queued_at` counts with stats=full only.
    void begin_item(pw_func_t function, const pw_workqueue *wq, uint64_t queued_at)
    {
        // Only here: behind a turn's last item the look at the turn's end does, and who waits for it need not wait for ours.
        if (pw_unlikely(items_ >= stretch_))
            end_stretch();
        auto address = reinterpret_cast<uintptr_t>(function);
        uint64_t workqueue = wq ? wq->id : 0;
        if (pw_unlikely(address != function_ || workqueue != workqueue_))
            change_function(address, workqueue);
        if (pw_unlikely(detail_ == stats_choice::full))
            begin_own_stretch(queued_at);
        block_->running.store(address, std::memory_order_release); // a reader sees since when
    }

    void end_item()
    {
        count(block_->executed);
        count(share_->tally->here);
        ++share_->items;
        ++items_;
        if (pw_unlikely(detail_ == stats_choice::full))
            end_stretch();
    }

    // A call of pw_on_each_cpu(), between two items or inside one, whose time the call's is not.
    struct call {
        stat::tally *tally;
        uint64_t began, calls_ns;
        uint64_t running, running_since; // what it interrupts
    };
    call begin_call(void (*function)(int cpu, void *arg));
    void end_call(const call &made);

  private:
    static constexpr unsigned most_items = 16;
    static constexpr uint64_t short_item_ns = 1000;

    struct share {
        stat::tally *tally = nullptr;
        unsigned items = 0;
    };

    bool timed() const { return detail_ != stats_choice::off; }
    stat::tally *tally_of(uint64_t function, uint64_t workqueue);
    void change_function(uint64_t function, uint64_t workqueue);
    void begin_turn();
    void begin_own_stretch(uint64_t queued_at);
    void begin_stretch(uint64_t now);
    void end_stretch();
    void settle(uint64_t now);

    stat::cpu_block *block_ = nullptr;
    uint64_t function_ = 0, workqueue_ = 0; // whose tally the last share is
    share *share_ = shares_;                // of the stretch, the last one
    unsigned items_ = 0;                    // in the stretch
    unsigned stretch_ = most_items;         // how many there are in one
    stats_choice detail_ = stats_choice::off;
    bool in_turn_ = false;
    uint64_t seen_ = 0;     // by saw_work(), or the last turn's end
    uint64_t since_ = 0;    // the stretch's begin
    uint64_t calls_ns_ = 0; // spent since then in calls; inside of one, in those inside it
    uint64_t turn_end_ = 0;
    stat_segment *segment_ = nullptr;
    size_t index_ = 0;
    share shares_[most_items] = {};
};

} // namespace pw::detail
