// SPDX-License-Identifier: MIT
// Other packages' queues between threads, each with a thread that takes functions out and calls them. Those
// of other packages are there if they were when this was built.
#pragma once

#include "queue_scene.h"

namespace pw::bench {

// Queues that cannot grow have so much room.
inline constexpr long queue_room = 1 << 17;

std::vector<way> standard_queue_peers(); // the C++ standard library
std::vector<way> moodycamel_queue_peers();
std::vector<way> tbb_queue_peers();
std::vector<way> boost_queue_peers();
std::vector<way> dpdk_queue_peers();

// All that were built in.
std::vector<way> all_queue_peers();
std::vector<std::string> missing_queue_peers();

} // namespace pw::bench
