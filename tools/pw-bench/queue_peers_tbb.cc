// SPDX-License-Identifier: MIT
#include "queue_peers.h"

#include <memory>
#include <tbb/cache_aligned_allocator.h>
#include <tbb/concurrent_queue.h>

namespace pw::bench {
namespace {

template <typename Allocator>
class channel {
  public:
    template <bool recycled>
    auto producer()
    {
        return [this](item &each) { queue_.push(call_of<recycled>(each)); };
    }

    template <bool recycled>
    void consume(long count)
    {
        poll(count, [&]() -> long {
            call each;
            if (!queue_.try_pop(each))
                return 0;
            each.function(each.argument);
            return 1;
        });
    }

  private:
    tbb::concurrent_queue<call, Allocator> queue_;
};

} // namespace

std::vector<way> tbb_queue_peers()
{
    way result = peer_way<channel<tbb::cache_aligned_allocator<call>>>("tbb::concurrent_queue");
    // TBB's allocator tells nobody how much it has given out.
    result.bytes = bytes_allocated<channel<std::allocator<call>>>;
    return {result};
}

} // namespace pw::bench
