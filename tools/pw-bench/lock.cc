// SPDX-License-Identifier: MIT
#include "lock.h"

#include "peers.h"
#include "reference.h"

#include <atomic>
#include <cmath>
#include <csignal>
#include <memory>
#include <stdexcept>
#include <sys/syscall.h>
#include <thread>
#include <unistd.h>

#include <pwlocks/pwlocks.h>

namespace pw::bench {
namespace {

using nlohmann::json;

constexpr char increment[] = "increment alone";

// Per-CPU memory of the measured locks: a lock and the word that it guards on one line, as a program would
// have them.
struct arena {
    pw_lock_t lock;
    volatile long word;
    uint32_t bare;    // the reference locks' word
    uint32_t waiters; // of the one that could be waited for
};

thread_local volatile uint32_t own_id;

class locks_measured {
  public:
    explicit locks_measured(const lock_options &options)
        : options_(options), memory_(static_cast<arena *>(pw_alloc_percpu(sizeof(arena), 128)))
    {
        if (!memory_)
            throw std::runtime_error("no memory for locks");
        choose_cpus();
        pin_to(cpu_);
        pw_unlock_local(&memory_->lock,
                        pw_lock_local(&memory_->lock)); // fixes the strategy; learns the thread's id
    }
    ~locks_measured() { pw_free_percpu(memory_); }
    locks_measured(const locks_measured &) = delete;
    locks_measured &operator=(const locks_measured &) = delete;

    json run()
    {
        std::vector<contender> all;
        add_references(all);
        add_own(all);
        add_signals(all);
        add_remote(all);
        if (options_.peers)
            for (contender &each : all_peers())
                all.push_back(std::move(each));
        measure(all, options_.repetitions, options_.pairs);
        return results(all);
    }

  private:
    void choose_cpus()
    {
        std::vector<int> allowed = allowed_cpus();
        // The last one: the first has the interrupts.
        cpu_ = options_.cpu.value_or(allowed.back());
        remote_cpu_ = -1;
        for (int each : allowed)
            if (each != cpu_)
                remote_cpu_ = each;
        if (options_.other_cpu)
            remote_cpu_ = *options_.other_cpu;
        if (remote_cpu_ == cpu_)
            throw std::runtime_error("--cpu and --remote-cpu are the same CPU");
    }

    // Take returns the CPU; release gets it.
    template <typename Take, typename Release>
    contender local(const char *name, const char *group, Take take, Release release, double divisor = 1)
    {
        arena *memory = memory_;
        return {name, group,
                [=](long pairs) {
                    return time_job(pairs, [=] {
                        int cpu = take(memory);
                        volatile long &word = pw_per_cpu_ptr(memory, cpu)->word;
                        word = word + 1;
                        compiler_barrier();
                        release(memory, cpu);
                    });
                },
                divisor};
    }

    void add_references(std::vector<contender> &all)
    {
        int cpu = cpu_;
        auto tid = static_cast<uint32_t>(gettid());
        all.push_back(local(
            increment, "reference", [=](arena *) { return cpu; }, [](arena *, int) {}));
        all.push_back(local(
            "exchange and store", "reference",
            [=](arena *memory) {
                exchange_lock(&pw_per_cpu_ptr(memory, cpu)->bare, tid);
                return cpu;
            },
            [](arena *memory, int at) { store_unlock(&pw_per_cpu_ptr(memory, at)->bare); }));
        if (!has_rseq())
            return;
        char *rseq = this_rseq();
        all.push_back(local(
            "exchange and store, CPU looked up", "reference",
            [=](arena *memory) {
                int here = rseq_cpu(rseq);
                exchange_lock(&pw_per_cpu_ptr(memory, here)->bare, tid);
                return here;
            },
            [](arena *memory, int at) { store_unlock(&pw_per_cpu_ptr(memory, at)->bare); }));
#if PW_BENCH_HAVE_SEQUENCE
        all.push_back(local(
            "rseq by hand", "reference",
            [=](arena *memory) { return sequence_lock<false, PW_PERCPU_SHIFT>(&memory->bare, tid); },
            [](arena *memory, int at) { store_unlock(&pw_per_cpu_ptr(memory, at)->bare); }));
        own_id = tid;
        all.push_back(local(
            "rseq by hand, that can be waited for", "reference",
            [=](arena *memory) { return sequence_lock<true, PW_PERCPU_SHIFT>(&memory->bare, own_id); },
            [](arena *memory, int at) {
                arena *here = pw_per_cpu_ptr(memory, at);
                store_unlock(&here->bare);
                if (__atomic_load_n(&here->waiters, __ATOMIC_RELAXED) != 0)
                    abort();
            }));
        all.push_back(local(
            "rseq by hand, descriptor cleared", "reference",
            [=](arena *memory) { return sequence_lock<true, PW_PERCPU_SHIFT>(&memory->bare, tid); },
            [](arena *memory, int at) { store_unlock(&pw_per_cpu_ptr(memory, at)->bare); }));
#endif
    }

    void add_own(std::vector<contender> &all)
    {
        int cpu = cpu_;
        all.push_back(local(
            "pw_lock_local", "own", [](arena *memory) { return pw_lock_local(&memory->lock); },
            [](arena *memory, int at) { pw_unlock_local(&memory->lock, at); }));
        all.push_back(local(
            "pw_lock", "own",
            [=](arena *memory) {
                pw_lock(&memory->lock, cpu);
                return cpu;
            },
            [](arena *memory, int at) { pw_unlock(&memory->lock, at); }));
        all.push_back(local(
            "pw_trylock_local", "own", [](arena *memory) { return pw_trylock_local(&memory->lock); },
            [](arena *memory, int at) { pw_unlock_local(&memory->lock, at); }));
        all.push_back(local(
            "pw_trylock", "own",
            [=](arena *memory) {
                if (!pw_trylock(&memory->lock, cpu))
                    abort();
                return cpu;
            },
            [](arena *memory, int at) { pw_unlock(&memory->lock, at); }));
    }

    void add_signals(std::vector<contender> &all)
    {
        constexpr double slow = 50;
        int cpu = cpu_;
        static thread_local volatile unsigned long mask;
        all.push_back(local(
            "pw_lock_local_irqsave", "own",
            [](arena *memory) {
                unsigned long flags;
                int at = pw_lock_local_irqsave(&memory->lock, flags);
                mask = flags;
                return at;
            },
            [](arena *memory, int at) { pw_unlock_local_irqrestore(&memory->lock, mask, at); }, slow));
        all.push_back(local(
            "two rt_sigprocmask", "reference",
            [=](arena *) {
                const unsigned long everything = ~0ul;
                unsigned long before;
                syscall(SYS_rt_sigprocmask, SIG_BLOCK, &everything, &before, sizeof before);
                mask = before;
                return cpu;
            },
            [](arena *, int) {
                unsigned long before = mask;
                syscall(SYS_rt_sigprocmask, SIG_SETMASK, &before, nullptr, sizeof before);
            },
            slow));
        // What a lazy scheme would pay where no signal comes: handlers look at a depth, and put themselves
        // off.
        static thread_local volatile int depth, pending;
        all.push_back(local(
            "pw_lock_local, signals blocked lazily", "reference",
            [](arena *memory) {
                depth = depth + 1;
                compiler_barrier();
                return pw_lock_local(&memory->lock);
            },
            [](arena *memory, int at) {
                pw_unlock_local(&memory->lock, at);
                compiler_barrier();
                depth = depth - 1;
                if (depth == 0 && pending)
                    abort();
            }));
    }

    // Takes a lock of which another CPU has written the line last, a lock of that CPU. The other thread takes
    // and releases it in between, in turns; what is measured is the pair alone, less the cost of reading the
    // counter.
    template <typename Take, typename Release>
    contender remote(const char *name, const char *group, Take take, Release release, double divisor)
    {
        arena *memory = memory_;
        int other = remote_cpu_;
        return {name, group,
                [=](long pairs) {
                    struct alignas(128) {
                        std::atomic<long> turn{0};
                    } shared;
                    std::thread owner([&] {
                        pin_to(other);
                        for (long i = 0; i < pairs; ++i) {
                            while (shared.turn.load(std::memory_order_acquire) != 2 * i)
                                relax();
                            take(memory, other);
                            pw_per_cpu_ptr(memory, other)->word = i;
                            release(memory, other);
                            shared.turn.store(2 * i + 1, std::memory_order_release);
                        }
                    });
                    std::vector<double> each(static_cast<size_t>(pairs));
                    for (long i = 0; i < pairs; ++i) {
                        while (shared.turn.load(std::memory_order_acquire) != 2 * i + 1)
                            relax();
                        uint64_t began = cycles();
                        take(memory, other);
                        volatile long &word = pw_per_cpu_ptr(memory, other)->word;
                        word = word + 1;
                        release(memory, other);
                        each[static_cast<size_t>(i)] = static_cast<double>(cycles() - began);
                        shared.turn.store(2 * i + 2, std::memory_order_release);
                    }
                    owner.join();
                    return middle_mean(std::move(each));
                },
                divisor};
    }

    void add_remote(std::vector<contender> &all)
    {
        if (remote_cpu_ < 0)
            return;
        constexpr double slow = 100;
        auto tid = static_cast<uint32_t>(gettid());
        all.push_back(remote(
            "remote: increment alone", "reference", [](arena *, int) {}, [](arena *, int) {}, slow));
        all.push_back(remote(
            "remote: exchange and store", "reference",
            [=](arena *memory, int at) { exchange_lock(&pw_per_cpu_ptr(memory, at)->bare, tid); },
            [](arena *memory, int at) { store_unlock(&pw_per_cpu_ptr(memory, at)->bare); }, slow));
        all.push_back(remote(
            "remote: pw_lock", "own", [](arena *memory, int at) { pw_lock(&memory->lock, at); },
            [](arena *memory, int at) { pw_unlock(&memory->lock, at); }, slow));
    }

    static bool is_remote(const std::string &name)
    {
        return name.rfind("remote: ", 0) == 0;
    }

    json results(const std::vector<contender> &all) const
    {
        const contender *alone = nullptr, *remote_alone = nullptr;
        for (const contender &each : all) {
            if (each.name == increment)
                alone = &each;
            if (each.name == std::string("remote: ") + increment)
                remote_alone = &each;
        }
        json rows = json::array();
        for (const contender &each : all) {
            // The increment's own median is taken away, and nothing from itself.
            const contender *base = is_remote(each.name) ? remote_alone : alone;
            double less = &each == base || !base ? 0 : summarize(base->samples).median;
            if (is_remote(each.name)) // the increment is what waits for the line
                less = 0;
            std::vector<double> net;
            for (double sample : each.samples)
                net.push_back(sample - less);
            summary of = summarize(net);
            rows.push_back({{"name", each.name},
                            {"group", each.group},
                            {"cycles_median", of.median},
                            {"cycles_p25", of.p25},
                            {"cycles_p75", of.p75},
                            {"ns_median", of.median / cycles_per_ns()},
                            {"samples", net}});
        }
        bool lock = pw_strategy() == PW_STRATEGY_LOCK;
        return {{"strategy", lock ? "lock" : "queue"},
                {"lock_method", method()},
                {"cpu", cpu_},
                {"remote_cpu", remote_cpu_ < 0 ? json() : json(remote_cpu_)},
                {"rows", rows}};
    }

    static const char *method()
    {
        switch (pw_detail_mode()) {
        case PW_DETAIL_MODE_QUEUE:
            return "rseq";
        case PW_DETAIL_MODE_LOCK:
            return "atomic";
        default:
            return "atomic, out of line (no rseq)";
        }
    }

    lock_options options_;
    arena *memory_;
    int cpu_ = -1, remote_cpu_ = -1;
};

} // namespace

json measure_locks(const lock_options &options)
{
    return locks_measured(options).run();
}

} // namespace pw::bench
