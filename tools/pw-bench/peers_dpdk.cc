// SPDX-License-Identifier: MIT
#include "peers.h"

#include <rte_spinlock.h>

namespace pw::bench {

static guarded<rte_spinlock_t> spin;

std::vector<contender> dpdk_peers()
{
    rte_spinlock_init(&spin.lock);
    return {pair_of(
        "rte_spinlock", spin.lock, spin.word, [](rte_spinlock_t &each) { rte_spinlock_lock(&each); },
        [](rte_spinlock_t &each) { rte_spinlock_unlock(&each); })};
}

} // namespace pw::bench
