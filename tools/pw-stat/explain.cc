// SPDX-License-Identifier: MIT
// What is wrong now, and what is not as the operator wanted it.
#include "explain.h"

#include "change.h"
#include "quantity.h"
#include "text.h"

#include <algorithm>
#include <fmt/format.h>
#include <iterator>

namespace pw::tool {
namespace {

// What is wrong usually is so on many CPUs at once. The first ones are enough to tell.
constexpr size_t most_of_a_kind = 8;

// Adds the findings, but only so many of them, and says how many more there are.
void add_first(findings &found, findings these)
{
    size_t left_out = these.size() > most_of_a_kind ? these.size() - most_of_a_kind : 0;
    if (left_out > 0) {
        these.resize(most_of_a_kind);
        these.push_back({these.back().how, fmt::format("And so {} more.", left_out)});
    }
    std::move(these.begin(), these.end(), std::back_inserter(found));
}

std::string waiting_behind(const cpu_state &cpu)
{
    // The one that runs is pending, too.
    if (cpu.pending <= 1)
        return "Nothing waits behind it.";
    return fmt::format("{} behind it.",
                       cpu.pending == 2 ? "1 item waits" : counted(cpu.pending - 1, "", "items wait"));
}

} // namespace

evidence::evidence(const segment_facts &known, const snapshot &earlier, const snapshot &later)
    : facts(known), before(earlier), now(later), change(difference(earlier, later)),
      age_ns(since(known.start_monotonic_ns, later.taken_ns))
{
}

static bool began_before(uint64_t since_ns, const snapshot &before)
{
    return since_ns != 0 && since_ns <= before.taken_ns;
}

void find_stuck_functions(const evidence &seen, findings &found)
{
    findings stuck;
    for (const cpu_state &cpu : seen.now.cpus) {
        if (!cpu.running.empty() && began_before(cpu.running_since_ns, seen.before))
            stuck.push_back(
                {tone::alarm,
                 fmt::format("The worker of CPU {} (thread {}) has been running {} for {}. {}", cpu.cpu,
                             cpu.worker_tid, cpu.running,
                             time_text(time_since(cpu.running_since_ns, seen.now)), waiting_behind(cpu))});
        for (const running_function &each : cpu.caller_running)
            if (began_before(each.since_ns, seen.before))
                stuck.push_back(
                    {tone::alarm,
                     fmt::format("{} been running {} for CPU {} for {}. {}",
                                 each.threads == 1
                                     ? "A thread that called in has"
                                     : fmt::format("One of {} threads that called in has", each.threads),
                                 each.name, cpu.cpu, time_text(time_since(each.since_ns, seen.now)),
                                 waiting_behind(cpu))});
    }
    add_first(found, std::move(stuck));
}

void find_starved_workers(const evidence &seen, findings &found)
{
    findings starved;
    for (const cpu_state &cpu : seen.now.cpus) {
        const cpu_state *before = find_cpu(seen.before.cpus, cpu.cpu),
                        *change = find_cpu(seen.change.cpus, cpu.cpu);
        if (!before || !change || before->pending == 0 || cpu.pending == 0)
            continue;
        if (change->executed > 0 || change->cancelled > 0 || !cpu.running.empty() ||
            !cpu.caller_running.empty())
            continue;
        std::string text = fmt::format("CPU {}: {} pending, and in the last {} none was run. ", cpu.cpu,
                                       counted(cpu.pending, "item is", "items are"),
                                       time_text(since(seen.before.taken_ns, seen.now.taken_ns)));
        if (seen.facts.strategy == "queue")
            text +=
                fmt::format("Its worker (thread {}) {} and did not get the CPU: something of higher priority "
                            "occupies it, or the process is stopped.",
                            cpu.worker_tid, cpu.sleeping ? "was woken" : "is awake");
        else
            text += "The threads that are to run them did not get to it, or the process is stopped.";
        starved.push_back({tone::alarm, text});
    }
    add_first(found, std::move(starved));
}

void find_mis_pinned(const evidence &seen, findings &found)
{
    findings wrong;
    for (const cpu_state &cpu : seen.now.cpus)
        if (is_mispinned(cpu))
            wrong.push_back(
                {tone::alarm,
                 fmt::format("The worker of CPU {} (thread {}) last found itself on CPU {}: what it runs "
                             "disturbs that one, and is not where its data is.",
                             cpu.cpu, cpu.worker_tid, cpu.seen_cpu)});
    add_first(found, std::move(wrong));
}

void find_contended_locks(const evidence &seen, findings &found)
{
    findings contended;
    for (const cpu_state &cpu : seen.now.cpus) {
        if (cpu.locks.contended == 0)
            continue;
        const cpu_state *change = find_cpu(seen.change.cpus, cpu.cpu);
        contended.push_back(
            {tone::plain, fmt::format("Locks of CPU {} had to be waited for {} ({} a second since the start, "
                                      "{} now), {} in all, "
                                      "{} on average.",
                                      cpu.cpu, counted(cpu.locks.contended, "time", "times"),
                                      rate_text(cpu.locks.contended, seen.age_ns),
                                      rate_text(change ? change->locks.contended : 0,
                                                since(seen.before.taken_ns, seen.now.taken_ns)),
                                      time_text(cpu.locks.waited_ns),
                                      time_text(cpu.locks.waited_ns / cpu.locks.contended))});
    }
    add_first(found, std::move(contended));
    if (const lock_counts &other = seen.now.elsewhere; other.contended > 0)
        found.push_back({tone::plain,
                         fmt::format("Locks of CPUs without a worker had to be waited for {}, {} in all.",
                                     counted(other.contended, "time", "times"), time_text(other.waited_ns))});
}

void find_remote_locks(const evidence &seen, findings &found)
{
    lock_counts all = total(seen.now.cpus).locks;
    uint64_t remote = sum(all.remote, seen.now.elsewhere.remote);
    uint64_t lost = sum(all.lost_races, seen.now.elsewhere.lost_races);
    if (remote > 0)
        found.push_back(
            {tone::plain,
             fmt::format("Locks were taken from another CPU {} ({} a second). Under the queue strategy "
                         "each such acquisition calls membarrier(2), which interrupts the lock's CPU.",
                         counted(remote, "time", "times"), rate_text(remote, seen.age_ns))});
    if (lost > 0)
        found.push_back({tone::plain, fmt::format("{} overtaken by the lock's own CPU and began again.",
                                                  counted(lost, "attempt to take a lock from another CPU was",
                                                          "attempts to take a lock from another CPU were"))});
}

void find_ignored_options(const evidence &seen, findings &found)
{
    const segment_facts &facts = seen.facts;
    for (const std::string &each : facts.ignored) {
        bool of_strategy = each.starts_with("PWLOCKS: ") || each.find(": pwlocks: ") != std::string::npos;
        std::string instead = of_strategy
                                  ? fmt::format("the {} strategy, from {}", facts.strategy, facts.source)
                                  : "what the next source says, or the default";
        found.push_back({tone::notice, fmt::format("{}. In force instead: {}.", each, instead)});
    }
    if (uint64_t more = since(facts.ignored.size(), facts.ignored_count); more > 0)
        found.push_back({tone::notice, fmt::format("{} ignored; the process kept no text of {}.",
                                                   more == 1 ? "1 more was" : counted(more, "", "more were"),
                                                   more == 1 ? "it" : "them")});
}

void find_inexact_counts(const evidence &seen, findings &found)
{
    if (seen.now.callers_unseen > 0)
        found.push_back(
            {tone::plain,
             fmt::format("{} threads share one row of counters, since there are so many: counts of items "
                         "may be too low.",
                         seen.now.callers_unseen)});
    uint64_t others = 0;
    for (const cpu_state &cpu : seen.now.cpus)
        for (const tally_state &each : cpu.tallies)
            if (each.function == "(others)")
                others = sum(others, sum(each.here, each.away));
    if (others > 0)
        found.push_back(
            {tone::plain, fmt::format("{} counted as of \"(others)\": the tables of functions are full.",
                                      counted(others, "execution is", "executions are"))});
}

findings find_all(const evidence &seen)
{
    findings found;
    for (auto find : {find_stuck_functions, find_starved_workers, find_mis_pinned, find_disturbed,
                      find_spared, find_unused_strategy, find_contended_locks, find_remote_locks,
                      find_ignored_options, find_inexact_counts})
        find(seen, found);
    return found;
}

std::string explanation(const process_sample &first, const snapshot &later, const screen &to)
{
    findings found = find_all(evidence(first.facts, first.state, later));
    std::string text = headline(first, to) + '\n';
    for (const finding &each : found)
        text += paragraph(toned(each.how == tone::plain ? "- " : "! ", each.how, to), each.text, 2, to);
    if (found.empty())
        text +=
            paragraph("",
                      "Nothing to report: no CPU was disturbed, no lock had to be waited for, no option was "
                      "ignored, each worker is on its own CPU, and nothing waits that does not move.",
                      0, to);
    return text;
}

} // namespace pw::tool
