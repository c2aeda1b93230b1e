// SPDX-License-Identifier: MIT
// One snapshot of a segment's tables, which the process writes meanwhile. Where they lie, segment.cc has
// checked; every value in them may be anything.
#include "segment.h"

#include "function_names.h"
#include "stat_layout.h"
#include "text.h"

#include <algorithm>
#include <atomic>
#include <ctime>
#include <limits>
#include <map>
#include <tuple>
#include <unordered_map>
#include <utility>

namespace pw::tool {
namespace {

constexpr uint64_t longest_workqueue_name = 255;
constexpr size_t most_names = 4; // of functions that callers run for one CPU; further ones share a name
constexpr size_t most_tallies = 200'000; // of one snapshot; further ones share their CPU's last
constexpr int most_looks = 8;
constexpr size_t most_untimed = 4096; // runs of callers that are remembered from one snapshot to the next

uint64_t plus(uint64_t one, uint64_t other)
{
    return one > std::numeric_limits<uint64_t>::max() - other ? std::numeric_limits<uint64_t>::max()
                                                              : one + other;
}

void add(uint64_t &sum, uint64_t more)
{
    sum = plus(sum, more);
}

uint64_t monotonic_ns()
{
    timespec now = {};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

void merge(tally_state &into, const tally_state &from)
{
    add(into.here, from.here);
    add(into.here_ns, from.here_ns);
    add(into.away, from.away);
    add(into.away_ns, from.away_ns);
    into.here_longest_ns = std::max(into.here_longest_ns, from.here_longest_ns);
    into.away_longest_ns = std::max(into.away_longest_ns, from.away_longest_ns);
}

void add_tally(workqueue_state &to, const tally_state &from)
{
    add(to.count, plus(from.here, from.away));
    add(to.total_ns, plus(from.here_ns, from.away_ns));
    to.longest_ns = std::max({to.longest_ns, from.here_longest_ns, from.away_longest_ns});
}

bool counts_nothing(const tally_state &tally)
{
    return (tally.here | tally.here_ns | tally.here_longest_ns | tally.away | tally.away_ns |
            tally.away_longest_ns) == 0;
}

// By falling total time, then in an order that does not change from one snapshot to the next.
bool comes_first(const tally_state &one, const tally_state &other)
{
    uint64_t ours = plus(one.here_ns, one.away_ns), theirs = plus(other.here_ns, other.away_ns);
    if (ours != theirs)
        return ours > theirs;
    return std::tie(one.function, one.workqueue) < std::tie(other.function, other.workqueue);
}

} // namespace

class segment::reading {
  public:
    explicit reading(const segment &from) : from_(from), callers_(from.callers_), names_(from)
    {
        callers_.count = from.caller_count();
    }

    snapshot take()
    {
        // First: a worker's times are taken up to this moment, and what it counts afterwards is on top, so
        // that no later snapshot holds less.
        result_.taken_ns = monotonic_ns();
        result_.callers_unseen = from_.header_number(offsetof(stat::header, callers_unseen));
        for (const known_cpu &each : from_.known_cpus_)
            result_.cpus.push_back(block_of(each));
        add_items();
        add_workers();
        add_callers();
        read_workqueues();
        for (size_t i = 0; i < result_.cpus.size(); ++i)
            add_tallies(i);
        result_.elsewhere = locks({}, 0, offsetof(stat::header, elsewhere));
        return std::move(result_);
    }

  private:
    // Words that one thread writes together. Looks until two looks agree: a view from between two of its
    // stores is then rare. Not for ever, since the process may never stop to change them.
    template <size_t count>
    std::array<uint64_t, count> settled(const array &from, uint64_t place,
                                        const std::array<uint64_t, count> &fields) const
    {
        std::array<uint64_t, count> before = {}, now = {};
        for (int looks = 0; looks < 2 || (now != before && looks < most_looks); ++looks) {
            before = now;
            for (size_t i = 0; i < count; ++i)
                now[i] = from_.load(from, place, fields[i]);
        }
        return now;
    }

    // A moment in the runtime's life before this snapshot, whatever clock the process has or claims; this
    // snapshot's for 0.
    uint64_t moment(uint64_t claimed) const
    {
        if (claimed == 0)
            return result_.taken_ns;
        uint64_t start = std::min(from_.facts_.start_monotonic_ns, result_.taken_ns);
        return std::clamp(claimed, start, result_.taken_ns);
    }

    uint64_t time_since(uint64_t claimed) const { return result_.taken_ns - moment(claimed); }

    lock_counts locks(const array &from, uint64_t place, uint64_t field) const
    {
        return {from_.load(from, place, field + offsetof(stat::lock_events, remote)),
                from_.load(from, place, field + offsetof(stat::lock_events, contended)),
                from_.load(from, place, field + offsetof(stat::lock_events, waited_ns)),
                from_.load(from, place, field + offsetof(stat::lock_events, lost_races))};
    }

    // What is one CPU's own: but for items and functions.
    cpu_state block_of(const known_cpu &known) const
    {
        auto word = [&](uint64_t field) { return from_.load(from_.cpus_, known.place, field); };
        cpu_state state;
        state.cpu = known.cpu;
        state.node = known.node;
        state.isolated = known.isolated;
        static_assert(offsetof(stat::cpu_block, worker_tid) == 12);
        state.worker_tid = std::max(static_cast<int>(word(8) >> 32), 0);
        if (uint64_t seen = word(offsetof(stat::cpu_block, seen_cpu)); seen > 0 && seen <= INT32_MAX)
            state.seen_cpu = static_cast<int>(seen - 1);
        state.calls = word(offsetof(stat::cpu_block, calls));
        state.batches = word(offsetof(stat::cpu_block, batches));
        state.wakeups = word(offsetof(stat::cpu_block, wakeups));
        state.wakes_sent = word(offsetof(stat::cpu_block, wakes_sent));
        state.locks = locks(from_.cpus_, known.place, offsetof(stat::cpu_block, locks));

        using block = stat::cpu_block;
        auto [busy, idle, asleep, turn_since, idle_since, sleeping] =
            settled<6>(from_.cpus_, known.place,
                       {offsetof(block, busy_ns), offsetof(block, idle_ns), offsetof(block, asleep_ns),
                        offsetof(block, turn_since), offsetof(block, idle_since), offsetof(block, sleeping)});
        state.busy_ns = plus(busy, time_since(turn_since));
        state.idle_ns = plus(idle, time_since(idle_since));
        state.asleep_ns = plus(asleep, time_since(sleeping));

        if (from_.place_count_ > 0) {
            for (const known_cpu &where : from_.known_cpus_)
                state.ran_on.push_back(
                    from_.load(from_.places_, known.place, where.place * sizeof(stat::counter)));
            uint64_t elsewhere = (from_.place_count_ - 1) * sizeof(stat::counter);
            state.ran_on.push_back(from_.load(from_.places_, known.place, elsewhere));
        }
        state.wait_here = histogram_of(known.place, stat::wait_here);
        state.run_here = histogram_of(known.place, stat::run_here);
        state.wait_away = histogram_of(known.place, stat::wait_away);
        state.run_away = histogram_of(known.place, stat::run_away);
        state.lock_wait = histogram_of(known.place, stat::lock_wait);
        return state;
    }

    histogram histogram_of(uint64_t place, stat::histogram_kind kind) const
    {
        histogram result;
        static_assert(stat::histogram_buckets == std::tuple_size_v<decltype(result.buckets)>);
        if (kind >= from_.histogram_count_)
            return result;
        for (size_t i = 0; i < result.buckets.size(); ++i)
            result.buckets[i] = from_.load(from_.histograms_, place * from_.histogram_count_ + kind,
                                           i * sizeof(stat::counter));
        return result;
    }

    // For each CPU and row: its cell.
    template <typename Function>
    void for_each_cell(Function function)
    {
        for (uint64_t row = 0; row < callers_.count; ++row)
            for (size_t i = 0; i < result_.cpus.size(); ++i)
                function(result_.cpus[i], [&](uint64_t field) {
                    return from_.load(callers_, row,
                                      from_.cell_offset_ + from_.known_cpus_[i].place * from_.cell_stride_ +
                                          field);
                });
    }

    // Two passes, in this order: see stat_layout.h.
    void add_items()
    {
        for (size_t i = 0; i < result_.cpus.size(); ++i)
            result_.cpus[i].executed =
                from_.load(from_.cpus_, from_.known_cpus_[i].place, offsetof(stat::cpu_block, executed));
        for_each_cell([](cpu_state &cpu, auto cell) {
            add(cpu.executed_away, cell(offsetof(stat::caller_cell, executed)));
            add(cpu.cancelled, cell(offsetof(stat::caller_cell, cancelled)));
        });
        callers_.count = from_.caller_count(); // what was executed may have been queued by a newcomer
        for_each_cell([](cpu_state &cpu, auto cell) {
            add(cpu.queued, cell(offsetof(stat::caller_cell, queued)));
            add(cpu.coalesced, cell(offsetof(stat::caller_cell, coalesced)));
        });
        for (cpu_state &cpu : result_.cpus) {
            add(cpu.executed, cpu.executed_away);
            cpu.pending = since(plus(cpu.executed, cpu.cancelled), cpu.queued);
        }
    }

    // After the items: a worker that sleeps although something is pending has not run since that was queued.
    void add_workers()
    {
        for (size_t i = 0; i < result_.cpus.size(); ++i) {
            uint64_t place = from_.known_cpus_[i].place;
            cpu_state &cpu = result_.cpus[i];
            cpu.sleeping = from_.load(from_.cpus_, place, offsetof(stat::cpu_block, sleeping)) != 0;
            auto [running, begun] =
                settled<2>(from_.cpus_, place,
                           {offsetof(stat::cpu_block, running), offsetof(stat::cpu_block, running_since)});
            if (running == 0)
                continue;
            cpu.running = names_.of(running);
            cpu.running_since_ns = begun == 0 ? 0 : moment(begun);
        }
    }

    void add_callers()
    {
        struct runs {
            uint64_t threads = 0;
            uint64_t since = 0; // of those that are timed, the first
        };
        std::map<int, std::map<uint64_t, runs>> by_cpu; // number, function
        auto seen_before = std::exchange(from_.untimed_, {});
        using row = stat::caller_row;
        for (uint64_t i = 0; i < callers_.count; ++i) {
            auto [running, cpu, started, begun] =
                settled<4>(callers_, i,
                           {offsetof(row, running), offsetof(row, running_cpu), offsetof(row, started),
                            offsetof(row, running_since)});
            if (running == 0 || cpu > INT32_MAX)
                continue;
            auto found =
                std::lower_bound(from_.facts_.cpus.begin(), from_.facts_.cpus.end(), static_cast<int>(cpu));
            if (found == from_.facts_.cpus.end() || *found != static_cast<int>(cpu))
                continue;
            auto &functions = by_cpu[*found];
            bool room = functions.size() < most_names || functions.contains(running);
            runs &these = functions[room ? running : stat::other_functions];
            ++these.threads;
            uint64_t since = begun != 0 ? moment(begun) : seen_since(i, started, running, seen_before);
            if (since != 0 && (these.since == 0 || since < these.since))
                these.since = since;
        }
        for (cpu_state &cpu : result_.cpus)
            if (auto found = by_cpu.find(cpu.cpu); found != by_cpu.end())
                for (const auto &[function, these] : found->second)
                    cpu.caller_running.push_back({names_.of(function), these.threads, these.since});
    }

    // When this run, which is not timed, was first seen, if that was before now; else 0.
    uint64_t seen_since(uint64_t row, uint64_t started, uint64_t function,
                        const std::unordered_map<uint64_t, untimed_run> &before)
    {
        auto found = before.find(row);
        bool known = found != before.end() && found->second.started == started && found->second.function == function;
        uint64_t seen = known ? found->second.seen_ns : result_.taken_ns;
        if (from_.untimed_.size() < most_untimed)
            from_.untimed_.emplace(row, untimed_run{started, function, seen});
        return known ? seen : 0;
    }

    void read_workqueues()
    {
        constexpr uint64_t id = offsetof(stat::workqueue, id), name = offsetof(stat::workqueue, name);
        for (uint64_t i = 0; i < from_.workqueues_.count; ++i) {
            uint64_t state = from_.load(from_.workqueues_, i, 0),
                     number = from_.load(from_.workqueues_, i, id);
            static_assert(offsetof(stat::workqueue, high) == 4);
            if (static_cast<uint32_t>(state) != 1)
                continue;
            std::string label = from_.text(from_.workqueues_, i, name, longest_workqueue_name);
            // One that was destroyed meanwhile may have left its place, and half of this name, to another.
            std::atomic_thread_fence(std::memory_order_acquire);
            if (from_.load(from_.workqueues_, i, 0) != state ||
                from_.load(from_.workqueues_, i, id) != number)
                continue;
            workqueue_of_id_.emplace(number, result_.workqueues.size());
            result_.workqueues.emplace_back().name = printable(label);
            result_.workqueues.back().high = state >> 32 != 0;
        }
    }

    // The label of that workqueue, after adding to its sums.
    std::string count_for_workqueue(uint64_t id, const tally_state &tally)
    {
        if (id == 0) {
            add_tally(result_.system_workqueue, tally);
            return {};
        }
        auto found = workqueue_of_id_.find(id);
        if (found == workqueue_of_id_.end())
            return "(destroyed)";
        add_tally(result_.workqueues[found->second], tally);
        return result_.workqueues[found->second].name;
    }

    // Of two with the same labels nobody could say which is which: they become one.
    void add_tallies(size_t index)
    {
        std::map<std::pair<std::string, std::string>, tally_state> by_label;
        for (uint64_t i = 0; i < from_.tally_count_; ++i) {
            uint64_t place = from_.known_cpus_[index].place * from_.tally_count_ + i;
            auto word = [&](uint64_t field) { return from_.load(from_.tallies_, place, field); };
            uint64_t function = word(offsetof(stat::tally, function));
            if (function == 0 || function == stat::claimed)
                continue;
            tally_state tally;
            tally.here = word(offsetof(stat::tally, here));
            tally.here_ns = word(offsetof(stat::tally, here_ns));
            tally.here_longest_ns = word(offsetof(stat::tally, here_longest_ns));
            tally.away = word(offsetof(stat::tally, away));
            tally.away_ns = word(offsetof(stat::tally, away_ns));
            tally.away_longest_ns = word(offsetof(stat::tally, away_longest_ns));
            if (counts_nothing(tally))
                continue;
            std::string workqueue = count_for_workqueue(word(offsetof(stat::tally, workqueue)), tally);
            bool room = tallies_taken_ + by_label.size() < most_tallies;
            auto key = room ? std::pair(names_.of(function), workqueue)
                            : std::pair(names_.of(stat::other_functions), std::string());
            merge(by_label[std::move(key)], tally);
        }
        tallies_taken_ += by_label.size();
        auto &tallies = result_.cpus[index].tallies;
        for (auto &[label, tally] : by_label) {
            tally.function = label.first;
            tally.workqueue = label.second;
            tallies.push_back(std::move(tally));
        }
        std::sort(tallies.begin(), tallies.end(), comes_first);
    }

    const segment &from_;
    array callers_;
    function_names names_;
    snapshot result_;
    std::unordered_map<uint64_t, size_t> workqueue_of_id_;
    size_t tallies_taken_ = 0;
};

snapshot segment::read() const
{
    return reading(*this).take();
}

} // namespace pw::tool
