// SPDX-License-Identifier: MIT
#include "queue.h"

#include "queue_peers.h"
#include "queue_wfcqueue.h"
#include "runtime_turn.h"

#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>

namespace pw::bench {
namespace {

using nlohmann::json;

constexpr long recycled_items = 1024;
constexpr long items_for_bytes = 100'000; // of which the memory is measured

template <bool recycled>
void run_work(pw_struct *work)
{
    run_item<recycled>(reinterpret_cast<item *>(work)); // its first member
}

class runtime_channel {
  public:
    using submit = int (*)(int cpu, pw_workqueue *wq, pw_struct *work);
    runtime_channel(submit how, int cpu) : how_(how), cpu_(cpu) {}

    template <bool recycled>
    auto producer()
    {
        return [how = how_, cpu = cpu_](item &each) {
            if (how(cpu, nullptr, &each.work) != 1)
                abort();
        };
    }

    void finish(item &last)
    {
        if (pw_flush(&last.work) != 0)
            abort();
    }

  private:
    submit how_;
    int cpu_;
};

way own_way(const char *name, runtime_channel::submit how)
{
    return {name, "own",
            [=](const scene &at) {
                runtime_turn running(at.cpus.worker, always_awake_us);
                runtime_channel through(how, at.cpus.worker);
                return run_scene(at, through);
            },
            [](item *, long) -> double { return sizeof(pw_struct); }};
}

template <item_step step>
way reference_way(const char *name, double bytes)
{
    auto through = std::make_shared<wfcqueue<step>>();
    return {name, "reference", [through](const scene &at) { return run_scene(at, *through); },
            [=](item *, long) { return bytes; }};
}

std::vector<way> all_ways(bool peers)
{
    constexpr double link = sizeof(void *);
    std::vector<way> all = {
        own_way("pw_queue_on", pw_queue_on),
        own_way("pw_queue_work_on", pw_queue_work_on),
        reference_way<item_step::link>("wfcqueue", link),
        reference_way<item_step::exchange>("wfcqueue, state word", link + sizeof(uint32_t)),
        reference_way<item_step::call>("wfcqueue, state word, function called",
                                       link + sizeof(uint32_t) + sizeof(pw_func_t)),
    };
    // How far apart the two CPUs are now: a virtual machine's move.
    all.push_back({"a cache line there and back",
                   "reference",
                   [](const scene &at) {
                       pin_to(at.cpus.caller);
                       return middle_mean(line_round_trips(at.cpus, 5000, false)) / cycles_per_ns();
                   },
                   {}});
    if (peers)
        for (way &each : all_queue_peers())
            all.push_back(std::move(each));
    return all;
}

struct free_memory {
    void operator()(item *items) const { free(items); }
};
using item_array = std::unique_ptr<item[], free_memory>;

item_array make_items(long count)
{
    auto size = static_cast<size_t>(count) * sizeof(item);
    item_array items(static_cast<item *>(aligned_alloc(alignof(item), size)));
    if (!items)
        throw std::bad_alloc();
    memset(static_cast<void *>(items.get()), 0, size);
    return items;
}

std::vector<scene> all_scenes(const queue_options &options, item *items)
{
    two_cpus cpus = choose_two_cpus(options);
    return {
        {"distinct", false, 1, options.items, options.items, cpus, items},
        {"recycled", true, 1, recycled_items, options.items, cpus, items},
        {"several producers", false, options.producers, options.items, options.items, cpus, items},
    };
}

} // namespace

void prepare(const scene &at)
{
    for (long i = 0; i < at.producers * at.items; ++i) {
        item &each = at.first[i];
        INIT_PW(&each.work, at.recycled ? run_work<true> : run_work<false>, at.cpus.worker);
        each.state = each.busy = 0;
    }
}

json measure_queues(const queue_options &options)
{
    item_array items = make_items(std::max(options.producers * options.items, items_for_bytes));
    std::vector<scene> scenes = all_scenes(options, items.get());
    bool lock = pw_strategy() == PW_STRATEGY_LOCK;
    std::vector<way> ways = all_ways(options.peers && !lock); // once is enough for peers
    json results = json::array();
    for (const scene &at : scenes) {
        std::vector<contender> contenders;
        for (const way &each : ways)
            contenders.push_back({each.name, each.group, [&](long) { return each.run(at); }});
        measure(contenders, options.repetitions, 1);
        json rows = json::array();
        for (const contender &each : contenders) {
            summary of = summarize(each.samples);
            rows.push_back({{"name", each.name},
                            {"group", each.group},
                            {"ns_median", of.median},
                            {"ns_p25", of.p25},
                            {"ns_p75", of.p75},
                            {"samples", each.samples}});
        }
        results.push_back({{"scene", at.name},
                           {"producers", at.producers},
                           {"items", at.producers * at.items},
                           {"queueings", at.producers * at.queueings},
                           {"rows", rows}});
    }
    json bytes = json::array();
    for (const way &each : ways)
        bytes.push_back({{"name", each.name},
                         {"bytes", each.bytes ? json(each.bytes(items.get(), items_for_bytes)) : json()}});
    return {{"strategy", lock ? "lock" : "queue"},
            {"producer_cpu", scenes[0].cpus.caller},
            {"worker_cpu", scenes[0].cpus.worker},
            {"scenes", results},
            {"bytes_an_item", bytes}};
}

} // namespace pw::bench
