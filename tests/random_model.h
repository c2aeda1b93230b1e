// SPDX-License-Identifier: MIT
// stress_random's items of one thread: only their owner, and their own function, queue and cancel them. So
// their owner knows what each call may return, how often the function has run whenever the item is idle, and
// what it has seen.
#pragma once

#include "random_calls.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <vector>

namespace stress {

// Every item starts with this. Only its executions write here, and plainly: two at once would lose counts.
struct counted_item {
    pw_delayed timer; // an ordinary item uses timer.work alone
    way how;
    volatile int inside = 0;
    long executions = 0;

    void init(way of, pw_func_t function, int cpu)
    {
        how = of;
        if (how == way::delayed)
            INIT_PW_DELAYED(&timer, function, cpu);
        else
            INIT_PW(&timer.work, function, cpu);
    }
};

// One execution, from start to end.
class execution {
  public:
    explicit execution(counted_item &item, const char *name) : item_(item), now_(name, &item)
    {
        if (item_.inside)
            fail(concurrent, name, &item, item_.inside, 0);
        item_.inside = 1;
        ++item_.executions;
        count(my_notes().executions);
    }
    ~execution() { item_.inside = 0; }
    execution(const execution &) = delete;
    execution &operator=(const execution &) = delete;

  private:
    counted_item &item_;
    at now_;
};

// AddressSanitizer sees who comes too late; without it the garbage does harm.
template <typename Item>
void poison_and_delete(Item *item)
{
    item->~Item();
    memset(static_cast<void *>(item), 0xdb, sizeof *item);
    __asm__ volatile("" : : "r"(item) : "memory"); // or the compiler leaves it out
    ::operator delete(item);
}

// Items that are given away free themselves.
struct ledger {
    long given_away = 0;
    std::atomic<long> freed{0}; // relaxed: read when everything has ended
};

struct private_item;

// One thread's items for one CPU and one workqueue, which go the same way. Outlives what was given away.
struct lane {
    ledger *owner;
    int cpu;
    way how;
    pw_workqueue *wq;
    pw_workqueue *other_wq; // of the same priority: another one only where items have no order
    bool high;
    bool shared; // the workqueue is: -ECANCELED is possible, since others drain it. Else it is destroyed at
                 // the end
    bool held = false; // the worker stands still: what is queued now surely stays pending
    std::vector<private_item *> items = {};
    long sequence = 0; // of starts, as they should be
    long started = 0;  // the functions'; they follow one another

    bool destroyed() const { return !shared && wq; }
    bool drained() const { return shared && wq; }
};

inline constexpr uint64_t long_time = 3'600'000'000'000;

struct private_item : counted_item {
    private_item(lane &at_home, bool only_idle) : home(&at_home), idle_only(only_idle)
    {
        init(home->how, execute, home->cpu);
    }

    // Queued only while it is idle: then its plain fields can be written. The others are queued at any time.
    lane *home;
    bool idle_only;

    // Written by the owner while the function surely does not run, read by the function.
    bool mortal = false; // frees itself
    long sequence = 0;
    long rearms = 0; // how often it queues itself; the function counts down

    // Written by the function, read by the owner while the item is idle.
    long by_itself = 0; // its own queueings that it did not cancel itself
    long result = 0;

    // Relaxed, all: they order nothing, so it is the library that makes a post visible.
    std::atomic<long> posted{0}, seen{0};
    std::atomic<uint64_t> due[4]{}; // by the number of the execution

    // The owner's model.
    bool maybe_pending = false;       // or armed
    bool surely_pending = false;      // or armed
    bool maybe_running = false;       // any execution but that of what is surely pending
    bool list_may_hold = false;       // cancelled, not synchronously, and not run since: keep the memory
    bool queued_since_cancel = false; // and so it runs
    bool used = false;
    bool by_function = false; // it queues itself, and its owner only cancels it
    long accepted = 0, cancelled = 0;
    long posts = 0, must_see = 0; // 0: cancelled since

    bool idle() const { return !maybe_pending && !maybe_running; }
    bool may_queue() const { return !idle_only || idle(); }
    bool may_mod() const { return !idle_only || idle() || surely_pending; }
    bool may_let_go() const
    {
        if (idle())
            return true;
        return surely_pending && !maybe_running && (how == way::delayed || !idle_only);
    }

    int queue(uint64_t ns, pw_workqueue *wq)
    {
        prepare();
        due_of(next()).store(now_ns() + ns, std::memory_order_relaxed);
        int returned = queue_item(how, wq, timer, ns, when_queued() | refusal());
        answered(returned);
        if (returned == 1)
            accept(ns);
        return returned;
    }

    int mod(uint64_t ns, pw_workqueue *wq)
    {
        // Either it makes the next execution, or it moves the one before, which may also start now as it was.
        uint64_t then = now_ns() + ns, before = 0;
        prepare();
        due_of(next()).store(then, std::memory_order_relaxed);
        std::atomic<uint64_t> &moved = due_of(next() - 1);
        if (maybe_pending) {
            before = moved.load(std::memory_order_relaxed);
            moved.store(std::min(before, then), std::memory_order_relaxed);
        }
        int returned = mod_item(wq, timer, ns, when_cancelled() | refusal());
        answered(returned);
        if (returned == 1) {
            moved.store(then, std::memory_order_relaxed);
            surely_pending = ns >= long_time;
            maybe_running |= !surely_pending;
        } else if (returned == 0) {
            accept(ns);
        } else if (maybe_pending) {
            moved.store(before, std::memory_order_relaxed);
        }
        return returned;
    }

    int cancel() { return took(cancel_item(timer, when_cancelled())); }

    // With rearms, what it returns hangs on the function.
    int cancel_sync()
    {
        int returned = took(cancel_item_sync(how, timer, by_function ? one | zero : when_cancelled()));
        list_may_hold = false;
        is_idle();
        return returned;
    }

    void flush()
    {
        run_early();
        if (flush_item(how, timer, zero) == 0)
            is_idle();
    }

    // Something runs a delayed item now.
    void run_early()
    {
        if (how == way::delayed && maybe_pending)
            due_of(next() - 1).store(0, std::memory_order_relaxed);
    }

    // What was said to have ended has ended.
    void is_idle()
    {
        maybe_pending = surely_pending = maybe_running = false;
        if (queued_since_cancel)
            list_may_hold = false;
        if (inside)
            fail(still_inside, own_name(how), this, inside, 0);
        if (executions != accepted + by_itself - cancelled)
            fail(miscounted, own_name(how), this, executions, accepted + by_itself - cancelled);
        if (long last = seen.load(std::memory_order_relaxed); last < must_see)
            fail(not_seen, own_name(how), this, last, must_see);
        if (idle_only && must_see && result != ~sequence)
            fail(not_visible, own_name(how), this, ~result, sequence);
    }

    // The worker moves again.
    void let_loose()
    {
        maybe_running |= surely_pending;
        surely_pending = false;
    }

    // Makes it free itself, and run. True: never touch it again. What it was before, also cancelled, does not
    // matter.
    bool let_go(uint64_t ns, pw_workqueue *wq)
    {
        bool was_idle = idle(), delayed = how == way::delayed;
        unsigned allowed = delayed && !was_idle ? one : when_queued();
        allowed |= refusal();
        ledger &owner = *home->owner;
        std::atomic<uint64_t> &slot = due_of(was_idle ? next() : next() - 1);
        uint64_t before = slot.load(std::memory_order_relaxed);
        slot.store(home->destroyed() ? 0 : now_ns() + ns, std::memory_order_relaxed);
        prepare();
        mortal = true;
        ++owner.given_away;
        int returned =
            delayed && !was_idle ? mod_item(wq, timer, ns, allowed) : queue_item(how, wq, timer, ns, allowed);
        if (returned >= 0)
            return true;
        answered(returned);
        --owner.given_away;
        mortal = false;
        slot.store(before, std::memory_order_relaxed);
        return false;
    }

    // Ends it, by the lightest call that permits to free the memory, or by a heavier one.
    void discard(bool heavier)
    {
        if (list_may_hold || heavier || by_function)
            cancel_sync();
        else if (!idle())
            flush();
        poison_and_delete(this);
    }

    // Calls that are refused whatever the item is at.
    void misuse(int other_cpu, pw_workqueue *of_other_priority)
    {
        pw_struct *work = &timer.work;
        if (!used)
            return;
        if (how != way::on)
            checked(queue_on, invalid | refusal(), this,
                    [&] { return pw_queue_on(home->cpu, home->wq, work); });
        if (how != way::worker)
            checked(queue_work_on, invalid | refusal(), this,
                    [&] { return pw_queue_work_on(home->cpu, home->wq, work); });
        if (how == way::on && other_cpu != home->cpu)
            checked(queue_on, invalid | refusal(), this,
                    [&] { return pw_queue_on(other_cpu, home->wq, work); });
        queue_item(how, of_other_priority, timer, 0, invalid | canceled);
    }

  private:
    unsigned refusal() const { return home->drained() ? canceled : 0; }
    unsigned when_queued() const { return surely_pending ? zero : maybe_pending ? one | zero : one; }
    unsigned when_cancelled() const { return surely_pending ? one : maybe_pending ? one | zero : zero; }

    // The number of the execution that the next acceptance makes.
    long next() const { return accepted - cancelled; }
    std::atomic<uint64_t> &due_of(long number) { return due[number & 3]; }

    // Before a call that may queue it.
    void prepare()
    {
        if (idle_only && idle())
            sequence = ++home->sequence;
        posted.store(++posts, std::memory_order_relaxed);
    }

    void answered(int returned)
    {
        if (returned >= 0)
            must_see = posts;
        else if (idle()) // prepare() wrote what no execution will answer
            must_see = 0;
    }

    void accept(uint64_t ns)
    {
        ++accepted;
        used = maybe_pending = queued_since_cancel = true;
        surely_pending = home->held || (how == way::delayed && ns >= long_time);
        maybe_running |= !surely_pending;
    }

    int took(int returned)
    {
        if (returned == 1) {
            ++cancelled;
            must_see = 0;
            list_may_hold = true;
            queued_since_cancel = false;
            if (idle_only && !by_function) // it was idle before, and has not started
                maybe_running = false;
        }
        if (returned >= 0 && !by_function)
            maybe_pending = surely_pending = false;
        return returned;
    }

    void run()
    {
        seen.store(posted.load(std::memory_order_relaxed), std::memory_order_relaxed);
        if (idle_only && how != way::delayed) {
            if (sequence <= home->started)
                fail(out_of_order, own_name(how), this, sequence, home->started + 1);
            home->started = sequence;
        }
        uint64_t now = now_ns(), then = due_of(executions - 1).load(std::memory_order_relaxed);
        if (how == way::delayed && now < then && !stopping.load(std::memory_order_relaxed))
            fail(too_early, own_name(how), this, static_cast<long>(now), static_cast<long>(then));
        if (executions % 32 == 5) {
            // It would wait for itself.
            checked(stress::flush, deadlock, this, [&] { return pw_flush(&timer.work); });
            checked(stress::cancel_sync, deadlock, this, [&] { return pw_cancel_sync(&timer.work); });
            if (home->destroyed()) {
                flush_wq(home->wq, deadlock);
                drain_wq(home->wq, deadlock);
            }
        }
        if (rearms > 0)
            rearm();
        result = ~sequence;
    }

    // From its function: queue it; now and then, take it back and queue it again.
    void rearm()
    {
        --rearms;
        constexpr uint64_t ns = 30'000;
        for (int times = executions % 8 == 3 ? 2 : 1; times > 0; --times) {
            due_of(executions).store(now_ns() + ns, std::memory_order_relaxed);
            if (queue_item(how, home->other_wq, timer, ns, one | canceled) != 1)
                return;
            ++by_itself;
            if (times == 1)
                return;
            // 0: the owner was faster.
            if (cancel_item(timer, one | zero) != 1)
                return;
            --by_itself;
        }
    }

    static void execute(pw_struct *work)
    {
        auto *self = reinterpret_cast<private_item *>(work);
        {
            execution now(*self, "function of an own item");
            self->run();
        }
        if (!self->mortal)
            return;
        ledger &owner = *self->home->owner;
        poison_and_delete(self);
        owner.freed.fetch_add(1, std::memory_order_relaxed);
    }
};

} // namespace stress
