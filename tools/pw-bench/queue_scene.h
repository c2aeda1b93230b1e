// SPDX-License-Identifier: MIT
// How ways of handing work to another thread are measured: the same scenes, the same items, the same loops.
// What differs is how an item is put in, and how it is taken out and run.
#pragma once

#include "measure.h"

#include <pwlocks/work.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <functional>
#include <latch>
#include <malloc.h>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace pw::bench {

// What is queued. One line each, so that two items never share one.
struct alignas(64) item {
    pw_struct work;
    void *link;     // reference queues: the node
    uint32_t state; // a reference's word
    uint32_t busy;  // recycled ones: queued, and has not run. Set by the producer, cleared by the function
};
static_assert(sizeof(item) == 64);

struct scene {
    std::string name;
    bool recycled;  // an item is queued again when it has run; else each of them is queued once
    int producers;  // the first on its own CPU, the second on the worker's, and so on
    long items;     // of each producer
    long queueings; // by each producer
    two_cpus cpus;
    item *first;
};

// What every item does when it runs: nothing, or as much as lets it be recycled.
template <bool recycled>
inline void run_item(void *argument)
{
    if constexpr (recycled)
        __atomic_store_n(&static_cast<item *>(argument)->busy, 0, __ATOMIC_RELEASE);
}

// The same as a call: what queues hold that know no types.
struct call {
    void (*function)(void *);
    void *argument;
};
template <bool recycled>
call call_of(item &each)
{
    return {run_item<recycled>, &each};
}

// Whoever looks for items all the time takes the queue's line from the producer for each of them.
inline void rest(int pauses)
{
    for (; pauses > 0; --pauses)
        relax();
}

// Runs `count` items. `take` runs what it finds at once and says how many.
template <typename Take>
void poll(long count, Take take)
{
    while (count > 0) {
        long taken = take();
        if (taken == 0)
            rest(8);
        count -= taken;
    }
}

template <bool recycled, typename Put>
void produce(const scene &at, int index, Put &put)
{
    item *const first = at.first + index * at.items, *const end = first + at.items;
    item *next = first;
    for (long i = 0; i < at.queueings; ++i) {
        item &each = *next;
        if (++next == end)
            next = first;
        if constexpr (recycled) {
            while (__atomic_load_n(&each.busy, __ATOMIC_ACQUIRE) != 0)
                relax();
            __atomic_store_n(&each.busy, 1, __ATOMIC_RELAXED);
        }
        put(each);
    }
}

// Initializes all items, so that their lines are found in the same place, whatever ran before.
void prepare(const scene &at);

// Nanoseconds an item, from the first producer's start until all items have run. A channel has
//   producer<recycled>()      what puts an item in: one for each producer's thread, made there
//   consume<recycled>(count)  runs so many, on the worker's CPU: unless somebody else does
//   finish(last)              waits for that item and what its producer put in before, where nobody consumes
template <bool recycled, typename Channel>
double run_turn(const scene &at, Channel &through)
{
    using clock = std::chrono::steady_clock;
    constexpr bool consumes = requires
    {
        through.template consume<recycled>(1L);
    };
    auto producers = static_cast<size_t>(at.producers);
    std::vector<clock::time_point> began(producers), ended(producers + 1);
    std::latch ready(at.producers + consumes);
    auto run_producer = [&](int index) {
        auto place = static_cast<size_t>(index);
        pin_to(index % 2 == 0 ? at.cpus.caller : at.cpus.worker);
        auto put = through.template producer<recycled>();
        ready.arrive_and_wait();
        began[place] = clock::now();
        produce<recycled>(at, index, put);
        if constexpr (!consumes)
            through.finish(at.first[index * at.items + (at.queueings - 1) % at.items]);
        ended[place] = clock::now();
    };
    std::vector<std::thread> threads;
    if constexpr (consumes)
        threads.emplace_back([&] {
            pin_to(at.cpus.worker);
            ready.count_down();
            through.template consume<recycled>(at.producers * at.queueings);
            ended.back() = clock::now();
        });
    if (at.producers == 1)
        run_producer(0);
    else
        for (int index = 0; index < at.producers; ++index)
            threads.emplace_back(run_producer, index);
    for (std::thread &each : threads)
        each.join();
    auto took = *std::max_element(ended.begin(), ended.end()) - *std::min_element(began.begin(), began.end());
    return std::chrono::duration<double, std::nano>(took).count() /
           static_cast<double>(at.producers * at.queueings);
}

template <typename Channel>
double run_scene(const scene &at, Channel &through)
{
    prepare(at);
    return at.recycled ? run_turn<true>(at, through) : run_turn<false>(at, through);
}

// One way: what it is called, its turn in a scene, and the memory that an item takes in it.
struct way {
    std::string name;
    std::string group; // "own", "reference" or "peer"
    std::function<double(const scene &)> run;
    std::function<double(item *items, long count)> bytes;
};

// What the C library has given out to this thread and not got back.
inline size_t allocated()
{
    struct mallinfo2 all = mallinfo2();
    return all.uordblks + all.hblkhd;
}

// Bytes that a channel has allocated when so many items are in it, by item.
template <typename Channel>
double bytes_allocated(item *items, long count)
{
    size_t before = allocated();
    auto through = std::make_unique<Channel>();
    auto put = through->template producer<false>();
    for (long i = 0; i < count; ++i)
        put(items[i]);
    return static_cast<double>(allocated() - before) / static_cast<double>(count);
}

// A peer whose channel lives from the first turn to the last, so that it allocates only once what it keeps.
template <typename Channel>
way peer_way(const char *name)
{
    auto through = std::make_shared<Channel>();
    return {name, "peer", [through](const scene &at) { return run_scene(at, *through); },
            bytes_allocated<Channel>};
}

} // namespace pw::bench
