// SPDX-License-Identifier: MIT
// pw_on_each_cpu().
#include "run_function.h"
#include "submit.h"

#include <new>
#include <vector>

namespace pw::detail {
namespace {

// On the caller's stack. Who finishes last of several does not touch it afterwards.
struct call_group {
    void (*function)(int cpu, void *arg);
    void *arg;
    std::atomic<size_t> left{0};
    worker *caller = nullptr; // or another thread, which waits for `done`
    completion done;

    // By that worker itself. False in a fork's child.
    bool call_on(worker &self) const
    {
        uint32_t generation = gate.generation;
        worker_stat::call noted = self.ledger.begin_call(function);
        run_call(function, self.cpu, arg);
        if (generation != gate.generation)
            return false;
        self.ledger.end_call(noted);
        return true;
    }

    static bool over(void *self)
    {
        // Acquire: pairs with the release in one_less().
        return static_cast<call_group *>(self)->left.load(std::memory_order_acquire) == 0;
    }
    void one_less()
    {
        worker *waits = caller;
        // Release: publishes what the function did. A full barrier before the look at whether the caller sleeps: see idle.h.
        if (left.fetch_sub(1, std::memory_order_seq_cst) != 1)
            return;
        if (waits)
            wake(*waits);
        else
            done.complete();
    }
};

struct call {
    pw_struct node = {};
    call_group *group = nullptr;
    worker *on = nullptr;
    wait_edge *edge = nullptr; // if its caller is inside work

    static void make(pw_struct *node)
    {
        call &self = *reinterpret_cast<call *>(node);
        call_group &group = *self.group;
        // In a fork's child nobody waits for it.
        if (!group.call_on(*self.on))
            return;
        if (self.edge)
            end_wait(*self.edge);
        group.one_less();
    }
};

// Under queue. `inside` ends before the wait begins.
int call_workers(passage &inside, call_group &group, std::vector<call> &calls, std::vector<wait_edge> &edges)
{
    worker *self = nullptr;
    size_t count = 0;
    bool listed = in_work();
    for_each_active([&](worker &each) {
        if (this_thread.worker_here == &each) {
            self = &each;
            return;
        }
        calls[count].node.func = call::make;
        calls[count].group = &group;
        calls[count].on = &each;
        edges[count] = wait_edge(each, true);
        calls[count].edge = listed ? &edges[count] : nullptr;
        ++count;
    });
    group.left.store(count, std::memory_order_relaxed); // relaxed: published by the enqueues
    group.caller = self;
    if (self)
        self->serving.fetch_add(1);
    if (listed && !begin_waits(edges.data(), count, true)) {
        if (self)
            self->serving.fetch_sub(1);
        return -EDEADLK;
    }
    for (size_t i = 0; i < count; ++i)
        enqueue_first(*calls[i].on, calls[i].on->calls, calls[i].node);
    inside.leave();
    if (!self) {
        if (count > 0)
            group.done.wait(flush_spins());
        return 0;
    }
    uint32_t generation = gate.generation;
    if (group.call_on(*self))
        serve_calls_until(*self, call_group::over, &group);
    if (generation == gate.generation)
        self->serving.fetch_sub(1);
    return 0;
}

// Under lock: admitted calls, which end with this, also where a function ends its thread.
class admitted_calls {
  public:
    explicit admitted_calls(std::vector<run_record> &records) : records_(records) {}
    ~admitted_calls()
    {
        for (; next_ < count_; ++next_)
            lane_of(records_[next_].cpu)->end_call(records_[next_], false);
    }
    admitted_calls(const admitted_calls &) = delete;
    admitted_calls &operator=(const admitted_calls &) = delete;

    void admit(const call_group &group, worker &target, passage &inside)
    {
        records_[count_].row = &inside.row();
        lane_of(target.cpu)->begin_call(group.function, records_[count_]);
        ++count_;
    }

    // The rest of them does not belong to a fork's child.
    void make(const call_group &group)
    {
        while (next_ < count_ && records_[next_].generation == gate.generation) {
            run_record &record = records_[next_];
            lane_of(record.cpu)->make_call(group.function, group.arg, record);
            ++next_;
        }
    }

  private:
    std::vector<run_record> &records_;
    size_t next_ = 0, count_ = 0;
};

// Here, one after the other. All are admitted before the first begins, so that a stop waits for all or finds none.
int call_here(passage &inside, call_group &group, std::vector<run_record> &records)
{
    admitted_calls calls(records);
    for_each_active([&](worker &each) { calls.admit(group, each, inside); });
    inside.leave();
    calls.make(group);
    return 0;
}

} // namespace
} // namespace pw::detail

using namespace pw::detail;

int pw_on_each_cpu(void (*fn)(int cpu, void *arg), void *arg)
{
    if (!fn)
        return -EINVAL;
    try {
        auto cpus = static_cast<size_t>(possible_cpus());
        std::vector<call> calls(cpus);
        std::vector<wait_edge> edges(cpus);
        std::vector<run_record> records(cpus);
        call_group group{fn, arg, {}, nullptr, {}};
        return while_open([&](passage &inside) {
            return gate.strategy == PW_STRATEGY_LOCK ? call_here(inside, group, records)
                                                     : call_workers(inside, group, calls, edges);
        });
    } catch (const std::bad_alloc &) {
        return -ENOMEM;
    }
}
