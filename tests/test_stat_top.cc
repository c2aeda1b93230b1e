// SPDX-License-Identifier: MIT
// What pw-stat top would show, from made-up processes and keys.
#include "catch.h"

#include "../tools/pw-stat/text.h"
#include "../tools/pw-stat/top_model.h"

#include <algorithm>
#include <iterator>
#include <random>
#include <string>
#include <vector>

using namespace pw::tool;

namespace {

constexpr uint64_t second = 1'000'000'000;

screen terminal(size_t columns, size_t lines)
{
    return {columns, lines, false, false};
}

// `queued` items on the first of two CPUs, the second one busy for half of the time, at `seconds` after the
// start.
process_sample made_up(int pid, uint64_t seconds, uint64_t queued)
{
    process_sample process;
    process.pid = pid;
    process.command = "program" + std::to_string(pid);
    process.facts.strategy = "queue";
    process.facts.source = "PWLOCKS";
    process.facts.start_ns = static_cast<uint64_t>(pid) * second;
    process.facts.start_monotonic_ns = 1000 * second;
    process.state.taken_ns = (1000 + seconds) * second;
    process.state.cpus.resize(2);
    cpu_state &first = process.state.cpus[0], &other = process.state.cpus[1];
    first.cpu = 0;
    first.seen_cpu = 0;
    first.sleeping = true;
    first.queued = first.executed = queued;
    other.cpu = 1;
    other.seen_cpu = 1;
    other.sleeping = true;
    other.busy_ns = seconds * second / 2;
    return process;
}

std::string text_of(const std::vector<screen_line> &lines)
{
    std::string text;
    for (const screen_line &line : lines)
        text += line.text + '\n';
    return text;
}

std::string first_word(const std::string &text)
{
    size_t begin = text.find_first_not_of(' ');
    return begin == std::string::npos ? "" : text.substr(begin, text.find(' ', begin) - begin);
}

// What stands in the column under that heading, in the row whose first cell is `row`.
std::string cell_of(const std::vector<screen_line> &lines, const std::string &heading, const std::string &row)
{
    size_t end = std::string::npos;
    for (const screen_line &line : lines) {
        if (line.how == look::heading && line.text.find(heading) != std::string::npos)
            end = line.text.find(heading) + heading.size();
        if (line.how != look::heading && first_word(line.text) == row && end != std::string::npos) {
            std::string until = line.text.substr(0, end);
            return until.substr(until.find_last_of(' ') + 1);
        }
    }
    return "";
}

// The first words of the rows.
std::vector<std::string> order_of(const std::vector<screen_line> &lines)
{
    std::vector<std::string> order;
    for (size_t i = 1; i + 1 < lines.size(); ++i) {
        std::string word = first_word(lines[i].text);
        if (lines[i].how != look::heading && !word.empty())
            order.push_back(word);
    }
    return order;
}

std::string selected_in(const std::vector<screen_line> &lines)
{
    for (const screen_line &line : lines)
        if (line.how == look::selected)
            return line.text;
    return "";
}

void press(top_model &model, std::initializer_list<int> keys)
{
    for (int key : keys)
        model.press(key);
}

} // namespace

TEST_CASE("the first look shows averages since the start, later ones what happened in between")
{
    top_model model(std::nullopt);
    model.see({made_up(5, 10, 50)}, "");
    auto first = model.draw(terminal(120, 24));
    CHECK(cell_of(first, "QUEUED", "5") == "5.00");
    CHECK(cell_of(first, "BUSY-", "5") == "50.0");
    CHECK(first[0].text == "1 process  every 1.00s  (averages since the start)");

    model.see({made_up(5, 12, 50 + 200)}, "");
    auto second_look = model.draw(terminal(120, 24));
    CHECK(cell_of(second_look, "QUEUED", "5") == "100");
    CHECK(second_look[0].text == "1 process  every 1.00s");
}

TEST_CASE("counters of another start, or that jump back, are never below zero")
{
    top_model model(std::nullopt);
    model.see({made_up(5, 10, 5000)}, "");
    process_sample again = made_up(5, 20, 40);
    SECTION("the same runtime: nothing happened")
    {
        model.see({again}, "");
        CHECK(cell_of(model.draw(terminal(120, 24)), "QUEUED", "5") == "0");
    }
    SECTION("another one with that pid: since its start")
    {
        again.facts.start_ns += 1;
        model.see({again}, "");
        CHECK(cell_of(model.draw(terminal(120, 24)), "QUEUED", "5") == "2.00");
    }
    SECTION("time that runs backwards")
    {
        again.state.taken_ns = 1;
        model.see({again}, "");
        CHECK(cell_of(model.draw(terminal(120, 24)), "QUEUED", "5") == "-");
    }
}

TEST_CASE("rows are sorted by any column, in both directions")
{
    top_model model(std::nullopt);
    model.see({made_up(1, 10, 20), made_up(2, 10, 30), made_up(3, 10, 10)}, "");
    // All are as busy: by their ids then.
    CHECK(order_of(model.draw(terminal(120, 24))) == std::vector<std::string>{"1", "2", "3"});
    model.press('>'); // QUEUED
    CHECK(order_of(model.draw(terminal(120, 24))) == std::vector<std::string>{"2", "1", "3"});
    model.press('r');
    CHECK(order_of(model.draw(terminal(120, 24))) == std::vector<std::string>{"3", "1", "2"});
    CHECK(model.draw(terminal(120, 24))[1].text.find("QUEUED+") != std::string::npos);
    press(model, {'<', '<', '<', '<'}); // CPUS, STRATEGY, COMMAND: back over BUSY
    CHECK(order_of(model.draw(terminal(120, 24))) == std::vector<std::string>{"1", "2", "3"});
    model.press('r');
    CHECK(order_of(model.draw(terminal(120, 24))) == std::vector<std::string>{"3", "2", "1"});
}

TEST_CASE("the column that rows are sorted by is there on a narrow terminal, too")
{
    top_model model(std::nullopt);
    model.see({made_up(1, 10, 20)}, "");
    std::string headings = model.draw(terminal(40, 10))[1].text;
    CHECK(headings.find("REMOTE") == std::string::npos);
    for (int i = 0; i < 5; ++i)
        model.press('>');
    headings = model.draw(terminal(40, 10))[1].text;
    CHECK(headings.find("REMOTE-") != std::string::npos);
}

TEST_CASE("the selection stays with its process and is always to be seen")
{
    top_model model(std::nullopt);
    std::vector<process_sample> many;
    for (int pid = 1; pid <= 100; ++pid)
        many.push_back(made_up(pid, 10, 0));
    model.see(many, "");
    model.draw(terminal(80, 12)); // 8 rows
    press(model, {key_page_down, key_down, 'j', key_up});
    CHECK(first_word(selected_in(model.draw(terminal(80, 12)))) == "10");
    many.erase(many.begin(), many.begin() + 5); // it moves up by five
    model.see(many, "");
    CHECK(first_word(selected_in(model.draw(terminal(80, 12)))) == "10");
    for (size_t lines : {24, 5, 12}) {
        auto drawn = model.draw(terminal(80, lines));
        CHECK(drawn.size() == lines);
        CHECK(first_word(selected_in(drawn)) == "10");
    }
    model.press(key_last);
    CHECK(first_word(selected_in(model.draw(terminal(80, 12)))) == "100");
    press(model, {key_down, key_page_down});
    CHECK(first_word(selected_in(model.draw(terminal(80, 12)))) == "100");
    model.press(key_first);
    CHECK(first_word(selected_in(model.draw(terminal(80, 12)))) == "6");
    many.clear();
    model.see(many, "");
    CHECK(selected_in(model.draw(terminal(80, 12))).empty());
    press(model, {key_up, key_enter, '>', 'r'}); // of nothing
    CHECK(!model.shown());
}

TEST_CASE("a process is opened and left")
{
    top_model model(std::nullopt);
    model.see({made_up(7, 10, 0), made_up(8, 10, 0)}, "");
    press(model, {key_down, key_enter});
    REQUIRE(model.shown() == 8);
    process_sample opened = made_up(8, 12, 20);
    opened.state.cpus[0].tallies = {{"collect", "flusher", 4, second, second / 2, 0, 0, 0}};
    opened.state.cpus[1].tallies = {{"collect", "flusher", 2, second, second / 4, 6, second, 2 * second},
                                    {"drop", "", 0, 0, 0, 0, 0, 0}};
    model.see({opened}, "");
    auto lines = model.draw(terminal(120, 24));
    CHECK(lines[0].text == "8 program8  queue (from PWLOCKS)  every 1.00s");
    CHECK(cell_of(lines, "QUEUED", "0") == "10.0");
    CHECK(cell_of(lines, "BUSY-", "1") == "50.0");
    // Two seconds: six items on two CPUs that took one second each, six away.
    std::string functions = text_of(lines);
    CAPTURE(functions);
    CHECK(functions.find("   3.00     100.0     3.00      50.0    2.00s  0-1   flusher    collect") !=
          std::string::npos);
    CHECK(functions.find("drop") != std::string::npos);

    CHECK(selected_in(lines).find("50.0") != std::string::npos);
    model.press(key_tab);
    CHECK(selected_in(model.draw(terminal(120, 24))).ends_with("collect"));
    CHECK(selected_in(model.draw(terminal(120, 6))).ends_with("collect")); // one table at a time
    model.press(key_escape);
    CHECK(!model.shown());

    press(model, {key_enter});
    model.lose("8: no such process");
    CHECK(!model.shown());
    CHECK(model.draw(terminal(120, 24)).back().text == "8: no such process");
    model.press(key_down);
    CHECK(model.draw(terminal(120, 24)).back().text.starts_with("q quit"));
}

TEST_CASE("the only process that is watched is not left")
{
    top_model model(8);
    REQUIRE(model.shown() == 8);
    model.see({made_up(8, 12, 20)}, "");
    press(model, {key_escape, key_erase, key_enter});
    model.lose("?");
    CHECK(model.shown() == 8);
    CHECK(!model.ended());
    model.press('q');
    CHECK(model.ended());
}

TEST_CASE("what is wrong with a CPU is said")
{
    process_sample process = made_up(8, 10, 20);
    process.state.cpus[0].isolated = true;
    process.state.cpus[1].seen_cpu = 0;
    process.state.cpus[1].running = "collect";
    process.state.cpus[1].running_since_ns = process.state.taken_ns - 3 * second;
    top_model model(8);
    model.see({process}, "");
    auto lines = model.draw(terminal(160, 24));
    CHECK(text_of(lines).find(" 3.00s  mis-pinned, on CPU 0; running collect") != std::string::npos);
    model.press(key_down); // what is selected has the colour of that
    lines = model.draw(terminal(160, 24));
    CHECK(std::count_if(lines.begin(), lines.end(),
                        [](const screen_line &line) { return line.how == look::alarm; }) == 1);
    model.press(key_up);
    lines = model.draw(terminal(160, 24));
    CHECK(std::count_if(lines.begin(), lines.end(),
                        [](const screen_line &line) { return line.how == look::notice; }) == 1);
}

TEST_CASE("of several functions that run, a process shows the one that has for longest")
{
    process_sample process = made_up(8, 10, 20);
    process.state.cpus[0].running = "collect";
    process.state.cpus[0].running_since_ns = process.state.taken_ns - 3 * second;
    process.state.cpus[1].caller_running = {{"drop", 2, process.state.taken_ns - second},
                                            {"drain", 1, process.state.taken_ns - 4 * second}};
    top_model model(std::nullopt);
    model.see({process}, "");
    CHECK(text_of(model.draw(terminal(200, 24))).find(" 4.00s  CPU 1: callers run drop x2, drain\n") !=
          std::string::npos);
    process.state.cpus[1].caller_running.clear();
    model.see({process}, "");
    CHECK(text_of(model.draw(terminal(200, 24))).find(" 3.00s  CPU 0: running collect\n") !=
          std::string::npos);
}

TEST_CASE("the time between two looks is doubled, halved, or typed")
{
    top_model model(std::nullopt);
    CHECK(model.interval_ms() == 1000);
    model.press('+');
    CHECK(model.interval_ms() == 2000);
    press(model, {'-', '-'});
    CHECK(model.interval_ms() == 500);
    press(model, {'d', '2', '.', '5', '7', key_erase, 'q', key_enter});
    CHECK(model.interval_ms() == 2500);
    CHECK(!model.ended());
    for (int i = 0; i < 20; ++i)
        model.press('-');
    CHECK(model.interval_ms() == top_model::shortest_ms);
    press(model, {'d', '9', '9', '9', '9', '9', '9', '9', '9', '9', key_enter});
    CHECK(model.interval_ms() == top_model::longest_ms);
    press(model, {'d', '1', '.', '.', key_enter});
    CHECK(model.draw(terminal(80, 24)).back().text == "not a number of seconds: 1..");
    CHECK(model.interval_ms() == top_model::longest_ms);
    press(model, {'d', '1', key_escape, 'd', key_enter});
    CHECK(model.interval_ms() == top_model::longest_ms);
    model.press('d');
    CHECK(model.draw(terminal(80, 24)).back().text == "seconds between refreshes: _");
}

TEST_CASE("no line is longer than the terminal, and there are as many as it has")
{
    process_sample process = made_up(8, 10, 20);
    process.command = std::string(60, 'x');
    process.state.cpus.resize(300);
    for (int cpu = 0; cpu < 300; ++cpu) {
        cpu_state &each = process.state.cpus[static_cast<size_t>(cpu)];
        each.cpu = cpu;
        each.queued = each.executed = UINT64_MAX;
        each.pending = each.busy_ns = each.locks.waited_ns = UINT64_MAX;
        each.running = std::string(300, 'f');
        each.tallies = {
            {std::string(300, 'g'), std::string(60, 'w'), UINT64_MAX, UINT64_MAX, UINT64_MAX, 1, 1, 1}};
    }
    for (bool one : {false, true}) {
        top_model model(one ? std::optional(8) : std::nullopt);
        model.see({process}, "  3 not ours to read");
        for (size_t columns : {20, 21, 40, 80, 132, 200})
            for (size_t lines : {5, 6, 11, 12, 24, 60}) {
                auto drawn = model.draw(terminal(columns, lines));
                REQUIRE(drawn.size() == lines);
                for (const screen_line &line : drawn)
                    REQUIRE(width(line.text) <= columns);
                REQUIRE(!selected_in(drawn).empty());
            }
        for (auto [columns, lines] : {std::pair{19, 24}, {80, 4}, {1, 1}, {0, 0}}) {
            auto drawn = model.draw(terminal(static_cast<size_t>(columns), static_cast<size_t>(lines)));
            REQUIRE(drawn.size() == 1);
            CHECK(drawn[0].text ==
                  (columns >= 9 ? "too small" : std::string(static_cast<size_t>(columns), '.')));
        }
    }
}

TEST_CASE("whatever keys come while processes come and go, there is a screen")
{
    std::minstd_rand random(1);
    auto below = [&](unsigned limit) { return random() % limit; };
    constexpr int keys[] = {key_up,    key_down,  key_page_up, key_page_down, key_first, key_last, key_left,
                            key_right, key_enter, key_escape,  key_erase,     key_tab,   'r',      'd',
                            '+',       '-',       '1',         '.',           'x',       0,        0x10ffff};
    top_model model(std::nullopt);
    size_t details = 0;
    for (unsigned round = 1; round <= 5000; ++round) {
        std::vector<process_sample> processes;
        for (int pid = 1; pid <= 9; ++pid)
            if (below(4) > 0 && (!model.shown() || model.shown() == pid))
                processes.push_back(made_up(pid, round, below(1000)));
        if (model.shown() && processes.empty())
            model.lose("gone");
        model.see(processes, "");
        for (unsigned presses = below(4); presses > 0; --presses)
            model.press(keys[below(std::size(keys))]);
        details += model.shown().has_value();
        screen to = terminal(20 + below(100), 5 + below(30));
        REQUIRE(model.draw(to).size() == to.lines);
        REQUIRE(!model.ended());
    }
    CHECK(details > 100); // both views were there
    CHECK(details < 4900);
}
