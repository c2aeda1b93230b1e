// SPDX-License-Identifier: MIT
// Lanes, src/lane*.cc themselves, and who waits for whom, src/waits.cc: the guarantees of <pwlocks/work.h> under the
// lock strategy, in all schedules of a few threads. Every step of a lane is under its mutex, and a function of
// the program may be overtaken where it begins and ends, so points between those steps are all that schedules
// need. For the one source of each model.
#pragma once

#include "model_lane_calls.h"

namespace {

void set_up()
{
    now = 1;
    inheritance = {};
    calls.clear();
    in_queues.clear();
    waits_after_fork_child();
    gate.state.store(gate_state::open);
    for (int i = 0; i < most_threads; ++i) {
        memset(row_memory[i], 0, sizeof row_memory[i]);
        ::new (&callers[i]) caller;
        callers[i].row = reinterpret_cast<stat::caller_row *>(row_memory[i]);
        ::new (&contexts[i]) thread_context;
        contexts[i].self = &callers[i];
    }
    for (int cpu = 0; cpu < lane_count; ++cpu) {
        memset(lane_memory[cpu], 0, sizeof lane_memory[cpu]);
        lane_number(cpu).init(cpu, static_cast<size_t>(cpu), cpu, {}, *segment);
        threads->add([cpu] { deputy(cpu); }, true, [cpu] { return has_work(lane_number(cpu).deputy()); });
    }
    for (int i = 0; i < most_items; ++i) {
        items[i] = {};
        items[i].id = i;
        pw_init_delayed(&items[i].delayed, function, 0);
        records[i] = {};
    }
}

void check()
{
    for (const call &each : calls) {
        if (!is_cancelled(each) && !has_ended(each))
            threads->fail("guarantee 1: no execution behind a call");
    }
    // Guarantee 5, and more than it says: a thread's items do not overlap either, but for what it queues from
    // inside one. A call that found its item pending has a place in that order, too, but not one that it
    // chose.
    for (size_t i = 0; i < calls.size(); ++i)
        for (size_t k = i + 1; k < calls.size(); ++k) {
            const call &one = calls[i], &other = calls[k];
            if (is_cancelled(one) || is_cancelled(other) || one.thread < 0 || !other.queued || one.thread != other.thread ||
                items[one.item].base.cpu != items[other.item].base.cpu)
                continue;
            const execution &first = records[one.item].executions[static_cast<size_t>(execution_of(one))];
            const execution &second =
                records[other.item].executions[static_cast<size_t>(execution_of(other))];
            bool nested =
                first.thread == other.thread && first.begin < other.begin && other.begin < first.end;
            if (first.begin > second.begin)
                threads->fail("guarantee 5: a thread's items start out of order");
            if (!nested && first.begin != second.begin && first.end > second.begin)
                threads->fail("a thread's items overlap");
        }
    for (const record &each : records)
        if (each.freed && !each.executions.empty()) {
            const auto *bytes = reinterpret_cast<const unsigned char *>(&items[&each - records].base);
            for (size_t i = 0; i < sizeof(pw_struct); ++i)
                if (bytes[i] != 0xa5)
                    threads->fail("guarantee 3: an item was written after its function had freed it");
        }
}

void scenario(const char *what, unsigned preemptions, const std::function<void()> &program)
{
    if (only && !strstr(what, only))
        return;
    model::schedules all(preemptions, switched);
    threads = &all;
    all.explore(
        [&] {
            set_up();
            program();
        },
        check);
    printf("lane: %s: holds in %lu schedules\n", what, all.count());
    fflush(stdout);
}

work &a = items[0], &b = items[1], &c = items[2], &d = items[3];

// The program of a model: the number of preemptions, and which scenarios, by hand only.
int explore_all(int count, char **arguments, std::initializer_list<void (*)()> scenarios)
{
    if (count > 1)
        bound = static_cast<unsigned>(atoi(arguments[1]));
    if (count > 2)
        only = arguments[2];
    static stat_segment none;
    segment = &none;
    for (void (*each)() : scenarios)
        each();
    return 0;
}

} // namespace

#include "model_lane_rest.h"
