// SPDX-License-Identifier: MIT
#include "queue_peers.h"

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>

namespace pw::bench {
namespace {

// The textbook's: a lock, a condition, and a queue of whatever can be called.
class locked_deque {
  public:
    template <bool recycled>
    auto producer()
    {
        return [this](item &each) {
            {
                std::lock_guard guard(mutex_);
                calls_.emplace_back([&each] { run_item<recycled>(&each); });
            }
            filled_.notify_one();
        };
    }

    template <bool recycled>
    void consume(long count)
    {
        for (; count > 0; --count) {
            std::unique_lock guard(mutex_);
            filled_.wait(guard, [&] { return !calls_.empty(); });
            std::function<void()> each = std::move(calls_.front());
            calls_.pop_front();
            guard.unlock();
            each();
        }
    }

  private:
    std::mutex mutex_;
    std::condition_variable filled_;
    std::deque<std::function<void()>> calls_;
};

} // namespace

std::vector<way> standard_queue_peers()
{
    return {peer_way<locked_deque>("std::mutex and condition_variable, deque")};
}

std::vector<way> all_queue_peers()
{
    std::vector<way> all = standard_queue_peers();
    auto add = [&](std::vector<way> more) { all.insert(all.end(), more.begin(), more.end()); };
#if PW_BENCH_MOODYCAMEL
    add(moodycamel_queue_peers());
#endif
#if PW_BENCH_TBB
    add(tbb_queue_peers());
#endif
#if PW_BENCH_BOOST
    add(boost_queue_peers());
#endif
#if PW_BENCH_DPDK
    add(dpdk_queue_peers());
#endif
    (void)add;
    return all;
}

std::vector<std::string> missing_queue_peers()
{
    std::vector<std::string> missing;
    if (!PW_BENCH_MOODYCAMEL)
        missing.push_back("moodycamel::ConcurrentQueue (libconcurrentqueue-dev)");
    if (!PW_BENCH_TBB)
        missing.push_back("tbb::concurrent_queue (libtbb-dev)");
    if (!PW_BENCH_BOOST)
        missing.push_back("boost::lockfree::queue, Boost.Asio (libboost-dev)");
    if (!PW_BENCH_DPDK)
        missing.push_back("rte_ring (libdpdk-dev)");
    return missing;
}

} // namespace pw::bench
