// SPDX-License-Identifier: MIT
// What pw-stat shows, from made-up snapshots.
#include "catch.h"

#include "../tools/pw-stat/quantity.h"
#include "../tools/pw-stat/screen.h"
#include "../tools/pw-stat/table.h"
#include "../tools/pw-stat/text.h"

#include <algorithm>
#include <cstdlib>
#include <fcntl.h>
#include <string>
#include <sys/ioctl.h>
#include <unistd.h>
#include <vector>

using namespace pw::tool;

namespace {

std::vector<std::string> lines_of(const std::string &text)
{
    std::vector<std::string> lines;
    size_t begin = 0;
    for (size_t end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1)
        lines.push_back(text.substr(begin, end - begin));
    CHECK(begin == text.size()); // the last line ends, too
    return lines;
}

size_t longest_line(const std::string &text)
{
    size_t longest = 0;
    for (const std::string &line : lines_of(text))
        longest = std::max(longest, width(line));
    return longest;
}

screen terminal(size_t columns)
{
    screen to;
    to.columns = columns;
    to.lines = 24;
    to.unicode = true;
    return to;
}

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
    CHECK(at(47)[3] == "127       7  no        running a function with…");
    CHECK(at(46)[3] == "127  no        running a function with quite …");
    CHECK(at(39)[3] == "127  no        running a function with…");
    CHECK(at(38)[3] == "127       7  running a function with …");
    CHECK(at(45)[0] == "CPU  ISOLATED  STATE");
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
