// SPDX-License-Identifier: MIT
#include "peers.h"

#include <absl/synchronization/mutex.h>

namespace pw::bench {

static guarded<absl::Mutex> mutex;

std::vector<contender> absl_peers()
{
    return {pair_of(
        "absl::Mutex", mutex.lock, mutex.word, [](absl::Mutex &each) { each.Lock(); },
        [](absl::Mutex &each) { each.Unlock(); })};
}

} // namespace pw::bench
