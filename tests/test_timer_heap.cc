// SPDX-License-Identifier: MIT
#include "time_limit.h"

#include "timer_heap.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <map>
#include <numeric>
#include <random>
#include <string>
#include <utility>
#include <vector>

using namespace pw::detail;

namespace {

constexpr size_t many = 1'000'000 / scale;

std::vector<pw_delayed> make_items(size_t count)
{
    std::vector<pw_delayed> items(count);
    for (pw_delayed &item : items)
        INIT_PW_DELAYED(
            &item, [](pw_struct *) {}, 0);
    return items;
}

bool detached(const pw_delayed &item)
{
    return !item.left && !item.right && !item.parent && item.rank == 0;
}

// What is wrong with a heap; empty if nothing is. With its own stack: a left spine may be as long as the
// heap.
std::string fault_in(const timer_heap &heap)
{
    std::vector<const pw_delayed *> to_visit;
    if (heap.first()) {
        if (heap.first()->parent)
            return "the root has a parent";
        if (heap.first()->rank > std::bit_width(heap.size()))
            return "the root's rank is too high";
        to_visit.push_back(heap.first());
    }
    size_t seen = 0;
    while (!to_visit.empty()) {
        const pw_delayed *item = to_visit.back();
        to_visit.pop_back();
        if (++seen > heap.size())
            return "more items than its size";
        for (const pw_delayed *child : {item->left, item->right}) {
            if (!child)
                continue;
            if (child->parent != item)
                return "a child has another parent";
            if (std::pair(child->due, child->order) < std::pair(item->due, item->order))
                return "a child is earlier than its parent";
            to_visit.push_back(child);
        }
        uint64_t left = item->left ? item->left->rank : 0, right = item->right ? item->right->rank : 0;
        if (left < right)
            return "not leftist";
        if (item->rank != right + 1)
            return "a wrong rank";
    }
    if (seen < heap.size())
        return "fewer items than its size";
    return heap.empty() == (heap.size() == 0) ? "" : "empty with a size";
}

// Pops everything: whether it was these items, in this order.
bool pops_exactly(timer_heap &heap, const std::vector<const pw_delayed *> &expected)
{
    for (const pw_delayed *item : expected)
        if (heap.first() != item || heap.pop() != item || !detached(*item))
            return false;
    return heap.empty() && heap.size() == 0 && !heap.first() && !heap.pop();
}

// Those of the items that `wanted` says, as a stable sort orders them.
template <typename Wanted>
std::vector<const pw_delayed *> in_order(const std::vector<pw_delayed> &items, Wanted wanted)
{
    std::vector<const pw_delayed *> ordered;
    for (const pw_delayed &item : items)
        if (wanted(item))
            ordered.push_back(&item);
    std::stable_sort(ordered.begin(), ordered.end(), [](auto a, auto b) { return a->due < b->due; });
    return ordered;
}

std::vector<const pw_delayed *> in_order(const std::vector<pw_delayed> &items)
{
    return in_order(items, [](const pw_delayed &) { return true; });
}

} // namespace

TEST_CASE("an empty heap has no first item and pops none")
{
    timer_heap heap;
    CHECK(heap.empty());
    CHECK(heap.size() == 0);
    CHECK(heap.first() == nullptr);
    CHECK(heap.pop() == nullptr);
}

TEST_CASE("items come out by due time, those of the same time in order of insertion")
{
    std::vector<pw_delayed> items = make_items(8);
    const uint64_t due[] = {7, 3, UINT64_MAX, 3, 0, 7, 3, UINT64_MAX};
    timer_heap heap;
    for (size_t i = 0; i < items.size(); ++i) {
        heap.insert(items[i], due[i]);
        CHECK(items[i].due == due[i]);
        CHECK(heap.size() == i + 1);
    }
    for (size_t expected : {4, 1, 3, 6, 0, 5, 2, 7}) {
        CHECK(heap.first() == &items[expected]);
        CHECK(heap.pop() == &items[expected]);
    }
    CHECK(heap.empty());
}

TEST_CASE("items of one time are popped in order of insertion, also after others were taken out")
{
    std::vector<pw_delayed> items = make_items(1000);
    timer_heap heap;
    for (pw_delayed &item : items)
        heap.insert(item, 5);
    std::vector<const pw_delayed *> expected;
    for (size_t i = 0; i < items.size(); ++i) {
        if (i % 3 == 0)
            heap.remove(items[i]);
        else
            expected.push_back(&items[i]);
    }
    // Inserted anew: behind all the others.
    for (size_t i = 0; i < items.size(); i += 3) {
        heap.insert(items[i], 5);
        expected.push_back(&items[i]);
    }
    CHECK(pops_exactly(heap, expected));
}

TEST_CASE("the root, a leaf, or one between can be removed, and the others stay in order")
{
    for (size_t victim = 0; victim < 15; ++victim) {
        std::vector<pw_delayed> items = make_items(15);
        timer_heap heap;
        // Not sorted, so that the shape has both left and right children.
        for (size_t i = 0; i < items.size(); ++i)
            heap.insert(items[i], i * 7 % 15);
        std::vector<const pw_delayed *> expected =
            in_order(items, [&](const pw_delayed &item) { return &item != &items[victim]; });
        heap.remove(items[victim]);
        CAPTURE(victim);
        CHECK(detached(items[victim]));
        CHECK(heap.size() == 14);
        CHECK(fault_in(heap) == "");
        CHECK(pops_exactly(heap, expected));
    }
}

TEST_CASE("the only item can be removed and inserted again")
{
    std::vector<pw_delayed> items = make_items(1);
    timer_heap heap;
    for (uint64_t due : {5, 3, 9}) {
        heap.insert(items[0], due);
        CHECK(heap.first() == &items[0]);
        heap.remove(items[0]);
        CHECK(heap.empty());
        CHECK(heap.first() == nullptr);
        CHECK(detached(items[0]));
        CHECK(items[0].due == due);
    }
}

TEST_CASE("whatever an item held before is overwritten when it is inserted, but for its work")
{
    std::vector<pw_delayed> items(3);
    memset(static_cast<void *>(items.data()), 0xa5, items.size() * sizeof items[0]);
    const pw_struct before = items[0].work;
    timer_heap heap;
    for (uint64_t due : {3, 1, 2})
        heap.insert(items[due - 1], due);
    CHECK(fault_in(heap) == "");
    heap.remove(items[1]);
    CHECK(heap.pop() == &items[0]);
    CHECK(heap.pop() == &items[2]);
    for (const pw_delayed &item : items) {
        CHECK(detached(item));
        CHECK(memcmp(&item.work, &before, sizeof before) == 0);
    }
}

TEST_CASE("a small heap is leftist after every operation")
{
    for (unsigned seed = 0; seed < 200; ++seed) {
        std::mt19937 random(seed);
        std::vector<pw_delayed> items = make_items(1 + seed % 40);
        timer_heap heap;
        for (int step = 0; step < (sanitized ? 100 : 400); ++step) {
            pw_delayed &item = items[random() % items.size()];
            if (item.rank == 0)
                heap.insert(item, random() % 50);
            else if (random() % 4 == 0)
                heap.pop();
            else
                heap.remove(item);
            std::string fault = fault_in(heap);
            if (!fault.empty())
                FAIL("seed " << seed << ", step " << step << ": " << fault);
        }
    }
}

TEST_CASE("a hundred thousand insertions, pops and removals agree with std::multimap")
{
    unsigned seed = GENERATE(1u, 2u, 3u, 4u, 5u, 6u);
    // From many items of the same time to hardly any.
    uint64_t range = GENERATE(uint64_t{10}, uint64_t{10'000}, UINT64_MAX);
    CAPTURE(seed, range);
    std::mt19937_64 random(seed);
    std::vector<pw_delayed> items = make_items(3000);
    std::multimap<uint64_t, pw_delayed *> model; // keeps the order of insertion among equals
    std::vector<std::multimap<uint64_t, pw_delayed *>::iterator> place(items.size(), model.end());
    timer_heap heap;
    size_t disagreements = 0;
    for (int step = 0; step < 100'000 / scale && disagreements == 0; ++step) {
        size_t i = random() % items.size();
        if (place[i] == model.end()) {
            uint64_t due = random() % range;
            heap.insert(items[i], due);
            place[i] = model.emplace(due, &items[i]);
        } else if (random() % 2 == 0) {
            pw_delayed *expected = model.begin()->second;
            model.erase(model.begin());
            place[static_cast<size_t>(expected - items.data())] = model.end();
            disagreements += heap.pop() != expected;
            disagreements += !detached(*expected);
        } else {
            heap.remove(items[i]);
            model.erase(place[i]);
            place[i] = model.end();
            disagreements += !detached(items[i]);
        }
        disagreements += heap.size() != model.size();
        disagreements += heap.first() != (model.empty() ? nullptr : model.begin()->second);
        if (step % 1000 == 0)
            REQUIRE(fault_in(heap) == "");
    }
    CHECK(disagreements == 0);
    std::vector<const pw_delayed *> expected;
    for (auto [due, item] : model)
        expected.push_back(item);
    CHECK(pops_exactly(heap, expected));
}

TEST_CASE("a million items inserted in ascending, descending or random order are popped in order")
{
    std::vector<pw_delayed> items = make_items(many);
    timer_heap heap;
    std::mt19937_64 random(11);
    auto due = [&, kind = GENERATE(0, 1, 2)](size_t i) -> uint64_t {
        return kind == 0 ? i : kind == 1 ? many - i : random() % many;
    };
    for (size_t i = 0; i < many; ++i)
        heap.insert(items[i], due(i));
    CHECK(heap.size() == many);
    CHECK(fault_in(heap) == "");
    CHECK(pops_exactly(heap, in_order(items)));
}

// Descending insertion makes one left spine of all items: what went all the way up for each of them would not
// end in time, and what recursed would run out of stack.
TEST_CASE("a million items in one left spine can be removed from below, or at random")
{
    std::vector<pw_delayed> items = make_items(many);
    timer_heap heap;
    for (size_t i = 0; i < many; ++i)
        heap.insert(items[i], many - i);
    size_t depth = 0;
    for (const pw_delayed *item = heap.first(); item; item = item->left)
        ++depth;
    REQUIRE(depth == many);
    std::vector<size_t> sequence(many);
    std::iota(sequence.begin(), sequence.end(), size_t{0}); // the deepest first
    if (GENERATE(false, true))
        std::shuffle(sequence.begin(), sequence.end(), std::mt19937(3));
    for (size_t n = 0; n < many; ++n) {
        if (n == many / 2)
            CHECK(fault_in(heap) == "");
        heap.remove(items[sequence[n]]);
    }
    CHECK(heap.empty());
    CHECK(std::all_of(items.begin(), items.end(), detached));
}

TEST_CASE("a removal settles the ranks above it, whether they fall or rise")
{
    for (unsigned seed = 0; seed < 50; ++seed) {
        std::mt19937 random(seed);
        std::vector<pw_delayed> items = make_items(300);
        timer_heap heap;
        for (pw_delayed &item : items)
            heap.insert(item, random() % 300);
        std::vector<pw_delayed *> sequence;
        for (pw_delayed &item : items)
            sequence.push_back(&item);
        std::shuffle(sequence.begin(), sequence.end(), random);
        size_t fell = 0, rose = 0;
        for (pw_delayed *item : sequence) {
            const pw_delayed *parent = item->parent;
            uint64_t before = parent ? parent->rank : 0;
            heap.remove(*item);
            fell += parent && parent->rank < before;
            rose += parent && parent->rank > before; // an only child took its place
            std::string fault = fault_in(heap);
            if (!fault.empty())
                FAIL("seed " << seed << ": " << fault);
        }
        CHECK(fell > 0);
        CHECK(rose > 0);
    }
}

TEST_CASE("what satisfies a predicate moves to another heap, and both are in order")
{
    for (unsigned seed = 0; seed < 100; ++seed) {
        std::mt19937 random(seed);
        std::vector<pw_delayed> items = make_items(seed * 3);
        timer_heap heap, moved;
        for (pw_delayed &item : items)
            heap.insert(item, random() % 100);
        // None of them, some, most, all.
        unsigned share = seed % 5;
        auto wanted = [&](const pw_delayed &item) {
            return static_cast<unsigned>(&item - items.data()) * 2654435761u >> 30 < share;
        };
        auto remain = in_order(items, [&](const pw_delayed &item) { return !wanted(item); });
        auto move = in_order(items, wanted);
        size_t asked = 0;
        heap.move_if(
            [&](const pw_delayed &item) {
                ++asked;
                return wanted(item);
            },
            moved);
        CAPTURE(seed, share);
        CHECK(asked == items.size());
        CHECK(heap.size() == remain.size());
        CHECK(moved.size() == move.size());
        CHECK(fault_in(heap) == "");
        CHECK(fault_in(moved) == "");
        CHECK(pops_exactly(heap, remain));
        CHECK(pops_exactly(moved, move));
    }
}

TEST_CASE("a heap that items were moved to takes others, behind those of the same time")
{
    std::vector<pw_delayed> items = make_items(6);
    timer_heap heap, moved;
    for (size_t i = 0; i < 4; ++i)
        heap.insert(items[i], 1);
    heap.move_if([](const pw_delayed &) { return true; }, moved);
    CHECK(heap.empty());
    moved.insert(items[4], 1);
    moved.insert(items[5], 0);
    CHECK(pops_exactly(moved, {&items[5], &items[0], &items[1], &items[2], &items[3], &items[4]}));
}

TEST_CASE("a left spine of a million items is searched without recursion")
{
    std::vector<pw_delayed> items = make_items(many);
    timer_heap heap, moved;
    for (size_t i = 0; i < many; ++i)
        heap.insert(items[i], many - i);
    heap.move_if([](const pw_delayed &item) { return item.due % 2 == 0; }, moved);
    CHECK(fault_in(heap) == "");
    CHECK(fault_in(moved) == "");
    CHECK(pops_exactly(heap, in_order(items, [](const pw_delayed &item) { return item.due % 2 != 0; })));
    CHECK(pops_exactly(moved, in_order(items, [](const pw_delayed &item) { return item.due % 2 == 0; })));
}
