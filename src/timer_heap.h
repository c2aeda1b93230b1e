// SPDX-License-Identifier: MIT
// The delayed items of one CPU, the earliest on top: a leftist heap (C. A. Crane, "Linear lists and priority
// queues as balanced binary trees", 1972; D. E. Knuth, TAOCP vol. 3, 5.2.3), with parent links so that any
// item can be taken out. The links lie in the items: nothing here allocates, and a heap is never full.
//
// Not shared: whoever calls holds the lock that guards the heap. That covers the fields of the items in it,
// except `work`, which is not touched here. An item is in at most one heap.
//
// An item's rank is 1 + the number of right links from it down to where there is no further one; a missing
// child counts as 0, and an item that is in no heap has 0. Leftist means that no right child has a higher
// rank than the left one beside it. So a heap whose root has rank r has at least 2^r - 1 items, and a way
// down by right links takes at most log2(n + 1) steps. The way down by left links may take n.
#pragma once

#include <pwlocks/work.h>

#include <cstddef>
#include <cstdint>

namespace pw::detail {

class timer_heap {
  public:
    timer_heap() = default;
    timer_heap(const timer_heap &) = delete;
    timer_heap &operator=(const timer_heap &) = delete;

    bool empty() const { return !root_; }
    size_t size() const { return size_; }

    // The earliest, or null: of those due at the same time, the one inserted first. O(1).
    const pw_delayed *first() const { return root_; }

    // Adds an item that is in no heap, and sets its due time (any number) and its order. At most O(log n)
    // steps.
    void insert(pw_delayed &item, uint64_t due);

    // Takes out the earliest; null if there is none. At most O(log n) steps. What is taken out, here and by
    // remove(), has null links and rank 0, and keeps its due time.
    pw_delayed *pop();

    // Takes out an item that is in this heap. At most O(log n) steps: see repair_above().
    void remove(pw_delayed &item);

    // Moves the items that satisfy the predicate to another heap, with their due times and order: to be
    // popped from there, earliest first. O(n + k log n) steps for k of n items, without recursion: children
    // come before their parent, so what is below an item is settled when its turn comes, and what is above it
    // is put right when the walk gets there. The predicate sees every item once, in no particular order; it
    // must leave both heaps alone and not throw. What was moved is removed from there, never from here.
    template <typename Predicate>
    void move_if(Predicate predicate, timer_heap &to)
    {
        pw_delayed *item = leftmost(root_);
        while (item) {
            pw_delayed *parent = item->parent;
            // What comes after it. Found out first: the links change.
            pw_delayed *other = parent && parent->left == item ? parent->right : nullptr;
            pw_delayed *next = other ? leftmost(other) : parent;
            if (predicate(static_cast<const pw_delayed &>(*item))) {
                replace_by_children(*item);
                to.add(*item);
            } else {
                settle(*item);
            }
            item = next;
        }
        // An item inserted there later is behind those that have come from here.
        if (to.next_order_ < next_order_)
            to.next_order_ = next_order_;
    }

  private:
    static uint64_t rank_of(const pw_delayed *item) { return item ? item->rank : 0; }

    // Where a walk that visits children before their parent begins: in a leftist heap, who has no left child
    // has none.
    static pw_delayed *leftmost(pw_delayed *item)
    {
        while (item && item->left)
            item = item->left;
        return item;
    }

    static void settle(pw_delayed &item);
    static pw_delayed *merge(pw_delayed *a, pw_delayed *b);
    static void repair_above(pw_delayed *item);
    void replace_by_children(pw_delayed &item);
    void add(pw_delayed &item);

    pw_delayed *root_ = nullptr;
    size_t size_ = 0;
    uint64_t next_order_ = 0; // 64 bits: never comes round
};

} // namespace pw::detail
