// SPDX-License-Identifier: MIT
// What all of pw-stat's views are made of: screens, tables, quantities, differences.
#include "view_samples.h"

#include "../tools/pw-stat/change.h"
#include "../tools/pw-stat/quantity.h"
#include "../tools/pw-stat/selection.h"
#include "../tools/pw-stat/table.h"

#include <cstdlib>
#include <fcntl.h>
#include <string>
#include <sys/ioctl.h>
#include <unistd.h>
#include <vector>

using namespace pw::tool;

namespace {

table sample_table()
{
    table sample({{"CPU", ""},
                  {"QUEUED", "items", side::right, 2},
                  {"ISOLATED", "", side::left, 1},
                  {"STATE", "", side::left}});
    sample.add({"0", "123", "yes", "idle"});
    sample.add({"127", "7", "no", "running a function with quite a long name"});
    return sample;
}

} // namespace

TEST_CASE("a file gets every column of a table, in full")
{
    CHECK(sample_table().text({}) == "CPU  QUEUED  ISOLATED  STATE\n"
                                     "      items\n"
                                     "  0     123  yes       idle\n"
                                     "127       7  no        running a function with quite a long name\n");
}

TEST_CASE("a terminal gets the columns that fit, by priority, and the last one cut")
{
    auto at = [](size_t columns) { return lines_of(sample_table().text(terminal(columns))); };
    CHECK(at(64)[3] == "127       7  no        running a function with quite a long name");
    CHECK(at(63)[3] == "127       7  no        running a function with quite a long na…");
    CHECK(at(57)[3] == "127       7  no        running a function with quite a l…");
    CHECK(at(56)[3] == "127  no        running a function with quite a long name");
    CHECK(at(49)[3] == "127  no        running a function with quite a l…");
    CHECK(at(48)[3] == "127       7  running a function with quite a lo…");
    CHECK(at(46)[3] == "127  running a function with quite a long name");
    CHECK(at(49)[0] == "CPU  ISOLATED  STATE");
}

TEST_CASE("no line of a table is longer than the terminal")
{
    table wide({{"命令", "字", side::left, 1}, {"NUMBER", "items"}, {"ÜBER", "", side::left}});
    wide.add({"数据库服务器", "18446744073709551615", "コーヒー é and words that go on and on and on"});
    wide.add({"x", "1", "y"});
    for (size_t columns = least_columns; columns <= 120; ++columns) {
        CHECK(longest_line(wide.text(terminal(columns))) <= columns);
        CHECK(longest_line(sample_table().text(terminal(columns))) <= columns);
    }
}

TEST_CASE("rows that come one by one stand below their headings")
{
    table flow({{"PENDING", "items", side::right, 0, 8}, {"BUSY", "%", side::right, 0, 5}});
    std::string headings = flow.headings({});
    CHECK(headings == " PENDING   BUSY\n   items      %\n");
    flow.add({"12345678", "99.9"});
    CHECK(flow.rows({}) == "12345678   99.9\n");
    flow.clear();
    flow.add({"0", "100"});
    CHECK(flow.rows({}) == "       0    100\n");
}

TEST_CASE("colours change no width, and there are none without")
{
    table one({{"CPU", ""}, {"STATE", "", side::left}});
    one.add({"1", {"mis-pinned", tone::alarm}});
    screen plain = terminal(80), coloured = plain;
    coloured.colours = true;
    CHECK(one.text(plain).find('\033') == std::string::npos);
    CHECK(one.rows(coloured) == "  1  \033[1;31mmis-pinned\033[0m\n");
    CHECK(one.headings(coloured) == "\033[1mCPU\033[0m  \033[1mSTATE\033[0m\n");
}

TEST_CASE("what is no terminal has neither colours nor a width")
{
    int pipe_ends[2];
    REQUIRE(pipe(pipe_ends) == 0);
    screen found = screen_of(pipe_ends[1]);
    CHECK(found.columns == 0);
    CHECK(!found.colours);
    close(pipe_ends[0]);
    close(pipe_ends[1]);
}

TEST_CASE("a terminal has colours unless NO_COLOR is not empty")
{
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    REQUIRE(master >= 0);
    REQUIRE((grantpt(master) == 0 && unlockpt(master) == 0));
    int fd = open(ptsname(master), O_RDWR | O_NOCTTY);
    REQUIRE(fd >= 0);
    setenv("TERM", "xterm", 1);
    unsetenv("NO_COLOR");
    CHECK(screen_of(fd).colours);
    setenv("NO_COLOR", "", 1);
    CHECK(screen_of(fd).colours);
    setenv("NO_COLOR", "0", 1);
    CHECK(!screen_of(fd).colours);
    unsetenv("NO_COLOR");
    setenv("TERM", "dumb", 1);
    CHECK(!screen_of(fd).colours);
    setenv("TERM", "xterm", 1);

    winsize size = {};
    unsetenv("COLUMNS");
    CHECK(screen_of(fd).columns == 80);
    setenv("COLUMNS", "132", 1);
    CHECK(screen_of(fd).columns == 132);
    size.ws_col = 20;
    size.ws_row = 50;
    REQUIRE(ioctl(fd, TIOCSWINSZ, &size) == 0);
    CHECK(screen_of(fd).columns == least_columns);
    CHECK(screen_of(fd).lines == 50);
    unsetenv("COLUMNS");
    close(fd);
    close(master);
}

TEST_CASE("text is as wide as a terminal shows it")
{
    CHECK(width("") == 0);
    CHECK(width("cpu 1") == 5);
    CHECK(width("数据") == 4);
    CHECK(width("e\u0301") == 1); // combining acute
    CHECK(width("Ü") == 1);
    CHECK(prefix_of_width("e\u0301x", 1) == 3);
    CHECK(prefix_of_width("数据", 3) == 3);
    CHECK(prefix_of_width("abc", 0) == 0);
    CHECK(fitted("数据库", 5, terminal(80)) == "数据…");
    CHECK(fitted("数据库", 4, terminal(80)) == "数…");
    CHECK(fitted("abcdef", 6, terminal(80)) == "abcdef");
    CHECK(fitted("abcdef", 5, {}) == "ab...");
    CHECK(fitted("abcdef", 2, {}) == "..");
}

TEST_CASE("times have three digits and a unit")
{
    CHECK(time_text(0) == "0ns");
    CHECK(time_text(999) == "999ns");
    CHECK(time_text(1000) == "1.00us");
    CHECK(time_text(12'345) == "12.3us");
    CHECK(time_text(999'499) == "999us");
    CHECK(time_text(999'500) == "1.00ms");
    CHECK(time_text(999'600'000) == "1.00s");
    CHECK(time_text(59'990'000'000) == "60.0s");
    CHECK(time_text(60'000'000'000) == "1m00s");
    CHECK(time_text(UINT64_MAX) == "213503d23h");
}

TEST_CASE("counts are exact in a file and short on a terminal")
{
    CHECK(count_text(UINT64_MAX, {}) == "18446744073709551615");
    CHECK(count_text(999'999, terminal(80)) == "999999");
    CHECK(count_text(1'000'000, terminal(80)) == "1.00M");
    CHECK(count_text(999'499'999, terminal(80)) == "999M");
    CHECK(count_text(999'500'000, terminal(80)) == "1.00G");
    CHECK(count_text(UINT64_MAX, terminal(80)) == "18.4E");
}

TEST_CASE("rates and percentages")
{
    CHECK(rate_text(0, 0) == "-");
    CHECK(rate_text(0, 1'000'000'000) == "0");
    CHECK(rate_text(1, 2'000'000'000) == "0.50");
    CHECK(rate_text(1, 1'000'000'000'000) == "<0.01");
    CHECK(rate_text(9'994, 1'000'000'000'000) == "9.99");
    CHECK(rate_text(12'345, 1'000'000'000) == "12345");
    CHECK(rate_text(12'345'678, 1'000'000'000) == "12.3M");
    CHECK(percent_text(1, 0) == "-");
    CHECK(percent_text(0, 5) == "0.0");
    CHECK(percent_text(1, 3) == "33.3");
    CHECK(percent_text(9'999, 10'000) == "100");
    CHECK(percent_text(6, 5) == "100");
    CHECK(sum(UINT64_MAX, 1) == UINT64_MAX);
    CHECK(counted(1, "item", "items") == "1 item");
    CHECK(counted(0, "item", "items") == "0 items");
}

TEST_CASE("paragraphs fit the terminal, and are one line in a file")
{
    CHECK(paragraph("- ", "one two three", 2, {}) == "- one two three\n");
    screen narrow = terminal(40);
    std::string text = paragraph("- ", "one two three four five six seven eight nine ten", 2, narrow);
    CHECK(text == "- one two three four five six seven\n  eight nine ten\n");
    CHECK(longest_line(paragraph("", std::string(100, 'x'), 0, narrow)) == 40);
    CHECK(paragraph("", std::string(40, 'x') + "  ", 0, narrow) == std::string(40, 'x') + "\n");
    CHECK(paragraph("", std::string(40, 'x') + " y", 0, narrow) == std::string(40, 'x') + "\ny\n");
    CHECK(paragraph("", "", 0, narrow) == "\n");
}

TEST_CASE("a difference has counts since the earlier snapshot and states of the later")
{
    process_sample before = busy_process("queue"), now = before;
    now.state.taken_ns += second;
    cpu_state &cpu = now.state.cpus[1];
    cpu.executed += 7;
    cpu.pending = 3;
    cpu.queued = 5; // jumped back
    cpu.locks.waited_ns += 11;
    cpu.lock_wait.buckets[21] += 2;
    cpu.tallies[0].here += 4;
    cpu.tallies[0].here_longest_ns += 1;
    cpu.tallies.push_back({"new", "", 1, 2, 3, 0, 0, 0});
    now.state.system_workqueue.count += 9;
    snapshot change = difference(before.state, now.state);
    CHECK(change.cpus[0].executed == 0);
    CHECK(change.cpus[0].tallies.empty());
    const cpu_state &changed = change.cpus[1];
    CHECK(changed.executed == 7);
    CHECK(changed.pending == 3);
    CHECK(changed.queued == 0);
    CHECK(changed.locks.waited_ns == 11);
    CHECK(count_of(changed.lock_wait) == 2);
    CHECK(changed.running == cpu.running);
    REQUIRE(changed.tallies.size() == 2);
    CHECK(changed.tallies[0].here == 4);
    CHECK(changed.tallies[0].here_longest_ns == second + 1); // a new record
    CHECK(changed.tallies[0].away_longest_ns == 0);
    CHECK(changed.tallies[1].here == 1);
    CHECK(change.system_workqueue.count == 9);
}

TEST_CASE("a CPU that was not there before counts from zero")
{
    process_sample before = quiet_process("queue"), now = busy_process("queue");
    before.state.cpus.erase(before.state.cpus.begin() + 1);
    CHECK(difference(before.state, now.state).cpus[1].executed == 12'000'000);
    CHECK(find_cpu(before.state.cpus, 1) == nullptr);
    REQUIRE(find_cpu(before.state.cpus, 2) != nullptr);
    CHECK(find_cpu(before.state.cpus, 2)->cpu == 2);
}

TEST_CASE("workqueues of one name are not compared with one another")
{
    snapshot before, now;
    before.workqueues = {{"same", false, 5, 5, 5}, {"same", false, 7, 7, 7}, {"alone", false, 9, 9, 9}};
    now.workqueues = {{"same", false, 6, 6, 6}, {"alone", false, 10, 11, 9}};
    snapshot change = difference(before, now);
    CHECK(change.workqueues[0].count == 6);
    CHECK(change.workqueues[1].count == 1);
    CHECK(change.workqueues[1].total_ns == 2);
    CHECK(change.workqueues[1].longest_ns == 0);
}

TEST_CASE("CPUs add up, and the sum of a hostile process's counts stays the largest number")
{
    process_sample seen = busy_process("lock");
    cpu_state all = total(seen.state.cpus);
    CHECK(all.cpu == -1);
    CHECK(all.executed == 48'000'000);
    CHECK(all.pending == 4 * 345'678);
    CHECK(all.locks.contended == 80);
    CHECK(count_of(all.wait_here) == 400);
    seen.state.cpus[0].executed = UINT64_MAX;
    CHECK(total(seen.state.cpus).executed == UINT64_MAX);
    tally_state functions = total(seen.state.cpus[1].tallies);
    CHECK(functions.here == 150);
    CHECK(functions.here_ns == 3 * second);
    CHECK(functions.here_longest_ns == second);
    CHECK(functions.away == 7);
}

TEST_CASE("CPUs are chosen by lists")
{
    std::vector<int> known = {0, 1, 2, 3, 32};
    CHECK(chosen_cpus("ALL", known) == known);
    CHECK(chosen_cpus("all", known) == known);
    CHECK(chosen_cpus("3,0-1,1", known) == std::vector<int>{0, 1, 3});
    CHECK(chosen_cpus("32", known) == std::vector<int>{32});
    for (const char *wrong : {"", ",", "1,", "1-", "-1", "2-1", "x", "1x", "0-9999999", "99999999999", " 1"})
        CHECK_THROWS_WITH(chosen_cpus(wrong, known),
                          "\"" + std::string(wrong) + "\": not a list of CPUs such as 0-3,8, or ALL");
    CHECK_THROWS_WITH(chosen_cpus("2-4", known), "4: no worker on that CPU; there are workers on 0-3,32");
}
