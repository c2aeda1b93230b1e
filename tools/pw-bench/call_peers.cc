// SPDX-License-Identifier: MIT
#include "call.h"

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>

namespace pw::bench {
namespace {

// Both directions over one lock, with a condition for each.
class locked_calls {
  public:
    void serve(long calls)
    {
        for (; calls > 0; --calls) {
            std::unique_lock guard(mutex_);
            filled_.wait(guard, [&] { return !calls_.empty(); });
            std::function<void()> each = std::move(calls_.front());
            calls_.pop_front();
            guard.unlock();
            each();
            guard.lock();
            ++done_;
            guard.unlock();
            finished_.notify_one();
        }
    }

    void call(std::function<void()> function)
    {
        std::unique_lock guard(mutex_);
        long behind = ++queued_;
        calls_.push_back(std::move(function));
        guard.unlock();
        filled_.notify_one();
        guard.lock();
        finished_.wait(guard, [&] { return done_ >= behind; });
    }

  private:
    std::mutex mutex_;
    std::condition_variable filled_, finished_;
    std::deque<std::function<void()>> calls_;
    long queued_ = 0, done_ = 0;
};

std::vector<double> call_locked(two_cpus cpus, long calls)
{
    locked_calls through;
    std::thread server = thread_on(cpus.worker, [&] { through.serve(calls); });
    std::vector<double> took = time_calls(
        calls, [&] { through.call([] {}); }, let_sleep);
    server.join();
    return took;
}

} // namespace

void let_sleep()
{
    auto end = std::chrono::steady_clock::now() + std::chrono::microseconds(100);
    while (std::chrono::steady_clock::now() < end)
        relax();
}

std::vector<call_way> standard_call_peers()
{
    return {{"std::mutex and condition_variable", "peer", call_locked}};
}

std::vector<std::string> missing_call_peers()
{
    if (PW_BENCH_BOOST)
        return {};
    return {"Boost.Asio (libboost-dev)"};
}

} // namespace pw::bench
