// SPDX-License-Identifier: MIT
// A worker's queue: liburcu's wfcqueue (wait-free enqueue, one consumer that takes everything at once; M. Desnoyers and
// L. Jiangshan). The link lives in the item, so queueing allocates nothing and a queue is never full.
//
// Who writes what: tail_, producers (exchange) and the worker's take; head_, the first producer behind an empty queue and
// the worker; an item's link, its producer and then the next producer; taken_*, the worker only; idle, see idle.h.
#pragma once

#include "idle.h"

#include <pwlocks/work.h>

#if PW_DETAIL_TSAN
// ThreadSanitizer cannot see into liburcu's inline assembly: call the library's own functions, which are not instrumented,
// and tell it the hand-over edge of each item.
extern "C" void __tsan_acquire(void *);
extern "C" void __tsan_release(void *);
#else
#define _LGPL_SOURCE // inline: allowed to code under a licence compatible with the LGPL, which MIT is
#endif
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic"
#pragma GCC diagnostic ignored "-Wcast-qual"
#pragma GCC diagnostic ignored "-Wundef"
#pragma GCC diagnostic ignored "-Wshadow"
#include <urcu/wfcqueue.h>
#pragma GCC diagnostic pop

namespace pw::detail {

static_assert(offsetof(pw_struct, next) == 0 && sizeof(cds_wfcq_node) == sizeof(void *),
              "an item starts with wfcqueue's node");

// From 0.14 on liburcu's C++ interface takes the pointer itself, before that a union.
#if PWLOCKS_URCU_TAKES_POINTER
inline __cds_wfcq_head *queue_head(__cds_wfcq_head &head)
{
    return &head;
}
#else
inline cds_wfcq_head_ptr_t queue_head(__cds_wfcq_head &head)
{
    return __cds_wfcq_head_cast(&head);
}
#endif

inline cds_wfcq_node *node_of(pw_struct *item)
{
    return reinterpret_cast<cds_wfcq_node *>(&item->next);
}

class batch_queue {
  public:
    void init()
    {
        __cds_wfcq_init(&head_, &tail_);
        __cds_wfcq_init(&taken_head_, &taken_tail_);
    }

    // Any thread; wait-free. Orders what came before it; what must be ordered behind it is idle_word's to see to.
    void enqueue(pw_struct *item)
    {
        cds_wfcq_node_init(node_of(item));
#if PW_DETAIL_TSAN
        __tsan_release(item);
#endif
        cds_wfcq_enqueue(queue_head(head_), &tail_, node_of(item));
    }

    // Any thread. Also false while a producer is between its two steps.
    bool empty() { return cds_wfcq_empty(queue_head(head_), &tail_); }

    enum class taken { nothing, batch, blocked };

    // Worker: takes everything that is queued, if nothing taken is left. `blocked`: a producer has not yet linked the first.
    taken take()
    {
        switch (__cds_wfcq_splice_nonblocking(queue_head(taken_head_), &taken_tail_,
                                              queue_head(head_), &tail_)) {
        case CDS_WFCQ_RET_SRC_EMPTY:
            return taken::nothing;
        case CDS_WFCQ_RET_WOULDBLOCK:
            return taken::blocked;
        default:
            return taken::batch;
        }
    }

    // Worker: the next item of what was taken, in order; null at the end. `blocked` is set, and null returned, while the producer
    // of the next item has not yet linked it. The item is unlinked: its producer may queue it again once it is not pending.
    pw_struct *next(bool &blocked)
    {
        cds_wfcq_node *node =
            __cds_wfcq_dequeue_nonblocking(queue_head(taken_head_), &taken_tail_);
        blocked = node == CDS_WFCQ_WOULDBLOCK;
        if (blocked || !node)
            return nullptr;
        pw_struct *item = reinterpret_cast<pw_struct *>(node);
#if PW_DETAIL_TSAN
        __tsan_acquire(item);
#endif
        return item;
    }

  private:
    // Producers write this line, and read idle behind each enqueue: one line for both.
    alignas(PW_CACHE_LINE) cds_wfcq_tail tail_;

  public:
    idle_word<native_atomics> idle;

  private:
    // The worker, and a producer when the queue was empty.
    alignas(PW_CACHE_LINE) __cds_wfcq_head head_;
    __cds_wfcq_head taken_head_; // the worker only
    cds_wfcq_tail taken_tail_;
};

} // namespace pw::detail
