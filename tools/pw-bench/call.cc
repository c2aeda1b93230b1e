// SPDX-License-Identifier: MIT
#include "call.h"

#include "reference.h"
#include "runtime_turn.h"

#include <algorithm>
#include <climits>
#include <linux/futex.h>
#include <memory>
#include <sys/syscall.h>
#include <unistd.h>

namespace pw::bench {
namespace {

using nlohmann::json;

constexpr long asleep_share = 20; // calls of sleepers take long: so many times fewer

void check(bool ok)
{
    if (!ok)
        abort();
}

void nothing() {}

void do_nothing(pw_struct *) {}

// pw_queue_on() and pw_flush() of one item, whose worker stays awake or goes to sleep.
std::vector<double> queue_and_flush(int cpu, long calls, int idle_spin_us)
{
    runtime_turn running(cpu, idle_spin_us);
    pw_struct work;
    INIT_PW(&work, do_nothing, cpu);
    auto call = [&] {
        check(pw_queue_on(cpu, nullptr, &work) == 1);
        check(pw_flush(&work) == 0);
    };
    return idle_spin_us > 0 ? time_calls(calls, call, nothing) : time_calls(calls, call, let_sleep);
}

// As above, but the function itself says that it has run: what is left without pw_flush().
std::vector<double> queue_and_answer(int cpu, long calls)
{
    runtime_turn running(cpu, always_awake_us);
    struct alignas(128) question {
        pw_struct work;
        alignas(128) std::atomic<long> answers{0};
    } asked;
    INIT_PW(
        &asked.work,
        [](pw_struct *work) {
            auto *self = reinterpret_cast<question *>(work); // its first member
            self->answers.store(self->answers.load(std::memory_order_relaxed) + 1, std::memory_order_release);
        },
        cpu);
    long asked_for = 0;
    std::vector<double> took = time_calls(
        calls,
        [&] {
            check(pw_queue_on(cpu, nullptr, &asked.work) == 1);
            for (++asked_for; asked.answers.load(std::memory_order_acquire) != asked_for;)
                relax();
        },
        nothing);
    check(pw_flush(&asked.work) == 0);
    return took;
}

// A word that one side advances and for which the other sleeps.
class alignas(128) futex_word {
  public:
    void advance(uint32_t to)
    {
        word_.store(to, std::memory_order_release);
        syscall(SYS_futex, &word_, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
    }
    void wait_for(uint32_t value)
    {
        for (uint32_t seen; (seen = word_.load(std::memory_order_acquire)) != value;)
            syscall(SYS_futex, &word_, FUTEX_WAIT_PRIVATE, seen, nullptr, nullptr, 0);
    }

  private:
    std::atomic<uint32_t> word_{0};
};

std::vector<double> futex_round_trip(two_cpus cpus, long calls)
{
    futex_word question, answer;
    std::thread server = thread_on(cpus.worker, [&] {
        for (long i = 1; i <= calls; ++i) {
            question.wait_for(static_cast<uint32_t>(i));
            answer.advance(static_cast<uint32_t>(i));
        }
    });
    uint32_t i = 0;
    std::vector<double> took = time_calls(
        calls,
        [&] {
            question.advance(++i);
            answer.wait_for(i);
        },
        let_sleep);
    server.join();
    return took;
}

// A CPU's data: a lock and the word that it guards on one line, as a program would have them.
struct arena {
    pw_lock_t lock;
    uint32_t bare; // the reference lock's word
    volatile long word;
};
arena *memory;

template <bool own>
void change(int cpu)
{
    arena *data = pw_per_cpu_ptr(memory, cpu);
    if constexpr (own)
        pw_lock(&memory->lock, cpu);
    else
        exchange_lock(&data->bare, 1);
    data->word = data->word + 1;
    if constexpr (own)
        pw_unlock(&memory->lock, cpu);
    else
        store_unlock(&data->bare);
}

// Lock strategy: the other CPU changes its data before each call, so that the line is there.
template <bool own, typename Call>
std::vector<double> change_from_afar(two_cpus cpus, long calls, Call call)
{
    struct alignas(128) {
        std::atomic<long> turn{0};
    } shared;
    std::thread owner = thread_on(cpus.worker, [&] {
        for (long i = 0; i < calls; ++i) {
            while (shared.turn.load(std::memory_order_acquire) != 2 * i + 1)
                relax();
            change<own>(cpus.worker);
            shared.turn.store(2 * i + 2, std::memory_order_release);
        }
    });
    long i = 0;
    std::vector<double> took = time_calls(calls, call, [&] {
        shared.turn.store(2 * i + 1, std::memory_order_release);
        ++i;
        while (shared.turn.load(std::memory_order_acquire) != 2 * i)
            relax();
    });
    owner.join();
    return took;
}

std::vector<double> queue_from_afar(two_cpus cpus, long calls, bool flush)
{
    runtime_turn running(cpus.worker, 0);
    int cpu = cpus.worker;
    pw_struct work;
    INIT_PW(
        &work, [](pw_struct *self) { change<true>(pw_get_cpu(self)); }, cpu);
    return change_from_afar<true>(cpus, calls, [&] {
        check(pw_queue_on(cpu, nullptr, &work) == 1);
        if (flush)
            check(pw_flush(&work) == 0);
    });
}

std::vector<double> queue_nothing(two_cpus cpus, long calls)
{
    runtime_turn running(cpus.worker, 0);
    int cpu = cpus.worker;
    pw_struct work;
    INIT_PW(&work, do_nothing, cpu);
    return time_calls(
        calls, [&] { check(pw_queue_on(cpu, nullptr, &work) == 1); }, nothing);
}

std::vector<call_way> ways_of(call_run which, bool peers)
{
    if (which == call_run::awake)
        return {
            {"pw_queue_on and pw_flush", "own",
             [](two_cpus at, long calls) { return queue_and_flush(at.worker, calls, always_awake_us); }},
            {"pw_queue_on, function answers", "own",
             [](two_cpus at, long calls) { return queue_and_answer(at.worker, calls); }},
            {"one line there and back", "reference",
             [](two_cpus at, long calls) { return line_round_trips(at, calls, false); }},
            {"one line there, one back", "reference",
             [](two_cpus at, long calls) { return line_round_trips(at, calls, true); }},
        };
    if (which == call_run::lock)
        return {
            {"remote: pw_queue_on", "own",
             [](two_cpus at, long calls) { return queue_from_afar(at, calls, false); }},
            {"remote: pw_queue_on and pw_flush", "own",
             [](two_cpus at, long calls) { return queue_from_afar(at, calls, true); }},
            {"pw_queue_on, null function", "own", queue_nothing},
            {"remote: exchange and store", "reference",
             [](two_cpus at, long calls) {
                 return change_from_afar<false>(at, calls, [=] { change<false>(at.worker); });
             }},
        };
    std::vector<call_way> ways = {
        {"pw_queue_on and pw_flush", "own",
         [](two_cpus at, long calls) { return queue_and_flush(at.worker, calls, 0); }},
        {"futex there and back", "reference", futex_round_trip},
    };
    auto add = [&](std::vector<call_way> more) { ways.insert(ways.end(), more.begin(), more.end()); };
    if (peers)
        add(standard_call_peers());
#if PW_BENCH_BOOST
    if (peers)
        add(asio_call_peers());
#endif
    return ways;
}

json row_of(const call_way &each, std::vector<double> all, const std::vector<double> &means)
{
    std::sort(all.begin(), all.end());
    auto at = [&](double share) { return percentile(all, share) / cycles_per_ns(); };
    return {{"name", each.name},  {"group", each.group},  {"calls", all.size()}, {"ns_p50", at(0.5)},
            {"ns_p99", at(0.99)}, {"ns_p999", at(0.999)}, {"ns_max", at(1)},     {"samples", means}};
}

} // namespace

json measure_calls(const call_options &options, call_run which)
{
    two_cpus cpus = choose_two_cpus(options);
    if (which == call_run::lock && pw_strategy() != PW_STRATEGY_LOCK)
        return nullptr; // the library is without it
    pin_to(cpus.caller);
    if (!(memory = static_cast<arena *>(pw_alloc_percpu(sizeof(arena), 128))))
        throw std::runtime_error("no memory for locks");
    long calls = which == call_run::asleep ? std::max(1L, options.calls / asleep_share) : options.calls;
    std::vector<call_way> ways = ways_of(which, options.peers);
    std::vector<std::vector<double>> all(ways.size());
    std::vector<int> turns(ways.size());
    std::vector<contender> contenders;
    for (size_t i = 0; i < ways.size(); ++i)
        contenders.push_back({ways[i].name, ways[i].group, [&, i](long) {
                                  std::vector<double> took = ways[i].run(cpus, calls);
                                  if (turns[i]++ > 0) // as measure(), without the first
                                      all[i].insert(all[i].end(), took.begin(), took.end());
                                  return middle_mean(std::move(took)); // finer than the counter's steps
                              }});
    measure(contenders, options.repetitions, 1);
    json rows = json::array();
    for (size_t i = 0; i < ways.size(); ++i)
        rows.push_back(row_of(ways[i], std::move(all[i]), contenders[i].samples));
    pw_free_percpu(memory);
    return {{"worker", which == call_run::awake ? "awake" : "asleep"},
            {"strategy", pw_strategy() == PW_STRATEGY_LOCK ? "lock" : "queue"},
            {"caller_cpu", cpus.caller},
            {"worker_cpu", cpus.worker},
            {"rows", rows}};
}

} // namespace pw::bench
