// SPDX-License-Identifier: MIT
// The load under which fault_offline.sh and fault_stopped.sh take CPUs away and stop the process. Threads
// queue to every CPU, flush, and take every CPU's lock, all the time. Each line on stdin asks for one round:
// an answer means that every CPU's work was queued, run and flushed, and every CPU's lock taken, in full
// after the question. At the end of stdin everything is counted. Exit status 1 if anything was lost.
#include "on_cpu.h"
#include "small_random.h"

#include <atomic>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

namespace {

struct guarded {
    pw_lock_t lock;
    long entries; // plain: the lock orders it
};

std::atomic<long> wrong{0};

void complain(const char *what, int cpu, long seen, long expected)
{
    if (wrong.fetch_add(1, std::memory_order_relaxed) < 10)
        fprintf(stderr, "fault_load: %s: cpu %d: %ld instead of %ld\n", what, cpu, seen, expected);
}

// One thread's items and tallies.
class load {
  public:
    load(const per_cpu_memory<guarded> &memory, uint32_t seed) : memory_(memory), random_(seed)
    {
        pw_for_each_cpu (cpu)
            cpus_.push_back(cpu);
        items_.resize(cpus_.size());
        for (size_t i = 0; i < cpus_.size(); ++i) {
            INIT_PW(&items_[i].work, execute, cpus_[i]);
            items_[i].memory = &memory_;
        }
        locked_.resize(static_cast<size_t>(pw_nr_cpus()));
    }

    // Queues to, and flushes, every CPU with a worker; takes every CPU's lock.
    void round()
    {
        for (item &each : items_) {
            int cpu = each.work.cpu;
            ++each.expected;
            if (int returned = pw_queue_on(cpu, nullptr, &each.work); returned != 1)
                complain("pw_queue_on", cpu, returned, 1);
            if (random_.below(4) == 0)
                continue; // flushed with the next ones
            flush(each);
        }
        for (item &each : items_)
            flush(each);
        for (int cpu = 0; cpu < pw_nr_cpus(); ++cpu)
            lock(cpu);
    }

    const std::vector<int> &cpus() const { return cpus_; }
    long executed(int cpu) const
    {
        long sum = 0;
        for (const item &each : items_)
            sum += each.work.cpu == cpu ? each.executed : 0;
        return sum;
    }
    long locked(int cpu) const { return locked_[static_cast<size_t>(cpu)]; }

  private:
    struct item {
        pw_struct work;
        const per_cpu_memory<guarded> *memory;
        long expected, executed; // plain: read after a flush
    };

    static void execute(pw_struct *work)
    {
        auto &self = *reinterpret_cast<item *>(work);
        ++self.executed;
        int cpu = pw_get_cpu(work);
        pw_lock(&self.memory->get()->lock, cpu);
        ++self.memory->of(cpu).entries;
        pw_unlock(&self.memory->get()->lock, cpu);
    }

    void flush(item &each)
    {
        if (int returned = pw_flush(&each.work))
            complain("pw_flush", each.work.cpu, returned, 0);
        if (each.executed != each.expected)
            complain("executions", each.work.cpu, each.executed, each.expected);
    }

    void lock(int cpu)
    {
        pw_lock_t *lock = &memory_.get()->lock;
        if (random_.below(2))
            cpu = pw_lock_local(lock);
        else
            pw_lock(lock, cpu);
        ++memory_.of(cpu).entries;
        pw_unlock(lock, cpu);
        ++locked_[static_cast<size_t>(cpu)];
    }

    const per_cpu_memory<guarded> &memory_;
    small_random random_;
    std::vector<int> cpus_;
    std::vector<item> items_;
    std::vector<long> locked_;
};

} // namespace

int main()
{
    constexpr int threads = 3;
    per_cpu_memory<guarded> memory;
    std::atomic<bool> over{false};
    std::vector<std::unique_ptr<load>> loads;
    for (uint32_t i = 0; i <= threads; ++i)
        loads.push_back(std::make_unique<load>(memory, i));
    std::vector<std::thread> running;
    for (int i = 0; i < threads; ++i)
        running.emplace_back([&each = *loads[static_cast<size_t>(i)], &over] {
            while (!over)
                each.round();
        });

    setvbuf(stdout, nullptr, _IOLBF, 0);
    printf("cpus");
    for (int cpu : loads.back()->cpus())
        printf(" %d", cpu);
    printf(" of %d, strategy %s\n", pw_nr_cpus(), pw_strategy() == PW_STRATEGY_LOCK ? "lock" : "queue");
    for (int c; (c = getchar()) != EOF;) {
        if (c != '\n')
            continue;
        loads.back()->round();
        printf("done\n");
    }

    over = true;
    for (std::thread &each : running)
        each.join();
    if (int error = pw_runtime_stop())
        complain("pw_runtime_stop", -1, error, 0);
    long executed_all = 0, locked_all = 0;
    for (int cpu = 0; cpu < pw_nr_cpus(); ++cpu) {
        long executed = 0, locked = 0;
        for (const auto &each : loads) {
            executed += each->executed(cpu);
            locked += each->locked(cpu);
        }
        if (memory.of(cpu).entries != executed + locked)
            complain("entries", cpu, memory.of(cpu).entries, executed + locked);
        executed_all += executed;
        locked_all += locked;
    }
    printf("executed %ld, locked %ld, %ld errors\n", executed_all, locked_all, wrong.load());
    return wrong != 0;
}
