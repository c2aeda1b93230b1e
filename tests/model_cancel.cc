// SPDX-License-Identifier: MIT
// Cancelling and queueing again under the queue strategy: src/item.h and the passages of src/quiesce.h, in the steps
// of src/work.cc. An item that is cancelled and queued again while its own node is linked gets a stand-in; here each
// has a new one.
#include "model_queue.h"

#include "item.h"
#include "quiesce.h"

namespace {

using namespace pw::detail;

struct item;

// A place in the queue: an item's own, or a stand-in's.
struct node {
    rl::var<int> link;
    item *of;
    bool stands_in;
};

enum { work_x, work_y, barrier };

struct item {
    model::atomic<uint64_t> state, place;
    node own;
    int kind, number;
    int nodes;   // that have been claimed for and that the worker has not come past
    int pending; // the claim that it is pending for; -1: none
};

// One worker, and callers that do what their programs say, letter by letter: X, Y queue that item, c cancels X, s
// cancels X and waits, f and g flush X and Y, p passes and does nothing.
template <typename Programs>
struct cancel_and_queue : rl::test_suite<cancel_and_queue<Programs>, Programs::callers + 1> {
    static constexpr int callers = Programs::callers, most_claims = 16, most_places = 12;

    struct values {
        int of[callers];
    };
    struct claimed {
        int by;
        item *of;
        bool cancelled, started, ended;
    };
    struct step {
        int by, claim, value;
        bool chosen; // by the thread itself: the item was not pending
    };

    model::queue<node, 24> to_worker;
    run_slot<model::caller_atomics, item> running;
    caller_flag<model::caller_atomics> flags[callers];
    item x, y, barriers[callers][2];
    node stand_ins[most_places];
    model::atomic<int> reached[callers][2];
    // What each caller wrote before it queued, what the functions made of it, and what it wrote before it cancelled.
    model::atomic<int> argument[callers], result[2][callers], note[callers];
    values written = {}, needed[2] = {}, noted = {}, noted_before = {};
    claimed claims[most_claims];
    step steps[most_claims];
    int claim_count = 0, step_count = 0, place_count = 0, barrier_count[callers] = {};
    rl::mutex refusals;
    int refusing = 0;
    int callers_left = callers, enqueued = 0, passed = 0;
    item *inside = nullptr;

    void before()
    {
        int number = 0;
        auto set_up = [&](item &each, int kind) {
            each.kind = kind;
            each.number = number++;
            each.own.of = &each;
            each.own.stands_in = false;
            each.own.link(RL_INFO) = 0;
            each.nodes = 0;
            each.pending = -1;
        };
        set_up(x, work_x);
        set_up(y, work_y);
        for (auto &two : barriers)
            for (item &each : two)
                set_up(each, barrier);
        for (node &each : stand_ins) {
            each.stands_in = true;
            each.link(RL_INFO) = 0;
        }
    }

    // The worker.

    void function(item *each)
    {
        RL_ASSERT(!inside); // guarantee 2
        inside = each;
        if (each->kind == barrier) {
            for (int i = 0; i < callers; ++i)
                for (int k = 0; k < 2; ++k)
                    if (each == &barriers[i][k])
                        reached[i][k].store(1, std::memory_order_release);
        } else {
            // Who frees it here must not leave a node that the worker will come past.
            RL_ASSERT(each->nodes == 0);
            int claim = each->pending;
            RL_ASSERT(claim >= 0); // it runs for something that was accepted and not cancelled
            each->pending = -1;
            claims[claim].started = true;
            // Guarantee 5: whatever its claimant queued before has started.
            for (int i = 0; i < step_count && !(steps[i].chosen && steps[i].claim == claim); ++i)
                RL_ASSERT(steps[i].by != claims[claim].by || claims[steps[i].claim].started ||
                          claims[steps[i].claim].cancelled);
            int which = each->kind;
            values least = needed[which]; // before others queue it again
            for (int i = 0; i < callers; ++i) {
                int value = argument[i].load(std::memory_order_relaxed);
                RL_ASSERT(value >= least.of[i]); // guarantee 1
                result[which][i].store(value, std::memory_order_relaxed);
            }
            claims[claim].ended = true;
        }
        inside = nullptr;
    }

    void serve(node *at)
    {
        item *each = at->of;
        bool runs;
        if (Programs::slow && at->stands_in && rl::rand(2) == 0)
            while (callers_left > 0)
                model::pause();
        if (at->stands_in)
            runs = running.start_at(each, each->state, each->place, mark(*at), [this](uint64_t state) {
                auto index = static_cast<int>(item_state::claimant(state));
                while (flags[index].in_passage(item_state::passage_of(state), item_state::passage_bits))
                    model::pause();
            });
        else
            runs = item_state::is_here(running.start(each, each->state));
        --each->nodes;
        if (runs)
            function(each);
        ++passed;
    }

    void worker()
    {
        bool in_batch = false;
        while (callers_left > 0 || passed < enqueued) {
            if (node *at = to_worker.next()) {
                serve(at);
                in_batch = true;
            } else {
                if (in_batch)
                    running.finish();
                in_batch = false;
                model::pause();
            }
        }
    }

    // Callers.

    // As few accesses as there are: others may change what is to be seen meanwhile.
    void see(const model::atomic<int> *all, values least)
    {
        for (int i = 0; i < callers; ++i)
            RL_ASSERT(all[i].load(std::memory_order_relaxed) >= least.of[i]);
    }

    uint64_t mark(const node &each) { return static_cast<uint64_t>(&each - stand_ins) + 1; }

    void wait_until_queued(int self, uint64_t state)
    {
        auto index = static_cast<int>(item_state::claimant(state));
        while (index != self &&
               flags[index].in_passage(item_state::passage_of(state), item_state::passage_bits))
            model::pause();
    }

    void noted_step(int self, item &which, bool chosen)
    {
        RL_ASSERT(which.pending >= 0);
        needed[which.kind].of[self] = written.of[self];
        steps[step_count++] = {self, which.pending, written.of[self], chosen};
    }

    void accepted(int self, item &which)
    {
        RL_ASSERT(which.pending < 0);
        which.pending = claim_count;
        claims[claim_count++] = {self, &which, false, false, false};
        ++which.nodes;
        ++enqueued;
        noted_step(self, which, true);
    }

    void queue_item(int self, item &which)
    {
        argument[self].store(++written.of[self], std::memory_order_relaxed);
        flags[self].enter();
        uint64_t by = item_state::claimed_by(static_cast<uint32_t>(self), flags[self].passage_number());
        for (;;) {
            uint64_t before = claim(which.state, item_state::route_on, by);
            if (before & item_state::pending) {
                noted_step(self, which, false);
                wait_until_queued(self, before);
            } else if (!(before & item_state::unusual)) {
                accepted(self, which);
                to_worker.enqueue(which.own);
            } else if (!(before & item_state::cancelling)) {
                wait_until_queued(self, before);
                if (!claim_again(which.state, before, item_state::route_on, by))
                    continue;
                accepted(self, which);
                if (which.kind == work_x)
                    see(note, noted_before);
                if (before & item_state::linked) {
                    node &place = stand_ins[place_count++];
                    place.of = &which;
                    which.place.store(mark(place), std::memory_order_relaxed);
                    to_worker.enqueue(place);
                } else {
                    to_worker.enqueue(which.own);
                }
            }
            break;
        }
        flags[self].leave();
    }

    void wait_behind_all(int self)
    {
        int which = barrier_count[self]++;
        item &each = barriers[self][which];
        ++enqueued;
        ++each.nodes;
        each.state.store(item_state::pending | item_state::linked | item_state::internal, std::memory_order_relaxed);
        to_worker.enqueue(each.own);
        flags[self].leave();
        while (!reached[self][which].load(std::memory_order_acquire))
            model::pause();
    }

    // What this caller queued, or found pending, has run, and it sees that.
    void flush(int self, item &which)
    {
        flags[self].enter();
        uint64_t state;
        if (running.busy(&which, which.state, state)) {
            if (item_state::is_queued(state))
                wait_until_queued(self, state);
            wait_behind_all(self);
        } else {
            flags[self].leave();
        }
        int seen = result[which.kind][self].load(std::memory_order_relaxed);
        for (int i = 0; i < step_count; ++i)
            if (steps[i].by == self && claims[steps[i].claim].of == &which && !claims[steps[i].claim].cancelled)
                RL_ASSERT(claims[steps[i].claim].ended && seen >= steps[i].value); // guarantee 4
    }

    uint64_t cancel_x(int self)
    {
        uint64_t before = cancel(x.state);
        if (before & item_state::pending) {
            RL_ASSERT(x.pending >= 0);
            claims[x.pending].cancelled = true;
            x.pending = -1;
            noted_before.of[self] = noted.of[self];
            see(argument, needed[work_x]); // what they wrote who queued it is ours
        }
        return before;
    }

    void cancel_and_wait(int self)
    {
        flags[self].enter();
        refusals.lock(RL_INFO);
        ++refusing;
        refuse_claims(x.state);
        refusals.unlock(RL_INFO);
        uint64_t state;
        bool held = running.busy(&x, x.state, state) || (state & (item_state::linked | item_state::cancelled));
        uint64_t before = cancel_x(self);
        if (held) {
            wait_until_queued(self, before);
            wait_behind_all(self);
        } else {
            flags[self].leave();
        }
        // Nobody can have queued it since.
        RL_ASSERT(x.pending < 0 && x.nodes == 0 && inside != &x);
        int seen = result[work_x][self].load(std::memory_order_relaxed);
        for (int i = 0; i < step_count; ++i)
            if (steps[i].by == self && claims[steps[i].claim].of == &x && !claims[steps[i].claim].cancelled)
                RL_ASSERT(claims[steps[i].claim].ended && seen >= steps[i].value);
        refusals.lock(RL_INFO);
        --refusing;
        accept_claims(x.state, true, refusing == 0);
        refusals.unlock(RL_INFO);
    }

    void caller(int self)
    {
        for (const char *each = Programs::of[self]; *each; ++each) {
            if (*each == 'X' || *each == 'Y')
                queue_item(self, *each == 'X' ? x : y);
            else if (*each == 'f' || *each == 'g')
                flush(self, *each == 'f' ? x : y);
            else if (*each == 's')
                cancel_and_wait(self);
            else if (*each == 'p') {
                flags[self].enter();
                flags[self].leave();
            } else {
                note[self].store(++noted.of[self], std::memory_order_relaxed);
                flags[self].enter();
                cancel_x(self);
                flags[self].leave();
            }
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
        for (int i = 0; i < claim_count; ++i)
            RL_ASSERT(claims[i].ended != claims[i].cancelled);
        uint64_t left = item_state::pending | item_state::linked | item_state::stood_in | item_state::cancelling;
        RL_ASSERT((x.state.load(std::memory_order_relaxed) & left) == 0);
    }
};

struct again_and_again {
    static constexpr int callers = 2;
    static constexpr bool slow = false;
    static constexpr const char *of[] = {"XcXcYX", "Xf"};
};
struct both_places {
    static constexpr int callers = 1;
    static constexpr bool slow = true; // the worker
    static constexpr const char *of[] = {"XcXcXcX"};
};
struct two_cancel {
    static constexpr int callers = 2;
    static constexpr bool slow = false;
    static constexpr const char *of[] = {"XcXf", "XcX"};
};
struct next_passage {
    static constexpr int callers = 2;
    static constexpr bool slow = true; // the worker
    static constexpr const char *of[] = {"XcXcXcXpp", "Yp"};
};
struct others_behind {
    static constexpr int callers = 2;
    static constexpr bool slow = false;
    static constexpr const char *of[] = {"XcX", "YXg"};
};
struct for_good {
    static constexpr int callers = 2;
    static constexpr bool slow = false;
    static constexpr const char *of[] = {"XcXs", "Xs"};
};
struct three {
    static constexpr int callers = 3;
    static constexpr bool slow = false;
    static constexpr const char *of[] = {"XcYX", "cX", "Xf"};
};

} // namespace

int main()
{
    bool hold[] = {
        model::holds<cancel_and_queue<again_and_again>>("cancel: an item is queued again and again", 150000),
        model::holds<cancel_and_queue<both_places>>("cancel: at a stand-in, its own node, a stand-in", 100000),
        model::holds<cancel_and_queue<two_cancel>>("cancel: two cancel and queue again", 100000),
        model::holds<cancel_and_queue<next_passage>>("cancel: claimants in their next passages", 100000),
        model::holds<cancel_and_queue<others_behind>>("cancel: another item is flushed", 150000),
        model::holds<cancel_and_queue<for_good>>("cancel: until nothing is left", 100000),
        model::holds<cancel_and_queue<three>>("cancel: three callers", 100000),
    };
    for (bool each : hold)
        if (!each)
            return 1;
    return 0;
}
