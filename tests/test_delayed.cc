// SPDX-License-Identifier: MIT
// Delayed items: when they run and where, arming anew, and what happens to armed ones at a stop.
#include "time_limit.h"

#include "on_cpu.h"
#include "programs.h"
#include "queues.h"

#include <algorithm>
#include <array>
#include <climits>
#include <random>

namespace {

void do_nothing(pw_struct *) {}

// Counts its executions, and those that came before its time.
struct timed_item : pw_delayed {
    std::atomic<uint64_t> due{0};
    std::atomic<long> runs{0}, early{0};

    explicit timed_item(int cpu) { INIT_PW_DELAYED(this, run, cpu); }
    ~timed_item() { pw_cancel_delayed_sync(this); }

    int arm(uint64_t ns)
    {
        due = now_ns() + ns;
        return pw_queue_delayed_on(pw_get_cpu(&work), nullptr, this, ns);
    }
    static void run(pw_struct *item)
    {
        auto *self = static_cast<timed_item *>(reinterpret_cast<pw_delayed *>(item));
        self->early += now_ns() < self->due;
        ++self->runs;
    }
};

// How often the library's threads have given up or lost their CPU so far.
long context_switches()
{
    long all = 0;
    for (pid_t thread : library_threads())
        for (const char *kind : {"voluntary_ctxt_switches", "nonvoluntary_ctxt_switches"})
            if (std::string text = status_field(thread, kind); !text.empty())
                all += std::stol(text);
    return all;
}

} // namespace

TEST_CASE("a delayed item never runs before its time")
{
    std::minstd_rand random(1);
    for (int cpu : worker_cpus()) {
        std::vector<std::unique_ptr<timed_item>> items;
        int refused = 0;
        for (int i = 0; i < 200; ++i) {
            items.push_back(std::make_unique<timed_item>(cpu));
            // From nothing at all over less than a scheduler's tick to some milliseconds.
            uint64_t delay = i % 4 == 0 ? 0 : i % 4 == 1 ? random() % 100'000 : random() % (20 * ms);
            refused += items.back()->arm(delay) != 1;
        }
        CHECK(refused == 0);
        for (const auto &each : items) {
            CHECK(eventually([&] { return each->runs == 1; }));
            CHECK(each->early == 0);
        }
    }
}

TEST_CASE("delayed items of one CPU start in the order of their times, whatever the order of arming")
{
    constexpr size_t many = 20;
    for (int cpu : worker_cpus()) {
        start_order order;
        struct span {
            uint64_t earliest, latest;
        };
        std::vector<span> due(many);
        std::vector<std::unique_ptr<delayed_task>> items;
        for (size_t i = 0; i < many; ++i)
            items.push_back(std::make_unique<delayed_task>(cpu, [&, i] { order.add(static_cast<int>(i)); }));
        for (size_t n = 0; n < many; ++n) {
            const size_t i = n * 7 % many;
            const uint64_t delay = 2 * ms + (i + 1) * ms, before = now_ns();
            REQUIRE(items[i]->arm(delay) == 1);
            due[i] = {before + delay, now_ns() + delay};
        }
        REQUIRE(eventually([&] { return order.started().size() == many; }));
        // Only where we know which of two was due first.
        const std::vector<int> started = order.started();
        int wrong = 0, known = 0;
        for (size_t a = 0; a < many; ++a)
            for (size_t b = a + 1; b < many; ++b) {
                const span &first = due[static_cast<size_t>(started[a])],
                           &second = due[static_cast<size_t>(started[b])];
                wrong += second.latest < first.earliest;
                known += first.latest < second.earliest;
            }
        CHECK(wrong == 0);
        CHECK(known > 0);
    }
}

TEST_CASE("arming an idle delayed item is 1, and arming an armed or pending one is 0 and changes nothing")
{
    for (uint64_t delay : no_time()) {
        const int cpu = last_cpu();
        int runs = 0;
        delayed_task item(cpu, [&] { ++runs; });
        CHECK(item.arm(hour) == 1);
        CHECK(item.arm(0) == 0);
        CHECK(item.arm(2 * hour) == 0);
        // Still armed: nothing else is there to take back.
        CHECK(item.cancel_sync() == 1);
        CHECK(runs == 0);
        {
            blocked_timers blocked(cpu);
            CHECK(item.arm(delay) == 1);
            CHECK(item.arm(0) == 0);
            CHECK(item.arm(hour) == 0);
        }
        REQUIRE(item.flush() == 0);
        CHECK(runs == 1);
        CHECK(item.arm(delay) == 1);
        REQUIRE(item.flush() == 0);
        CHECK(runs == 2);
    }
}

TEST_CASE("a delayed item that runs can be armed meanwhile, and runs again")
{
    const int cpu = last_cpu();
    std::atomic<int> runs{0};
    door entered, leave;
    delayed_task item(cpu, [&] {
        if (++runs == 1) {
            entered.open();
            leave.wait();
        }
    });
    REQUIRE(item.arm(ms) == 1);
    entered.wait();
    CHECK(item.arm(ms) == 1);
    CHECK(item.arm(0) == 0);
    leave.open();
    CHECK(eventually([&] { return runs == 2; }));
}

TEST_CASE("no delay at all queues: pw_flush waits for the execution")
{
    for (int cpu : worker_cpus()) {
        int input = 0, seen = 0, wrong = 0;
        delayed_task item(cpu, [&] { seen = input; });
        for (input = 1; input <= 2'000 / scale; ++input) {
            wrong += item.arm(0) != 1;
            wrong += pw_flush(&item.work) != 0;
            wrong += seen != input;
        }
        CHECK(wrong == 0);
    }
}

TEST_CASE("a delay that ends after the end of time can be armed, taken back, armed anew and flushed")
{
    for (int cpu : worker_cpus())
        for (uint64_t delay : {UINT64_MAX, UINT64_MAX - 1, UINT64_MAX / 2, uint64_t{INT64_MAX}}) {
            int runs = 0;
            delayed_task item(cpu, [&] { ++runs; });
            CHECK(item.arm(delay) == 1);
            CHECK(item.cancel_sync() == 1);
            CHECK(item.mod(delay) == 0);
            CHECK(item.mod(delay) == 1);
            // Others are not held up by it.
            std::atomic<bool> ran{false};
            delayed_task other(cpu, [&] { ran = true; });
            CHECK(other.arm(ms) == 1);
            CHECK(eventually([&] { return ran.load(); }));
            CHECK(item.flush() == 0);
            CHECK(runs == 1);
        }
}

TEST_CASE("a delayed item that is armed anew runs once, not before its new time")
{
    for (int cpu : worker_cpus()) {
        std::mutex mutex;
        std::vector<uint64_t> runs;
        delayed_task item(cpu, [&] {
            std::lock_guard held(mutex);
            runs.push_back(now_ns());
        });
        auto count = [&] {
            std::lock_guard held(mutex);
            return runs.size();
        };
        // Idle, then earlier.
        CHECK(item.mod(hour) == 0);
        uint64_t due = now_ns() + ms;
        CHECK(item.mod(ms) == 1);
        REQUIRE(eventually([&] { return count() == 1; }));
        CHECK(runs[0] >= due);
        // Later. If we were away for longer than the first time took, it has run.
        size_t before = count();
        REQUIRE(item.flush() == 0);
        REQUIRE(item.arm(20 * ms) == 1);
        due = now_ns() + 60 * ms;
        const int moved = item.mod(60 * ms);
        before += moved == 0;
        REQUIRE(eventually([&] { return count() == before + 1; }));
        CHECK(runs.back() >= due);
        // Nothing is left of the first times.
        REQUIRE(item.flush() == 0);
        CHECK(item.cancel_sync() == 0);
        CHECK(runs.size() == before + 1);
    }
}

TEST_CASE("a delayed item that fell due and waits behind another one can be armed anew")
{
    for (uint64_t delay : no_time()) {
        const int cpu = last_cpu();
        std::atomic<int> soon_runs{0}, early{0}, never_runs{0}, behind_runs{0};
        uint64_t due = 0;
        delayed_task soon(cpu, [&] {
            early += now_ns() < due;
            ++soon_runs;
        });
        delayed_task never(cpu, [&] { ++never_runs; }), behind(cpu, [&] { ++behind_runs; });
        blocked_timers blocked(cpu);
        REQUIRE(soon.arm(delay) == 1);
        REQUIRE(never.arm(delay) == 1);
        REQUIRE(behind.arm(delay) == 1);
        CHECK(never.mod(hour) == 1);
        due = now_ns() + 20 * ms;
        CHECK(soon.mod(20 * ms) == 1);
        CHECK(soon.arm(0) == 0);
        blocked.open();
        CHECK(eventually([&] { return soon_runs == 1; }));
        CHECK(early == 0);
        CHECK(eventually([&] { return behind_runs == 1; }));
        CHECK(never_runs == 0);
        CHECK(never.cancel_sync() == 1);
        CHECK(never_runs == 0);
        CHECK(soon.cancel_sync() == 0);
        CHECK(soon_runs == 1);
    }
}

TEST_CASE("a delayed item that arms itself runs on time as often as it did")
{
    for (int cpu : worker_cpus())
        for (bool anew : {false, true}) {
            constexpr int many = 50;
            std::atomic<int> runs{0}, early{0}, wrong{0};
            uint64_t due = 0;
            delayed_task item(cpu, [&] {
                early += now_ns() < due;
                if (runs < many) {
                    due = now_ns() + 200'000;
                    wrong += anew ? item.mod(200'000) != 0 : item.arm(200'000) != 1;
                }
                ++runs;
            });
            REQUIRE(item.arm(0) == 1);
            CHECK(eventually([&] { return runs == many + 1; }));
            CHECK(early == 0);
            CHECK(wrong == 0);
        }
}

TEST_CASE("a hundred thousand armed items run once each, or were taken back")
{
    const size_t many = 100'000 / scale;
    const std::vector<int> cpus = worker_cpus();
    std::vector<std::unique_ptr<timed_item>> items;
    for (size_t i = 0; i < many; ++i)
        items.push_back(std::make_unique<timed_item>(cpus[i % cpus.size()]));
    std::minstd_rand random(2);
    int refused = 0;
    for (const auto &each : items)
        refused += each->arm(random() % (200 * ms)) != 1;
    CHECK(refused == 0);
    // A third is taken back, some of it too late.
    std::vector<bool> taken(many);
    for (size_t n = 0; n < many / 3; ++n) {
        size_t i = random() % many;
        int result = pw_cancel_delayed_sync(items[i].get());
        refused += result < 0;
        if (result == 1)
            taken[i] = true;
    }
    long wrong = 0, early = 0;
    for (size_t i = 0; i < many; ++i) {
        if (!taken[i])
            wrong += !eventually([&] { return items[i]->runs == 1; });
        if (wrong > 0)
            break;
    }
    for (size_t i = 0; i < many; ++i) {
        wrong += items[i]->runs != !taken[i];
        early += items[i]->early;
    }
    CHECK(refused == 0);
    CHECK(wrong == 0);
    CHECK(early == 0);
    CHECK(std::count(taken.begin(), taken.end(), true) > 0);
}

TEST_CASE("armed, armed anew, flushed and taken back by many, items run as often as they should")
{
    const std::vector<int> cpus = worker_cpus();
    std::vector<std::unique_ptr<timed_item>> items;
    for (size_t i = 0; i < 16; ++i)
        items.push_back(std::make_unique<timed_item>(cpus[i % cpus.size()]));
    std::atomic<long> armed{0}, taken{0}, wrong{0};
    on_threads(4, [&](int thread) {
        std::minstd_rand random(static_cast<unsigned>(thread + 1));
        for (int n = 0; n < 5'000 / scale; ++n) {
            timed_item &item = *items[random() % items.size()];
            const uint64_t delay = random() % 4 == 0 ? hour : random() % 200'000;
            const int cpu = pw_get_cpu(&item.work);
            int result;
            switch (random() % 8) {
            case 0:
                result = pw_mod_delayed_on(cpu, nullptr, &item, delay);
                armed += result == 0;
                break;
            case 1:
                result = pw_cancel(&item.work);
                taken += result == 1;
                break;
            case 2:
                result = pw_cancel_delayed_sync(&item);
                taken += result == 1;
                break;
            case 3:
                result = pw_flush_delayed(&item);
                break;
            default:
                result = pw_queue_delayed_on(cpu, nullptr, &item, delay);
                armed += result == 1;
            }
            wrong += result < 0 && result != -ECANCELED;
        }
    });
    long runs = 0;
    for (const auto &each : items) {
        int result = pw_cancel_delayed_sync(each.get());
        taken += result == 1;
        wrong += result < 0;
        runs += each->runs;
    }
    CHECK(wrong == 0);
    CHECK(armed > 0);
    CHECK(runs == armed - taken);
}

TEST_CASE("a delayed call with something wrong is refused with -EINVAL, and the item stays as it was")
{
    using arm_call = int (*)(int, pw_workqueue *, pw_delayed *, uint64_t);
    arm_call call = GENERATE(&pw_queue_delayed_on, &pw_mod_delayed_on);
    const int cpu = first_cpu();
    int runs = 0;
    delayed_task item(cpu, [&] { ++runs; });
    CHECK(item.arm(hour) == 1);
    CHECK(call(cpu, nullptr, nullptr, 0) == -EINVAL);
    for (int wrong : {cpu - 1, cpu + 1, -1, pw_nr_cpus(), INT_MAX, INT_MIN})
        CHECK(call(wrong, nullptr, &item, 0) == -EINVAL);
    pw_delayed other;
    INIT_PW_DELAYED(&other, nullptr, cpu);
    CHECK(call(cpu, nullptr, &other, 0) == -EINVAL);
    CHECK(pw_cancel_delayed_sync(&other) == -EINVAL);
    CHECK(pw_flush_delayed(&other) == -EINVAL);
    for (int wrong : {-1, pw_nr_cpus(), INT_MAX, INT_MIN}) {
        INIT_PW_DELAYED(&other, do_nothing, wrong);
        CHECK(call(wrong, nullptr, &other, 0) == -EINVAL);
    }
    workqueue first("first", PW_WQ_HIGHPRI), gone("gone");
    pw_workqueue *stale = gone;
    REQUIRE(gone.destroy() == 0);
    delayed_task idle(cpu);
    CHECK(call(cpu, stale, &idle, 0) == -EINVAL);
    REQUIRE(idle.arm(0) == 1);
    REQUIRE(idle.flush() == 0);
    CHECK(call(cpu, first, &idle, 0) == -EINVAL); // another priority
    CHECK(pw_cancel_delayed_sync(nullptr) == -EINVAL);
    CHECK(pw_flush_delayed(nullptr) == -EINVAL);
    // The work of a delayed item is not queued by itself.
    CHECK(pw_queue_on(cpu, nullptr, &item.work) == -EINVAL);
    CHECK(pw_queue_work_on(cpu, nullptr, &item.work) == -EINVAL);
    CHECK(item.arm(0) == 0);
    CHECK(item.cancel_sync() == 1);
    CHECK(runs == 0);
}

TEST_CASE("a delayed item runs on its CPU's worker, or under lock away from its CPU")
{
    const int worker_count = static_cast<int>(worker_cpus().size());
    for (int cpu : worker_cpus()) {
        pid_t runner = 0;
        int data_cpu = -1;
        bool remote = false, may_be_here = false;
        std::atomic<bool> ran{false};
        delayed_task item(cpu, [&] {
            runner = gettid();
            data_cpu = pw_get_cpu(&item.work);
            remote = pw_is_cpu_remote(cpu);
            cpu_set_t allowed = affinity_of(0);
            may_be_here = CPU_ISSET(cpu, &allowed);
            ran = true;
        });
        REQUIRE(item.arm(ms) == 1);
        REQUIRE(eventually([&] { return ran.load(); }));
        CHECK(data_cpu == cpu);
        CHECK(runner != gettid());
        const std::vector<pid_t> library = library_threads();
        CHECK(std::count(library.begin(), library.end(), runner) == 1);
        if (!under_lock()) {
            CHECK(runner == worker_thread(cpu));
            CHECK_FALSE(remote);
        } else if (worker_count > 1) {
            CHECK_FALSE(may_be_here);
            CHECK(remote);
        }
    }
}

TEST_CASE("child: a delayed item far ahead costs nothing", "[.child]")
{
    delayed_task far(first_cpu()), farther(last_cpu());
    REQUIRE(far.arm(hour) == 1);
    REQUIRE(farther.arm(UINT64_MAX) == 1);
    auto all_sleep = [] {
        for (pid_t thread : library_threads())
            if (status_field(thread, "State").rfind("S", 0) != 0)
                return false;
        return true;
    };
    // Asleep, and so again a while later: then nothing is on its way any more.
    long before = -1;
    REQUIRE(eventually([&] {
        long earlier = before;
        before = context_switches();
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        return all_sleep() && before == earlier;
    }));
    // Not for something to happen: nothing is to happen.
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    CHECK(context_switches() == before);
    // And it would be seen.
    delayed_task soon(first_cpu());
    REQUIRE(soon.arm(ms) == 1);
    CHECK(eventually([&] { return context_switches() > before; }));
}

TEST_CASE("a delayed item far ahead wakes nobody until it is due")
{
    require_passes("child: a delayed item far ahead costs nothing");
}
