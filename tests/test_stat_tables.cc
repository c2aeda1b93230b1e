// SPDX-License-Identifier: MIT
// What pw-stat makes of the numbers in a segment, true ones and impossible ones.
#include "catch.h"
#include "forged_segment.h"

#include "../tools/pw-stat/segment.h"

#include <ctime>
#include <map>
#include <numeric>
#include <string>

using namespace pw::tool;
using Catch::Matchers::StartsWith;

namespace {

constexpr uint64_t most = ~uint64_t{0};

uint64_t now_ns()
{
    timespec now = {};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

snapshot read(forgery &forged)
{
    return segment(forged.file()).read();
}

void set_name(forgery &forged, uint64_t address, const char *name)
{
    pw::stat::function &place = forged.name_of(address);
    place.address = address;
    memset(place.name, 0, sizeof place.name);
    memcpy(place.name, name, std::min(strlen(name), sizeof place.name));
}

void set_tally(pw::stat::tally &tally, uint64_t function, uint64_t workqueue, uint64_t here, uint64_t here_ns,
               uint64_t away = 0, uint64_t away_ns = 0)
{
    tally.function = function;
    tally.workqueue = workqueue;
    tally.here = here;
    tally.here_ns = here_ns;
    tally.here_longest_ns = here_ns / 2;
    tally.away = away;
    tally.away_ns = away_ns;
    tally.away_longest_ns = away_ns / 2;
}

// "FUNCTION WORKQUEUE HERE HERE_NS LONGEST AWAY AWAY_NS LONGEST"
std::string text(const tally_state &tally)
{
    std::string words = tally.function + ' ' + tally.workqueue;
    for (uint64_t number :
         {tally.here, tally.here_ns, tally.here_longest_ns, tally.away, tally.away_ns, tally.away_longest_ns})
        words += ' ' + std::to_string(number);
    return words;
}

std::string text(const workqueue_state &workqueue)
{
    return workqueue.name + ' ' + std::to_string(workqueue.count) + ' ' + std::to_string(workqueue.total_ns) +
           ' ' + std::to_string(workqueue.longest_ns);
}

} // namespace

TEST_CASE("every number of a CPU, a cell and a caller is read from its own place")
{
    forgery forged;
    pw::stat::cpu_block &block = forged.block(1);
    block.worker_tid = 4711;
    block.executed = 1;
    block.batches = 2;
    block.wakeups = 3;
    block.calls = 4;
    block.seen_cpu = 6;
    block.wakes_sent = 7;
    block.busy_ns = 8;
    block.idle_ns = 9;
    block.asleep_ns = 10;
    block.locks.remote = 11;
    block.locks.contended = 12;
    block.locks.waited_ns = 13;
    block.locks.lost_races = 14;
    forged.header().elsewhere.remote = 15;
    forged.header().elsewhere.contended = 16;
    forged.header().elsewhere.waited_ns = 17;
    forged.header().elsewhere.lost_races = 18;
    forged.header().callers_unseen = 19;
    forged.header().full = 1;
    for (size_t row : {size_t{0}, size_t{3}}) {
        forged.cell(row, 1).queued = 50;
        forged.cell(row, 1).executed = 20;
        forged.cell(row, 1).cancelled = 5;
        forged.cell(row, 1).coalesced = 6;
    }
    segment reader(forged.file());
    CHECK(reader.facts().full);
    snapshot seen = reader.read();
    const cpu_state &cpu = seen.cpus[1];
    CHECK((cpu.cpu == 40 && cpu.node == 1 && cpu.isolated && cpu.worker_tid == 4711));
    CHECK((seen.cpus[2].node == -1 && seen.cpus[2].seen_cpu == -1 && !seen.cpus[2].isolated));
    CHECK((cpu.queued == 100 && cpu.executed == 41 && cpu.executed_away == 40 && cpu.cancelled == 10));
    CHECK((cpu.pending == 49 && cpu.coalesced == 12));
    CHECK((cpu.batches == 2 && cpu.wakeups == 3 && cpu.calls == 4 && cpu.seen_cpu == 5));
    CHECK((cpu.wakes_sent == 7 && cpu.busy_ns == 8 && cpu.idle_ns == 9 && cpu.asleep_ns == 10));
    CHECK((cpu.locks.remote == 11 && cpu.locks.contended == 12));
    CHECK((cpu.locks.waited_ns == 13 && cpu.locks.lost_races == 14));
    CHECK((seen.elsewhere.remote == 15 && seen.elsewhere.contended == 16));
    CHECK((seen.elsewhere.waited_ns == 17 && seen.elsewhere.lost_races == 18));
    CHECK(seen.callers_unseen == 19);
    CHECK((!cpu.sleeping && cpu.running.empty() && cpu.caller_running.empty()));
}

TEST_CASE("CPUs are shown by rising number, and with them what ran where")
{
    sample_facts facts;
    facts.cpus = {{41, -1, false}, {3, 0, false}, {40, 1, true}};
    forgery forged(facts);
    for (size_t i = 0; i < 3; ++i)
        for (size_t where = 0; where < 4; ++where)
            forged.ran_on(i, where) = 10 * i + where;
    forged.cell(0, 0).queued = 7; // of CPU 41
    snapshot seen = read(forged);
    REQUIRE(seen.cpus.size() == 3);
    CHECK((seen.cpus[0].cpu == 3 && seen.cpus[1].cpu == 40 && seen.cpus[2].cpu == 41));
    CHECK(seen.cpus[2].queued == 7);
    CHECK(seen.cpus[0].ran_on == std::vector<uint64_t>{11, 12, 10, 13});
    CHECK(seen.cpus[1].ran_on == std::vector<uint64_t>{21, 22, 20, 23});
    CHECK(seen.cpus[2].ran_on == std::vector<uint64_t>{1, 2, 0, 3});
    forged.header().place_count = 0;
    CHECK(read(forged).cpus[0].ran_on.empty());
}

TEST_CASE("each histogram is read from its own place, and there may be fewer or more of them")
{
    forgery forged;
    for (uint32_t kind = 0; kind < pw::stat::histogram_kinds; ++kind)
        for (unsigned i = 0; i < pw::stat::histogram_buckets; ++i)
            forged.histogram(1, static_cast<pw::stat::histogram_kind>(kind)).buckets[i] = 100 * kind + i;
    auto all_are = [](const histogram &seen, uint64_t first) {
        std::array<uint64_t, 48> expected;
        std::iota(expected.begin(), expected.end(), first);
        return seen.buckets == expected;
    };
    cpu_state cpu = read(forged).cpus[1];
    CHECK((all_are(cpu.wait_here, 0) && all_are(cpu.run_here, 100) && all_are(cpu.wait_away, 200)));
    CHECK((all_are(cpu.run_away, 300) && all_are(cpu.lock_wait, 400)));
    CHECK(read(forged).cpus[0].run_here.buckets == histogram().buckets);

    // A later library has a sixth kind, with more buckets each.
    std::vector<char> kinds(forged.bytes.begin() + static_cast<ptrdiff_t>(forged.header().histogram_offset),
                            forged.bytes.end());
    size_t end = forged.bytes.size(), stride = sizeof(pw::stat::histogram) + 64;
    forged.bytes.resize(end + 3 * 6 * stride);
    for (size_t kind = 0; kind < 5; ++kind)
        memcpy(&forged.bytes[end + (6 + kind) * stride],
               kinds.data() + (5 + kind) * sizeof(pw::stat::histogram), sizeof(pw::stat::histogram));
    forged.header().histogram_offset = end;
    forged.header().histogram_stride = static_cast<uint32_t>(stride);
    forged.header().histogram_count = 6;
    cpu = read(forged).cpus[1];
    CHECK((all_are(cpu.wait_here, 0) && all_are(cpu.lock_wait, 400)));

    forged.header().histogram_count = 0;
    CHECK(read(forged).cpus[1].run_here.buckets == histogram().buckets);
}

TEST_CASE("tallies are added up by name, sorted by time, and summed for their workqueues")
{
    forgery forged;
    set_name(forged, 0x5000, "drain");
    set_name(forged, 0x6000, "refill");
    set_tally(forged.tally(0, 3), 0x5000, 7, 1, 100);
    set_tally(forged.tally(0, 9), 0x6000, 0, 2, 10, 3, 500);
    set_tally(forged.tally(0, 10), 0x5000, 7, 4, 60); // the same again
    set_tally(forged.tally(0, 11), 0x7000, 9, 1, 1);
    set_tally(forged.tally(0, 12), 0x5000, 100, 5, 7); // of workqueues that are no more
    set_tally(forged.tally(0, 13), 0x5000, 200, 6, 9);
    set_tally(forged.tally(0, 20), pw::stat::claimed, 7, 1000, 1000); // is being filled
    set_tally(forged.tally(0, 21), 0, 7, 1000, 1000);
    set_tally(forged.tally(0, 22), 0x8000, 0, 0, 0); // counts nothing yet
    set_tally(forged.tally(0, 127), pw::stat::other_functions, 0, 8, 300);
    set_tally(forged.tally(2, 5), 0x5000, 7, 0, 0, 9, 1000);
    snapshot seen = read(forged);
    std::vector<std::string> texts;
    for (const tally_state &each : seen.cpus[0].tallies)
        texts.push_back(text(each));
    CHECK(texts == std::vector<std::string>{"refill  2 10 5 3 500 250", "(others)  8 300 150 0 0 0",
                                            "drain flusher 5 160 50 0 0 0", "drain (destroyed) 11 16 4 0 0 0",
                                            "0x7000 urgent 1 1 0 0 0 0"});
    CHECK(seen.cpus[1].tallies.empty());
    REQUIRE(seen.cpus[2].tallies.size() == 1);
    CHECK(text(seen.cpus[2].tallies[0]) == "drain flusher 0 0 0 9 1000 500");
    REQUIRE(seen.workqueues.size() == 2);
    CHECK(text(seen.workqueues[0]) == "flusher 14 1160 500");
    CHECK(text(seen.workqueues[1]) == "urgent 1 1 0");
    CHECK(text(seen.system_workqueue) == " 13 810 250");
}

TEST_CASE("a worker's times go on up to the moment of the snapshot")
{
    forgery forged;
    uint64_t second = 1'000'000'000, start = now_ns() - 100 * second;
    forged.header().start_monotonic_ns = start;
    forged.block(0).busy_ns = 5;
    forged.block(0).turn_since = start + 60 * second;
    forged.block(1).idle_ns = forged.block(1).asleep_ns = 7;
    forged.block(1).idle_since = start + 30 * second;
    forged.block(1).sleeping = start + 35 * second;
    forged.block(2).idle_since = start + 80 * second;
    forged.block(0).running = 0x4000;
    forged.block(0).running_since = start + 99 * second;
    forged.row(2).running_since = start + 50 * second;
    forged.row(1).running = 0x4000;
    forged.row(1).running_cpu = 41;
    forged.row(1).running_since = start + 40 * second;
    snapshot seen = read(forged);
    uint64_t life = seen.taken_ns - start;
    CHECK((life >= 100 * second && seen.taken_ns <= now_ns()));
    CHECK((seen.cpus[0].busy_ns == life - 60 * second + 5 && seen.cpus[0].idle_ns == 0));
    CHECK((seen.cpus[1].idle_ns == life - 30 * second + 7 && seen.cpus[1].busy_ns == 0));
    CHECK(seen.cpus[1].asleep_ns == life - 35 * second + 7);
    CHECK((seen.cpus[2].idle_ns == life - 80 * second && seen.cpus[2].asleep_ns == 0));
    CHECK((seen.cpus[0].running == "0x4000" && seen.cpus[0].running_since_ns == start + 99 * second));
    REQUIRE(seen.cpus[2].caller_running.size() == 1);
    CHECK(seen.cpus[2].caller_running[0].threads == 2);
    CHECK(seen.cpus[2].caller_running[0].since_ns == start + 40 * second);
}

TEST_CASE("moments that cannot be are moved into the runtime's life")
{
    forgery forged;
    uint64_t start = now_ns() - 1'000'000'000;
    forged.header().start_monotonic_ns = start;
    for (size_t i = 0; i < 3; ++i) {
        forged.block(i).running = 0x4000;
        forged.block(i).sleeping = i == 1 ? most : 1;
    }
    // Before it began, in the future, and not told.
    forged.block(0).turn_since = forged.block(0).idle_since = forged.block(0).running_since = 1;
    forged.block(1).turn_since = forged.block(1).idle_since = forged.block(1).running_since = most;
    snapshot seen = read(forged);
    uint64_t life = seen.taken_ns - start;
    const cpu_state &early = seen.cpus[0], &late = seen.cpus[1], &none = seen.cpus[2];
    CHECK((early.busy_ns == life && early.idle_ns == life && early.asleep_ns == life));
    CHECK(early.running_since_ns == start);
    CHECK((late.busy_ns == 0 && late.idle_ns == 0 && late.asleep_ns == 0));
    CHECK((late.running_since_ns == seen.taken_ns && none.running_since_ns == 0));

    // A process whose clock is ahead of ours.
    forged.header().start_monotonic_ns = most - 1000;
    forged.block(0).turn_since = forged.block(0).running_since = most - 500;
    seen = read(forged);
    CHECK(seen.cpus[0].busy_ns == 0);
    CHECK(seen.cpus[0].running_since_ns == seen.taken_ns);
}

TEST_CASE("sums of impossible numbers stay at the largest one")
{
    forgery forged;
    for (size_t row = 0; row < 4; ++row) {
        forged.cell(row, 0).queued = forged.cell(row, 0).coalesced = most - 1;
        forged.cell(row, 1).executed = forged.cell(row, 1).cancelled = most - 1;
    }
    forged.block(0).busy_ns = most;
    forged.block(0).turn_since = 1;
    forged.header().start_monotonic_ns = 1;
    for (size_t i = 0; i < 128; ++i)
        set_tally(forged.tally(1, i), 0x5000, 7, most, most, most, most);
    snapshot seen = read(forged);
    CHECK((seen.cpus[0].queued == most && seen.cpus[0].coalesced == most && seen.cpus[0].pending == most));
    CHECK((seen.cpus[1].executed == most && seen.cpus[1].cancelled == most && seen.cpus[1].pending == 0));
    CHECK(seen.cpus[0].busy_ns == most);
    REQUIRE(seen.cpus[1].tallies.size() == 1);
    CHECK((seen.cpus[1].tallies[0].here == most && seen.cpus[1].tallies[0].away_ns == most));
    CHECK((seen.workqueues[0].count == most && seen.workqueues[0].total_ns == most));
}

TEST_CASE("a CPU's and a worker's numbers that cannot be are not shown")
{
    forgery forged;
    forged.block(0).node = -5;
    forged.block(0).worker_tid = 0x80000000;
    forged.block(0).seen_cpu = most;
    forged.row(1).running = forged.row(3).running = 0x4000;
    forged.row(1).running_cpu = most;
    forged.row(3).running_cpu = 4; // which has no worker
    snapshot seen = read(forged);
    CHECK((seen.cpus[0].node == -1 && seen.cpus[0].worker_tid == 0 && seen.cpus[0].seen_cpu == -1));
    CHECK((seen.cpus[0].caller_running.empty() && seen.cpus[1].caller_running.empty()));
    REQUIRE(seen.cpus[2].caller_running.size() == 1);
    CHECK(seen.cpus[2].caller_running[0].threads == 1);
}

TEST_CASE("many functions that callers run for one CPU share a name")
{
    forgery forged;
    forged.header().caller_count = 30;
    forged.bytes.resize(forged.header().caller_offset + 30 * forged.header().caller_stride);
    for (size_t row = 0; row < 30; ++row) {
        forged.row(row).running = 0x10000 + row;
        forged.row(row).running_cpu = 40;
    }
    auto running = read(forged).cpus[1].caller_running;
    REQUIRE(running.size() == 5);
    uint64_t threads = 0;
    for (const running_function &each : running) {
        CHECK_THAT(each.name, StartsWith(each.threads == 1 ? "0x1000" : "(others)"));
        threads += each.threads;
    }
    CHECK(threads == 30);
}

TEST_CASE("names that stand for long texts cannot fill our memory or our time")
{
    forgery forged;
    // Each pair of references stands for twice the text before it.
    std::string bomb = "M150" + std::string(150, 'a') + "S_MS0_S0_MS1_S1_MS2_S2_MS3_S3_MS4_S4_";
    for (size_t i = 0; i < 3 * 128; ++i) {
        set_name(forged, 0x100000 + i, ("_Z4f" + std::to_string(100 + i) + bomb).c_str());
        set_tally(forged.tally(i / 128, i % 128), 0x100000 + i, 0, 1, 1);
    }
    snapshot seen = read(forged);
    std::map<std::string, size_t> by_start;
    for (const cpu_state &cpu : seen.cpus)
        for (const tally_state &each : cpu.tallies) {
            CHECK(each.function.size() <= 500);
            ++by_start[each.function.substr(0, 1)];
        }
    // Some are demangled, and when that was enough text the rest are as the linker knows them.
    CHECK((by_start["f"] > 10 && by_start["_"] > 10 && by_start["f"] + by_start["_"] == 3 * 128));
}
