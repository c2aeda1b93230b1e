// SPDX-License-Identifier: MIT
#include "timer_heap.h"

#include <utility>

namespace pw::detail {
namespace {

bool earlier(const pw_delayed &a, const pw_delayed &b)
{
    return a.due != b.due ? a.due < b.due : a.order < b.order;
}

} // namespace

// Makes an item leftist whose children are, and gives it its rank.
void timer_heap::settle(pw_delayed &item)
{
    if (rank_of(item.left) < rank_of(item.right))
        std::swap(item.left, item.right);
    item.rank = rank_of(item.right) + 1;
}

// Makes one heap of two, either of which may be null; its root has no parent. Knuth's algorithm without its
// recursion: down both ways of right links at once, always taking the earlier item, and back by the parent
// links to settle what was taken. At most one step for each item on the two ways: O(log n).
pw_delayed *timer_heap::merge(pw_delayed *a, pw_delayed *b)
{
    pw_delayed *root = nullptr, *last = nullptr;
    pw_delayed **place = &root;
    while (a && b) {
        if (earlier(*b, *a))
            std::swap(a, b);
        *place = a;
        a->parent = last;
        last = a;
        place = &a->right;
        a = a->right;
    }
    pw_delayed *rest = a ? a : b;
    *place = rest;
    if (rest)
        rest->parent = last;
    for (; last; last = last->parent)
        settle(*last);
    return root;
}

// Settles an item one of whose children was replaced, and those above it as far as their ranks change.
//
// That is at most log2(n + 1) + 1 items, however deep the first one lies. Say the child's rank falls from c
// to c', and the other child's is s: the item's falls only if c' < s, and then to c' + 1. So it goes on for
// as long as each item's new rank is one more than the one below it, and no rank is above log2(n + 1). If it
// rises instead (an only child takes its parent's place), the item's rises only if c < s, and was c + 1: the
// same holds for the old ranks.
void timer_heap::repair_above(pw_delayed *item)
{
    while (item) {
        uint64_t before = item->rank;
        settle(*item);
        if (item->rank == before)
            return;
        item = item->parent;
    }
}

// Takes an item out, and leaves it to the caller to settle those above it.
void timer_heap::replace_by_children(pw_delayed &item)
{
    pw_delayed *parent = item.parent;
    pw_delayed *heir = merge(item.left, item.right);
    if (heir)
        heir->parent = parent;
    (!parent ? root_ : parent->left == &item ? parent->left : parent->right) = heir;
    item.left = item.right = item.parent = nullptr;
    item.rank = 0;
    --size_;
}

// Adds an item that has its due time and order.
void timer_heap::add(pw_delayed &item)
{
    item.left = item.right = item.parent = nullptr;
    item.rank = 1;
    root_ = merge(root_, &item);
    ++size_;
}

void timer_heap::insert(pw_delayed &item, uint64_t due)
{
    item.due = due;
    item.order = next_order_++;
    add(item);
}

pw_delayed *timer_heap::pop()
{
    pw_delayed *item = root_;
    if (item)
        replace_by_children(*item);
    return item;
}

void timer_heap::remove(pw_delayed &item)
{
    pw_delayed *parent = item.parent;
    replace_by_children(item);
    repair_above(parent);
}

} // namespace pw::detail
