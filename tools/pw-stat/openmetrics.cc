// SPDX-License-Identifier: MIT
#include "openmetrics.h"

namespace pw::tool {
namespace {

using enum metric_type;
using enum metric_unit;

// One number of each CPU.
struct cpu_metric {
    const char *name;
    metric_type type;
    metric_unit unit;
    const char *help;
    uint64_t (*value)(const cpu_state &);
};

// Of locks; also for the CPUs that have no worker, whose label is "other".
struct lock_metric {
    const char *name;
    metric_unit unit;
    const char *help;
    uint64_t lock_counts::*value;
};

#define FIELD(field) [](const cpu_state &cpu) -> uint64_t { return cpu.field; }
constexpr cpu_metric cpu_metrics[] = {
    {"pwlocks_queued_total", counter, none, "Items accepted for the CPU, whoever ran them.", FIELD(queued)},
    {"pwlocks_coalesced_total", counter, none, "Calls that found their item pending already.",
     FIELD(coalesced)},
    {"pwlocks_executed_total", counter, none, "Items run to the end, by the worker or by callers.",
     FIELD(executed)},
    {"pwlocks_executed_away_total", counter, none,
     "Items run to the end by threads that called in, under the lock strategy.", FIELD(executed_away)},
    {"pwlocks_cancelled_total", counter, none, "Items taken back before they started.", FIELD(cancelled)},
    {"pwlocks_pending", gauge, none, "Items queued and neither run to the end nor taken back.",
     FIELD(pending)},
    {"pwlocks_calls_total", counter, none, "Calls of pw_on_each_cpu() that the worker made.", FIELD(calls)},
    {"pwlocks_batches_total", counter, none, "Times the worker took everything that was queued.",
     FIELD(batches)},
    {"pwlocks_wakeups_total", counter, none, "Times the worker was woken from sleep.", FIELD(wakeups)},
    {"pwlocks_wakes_sent_total", counter, none, "System calls made to wake the worker.", FIELD(wakes_sent)},
    {"pwlocks_busy_seconds_total", counter, ns, "Time that the worker had something to run.", FIELD(busy_ns)},
    {"pwlocks_idle_seconds_total", counter, ns, "Time that the worker had nothing to run.", FIELD(idle_ns)},
    {"pwlocks_asleep_seconds_total", counter, ns, "Idle time that the worker slept.", FIELD(asleep_ns)},
    {"pwlocks_worker_sleeping", gauge, none, "1 while the worker sleeps.", FIELD(sleeping)},
    {"pwlocks_worker_mispinned", gauge, none,
     "1 if the worker's last turn began on another CPU than its own.",
     [](const cpu_state &cpu) -> uint64_t { return is_mispinned(cpu); }},
    {"pwlocks_cpu_isolated", gauge, none, "1 if the kernel isolates the CPU.", FIELD(isolated)},
};
#undef FIELD

constexpr lock_metric lock_metrics[] = {
    {"pwlocks_locks_remote_total", none,
     "Locks of the CPU taken from another one with membarrier(2), under the queue strategy.",
     &lock_counts::remote},
    {"pwlocks_locks_contended_total", none, "Acquisitions of the CPU's locks that had to wait.",
     &lock_counts::contended},
    {"pwlocks_locks_waited_seconds_total", ns, "Time that they waited.", &lock_counts::waited_ns},
    {"pwlocks_locks_lost_races_total", none,
     "Remote attempts that a restartable sequence overtook, tried again.", &lock_counts::lost_races},
};

constexpr char estimated[] = " The sum is an estimate: each bucket's count times its middle.";

class collection {
  public:
    collection()
    {
        for (const cpu_metric &each : cpu_metrics)
            of_cpus_.emplace_back(each.name, each.type, each.unit, each.help);
        for (const lock_metric &each : lock_metrics)
            of_locks_.emplace_back(each.name, counter, each.unit, each.help);
    }

    void add(const process_sample &process)
    {
        labels of_process = labels().with("pid", process.pid).with("command", process.command);
        add_facts(of_process, process);
        for (const cpu_state &cpu : process.state.cpus) {
            labels of_cpu = of_process.with("cpu", cpu.cpu);
            add_numbers(of_cpu, cpu);
            add_running(of_cpu, cpu, process.state.taken_ns);
            add_tallies(of_cpu, cpu);
            add_places(of_cpu, cpu, process.state);
            add_histograms(of_cpu, cpu, process.facts.full);
        }
        add_locks(of_process.with("cpu", "other"), process.state.elsewhere);
        for (const workqueue_state &each : process.state.workqueues)
            priority_.raise(of_process.with("workqueue", each.name), each.high);
    }

    std::string text(dialect wanted) const
    {
        std::string text;
        for (const metric_family *each : {&process_, &uptime_, &ignored_, &callers_unseen_, &priority_})
            text += each->text(wanted);
        for (const metric_family &each : of_cpus_)
            text += each.text(wanted);
        for (const metric_family &each : of_locks_)
            text += each.text(wanted);
        for (const metric_family *each :
             {&running_, &caller_running_, &callers_, &runs_, &run_time_, &longest_, &ran_on_})
            text += each->text(wanted);
        return text + wait_.text() + run_.text() + lock_wait_.text() + "# EOF\n";
    }

  private:
    void add_facts(const labels &of_process, const process_sample &process)
    {
        const segment_facts &facts = process.facts;
        process_.raise(of_process.with("strategy", facts.strategy)
                           .with("source", facts.source)
                           .with("lock_method", facts.lock_method)
                           .with("stats", facts.full ? "full" : "on"),
                       1);
        uptime_.raise(of_process, process.uptime_ns);
        ignored_.raise(of_process, facts.ignored_count);
        callers_unseen_.raise(of_process, process.state.callers_unseen);
    }

    void add_numbers(const labels &of_cpu, const cpu_state &cpu)
    {
        for (size_t i = 0; i < of_cpus_.size(); ++i)
            of_cpus_[i].add(of_cpu, cpu_metrics[i].value(cpu));
        add_locks(of_cpu, cpu.locks);
    }

    void add_locks(const labels &of_cpu, const lock_counts &locks)
    {
        for (size_t i = 0; i < of_locks_.size(); ++i)
            of_locks_[i].add(of_cpu, locks.*lock_metrics[i].value);
    }

    void add_running(const labels &of_cpu, const cpu_state &cpu, uint64_t now)
    {
        if (!cpu.running.empty() && cpu.running_since_ns != 0)
            running_.raise(of_cpu.with("function", cpu.running), since(cpu.running_since_ns, now));
        for (const running_function &each : cpu.caller_running) {
            labels of_function = of_cpu.with("function", each.name);
            if (each.since_ns != 0)
                caller_running_.raise(of_function, since(each.since_ns, now));
            callers_.add(of_function, each.threads);
        }
    }

    void add_tallies(const labels &of_cpu, const cpu_state &cpu)
    {
        for (const tally_state &each : cpu.tallies) {
            labels of_function = of_cpu.with("function", each.function)
                                     .with("workqueue", each.workqueue.empty() ? "(system)" : each.workqueue);
            add_tally(of_function.with("place", "here"), each.here, each.here_ns, each.here_longest_ns);
            add_tally(of_function.with("place", "away"), each.away, each.away_ns, each.away_longest_ns);
        }
    }

    void add_tally(const labels &to, uint64_t count, uint64_t total_ns, uint64_t longest_ns)
    {
        if (count == 0)
            return;
        runs_.add(to, count);
        run_time_.add(to, total_ns);
        longest_.raise(to, longest_ns);
    }

    void add_places(const labels &of_cpu, const cpu_state &cpu, const snapshot &state)
    {
        for (size_t i = 0; i < cpu.ran_on.size() && i <= state.cpus.size(); ++i)
            if (cpu.ran_on[i] > 0)
                ran_on_.add(
                    of_cpu.with("on", i < state.cpus.size() ? std::to_string(state.cpus[i].cpu) : "other"),
                    cpu.ran_on[i]);
    }

    void add_histograms(const labels &of_cpu, const cpu_state &cpu, bool of_items)
    {
        if (of_items) {
            wait_.add(of_cpu.with("place", "here"), cpu.wait_here);
            wait_.add(of_cpu.with("place", "away"), cpu.wait_away);
            run_.add(of_cpu.with("place", "here"), cpu.run_here);
            run_.add(of_cpu.with("place", "away"), cpu.run_away);
        }
        lock_wait_.add(of_cpu, cpu.lock_wait, cpu.locks.waited_ns);
    }

    metric_family process_{"pwlocks_process_info", gauge, none,
                           "What the runtime was started with; always 1."};
    metric_family uptime_{"pwlocks_uptime_seconds", gauge, ns, "Time since the runtime started."};
    metric_family ignored_{"pwlocks_ignored_options", gauge, none,
                           "Options of the operator that were ignored."};
    metric_family callers_unseen_{"pwlocks_callers_unseen", gauge, none,
                                  "Threads that share one row of counters: counts may be too low."};
    metric_family priority_{"pwlocks_workqueue_high_priority", gauge, none,
                            "1 if the workqueue is served before normal ones."};
    std::vector<metric_family> of_cpus_, of_locks_;
    metric_family running_{"pwlocks_worker_running_seconds", gauge, ns,
                           "How long the worker runs the function that it is in."};
    metric_family caller_running_{"pwlocks_caller_running_seconds", gauge, ns,
                                  "How long callers run a function for the CPU, the earliest that is timed."};
    metric_family callers_{"pwlocks_caller_running_threads", gauge, none,
                           "Threads that run a function for the CPU."};
    metric_family runs_{"pwlocks_function_runs_total", counter, none,
                        "How often a function ran for the CPU: here, on its worker, or away, by callers."};
    metric_family run_time_{"pwlocks_function_seconds_total", counter, ns,
                            "How long it ran: here the CPU was disturbed, away it was spared."};
    metric_family longest_{"pwlocks_function_longest_seconds", gauge, ns, "Its longest run since the start."};
    metric_family ran_on_{"pwlocks_ran_on_total", counter, none,
                          "On which CPU the CPU's items ran, under the lock strategy."};
    std::string wait_help_ = std::string("From queueing to start, with stats=full.") + estimated;
    std::string run_help_ = std::string("Run time of items, with stats=full.") + estimated;
    histogram_family wait_{"pwlocks_wait_seconds", wait_help_.c_str()};
    histogram_family run_{"pwlocks_run_seconds", run_help_.c_str()};
    histogram_family lock_wait_{"pwlocks_lock_wait_seconds", "Waits for the CPU's locks."};
};

} // namespace

std::string metrics_text(std::span<const process_sample> processes, dialect wanted)
{
    collection all;
    for (const process_sample &each : processes)
        all.add(each);
    return all.text(wanted);
}

} // namespace pw::tool
