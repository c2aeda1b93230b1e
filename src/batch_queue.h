// SPDX-License-Identifier: MIT
// A worker's queue: liburcu's wfcqueue (wait-free enqueue, one consumer that takes everything at once; M. Desnoyers and
// L. Jiangshan). The link lives in the item, so queueing allocates nothing and a queue is never full.
//
// Who writes what: tail_, producers (exchange) and the worker's take; head_, the first producer behind an empty queue and
// the worker, which is why they share a line; an item's link, its producer and then the next producer; first_, last_ and arriving_*, the worker only.
#pragma once

#include "futex.h"
#include "idle.h"

#include <atomic>

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
    batch_queue()
    {
        __cds_wfcq_init(&head_, &tail_);
        __cds_wfcq_init(&arriving_head_, &arriving_tail_);
        }
    batch_queue(const batch_queue &) = delete;
    batch_queue &operator=(const batch_queue &) = delete;

    // Any thread; wait-free. Orders what came before it; what must be ordered behind it is idle_word's to see to.
    void enqueue(pw_struct *item)
    {
        cds_wfcq_node_init(node_of(item));
#if PW_DETAIL_TSAN
        __tsan_release(item);
#endif
        cds_wfcq_enqueue(queue_head(head_), &tail_, node_of(item));
    }

    // Any thread: whether nothing has arrived that was not taken. Also false while a producer is between its two steps.
    bool nothing_arrived() { return cds_wfcq_empty(queue_head(head_), &tail_); }

    // Worker: whether something taken is left.
    bool some_left() const { return first_ != nullptr; }

    enum class taken { nothing, batch, blocked };

    // Worker: takes everything that has arrived, behind what is left. `blocked`: a producer has not yet linked the first.
    taken take()
    {
        switch (__cds_wfcq_splice_nonblocking(queue_head(arriving_head_), &arriving_tail_, queue_head(head_), &tail_)) {
        case CDS_WFCQ_RET_SRC_EMPTY:
            return taken::nothing;
        case CDS_WFCQ_RET_WOULDBLOCK:
            return taken::blocked;
        default:
            break;
        }
        // From here on a list of our own: its last link is nobody else's to write.
        pw_struct *first = item_of(arriving_head_.node.next), *last = item_of(arriving_tail_.p);
        prefetch_to_write(first);
        __cds_wfcq_init(&arriving_head_, &arriving_tail_);
        if (first_) {
            acquire_handed_over(last_);
            set_link(*last_, first);
        } else {
            first_ = first;
        }
        last_ = last;
        return taken::batch;
    }

    // Worker: the next item of what was taken, in order; null at the end. `blocked` is set, and null returned, while the producer
    // of the item behind it has not yet linked that. The item is unlinked: its producer may queue it again once it is not pending.
    pw_struct *next(bool &blocked)
    {
        blocked = false;
        pw_struct *item = first_;
        if (!item)
            return nullptr;
        acquire_handed_over(item);
        if (item == last_) {
            first_ = last_ = nullptr;
        } else {
            pw_struct *behind = link_of(*item);
            blocked = !behind;
            if (blocked)
                return nullptr;
            first_ = behind;
            // Its line is our next miss, and we shall write it: fetched while this item runs.
            prefetch_to_write(behind);
        }
        return item;
    }

    // Worker: takes out what has arrived or is left and satisfies the predicate. Waits for producers that are between their two steps.
    template <typename Predicate, typename Dropped>
    void remove_if(Predicate predicate, Dropped dropped)
    {
        backoff wait;
        while (take() == taken::blocked)
            wait.pause();
        pw_struct *kept = nullptr, *last = last_;
        for (pw_struct *each = first_, *behind; each; each = behind) {
            acquire_handed_over(each);
            while (!(behind = each == last ? nullptr : link_of(*each)) && each != last)
                wait.pause();
            if (predicate(*each)) {
                (kept ? set_link(*kept, behind) : void(first_ = behind));
                dropped(*each);
            } else {
                kept = each;
            }
        }
        last_ = kept;
    }

  private:
    // For ThreadSanitizer: the edge from enqueue().
    static void acquire_handed_over([[maybe_unused]] pw_struct *item)
    {
#if PW_DETAIL_TSAN
        __tsan_acquire(item);
#endif
    }

    // Where the compiler may not emit it for every processor: those of 64 bits that lack it take it for nothing.
    static void prefetch_to_write(const void *line)
    {
#if defined(__x86_64__)
        __asm__ volatile("prefetchw %0" : : "m"(*static_cast<const char *>(line)));
#else
        __builtin_prefetch(line, 1);
#endif
    }

    static pw_struct *item_of(cds_wfcq_node *node) { return reinterpret_cast<pw_struct *>(node); }

    // Acquire: what the producer of the item behind wrote before it linked that.
    static pw_struct *link_of(pw_struct &item)
    {
        return static_cast<pw_struct *>(std::atomic_ref(item.next).load(std::memory_order_acquire));
    }
    static void set_link(pw_struct &item, pw_struct *behind)
    {
        std::atomic_ref(item.next).store(behind, std::memory_order_relaxed);
    }

    // One line: who finds the queue empty, and the worker that takes, write all of it; others write tail_ and read idle behind that.
    alignas(PW_CACHE_LINE) cds_wfcq_tail tail_;
    __cds_wfcq_head head_;

  public:
    idle_word<native_atomics> idle; // for whoever sleeps on this queue; see idle.h

  private:
    // The worker only.
    alignas(PW_CACHE_LINE) __cds_wfcq_head arriving_head_;
    cds_wfcq_tail arriving_tail_;
    pw_struct *first_ = nullptr, *last_ = nullptr;
};

} // namespace pw::detail
