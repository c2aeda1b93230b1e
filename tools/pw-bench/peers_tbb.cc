// SPDX-License-Identifier: MIT
#include "peers.h"

#include <tbb/spin_mutex.h>

namespace pw::bench {

static guarded<tbb::spin_mutex> spin;

std::vector<contender> tbb_peers()
{
    return {pair_of(
        "tbb::spin_mutex", spin.lock, spin.word, [](tbb::spin_mutex &each) { each.lock(); },
        [](tbb::spin_mutex &each) { each.unlock(); })};
}

} // namespace pw::bench
