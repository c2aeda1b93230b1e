// SPDX-License-Identifier: MIT
// pw_stat_read(): against counts that the test knows, and against what pw-stat reads of this process.
#include "time_limit.h"

#include "in_fork.h"
#include "on_cpu.h"
#include "programs.h"
#include "queues.h"

#include "../tools/pw-stat/processes.h"

#include <array>
#include <numeric>

namespace {

pw_stat read_stat(int cpu)
{
    pw_stat stat;
    REQUIRE(pw_stat_read(cpu, &stat, sizeof stat) == 0);
    return stat;
}

// What is counted follows what a program sees by a moment.
template <typename Condition>
bool settles(int cpu, Condition condition)
{
    return eventually([&] {
        pw_stat stat;
        return pw_stat_read(cpu, &stat, sizeof stat) == 0 && condition(stat);
    });
}

bool all_idle()
{
    return settles(PW_STAT_ALL,
                   [](const pw_stat &stat) { return stat.sleeping == stat.workers && stat.pending == 0; });
}

// What pw-stat says of this process.
pw::tool::snapshot seen_from_outside()
{
    return pw::tool::find_process(getpid()).stat.read();
}

// The counts, but for those that grow while nothing happens.
std::array<uint64_t, 15> counts_of(const pw_stat &stat)
{
    return {stat.sleeping,        stat.queued,          stat.coalesced,       stat.executed,
            stat.executed_away,   stat.cancelled,       stat.pending,         stat.calls,
            stat.batches,         stat.wakeups,         stat.wakes_sent,      stat.locks_remote,
            stat.locks_contended, stat.locks_waited_ns, stat.locks_lost_races};
}

std::array<uint64_t, 15> counts_of(const pw::tool::cpu_state &cpu)
{
    return {cpu.sleeping,   cpu.queued,       cpu.coalesced,       cpu.executed,        cpu.executed_away,
            cpu.cancelled,  cpu.pending,      cpu.calls,           cpu.batches,         cpu.wakeups,
            cpu.wakes_sent, cpu.locks.remote, cpu.locks.contended, cpu.locks.waited_ns, cpu.locks.lost_races};
}

class running_runtime {
  public:
    explicit running_runtime(const char *options = nullptr) : started_(pw_runtime_start(options)) {}
    ~running_runtime() { pw_runtime_stop(); }
    running_runtime(const running_runtime &) = delete;
    running_runtime &operator=(const running_runtime &) = delete;
    int started() const { return started_; }

  private:
    int started_;
};

} // namespace

TEST_CASE("items are counted for their CPU, with statistics on and off")
{
    const char *options = GENERATE("stats=on", "stats=off");
    INFO(options);
    running_runtime whole(options);
    REQUIRE(whole.started() == 0);
    constexpr int items = 30;
    uint64_t rank = 0, all = 0;
    for (int cpu : worker_cpus()) {
        uint64_t expected = items * ++rank; // another number for each
        all += expected;
        task item(cpu);
        for (uint64_t i = 0; i < expected; ++i) {
            REQUIRE(item.queue() == 1);
            REQUIRE(item.flush() == 0);
        }
        CHECK(settles(cpu, [&](const pw_stat &stat) { return stat.executed == expected; }));
        pw_stat stat = read_stat(cpu);
        CHECK(stat.workers == 1);
        CHECK(stat.queued == expected);
        CHECK(stat.executed_away == (under_lock() ? expected : 0));
        CHECK(stat.pending == 0);
        CHECK(stat.cancelled == 0);
    }
    pw_stat sum = read_stat(PW_STAT_ALL);
    CHECK(sum.workers == rank);
    CHECK(sum.queued == all);
    CHECK(sum.executed == all);
    CHECK(sum.executed_away == (under_lock() ? all : 0));
}

TEST_CASE("what runs, waits and was taken back is counted")
{
    running_runtime whole;
    int cpu = last_cpu();
    task waiting(cpu), cancelled(cpu);
    {
        blocked_cpu blocked(cpu);
        REQUIRE(waiting.queue() == 1);
        REQUIRE(waiting.queue() == 0);
        REQUIRE(cancelled.queue() == 1);
        REQUIRE(cancelled.cancel() == 1);
        pw_stat stat = read_stat(cpu);
        CHECK(stat.running == 1);
        CHECK(stat.queued == 4); // the running one twice
        CHECK(stat.coalesced == 1);
        CHECK(stat.cancelled == 1);
        CHECK(stat.executed == 0);
        CHECK(stat.pending == 3);
        if (!under_lock())
            CHECK(stat.sleeping == 0);
        CHECK(read_stat(PW_STAT_ALL).running == 1);
        if (first_cpu() != cpu)
            CHECK(read_stat(first_cpu()).running == 0);
        blocked.open();
    }
    REQUIRE(waiting.flush() == 0);
    CHECK(settles(cpu, [](const pw_stat &stat) {
        return stat.executed == 3 && stat.pending == 0 && stat.running == 0;
    }));
}

TEST_CASE("calls for every CPU are counted where a worker makes them")
{
    running_runtime whole;
    for (int i = 0; i < 3; ++i)
        REQUIRE(pw_on_each_cpu([](int, void *) {}, nullptr) == 0);
    uint64_t expected = under_lock() ? 0 : 3;
    for (int cpu : worker_cpus())
        CHECK(settles(cpu, [&](const pw_stat &stat) { return stat.calls == expected; }));
    CHECK(read_stat(PW_STAT_ALL).calls == expected * worker_cpus().size());
}

TEST_CASE("a worker is either busy or idle, up to now")
{
    running_runtime whole;
    int cpu = first_cpu();
    {
        blocked_cpu blocked(cpu, busy_item::by_worker);
        pw_stat before = read_stat(cpu);
        CHECK(settles(cpu, [&](const pw_stat &stat) {
            return stat.busy_ns > before.busy_ns && stat.idle_ns == before.idle_ns &&
                   stat.asleep_ns == before.asleep_ns;
        }));
        blocked.open();
    }
    REQUIRE(all_idle());
    pw_stat before = read_stat(cpu);
    CHECK(before.asleep_ns <= before.idle_ns);
    CHECK(settles(cpu, [&](const pw_stat &stat) {
        return stat.busy_ns == before.busy_ns && stat.idle_ns > before.idle_ns &&
               stat.asleep_ns > before.asleep_ns;
    }));
}

TEST_CASE("waits for locks are counted for the lock's CPU, and in the sum for CPUs without a worker")
{
    running_runtime whole(("cpus=" + std::to_string(given_cpus.front())).c_str());
    REQUIRE(whole.started() == 0);
    per_cpu_memory<pw_lock_t> lock;
    uint64_t expected = 0;
    for (int cpu : given_cpus) {
        pw_lock(lock.get(), cpu);
        std::thread waiter([&] {
            pw_lock(lock.get(), cpu);
            pw_unlock(lock.get(), cpu);
        });
        CHECK(eventually([&] { return __atomic_load_n(&lock.of(cpu).waiters, __ATOMIC_RELAXED) != 0; }));
        pw_unlock(lock.get(), cpu);
        waiter.join();
        CHECK(read_stat(given_cpus.front()).locks_contended == 1);
        CHECK(read_stat(PW_STAT_ALL).locks_contended == ++expected);
    }
}

TEST_CASE("the program sees what pw-stat sees")
{
    running_runtime whole;
    REQUIRE(whole.started() == 0);
    task_list items;
    for (int cpu : worker_cpus())
        for (int i = 0; i < 50; ++i)
            items.push_back(std::make_unique<task>(cpu));
    for (const auto &each : items)
        REQUIRE(each->queue() >= 0);
    REQUIRE(flush_all(items) == 0);
    REQUIRE(pw_on_each_cpu([](int, void *) {}, nullptr) == 0);
    REQUIRE(all_idle());

    pw::tool::snapshot before = seen_from_outside();
    REQUIRE(before.cpus.size() == worker_cpus().size());
    std::vector<pw_stat> inside;
    for (const pw::tool::cpu_state &each : before.cpus)
        inside.push_back(read_stat(each.cpu));
    pw_stat sum = read_stat(PW_STAT_ALL);
    pw::tool::snapshot behind = seen_from_outside();

    std::array<uint64_t, 15> sums = {};
    for (size_t i = 0; i < inside.size(); ++i) {
        INFO("CPU " << before.cpus[i].cpu);
        std::array<uint64_t, 15> counts = counts_of(inside[i]);
        CHECK(counts == counts_of(before.cpus[i]));
        CHECK(counts == counts_of(behind.cpus[i]));
        for (size_t k = 0; k < sums.size(); ++k)
            sums[k] += counts[k];
        for (auto [early, now, late] :
             {std::array{before.cpus[i].busy_ns, inside[i].busy_ns, behind.cpus[i].busy_ns},
              std::array{before.cpus[i].idle_ns, inside[i].idle_ns, behind.cpus[i].idle_ns},
              std::array{before.cpus[i].asleep_ns, inside[i].asleep_ns, behind.cpus[i].asleep_ns}}) {
            CHECK(early <= now);
            CHECK(now <= late);
        }
    }
    CHECK(counts_of(sum) == sums);
    CHECK(sum.start_ns == pw::tool::find_process(getpid()).stat.facts().start_monotonic_ns);
}

TEST_CASE("a program may know fewer members, or more")
{
    running_runtime whole;
    std::array<unsigned char, sizeof(pw_stat) + 64> bytes;
    bytes.fill(0xaa);
    auto *stat = reinterpret_cast<pw_stat *>(bytes.data());
    REQUIRE(pw_stat_read(PW_STAT_ALL, stat, offsetof(pw_stat, sleeping)) == 0);
    CHECK(stat->workers == worker_cpus().size());
    CHECK(std::all_of(bytes.begin() + offsetof(pw_stat, sleeping), bytes.end(),
                      [](unsigned char byte) { return byte == 0xaa; }));
    REQUIRE(pw_stat_read(PW_STAT_ALL, stat, bytes.size()) == 0);
    CHECK(std::all_of(bytes.begin() + sizeof(pw_stat), bytes.end(),
                      [](unsigned char byte) { return byte == 0; }));
}

TEST_CASE("a wrong question has an error for an answer, and nothing is written")
{
    pw_stat stat = {};
    stat.queued = 77;
    auto read = [&](int cpu) { return pw_stat_read(cpu, &stat, sizeof stat); };
    pw_runtime_stop();
    CHECK(read(PW_STAT_ALL) == -ESRCH);
    CHECK(read(0) == -ESRCH);
    {
        running_runtime one(("cpus=" + std::to_string(given_cpus.front())).c_str());
        REQUIRE(one.started() == 0);
        for (int cpu : {-2, pw_nr_cpus(), INT32_MIN, INT32_MAX})
            CHECK(read(cpu) == -EINVAL);
        CHECK(pw_stat_read(PW_STAT_ALL, nullptr, sizeof stat) == -EINVAL);
        CHECK(pw_stat_read(PW_STAT_ALL, &stat, 0) == -EINVAL);
        for (int cpu = 0; cpu < pw_nr_cpus(); ++cpu)
            if (cpu != given_cpus.front())
                CHECK(read(cpu) == -ENODEV);
        CHECK(stat.queued == 77);
        CHECK(read(given_cpus.front()) == 0);
        CHECK(stat.queued == 0);
    }
    stat.queued = 77;
    CHECK(read(PW_STAT_ALL) == -ESRCH);
    CHECK(stat.queued == 77);
}

TEST_CASE("a new start counts from nothing and has another moment")
{
    uint64_t first = 0;
    {
        running_runtime whole;
        task item(first_cpu());
        REQUIRE(item.queue() == 1);
        first = read_stat(PW_STAT_ALL).start_ns;
    }
    running_runtime again;
    pw_stat stat = read_stat(PW_STAT_ALL);
    CHECK(stat.start_ns > first);
    CHECK(stat.queued == 0);
    CHECK(stat.executed == 0);
}

TEST_CASE("work can read")
{
    running_runtime whole;
    for (int cpu : worker_cpus()) {
        pw_stat inside = {};
        int result = -1;
        task item(cpu, [&] { result = pw_stat_read(cpu, &inside, sizeof inside); });
        REQUIRE(item.queue() == 1);
        REQUIRE(item.flush() == 0);
        REQUIRE(result == 0);
        CHECK(inside.running == 1);
        CHECK(inside.pending == 1);
    }
}

TEST_CASE("threads may read while the runtime stops and starts")
{
    std::atomic<bool> over{false};
    std::atomic<int> wrong{0}, read{0};
    size_t cpus = given_cpus.size();
    std::vector<std::thread> readers;
    for (int i = 0; i < 3; ++i)
        readers.emplace_back([&, cpu = i == 0 ? given_cpus.front() : PW_STAT_ALL] {
            while (!over) {
                pw_stat stat;
                int result = pw_stat_read(cpu, &stat, sizeof stat);
                if (result == 0) {
                    ++read;
                    wrong += stat.workers != (cpu == PW_STAT_ALL ? cpus : 1) || stat.queued > 20 ||
                             stat.queued < stat.executed + stat.cancelled;
                } else {
                    wrong += result != -ESRCH;
                }
            }
        });
    for (int round = 0; round < 200 / scale || read < 100; ++round) {
        running_runtime whole;
        task item(given_cpus[static_cast<size_t>(round) % cpus]);
        for (int i = 0; i < 20; ++i)
            wrong += item.queue() < 0;
    }
    over = true;
    for (std::thread &each : readers)
        each.join();
    CHECK(wrong == 0);
}

TEST_CASE("a fork's child has no numbers of its parent's")
{
    running_runtime whole;
    require_passes("a child after a fork reads its own");
}

TEST_CASE("a child after a fork reads its own", "[.]")
{
    REQUIRE(pw_runtime_start(nullptr) == 0);
    task item(first_cpu());
    REQUIRE(item.queue() == 1);
    REQUIRE(item.flush() == 0);
    int status = in_fork([] {
        pw_stat stat;
        bool right = pw_stat_read(PW_STAT_ALL, &stat, sizeof stat) == -ESRCH;
        if (!thread_sanitized) { // which does not allow the child new threads
            right = right && pw_runtime_start(nullptr) == 0;
            right = right && pw_stat_read(PW_STAT_ALL, &stat, sizeof stat) == 0 && stat.queued == 0;
            right = right && pw_runtime_stop() == 0;
        }
        return right ? 0 : 1;
    });
    CHECK(status == 0);
    CHECK(read_stat(PW_STAT_ALL).queued == 1);
}
