// SPDX-License-Identifier: MIT
// What the library's queue strategy is held against: liburcu's wfcqueue, the queue inside it, by itself.
#pragma once

#include "queue_scene.h"

#include <sched.h>

#define _LGPL_SOURCE // inline
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic"
#pragma GCC diagnostic ignored "-Wcast-qual"
#pragma GCC diagnostic ignored "-Wundef"
#pragma GCC diagnostic ignored "-Wshadow"
#include <urcu/wfcqueue.h>
#pragma GCC diagnostic pop

namespace pw::bench {

enum class item_step {
    link,     // an item is put in and taken out
    exchange, // both sides also exchange a word of it, as they must who want it queued once
    call      // and its function is called
};

template <item_step step>
class wfcqueue {
  public:
    wfcqueue()
    {
        __cds_wfcq_init(&queue_.head, &queue_.tail);
        __cds_wfcq_init(&taken_.head, &taken_.tail);
    }

    template <bool recycled>
    auto producer()
    {
        return [this](item &each) {
            if (step >= item_step::exchange && __atomic_exchange_n(&each.state, 1, __ATOMIC_ACQ_REL) != 0)
                abort();
            cds_wfcq_node_init(node_of(each));
            cds_wfcq_enqueue(head_of(queue_), &queue_.tail, node_of(each));
        };
    }

    template <bool recycled>
    void consume(long count)
    {
        poll(count, [&]() -> long {
            cds_wfcq_ret spliced =
                __cds_wfcq_splice_nonblocking(head_of(taken_), &taken_.tail, head_of(queue_), &queue_.tail);
            if (spliced == CDS_WFCQ_RET_WOULDBLOCK)
                sched_yield(); // a producer was preempted in between, maybe on this CPU
            if (spliced == CDS_WFCQ_RET_WOULDBLOCK || spliced == CDS_WFCQ_RET_SRC_EMPTY)
                return 0;
            long run = 0;
            while (cds_wfcq_node *node = __cds_wfcq_dequeue_nonblocking(head_of(taken_), &taken_.tail)) {
                if (node == CDS_WFCQ_WOULDBLOCK) {
                    sched_yield();
                    continue;
                }
                take<recycled>(
                    *reinterpret_cast<item *>(reinterpret_cast<char *>(node) - offsetof(item, link)));
                ++run;
            }
            rest(16); // and then find many: that is what makes it fast
            return run;
        });
    }

  private:
    struct ends {
        // Both on one line: whoever wants one mostly wants the other.
        alignas(64) cds_wfcq_tail tail;
        __cds_wfcq_head head;
    };

    static cds_wfcq_node *node_of(item &each) { return reinterpret_cast<cds_wfcq_node *>(&each.link); }

    // From 0.14 on liburcu's C++ interface takes the pointer itself, before that a union.
    static auto head_of(ends &queue)
    {
#if PW_BENCH_URCU_TAKES_POINTER
        return &queue.head;
#else
        return __cds_wfcq_head_cast(&queue.head);
#endif
    }

    template <bool recycled>
    static void take(item &each)
    {
        pw_func_t function = each.work.func;
        if (step >= item_step::exchange)
            __atomic_exchange_n(&each.state, 0, __ATOMIC_ACQ_REL);
        if (step >= item_step::call)
            function(&each.work);
        else
            run_item<recycled>(&each);
    }

    ends queue_, taken_;
};

} // namespace pw::bench
