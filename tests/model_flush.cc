// SPDX-License-Identifier: MIT
// Queue, run and flush, src/item.h and the passages of src/quiesce.h: guarantees 1, 3 and 4 of
// <pwlocks/work.h>, for the caller that queues, the one that finds the item pending, and one that only
// flushes; also where the worker has moved on to another item.
#include "model_queue.h"

#include "item.h"
#include "quiesce.h"

namespace {

using namespace pw::detail;

struct item {
    model::atomic<uint64_t> state;
    rl::var<int> link; // the queue's, in the item
    int kind;
};

enum { work_x, work_y, barrier };

// One worker, and callers each of which queues item X some times and then flushes it, or queues Y.
template <int first_rounds, int second_rounds, bool with_y>
struct work_and_flush : rl::test_suite<work_and_flush<first_rounds, second_rounds, with_y>, with_y ? 4 : 3> {
    static constexpr int callers = with_y ? 3 : 2;
    model::queue<item, 16> to_worker;
    run_slot<model::caller_atomics, item> running;
    caller_flag<model::caller_atomics> flags[callers];
    item x, y, barriers[callers];
    model::atomic<int> reached[callers];
    // What each caller wrote before it queued, and what the function made of it.
    model::atomic<int> argument[callers], result[callers];
    bool inside = false;
    int callers_left = callers, queued = 0, run = 0;

    void before()
    {
        for (item *each : {&x, &y, &barriers[0], &barriers[callers - 1], &barriers[callers / 2]}) {
            each->link(RL_INFO) = 0;
            each->kind = barrier;
        }
        x.kind = work_x;
        y.kind = work_y;
    }

    void function(item *each)
    {
        RL_ASSERT(!inside); // guarantee 2
        inside = true;
        if (each->kind == work_x)
            for (int i = 0; i < callers; ++i)
                result[i].store(argument[i].load(std::memory_order_relaxed), std::memory_order_relaxed);
        if (each->kind == barrier)
            reached[each - barriers].store(1, std::memory_order_release);
        inside = false;
        ++run;
    }

    void worker()
    {
        bool in_batch = false;
        while (callers_left > 0 || run < queued) {
            item *each = to_worker.next();
            if (each) {
                RL_ASSERT(item_state::is_here(running.start(each, each->state)));
                function(each);
                in_batch = true;
            } else {
                if (in_batch)
                    running.finish();
                in_batch = false;
                model::pause();
            }
        }
    }

    void wait_until_queued(int self, uint64_t state)
    {
        auto index = static_cast<int>(item_state::claimant(state));
        while (index != self &&
               flags[index].in_passage(item_state::passage_of(state), item_state::passage_bits))
            model::pause();
    }

    void queue_item(int self, item &which)
    {
        flags[self].enter();
        uint64_t mark = item_state::claimed_by(static_cast<uint32_t>(self), flags[self].passage_number());
        uint64_t before = claim(which.state, item_state::route_on, mark);
        if (before & item_state::pending) {
            wait_until_queued(self, before);
        } else {
            RL_ASSERT(!(before & item_state::unusual)); // nothing is cancelled here
            ++queued;
            to_worker.enqueue(which);
        }
        flags[self].leave();
    }

    void flush(int self, item &which)
    {
        flags[self].enter();
        uint64_t state;
        bool wait = running.busy(&which, which.state, state);
        if (wait) {
            if (item_state::is_queued(state))
                wait_until_queued(self, state);
            ++queued;
            barriers[self].state.store(item_state::pending | item_state::linked | item_state::internal,
                                       std::memory_order_relaxed);
            to_worker.enqueue(barriers[self]);
        }
        flags[self].leave();
        while (wait && !reached[self].load(std::memory_order_acquire))
            model::pause();
    }

    void caller(int self)
    {
        int rounds = self == 0 ? first_rounds : self == 1 ? second_rounds : 0;
        for (int i = 1; i <= rounds; ++i) {
            argument[self].store(i, std::memory_order_relaxed);
            queue_item(self, x);
        }
        if (self == 2) {
            queue_item(self, y);
        } else {
            flush(self, x);
            RL_ASSERT(result[self].load(std::memory_order_relaxed) == rounds); // guarantees 1 and 4
        }
        --callers_left;
    }

    void thread(unsigned index)
    {
        if (index == 0)
            worker();
        else
            caller(static_cast<int>(index) - 1);
    }

    void after()
    {
        RL_ASSERT(run == queued);
        RL_ASSERT((x.state.load(std::memory_order_relaxed) & (item_state::pending | item_state::unusual)) == 0);
    }
};

} // namespace

int main()
{
    bool alone = model::holds<work_and_flush<2, 1, false>>("flush: two callers of one item", 100000);
    bool beside = model::holds<work_and_flush<1, 1, true>>("flush: another item runs meanwhile", 100000);
    return !(alone && beside);
}
