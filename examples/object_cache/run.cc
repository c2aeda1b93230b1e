// SPDX-License-Identifier: MIT
// Threads: a user on each CPU that has a worker, the drainer, and main(), which only sleeps. Between them
// they share the cache (see cache.h), `stop` (written once by main) and `misused` (a count); each result has
// one writer and is read after joining.
#include "run.h"

#include <atomic>
#include <cerrno>
#include <latch>
#include <pthread.h>
#include <sched.h>
#include <stdexcept>
#include <sys/resource.h>
#include <system_error>
#include <thread>
#include <vector>

namespace object_cache {
namespace {

// A CPU set for numbers up to 8191, Linux's own limit.
class cpu_set {
  public:
    void insert(int cpu) { CPU_SET_S(static_cast<size_t>(cpu), sizeof sets_, sets_.data()); }
    void erase(int cpu) { CPU_CLR_S(static_cast<size_t>(cpu), sizeof sets_, sets_.data()); }
    int first() const
    {
        for (int cpu = 0; cpu < static_cast<int>(8 * sizeof sets_); ++cpu)
            if (CPU_ISSET_S(static_cast<size_t>(cpu), sizeof sets_, sets_.data()))
                return cpu;
        return -1;
    }
    int read_from(pthread_t thread) { return pthread_getaffinity_np(thread, sizeof sets_, sets_.data()); }
    int apply_to(pthread_t thread) const
    {
        return pthread_setaffinity_np(thread, sizeof sets_, sets_.data());
    }

  private:
    std::array<cpu_set_t, 8> sets_ = {};
};

void check(int error, const char *what)
{
    if (error != 0)
        throw std::system_error(error, std::generic_category(), what);
}

// Threads that are joined, and told to stop first, however their scope is left.
class crew {
  public:
    crew() = default;
    crew(const crew &) = delete;
    crew &operator=(const crew &) = delete;
    ~crew() { end(); }

    std::atomic<bool> stop{false};

    // Runs `body` in a thread that waits for start(); pinned to `cpu` unless that is negative.
    template <typename F>
    std::thread &add(int cpu, F body)
    {
        threads_.emplace_back([this, body] {
            started_.wait();
            body();
        });
        if (cpu >= 0) {
            cpu_set only;
            only.insert(cpu);
            check(only.apply_to(threads_.back().native_handle()), "pin a thread");
        }
        return threads_.back();
    }
    void start()
    {
        if (!begun_)
            started_.count_down();
        begun_ = true;
    }
    void end()
    {
        stop.store(true, std::memory_order_relaxed); // what the threads did becomes visible by joining
        start();
        for (std::thread &thread : threads_)
            if (thread.joinable())
                thread.join();
    }

  private:
    std::latch started_{1};
    bool begun_ = false;
    std::vector<std::thread> threads_;
};

// One user's way with objects: each is marked while it is out, so that one handed out twice is noticed.
class user {
  public:
    user(cache &from, int cpu, std::atomic<uint64_t> &misused)
        : cache_(from), mark_(static_cast<uint64_t>(cpu) + 1), misused_(misused)
    {
    }
    void use(size_t count)
    {
        for (size_t i = 0; i < count; ++i) {
            held_[i] = cache_.alloc();
            expect(*held_[i], 0);
            held_[i]->owner = mark_;
        }
        for (size_t i = 0; i < count; ++i) {
            expect(*held_[i], mark_);
            held_[i]->owner = 0;
            cache_.free(held_[i]);
        }
    }
    static constexpr size_t most = 48; // more than a magazine holds

  private:
    void expect(const object &seen, uint64_t mark)
    {
        if (seen.owner != mark)
            misused_.fetch_add(1, std::memory_order_relaxed); // a count, read after joining
    }

    cache &cache_;
    uint64_t mark_;
    std::atomic<uint64_t> &misused_;
    std::array<object *, most> held_ = {};
};

// An ordinary user: bursts of 1 to 8 objects, now and then one that overflows the magazine.
void run_user(user mine, const std::atomic<bool> &stop)
{
    for (uint32_t round = 0; !stop.load(std::memory_order_relaxed); ++round)
        mine.use(round % 256 == 0 ? user::most : 1 + round % 8);
}

// The loop: four objects an iteration, and a look at the clock. It ends at its deadline by itself: where it
// is real-time, nobody of lower priority might get the CPU to tell it.
void run_loop(user mine, const std::atomic<bool> &stop, uint64_t duration_ns, loop_result &result)
{
    loop_result seen = {};
    rusage before;
    getrusage(RUSAGE_THREAD, &before);
    uint64_t last = now_ns(), deadline = last + duration_ns;
    while (last < deadline && !stop.load(std::memory_order_relaxed)) {
        mine.use(4);
        uint64_t now = now_ns(), gap = now - last;
        last = now;
        ++seen.iterations;
        seen.gaps_20us += gap > 20'000;
        seen.gaps_100us += gap > 100'000;
        seen.gap_max_ns = std::max(seen.gap_max_ns, gap);
    }
    rusage after;
    getrusage(RUSAGE_THREAD, &after);
    seen.voluntary = after.ru_nvcsw - before.ru_nvcsw;
    seen.involuntary = after.ru_nivcsw - before.ru_nivcsw;
    result = seen;
}

// Drains every CPU once in each period; a period that was missed is left out, not made up for.
void run_drainer(cache &from, const std::vector<int> &cpus, const std::atomic<bool> &stop, run_result &result,
                 int &error)
{
    for (uint64_t next = now_ns(); !stop.load(std::memory_order_relaxed) && error == 0;) {
        for (int cpu : cpus) {
            uint64_t begin = now_ns();
            error = from.drain(cpu);
            if (error != 0)
                return;
            (cpu == result.loop_cpu ? result.loop_drains : result.other_drains).add(now_ns() - begin);
        }
        uint64_t now = now_ns();
        next += (1 + (std::max(now, next) - next) / drain_period_ns) * drain_period_ns;
        timespec until = {static_cast<time_t>(next / 1'000'000'000), static_cast<long>(next % 1'000'000'000)};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr);
    }
}

std::string make_realtime(std::thread &thread)
{
    sched_param parameters = {};
    parameters.sched_priority = loop_priority;
    int error = pthread_setschedparam(thread.native_handle(), SCHED_FIFO, &parameters);
    if (error == EPERM)
        return "no permission for real-time scheduling";
    return error == 0 ? "" : "real-time scheduling refused: " + std::generic_category().message(error);
}

} // namespace

run_result run_for(int seconds)
{
    run_result result = {};
    int drain_error = 0;
    std::atomic<uint64_t> misused{0};
    cpu_set elsewhere; // where main and the drainer may be: off the loop's CPU, which may not let them run
    check(elsewhere.read_from(pthread_self()), "read the affinity");

    int error = pw_runtime_start(nullptr);
    if (error != 0 && error != -EALREADY)
        check(-error, "start the pwlocks runtime");
    cache objects;
    std::vector<int> cpus;
    pw_for_each_cpu (cpu)
        cpus.push_back(cpu);
    result.cpus = static_cast<int>(cpus.size());
    result.loop_cpu = cpus.back();
    elsewhere.erase(result.loop_cpu);
    result.drainer_cpu = elsewhere.first();
    if (result.drainer_cpu >= 0)
        check(elsewhere.apply_to(pthread_self()), "leave the loop's cpu");

    crew threads;
    for (int cpu : cpus) {
        user mine(objects, cpu, misused);
        if (cpu != result.loop_cpu) {
            threads.add(cpu, [&, mine] { run_user(mine, threads.stop); });
            continue;
        }
        uint64_t duration_ns = static_cast<uint64_t>(seconds) * 1'000'000'000;
        std::thread &loop = threads.add(
            cpu, [&, mine, duration_ns] { run_loop(mine, threads.stop, duration_ns, result.loop); });
        result.ordinary = result.drainer_cpu < 0 ? "there is only one cpu" : make_realtime(loop);
    }
    threads.add(result.drainer_cpu, [&] { run_drainer(objects, cpus, threads.stop, result, drain_error); });

    uint64_t begin = now_ns();
    threads.start();
    std::this_thread::sleep_for(std::chrono::seconds(seconds));
    threads.stop.store(true, std::memory_order_relaxed); // an end to loops, it publishes nothing
    result.seconds = static_cast<double>(now_ns() - begin) / 1e9;
    threads.end();
    check(-drain_error, "drain a cpu");

    result.misused = misused.load();
    result.users = objects.count();
    result.before = objects.count_depot();
    for (int cpu : cpus)
        check(-objects.drain(cpu), "drain a cpu");
    result.after = objects.count_depot();
    result.left = objects.count().cached;
    return result;
}

} // namespace object_cache
