// SPDX-License-Identifier: MIT
// Waits from inside work, in lanes: those that could never end are refused, and no others.
#include "model_lane.h"

namespace {

void nested_flush()
{
    scenario("flushes from inside work never wait for themselves", bound, [] {
        items[1].base.cpu = 1;
        records[0].body = [](work &, int) { queue(b); };
        records[1].body = [](work &, int) {
            queue(c);
            flush(c);
            flush(a);
        };
        threads->add([] { queue(a); });
        threads->add([] {
            queue(c);
            queue(d);
            flush(c);
        });
        threads->add([] { queue(c); });
    });
}

void flush_across()
{
    scenario("deputies that flush each other's items", bound, [] {
        items[2].base.cpu = items[3].base.cpu = 1;
        records[1].body = [](work &, int) { flush(d); };
        records[3].body = [](work &, int) { flush(a); };
        threads->add([] {
            queue(a);
            queue(c);
        });
        threads->add([] {
            queue(a);
            queue(b);
        });
        threads->add([] {
            queue(c);
            queue(d);
        });
    });
}

void no_circle()
{
    scenario("waits in a row that are no circle", bound, [] {
        items[3].base.cpu = 1;
        records[0].body = [](work &, int) { flush(d); };
        records[3].body = [](work &, int) {
            if (flush(b) != 0)
                threads->fail("a flush is refused that waits for nobody who waits for it");
        };
        threads->add([] { queue(a); });
        threads->add([] { queue(b); });
        threads->add([] { queue(d); });
    });
}

// c runs on one thread and is handed over to it; then d comes to the list behind that.
void queue_behind_c()
{
    static bool d_queued;
    d_queued = false;
    threads->add([] { queue(c); });
    threads->add([] {
        threads->block_until([] { return !records[2].executions.empty(); });
        queue(c);
        queue(d);
        d_queued = true;
    });
    items[1].base.cpu = 1;
    threads->add([] { queue(b); });
    records[1].body = [](work &, int) {
        threads->block_until([] { return d_queued; });
        flush(d);
    };
}

void circles()
{
    scenario("what the list waits for waits, by way of another, for the list", bound, [] {
        queue_behind_c();
        records[2].body = [](work &, int run) {
            if (run == 1)
                threads->block_until([] { return calls.size() >= 3; });
            if (run == 2)
                flush(b);
        };
    });
    scenario("who will run what the list waits for waits for the list", bound, [] {
        queue_behind_c();
        records[2].body = [](work &, int run) {
            if (run == 1) {
                threads->block_until([] { return calls.size() >= 4; });
                flush(b);
            }
        };
    });
    scenario("what runs waits for the list, in which it stands itself", 1, [] {
        static bool listed;
        listed = false;
        items[1].base.cpu = 1;
        records[0].body = [](work &, int run) {
            threads->block_until([] { return listed; });
            if (run == 1)
                flush(b);
        };
        records[1].body = [](work &, int) {
            threads->block_until([] { return listed; });
            flush(d);
        };
        threads->add([] { queue(a); });
        threads->add([] { queue(b); });
        threads->add([] { queue(c); });
        threads->add([] {
            threads->block_until([] { return !records[0].executions.empty() && !records[2].executions.empty(); });
            queue(c);
            queue(a);
            queue(d);
            listed = true;
        });
    });
    scenario("what runs waits for a workqueue, for which it is to run again", bound, [] {
        static pw_workqueue wq;
        items[1].base.cpu = 1;
        wq.priority = item_state::normal;
        threads->add([] { queue(a); });
        threads->add([] { queue(b); });
        threads->add([] {
            threads->block_until([] { return !records[0].executions.empty(); });
            queue(a, &wq);
        });
        records[0].body = [](work &, int run) {
            if (run == 1) {
                threads->block_until([] { return records[0].pending >= 0; });
                flush(b);
            }
        };
        records[1].body = [](work &, int) {
            threads->block_until([] { return records[0].executions.size() + (records[0].pending >= 0) == 2; });
            flush(wq, 0);
        };
    });
}

void circle_over_due()
{
    scenario("a due item waits, by way of others, for what its deputy has to run", bound, [] {
        items[1].base.cpu = 1;
        static bool d_queued;
        d_queued = false;
        records[0].body = [](work &, int) { // due, on the deputy
            threads->block_until([] { return !records[1].executions.empty(); });
            flush(b);
        };
        records[1].body = [](work &, int) {
            threads->block_until([] { return d_queued; });
            flush(d);
        };
        arm(a);
        threads->add([] { queue(b); });
        threads->add([] { queue(c); });
        threads->add([] {
            queue(c);
            queue(d);
            d_queued = true;
        });
    });
}

} // namespace

int main(int count, char **arguments)
{
    return explore_all(count, arguments, {nested_flush, flush_across, no_circle, circles,
                                          circle_over_due});
}
