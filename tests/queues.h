// SPDX-License-Identifier: MIT
// What tests of cancelling, workqueues, delayed work, circles and calls for every CPU share: both ways to queue,
// a CPU whose items wait, the order of starts, threads that wait in a call, workqueues and delayed items with a
// scope.
#pragma once

#include "catch.h"
#include "tasks.h"
#include "this_process.h"

#include <cerrno>
#include <cstring>
#include <ctime>
#include <memory>
#include <stdexcept>

inline constexpr busy_item::route both_routes[] = {busy_item::by_strategy, busy_item::by_worker};

inline int queue_by(busy_item::route way, pw_struct &item, pw_workqueue *wq = nullptr)
{
    return way == busy_item::by_worker ? pw_queue_work_on(pw_get_cpu(&item), wq, &item)
                                       : pw_queue_on(pw_get_cpu(&item), wq, &item);
}

// Again for as long as it is refused with -ECANCELED: by somebody who will end.
inline int queue_unless_canceled(busy_item::route way, pw_struct &item, pw_workqueue *wq = nullptr)
{
    for (;;) {
        int result = queue_by(way, item, wq);
        if (result != -ECANCELED)
            return result;
        std::this_thread::yield();
    }
}

// pw_on_each_cpu() with a lambda.
inline int on_each_cpu(const std::function<void(int)> &function)
{
    return pw_on_each_cpu(
        [](int cpu, void *arg) { (*static_cast<const std::function<void(int)> *>(arg))(cpu); },
        const_cast<std::function<void(int)> *>(&function));
}

// Whether there are two; says so if not.
inline bool two_workers()
{
    if (first_cpu() == last_cpu())
        WARN("skipped: one worker only");
    return first_cpu() != last_cpu();
}

// As long as a function needs for a timer of a microsecond to be due again when it returns.
inline void take_a_moment()
{
    std::this_thread::sleep_for(std::chrono::microseconds(50));
}

// What the thread that made this queues to that CPU, that way, becomes pending and stays so until this is
// opened. Items must outlive it: declare them first.
class blocked_cpu {
  public:
    explicit blocked_cpu(int cpu, busy_item::route way = busy_item::by_strategy) : busy_(cpu, way)
    {
        // Under lock, what waits is what comes behind an item of ours that another thread was handed.
        if (queue_by(way, busy_.item()) != 1)
            throw std::logic_error("a running item was not accepted once more");
    }

    void open() { busy_.let_go(); }

  private:
    busy_item busy_;
};

// What started, in order.
class start_order {
  public:
    void add(int what)
    {
        std::lock_guard held(mutex_);
        started_.push_back(what);
    }
    std::vector<int> started() const
    {
        std::lock_guard held(mutex_);
        return started_;
    }

  private:
    mutable std::mutex mutex_;
    std::vector<int> started_;
};

inline std::vector<int> rising(int count, int from = 0)
{
    std::vector<int> all;
    for (int i = from; i < from + count; ++i)
        all.push_back(i);
    return all;
}

using task_list = std::vector<std::unique_ptr<task>>;

// Items that record their number.
inline task_list numbered(start_order &order, int cpu, int count, int from = 0)
{
    task_list items;
    for (int i = from; i < from + count; ++i)
        items.push_back(std::make_unique<task>(cpu, [&order, i] { order.add(i); }));
    return items;
}

inline int flush_all(const task_list &items)
{
    int errors = 0;
    for (const auto &each : items)
        errors += each->flush() != 0;
    return errors;
}

// A thread that makes a call which waits.
class waiting_thread {
  public:
    explicit waiting_thread(std::function<void()> call)
        : thread_([this, call = std::move(call)] {
              id_ = gettid();
              call();
          })
    {
    }
    ~waiting_thread() { join(); }
    waiting_thread(const waiting_thread &) = delete;
    waiting_thread &operator=(const waiting_thread &) = delete;

    // Whether it sleeps: it has nothing else to sleep in than its call.
    bool waits() const
    {
        pid_t id = id_;
        return id != 0 && status_field(id, "State").rfind("S", 0) == 0;
    }
    void join()
    {
        if (thread_.joinable())
            thread_.join();
    }

  private:
    std::atomic<pid_t> id_{0};
    std::thread thread_;
};

// Until `count` threads have come here.
inline void meet(std::atomic<int> &arrived, int count)
{
    ++arrived;
    while (arrived < count)
        std::this_thread::yield();
}

class workqueue {
  public:
    explicit workqueue(const char *name = "test", unsigned flags = 0) : wq_(pw_workqueue_create(name, flags))
    {
        if (!wq_)
            throw std::runtime_error("no workqueue");
    }
    ~workqueue() { pw_workqueue_destroy(wq_); }
    workqueue(const workqueue &) = delete;
    workqueue &operator=(const workqueue &) = delete;

    operator pw_workqueue *() const { return wq_; }
    int flush() const { return pw_workqueue_flush(wq_); }
    int drain() const { return pw_workqueue_drain(wq_); }
    int destroy()
    {
        int result = pw_workqueue_destroy(wq_);
        if (result == 0)
            wq_ = nullptr;
        return result;
    }

  private:
    pw_workqueue *wq_;
};

inline constexpr uint64_t ms = 1'000'000;
inline constexpr uint64_t hour = 3'600'000 * ms;

inline uint64_t now_ns()
{
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

// A delayed item with a lambda for a function.
class delayed_task : public pw_delayed {
  public:
    explicit delayed_task(
        int on, std::function<void()> body = [] {})
        : body_(std::move(body))
    {
        INIT_PW_DELAYED(this, run, on);
    }
    ~delayed_task() { pw_cancel_delayed_sync(this); }
    delayed_task(const delayed_task &) = delete;
    delayed_task &operator=(const delayed_task &) = delete;

    int arm(uint64_t ns, pw_workqueue *wq = nullptr)
    {
        return pw_queue_delayed_on(pw_get_cpu(&work), wq, this, ns);
    }
    int mod(uint64_t ns, pw_workqueue *wq = nullptr)
    {
        return pw_mod_delayed_on(pw_get_cpu(&work), wq, this, ns);
    }
    int cancel_sync() { return pw_cancel_delayed_sync(this); }
    int flush() { return pw_flush_delayed(this); }

  private:
    static void run(pw_struct *item)
    {
        static_cast<delayed_task *>(reinterpret_cast<pw_delayed *>(item))->body_();
    }

    std::function<void()> body_;
};

// Delays that end at once. With none at all, under lock, the caller runs the function.
inline std::vector<uint64_t> no_time()
{
    if (under_lock())
        return {1};
    return {0, 1};
}

// A delayed item that runs until it is let go: what falls due on its CPU meanwhile stays pending, under both
// strategies. Delayed items must outlive it: declare them first.
class blocked_timers {
  public:
    explicit blocked_timers(int cpu)
        : item_(cpu, [this] {
              entered_.open();
              leave_.wait();
          })
    {
        if (item_.arm(1) != 1)
            throw std::logic_error("an idle delayed item was not accepted");
        entered_.wait();
    }
    ~blocked_timers() { open(); }

    void open() { leave_.open(); }
    delayed_task &item() { return item_; }

  private:
    door entered_, leave_;
    delayed_task item_;
};
