// SPDX-License-Identifier: MIT
#include "worker_stat.h"

#include "clock.h"

#include <algorithm>

#include <pwlocks/cpu.h>

namespace pw::detail {
namespace {

// Relaxed: a statistic of one writer.
void set(stat::counter &counter, uint64_t value)
{
    counter.store(value, std::memory_order_relaxed);
}

uint64_t get(const stat::counter &counter)
{
    return counter.load(std::memory_order_relaxed);
}

} // namespace

void worker_stat::begin_thread()
{
    if (timed())
        set(block_->idle_since, now_ns());
}

stat::tally *worker_stat::tally_of(uint64_t function, uint64_t workqueue)
{
    auto [tally, fresh] = find_tally(segment_->tallies(index_), function, workqueue);
    if (fresh)
        segment_->name_function(reinterpret_cast<pw_func_t>(function));
    return tally;
}

// There are no more shares than items in a stretch: the last one is only left behind with something in it.
void worker_stat::change_function(uint64_t function, uint64_t workqueue)
{
    if (share_->items > 0)
        ++share_;
    *share_ = {tally_of(function, workqueue), 0};
    function_ = function;
    workqueue_ = workqueue;
}

void worker_stat::begin_turn()
{
    in_turn_ = true;
    set(block_->seen_cpu, static_cast<uint64_t>(pw_this_cpu()) + 1);
    if (!timed())
        return;
    // A deputy does other things as well between two turns.
    uint64_t seen = std::exchange(seen_, 0), idle_since = get(block_->idle_since),
             now = seen != 0 && segment_ && detail_ == stats_choice::on ? std::max(seen, idle_since) : now_ns();
    begin_stretch(now);
    set(block_->turn_since, now);
    set(block_->idle_since, 0);
    add(block_->idle_ns, elapsed(idle_since, now));
}

void worker_stat::leave_turn()
{
    if (!in_turn_)
        return;
    in_turn_ = false;
    set(block_->running, 0);
    if (!timed())
        return;
    uint64_t since = get(block_->turn_since), now = std::max(now_ns(), since);
    if (items_ > 0)
        settle(now);
    set(block_->turn_since, 0);
    set(block_->idle_since, now);
    add(block_->busy_ns, elapsed(since, now));
    turn_end_ = now;
    seen_ = now;
}

void worker_stat::begin_stretch(uint64_t now)
{
    since_ = now;
    calls_ns_ = 0;
    set(block_->running_since, now);
}

void worker_stat::begin_own_stretch(uint64_t queued_at)
{
    uint64_t now = now_ns();
    begin_stretch(now);
    count(bucket_of(segment_->histogram(index_, stat::wait_here), elapsed(queued_at, now)));
}

void worker_stat::end_stretch()
{
    if (timed()) {
        settle(now_ns());
    } else {
        *(share_ = shares_) = {share_->tally, 0};
        items_ = 0;
    }
}

// The stretch's time goes to those whose items ran in it, by number; one that follows begins now.
void worker_stat::settle(uint64_t now)
{
    uint64_t spent = elapsed(since_ + calls_ns_, now), mean = spent / items_;
    for (share *each = shares_; each <= share_; ++each) {
        uint64_t part = each == share_ ? spent : mean * each->items;
        add(each->tally->here_ns, part);
        raise(each->tally->here_longest_ns, mean);
        spent -= part;
    }
    if (detail_ == stats_choice::full)
        count(bucket_of(segment_->histogram(index_, stat::run_here), mean));
    else
        stretch_ = mean >= short_item_ns ? 1 : most_items;
    *(share_ = shares_) = {share_->tally, 0};
    items_ = 0;
    begin_stretch(now);
}

worker_stat::call worker_stat::begin_call(void (*function)(int cpu, void *arg))
{
    enter_turn();
    auto address = reinterpret_cast<uintptr_t>(function);
    call made = {tally_of(address, 0), timed() ? now_ns() : 0, std::exchange(calls_ns_, 0),
                 get(block_->running), get(block_->running_since)};
    set(block_->running_since, made.began);
    block_->running.store(address, std::memory_order_release); // as in begin_item()
    return made;
}

void worker_stat::end_call(const call &made)
{
    count(block_->calls);
    count(made.tally->here);
    block_->running.store(made.running, std::memory_order_relaxed);
    set(block_->running_since, made.running_since);
    if (!timed())
        return;
    uint64_t lasted = elapsed(made.began, now_ns()), own = lasted - std::min(lasted, calls_ns_);
    add(made.tally->here_ns, own);
    raise(made.tally->here_longest_ns, own);
    calls_ns_ = made.calls_ns + lasted;
}

} // namespace pw::detail
