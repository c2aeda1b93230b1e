// SPDX-License-Identifier: MIT
// stress_random's items that everybody uses at any time, also from inside work. Nobody knows what a call on
// one will return. But the sums must be right when everything has ended; and what was posted before a
// queueing must have been seen when a flush behind it returns, if nothing was cancelled meanwhile.
#pragma once

#include "random_calls.h"
#include "random_model.h"
#include "small_random.h"

#include <deque>
#include <vector>

namespace stress {

inline constexpr int most_threads = 16;

struct world;
inline world *here; // of this round

// An item for everybody.
struct shared_item : counted_item {
    int number;
    bool high;       // always of that priority
    bool cancelable; // or it is only queued and flushed: then every post counts
    // Relaxed, all: they order nothing, so it is the library that makes a post visible.
    std::atomic<long> accepted{0}, cancelled{0};
    std::atomic<long> cancels_begun{0}, cancels_ended{0}; // also of pw_mod_delayed_on()
    std::atomic<long> posted[most_threads]{}, seen[most_threads]{};
    // The function's.
    small_random random{1};
    counted_item echo; // on the next CPU, queued by this item's function only
    long echo_accepted = 0;

    static void execute(pw_struct *work);
    static void execute_echo(pw_struct *work)
    {
        execution now(*reinterpret_cast<counted_item *>(work), "function of an echo");
    }
    void act();
};

struct world {
    std::vector<int> all_cpus, cpus; // with a worker; and of those the ones that items are for
    pw_workqueue *normal, *high;     // used by everybody, and drained by anybody
    std::deque<shared_item> shared;
    std::atomic<int> waiting_for_stop{0};

    shared_item &any(small_random &random)
    {
        return shared[random.below(static_cast<uint32_t>(shared.size()))];
    }
    int any_cpu(small_random &random) const { return cpus[random.below(static_cast<uint32_t>(cpus.size()))]; }
    pw_workqueue *any_queue(const shared_item &item, small_random &random) const
    {
        return item.high ? high : random.below(2) ? normal : nullptr;
    }
};

inline uint64_t short_or_long(small_random &random)
{
    switch (random.below(4)) {
    case 0:
        return 0;
    case 1:
        return long_time;
    default:
        return random.below(400'000);
    }
}

// Cancels, or moves, between two counts: whoever posts can tell that nothing of it happened meanwhile.
template <typename Function>
int cancelling(shared_item &item, Function function)
{
    item.cancels_begun.fetch_add(1, std::memory_order_relaxed);
    int returned = function();
    item.cancels_ended.fetch_add(1, std::memory_order_relaxed);
    return returned;
}

inline int queue_shared(shared_item &item, pw_workqueue *wq, small_random &random)
{
    uint64_t ns = short_or_long(random);
    bool accepted;
    int returned;
    if (item.how == way::delayed && item.cancelable && random.below(2)) {
        returned = cancelling(item, [&] { return mod_item(wq, item.timer, ns, one | zero | canceled); });
        accepted = returned == 0;
    } else {
        returned = queue_item(item.how, wq, item.timer, ns, one | zero | canceled);
        accepted = returned == 1;
    }
    if (accepted)
        item.accepted.fetch_add(1, std::memory_order_relaxed);
    return returned;
}

inline void cancel_shared(shared_item &item, bool wait, unsigned also_allowed)
{
    if (!item.cancelable)
        return;
    int returned = cancelling(item, [&] {
        return wait ? cancel_item_sync(item.how, item.timer, one | zero | also_allowed)
                    : cancel_item(item.timer, one | zero);
    });
    if (returned == 1)
        item.cancelled.fetch_add(1, std::memory_order_relaxed);
}

// For pw_on_each_cpu(): plain counts, which each call and the caller must see.
struct each_call {
    std::vector<int> calls;
    shared_item *queues = nullptr;

    static void execute(int cpu, void *arg)
    {
        at now("function for each cpu", arg);
        auto &self = *static_cast<each_call *>(arg);
        ++self.calls[static_cast<size_t>(cpu)];
        if (self.queues && self.queues->how != way::delayed) {
            small_random own(static_cast<uint32_t>(cpu)); // they may run at once
            queue_shared(*self.queues, self.queues->high ? here->high : nullptr, own);
        }
    }
};

inline void call_everywhere(small_random &random, unsigned allowed)
{
    each_call call{std::vector<int>(static_cast<size_t>(pw_nr_cpus()))};
    if (random.below(8) == 0)
        call.queues = &here->any(random);
    int returned =
        checked(on_each_cpu, allowed, &call, [&] { return pw_on_each_cpu(each_call::execute, &call); });
    long sum = 0;
    for (int each : call.calls)
        sum += each;
    for (int cpu : here->all_cpus)
        if (int calls = call.calls[static_cast<size_t>(cpu)]; calls != (returned == 0))
            fail(miscounted, "pw_on_each_cpu", &call, calls, returned == 0);
    if (sum != (returned == 0 ? static_cast<long>(here->all_cpus.size()) : 0))
        fail(miscounted, "pw_on_each_cpu, in all", &call, sum, static_cast<long>(here->all_cpus.size()));
}

inline void shared_item::execute(pw_struct *work)
{
    auto &self = *reinterpret_cast<shared_item *>(work);
    execution now(self, "function of a shared item");
    for (int i = 0; i < most_threads; ++i)
        self.seen[i].store(self.posted[i].load(std::memory_order_relaxed), std::memory_order_relaxed);
    self.act();
}

// Now and then a function calls the library itself. What can wait may be refused, and then has changed
// nothing.
inline void shared_item::act()
{
    uint32_t dice = random.below(1000);
    if (dice < 20) {
        queue_shared(*this, here->any_queue(*this, random), random);
    } else if (dice < 60) {
        echo_accepted += queue_item(echo.how, nullptr, echo.timer, 0, one | zero) == 1;
        if (random.below(2) && flush_item(echo.how, echo.timer, zero | deadlock) == 0 &&
            echo.executions != echo_accepted)
            fail(miscounted, "echo", &echo, echo.executions, echo_accepted);
    } else if (dice < 80) {
        shared_item &item = here->any(random);
        queue_shared(item, here->any_queue(item, random), random);
    } else if (dice < 90) {
        shared_item &item = here->any(random);
        flush_item(item.how, item.timer, zero | deadlock);
    } else if (dice < 100) {
        cancel_shared(here->any(random), random.below(2), deadlock);
    } else if (dice < 105) {
        call_everywhere(random, zero | deadlock);
    } else if (dice < 109) {
        flush_wq(random.below(2) ? here->normal : random.below(2) ? here->high : nullptr, zero | deadlock);
    } else if (dice < 110) {
        drain_wq(random.below(2) ? here->normal : here->high, zero | deadlock);
    }
}

// A token that goes round between a workqueue's own functions: a drain must let it pass and wait for its end.
struct relay {
    struct station : counted_item {
        relay *home;
    };
    pw_workqueue *wq;
    std::deque<station> stations;
    long hops;     // still to go; plain: the one who has the token writes
    long expected; // executions

    relay(pw_workqueue *of, way how, long length) : wq(of), hops(length), expected(length + 1)
    {
        for (int cpu : here->cpus)
            for (int i = 0; i < 2; ++i) {
                station &each = stations.emplace_back();
                each.init(how, execute, cpu);
                each.home = this;
            }
    }

    void pass_on()
    {
        station &next = stations[static_cast<size_t>(hops) / 2 * 3 % stations.size()];
        queue_item(next.how, wq, next.timer, 0, one);
    }

    static void execute(pw_struct *work)
    {
        auto &self = *reinterpret_cast<station *>(work);
        execution now(self, "function of a relay");
        if (self.home->hops-- > 0)
            self.home->pass_on();
    }

    void is_over() const
    {
        long sum = 0;
        for (const station &each : stations)
            sum += each.executions;
        if (sum != expected)
            fail(miscounted, "relay in a drained workqueue", this, sum, expected);
    }
};

// Keeps a worker from everything else, for a moment.
struct blocker : counted_item {
    std::atomic<bool> started{false}, released{false}; // relaxed: they order nothing

    static void execute(pw_struct *work)
    {
        auto &self = *reinterpret_cast<blocker *>(work);
        execution now(self, "function that holds its worker");
        self.started.store(true, std::memory_order_relaxed);
        while (!self.released.load(std::memory_order_relaxed))
            std::this_thread::yield();
    }
};

} // namespace stress
