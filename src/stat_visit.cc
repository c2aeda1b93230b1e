// SPDX-License-Identifier: MIT
#include "stat_visit.h"

#include "futex.h"
#include "visit.h"

namespace pw::detail {
namespace {

constinit basic_visited<native_atomics, stat_segment> visited;

} // namespace

stat_visit::stat_visit() : segment_(visited.enter()) {}

stat_visit::~stat_visit()
{
    if (segment_)
        visited.leave();
}

void publish_stat(stat_segment &segment)
{
    visited.publish(&segment);
}

void withdraw_stat()
{
    visited.withdraw(backoff());
}

void stat_after_fork_child()
{
    visited.forget();
}

} // namespace pw::detail
