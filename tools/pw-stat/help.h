// SPDX-License-Identifier: MIT
// What stands below the options in each command's help: what its columns mean.
#pragma once

namespace pw::tool {

constexpr char list_help[] = R"(One line per process:
  CPUS      CPUs that have a worker
  UPTIME    since the runtime started)";

constexpr char process_help[] =
    R"(Without a process: the list, as "pw-stat list". A process is named by its id or by its exact name; of several
of that name, each is shown. One that is named like a subcommand stands behind "--": pw-stat -- list

What the process is set to, then one line per CPU. Counts are since the runtime started.
  NODE      NUMA node
  ISOLATED  whether the CPU is isolated (isolcpus, nohz_full)
  TID       thread id of the CPU's worker, as the process sees it
  QUEUED    items accepted for this CPU, whoever ran them
  COALESCED calls that found their item pending already
  EXECUTED  items run to the end, by the CPU's worker or by callers
  AWAY      of those: by callers (lock strategy), which spared the CPU
  CANCELLED items taken back before they started
  PENDING   items queued and neither executed nor cancelled yet, now
  CALLS     calls of pw_on_each_cpu that the worker made
  BATCHES   times the worker took everything that was queued
  WAKEUPS   times the worker was woken from sleep; WAKES: system calls that were to wake it
  BUSY      the worker's time in turns, from taking something until nothing is left; ASLEEP: its time asleep
  REMOTE    times a lock of this CPU was taken from another CPU with membarrier (queue strategy)
  CONTENDED times somebody had to wait for a lock of this CPU; WAITED: for how long
  LOST      remote attempts that the lock's own CPU overtook
  STATE     of the worker: idle (asleep), waking (it has work, but did not get its CPU yet), awake, or running
            and the function; under the lock strategy also what callers run for this CPU. Mis-pinned: the worker
            found itself on another CPU
One line per workqueue, if there was work. One line per CPU and function:
  DISTURBED how often the CPU's worker ran it, and for how long
  SPARED    how often callers ran it on behalf of the CPU (lock strategy), and for how long

With an interval in seconds: a line of rates per second for each, the first one since the start. PENDING,
RUNNING (threads in functions) and OLDEST (for how long the first of those) are of the moment.
  BUSY, ASLEEP  of all workers' time; SPARED: what callers ran for the CPUs, of the same

For other programs, with or without a process: --json, of which the schema is pw-stat.schema.json beside this
program's other data; --openmetrics; --textfile. With an interval, --watch-file keeps a file up to date: the
report, or what --json or --openmetrics write.)";

constexpr char hist_help[] =
    R"(Of items, from queueing to start and run time; of locks that were not free, the time waited. Items only with
stats=full. Each bar is what took from so long to below so long; p50 and p99 are the ends of the bars that
complete a half and 99 of 100.)";

constexpr char running_help[] =
    R"(One line per worker, and per function that callers run for a CPU under the lock strategy.
  WORKER    its thread id, as the process sees it
  PENDING   items of the CPU that are queued and not done, with what runs
  FOR       how long it has been running; with stats=on, of short items up to 16 items early)";

constexpr char top_help[] =
    R"(Keys: q ends; < > choose the column to sort by, r reverses; arrows and pages select a row; Enter opens a
process, Esc goes back, Tab goes to the other table; + - change how often it looks, d asks for the seconds.

Processes, then the CPUs and the functions of one; rates are over the time between two looks.
  BUSY      what workers ran, in percent of one CPU's time
  QUEUED    items accepted
  HERE      items and calls of pw_on_each_cpu that CPUs' own workers ran, which disturbs these CPUs
  AWAY      items that callers ran for CPUs under the lock strategy, which spares these CPUs
  PENDING   items queued and neither executed nor cancelled yet, now
  WAKEUPS   times workers were woken from sleep
  REMOTE    locks taken from another CPU with membarrier (queue strategy)
  CONTENDED locks that somebody had to wait for
  WAITED    the time that they waited, in percent of one CPU's
  FOR       how long what runs now has been running
  STATE     of the worker, or what it and callers run; RUNNING: what runs for longest in the process
  LONGEST   run of the function since the start, on its CPU or away
  CPUS      those whose workers ran the function; of a process, how many have a worker)";

constexpr char topology_help[] =
    R"(Which CPUs a program would use that is started from here, with this environment and affinity, unless it
chooses CPUs or a strategy by itself. One line per CPU that is present:
  NODE      NUMA node
  PACKAGE   socket
  CORE, L1D, L2, L3
            the CPUs with which it shares its core and its data caches
  ISOLATED  isolcpus, or an isolated cpuset
  NOHZ_FULL without a tick while one thread runs; counts as isolated, too
  WORKER    whether it would get one, and WHY
Then one line per kind of cache, with how many there are and how many CPUs share one at most, and per node.)";

constexpr char completion_help[] =
    R"help(An installed pw-stat has put it where shells look. Else, for this shell:
  eval "$(pw-stat completion bash)")help";

} // namespace pw::tool
