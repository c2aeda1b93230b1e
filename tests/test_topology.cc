// SPDX-License-Identifier: MIT
#include "capture.h"
#include "catch.h"
#include "cpu_masks.h"
#include "in_child.h"
#include "topology.h"

#include <pwlocks/cpu.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <pthread.h>
#include <sched.h>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

using namespace pw::detail;

namespace {

option_set choosing(cpus_choice choice, const cpu_mask &list = {})
{
    option_set options;
    options.cpus = choice;
    options.cpu_list = list;
    return options;
}

// The list form of the calling thread's affinity as it was set, CPUs that are offline included.
std::string bound_to()
{
    std::ifstream status("/proc/thread-self/status");
    const std::string key = "Cpus_allowed_list:\t";
    for (std::string line; std::getline(status, line);)
        if (line.starts_with(key))
            return line.substr(key.size());
    return "unknown";
}

// Then hwloc knows nothing of the machine, and the library says so and goes on without it.
bool without_sysfs()
{
    if (access("/sys/devices/system/cpu/online", R_OK) == 0)
        return false;
    WARN("/sys cannot be read: not tested");
    return true;
}

size_t open_descriptors()
{
    size_t count = 0;
    for ([[maybe_unused]] auto &each : std::filesystem::directory_iterator("/proc/self/fd"))
        ++count;
    return count;
}

// Possible CPUs under a folder in place of /sys that holds this text, or no such file.
int possible_under(const char *text)
{
    scratch_folder sys;
    if (text != nullptr)
        sys.write("devices/system/cpu/possible", text);
    std::string root = sys.path("");
    return read_possible_cpus({root.c_str(), root.c_str()});
}

// Runs before every constructor, of this program and of the library.
int early_count;

void count_early(int, char **, char **)
{
    early_count = pw_nr_cpus();
}
[[gnu::section(".preinit_array"), gnu::used]] void (*const before_constructors)(int, char **,
                                                                                char **) = count_early;

} // namespace

TEST_CASE("the number of CPUs is the highest possible number plus one, however sparse the numbers are")
{
    CHECK(possible_under("0-7\n") == 8);
    CHECK(possible_under("0\n") == 1);
    CHECK(possible_under("32,96\n") == 97);
    CHECK(possible_under("0-3,8-11") == 12);
    CHECK(possible_under("0-8191\n") == max_cpus);
}

TEST_CASE("without a usable list of possible CPUs the configured number counts")
{
    long configured = sysconf(_SC_NPROCESSORS_CONF);
    REQUIRE(configured >= 1);
    auto text = GENERATE(as<const char *>(), nullptr, "", "\n", "x", "3-1\n", "0-8192\n", "0-");
    CAPTURE(text == nullptr ? "no file" : text);
    int count = possible_under(text);
    CHECK(count >= configured);
    CHECK(count >= mask_of({sched_getcpu()}).highest() + 1);
    CHECK(count <= max_cpus);
}

TEST_CASE("a list that does not fit is no list")
{
    std::string longest = "0";
    while (longest.size() + 2 <= 4096)
        longest += ",1";
    CHECK(possible_under((longest + std::string(4096 - longest.size(), ' ')).c_str()) == 2);
    scratch_folder sys;
    sys.write("list", longest + ",5");
    std::string root = sys.path("");
    cpu_mask mask = mask_of({9});
    CHECK_FALSE(read_cpu_list({root.c_str(), "/"}, "list", mask));
    CHECK(mask == mask_of({9}));
    CHECK_FALSE(read_cpu_list({root.c_str(), "/"}, std::string(2000, 'x').c_str(), mask));
}

TEST_CASE("the number of CPUs is known before constructors run and covers every CPU that is online")
{
    cpu_mask online;
    errno = 7;
    CHECK(possible_cpus() >= 1);
    CHECK(errno == 7);
    CHECK(pw_nr_cpus() == possible_cpus());
    CHECK(early_count == pw_nr_cpus());
    CHECK(possible_cpus() == read_possible_cpus({}));
    if (read_cpu_list({}, "/devices/system/cpu/online", online))
        CHECK(online.highest() < pw_nr_cpus());
}

TEST_CASE("the usable CPUs are those of the launch that still exist, else those of now, and never none")
{
    CHECK(usable_cpus(mask_of({0, 1, 2}), mask_of({1, 2, 3}), mask_of({2})) == mask_of({1, 2}));
    CHECK(usable_cpus(mask_of({32, 96}), mask_of({96, 97}), mask_of({32})) == mask_of({96}));
    CHECK(usable_cpus(mask_of({4, 5, 6}), mask_of({0, 1}), mask_of({1, 5, 6})) == mask_of({5, 6}));
    CHECK(usable_cpus(mask_of({}), mask_of({0, 1}), mask_of({1})) == mask_of({1}));
}

TEST_CASE("hwloc is loaded silently and allows what the process was launched with")
{
    if (without_sysfs())
        return;
    stderr_capture capture;
    topology machine;
    std::string printed = capture.text();
    CHECK(printed == "");
    REQUIRE(machine.loaded());
    cpu_mask allowed = machine.allowed();
    CHECK(!allowed.empty());
    CHECK(allowed.without(launch_affinity()).empty());
    CHECK(allowed.highest() < pw_nr_cpus());
    // Nothing but an administrator can have changed what we may run on since the launch.
    cpu_set_t now;
    REQUIRE(sched_getaffinity(getpid(), sizeof now, &now) == 0);
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
        if (allowed.contains(cpu) != (CPU_ISSET(cpu, &now) != 0))
            FAIL_CHECK("cpu " << cpu);
}

TEST_CASE("a thread that pins itself does not change what the process is allowed")
{
    topology machine;
    cpu_mask allowed = machine.allowed();
    cpu_mask within;
    std::thread([&] {
        if (machine.bind_this_thread(allowed.highest()) == 0)
            within = topology().allowed();
    }).join();
    CHECK(within == allowed);
}

TEST_CASE("a thread is bound to exactly the one CPU")
{
    topology machine;
    cpu_mask allowed = machine.allowed();
    for (int cpu = allowed.next(-1); cpu >= 0; cpu = allowed.next(cpu)) {
        int result = -1, runs_on = -1;
        std::string bound;
        std::thread([&] {
            result = machine.bind_this_thread(cpu);
            runs_on = sched_getcpu();
            bound = bound_to();
        }).join();
        CHECK(result == 0);
        CHECK(runs_on == cpu);
        CHECK(bound == std::to_string(cpu));
    }
}

TEST_CASE("a thread whose attributes are pinned starts on exactly the one CPU")
{
    struct seen {
        int runs_on = -1;
        std::string bound;
    };
    topology machine;
    cpu_mask allowed = machine.allowed();
    pthread_attr_t attributes;
    REQUIRE(pthread_attr_init(&attributes) == 0);
    for (int cpu = allowed.next(-1); cpu >= 0; cpu = allowed.next(cpu)) {
        REQUIRE(machine.pin(attributes, cpu) == 0);
        seen first;
        auto look = [](void *out) -> void * {
            *static_cast<seen *>(out) = {sched_getcpu(), bound_to()};
            return nullptr;
        };
        pthread_t thread;
        REQUIRE(pthread_create(&thread, &attributes, look, &first) == 0);
        pthread_join(thread, nullptr);
        CHECK(first.runs_on == cpu);
        CHECK(first.bound == std::to_string(cpu));
    }
    CHECK(machine.pin(attributes, -1) == -EINVAL);
    CHECK(machine.pin(attributes, max_cpus) == -EINVAL);
    pthread_attr_destroy(&attributes);
}

TEST_CASE("binding to a CPU that does not exist is an error and changes nothing")
{
    topology machine;
    std::string before = bound_to();
    CHECK(machine.bind_this_thread(-1) == -EINVAL);
    CHECK(machine.bind_this_thread(max_cpus) == -EINVAL);
    if (pw_nr_cpus() < max_cpus)
        CHECK(machine.bind_this_thread(pw_nr_cpus()) == -EINVAL);
    CHECK(bound_to() == before);
}

TEST_CASE("topologies that come and go leave no descriptor behind")
{
    if (without_sysfs())
        return;
    size_t before = open_descriptors();
    for (int i = 0; i < 20; ++i)
        CHECK(topology().loaded());
    CHECK(open_descriptors() == before);
}

TEST_CASE("nodes are hwloc's, and unknown CPUs have none")
{
    if (without_sysfs())
        return;
    topology machine;
    CHECK(machine.node_of(machine.allowed().next(-1)) >= 0);
    CHECK(machine.node_of(-1) == -1);
    CHECK(machine.node_of(max_cpus) == -1);
    // Two nodes of three CPUs, numbered in turn, that hwloc is told to take for this machine.
    outcome result = in_child([] {
        setenv("HWLOC_SYNTHETIC", "node:2(indexes=5,3) pu:3(indexes=0,2,4,1,3,5)", 1);
        setenv("HWLOC_THISSYSTEM", "1", 1);
        topology synthetic;
        bool right = synthetic.loaded();
        for (int cpu = 0; cpu < 6; ++cpu)
            right = right && synthetic.node_of(cpu) == (cpu % 2 == 0 ? 5 : 3);
        return right && synthetic.node_of(6) == -1 ? 0 : 1;
    });
    CHECK(result.status == 0);
    CHECK(result.text == "");
}

TEST_CASE("where hwloc fails or is told of another machine, the affinity alone serves")
{
    if (without_sysfs())
        return;
    auto [variable, value, line] = GENERATE(table<const char *, const char *, const char *>(
        {{"HWLOC_COMPONENTS", "stop",
          "pwlocks: hwloc: the topology could not be loaded, working from the affinity alone\n"},
         {"HWLOC_SYNTHETIC", "node:2 pu:64",
          "pwlocks: hwloc: it describes another machine (HWLOC_XMLFILE, HWLOC_SYNTHETIC or HWLOC_FSROOT is "
          "set), "
          "working from the affinity alone\n"}}));
    enum { fine, loaded, wrong_set, node_known, not_bound, wrong_plan };
    cpu_mask expected = topology().allowed();
    outcome result = in_child([&, name = variable, text = value] {
        setenv(name, text, 1);
        topology machine, again; // which complain once
        if (machine.loaded() || again.loaded())
            return loaded;
        if (!(machine.allowed() == expected))
            return wrong_set;
        if (machine.node_of(0) != -1)
            return node_known;
        std::vector<worker_cpu> workers;
        if (!plan_workers(machine, {}, "test", workers) ||
            workers.size() != static_cast<size_t>(expected.count()))
            return wrong_plan;
        int last = expected.highest();
        pthread_attr_t attributes;
        cpu_set_t pinned;
        bool bound = pthread_attr_init(&attributes) == 0 && machine.pin(attributes, last) == 0 &&
                     pthread_attr_getaffinity_np(&attributes, sizeof pinned, &pinned) == 0 &&
                     CPU_COUNT(&pinned) == 1 && CPU_ISSET(last, &pinned) &&
                     machine.bind_this_thread(last) == 0 && bound_to() == std::to_string(last);
        return bound && machine.bind_this_thread(max_cpus - 1) == -EINVAL ? fine : not_bound;
    });
    CHECK(WIFEXITED(result.status));
    CHECK(WEXITSTATUS(result.status) == fine);
    CHECK(result.text == line);
}

TEST_CASE("each choice of CPUs gives the ones that it names")
{
    const cpu_mask allowed = mask_of({1, 32, 96}), isolated = mask_of({0, 32, 33});
    stderr_capture capture;
    cpu_mask out;
    CHECK(plan_cpus(allowed, isolated, choosing(cpus_choice::unset), "test", out));
    CHECK(out == allowed);
    CHECK(plan_cpus(allowed, isolated, choosing(cpus_choice::allowed), "test", out));
    CHECK(out == allowed);
    CHECK(plan_cpus(allowed, isolated, choosing(cpus_choice::housekeeping), "test", out));
    CHECK(out == mask_of({1, 96}));
    CHECK(plan_cpus(allowed, {}, choosing(cpus_choice::housekeeping), "test", out));
    CHECK(out == allowed);
    CHECK(plan_cpus(allowed, isolated, choosing(cpus_choice::isolated), "test", out));
    CHECK(out == mask_of({32}));
    CHECK(plan_cpus(allowed, isolated, choosing(cpus_choice::list, mask_of({32, 96})), "test", out));
    CHECK(out == mask_of({32, 96}));
    // A list left over from elsewhere means nothing to another choice.
    CHECK(plan_cpus(allowed, isolated, choosing(cpus_choice::allowed, mask_of({7})), "test", out));
    CHECK(capture.text() == "");
}

TEST_CASE("CPUs of a list that are not ours are left out, with one line")
{
    stderr_capture capture;
    cpu_mask out;
    CHECK(plan_cpus(mask_of({1, 32, 8191}), {}, choosing(cpus_choice::list, mask_of({1, 5, 6, 7, 9, 8191})),
                    "PWLOCKS_OPTIONS", out));
    CHECK(out == mask_of({1, 8191}));
    CHECK(capture.text() == "pwlocks: PWLOCKS_OPTIONS: cpus: not ours or not online, left out: 5-7,9\n");
}

TEST_CASE("a choice without a single CPU of ours is refused, with one line that names it")
{
    auto [choice, name] =
        GENERATE(table<cpus_choice, const char *>({{cpus_choice::housekeeping, "housekeeping"},
                                                   {cpus_choice::isolated, "isolated"},
                                                   {cpus_choice::list, "5-7,9"}}));
    const cpu_mask allowed = mask_of({0, 1});
    const cpu_mask isolated = choice == cpus_choice::housekeeping ? mask_of({0, 1}) : mask_of({5});
    stderr_capture capture;
    cpu_mask out;
    CHECK_FALSE(plan_cpus(allowed, isolated, choosing(choice, mask_of({5, 6, 7, 9})), "program", out));
    CHECK(capture.text() ==
          std::string("pwlocks: program: cpus: none of these CPUs is ours: ") + name + "\n");
}

TEST_CASE("workers are planned for the allowed CPUs in rising order, with their nodes and isolation")
{
    topology machine;
    cpu_mask allowed = machine.allowed(), isolated = read_isolated({});
    std::vector<worker_cpu> workers(3);
    REQUIRE(plan_workers(machine, {}, "test", workers));
    REQUIRE(workers.size() == static_cast<size_t>(allowed.count()));
    int cpu = -1;
    for (const worker_cpu &each : workers) {
        cpu = allowed.next(cpu);
        CHECK(each.cpu == cpu);
        CHECK(each.node == machine.node_of(cpu));
        CHECK(each.isolated == isolated.contains(cpu));
    }
    REQUIRE(
        plan_workers(machine, choosing(cpus_choice::list, mask_of({allowed.highest()})), "test", workers));
    REQUIRE(workers.size() == 1);
    CHECK(workers[0].cpu == allowed.highest());
    stderr_capture capture;
    CHECK_FALSE(plan_workers(machine, choosing(cpus_choice::list), "test", workers));
    CHECK(workers.empty());
    CHECK(capture.text() == "pwlocks: test: cpus: none of these CPUs is ours: \n");
}
