// SPDX-License-Identifier: MIT
#include "delay.h"

#include "runtime_turn.h"

#include <cerrno>
#include <cstdlib>
#include <numeric>
#include <random>
#include <sched.h>
#include <semaphore.h>
#include <sys/prctl.h>
#include <time.h>

namespace pw::bench {
namespace {

using nlohmann::json;

constexpr uint64_t second = 1'000'000'000, hour = 3600 * second;
constexpr uint64_t ahead = second / 1000;

void check(bool ok)
{
    if (!ok)
        abort();
}

int64_t now_ns()
{
    timespec now;
    check(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    return now.tv_sec * static_cast<int64_t>(second) + now.tv_nsec;
}

class semaphore {
  public:
    semaphore() { check(sem_init(&semaphore_, 0, 0) == 0); }
    ~semaphore() { sem_destroy(&semaphore_); }
    semaphore(const semaphore &) = delete;
    semaphore &operator=(const semaphore &) = delete;

    void post() { check(sem_post(&semaphore_) == 0); }
    void wait()
    {
        while (sem_wait(&semaphore_) != 0)
            check(errno == EINTR);
    }

  private:
    sem_t semaphore_;
};

// One item, armed again and again; its function says when it started, and where.
class timed_item {
  public:
    explicit timed_item(int cpu) : cpu_(cpu) { INIT_PW_DELAYED(&item_.delayed, started, cpu); }

    // How late it ran, by what pw_queue_delayed_on() promises: the time goes from the call on. So a caller
    // that is interrupted in the call makes it later, and nothing makes it earlier.
    double lateness()
    {
        int64_t due = now_ns() + static_cast<int64_t>(ahead);
        check(pw_queue_delayed_on(cpu_, nullptr, &item_.delayed, ahead) == 1);
        item_.ran.wait();
        return static_cast<double>(item_.started_at - due);
    }
    int runner_cpu() const { return item_.started_on; }

  private:
    static void started(pw_struct *work)
    {
        int64_t now = now_ns();
        auto *self = reinterpret_cast<item *>(work); // its first member's first member
        self->started_at = now;
        self->started_on = sched_getcpu();
        self->ran.post();
    }

    int cpu_;
    struct item {
        pw_delayed delayed;
        int64_t started_at = 0;
        int started_on = -1;
        semaphore ran;
    } item_;
};

// A thread on a CPU that sleeps so often, each time when it is told to.
class sleeper {
  public:
    sleeper(int cpu, long times)
        : thread_(thread_on(cpu, [this, times] {
              prctl(PR_SET_TIMERSLACK, 1UL);
              for (long i = 0; i < times; ++i) {
                  go_.wait();
                  sleep_once();
                  done_.post();
              }
          }))
    {
    }
    ~sleeper() { thread_.join(); } // lateness() was called so often
    sleeper(const sleeper &) = delete;
    sleeper &operator=(const sleeper &) = delete;

    double lateness()
    {
        go_.post();
        done_.wait();
        return lateness_;
    }

  private:
    void sleep_once()
    {
        int64_t due = now_ns() + static_cast<int64_t>(ahead);
        timespec until = {due / static_cast<int64_t>(second), due % static_cast<int64_t>(second)};
        while (int error = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr))
            check(error == EINTR);
        lateness_ = static_cast<double>(now_ns() - due);
    }

    semaphore go_, done_;
    double lateness_ = 0;
    std::thread thread_;
};

json lateness_row(const char *name, const char *group, size_t armed, std::vector<double> all)
{
    std::sort(all.begin(), all.end());
    auto early = std::lower_bound(all.begin(), all.end(), 0.0) - all.begin();
    return {{"name", name},
            {"group", group},
            {"armed", armed},
            {"times", all.size()},
            {"early", early},
            {"ns_p50", percentile(all, 0.5)},
            {"ns_p99", percentile(all, 0.99)},
            {"ns_p999", percentile(all, 0.999)},
            {"ns_max", percentile(all, 1)}};
}

// Both in turns, once each before.
void add_lateness(json &rows, timed_item &item, size_t armed, long samples)
{
    item.lateness();
    sleeper thread(item.runner_cpu(), samples + 1);
    thread.lateness();
    std::vector<double> own, reference;
    for (long i = 0; i < samples; ++i) {
        own.push_back(item.lateness());
        reference.push_back(thread.lateness());
    }
    rows.push_back(lateness_row("pw_queue_delayed_on", "own", armed, std::move(own)));
    rows.push_back(lateness_row("clock_nanosleep", "reference", armed, std::move(reference)));
}

// Others that are armed, at random times of the second hour from now.
class crowd {
  public:
    crowd(int cpu, long size) : cpu_(cpu), items_(static_cast<size_t>(size))
    {
        for (pw_delayed &each : items_)
            INIT_PW_DELAYED(
                &each, [](pw_struct *) {}, cpu);
    }

    size_t size() const { return items_.size(); }

    void arm()
    {
        for (pw_delayed &each : items_)
            check(pw_queue_delayed_on(cpu_, nullptr, &each, when()) == 1);
    }

    // Some at a time, in random order: disarmed and armed again, then some others armed anew. So nearly all
    // are armed all the time.
    json costs()
    {
        std::vector<pw_delayed *> order(items_.size());
        std::iota(order.begin(), order.end(), items_.data());
        std::shuffle(order.begin(), order.end(), random_);
        size_t some = std::clamp<size_t>(items_.size() / 10, 1, most_at_a_time), next = 0;
        std::vector<double> queue, mod, cancel;
        std::vector<pw_delayed *> chosen(some);
        std::vector<uint64_t> times(some);
        auto choose = [&] {
            for (pw_delayed *&each : chosen)
                each = order[next++ % order.size()];
            std::generate(times.begin(), times.end(), [this] { return when(); });
        };
        auto time_all = [&](auto call) {
            size_t i = 0;
            return time_job(static_cast<long>(some),
                            [&] {
                                call(chosen[i], times[i]);
                                ++i;
                            }) /
                   cycles_per_ns();
        };
        for (int i = 0; i < turns; ++i) {
            choose();
            cancel.push_back(
                time_all([](pw_delayed *each, uint64_t) { check(pw_cancel(&each->work) == 1); }));
            queue.push_back(time_all([this](pw_delayed *each, uint64_t ns) {
                check(pw_queue_delayed_on(cpu_, nullptr, each, ns) == 1);
            }));
            choose();
            mod.push_back(time_all([this](pw_delayed *each, uint64_t ns) {
                check(pw_mod_delayed_on(cpu_, nullptr, each, ns) == 1);
            }));
        }
        return {row("pw_queue_delayed_on", queue), row("pw_mod_delayed_on", mod), row("pw_cancel", cancel)};
    }

  private:
    static constexpr size_t most_at_a_time = 1000;
    static constexpr int turns = 100;

    uint64_t when() { return hour + random_() % hour; }
    json row(const char *name, const std::vector<double> &ns) const
    {
        summary of = summarize(ns);
        return {{"name", name},           {"group", "own"},   {"armed", size()},
                {"ns_median", of.median}, {"ns_p25", of.p25}, {"ns_p75", of.p75}};
    }

    int cpu_;
    std::vector<pw_delayed> items_;
    std::mt19937_64 random_{1};
};

} // namespace

json measure_delays(const delay_options &options)
{
    two_cpus cpus = choose_two_cpus(options);
    pin_to(cpus.caller);
    cycles_per_ns(); // takes its time now
    crowd others(cpus.worker, options.armed);
    timed_item item(cpus.worker);
    runtime_turn running(cpus.worker, 0); // its end runs what is armed
    json lateness = json::array();
    add_lateness(lateness, item, 0, options.samples);
    others.arm();
    add_lateness(lateness, item, others.size(), options.samples);
    json costs = others.costs();
    return {{"strategy", pw_strategy() == PW_STRATEGY_LOCK ? "lock" : "queue"},
            {"caller_cpu", cpus.caller},
            {"worker_cpu", cpus.worker},
            {"runner_cpu", item.runner_cpu()},
            {"lateness", std::move(lateness)},
            {"costs", std::move(costs)}};
}

} // namespace pw::bench
