// SPDX-License-Identifier: MIT
// Cancelling, timers, priority and calls on every CPU, with who queues, flushes and runs at the same time.
#include "model_calls.h"

namespace explore {

void cancelled_and_queued_again()
{
    scenario("cancelled and queued again", by_queue, 1, [] {
        threads->add([] {
            queue(x);
            cancel(x);
            queue(y);
            queue(x);
        });
        threads->add([] {
            queue(x);
            flush(x);
        });
    });
    scenario("cancelled twice, and freed by its function", by_queue, 1, [] {
        threads->add([] {
            queue(x);
            if (cancel(x)) {
                queue(x);
                if (cancel(x)) {
                    queue(y);
                    records[x.id].frees = true;
                    queue(x);
                }
            }
        });
        threads->add([] { queue(y); });
    });
}

void claimed_and_not_queued()
{
    // Who claimed it first may not have queued it when another one cancels it.
    scenario("cancelled and queued by another", by_queue, 1, [] {
        threads->add([] { queue(x); });
        threads->add([] {
            if (cancel(x)) {
                records[x.id].frees = true;
                queue(x);
            }
        });
    });
    scenario("cancelled and freed by another", by_queue, 1, [] {
        threads->add([] { queue(x); });
        threads->add([] {
            threads->point();
            if (cancel_sync(x) > 0)
                free_item(x);
        });
    });
}

void cancelled_for_good()
{
    scenario("cancelling waits, and the item is freed", by_queue, 1, [] {
        records[x.id].body = [](work &self, int run) {
            if (run == 1)
                queue(self);
        };
        threads->add([] {
            queue(x);
            cancel(x);
            queue(x);
            cancel_sync(x);
            free_item(x);
        });
        threads->add([] { queue(y); });
    });
    scenario("two cancel, one queues", by_queue, 1, [] {
        threads->add([] {
            queue(x);
            cancel_sync(x);
        });
        threads->add([] { cancel_sync(x); });
        threads->add([] {
            queue(x);
            queue(y);
        });
    }, bound - 1);
    scenario("a timer's item is cancelled", by_queue, 1, [] {
        pw_init_delayed(&x.delayed, function, 0);
        threads->add([] {
            arm(x);
            cancel_sync(x);
            arm(x);
        });
        threads->add([] { queue(y); });
    });
    scenario("a timer's item is cancelled, and queued by another", by_queue, 1, [] {
        pw_init_delayed(&x.delayed, function, 0);
        threads->add([] {
            arm(x);
            cancel_sync(x);
        });
        threads->add([] { pw_queue_delayed_on(0, nullptr, &x.delayed, 0); });
    });
    scenario("a timer's item is cancelled by two", by_queue, 1, [] {
        pw_init_delayed(&x.delayed, function, 0);
        threads->add([] {
            arm(x);
            cancel(x);
            arm(x);
            cancel_sync(x);
        });
        threads->add([] {
            cancel_sync(x);
            arm(x);
        });
    });
}

void due()
{
    static pw_workqueue *wq;
    scenario("armed anew", by_queue, 1, [] {
        pw_init_delayed(&x.delayed, function, 0);
        threads->add([] {
            arm(x);
            mod(x);
            queue(y);
        });
        threads->add([] {
            mod(x);
            cancel(x);
            mod(x);
        });
    });
    wq = pw_workqueue_create("due", 0);
    scenario("armed for another workqueue, then another item", by_queue, 1, [] {
        pw_init_delayed(&x.delayed, function, 0);
        wq->armed.store(0);
        static auto queue_now = [](pw_workqueue *to) { return pw_queue_delayed_on(0, to, &x.delayed, 0); };
        threads->add([] {
            queue_now(nullptr);
            cancel(x);
            threads->note("queue", 'X');
            queue_now(nullptr);
        });
        threads->add([] {
            threads->point();
            arm(x, wq);
            queue(y);
        });
    });
    scenario("armed anew for another workqueue", by_queue, 1, [] {
        pw_init_delayed(&x.delayed, function, 0);
        wq->armed.store(0);
        static auto queue_now = [](pw_workqueue *to) { return pw_queue_delayed_on(0, to, &x.delayed, 0); };
        threads->add([] {
            queue_now(nullptr);
            cancel(x);
            threads->note("queue", 'X');
            queue_now(nullptr);
        });
        threads->add([] { mod(x, wq); });
        threads->add([] { threads->block_until([] { return wq->armed.load() == 0 && records[0].count > 0; }); });
    });
    pw_workqueue_destroy(wq);
}

void inside_work()
{
    scenario("functions cancel and flush each other", by_queue, 2, [] {
        y.base.cpu = 1;
        records[x.id].body = [](work &, int run) {
            if (run == 1)
                cancel_sync(y);
        };
        records[y.id].body = [](work &, int run) {
            if (run == 1)
                flush(x);
        };
        threads->add([] { queue(x); });
        threads->add([] { queue(y); });
    });
    scenario("functions cancel each other", by_queue, 2, [] {
        y.base.cpu = 1;
        records[x.id].body = [](work &self, int run) {
            if (run == 1)
                queue(self);
            cancel_sync(y);
        };
        records[y.id].body = [](work &, int) { cancel_sync(x); };
        threads->add([] { queue(x); });
        threads->add([] { queue(y); });
    });
}

void high_priority()
{
    static pw_workqueue *wq;
    wq = pw_workqueue_create("high", PW_WQ_HIGHPRI);
    scenario("items of high priority", by_queue, 1, [] {
        threads->add([] {
            queue(x, wq);
            queue(y);
        });
        threads->add([] {
            queue(z);
            cancel(x);
            queue(x, wq);
            flush(x);
        });
    });
    pw_workqueue_destroy(wq);
}

void calls_between()
{
    scenario("a call between two items cancels the first", by_queue, 1, [] {
        threads->add([] {
            queue(x);
            queue(y);
        });
        threads->add([] {
            threads->point();
            pw_on_each_cpu(
                [](int, void *) {
                    threads->note("call");
                    if (records[x.id].runs < 0 && cancel_sync(x) < 0)
                        threads->fail("a circle is imagined");
                },
                nullptr);
        });
    });
    scenario("workers that call each other at once", by_queue, 2, [] {
        y.base.cpu = 1;
        for (work *each : {&x, &y})
            records[each->id].body = [](work &, int) {
                if (pw_on_each_cpu([](int, void *) { threads->point(); }, nullptr) != 0)
                    threads->fail("a circle is imagined");
            };
        threads->add([] { queue(x); });
        threads->add([] { queue(y); });
    });
    scenario("functions that call all CPUs", by_queue, 2, [] {
        y.base.cpu = 1;
        static auto call = [](work &) {
            pw_on_each_cpu([](int, void *) { threads->point(); }, nullptr);
        };
        records[x.id].body = [](work &self, int) { call(self); };
        records[y.id].body = [](work &self, int) {
            call(self);
            flush(x);
        };
        threads->add([] { queue(x); });
        threads->add([] { queue(y); });
    });
}

} // namespace explore

int main(int count, char **arguments)
{
    using namespace explore;
    return explore_all(count, arguments, {cancelled_and_queued_again, claimed_and_not_queued, cancelled_for_good, due, inside_work,
                                         high_priority, calls_between});
}
