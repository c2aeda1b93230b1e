// SPDX-License-Identifier: MIT
// Draining and destroying a workqueue whose functions queue, arm and hand over.
#include "model_calls.h"

namespace explore {

void drains()
{
    static pw_workqueue *wq;
    for (pw_strategy_t strategy : {by_queue, by_lock}) {
        wq = pw_workqueue_create("drained", 0);
        scenario(strategy == by_queue ? "drain, queue" : "drain, lock", strategy, 2, [] {
            y.base.cpu = 1;
            records[x.id].body = [](work &, int run) {
                if (run == 1)
                    queue(y, wq);
            };
            records[y.id].body = [](work &, int run) {
                if (run == 1)
                    queue(x, wq);
            };
            threads->add([] { queue(x, wq); });
            threads->add([] {
                threads->point();
                if (pw_workqueue_drain(wq) == 0)
                    drained("drained", {&x, &y});
            });
        });
        scenario(strategy == by_queue ? "destroy, queue" : "destroy, lock", strategy, 2, [] {
            wq->live.store(true);
            wq->armed.store(0);
            pw_init_delayed(&y.delayed, function, 1);
            records[x.id].body = [](work &, int run) {
                if (run == 1)
                    arm(y, wq);
            };
            records[y.id].body = [](work &, int run) {
                if (run == 1)
                    queue(x, wq);
            };
            threads->add([] { queue(x, wq); });
            threads->add([] {
                threads->point();
                if (pw_workqueue_destroy(wq) == 0) {
                    drained("destroyed", {&x, &y});
                    if (wq->armed.load() != 0)
                        threads->fail("a workqueue is destroyed, and something of it is armed");
                }
            });
        });
    }
}

void drains_of_what_is_armed()
{
    static pw_workqueue *wq;
    wq = pw_workqueue_create("armed", 0);
    scenario("destroy what is armed", by_queue, 1, [] {
        wq->live.store(true);
        wq->armed.store(0);
        pw_init_delayed(&y.delayed, function, 0);
        threads->add([] {
            arm(y, wq);
            if (pw_workqueue_destroy(wq) == 0)
                drained("destroyed", {&y});
        });
    });
}

void drains_of_what_is_handed_over()
{
    static pw_workqueue *wq;
    wq = pw_workqueue_create("handed over", 0);
    scenario("drain what is handed over", by_lock, 2, [] {
        static bool goes_on;
        goes_on = false;
        y.base.cpu = 1;
        records[x.id].body = [](work &, int) {
            threads->block_until([] { return wq->drains.load() > 0; });
            queue(y, wq);
        };
        records[y.id].body = [](work &, int run) {
            threads->block_until([run] { return run == 1 ? records[0].count > 0 && !records[0].inside : goes_on; });
        };
        threads->add([] {
            queue(x, wq);
            threads->block_until([] { return records[1].count == 2; });
            goes_on = true;
        });
        threads->add([] { queue(y, wq); });
        threads->add([] {
            threads->block_until([] { return records[0].inside && records[1].inside; });
            if (pw_workqueue_drain(wq) == 0)
                drained("drained", {&x, &y});
        });
    });
}

} // namespace explore

int main(int count, char **arguments)
{
    using namespace explore;
    return explore_all(count, arguments, {drains, drains_of_what_is_armed, drains_of_what_is_handed_over});
}
