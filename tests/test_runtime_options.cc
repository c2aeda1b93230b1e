// SPDX-License-Identifier: MIT
// What may be asked of a start: every option, malformed ones, the operator's, the strategy, scheduling classes.
#include "time_limit.h"

#include "capture.h"
#include "on_cpu.h"
#include "programs.h"
#include "tasks.h"
#include "this_process.h"

#include <grp.h>
#include <sys/prctl.h>
#include <sys/resource.h>

namespace {

// Starts with options and, if that worked, tells what is there and stops.
struct trial {
    int result;
    std::string text; // stderr
    std::vector<int> cpus;

    explicit trial(const char *options)
    {
        stderr_capture capture;
        result = pw_runtime_start(options);
        text = capture.text();
        if (result == 0) {
            cpus = worker_cpus();
            look();
            REQUIRE(pw_runtime_stop() == 0);
        }
    }
    explicit trial(const std::string &options) : trial(options.c_str()) {}

    int policy = -1, priority = -1, nice = -100;
    bool visible = false;

  private:
    void look()
    {
        pid_t worker = worker_thread(cpus.front());
        REQUIRE(worker != 0);
        // A worker takes its nice value by itself: when it has run something it has.
        task first(cpus.front());
        REQUIRE(first.queue_to_worker() == 1);
        REQUIRE(first.flush() == 0);
        sched_param parameters = {};
        policy = sched_getscheduler(worker);
        sched_getparam(worker, &parameters);
        priority = parameters.sched_priority;
        nice = getpriority(PRIO_PROCESS, static_cast<id_t>(worker));
        for (const std::string &each : descriptors())
            visible |= each.find("pwlocks-stat") != std::string::npos;
    }
};

// Gives up everything that would let a thread have another scheduling class.
bool drop_privileges()
{
    rlimit none = {0, 0};
    setrlimit(RLIMIT_RTPRIO, &none);
    setrlimit(RLIMIT_NICE, &none);
    if (geteuid() != 0)
        return true;
    constexpr uid_t somebody = 54321;
    // Behind that, /proc/self is root's again unless we say otherwise.
    return setgroups(0, nullptr) == 0 && setresgid(somebody, somebody, somebody) == 0 &&
           setresuid(somebody, somebody, somebody) == 0 && prctl(PR_SET_DUMPABLE, 1) == 0;
}

bool may_use_fifo()
{
    sched_param parameters = {};
    parameters.sched_priority = 50;
    bool may = sched_setscheduler(0, SCHED_FIFO, &parameters) == 0;
    parameters.sched_priority = 0;
    sched_setscheduler(0, SCHED_OTHER, &parameters);
    return may;
}

// Without what the operator of this test may have set.
const environment no_operator = {{"PWLOCKS", std::nullopt}, {"PWLOCKS_OPTIONS", std::nullopt}, {"PWLOCKS_CONF", "/dev/null"}};

environment operator_options(const std::string &options)
{
    return {{"PWLOCKS_OPTIONS", options}, {"PWLOCKS_CONF", "/dev/null"}};
}

const char *other_strategy()
{
    return under_lock() ? "pwlocks=0" : "pwlocks=1";
}

bool lock_is_built()
{
    static const bool built = run_program({this_program(), "child: the strategy is lock"}, {{"PWLOCKS", "1"}}).exited(0);
    return built;
}

} // namespace

TEST_CASE("child: the strategy is lock", "[.child]")
{
    REQUIRE(under_lock());
}

TEST_CASE("child: every option", "[.child]")
{
    const std::string first = std::to_string(given_cpus.front()), last = std::to_string(given_cpus.back());
    const std::vector<int> all = given_cpus;

    for (const char *nothing : {static_cast<const char *>(nullptr), "", " ", "\t\n "}) {
        trial tried(nothing);
        CHECK(tried.result == 0);
        CHECK(tried.text.empty());
        CHECK(tried.cpus == all);
        CHECK(tried.policy == SCHED_OTHER);
        CHECK(tried.visible);
    }
    const std::string same = under_lock() ? "pwlocks=1" : "pwlocks=0";
    const pw_strategy_t strategy = pw_strategy();
    for (const std::string &spelt : under_lock() ? std::vector<std::string>{"1", "on", "y"}
                                                 : std::vector<std::string>{"0", "off", "n"}) {
        CHECK(trial("pwlocks=" + spelt).result == 0);
        CHECK(pw_strategy() == strategy);
    }
    CHECK(trial("pwlocks=auto").result == 0);

    CHECK(trial("cpus=" + first).cpus == std::vector<int>{given_cpus.front()});
    CHECK(trial("cpus=" + last).cpus == std::vector<int>{given_cpus.back()});
    CHECK(trial("cpus=0-8191").cpus == all);
    CHECK(trial("cpus=allowed").cpus == all);

    CHECK(trial("idle_spin_us=0").result == 0);
    CHECK(trial("idle_spin_us=1000000").result == 0);

    CHECK(trial("sched=other").policy == SCHED_OTHER);
    trial nice("sched=nice:5");
    CHECK(nice.text.empty());
    CHECK(nice.policy == SCHED_OTHER);
    CHECK(nice.nice == 5);

    CHECK(trial("stats=on").visible);
    CHECK(trial("stats=full").visible);
    trial hidden("stats=off");
    CHECK(hidden.result == 0);
    CHECK_FALSE(hidden.visible);

    trial several("stats=off  sched=nice:3\tcpus=" + last + " idle_spin_us=10\n");
    CHECK(several.text.empty());
    CHECK(several.cpus == std::vector<int>{given_cpus.back()});
    CHECK(several.nice == 3);
    CHECK_FALSE(several.visible);

    // What one start was given the next one does not remember.
    trial plain(nullptr);
    CHECK(plain.cpus == all);
    CHECK(plain.nice == getpriority(PRIO_PROCESS, 0));
    CHECK(plain.visible);
}

TEST_CASE("a start obeys every option")
{
    require_passes("child: every option");
}

TEST_CASE("child: malformed options", "[.child]")
{
    const std::vector<std::pair<std::string, std::string>> refused = {
        {"pwlocks=2", "pwlocks: invalid value \"2\", ignored"},
        {"pwlocks=On", "pwlocks: invalid value \"On\", ignored"},
        {"cpus=", "\"cpus\" has no value, ignored"},
        {"cpus=3-1", "cpus: invalid value \"3-1\", ignored"},
        {"cpus=all", "cpus: invalid value \"all\", ignored"},
        {"idle_spin_us=-1", "idle_spin_us: invalid value \"-1\", ignored"},
        {"idle_spin_us=1000001", "idle_spin_us: invalid value \"1000001\", ignored"},
        {"sched=fifo", "sched: invalid value \"fifo\", ignored"},
        {"sched=fifo:0", "sched: invalid value \"fifo:0\", ignored"},
        {"sched=fifo:100", "sched: invalid value \"fifo:100\", ignored"},
        {"sched=nice:20", "sched: invalid value \"nice:20\", ignored"},
        {"stats=yes", "stats: invalid value \"yes\", ignored"},
        {"nonsense", "\"nonsense\" has no value, ignored"},
        {"nonsense=1", "unknown key \"nonsense\", ignored"},
        {"=", "\"\" has no value, ignored"},
        {"watchdog_ms=-1", "watchdog_ms: invalid value \"-1\", ignored"},
        {"stats=on stats=on", "\"stats\" is given twice, the second is ignored"},
        {"stats=\x1b[31m", "stats: invalid value \"?[31m\", ignored"},
    };
    const std::vector<std::string> before = descriptors();
    for (const auto &[options, line] : refused) {
        CAPTURE(options);
        trial tried(options);
        CHECK(tried.result == -EINVAL);
        CHECK(tried.text == "pwlocks: pw_runtime_start: " + line + "\n");
        CHECK(library_threads().empty());
    }
    CHECK(descriptors() == before);
    // Not even the part that was right; and every problem has its line.
    trial two("pwlocks=2 stats=off sched=x");
    CHECK(two.result == -EINVAL);
    CHECK(two.text == "pwlocks: pw_runtime_start: pwlocks: invalid value \"2\", ignored\n"
                      "pwlocks: pw_runtime_start: sched: invalid value \"x\", ignored\n");
    CHECK(library_threads().empty());
    // It was never started, so the first use still starts it.
    task item(given_cpus.front());
    CHECK(item.queue() == 1);
    CHECK(item.flush() == 0);
}

TEST_CASE("malformed options are refused with -EINVAL and one line each, and nothing is started")
{
    require_passes("child: malformed options");
}

TEST_CASE("child: options that name no CPU of ours", "[.child]")
{
    // The highest number that a list may have: no machine that runs this has it.
    trial foreign("cpus=8191");
    CHECK(foreign.result == -EINVAL);
    CHECK(foreign.text == "pwlocks: pw_runtime_start: cpus: none of these CPUs is ours: 8191\n");
    CHECK(library_threads().empty());
    trial partly("cpus=8191," + std::to_string(given_cpus.front()));
    CHECK(partly.result == 0);
    CHECK(partly.text == "pwlocks: pw_runtime_start: cpus: not ours or not online, left out: 8191\n");
    CHECK(partly.cpus == std::vector<int>{given_cpus.front()});
}

TEST_CASE("a list of CPUs of which none is ours is refused with -EINVAL, others are left out")
{
    require_passes("child: options that name no CPU of ours");
}

TEST_CASE("child: the operator's options win", "[.child]")
{
    trial tried("sched=nice:7 stats=on cpus=8191 idle_spin_us=0");
    CHECK(tried.result == 0);
    CHECK(tried.cpus == std::vector<int>{given_cpus.back()});
    CHECK_FALSE(tried.visible);
    CHECK(tried.nice == 7); // of this the operator said nothing
    const pw_strategy_t before = pw_strategy();
    const std::string source = pw_strategy_source();
    trial strategy(other_strategy());
    CHECK(strategy.result == 0);
    CHECK(pw_strategy() == before);
    CHECK(pw_strategy_source() == source);
}

TEST_CASE("what the operator set wins over the same key given to a start")
{
    environment changes = operator_options("stats=off cpus=" + std::to_string(given_cpus.back()));
    changes["PWLOCKS"] = under_lock() ? "1" : "0";
    require_passes("child: the operator's options win", changes);
}

TEST_CASE("child: the program chooses the strategy", "[.child]")
{
    const std::string wanted = getenv("WANTED");
    REQUIRE(pw_runtime_start(("pwlocks=" + wanted).c_str()) == 0);
    CHECK(under_lock() == (wanted == "1"));
    CHECK(std::string(pw_strategy_source()) == "program");
    pid_t runner = 0;
    task item(first_cpu(), [&] { runner = gettid(); });
    REQUIRE(item.queue() == 1);
    REQUIRE(item.flush() == 0);
    CHECK((runner == gettid()) == under_lock());
    // From now on it is fixed: refused, also behind a stop.
    REQUIRE(pw_runtime_stop() == 0);
    stderr_capture capture;
    int refused = pw_runtime_start(other_strategy());
    std::string text = capture.text();
    CHECK(refused == -EBUSY);
    CHECK(text == "pwlocks: pw_runtime_start: pwlocks: the strategy is in use already: it cannot change any more\n");
    CHECK(no_library_thread_stays());
    CHECK(under_lock() == (wanted == "1"));
    // Asking for what is in force is no change.
    CHECK(pw_runtime_start(("pwlocks=" + wanted).c_str()) == 0);
}

TEST_CASE("child: a lock was taken before the program chooses", "[.child]")
{
    per_cpu_memory<pw_lock_t> lock;
    const pw_strategy_t before = pw_strategy();
    SECTION("by pw_lock_local")
    {
        int cpu = pw_lock_local(lock.get());
        pw_unlock_local(lock.get(), cpu);
    }
    SECTION("by pw_lock")
    {
        pw_lock(lock.get(), 0);
        pw_unlock(lock.get(), 0);
    }
    SECTION("by pw_trylock_local")
    {
        int cpu = pw_trylock_local(lock.get());
        REQUIRE(cpu >= 0);
        pw_unlock_local(lock.get(), cpu);
    }
    CHECK(trial(other_strategy()).result == -EBUSY);
    CHECK(pw_strategy() == before);
    CHECK(trial(nullptr).result == 0);
    CHECK(pw_strategy() == before);
}

TEST_CASE("the program's pwlocks= holds until the first lock is taken or item queued, then it is -EBUSY")
{
    if (!lock_is_built()) {
        WARN("skipped: the lock strategy is not compiled in");
        return;
    }
    for (const char *wanted : {"0", "1"}) {
        CAPTURE(wanted);
        environment changes = no_operator;
        changes["WANTED"] = wanted;
        require_passes("child: the program chooses the strategy", changes);
    }
    require_passes("child: a lock was taken before the program chooses", no_operator);
}

TEST_CASE("child: real-time workers", "[.child]")
{
    trial fifo("sched=fifo:50");
    CHECK(fifo.result == 0);
    CHECK(fifo.text.empty());
    CHECK(fifo.policy == SCHED_FIFO);
    CHECK(fifo.priority == 50);
    trial nice("sched=nice:-5");
    CHECK(nice.result == 0);
    CHECK(nice.text.empty());
    CHECK(nice.nice == -5);
    // The class of the thread that starts is not the workers'.
    sched_param parameters = {};
    parameters.sched_priority = 1;
    REQUIRE(sched_setscheduler(0, SCHED_FIFO, &parameters) == 0);
    trial from_fifo(nullptr);
    CHECK(from_fifo.result == 0);
    CHECK(from_fifo.text.empty());
    CHECK(from_fifo.policy == SCHED_OTHER);
}

TEST_CASE("workers get the scheduling class that was asked for")
{
    if (!may_use_fifo()) {
        WARN("skipped: SCHED_FIFO needs CAP_SYS_NICE or RLIMIT_RTPRIO");
        return;
    }
    require_passes("child: real-time workers");
}

TEST_CASE("child: scheduling classes without privileges", "[.child]")
{
    REQUIRE(drop_privileges());
    trial fifo("sched=fifo:50");
    CHECK(fifo.result == 0);
    CHECK(fifo.text == "pwlocks: sched: fifo:50 refused: Operation not permitted; workers run in the ordinary class (needs "
                       "CAP_SYS_NICE or RLIMIT_RTPRIO)\n");
    CHECK(fifo.policy == SCHED_OTHER);
    CHECK(fifo.cpus == given_cpus);
    // Every worker serves.
    REQUIRE(pw_runtime_start("sched=fifo:50") == 0);
    for (int cpu : worker_cpus()) {
        int ran_on = -1;
        task item(cpu, [&] { ran_on = sched_getcpu(); });
        REQUIRE(item.queue_to_worker() == 1);
        REQUIRE(item.flush() == 0);
        CHECK(ran_on == cpu);
    }
    REQUIRE(pw_runtime_stop() == 0);
    // This line comes from the first worker that tries, so maybe behind the start's return.
    stderr_capture capture;
    const int before = getpriority(PRIO_PROCESS, 0);
    REQUIRE(pw_runtime_start("sched=nice:-20") == 0);
    for (int cpu : worker_cpus()) {
        task item(cpu);
        REQUIRE(item.queue_to_worker() == 1);
        REQUIRE(item.flush() == 0);
        CHECK(getpriority(PRIO_PROCESS, static_cast<id_t>(worker_thread(cpu))) == before);
    }
    REQUIRE(pw_runtime_stop() == 0);
    CHECK(capture.text() == "pwlocks: sched: nice:-20 refused: Permission denied; workers run in the ordinary class (needs "
                            "CAP_SYS_NICE or RLIMIT_NICE)\n");
}

TEST_CASE("without the privilege for a scheduling class workers run in the ordinary one, and one line says so")
{
    require_passes("child: scheduling classes without privileges");
}
