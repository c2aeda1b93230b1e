// SPDX-License-Identifier: MIT
// What pw-stat writes for other programs.
#include "catch.h"
#include "stat_samples.h"

#include "../tools/pw-stat/json.h"
#include "../tools/pw-stat/openmetrics.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

using namespace pw::tool;
using Catch::Matchers::Contains;
using Catch::Matchers::EndsWith;
using json = nlohmann::ordered_json;

namespace {

json documented(const sample_set &samples)
{
    return json::parse(document_text(process_document(samples), false));
}

json histogram_of(std::initializer_list<std::pair<json, uint64_t>> buckets)
{
    json expected = json::array();
    for (const auto &[bound, count] : buckets)
        expected.push_back(json::object({{"le_ns", bound}, {"count", count}}));
    return expected;
}

// The lines of a text that are about a family, or whose series starts so.
std::vector<std::string> lines_of(const std::string &text, const std::string &start)
{
    std::vector<std::string> found;
    size_t at = 0;
    while (at < text.size()) {
        size_t end = text.find('\n', at);
        if (text.compare(at, start.size(), start) == 0)
            found.push_back(text.substr(at, end - at));
        at = end + 1;
    }
    return found;
}

const std::string of_target = R"({pid="1234",command="target")";

std::vector<std::string> only(const std::string &line)
{
    return {line};
}

} // namespace

TEST_CASE("a document holds everything of a snapshot")
{
    json document = documented({{full_sample()}, {"5: why"}, 2});
    CHECK(document["schema"] == 1);
    CHECK(document["problems"] == json::array({"5: why"}));
    CHECK(document["denied"] == 2);
    REQUIRE(document["processes"].size() == 1);
    const json &process = document["processes"][0];
    CHECK(process["pid"] == 1234);
    CHECK(process["namespace_pid"] == 7);
    CHECK(process["command"] == "target");
    CHECK(process["command_line"] == "./target --fast");
    CHECK(process["strategy"] == "lock");
    CHECK(process["source"] == "PWLOCKS");
    CHECK(process["lock_method"] == "atomic");
    CHECK(process["stats"] == "full");
    CHECK(process["start_ns"] == 4000);
    CHECK(process["start_boottime_ns"] == 5000);
    CHECK(process["uptime_ns"] == 61'000'000'001);
    CHECK(process["taken_ns"] == 90'000);
    CHECK(process["ignored_count"] == 2);
    CHECK(process["ignored"] == json::array({"one reason", "another"}));
    CHECK(process["callers_unseen"] == 9);
    CHECK(process["cpu_numbers"] == json::array({3, 40}));
    CHECK(process["other_locks"].dump() ==
          R"({"remote":801,"contended":802,"waited_ns":803,"lost_races":804})");
    CHECK(process["workqueues"].dump() ==
          R"([{"name":null,"priority":"normal","runs":{"count":701,"total_ns":702,"longest_ns":703}},)"
          R"({"name":"flusher","priority":"normal","runs":{"count":711,"total_ns":712,"longest_ns":713}},)"
          R"({"name":"urgent","priority":"high","runs":{"count":721,"total_ns":722,"longest_ns":723}}])");
    REQUIRE(process["cpus"].size() == 2);
}

TEST_CASE("a document holds everything of a CPU")
{
    json process = documented({{full_sample()}, {}, 0})["processes"][0];
    const json &first = process["cpus"][0], &second = process["cpus"][1];
    CHECK(first["cpu"] == 3);
    CHECK(first["node"] == 1);
    CHECK(first["isolated"] == true);
    CHECK(first["worker_tid"] == 4711);
    CHECK(first["seen_cpu"] == 40);
    CHECK(first["mispinned"] == true);
    uint64_t next = 101;
    for (const char *each : {"queued", "coalesced", "executed", "executed_away", "cancelled", "pending",
                             "calls", "batches", "wakeups", "wakes_sent", "busy_ns", "idle_ns", "asleep_ns"})
        CHECK(first[each] == next++);
    for (const char *each : {"remote", "contended", "waited_ns", "lost_races"})
        CHECK(first["locks"][each] == next++);
    CHECK(first["sleeping"] == true);
    CHECK(first["running"].dump() == R"({"function":"work","since_ns":60000,"for_ns":30000})");
    CHECK(first["callers_running"].dump() ==
          R"([{"function":"drain","since_ns":50000,"for_ns":40000,"threads":2}])");
    CHECK(first["ran_on"].dump() == R"([{"cpu":3,"count":11},{"cpu":null,"count":13}])");
    CHECK(first["functions"].dump() ==
          R"([{"function":"work","workqueue":null,"here":{"count":21,"total_ns":22,"longest_ns":23},)"
          R"("away":{"count":24,"total_ns":25,"longest_ns":26}},)"
          R"({"function":"work","workqueue":"flusher","here":{"count":31,"total_ns":32,"longest_ns":33},)"
          R"("away":{"count":0,"total_ns":0,"longest_ns":0}}])");
    const json &histograms = first["histograms"];
    CHECK(histograms["wait_here"] == histogram_of({{0, 1}, {511, 2}}));
    CHECK(histograms["run_here"] == histogram_of({{1023, 3}}));
    CHECK(histograms["wait_away"] == histogram_of({{2047, 4}}));
    CHECK(histograms["run_away"] == histogram_of({{nullptr, 5}}));
    CHECK(histograms["lock_wait"] == histogram_of({{4095, 6}}));

    CHECK(second["cpu"] == 40);
    for (const char *each : {"node", "worker_tid", "seen_cpu", "running"})
        CHECK(second[each].is_null());
    for (const char *each : {"isolated", "mispinned", "sleeping"})
        CHECK(second[each] == false);
    for (const char *each : {"callers_running", "ran_on", "functions"})
        CHECK(second[each] == json::array());
}

TEST_CASE("a document has histograms of items only with stats=full")
{
    json process = documented({{fresh_sample()}, {}, 0})["processes"][0];
    CHECK(process["stats"] == "on");
    CHECK(process["cpus"][0]["histograms"].dump() == R"({"lock_wait":[]})");
}

TEST_CASE("numbers of a document are exact up to the largest, and no moment is in the future")
{
    json process = documented({{hostile_sample()}, {}, 0})["processes"][0];
    CHECK(process["workqueues"][0]["runs"]["count"] == UINT64_MAX);
    CHECK(process["cpus"][0]["running"]["for_ns"] == 0);
    CHECK(process["cpus"][0]["running"]["function"] == "f<\"\\\">");
}

TEST_CASE("a document is valid UTF-8 whatever is in it, and one line if it is asked to be")
{
    process_sample sample = fresh_sample();
    sample.command = "a\xff"
                     "b";
    std::string text = document_text(process_document({{sample}, {}, 0}), true);
    CHECK(json::parse(text)["processes"][0]["command"] == "a\ufffdb");
    CHECK(std::count(text.begin(), text.end(), '\n') == 1);
    CHECK(text.back() == '\n');
}

TEST_CASE("metrics hold every number of a CPU")
{
    std::string text = metrics_text(std::vector{full_sample()}, dialect::openmetrics);
    uint64_t next = 101;
    for (const char *each :
         {"queued_total", "coalesced_total", "executed_total", "executed_away_total", "cancelled_total",
          "pending", "calls_total", "batches_total", "wakeups_total", "wakes_sent_total"})
        CHECK_THAT(text, Contains("\npwlocks_" + std::string(each) + of_target + ",cpu=\"3\"} " +
                                  std::to_string(next++) + "\n"));
    for (const char *each : {"busy", "idle", "asleep"})
        CHECK_THAT(text, Contains("\npwlocks_" + std::string(each) + "_seconds_total" + of_target +
                                  ",cpu=\"3\"} 0.000000" + std::to_string(next++) + "\n"));
    for (const char *each : {"remote_total", "contended_total"})
        CHECK_THAT(text, Contains("\npwlocks_locks_" + std::string(each) + of_target + ",cpu=\"3\"} " +
                                  std::to_string(next++) + "\n"));
    CHECK_THAT(text,
               Contains("\npwlocks_locks_waited_seconds_total" + of_target + ",cpu=\"3\"} 0.000000116\n"));
    CHECK_THAT(text, Contains("\npwlocks_locks_lost_races_total" + of_target + ",cpu=\"3\"} 117\n"));
    CHECK_THAT(
        text, Contains("\npwlocks_locks_waited_seconds_total" + of_target + ",cpu=\"other\"} 0.000000803\n"));
    for (const char *each : {"worker_sleeping", "worker_mispinned", "cpu_isolated"}) {
        std::string name = "pwlocks_" + std::string(each) + of_target;
        CHECK(lines_of(text, name) == std::vector{name + ",cpu=\"3\"} 1", name + ",cpu=\"40\"} 0"});
    }
}

TEST_CASE("metrics hold what runs, what ran, and where")
{
    std::string text = metrics_text(std::vector{full_sample()}, dialect::openmetrics);
    std::string first = of_target + ",cpu=\"3\"";
    CHECK(lines_of(text, "pwlocks_process_info") ==
          only("pwlocks_process_info" + of_target +
               R"(,strategy="lock",source="PWLOCKS",lock_method="atomic",stats="full"} 1)"));
    CHECK(lines_of(text, "pwlocks_uptime_seconds") ==
          only("pwlocks_uptime_seconds" + of_target + "} 61.000000001"));
    CHECK(lines_of(text, "pwlocks_ignored_options") == only("pwlocks_ignored_options" + of_target + "} 2"));
    CHECK(lines_of(text, "pwlocks_callers_unseen") == only("pwlocks_callers_unseen" + of_target + "} 9"));
    CHECK(lines_of(text, "pwlocks_worker_running_seconds") ==
          only("pwlocks_worker_running_seconds" + first + R"(,function="work"} 0.00003)"));
    CHECK(lines_of(text, "pwlocks_caller_running_") ==
          std::vector{"pwlocks_caller_running_seconds" + first + R"(,function="drain"} 0.00004)",
                      "pwlocks_caller_running_threads" + first + R"(,function="drain"} 2)"});
    std::string system = first + R"-(,function="work",workqueue="(system)")-",
                flusher = first + R"(,function="work",workqueue="flusher")";
    CHECK(lines_of(text, "pwlocks_function_runs_total") ==
          std::vector{"pwlocks_function_runs_total" + system + R"(,place="here"} 21)",
                      "pwlocks_function_runs_total" + system + R"(,place="away"} 24)",
                      "pwlocks_function_runs_total" + flusher + R"(,place="here"} 31)"});
    CHECK(lines_of(text, "pwlocks_function_seconds_total").at(1) ==
          "pwlocks_function_seconds_total" + system + R"(,place="away"} 0.000000025)");
    CHECK(lines_of(text, "pwlocks_function_longest_seconds").at(2) ==
          "pwlocks_function_longest_seconds" + flusher + R"(,place="here"} 0.000000033)");
    CHECK(lines_of(text, "pwlocks_ran_on_total") ==
          std::vector{"pwlocks_ran_on_total" + first + R"(,on="3"} 11)",
                      "pwlocks_ran_on_total" + first + R"(,on="other"} 13)"});
    CHECK(lines_of(text, "pwlocks_workqueue_high_priority") ==
          std::vector{"pwlocks_workqueue_high_priority" + of_target + R"(,workqueue="flusher"} 0)",
                      "pwlocks_workqueue_high_priority" + of_target + R"(,workqueue="urgent"} 1)"});
}

TEST_CASE("buckets of histograms add up, and their bounds are always the same")
{
    std::string text = metrics_text(std::vector{full_sample()}, dialect::openmetrics);
    std::string start = "pwlocks_wait_seconds_bucket" + of_target + R"(,cpu="3",place="here",le=)";
    std::vector<std::string> buckets = lines_of(text, start);
    REQUIRE(buckets.size() == 15);
    CHECK(buckets[0] == start + R"("2.55e-07"} 1)");
    CHECK(buckets[1] == start + R"("1.023e-06"} 3)");
    CHECK(buckets[13] == start + R"("17.179869183"} 3)");
    CHECK(buckets[14] == start + R"("+Inf"} 3)");
    CHECK(
        lines_of(text, "pwlocks_wait_seconds_bucket" + of_target + R"(,cpu="40",place="away",le=)").size() ==
        15);
    std::string of_first = of_target + R"(,cpu="3",place="here"} )";
    CHECK(lines_of(text, "pwlocks_wait_seconds_count" + of_first) ==
          only("pwlocks_wait_seconds_count" + of_first + "3"));
    // Twice the middle of 256 to 511 ns.
    CHECK(lines_of(text, "pwlocks_wait_seconds_sum" + of_first) ==
          only("pwlocks_wait_seconds_sum" + of_first + "7.67e-07"));
    std::string lock_sum = "pwlocks_lock_wait_seconds_sum" + of_target + R"(,cpu="3"} )";
    CHECK(lines_of(text, lock_sum) == only(lock_sum + "0.000000116")); // known
    std::string away = "pwlocks_run_seconds_bucket" + of_target + R"(,cpu="3",place="away",le=)";
    CHECK(lines_of(text, away).at(13) == away + R"("17.179869183"} 0)");
    CHECK(lines_of(text, away).at(14) == away + R"("+Inf"} 5)");
    CHECK_THAT(text, Contains("# HELP pwlocks_wait_seconds From queueing to start, with stats=full. The sum "
                              "is an estimate"));

    std::string on = metrics_text(std::vector{fresh_sample()}, dialect::openmetrics);
    CHECK_THAT(on, !Contains("pwlocks_wait_seconds") && !Contains("pwlocks_run_seconds"));
    CHECK(lines_of(on, "pwlocks_lock_wait_seconds_bucket").size() == 15);
}

TEST_CASE("the two dialects differ in what they declare of counters only")
{
    std::vector<process_sample> samples = all_samples().processes;
    std::string text = metrics_text(samples, dialect::prometheus),
                open = metrics_text(samples, dialect::openmetrics);
    std::string reduced;
    size_t counters = 0;
    for (const std::string &line : lines_of(text, "")) {
        if (line.starts_with("# TYPE ") && line.ends_with(" counter"))
            ++counters;
        else
            reduced += line + '\n';
    }
    CHECK(counters == 19);
    CHECK(reduced == open);
    CHECK_THAT(open, EndsWith("\n# EOF\n"));
    CHECK(metrics_text({}, dialect::openmetrics) == "# EOF\n");
}

TEST_CASE("names cannot break out of a label, and no series appears twice")
{
    std::string text = metrics_text(std::vector{hostile_sample(), full_sample()}, dialect::prometheus);
    std::string labels =
        R"({pid="1235",command="a\"b\\c{d},e=\"f",cpu="8191",function="f\ng",workqueue="same",place=)";
    CHECK(lines_of(text, "pwlocks_function_runs_total" + labels) ==
          std::vector{"pwlocks_function_runs_total" + labels + R"("here"} 18446744073709551615)",
                      "pwlocks_function_runs_total" + labels + R"("away"} 2)"});
    std::set<std::string> series;
    for (const std::string &line : lines_of(text, "pwlocks_"))
        CHECK(series.insert(line.substr(0, line.rfind(' '))).second);
    CHECK(series.size() > 100);
    std::string last = lines_of(text, R"(pwlocks_wait_seconds_count{pid="1235")").at(0);
    CHECK_THAT(last, EndsWith(" 18446744073709551615"));
}

TEST_CASE("a family's lines stand together, whichever processes they are about")
{
    std::string text = metrics_text(all_samples().processes, dialect::openmetrics);
    std::set<std::string> finished;
    std::string now;
    for (const std::string &line : lines_of(text, "pwlocks_")) {
        std::string name = line.substr(0, line.find('{'));
        for (const char *suffix : {"_bucket", "_count", "_sum"})
            if (name.ends_with(suffix))
                name.resize(name.size() - std::string(suffix).size());
        if (name == now)
            continue;
        CHECK(finished.insert(name).second);
        now = name;
    }
}

TEST_CASE("seconds are exact")
{
    CHECK(seconds_text(0) == "0");
    CHECK(seconds_text(1) == "0.000000001");
    CHECK(seconds_text(10'000'000'000) == "10");
    CHECK(seconds_text(1'500'000'000) == "1.5");
    CHECK(seconds_text(UINT64_MAX) == "18446744073.709551615");
}
