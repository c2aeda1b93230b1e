// SPDX-License-Identifier: MIT
// Threads that take one lock's instances in every way there is, and plain counters that come out right only
// if no two of them ever held the same instance at once.
#pragma once

#include "on_cpu.h"
#include "small_random.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <thread>
#include <time.h>
#include <unistd.h>
#include <vector>

struct arena_plan {
    int threads = 4;
    long acquisitions = 100'000; // by all threads together
    // Of 1,000 acquisitions, how many:
    int remote = 0; // name a CPU at random (pw_lock, pw_trylock) instead of taking the one they are on
    int tried = 0;  // are tried, not waited for
    int dwell = 0;  // give up the CPU while they hold the lock, every second time for 50 us
    int migrate =
        0; // are by a thread that moves itself at that moment, every second time while it holds the lock
    bool shaken =
        false; // another thread moves the lockers all the time, wherever they are in their acquisitions
    bool one_target = false; // all name the same CPU; every CPU has its share of them, and they stay
    uint32_t seed = 1;
    std::atomic<bool> *stop = nullptr; // to end early
};

struct arena_result {
    long acquired = 0;
    long remote = 0;     // of them, by naming a CPU that the thread was not on, when it looked
    long refused = 0;    // trylocks that failed
    long migrations = 0; // that the threads or the shaker asked for
    long overlaps = 0;   // somebody else was inside
    long wrong_cpu = 0;  // pw_lock_local named another CPU than the only one that the thread could be on
    long miscounted = 0; // acquisitions that the plain counters do not agree on

    long errors() const { return overlaps + wrong_cpu + miscounted; }
};

class lock_arena {
  public:
    explicit lock_arena(const arena_plan &plan) : plan_(plan)
    {
        // Few CPUs, so that the threads meet.
        cpus_.assign(given_cpus.begin(), given_cpus.begin() + std::min<long>(4, std::ssize(given_cpus)));
        targets_ = cpus_;
        // With a single CPU, another one's instance can be taken from afar all the same.
        if (cpus_.size() == 1 && pw_nr_cpus() > 1)
            targets_.push_back(cpus_[0] == 0 ? 1 : 0);
        if (plan.one_target)
            targets_ = {targets_.back()};
    }

    arena_result run()
    {
        std::vector<locker> lockers(static_cast<size_t>(plan_.threads));
        for (int i = 0; i < plan_.threads; ++i) {
            locker &each = lockers[static_cast<size_t>(i)];
            each.share = plan_.acquisitions / plan_.threads + (i < plan_.acquisitions % plan_.threads);
            each.entered.resize(static_cast<size_t>(pw_nr_cpus()));
            each.thread = std::thread([this, &each, i] { take_turns(each, i + 1); });
        }
        std::atomic<bool> over{false};
        std::thread shaker;
        long shaken = 0;
        if (plan_.shaken)
            shaker = std::thread([&] { shaken = shake(lockers, over); });
        for (locker &each : lockers)
            each.thread.join();
        over = true;
        if (shaker.joinable())
            shaker.join();
        arena_result all = sum(lockers);
        all.migrations += shaken;
        return all;
    }

  private:
    // One instance's data. Plain: the lock is all that orders it. Volatile: written and read where the source
    // says so.
    struct guarded {
        pw_lock_t lock;
        volatile int inside;
        volatile long entries;
    };

    struct locker {
        std::thread thread;
        std::mutex mutex; // guards id: who moves the thread must not meet another one that got its id
        pid_t id = 0;
        long share = 0;
        std::vector<long> entered;
        arena_result result;
    };

    void take_turns(locker &self, int number)
    {
        small_random random(plan_.seed * 1000 + static_cast<uint32_t>(number));
        set_affinity(0, plan_.one_target ? cpus_[static_cast<size_t>(number) % cpus_.size()] : -1);
        {
            std::lock_guard guard(self.mutex);
            self.id = gettid();
        }
        while (self.result.acquired < self.share &&
               !(plan_.stop && plan_.stop->load(std::memory_order_relaxed)))
            take_turn(self, number, random);
        std::lock_guard guard(self.mutex);
        self.id = 0;
    }

    void take_turn(locker &self, int number, small_random &random)
    {
        bool moves = random.happens(plan_.migrate), moves_inside = moves && random.below(2);
        bool certain = false; // nobody but this thread moves it
        int here = any(cpus_, random);
        if (moves) {
            certain = set_affinity(0, here) && !plan_.shaken;
            ++self.result.migrations;
        }
        int cpu = acquire(self, random, certain ? here : -1);
        if (cpu < 0) {
            ++self.result.refused;
            return;
        }
        guarded &data = memory_.of(cpu);
        self.result.overlaps += data.inside != 0;
        data.inside = number;
        data.entries = data.entries + 1;
        if (moves_inside)
            set_affinity(0, any(cpus_, random));
        if (random.happens(plan_.dwell)) {
            timespec short_while = {0, 50'000};
            if (random.below(2))
                nanosleep(&short_while, nullptr);
            else
                sched_yield();
        }
        self.result.overlaps += data.inside != number;
        data.inside = 0;
        pw_unlock(&memory_.get()->lock, cpu);
        ++self.result.acquired;
        ++self.entered[static_cast<size_t>(cpu)];
        if (moves)
            set_affinity(0, -1);
    }

    // The CPU whose instance is now held, or -1.
    int acquire(locker &self, small_random &random, int certainly_on)
    {
        pw_lock_t *lock = &memory_.get()->lock;
        bool tried = random.happens(plan_.tried);
        if (!random.happens(plan_.remote)) {
            int cpu = tried ? pw_trylock_local(lock) : pw_lock_local(lock);
            self.result.wrong_cpu += cpu >= 0 && certainly_on >= 0 && cpu != certainly_on;
            return cpu < 0 ? -1 : cpu;
        }
        int cpu = any(targets_, random);
        bool from_afar = pw_is_cpu_remote(cpu);
        if (!tried)
            pw_lock(lock, cpu);
        else if (!pw_trylock(lock, cpu))
            return -1;
        self.result.remote += from_afar;
        return cpu;
    }

    // Moves lockers until they are done.
    long shake(std::vector<locker> &lockers, const std::atomic<bool> &over)
    {
        small_random random(plan_.seed);
        long moved = 0;
        while (!over) {
            locker &victim = lockers[random.below(static_cast<uint32_t>(lockers.size()))];
            {
                std::lock_guard guard(victim.mutex);
                if (victim.id)
                    moved += set_affinity(victim.id, random.below(4) ? any(cpus_, random) : -1);
            }
            timespec short_while = {0, 20'000};
            nanosleep(&short_while, nullptr);
        }
        return moved;
    }

    // One CPU, or with -1 any of ours. False if it cannot be had.
    bool set_affinity(pid_t thread, int cpu) const
    {
        if (cpu >= 0)
            return pin(thread, cpu);
        cpu_set_t set;
        CPU_ZERO(&set);
        for (int each : cpus_)
            CPU_SET(each, &set);
        return sched_setaffinity(thread, sizeof set, &set) == 0;
    }

    static int any(const std::vector<int> &cpus, small_random &random)
    {
        return cpus[random.below(static_cast<uint32_t>(cpus.size()))];
    }

    arena_result sum(const std::vector<locker> &lockers)
    {
        arena_result all;
        std::vector<long> entered(static_cast<size_t>(pw_nr_cpus()));
        for (const locker &each : lockers) {
            all.acquired += each.result.acquired;
            all.remote += each.result.remote;
            all.refused += each.result.refused;
            all.migrations += each.result.migrations;
            all.overlaps += each.result.overlaps;
            all.wrong_cpu += each.result.wrong_cpu;
            for (size_t cpu = 0; cpu < entered.size(); ++cpu)
                entered[cpu] += each.entered[cpu];
        }
        for (size_t cpu = 0; cpu < entered.size(); ++cpu)
            all.miscounted += std::abs(memory_.of(static_cast<int>(cpu)).entries - entered[cpu]);
        return all;
    }

    arena_plan plan_;
    per_cpu_memory<guarded> memory_;
    std::vector<int> cpus_, targets_;
};
