// SPDX-License-Identifier: MIT
#include "queue_peers.h"

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/lockfree/queue.hpp>

namespace pw::bench {
namespace {

class lockfree {
  public:
    template <bool recycled>
    auto producer()
    {
        return [this](item &each) {
            while (!queue_.push(call_of<recycled>(each)))
                relax();
        };
    }

    template <bool recycled>
    void consume(long count)
    {
        poll(count, [&]() -> long {
            call each;
            if (!queue_.pop(each))
                return 0;
            each.function(each.argument);
            return 1;
        });
    }

  private:
    boost::lockfree::queue<call> queue_{queue_room};
};

class asio {
  public:
    template <bool recycled>
    auto producer()
    {
        return [this](item &each) {
            boost::asio::post(context_, [this, &each] {
                run_item<recycled>(&each);
                if (--left_ == 0)
                    context_.stop();
            });
        };
    }

    template <bool recycled>
    void consume(long count)
    {
        // Items may have come before us; none runs outside of run().
        left_ = count;
        auto stays = boost::asio::make_work_guard(context_);
        context_.restart();
        context_.run();
    }

  private:
    boost::asio::io_context context_{1}; // a hint: one thread runs it
    long left_ = 0;                      // that thread's
};

} // namespace

std::vector<way> boost_queue_peers()
{
    return {peer_way<lockfree>("boost::lockfree::queue"), peer_way<asio>("Boost.Asio, post")};
}

} // namespace pw::bench
