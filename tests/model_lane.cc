// SPDX-License-Identifier: MIT
// Items that are queued, handed over, listed, run, freed and due in a lane: their order, and a stop that waits.
#include "model_lane.h"

namespace {

void two_items()
{
    scenario("three threads queue and flush two items", bound, [] {
        threads->add([] { queue(a); });
        threads->add([] {
            queue(a);
            queue(b);
            flush(b);
        });
        threads->add([] {
            queue(b);
            queue(a);
            flush(a);
        });
    });
}

void queued_again()
{
    scenario("an item queues itself and others wait behind it", bound, [] {
        records[0].body = [](work &self, int run) {
            if (run <= 2)
                queue(self);
        };
        threads->add([] { queue(a); });
        threads->add([] {
            queue(a);
            queue(b);
            queue(c);
            flush(a);
        });
        threads->add([] { queue(c); });
    });
}

void handed_over_and_running()
{
    scenario("an item waits for an execution that its thread has handed over", bound, [] {
        threads->add([] { queue(a); });
        threads->add([] {
            queue(a);
            threads->block_until([] { return records[0].executions.size() == 2; });
            queue(b);
        });
    });
}

void item_that_waits()
{
    // What waits for b was queued behind b by b's own thread: no worker would be stuck here.
    scenario("an execution waits for an item that was queued before it", bound, [] {
        static bool b_queued;
        b_queued = false;
        records[0].body = [](work &self, int run) {
            if (run == 2 && b_queued)
                queue(self);
            if (run == 3)
                threads->block_until([] { return !records[1].executions.empty(); });
        };
        threads->add([] { queue(a); });
        threads->add([] {
            queue(a);
            int queued = queue(b);
            b_queued = queued == 1;
        });
        threads->add([] { queue(d); });
    });
}

void deputy_and_queued_again()
{
    // As "an execution waits for an item", with the deputy for a runner: b's second execution waits for d, which was
    // queued before it.
    scenario("the deputy's item is handed over to it and waits for one of the list", bound, [] {
        static bool d_queued;
        d_queued = false;
        records[1].body = [](work &, int run) {
            if (run == 1 && threads->self() == 0)
                threads->block_until([] { return calls.size() >= 5; });
            if (run == 2 && d_queued)
                threads->block_until([] { return !records[3].executions.empty(); });
        };
        threads->add([] { queue(a); });
        threads->add([] {
            queue(a);
            queue(b);
            queue(d);
            d_queued = true;
        });
        threads->add([] {
            threads->block_until([] { return d_queued; });
            queue(b);
        });
    });
}

void freed()
{
    scenario("an item frees itself, here and on the deputy", bound, [] {
        records[2].freed = records[3].freed = true;
        threads->add([] {
            queue(a);
            queue(c);
        });
        threads->add([] {
            queue(a);
            queue(d);
        });
    });
}

void stopped()
{
    scenario("a stop waits for all that was accepted", bound, [] {
        records[0].body = [](work &self, int run) {
            if (run < 4)
                queue(self); // refused once the stop has begun
        };
        threads->add([] { queue(a); });
        threads->add([] {
            queue(a);
            queue(b);
        });
        threads->add([] { stop(); });
    });
}

void end_in_first(work &, int run)
{
    if (run == 1)
        threads->end_thread();
}

void hand_over_and_more()
{
    threads->add([] { queue(a); });
    threads->add([] {
        queue(a);
        queue(b);
        flush(a);
    });
    threads->add([] {
        queue(a);
        queue(c);
    });
}

void ended()
{
    scenario("a thread ends inside a function that was handed more, and has no heir", bound, [] {
        records[0].body = end_in_first;
        hand_over_and_more();
    });
    scenario("a thread ends inside a function that was handed more, and has one", bound, [] {
        records[0].body = end_in_first;
        add_heir();
        hand_over_and_more();
    });
    scenario("what a thread was handed that ends is taken back", bound, [] {
        records[0].body = end_in_first;
        add_heir();
        threads->add([] { queue(a); });
        threads->add([] {
            queue(a);
            cancel(a);
            queue(b);
        });
    });
    scenario("the deputy waits for what a thread was handed that ends", bound, [] {
        items[1].base.cpu = 1;
        records[0].body = [](work &, int run) {
            if (run > 1)
                return;
            threads->block_until([] { return records[0].pending >= 0 && !records[1].executions.empty(); });
            threads->end_thread();
        };
        records[1].body = [](work &, int) { flush(a); };
        records[2].body = [](work &, int) { queue(b); }; // due, on the deputy
        add_heir();
        arm(c);
        threads->add([] { queue(a); });
        threads->add([] {
            threads->block_until([] { return !records[0].executions.empty(); });
            queue(a);
        });
    });
}

void due_items()
{
    scenario("items fall due while others run and wait", bound, [] {
        records[1].body = [](work &, int) { queue(c); };
        arm(a);
        threads->add([] {
            queue(b);
        });
        threads->add([] {
            queue(a);
            queue(b);
            flush(b);
        });
        threads->add([] {
            threads->point();
            arm(b);
            cancel(a);
        });
    });
}

} // namespace

int main(int count, char **arguments)
{
    return explore_all(count, arguments, {two_items, queued_again, handed_over_and_running,
                                          item_that_waits, deputy_and_queued_again, freed, stopped,
                                          ended, due_items});
}
