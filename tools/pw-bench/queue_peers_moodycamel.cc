// SPDX-License-Identifier: MIT
#include "queue_peers.h"

#include <concurrentqueue/concurrentqueue.h>

namespace pw::bench {
namespace {

class one_by_one {
  public:
    template <bool recycled>
    auto producer()
    {
        return [this](item &each) { queue_.enqueue([&each] { run_item<recycled>(&each); }); };
    }

    template <bool recycled>
    void consume(long count)
    {
        std::function<void()> each;
        poll(count, [&]() -> long {
            if (!queue_.try_dequeue(each))
                return 0;
            each();
            return 1;
        });
    }

  private:
    moodycamel::ConcurrentQueue<std::function<void()>> queue_;
};

// As fast as it gets: producers and the consumer have tokens, and 16 are taken out at once.
template <typename Element>
class in_bulk {
  public:
    template <bool recycled>
    auto producer()
    {
        return [this, token = std::make_unique<moodycamel::ProducerToken>(queue_)](item &each) {
            if constexpr (std::is_same_v<Element, call>)
                queue_.enqueue(*token, call_of<recycled>(each));
            else
                queue_.enqueue(*token, [&each] { run_item<recycled>(&each); });
        };
    }

    template <bool recycled>
    void consume(long count)
    {
        constexpr size_t most = 16;
        Element taken[most];
        moodycamel::ConsumerToken token(queue_);
        poll(count, [&] {
            size_t got = queue_.try_dequeue_bulk(token, taken, most);
            for (size_t i = 0; i < got; ++i)
                if constexpr (std::is_same_v<Element, call>)
                    taken[i].function(taken[i].argument);
                else
                    taken[i]();
            return static_cast<long>(got);
        });
    }

  private:
    moodycamel::ConcurrentQueue<Element> queue_;
};

} // namespace

std::vector<way> moodycamel_queue_peers()
{
    return {peer_way<one_by_one>("moodycamel, std::function"),
            peer_way<in_bulk<std::function<void()>>>("moodycamel, std::function, 16"),
            peer_way<in_bulk<call>>("moodycamel, pointers, 16")};
}

} // namespace pw::bench
