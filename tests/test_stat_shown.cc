// SPDX-License-Identifier: MIT
// What pw-stat shows of a process: the report, intervals, histograms, and what runs.
#include "view_samples.h"

#include "../tools/pw-stat/interval.h"
#include "../tools/pw-stat/views.h"

using namespace pw::tool;

namespace {

std::string line_with(const std::string &text, const std::string &wanted)
{
    for (const std::string &line : lines_of(text))
        if (contains(line, wanted))
            return line;
    return "(no line with " + wanted + ")";
}

// What stands below the heading of that name and unit, in the row that begins with `first`.
std::string value(const std::string &text, const std::string &first, const std::string &name,
                  const std::string &unit)
{
    std::vector<std::string> lines = lines_of(text);
    for (size_t i = 0; i + 1 < lines.size(); ++i) {
        for (size_t at = 0; (at = lines[i].find(name, at)) != std::string::npos; ++at) {
            size_t end = at + name.size();
            if (end < unit.size() || lines[i + 1].substr(0, end).size() < end ||
                lines[i + 1].substr(end - unit.size(), unit.size()) != unit)
                continue;
            for (size_t row = i + 2; row < lines.size() && !lines[row].empty(); ++row) {
                std::string cut = lines[row].substr(0, end);
                if (lines[row].find_first_not_of(' ') != lines[row].find(first))
                    continue;
                size_t begin = cut.find_last_of(' ');
                return cut.substr(begin == std::string::npos ? 0 : begin + 1);
            }
        }
    }
    return "(no " + name + ")";
}

std::string interval_text(const interval &shown, const std::vector<int> &cpus)
{
    return interval_headings(!cpus.empty(), {}) + interval_rows(shown, cpus, {});
}

} // namespace

TEST_CASE("the report says what the process is set to")
{
    std::string text = process_report(busy_process("queue"), {});
    CHECK(contains(text, "pid          4711\n"));
    CHECK(contains(text, "strategy     queue (from PWLOCKS)\n"));
    CHECK(contains(text, "lock method  rseq\n"));
    CHECK(contains(text, "statistics   full (each item timed by itself, with histograms)\n"));
    CHECK(contains(text, "cpus         0-3\n"));
    CHECK(contains(text, "uptime       1m40s\n"));
    CHECK(contains(text, "ignored      3 options\n             PWLOCKS: invalid value \"2x\", ignored\n"));
    CHECK(contains(text, "inexact      5 threads share one row of counters"));
    CHECK(contains(text, "locks of CPUs without a worker: 3 taken remotely, 2 waited for, 5.00ms in all\n"));
    std::string quiet = process_report(quiet_process("lock"), {});
    CHECK(contains(quiet, "statistics   on ("));
    for (const char *absent : {"ignored", "inexact", "other cpus", "WORKQUEUE", "FUNCTION"})
        CHECK(!contains(quiet, absent));
}

TEST_CASE("the report has each CPU's counts under their units")
{
    process_sample seen = busy_process("lock");
    cpu_state &cpu = seen.state.cpus[1];
    cpu.coalesced = 31;
    cpu.cancelled = 32;
    cpu.calls = 33;
    cpu.batches = 34;
    cpu.wakeups = 35;
    cpu.wakes_sent = 36;
    std::string text = process_report(seen, {});
    CHECK(value(text, "1 ", "QUEUED", "items") == "12345678");
    CHECK(value(text, "1 ", "COALESCED", "calls") == "31");
    CHECK(value(text, "1 ", "EXECUTED", "items") == "12000000");
    CHECK(value(text, "1 ", "AWAY", "items") == "7000000");
    CHECK(value(text, "1 ", "CANCELLED", "items") == "32");
    CHECK(value(text, "1 ", "PENDING", "items") == "345678");
    CHECK(value(text, "1 ", "CALLS", "each CPU") == "33");
    CHECK(value(text, "1 ", "BATCHES", "times") == "34");
    CHECK(value(text, "1 ", "WAKEUPS", "times") == "35");
    CHECK(value(text, "1 ", "WAKES", "sent") == "36");
    CHECK(value(text, "1 ", "BUSY", "time") == "25.0s");
    CHECK(value(text, "1 ", "BUSY", "%") == "25.0");
    CHECK(value(text, "1 ", "ASLEEP", "%") == "50.0");
    CHECK(value(text, "1 ", "REMOTE", "locks") == "10");
    CHECK(value(text, "1 ", "CONTENDED", "locks") == "20");
    CHECK(value(text, "1 ", "WAITED", "time") == "40.0ms");
    CHECK(value(text, "1 ", "LOST", "races") == "5");
    CHECK(value(text, "1 ", "TID", "worker") == "1001");
}

TEST_CASE("the report tells what a CPU's worker and callers do, and for how long")
{
    process_sample seen = busy_process("lock");
    std::string text = process_report(seen, {});
    CHECK(contains(text, "  running shop::cache<std::string>::drain_all_of_it for 3.20s\n"));
    CHECK(contains(text, "  mis-pinned, on CPU 0; idle\n"));
    CHECK(contains(text, "  idle; callers run fold for 5.00ms (x2)\n"));
    seen = quiet_process("queue");
    seen.state.cpus[0].pending = 1;
    seen.state.cpus[1].sleeping = false;
    text = process_report(seen, {});
    CHECK(line_with(text, "waking").starts_with("  0 "));
    CHECK(line_with(text, "awake").starts_with("  1 "));
    seen.facts.strategy = "lock"; // callers will run it
    CHECK(!contains(process_report(seen, {}), "waking"));
}

TEST_CASE("the report's ledger says who disturbed which CPU, and what was spared to it")
{
    process_sample seen = quiet_process("lock");
    seen.state.cpus[3].tallies = {{"drain", "urgent", 4, 8'000, 5'000, 0, 0, 0},
                                  {"fold", "", 0, 0, 0, 3, 6'000, 4'000}};
    std::vector<std::string> lines = lines_of(process_report(seen, {}));
    std::vector<std::string> last(lines.end() - 4, lines.end());
    CHECK(last[0] ==
          "CPU  DISTURBED  DISTURBED  DISTURBED  DISTURBED  SPARED  SPARED  SPARED   SPARED  WORKQUEUE  "
          "FUNCTION");
    CHECK(last[1] == "         times       time       mean    longest   times    time    mean  longest");
    CHECK(last[2] ==
          "  3          4     8.00us     2.00us     5.00us       0       -       -        -  urgent     "
          "drain");
    CHECK(last[3] ==
          "  3          0          -          -          -       3  6.00us  2.00us   4.00us  (system)   "
          "fold");
}

TEST_CASE("the report's workqueues, the system one first")
{
    std::string text = process_report(busy_process("queue"), {});
    CHECK(contains(text, "EXECUTED   TOTAL    MEAN  LONGEST  PRIORITY  WORKQUEUE\n"
                         "   items    time    time     time\n"
                         "12000000   30.0s  2.50us   4.00ms  normal    (system)\n"
                         "       3  1.00ms   333us    500us  high      urgent\n"
                         "       0     0ns       -      0ns  normal    none\n"));
}

TEST_CASE("no view has a line that is longer than the terminal")
{
    for (const char *strategy : {"queue", "lock"}) {
        process_sample seen = busy_process(strategy), later = seen;
        later.state.taken_ns += second;
        for (size_t columns = least_columns; columns <= 220; ++columns) {
            screen to = terminal(columns);
            for (bool unicode : {true, false}) {
                to.unicode = unicode;
                CHECK(longest_line(process_report(seen, to)) <= columns);
                CHECK(longest_line(running_report(seen, to)) <= columns);
                CHECK(longest_line(histogram_report(seen, {0, 1}, true, to)) <= columns);
            }
            interval shown = {&seen.state, later.state, 0, 0};
            CHECK(longest_line(interval_headings(true, to)) <= columns);
            CHECK(longest_line(interval_rows(shown, {0, 3}, to)) <= columns);
            CHECK(longest_line(interval_rows(shown, {}, to)) <= columns);
        }
    }
}

TEST_CASE("wrong things have a colour, and all is there without")
{
    process_sample seen = busy_process("queue");
    screen plain = terminal(300), coloured = plain;
    coloured.colours = true;
    std::string with = process_report(seen, coloured);
    CHECK(contains(with, "\033[1;31mmis-pinned, on CPU 0; waking\033[0m"));
    CHECK(contains(with, "\033[33myes\033[0m")); // isolated, and disturbed
    std::string quiet = process_report(quiet_process("queue"), coloured);
    CHECK(!contains(quiet, "\033[33m"));
    std::string without = process_report(seen, plain);
    CHECK(!contains(without, "\033"));
    for (std::string::size_type at; (at = with.find("\033[")) != std::string::npos;)
        with.erase(at, with.find('m', at) - at + 1);
    CHECK(with == without);
}

TEST_CASE("an interval has rates per second, and states as they are now")
{
    process_sample before = quiet_process("queue"), now = before;
    now.state.taken_ns += 2 * second;
    cpu_state &cpu = now.state.cpus[1];
    cpu.queued = 20;
    cpu.executed = 11;
    cpu.executed_away = 5;
    cpu.pending = 9;
    cpu.busy_ns = second;
    cpu.asleep_ns = second / 2;
    cpu.locks.waited_ns = 3'000'000;
    cpu.locks.contended = 1;
    cpu.running = "f";
    cpu.running_since_ns = now.state.taken_ns - 5'000;
    cpu.caller_running = {{"g", 2, now.state.taken_ns - 9'000}};
    cpu.tallies = {{"g", "", 0, 0, 0, 1, second / 5, 0}};
    std::string text = interval_text({&before.state, now.state, 0, 0}, {1});
    std::string first = lines_of(text).back().substr(0, 8); // the time of day
    CHECK(value(text, first, "CPU", "   ") == "1");
    CHECK(value(text, first, "QUEUED", "items/s") == "10.0");
    CHECK(value(text, first, "EXECUTED", "items/s") == "5.50");
    CHECK(value(text, first, "AWAY", "items/s") == "2.50");
    CHECK(value(text, first, "PENDING", "items") == "9");
    CHECK(value(text, first, "RUNNING", "threads") == "3");
    CHECK(value(text, first, "OLDEST", "time") == "9.00us");
    CHECK(value(text, first, "BUSY", "%") == "50.0");
    CHECK(value(text, first, "ASLEEP", "%") == "25.0");
    CHECK(value(text, first, "SPARED", "%") == "10.0");
    CHECK(value(text, first, "CONTENDED", "locks/s") == "0.50");
    CHECK(value(text, first, "WAITED", "us/s") == "1500");

    text = interval_text({&before.state, now.state, 0, 0}, {});
    CHECK(value(text, first, "CPU", "   ") == "all");
    CHECK(value(text, first, "QUEUED", "items/s") == "10.0");
    CHECK(value(text, first, "PENDING", "items") == "9");
    CHECK(value(text, first, "BUSY", "%") == "12.5"); // one of four workers, half of the time
}

TEST_CASE("the first line of intervals is since the start")
{
    process_sample seen = quiet_process("queue");
    seen.state.cpus[0].queued = 250;
    std::string text = interval_text({nullptr, seen.state, seen.facts.start_monotonic_ns, 0}, {});
    CHECK(value(text, lines_of(text).back().substr(0, 8), "QUEUED", "items/s") == "2.50");
}

TEST_CASE("counters that jump back count nothing, and no time passes without a rate")
{
    process_sample before = busy_process("queue"), now = quiet_process("queue");
    now.state.taken_ns = before.state.taken_ns + second;
    std::string text = interval_text({&before.state, now.state, 0, 0}, {});
    std::string first = lines_of(text).back().substr(0, 8);
    CHECK(value(text, first, "QUEUED", "items/s") == "0");
    CHECK(value(text, first, "BUSY", "%") == "0.0");
    text = interval_text({&before.state, before.state, 0, 0}, {});
    CHECK(value(text, first, "QUEUED", "items/s") == "-");
}

TEST_CASE("what is pending has a colour while it grows")
{
    process_sample before = busy_process("queue"), now = before;
    screen to = terminal(200);
    to.colours = true;
    for (uint64_t pending : {345'677, 345'678, 345'679}) {
        now.state.cpus[0].pending = pending;
        interval shown = {&before.state, now.state, 0, 0};
        bool grew = pending > 345'678;
        CHECK(contains(interval_rows(shown, {0}, to), "\033[33m") == grew);
        CHECK(contains(interval_rows(shown, {}, to), "\033[33m") == grew);
    }
}

TEST_CASE("headings come again when they are about to leave the screen")
{
    screen to = terminal(80);
    CHECK(headings_are_due(0, 1, to));
    CHECK(!headings_are_due(20, 1, to));
    CHECK(headings_are_due(21, 1, to));
    CHECK(!headings_are_due(20, 1, {}));
    CHECK(headings_are_due(21, 1, {}));
}

TEST_CASE("a histogram's bars, counts and percentiles")
{
    process_sample seen = busy_process("queue");
    seen.state.cpus[0].lock_wait = {};
    screen to = terminal(60);
    std::vector<std::string> lines = lines_of(histogram_report(seen, {0}, true, to));
    REQUIRE(lines.size() == 15);
    CHECK(lines[1] == "");
    CHECK(lines[2] == "CPU 0: queued to started, on the CPU's worker");
    CHECK(lines[3] == "  100 items: p50 < 2.05us, p99 < 16.4us, longest < 1.05ms");
    CHECK(lines[4] == "    from   below  items      %");
    CHECK(lines[5] == "  1.02us  2.05us     50   50.0  ████████████████████████████");
    CHECK(lines[6] == "  2.05us  4.10us      0    0.0");
    CHECK(lines[8] == "  8.19us  16.4us     49   49.0  ███████████████████████████▌");
    CHECK(lines[14] == "   524us  1.05ms      1    1.0  ▌");
    CHECK(longest_line(histogram_report(seen, {0}, true, to)) == 60);
}

TEST_CASE("histograms of CPUs are summed unless each is asked for")
{
    process_sample seen = busy_process("queue");
    std::string summed = histogram_report(seen, {0, 1, 2, 3}, false, {});
    CHECK(contains(summed, "all CPUs: queued to started"));
    CHECK(contains(summed, "  400 items: p50"));
    CHECK(contains(summed, "all CPUs: waited for locks"));
    CHECK(contains(summed, "  80 locks: p50"));
    std::string each = histogram_report(seen, {0, 1, 2, 3}, true, {});
    for (int cpu = 0; cpu < 4; ++cpu)
        CHECK(contains(each, "CPU " + std::to_string(cpu) + ": queued to started"));
    CHECK(!contains(each, "all CPUs"));
}

TEST_CASE("histograms say what is not kept, and that nothing happened")
{
    process_sample seen = quiet_process("queue");
    std::string text = histogram_report(seen, {0}, false, {});
    CHECK(contains(text, "kept with stats=full only"));
    CHECK(contains(text, "No lock was waited for.\n"));
    seen.state.cpus[0].lock_wait.buckets[3] = 1;
    text = histogram_report(seen, {0}, false, {});
    CHECK(contains(text, "kept with stats=full only"));
    CHECK(contains(text, "waited for locks"));
    CHECK(!contains(text, "No lock"));
    seen.facts.full = true;
    CHECK(!contains(histogram_report(seen, {0}, false, {}), "stats=full only"));
    CHECK(contains(histogram_report(seen, {1}, false, {}), "No item has run, and no lock was waited for.\n"));
}

TEST_CASE("the last bucket has no end, and full ones do not overflow")
{
    process_sample seen = quiet_process("queue");
    seen.state.cpus[0].lock_wait.buckets.fill(UINT64_MAX);
    std::string text = histogram_report(seen, {0}, false, {});
    CHECK(contains(text, "longest 19h32m or more\n"));
    CHECK(contains(text, "     0ns     1ns"));
    seen.state.cpus[0].lock_wait.buckets.fill(0);
    seen.state.cpus[0].lock_wait.buckets[0] = 1;
    CHECK(contains(histogram_report(seen, {0}, false, {}), "  1 lock: p50 0ns, p99 0ns, longest 0ns\n"));
}

TEST_CASE("what runs: a row for each worker, and one for what callers run")
{
    process_sample seen = busy_process("lock");
    seen.state.cpus[0].pending = 0;
    std::vector<std::string> lines = lines_of(running_report(seen, {}));
    REQUIRE(lines.size() == 9);
    CHECK(lines[0].starts_with("4711: lock strategy, stats=full, up 1m40s: "));
    CHECK(lines[2] == "CPU  ISOLATED  WORKER  PENDING     FOR  BY               RUNNING");
    CHECK(lines[3] == "                  tid    items    time");
    CHECK(lines[4] == "  0  no          1000        0       -  worker           (idle)");
    CHECK(lines[5] == "  1  no          1001   345678   3.20s  worker           "
                      "shop::cache<std::string>::drain_all_of_it");
    CHECK(lines[6] == "  2  yes         1002   345678       -  worker on CPU 0  (idle)");
    CHECK(lines[8] == "                                5.00ms  2 callers        fold");
    CHECK(!contains(running_report(seen, {}), "Thread ids"));
    seen.facts.pid = 7;
    CHECK(contains(running_report(seen, {}),
                   "Thread ids are as the process sees them, which calls itself 7.\n"));
}

TEST_CASE("a worker that did not get its CPU is shown as such under the queue strategy only")
{
    process_sample seen = quiet_process("queue");
    seen.state.cpus[0].pending = 1;
    CHECK(contains(running_report(seen, {}), "(waking, not on its CPU yet)\n"));
    seen.facts.strategy = "lock";
    CHECK(!contains(running_report(seen, {}), "waking"));
}
