// SPDX-License-Identifier: MIT
// What every model of whole sources needs of the rest of the library: nothing of it is explored. For the one source
// of each model, behind the library's.
#pragma once

#include <span>

struct pw_detail_globals pw_detail_globals;
int pw_this_cpu_slow(void)
{
    return 0;
}

namespace pw::detail {

constinit gate_line gate;
constinit caller *caller_pages[most_callers / callers_a_page] = {};

// Nobody reads the statistics.
void stat_segment::name_function(pw_func_t) {}
std::span<stat::tally> stat_segment::tallies(size_t) const
{
    static stat::tally all[8];
    return all;
}
std::span<stat::counter> stat_segment::places(size_t) const
{
    return {};
}
stat::histogram &stat_segment::histogram(size_t, stat::histogram_kind) const
{
    static stat::histogram unused;
    return unused;
}
void stat_segment::destroy() {}

} // namespace pw::detail
