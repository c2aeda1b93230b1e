// SPDX-License-Identifier: MIT
// Samples of processes that do not exist: every number in them is another one.
#pragma once

#include "../tools/pw-stat/sample.h"

#include <utility>

inline pw::tool::cpu_state sample_cpu(int number, uint64_t first)
{
    using namespace pw::tool;
    cpu_state cpu;
    cpu.cpu = number;
    cpu.node = 1;
    cpu.isolated = true;
    cpu.worker_tid = 4711;
    cpu.seen_cpu = number;
    uint64_t next = first;
    for (uint64_t *each :
         {&cpu.queued, &cpu.coalesced, &cpu.executed, &cpu.executed_away, &cpu.cancelled, &cpu.pending,
          &cpu.calls, &cpu.batches, &cpu.wakeups, &cpu.wakes_sent, &cpu.busy_ns, &cpu.idle_ns, &cpu.asleep_ns,
          &cpu.locks.remote, &cpu.locks.contended, &cpu.locks.waited_ns, &cpu.locks.lost_races})
        *each = next++;
    cpu.sleeping = true;
    return cpu;
}

// Two CPUs, 3 with everything and 40 with little, under stats=full.
inline pw::tool::process_sample full_sample()
{
    using namespace pw::tool;
    process_sample sample;
    sample.pid = 1234;
    sample.command = "target";
    sample.command_line = "./target --fast";
    sample.facts.pid = 7;
    sample.facts.strategy = "lock";
    sample.facts.source = "PWLOCKS";
    sample.facts.lock_method = "atomic";
    sample.facts.full = true;
    sample.facts.start_ns = 5000;
    sample.facts.start_monotonic_ns = 4000;
    sample.facts.ignored_count = 2;
    sample.facts.ignored = {"one reason", "another"};
    sample.facts.cpus = {3, 40};
    sample.uptime_ns = 61'000'000'001;
    sample.state.taken_ns = 90'000;
    sample.state.callers_unseen = 9;
    sample.state.elsewhere = {801, 802, 803, 804};
    sample.state.system_workqueue = {"", false, 701, 702, 703};
    sample.state.workqueues = {{"flusher", false, 711, 712, 713}, {"urgent", true, 721, 722, 723}};

    cpu_state first = sample_cpu(3, 101);
    first.seen_cpu = 40;
    first.running = "work";
    first.running_since_ns = 60'000;
    first.caller_running = {{"drain", 2, 50'000}};
    first.ran_on = {11, 0, 13};
    first.tallies = {{"work", "", 21, 22, 23, 24, 25, 26}, {"work", "flusher", 31, 32, 33, 0, 0, 0}};
    first.wait_here.buckets[0] = 1;
    first.wait_here.buckets[9] = 2; // 256 to 511 ns
    first.run_here.buckets[10] = 3;
    first.wait_away.buckets[11] = 4;
    first.run_away.buckets[47] = 5;
    first.lock_wait.buckets[12] = 6;
    sample.state.cpus = {first, sample_cpu(40, 201)};
    sample.state.cpus[1].node = -1;
    sample.state.cpus[1].isolated = false;
    sample.state.cpus[1].worker_tid = 0;
    sample.state.cpus[1].seen_cpu = -1;
    sample.state.cpus[1].sleeping = false;
    return sample;
}

// Just started, with stats=on.
inline pw::tool::process_sample fresh_sample()
{
    pw::tool::process_sample sample;
    sample.pid = 99;
    sample.command = "fresh";
    sample.command_line = "[fresh]";
    sample.facts.strategy = "queue";
    sample.facts.source = "build";
    sample.facts.lock_method = "rseq";
    sample.facts.cpus = {0};
    sample.state.cpus.resize(1);
    sample.state.cpus[0].cpu = 0;
    return sample;
}

// The most that a process can do to a text: names with all that a format gives a meaning to, several things
// of one name, and numbers as large as they get.
inline pw::tool::process_sample hostile_sample()
{
    using namespace pw::tool;
    process_sample sample = full_sample();
    sample.pid = 1235;
    sample.command = R"(a"b\c{d},e="f)";
    sample.command_line = R"(\n"} 1 # HELP)";
    sample.facts.strategy = "?";
    sample.facts.source = "/\\\"";
    sample.facts.lock_method = "?";
    sample.state.workqueues = {{"same", true, 1, 2, 3}, {"same", false, 1, 2, 3}, {"", true, 1, 2, 3}};
    sample.state.system_workqueue.count = UINT64_MAX;
    cpu_state &cpu = sample.state.cpus[0];
    cpu = sample_cpu(8191, UINT64_MAX - 16);
    cpu.running = R"(f<"\">)";
    cpu.running_since_ns = UINT64_MAX;
    cpu.caller_running = {{"others", UINT64_MAX, 1}, {"others", UINT64_MAX, 0}};
    cpu.ran_on.assign(5, UINT64_MAX);
    cpu.tallies = {{"f\ng", "same", UINT64_MAX, UINT64_MAX, UINT64_MAX, 1, 1, 1},
                   {"f\ng", "same", UINT64_MAX, UINT64_MAX, UINT64_MAX, 1, 1, 2}};
    cpu.wait_here.buckets.fill(UINT64_MAX);
    cpu.lock_wait.buckets.fill(UINT64_MAX);
    sample.state.cpus[1].cpu = INT32_MAX;
    return sample;
}

inline pw::tool::sample_set all_samples()
{
    return {{fresh_sample(), full_sample(), hostile_sample()}, {"77: its stat segment is malformed"}, 5};
}
