// SPDX-License-Identifier: MIT
// Cancelling in a lane, with who queues, runs, waits, arms and stops at the same time.
#include "model_lane.h"

namespace {

void cancelled()
{
    scenario("items are cancelled and queued again", bound, [] {
        threads->add([] {
            queue(a);
            cancel(b);
        });
        threads->add([] {
            queue(a);
            queue(b);
            cancel(a);
            queue(a);
        });
        threads->add([] {
            queue(a);
            flush(b);
        });
    });
}

void cancelled_for_good()
{
    scenario("cancelling waits for what runs and refuses what comes", bound, [] {
        records[0].body = [](work &self, int run) {
            if (run <= 2)
                queue(self);
        };
        threads->add([] { queue(a); });
        threads->add([] {
            queue(a);
            queue(b);
            cancel_sync(a);
        });
        threads->add([] {
            cancel_sync(b);
            cancel_sync(a);
        });
    });
}

void cancelled_inside()
{
    scenario("functions cancel each other", bound, [] {
        items[1].base.cpu = 1;
        records[0].body = [](work &self, int run) {
            if (run == 1)
                queue(self);
            cancel_sync(b);
        };
        records[1].body = [](work &self, int run) {
            if (run == 1)
                queue(self);
            cancel_sync(a);
        };
        threads->add([] { queue(a); });
        threads->add([] { queue(b); });
        threads->add([] {
            threads->block_until([] { return !records[0].executions.empty(); });
            arm(a);
        });
    });
}

void cancelled_and_next_run()
{
    scenario("cancelling from inside work, and the item's next run waits for that", bound, [] {
        items[1].base.cpu = 1;
        records[0].body = [](work &self, int run) {
            if (run == 2)
                flush(b);
        };
        records[1].body = [](work &, int) { cancel_sync(a); };
        threads->add([] { queue(a); });
        threads->add([] { queue(a); });
        threads->add([] { queue(b); });
    });
}

void cancelled_and_due()
{
    scenario("cancelling from inside work is refused, and the item is armed", bound, [] {
        items[1].base.cpu = 1;
        records[0].body = [](work &self, int run) {
            if (run > 1)
                return;
            arm(self);
            flush(b);
        };
        records[1].body = [](work &, int) { cancel_sync(a); };
        threads->add([] { queue(a); });
        threads->add([] { queue(b); });
    });
}

void stopped_and_cancelled()
{
    scenario("a stop waits, and what it waits for is taken back", bound - 1, [] {
        threads->add([] { queue(c); });
        threads->add([] {
            queue(c);
            queue(d);
            cancel(d);
        });
        threads->add([] { stop(); });
    });
}

} // namespace

int main(int count, char **arguments)
{
    return explore_all(count, arguments, {cancelled, cancelled_for_good, cancelled_inside,
                                          cancelled_and_next_run, cancelled_and_due,
                                          stopped_and_cancelled});
}
