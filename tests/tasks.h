// SPDX-License-Identifier: MIT
// Items for behavioural tests: with a lambda for a function, and with a function that stays where it is until it is let
// go; and threads that start together.
#pragma once

#include "both.h"

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <utility>
#include <vector>

// Opened once; whoever comes earlier waits.
class door {
  public:
    void open()
    {
        std::lock_guard held(mutex_);
        open_ = true;
        opened_.notify_all();
    }
    void wait()
    {
        std::unique_lock held(mutex_);
        opened_.wait(held, [this] { return open_; });
    }

  private:
    std::mutex mutex_;
    std::condition_variable opened_;
    bool open_ = false;
};

// An item with a lambda for a function. The body is plain data, published to its runner by the queueing alone.
class task : public pw_struct {
  public:
    explicit task(int on, std::function<void()> body = [] {}) : body_(std::move(body)) { INIT_PW(this, run, on); }
    // A list may still hold what was taken back by pw_cancel().
    ~task()
    {
        pw_flush(this);
        pw_cancel_sync(this);
    }
    task(const task &) = delete;
    task &operator=(const task &) = delete;

    int queue() { return pw_queue_on(pw_get_cpu(this), nullptr, this); }
    int queue_to_worker() { return pw_queue_work_on(pw_get_cpu(this), nullptr, this); }
    int flush() { return pw_flush(this); }
    int cancel() { return pw_cancel(this); }
    int cancel_sync() { return pw_cancel_sync(this); }

  private:
    static void run(pw_struct *work) { static_cast<task *>(work)->body_(); }

    std::function<void()> body_;
};

// An item whose first execution lasts until it is let go: on its CPU's worker or, under lock, on a thread of its own. Further
// executions only count.
class busy_item {
  public:
    enum route { by_strategy, by_worker };

    explicit busy_item(int cpu, route way = by_strategy, std::function<void()> then = [] {})
        : then_(std::move(then)), item_(cpu, [this] { run(); }), caller_([this, way] {
              returned_ = way == by_worker ? item_.queue_to_worker() : item_.queue();
          })
    {
        entered_.wait();
    }
    ~busy_item() { let_go(); }

    // The first execution goes on.
    void release() { leave_.open(); }

    // Also returns only when the call that queued it has returned.
    void let_go()
    {
        release();
        if (caller_.joinable())
            caller_.join();
    }

    task &item() { return item_; }
    int runs() const { return runs_; }
    int returned() const { return returned_; } // behind let_go()

  private:
    void run()
    {
        if (runs_.fetch_add(1) == 0) {
            entered_.open();
            leave_.wait();
        }
        then_();
    }

    door entered_, leave_;
    std::atomic<int> runs_{0};
    int returned_ = 0;
    std::function<void()> then_;
    task item_;
    std::thread caller_;
};

// Runs a function on several threads at once, which start together; returns when all have ended.
inline void on_threads(int count, const std::function<void(int)> &function)
{
    door start;
    std::vector<std::thread> threads;
    for (int i = 0; i < count; ++i)
        threads.emplace_back([&, i] {
            start.wait();
            function(i);
        });
    start.open();
    for (std::thread &each : threads)
        each.join();
}

// The CPUs with a worker.
inline std::vector<int> worker_cpus()
{
    std::vector<int> cpus;
    pw_for_each_cpu(cpu) cpus.push_back(cpu);
    return cpus;
}
