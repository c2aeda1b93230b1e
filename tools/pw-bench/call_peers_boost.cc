// SPDX-License-Identifier: MIT
#include "call.h"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <future>

namespace pw::bench {

static std::vector<double> call_posted(two_cpus cpus, long calls)
{
    boost::asio::io_context context{1};
    auto stays = boost::asio::make_work_guard(context);
    std::thread server = thread_on(cpus.worker, [&] { context.run(); });
    std::vector<double> took = time_calls(
        calls,
        [&] {
            std::promise<void> done;
            boost::asio::post(context, [&] { done.set_value(); });
            done.get_future().wait();
        },
        let_sleep);
    stays.reset();
    server.join();
    return took;
}

std::vector<call_way> asio_call_peers()
{
    return {{"Boost.Asio, post and std::future", "peer", call_posted}};
}

} // namespace pw::bench
