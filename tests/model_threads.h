// SPDX-License-Identifier: MIT
// Explores how threads interleave where all that they share is under mutexes: each thread is a coroutine,
// which others may overtake only where it says so, at a point() or where it blocks. Every schedule with at
// most so many preemptions is run once (M. Musuvathi and S. Qadeer, "Iterative context bounding", 2007).
// Memory is sequentially consistent here.
#pragma once

#include <csetjmp>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <ucontext.h>
#include <unistd.h>
#include <unwind.h>
#include <vector>

namespace model {

class schedules {
  public:
    // `switched` is called when thread `from` gives way to thread `to`, -1 for the explorer itself.
    schedules(unsigned preemptions, void (*switched)(int from, int to))
        : bound_(preemptions), switched_(switched)
    {
    }

    // Runs all schedules of `set_up`, which adds the threads; `check` looks at what each left behind.
    void explore(const std::function<void()> &set_up, const std::function<void()> &check)
    {
        do {
            threads_.clear();
            log_.clear();
            depth_ = 0;
            preempted_ = steps_ = 0;
            running_ = -1;
            set_up();
            for (size_t i = 0; i < threads_.size(); ++i)
                prepare(static_cast<int>(i));
            switch_to(choose());
            check();
            ++count_;
        } while (next());
    }

    // A daemon need not end. It begins when it is `ready`: threads that would only find out that they have nothing to do
    // make for many schedules, in any order of theirs.
    void add(std::function<void()> body, bool daemon = false, std::function<bool()> ready = {})
    {
        threads_.push_back({std::move(body), daemon, false, std::move(ready)});
    }

    int self() const { return running_; }
    unsigned long count() const { return count_; }

    void point() { switch_to(choose()); }

    void block_until(std::function<bool()> ready)
    {
        if (ready())
            return point();
        threads_[index()].ready = std::move(ready);
        switch_to(choose());
    }

    // Ends the running thread here, unwinding its stack as pthread_exit() does.
    [[noreturn]] void end_thread()
    {
        static _Unwind_Exception unwinding;
        unwinding = {};
        _Unwind_ForcedUnwind(&unwinding, unwound, this);
        abort();
    }

    // For the report of a failure.
    void note(const char *what, char item = ' ') { log_.push_back({running_, what, item}); }

    [[noreturn]] void fail(const char *what)
    {
        printf("%s, in schedule %lu:\n", what, count_);
        for (const event &each : log_)
            printf("  thread %d: %s %c\n", each.thread, each.what, each.item);
        fflush(stdout);
        _exit(1);
    }

  private:
    struct thread {
        std::function<void()> body;
        bool daemon = false;
        bool ended = false;
        std::function<bool()> ready = {};
        bool entered = false;
        ucontext_t context = {};
        jmp_buf place = {};
    };
    struct event {
        int thread;
        const char *what;
        char item;
    };
    struct decision {
        unsigned taken, of;
    };

    size_t index() const { return static_cast<size_t>(running_); }

    bool enabled(thread &each)
    {
        if (each.ready && each.ready())
            each.ready = nullptr;
        return !each.ended && !each.ready;
    }

    // The next thread: the running one first, so that going on is the default. -1 when all have ended.
    int choose()
    {
        if (++steps_ > 20000)
            fail("does not end");
        std::vector<int> &candidates = candidates_;
        candidates.clear();
        bool goes_on = running_ >= 0 && enabled(threads_[index()]);
        if (goes_on)
            candidates.push_back(running_);
        bool left = false;
        for (size_t i = 0; i < threads_.size(); ++i) {
            left |= !threads_[i].ended && !threads_[i].daemon;
            if (static_cast<int>(i) != running_ && (!goes_on || preempted_ < bound_) && enabled(threads_[i]))
                candidates.push_back(static_cast<int>(i));
        }
        if (candidates.empty()) {
            if (left)
                fail("deadlock");
            return -1;
        }
        unsigned taken = 0;
        if (candidates.size() > 1) {
            if (depth_ == path_.size())
                path_.push_back({0, static_cast<unsigned>(candidates.size())});
            taken = path_[depth_++].taken;
        }
        if (goes_on && taken > 0)
            ++preempted_;
        return candidates[taken];
    }

    bool next()
    {
        while (!path_.empty() && path_.back().taken + 1 == path_.back().of)
            path_.pop_back();
        if (path_.empty())
            return false;
        ++path_.back().taken;
        return true;
    }

    void switch_to(int to)
    {
        int from = running_;
        if (from == to)
            return;
        switched_(from, to);
        running_ = to;
        // A context is only needed to get onto a stack; jumps are ten times as fast.
        if (_setjmp(from < 0 ? explorer_ : threads_[static_cast<size_t>(from)].place) != 0)
            return;
        if (to < 0)
            _longjmp(explorer_, 1);
        thread &next = threads_[static_cast<size_t>(to)];
        if (next.entered)
            _longjmp(next.place, 1);
        next.entered = true;
        setcontext(&next.context);
    }

    static _Unwind_Reason_Code unwound(int, _Unwind_Action actions, _Unwind_Exception_Class,
                                       _Unwind_Exception *, _Unwind_Context *, void *schedules_)
    {
        if (actions & _UA_END_OF_STACK)
            static_cast<schedules *>(schedules_)->leave();
        return _URC_NO_REASON;
    }

    void leave()
    {
        threads_[index()].ended = true;
        switch_to(choose());
    }

    static void enter(unsigned high, unsigned low)
    {
        auto *self = reinterpret_cast<schedules *>(uintptr_t{high} << 32 | low);
        self->threads_[self->index()].body();
        self->leave();
    }

    void prepare(int which)
    {
        auto i = static_cast<size_t>(which);
        if (stacks_.size() <= i)
            stacks_.emplace_back(256 * 1024);
        ucontext_t &context = threads_[i].context;
        getcontext(&context);
        context.uc_stack.ss_sp = stacks_[i].data();
        context.uc_stack.ss_size = stacks_[i].size();
        context.uc_link = nullptr;
        auto address = reinterpret_cast<uintptr_t>(this);
        makecontext(&context, reinterpret_cast<void (*)()>(&schedules::enter), 2,
                    static_cast<unsigned>(address >> 32), static_cast<unsigned>(address));
    }

    unsigned bound_, preempted_ = 0, steps_ = 0;
    void (*switched_)(int, int);
    std::vector<thread> threads_;
    std::vector<std::vector<char>> stacks_;
    std::vector<decision> path_;
    std::vector<int> candidates_;
    size_t depth_ = 0;
    std::vector<event> log_;
    jmp_buf explorer_ = {};
    int running_ = -1;
    unsigned long count_ = 0;
};

} // namespace model
