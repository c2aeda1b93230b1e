// SPDX-License-Identifier: MIT
// Calls that are refused and leave everything as it was; which thread runs a function, and what it has from that thread; the CPUs
// and their workers as seen from outside.
#include "time_limit.h"

#include "on_cpu.h"
#include "programs.h"
#include "tasks.h"
#include "this_process.h"

#include <algorithm>
#include <climits>
#include <csignal>

namespace {

void do_nothing(pw_struct *)
{
}

// A workqueue that does not exist. Never looked into.
pw_workqueue *no_workqueue()
{
    static char somewhere[64];
    return reinterpret_cast<pw_workqueue *>(somewhere);
}

using queue_call = int (*)(int, pw_workqueue *, pw_struct *);

// What a function finds around itself.
struct surroundings {
    pid_t thread = 0;
    std::string name;
    int cpu = -1;
    bool remote = false;
    int nice = 0;
    bool takes_usr1 = false;
    int thread_local_value = 0;
};
thread_local int thread_local_value = 0;

surroundings look_around(int cpu)
{
    surroundings found;
    found.thread = gettid();
    found.name = thread_file(found.thread, "comm");
    found.cpu = sched_getcpu();
    found.remote = pw_is_cpu_remote(cpu);
    found.nice = getpriority(PRIO_PROCESS, static_cast<id_t>(found.thread));
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, nullptr, &mask);
    found.takes_usr1 = sigismember(&mask, SIGUSR1) == 0;
    found.thread_local_value = thread_local_value;
    return found;
}

// A CPU number that can occur and has no worker in a process that uses the first CPU only; -1 if there is none.
int cpu_beside(int cpu)
{
    for (int other = 0; other < pw_nr_cpus(); ++other)
        if (other != cpu)
            return other;
    return -1;
}

} // namespace

TEST_CASE("a call with something wrong is refused with -EINVAL and queues nothing")
{
    const int cpu = first_cpu();
    queue_call call = GENERATE(&pw_queue_on, &pw_queue_work_on);
    int runs = 0;
    task item(cpu, [&] { ++runs; });

    SECTION("no item")
    {
        CHECK(call(cpu, nullptr, nullptr) == -EINVAL);
    }
    SECTION("no function")
    {
        pw_struct without;
        INIT_PW(&without, nullptr, cpu);
        CHECK(call(cpu, nullptr, &without) == -EINVAL);
    }
    SECTION("a zeroed item")
    {
        pw_struct zeroed = {};
        CHECK(call(0, nullptr, &zeroed) == -EINVAL);
    }
    SECTION("another CPU than INIT_PW's")
    {
        CHECK(call(cpu + 1, nullptr, &item) == -EINVAL);
        CHECK(call(cpu - 1, nullptr, &item) == -EINVAL);
        CHECK(call(INT_MAX, nullptr, &item) == -EINVAL);
        CHECK(call(INT_MIN, nullptr, &item) == -EINVAL);
    }
    SECTION("a CPU that cannot occur, and INIT_PW says the same")
    {
        for (int wrong : {-1, pw_nr_cpus(), pw_nr_cpus() + 1, INT_MAX, INT_MIN}) {
            pw_struct elsewhere;
            INIT_PW(&elsewhere, do_nothing, wrong);
            CAPTURE(wrong);
            CHECK(call(wrong, nullptr, &elsewhere) == -EINVAL);
        }
    }
    SECTION("a workqueue that does not exist")
    {
        CHECK(call(cpu, no_workqueue(), &item) == -EINVAL);
    }
    // What was refused is not queued: now it is accepted, and runs once.
    CHECK(runs == 0);
    REQUIRE(call(cpu, nullptr, &item) == 1);
    REQUIRE(item.flush() == 0);
    CHECK(runs == 1);
}

TEST_CASE("an item goes one way for its whole life: the other is refused with -EINVAL")
{
    const int cpu = last_cpu();
    int runs = 0;
    task item(cpu, [&] { ++runs; });
    SECTION("first by the strategy")
    {
        REQUIRE(item.queue() == 1);
        CHECK(item.queue_to_worker() == -EINVAL);
        REQUIRE(item.flush() == 0);
        CHECK(item.queue_to_worker() == -EINVAL);
        CHECK(runs == 1);
        CHECK(item.queue() == 1);
    }
    SECTION("first to the worker")
    {
        REQUIRE(item.queue_to_worker() == 1);
        CHECK(item.queue() == -EINVAL);
        REQUIRE(item.flush() == 0);
        CHECK(item.queue() == -EINVAL);
        CHECK(runs == 1);
        CHECK(item.queue_to_worker() == 1);
    }
    REQUIRE(item.flush() == 0);
    CHECK(runs == 2);
}

TEST_CASE("INIT_PW begins a new life for an item that is not queued")
{
    const int cpu = last_cpu();
    pw_struct item;
    INIT_PW(&item, do_nothing, cpu);
    REQUIRE(pw_queue_on(cpu, nullptr, &item) == 1);
    REQUIRE(pw_flush(&item) == 0);
    INIT_PW(&item, do_nothing, cpu);
    CHECK(pw_queue_work_on(cpu, nullptr, &item) == 1);
    CHECK(pw_flush(&item) == 0);
}

TEST_CASE("child: a CPU without a worker", "[.child]")
{
    const int mine = given_cpus.front(), other = cpu_beside(mine);
    REQUIRE(pw_runtime_start(("cpus=" + std::to_string(mine)).c_str()) == 0);
    CHECK(worker_cpus() == std::vector<int>{mine});
    CHECK(pw_cpu_online(mine));
    CHECK_FALSE(pw_cpu_online(other));
    int runs = 0;
    task here(mine, [&] { ++runs; }), there(other, [&] { ++runs; });
    CHECK(there.queue() == -ENODEV);
    CHECK(there.queue_to_worker() == -ENODEV);
    CHECK(there.flush() == 0);
    CHECK(here.queue() == 1);
    CHECK(here.flush() == 0);
    CHECK(runs == 1);
    // Its memory and its lock are there all the same.
    per_cpu_memory<pw_lock_t> lock;
    pw_lock(lock.get(), other);
    CHECK_FALSE(pw_trylock(lock.get(), other));
    pw_unlock(lock.get(), other);
    CHECK(pw_runtime_stop() == 0);
}

TEST_CASE("work for a CPU without a worker is refused with -ENODEV")
{
    if (cpu_beside(given_cpus.front()) < 0) {
        WARN("skipped: this machine has one CPU");
        return;
    }
    require_passes("child: a CPU without a worker");
}

TEST_CASE("child: what is refused starts nothing", "[.child]")
{
    pw_struct zeroed = {}, outside;
    INIT_PW(&outside, do_nothing, -1);
    const size_t before = threads().size();
    CHECK(pw_queue_on(0, nullptr, nullptr) == -EINVAL);
    CHECK(pw_queue_on(0, nullptr, &zeroed) == -EINVAL);
    CHECK(pw_queue_on(0, no_workqueue(), &zeroed) == -EINVAL);
    CHECK(pw_flush(&outside) == -EINVAL);
    CHECK_FALSE(pw_cpu_online(-1));
    CHECK_FALSE(pw_cpu_online(pw_nr_cpus()));
    CHECK(threads().size() == before);
}

TEST_CASE("a refused call does not start the runtime")
{
    require_passes("child: what is refused starts nothing");
}

TEST_CASE("a queued function runs with its runner's thread, priority, signal mask and thread-local data")
{
    const int cpu = last_cpu();
    surroundings found;
    task item(cpu, [&] { found = look_around(cpu); });
    pid_t caller = 0;
    int result = 0, caller_nice = 0;
    bool ran_before_return = false;
    std::thread([&] {
        caller = gettid();
        thread_local_value = 42;
        setpriority(PRIO_PROCESS, 0, 7);
        caller_nice = getpriority(PRIO_PROCESS, 0);
        result = item.queue();
        if (under_lock())
            ran_before_return = found.thread != 0;
    }).join();
    REQUIRE(result == 1);
    REQUIRE(item.flush() == 0);
    if (under_lock()) {
        CHECK(found.thread == caller);
        CHECK(ran_before_return);
        CHECK(found.nice == caller_nice);
        CHECK(found.takes_usr1);
        CHECK(found.thread_local_value == 42);
    } else {
        CHECK(found.thread != caller);
        CHECK(found.name == "pw/" + std::to_string(cpu));
        CHECK(found.cpu == cpu);
        CHECK_FALSE(found.remote);
        CHECK(found.nice == getpriority(PRIO_PROCESS, 0));
        CHECK_FALSE(found.takes_usr1);
        CHECK(found.thread_local_value == 0);
    }
}

TEST_CASE("work is remote where it runs elsewhere than on its CPU")
{
    const int here = first_cpu();
    for (int cpu : worker_cpus()) {
        bool remote = false;
        task item(cpu, [&] { remote = pw_is_cpu_remote(cpu); });
        std::optional<bool> done = on_cpu(here, [&] { return item.queue() == 1 && item.flush() == 0; });
        REQUIRE(done == true);
        CHECK(remote == (under_lock() && cpu != here));
        CHECK(pw_get_cpu(&item) == cpu);
    }
}

TEST_CASE("pw_queue_work_on runs on that CPU's worker under both strategies")
{
    for (int cpu : worker_cpus()) {
        surroundings found;
        task item(cpu, [&] { found = look_around(cpu); });
        for (int from : worker_cpus()) {
            found = {};
            REQUIRE(on_cpu(from, [&] { return item.queue_to_worker(); }) == 1);
            REQUIRE(item.flush() == 0);
            CHECK(found.name == "pw/" + std::to_string(cpu));
            CHECK(found.cpu == cpu);
            CHECK_FALSE(found.remote);
            CHECK(stays_on(found.thread, cpu));
        }
    }
}

TEST_CASE("guarantees 1 to 3 hold for pw_queue_work_on as well")
{
    for (int cpu : worker_cpus()) {
        long input = 0, seen = 0, runs = 0;
        std::atomic<long> accepted{0}, refused{0};
        const long again = 100;
        task item(cpu, [&] {
            seen = input;
            if (++runs % again == 0)
                accepted += item.queue_to_worker() == 1; // its own item
        });
        input = 42;
        REQUIRE(item.queue_to_worker() == 1);
        ++accepted;
        REQUIRE(item.flush() == 0);
        CHECK(seen == 42);
        on_threads(4, [&](int) {
            for (int n = 0; n < 5'000 / scale; ++n) {
                int result = item.queue_to_worker();
                accepted += result == 1;
                refused += result < 0;
            }
        });
        REQUIRE(eventually([&] { return item.flush() == 0 && runs == accepted; }));
        CHECK(refused == 0);
    }
}

TEST_CASE("every CPU with a worker is ours, comes once and in rising order")
{
    const std::vector<int> cpus = worker_cpus();
    REQUIRE_FALSE(cpus.empty());
    CHECK(std::is_sorted(cpus.begin(), cpus.end()));
    CHECK(std::adjacent_find(cpus.begin(), cpus.end()) == cpus.end());
    CHECK(cpus == given_cpus);
    for (int cpu = -1; cpu <= pw_nr_cpus(); ++cpu) {
        CAPTURE(cpu);
        CHECK(pw_cpu_online(cpu) == (std::count(cpus.begin(), cpus.end(), cpu) == 1));
    }
    CHECK_FALSE(pw_cpu_online(INT_MAX));
    CHECK_FALSE(pw_cpu_online(INT_MIN));
    CHECK(pw_nr_cpus() > cpus.back());
    CHECK(pw_next_cpu(cpus.back()) == -1);
    CHECK(pw_next_cpu(INT_MAX - 1) == -1);
    CHECK(pw_next_cpu(INT_MIN) == cpus.front());
}

TEST_CASE("a worker is named for its CPU and bound to it alone")
{
    for (int cpu : worker_cpus()) {
        pid_t found = worker_thread(cpu);
        REQUIRE(found != 0);
        CHECK(stays_on(found, cpu));
    }
}

TEST_CASE("child: the first item finds its worker on its CPU", "[.child]")
{
    // The very first thing that this process asks of the runtime: nothing has run on that worker before.
    const int cpu = given_cpus.back();
    int ran_on = -1;
    std::string allowed;
    task item(cpu, [&] {
        ran_on = sched_getcpu();
        allowed = status_field(gettid(), "Cpus_allowed_list");
    });
    REQUIRE(item.queue_to_worker() == 1);
    REQUIRE(item.flush() == 0);
    CHECK(ran_on == cpu);
    CHECK(allowed == std::to_string(cpu));
}

TEST_CASE("a worker is bound to its CPU before its first work")
{
    require_passes("child: the first item finds its worker on its CPU");
}

TEST_CASE("workers take none of the program's signals")
{
    static std::atomic<pid_t> taker{0};
    static std::atomic<int> taken{0};
    taken = 0;
    struct sigaction action = {}, before;
    action.sa_handler = [](int) {
        taker = gettid();
        ++taken;
    };
    REQUIRE(sigaction(SIGUSR2, &action, &before) == 0);
    first_cpu();
    for (int i = 1; i <= 100; ++i) {
        kill(getpid(), SIGUSR2);
        REQUIRE(eventually([&] { return taken == i; }));
        CHECK(thread_file(taker, "comm").rfind("pw/", 0) == std::string::npos);
    }
    sigaction(SIGUSR2, &before, nullptr);
}
