// SPDX-License-Identifier: MIT
#include "peers.h"

extern "C" {
#include <ck_spinlock.h>
}

namespace pw::bench {

static guarded<ck_spinlock_fas_t> fas;
static guarded<ck_spinlock_ticket_t> ticket;

std::vector<contender> ck_peers()
{
    ck_spinlock_fas_init(&fas.lock);
    ck_spinlock_ticket_init(&ticket.lock);
    return {
        pair_of(
            "ck_spinlock, fas", fas.lock, fas.word,
            [](ck_spinlock_fas_t &each) { ck_spinlock_fas_lock(&each); },
            [](ck_spinlock_fas_t &each) { ck_spinlock_fas_unlock(&each); }),
        pair_of(
            "ck_spinlock, ticket", ticket.lock, ticket.word,
            [](ck_spinlock_ticket_t &each) { ck_spinlock_ticket_lock(&each); },
            [](ck_spinlock_ticket_t &each) { ck_spinlock_ticket_unlock(&each); }),
    };
}

} // namespace pw::bench
