// SPDX-License-Identifier: MIT
// Other locks, each in the same loop as ours. Those of other packages are there if they were when this was
// built.
#pragma once

#include "measure.h"

namespace pw::bench {

// A lock and a word that it guards, on a line of their own.
template <typename Lock>
struct alignas(128) guarded {
    Lock lock;
    alignas(128) volatile long word = 0;
};

// One lock and unlock around one increment.
template <typename Lock, typename Take, typename Release>
contender pair_of(const char *name, Lock &lock, volatile long &word, Take take, Release release)
{
    return {name, "peer", [&lock, &word, take, release](long pairs) {
                return time_job(pairs, [&] {
                    take(lock);
                    word = word + 1;
                    compiler_barrier();
                    release(lock);
                });
            }};
}

std::vector<contender> standard_peers(); // pthread and C++ standard library
std::vector<contender> tbb_peers();
std::vector<contender> ck_peers();
std::vector<contender> absl_peers();
std::vector<contender> dpdk_peers();

// All that were built in.
std::vector<contender> all_peers();
std::vector<std::string> missing_peers();

} // namespace pw::bench
