// SPDX-License-Identifier: MIT
// What pw-stat topology says of machines that are folders here.
#include "catch.h"

#include "../tools/pw-stat/machine_report.h"
#include "topology.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

using namespace pw::tool;
using pw::detail::cpu_mask;
using pw::detail::parse_cpu_list;

namespace {

// A folder for /sys and /etc.
class made_up_machine {
  public:
    made_up_machine()
    {
        char path[] = "/tmp/pw-machine-XXXXXX";
        root_ = mkdtemp(path);
    }
    ~made_up_machine() { std::filesystem::remove_all(root_); }
    made_up_machine(const made_up_machine &) = delete;
    made_up_machine &operator=(const made_up_machine &) = delete;

    // Below /sys/devices/system.
    void file(const std::string &name, const std::string &text) const
    {
        std::filesystem::path path = root_ / "devices/system" / name;
        std::filesystem::create_directories(path.parent_path());
        std::ofstream(path) << text << '\n';
    }

    // Four CPUs on two nodes, two cores each in one package of its own; CPU 3 is isolated, CPU 9 is offline.
    void usual() const
    {
        file("cpu/present", "0-3,9");
        file("cpu/online", "0-3");
        file("cpu/isolated", "3");
        file("cpu/nohz_full", "2-3");
        file("node/online", "0-1");
        file("node/node0/cpulist", "0-1");
        file("node/node1/cpulist", "2-3");
        for (int cpu = 0; cpu < 4; ++cpu) {
            std::string place = "cpu/cpu" + std::to_string(cpu), pair = cpu < 2 ? "0-1" : "2-3";
            file(place + "/topology/physical_package_id", std::to_string(cpu / 2));
            file(place + "/topology/thread_siblings_list", std::to_string(cpu));
            cache(place + "/cache/index0/", "1", "Data", "48K", std::to_string(cpu));
            cache(place + "/cache/index1/", "1", "Instruction", "32K", std::to_string(cpu));
            cache(place + "/cache/index2/", "2", "Unified", "2048K", pair);
        }
    }

    machine read(const char *options = nullptr, const std::string &existing = "0-3",
                 const std::string &affinity = "0-3") const
    {
        std::string sys = root_;
        granted_cpus granted;
        parse_cpu_list(existing, granted.existing);
        parse_cpu_list(affinity, granted.affinity);
        return read_machine({sys.c_str(), sys.c_str()}, {nullptr, options, nullptr}, granted);
    }

  private:
    void cache(const std::string &place, const char *level, const char *type, const char *size,
               const std::string &cpus) const
    {
        file(place + "level", level);
        file(place + "type", type);
        file(place + "size", size);
        file(place + "shared_cpu_list", cpus);
    }

    std::filesystem::path root_;
};

std::string reasons_of(const machine &of)
{
    std::string text;
    for (const machine_cpu &each : of.cpus)
        text += std::to_string(each.cpu) + ": " + reason_text(of, each) + '\n';
    return text;
}

const screen wide{0, 0, false, false};

} // namespace

TEST_CASE("CPUs, nodes and caches are those of the machine")
{
    made_up_machine files;
    files.usual();
    machine found = files.read();
    REQUIRE(found.cpus.size() == 5);
    CHECK(found.cpus[3].cpu == 3);
    CHECK(found.cpus[3].node == 1);
    CHECK(found.cpus[3].package == 1);
    CHECK(found.cpus[3].core == std::vector<int>{3});
    CHECK(found.cpus[3].isolated);
    CHECK(found.cpus[3].nohz_full);
    CHECK(!found.cpus[2].isolated);
    CHECK(found.cpus[2].nohz_full);
    CHECK(!found.cpus[1].nohz_full);
    CHECK(found.cpus[4].cpu == 9);
    CHECK(!found.cpus[4].online);
    CHECK(found.cpus[4].node == -1);
    REQUIRE(found.nodes.size() == 2);
    CHECK(found.nodes[1].cpus == std::vector<int>{2, 3});
    REQUIRE(found.caches.size() == 10);
    CHECK(found.caches[0].type == "Data");
    CHECK(found.caches[0].bytes == 48 * 1024);
    CHECK(found.caches[4].type == "Instruction");
    CHECK(found.caches[9].level == 2);
    CHECK(found.caches[9].bytes == 2048 * 1024);
    CHECK(found.caches[9].cpus == std::vector<int>{2, 3});

    std::string report = machine_report(found, wide);
    CAPTURE(report);
    CHECK(report.find("strategy     lock (from isolation)\n") != std::string::npos);
    CHECK(report.find("workers      0-3\n") != std::string::npos);
    CHECK(
        report.find(
            "  1     0        0  1     1     0-1   -     no        no         yes     all that are ours\n") !=
        std::string::npos);
    CHECK(report.find("  9     -        -  -     -     -     -     no        no         no      offline\n") !=
          std::string::npos);
    CHECK(report.find("L2      2 MiB       2             2\n") != std::string::npos);
}

TEST_CASE("which CPUs get a worker, and why the others do not")
{
    made_up_machine files;
    files.usual();
    CHECK(reasons_of(files.read(nullptr, "0-2", "0,2-3")) == "0: all that are ours\n"
                                                             "1: not in the affinity that programs inherit\n"
                                                             "2: all that are ours\n"
                                                             "3: the cgroup's cpuset does not grant it\n"
                                                             "9: offline\n");
    CHECK(reasons_of(files.read("cpus=housekeeping")) ==
          "0: cpus=housekeeping (PWLOCKS_OPTIONS)\n"
          "1: cpus=housekeeping (PWLOCKS_OPTIONS)\n"
          "2: left out by cpus=housekeeping (PWLOCKS_OPTIONS)\n"
          "3: left out by cpus=housekeeping (PWLOCKS_OPTIONS)\n"
          "9: offline\n");
    CHECK(reasons_of(files.read("cpus=2,9")) == "0: left out by cpus=2,9 (PWLOCKS_OPTIONS)\n"
                                                "1: left out by cpus=2,9 (PWLOCKS_OPTIONS)\n"
                                                "2: cpus=2,9 (PWLOCKS_OPTIONS)\n"
                                                "3: left out by cpus=2,9 (PWLOCKS_OPTIONS)\n"
                                                "9: offline\n");
}

TEST_CASE("an option that leaves no CPU is ignored, as the runtime does")
{
    made_up_machine files;
    files.usual();
    machine found = files.read("cpus=9 idle_spin_us=soon");
    CHECK(found.cpus_ignored);
    CHECK(reasons_of(found).starts_with("0: all that are ours\n"));
    CHECK(found.ignored_count == 1);
    std::string report = machine_report(found, wide);
    CHECK(report.find("cpus         9 (from PWLOCKS_OPTIONS): none of these CPUs is ours, ignored\n") !=
          std::string::npos);
    CHECK(report.find("soon") != std::string::npos);
}

TEST_CASE("a machine that tells nothing, or nonsense, has at least our CPUs")
{
    made_up_machine files;
    SECTION("no files") {}
    SECTION("nonsense")
    {
        files.usual();
        files.file("cpu/present", "\033[31m3-1");
        files.file("cpu/cpu0/topology/physical_package_id", "99999999999999999999");
        files.file("cpu/cpu0/cache/index0/size", "-5K");
        files.file("cpu/cpu0/cache/index1/level", "x");
        files.file("cpu/cpu0/cache/index2/type", "\033[31m");
    }
    machine found = files.read();
    REQUIRE(found.cpus.size() == 4);
    CHECK(found.cpus[0].package == -1);
    std::string report = machine_report(found, wide);
    CHECK(report.find('\033') == std::string::npos);
    CHECK(report.find("workers      0-3\n") != std::string::npos);
}

TEST_CASE("the document holds what the report does")
{
    made_up_machine files;
    files.usual();
    auto document = machine_document(files.read("cpus=0-1"));
    CHECK(document["schema"] == 1);
    auto &topology = document["topology"];
    CHECK(topology["strategy"] == "lock");
    CHECK(topology["cpus_option"] == "0-1");
    CHECK(topology["cpus_source"] == "PWLOCKS_OPTIONS");
    REQUIRE(topology["cpus"].size() == 5);
    CHECK(topology["cpus"][1]["worker"] == true);
    CHECK(topology["cpus"][1]["reason"] == "chosen");
    CHECK(topology["cpus"][3]["worker"] == false);
    CHECK(topology["cpus"][3]["reason"] == "cpus_option");
    CHECK(topology["cpus"][4]["node"].is_null());
    CHECK(topology["cpus"][4]["reason"] == "offline");
    CHECK(topology["caches"].size() == 10);
    CHECK(topology["nodes"][1]["cpus"] == std::vector<int>{2, 3});
    CHECK(machine_document(files.read())["topology"]["cpus_source"].is_null());
}

TEST_CASE("of this machine, what is said is what its runtime does")
{
    unsetenv("PWLOCKS");
    unsetenv("PWLOCKS_OPTIONS");
    setenv("PWLOCKS_CONF", "/dev/null", 1);
    machine found = read_this_machine();
    std::vector<pw::detail::worker_cpu> workers;
    pw::detail::topology real;
    REQUIRE(pw::detail::plan_workers(real, {}, nullptr, workers));
    CHECK(found.cpus_source == "");
    size_t next = 0;
    for (const machine_cpu &each : found.cpus) {
        if (each.reason != worker_reason::chosen)
            continue;
        REQUIRE(next < workers.size());
        CHECK(each.cpu == workers[next].cpu);
        CHECK((each.node == workers[next].node || workers[next].node < 0));
        CHECK((each.isolated || each.nohz_full) == workers[next].isolated);
        ++next;
    }
    CHECK(next == workers.size());
}
