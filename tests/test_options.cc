// SPDX-License-Identifier: MIT
#include "capture.h"
#include "catch.h"
#include "cpu_masks.h"

#include "options.h"

#include <algorithm>
#include <random>
#include <string>
#include <utility>
#include <vector>

using namespace pw::detail;
using namespace std::string_literals;

namespace {

// What parse_options() made of one text.
struct parsed {
    option_set options;
    ignored_options ignored = {};
    int problems = 0;
    std::string messages;

    explicit parsed(std::string_view text, bool lines = false, std::string_view source = "SRC")
    {
        stderr_capture capture;
        problems = parse_options(text, source, lines, options, &ignored);
        messages = capture.text();
    }
};

std::string after_prefix(const std::string &line)
{
    REQUIRE(line.rfind("pwlocks: ", 0) == 0);
    REQUIRE(line.back() == '\n');
    return line.substr(9, line.size() - 10);
}

// One pair that is refused: the options stay untouched and the line is the given one, both times.
void require_refused(const std::string &text, const std::string &line)
{
    CAPTURE(text);
    parsed result(text);
    CHECK(result.messages == "pwlocks: SRC: " + line + "\n");
    REQUIRE(result.problems == 1);
    REQUIRE(result.ignored.count == 1);
    CHECK(result.ignored.text[0] == "SRC: " + line);
    CHECK(result.options.strategy == strategy_choice::unset);
    CHECK(result.options.cpus == cpus_choice::unset);
    CHECK(result.options.cpu_list.empty());
    CHECK(result.options.idle_spin_us == -1);
    CHECK(result.options.sched == sched_class::unset);
    CHECK(result.options.stats == stats_choice::unset);
    CHECK(result.options.watchdog_ms == -1);
}

size_t lines_in(const std::string &text)
{
    return static_cast<size_t>(std::count(text.begin(), text.end(), '\n'));
}

} // namespace

TEST_CASE("a CPU list is read in all its forms")
{
    const std::vector<std::pair<std::string, std::string>> forms = {{"", ""},
                                                                    {"\n", ""},
                                                                    {" \t\n", ""},
                                                                    {"0", "0"},
                                                                    {"0\n", "0"},
                                                                    {"0-3,8", "0-3,8"},
                                                                    {"8,0-3\n", "0-3,8"},
                                                                    {"3,2,1,0", "0-3"},
                                                                    {"0-1,1-2", "0-2"},
                                                                    {"5-5", "5"},
                                                                    {" 0 - 3 , 8 ", "0-3,8"},
                                                                    {"0,1", "0-1"},
                                                                    {"32,96", "32,96"},
                                                                    {"007", "7"},
                                                                    {"8191", "8191"},
                                                                    {"0-8191", "0-8191"},
                                                                    {"63-64", "63-64"},
                                                                    {"\t4\n", "4"}};
    for (const auto &[text, canonical] : forms) {
        CAPTURE(text);
        cpu_mask mask = mask_of({77}); // replaced, not added to
        REQUIRE(parse_cpu_list(text, mask));
        CHECK(listed(mask) == canonical);
    }
}

TEST_CASE("a malformed CPU list is refused and leaves the mask alone")
{
    for (const std::string &text : {","s,
                                    "0,"s,
                                    ",0"s,
                                    "0,,1"s,
                                    "-"s,
                                    "-1"s,
                                    "1-"s,
                                    "3-1"s,
                                    "1-2-3"s,
                                    "x"s,
                                    "0x1"s,
                                    "1.5"s,
                                    "+1"s,
                                    "0 1"s,
                                    "8192"s,
                                    "0-8192"s,
                                    "99999999999999999999"s,
                                    "4294967296"s,
                                    "18446744073709551616"s,
                                    "0-3:2"s,
                                    "all"s,
                                    "(null)\n"s,
                                    "0\n\n"s,
                                    "0\n1"s,
                                    "0;1"s,
                                    "1\0"s,
                                    "\xff"s,
                                    "0-"s + std::string(5000, '1')}) {
        CAPTURE(text);
        cpu_mask mask = mask_of({5});
        REQUIRE_FALSE(parse_cpu_list(text, mask));
        CHECK(mask == mask_of({5}));
    }
}

TEST_CASE("a CPU list that does not fit is cut off at a comma")
{
    const std::string whole = "0-3,8,4096-8191";
    cpu_mask mask;
    REQUIRE(parse_cpu_list(whole, mask));
    for (size_t size = 0; size <= whole.size() + 2; ++size) {
        std::string buffer(size + 1, '#');
        std::string expected = size >= 15 ? whole : size >= 5 ? "0-3,8" : size >= 3 ? "0-3" : "";
        CHECK(format_cpu_list(mask, buffer.data(), size) == expected);
        CHECK(buffer.back() == '#'); // nothing behind the given size
    }
}

TEST_CASE("what is formatted is read back as the same set")
{
    std::mt19937 random(20240607);
    for (int round = 0; round < 300; ++round) {
        cpu_mask mask;
        int members = static_cast<int>(random() % 200);
        for (int i = 0; i < members; ++i) {
            int first = static_cast<int>(random() % max_cpus);
            for (int cpu = first; cpu < first + static_cast<int>(random() % 40); ++cpu)
                mask.insert(cpu); // beyond the last one: ignored
        }
        cpu_mask again;
        REQUIRE(parse_cpu_list(listed(mask), again));
        REQUIRE(again == mask);
    }
}

TEST_CASE("PWLOCKS has seven spellings and no others")
{
    const std::vector<std::pair<std::string, strategy_choice>> spellings = {
        {"0", strategy_choice::queue},       {"off", strategy_choice::queue}, {"n", strategy_choice::queue},
        {"1", strategy_choice::lock},        {"on", strategy_choice::lock},   {"y", strategy_choice::lock},
        {"auto", strategy_choice::automatic}};
    for (const auto &[text, choice] : spellings) {
        strategy_choice got = strategy_choice::unset;
        REQUIRE(parse_strategy(text, got));
        CHECK(got == choice);
        parsed result("pwlocks=" + text);
        CHECK(result.problems == 0);
        CHECK(result.options.strategy == choice);
    }
    for (const std::string &text :
         {""s,    " "s,   "2"s,  "2x"s,   "-1"s,   "00"s,    "01"s,    " 1"s,  "1 "s,  "ON"s,
          "Off"s, "yes"s, "no"s, "true"s, "lock"s, "queue"s, "autos"s, "aut"s, "1\n"s, "1\0"s}) {
        CAPTURE(text);
        strategy_choice got = strategy_choice::lock;
        CHECK_FALSE(parse_strategy(text, got));
        CHECK(got == strategy_choice::lock);
    }
}

TEST_CASE("every key takes its values, up to the bounds")
{
    parsed all("pwlocks=1 cpus=0-3,8\tidle_spin_us=50 \n sched=fifo:10 stats=off watchdog_ms=250");
    CHECK(all.messages.empty());
    CHECK(all.problems == 0);
    CHECK(all.ignored.count == 0);
    CHECK(all.options.strategy == strategy_choice::lock);
    CHECK(all.options.cpus == cpus_choice::list);
    CHECK(listed(all.options.cpu_list) == "0-3,8");
    CHECK(all.options.idle_spin_us == 50);
    CHECK(all.options.sched == sched_class::fifo);
    CHECK(all.options.sched_value == 10);
    CHECK(all.options.stats == stats_choice::off);
    CHECK(all.options.watchdog_ms == 250);

    CHECK(parsed("cpus=allowed").options.cpus == cpus_choice::allowed);
    CHECK(parsed("cpus=housekeeping").options.cpus == cpus_choice::housekeeping);
    CHECK(parsed("cpus=isolated").options.cpus == cpus_choice::isolated);
    CHECK(listed(parsed("cpus=8191").options.cpu_list) == "8191");
    CHECK(parsed("idle_spin_us=0").options.idle_spin_us == 0);
    CHECK(parsed("idle_spin_us=1000000").options.idle_spin_us == 1000000);
    CHECK(parsed("sched=other").options.sched == sched_class::other);
    CHECK(parsed("stats=on").options.stats == stats_choice::on);
    CHECK(parsed("stats=full").options.stats == stats_choice::full);
    for (int ms : {0, 1, 3600000})
        CHECK(parsed("watchdog_ms=" + std::to_string(ms)).options.watchdog_ms == ms);
    for (int nice : {-20, -1, 0, 19}) {
        parsed result("sched=nice:" + std::to_string(nice));
        CHECK(result.options.sched == sched_class::nice);
        CHECK(result.options.sched_value == nice);
    }
    for (int priority : {1, 99}) {
        parsed result("sched=fifo:" + std::to_string(priority));
        CHECK(result.options.sched == sched_class::fifo);
        CHECK(result.options.sched_value == priority);
    }
    CHECK(parsed("").problems == 0);
    CHECK(parsed(" \t\n ").problems == 0);
}

TEST_CASE("a malformed value is reported in one exact line and changes nothing")
{
    const std::vector<std::pair<std::string, std::vector<std::string>>> refused = {
        {"pwlocks", {"2x", "2", "ON", "1,0", "auto1", "1=1"}},
        {"cpus", {"all", "none", ",", "3-1", "8192", "0-3:2", "allowed,1", "-1"}},
        {"idle_spin_us", {"-1", "1000001", "1.5", "x", "10us", "0x10", "+1", "99999999999"}},
        {"sched",
         {"rr:5", "fifo", "fifo:", "fifo:0", "fifo:100", "fifo:-1", "fifo:+1", "nice", "nice:", "nice:-21",
          "nice:20", "nice:x", "other:1", "OTHER", "fifo:5x", "fifo:99999999999"}},
        {"stats", {"1", "yes", "ON", "on,off", "offf"}},
        {"watchdog_ms", {"-1", "3600001", "1.5", "off", "10ms", "0x10", "+1", "99999999999"}}};
    for (const auto &[key, values] : refused)
        for (const std::string &value : values)
            require_refused(key + "=" + value, key + ": invalid value \"" + value + "\", ignored");
    CHECK(parsed("pwlocks=2x", false, "PWLOCKS_OPTIONS").messages ==
          "pwlocks: PWLOCKS_OPTIONS: pwlocks: invalid value \"2x\", ignored\n");
}

TEST_CASE("unknown keys and keys without a value are reported")
{
    require_refused("foo=1", "unknown key \"foo\", ignored");
    require_refused("PWLOCKS=1", "unknown key \"PWLOCKS\", ignored");
    require_refused("pwlock=1", "unknown key \"pwlock\", ignored");
    require_refused("=1", "unknown key \"\", ignored");
    require_refused("foo", "\"foo\" has no value, ignored");
    require_refused("pwlocks", "\"pwlocks\" has no value, ignored");
    require_refused("pwlocks=", "\"pwlocks\" has no value, ignored");
    require_refused("=", "\"\" has no value, ignored");

    // In one line of text blanks separate pairs, so none may stand around the equals sign.
    parsed apart("stats = on");
    CHECK(apart.problems == 3);
    CHECK(apart.options.stats == stats_choice::unset);
}

TEST_CASE("of a key given twice the first counts and the second is reported")
{
    parsed result("pwlocks=1 stats=on pwlocks=0 pwlocks=1");
    CHECK(result.options.strategy == strategy_choice::lock);
    CHECK(result.options.stats == stats_choice::on);
    CHECK(result.problems == 2);
    CHECK(result.messages == "pwlocks: SRC: \"pwlocks\" is given twice, the second is ignored\n"
                             "pwlocks: SRC: \"pwlocks\" is given twice, the second is ignored\n");

    // What was ignored was not given.
    parsed repaired("idle_spin_us=x idle_spin_us=7");
    CHECK(repaired.options.idle_spin_us == 7);
    CHECK(repaired.problems == 1);
    CHECK(after_prefix(repaired.messages) == "SRC: idle_spin_us: invalid value \"x\", ignored");
}

TEST_CASE("a file has one pair a line, comments, blanks, any line end and perhaps a byte-order mark")
{
    parsed file("\xef\xbb\xbf# top\n"
                "\n"
                "  pwlocks = 1  \r\n"
                "\tcpus =\t0-1, 8 # the fast ones\n"
                "   # indented\r\n"
                "stats=on#off\n"
                "idle_spin_us=\n"
                "sched = fifo:3 x\n"
                "pwlocks=0\n"
                "\r\n"
                "stats=off",
                true, "/etc/pwlocks.conf");
    CHECK(file.options.strategy == strategy_choice::lock);
    CHECK(listed(file.options.cpu_list) == "0-1,8");
    CHECK(file.options.stats == stats_choice::off);
    CHECK(file.options.sched == sched_class::unset);
    CHECK(file.options.idle_spin_us == -1);
    CHECK(file.messages ==
          "pwlocks: /etc/pwlocks.conf:6: stats: invalid value \"on#off\", ignored\n"
          "pwlocks: /etc/pwlocks.conf:7: \"idle_spin_us\" has no value, ignored\n"
          "pwlocks: /etc/pwlocks.conf:8: sched: invalid value \"fifo:3 x\", ignored\n"
          "pwlocks: /etc/pwlocks.conf:9: \"pwlocks\" is given twice, the second is ignored\n");
    CHECK(file.problems == 4);
    CHECK(file.ignored.text[2] == "/etc/pwlocks.conf:8: sched: invalid value \"fifo:3 x\", ignored"s);

    CHECK(parsed("", true).problems == 0);
    CHECK(parsed("\xef\xbb\xbf", true).problems == 0);
    CHECK(parsed("\n\n#\n", true).problems == 0);
    CHECK(parsed("stats = # none\n", true).messages == "pwlocks: SRC:1: \"stats\" has no value, ignored\n");
    // A mark counts only at the very start.
    CHECK(parsed("\n\xef\xbb\xbfstats=on", true).options.stats == stats_choice::unset);
}

TEST_CASE("long and hostile texts are cut and cleaned in messages")
{
    parsed longest("pwlocks=" + std::string(100000, 'x'));
    CHECK(after_prefix(longest.messages) ==
          "SRC: pwlocks: invalid value \"" + std::string(40, 'x') + "...\", ignored");
    parsed fits("pwlocks=" + std::string(40, 'x'));
    CHECK(after_prefix(fits.messages) ==
          "SRC: pwlocks: invalid value \"" + std::string(40, 'x') + "\", ignored");
    CHECK(after_prefix(parsed(std::string(5000, 'k') + "=1").messages) ==
          "SRC: unknown key \"" + std::string(40, 'k') + "...\", ignored");

    parsed hostile("stats=\x1b[31m\x7f\0\x01x"s);
    CHECK(after_prefix(hostile.messages) == "SRC: stats: invalid value \"?[31m???x\", ignored");
    CHECK(hostile.ignored.text[0] == "SRC: stats: invalid value \"?[31m???x\", ignored"s);

    // No character of several bytes is cut in two: 39 + 2 bytes do not fit into 40.
    CHECK(after_prefix(parsed("stats=" + std::string(39, 'x') + "\u00e9").messages) ==
          "SRC: stats: invalid value \"" + std::string(39, 'x') + "...\", ignored");

    std::string source(3000, '/');
    parsed elsewhere("stats=x", false, source);
    CHECK(after_prefix(elsewhere.messages) ==
          source.substr(0, 255) + ": stats: invalid value \"x\", ignored");
    CHECK(elsewhere.ignored.text[0] == source.substr(0, 116) + "...");
}

TEST_CASE("only so many ignored options are kept, but all are counted")
{
    std::string text;
    for (int i = 0; i < 20; ++i)
        text.append("k").append(std::to_string(i)).append("=1 "); // gcc 12 warns of + where it optimizes
    parsed result(text);
    CHECK(result.problems == 20);
    CHECK(result.ignored.count == 20);
    CHECK(lines_in(result.messages) == 20);
    for (int i = 0; i < ignored_options::capacity; ++i)
        CHECK(result.ignored.text[i] == "SRC: unknown key \"k" + std::to_string(i) + "\", ignored");

    ignored_options kept = {};
    kept.add(std::string(119, 'a').c_str());
    kept.add(std::string(120, 'b').c_str());
    kept.add("c\td\n");
    CHECK(kept.text[0] == std::string(119, 'a'));
    CHECK(kept.text[1] == std::string(116, 'b') + "...");
    CHECK(kept.text[2] == "c?d?"s);

    // Nobody has to want them.
    stderr_capture capture;
    option_set options;
    CHECK(parse_options("foo=1", "SRC", false, options, nullptr) == 1);
    CHECK(capture.text() == "pwlocks: SRC: unknown key \"foo\", ignored\n");
}

TEST_CASE("filling takes only what is unset")
{
    option_set strong = parsed("cpus=1 sched=nice:5 idle_spin_us=0 watchdog_ms=0").options;
    option_set weak = parsed("pwlocks=auto cpus=2 sched=fifo:9 idle_spin_us=3 stats=off watchdog_ms=40").options;
    strong.fill_from(weak);
    CHECK(strong.strategy == strategy_choice::automatic);
    CHECK(listed(strong.cpu_list) == "1");
    CHECK(strong.sched == sched_class::nice);
    CHECK(strong.sched_value == 5);
    CHECK(strong.idle_spin_us == 0);
    CHECK(strong.stats == stats_choice::off);
    CHECK(strong.watchdog_ms == 0); // off is a choice too

    option_set empty;
    empty.fill_from(weak);
    CHECK(empty.cpus == cpus_choice::list);
    CHECK(listed(empty.cpu_list) == "2");
    CHECK(empty.sched == sched_class::fifo);
    CHECK(empty.sched_value == 9);
    CHECK(empty.idle_spin_us == 3);
    CHECK(empty.watchdog_ms == 40);

    // A list stays with its own choice.
    option_set named = parsed("cpus=allowed").options;
    named.fill_from(weak);
    CHECK(named.cpus == cpus_choice::allowed);
    CHECK(named.cpu_list.empty());
}

TEST_CASE("10,000 random texts give a line for each problem, values within bounds, and no crash")
{
    const std::vector<std::string> words = {"pwlocks",
                                            "cpus",
                                            "idle_spin_us",
                                            "sched",
                                            "stats",
                                            "watchdog_ms",
                                            "=",
                                            "=",
                                            "=",
                                            " ",
                                            "\n",
                                            "\r\n",
                                            "\t",
                                            "#",
                                            "0",
                                            "1",
                                            "auto",
                                            "on",
                                            "off",
                                            "-",
                                            ",",
                                            ":",
                                            "nice",
                                            "fifo:",
                                            "99",
                                            "-20",
                                            "8191",
                                            "0-3",
                                            "list",
                                            "allowed",
                                            "\0"s,
                                            "\"",
                                            "%s%n",
                                            "\x1b[2J",
                                            "\xef\xbb\xbf",
                                            "99999999999999999999",
                                            "\xc3",
                                            "\x80"};
    std::mt19937 random(42);
    auto below = [&](size_t limit) { return random() % limit; };
    int problems = 0;
    std::string messages;
    {
        stderr_capture capture;
        for (int round = 0; round < 10000; ++round) {
            std::string text;
            size_t parts = below(30);
            for (size_t i = 0; i < parts; ++i) {
                if (below(4) == 0)
                    text += static_cast<char>(below(256));
                else
                    text += words[below(words.size())];
                if (below(200) == 0)
                    text += std::string(below(3000), 'z');
            }
            option_set options;
            ignored_options ignored = {};
            int found = parse_options(text, "FUZZ", round % 2 != 0, options, &ignored);
            problems += found;
            bool sound = ignored.count == found && options.idle_spin_us >= -1 &&
                         options.idle_spin_us <= 1000000 && options.watchdog_ms >= -1 &&
                         options.watchdog_ms <= 3600000 &&
                         (options.cpus == cpus_choice::list) == !options.cpu_list.empty();
            if (options.sched == sched_class::nice)
                sound = sound && options.sched_value >= -20 && options.sched_value <= 19;
            if (options.sched == sched_class::fifo)
                sound = sound && options.sched_value >= 1 && options.sched_value <= 99;
            if (!sound) {
                CAPTURE(round, text);
                REQUIRE(sound);
            }
        }
        messages = capture.text();
    }
    REQUIRE(problems > 10000);
    REQUIRE(lines_in(messages) == static_cast<size_t>(problems));
    size_t start = 0;
    for (size_t end; (end = messages.find('\n', start)) != messages.npos; start = end + 1) {
        std::string line = messages.substr(start, end - start);
        bool clean = line.rfind("pwlocks: FUZZ:", 0) == 0 && line.size() < 200;
        for (char c : line)
            clean = clean && static_cast<unsigned char>(c) >= 0x20 && c != 0x7f;
        if (!clean) {
            CAPTURE(line);
            REQUIRE(clean);
        }
    }
}
