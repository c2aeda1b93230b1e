#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Every number of the JSON document against a program whose true counts are known.

Usage: stat_known.py PW_STAT PROGRAM
Runs it under both strategies, with stats=on and stats=full. tests/stat_known.cc says what it does.
"""

import json
import os
import subprocess
import sys

MS = 1_000_000
LONG = 20 * MS  # what known_long() and the wait for a lock last
failures = []


def check(what, holds, *values):
    if not holds:
        failures.append(f"{what}: {', '.join(map(str, values))}")


def equal(what, found, expected):
    check(what, found == expected, f"{found}, not {expected}")


def total(histogram):
    return sum(bucket["count"] for bucket in histogram)


def longest_bucket(histogram):
    return histogram[-1]["le_ns"] if histogram else 0


def run(program, pw_stat, strategy, stats):
    environment = dict(os.environ, PWLOCKS=strategy, PWLOCKS_OPTIONS=f"stats={stats}", PWLOCKS_CONF="/dev/null")
    with subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as target:
        truth = json.loads(target.stdout.readline())
        seen = subprocess.run([pw_stat, "--json", str(truth["pid"])], capture_output=True, text=True, check=True, timeout=60)
        target.stdin.close()
        if target.wait(timeout=60) != 0:
            sys.exit("stat_known: the program failed")
    (process,) = json.loads(seen.stdout)["processes"]
    equal("pid", process["pid"], truth["pid"])
    compare(process, truth, strategy == "1", stats == "full")


def compare(process, truth, is_lock, is_full):
    equal("strategy", process["strategy"], "lock" if is_lock else "queue")
    equal("stats", process["stats"], "full" if is_full else "on")
    equal("callers unseen", process["callers_unseen"], 0)
    cpus = {each["cpu"]: each for each in process["cpus"]}
    same = truth["here"] == truth["cpu"]
    cpu = cpus[truth["cpu"]]

    # By pw_queue_on() and by pw_queue_work_on(), which the worker runs under either strategy; calls beside them.
    by_strategy, by_worker, calls = 100 + 20 + 2 + (7 if same else 0), 5 + 3, 1
    expected = {
        ("known_a", None): (100, 0),
        ("known_b", "known"): (20, 0),
        ("known_a", "urgent"): (0, 5),
        ("known_long", None): (2, 3),
        ("known_call", None): (calls, 0),
    }
    if same:
        expected[("known_b", None)] = (7, 0)
    else:
        other = cpus[truth["here"]]
        for name, number in {"queued": 7, "executed": 7, "executed_away": 7 * is_lock, "pending": 0, "coalesced": 0,
                             "cancelled": 0, "calls": 0 if is_lock else 1}.items():
            equal(f"the other CPU: {name}", other[name], number)
        equal("the other CPU runs", other["running"], None)

    equal("queued", cpu["queued"], by_strategy + by_worker + 3)
    equal("executed", cpu["executed"], by_strategy + by_worker)
    equal("executed away", cpu["executed_away"], by_strategy * is_lock)
    equal("cancelled", cpu["cancelled"], 1)
    equal("coalesced", cpu["coalesced"], 2)
    equal("pending", cpu["pending"], 2)  # what the worker is stuck in has not been executed
    equal("calls", cpu["calls"], 0 if is_lock else calls)
    equal("seen on", cpu["seen_cpu"], truth["cpu"])
    equal("mispinned", cpu["mispinned"], False)
    equal("sleeping", cpu["sleeping"], False)

    found = {}
    for each in cpu["functions"]:
        here, away = found.get((each["function"], each["workqueue"]), (0, 0))
        found[(each["function"], each["workqueue"])] = (here + each["here"]["count"], away + each["away"]["count"])
    equal("functions", found, {key: (worker, strategy) if is_lock else (worker + strategy, 0)
                               for key, (strategy, worker) in expected.items()})

    equal("ran on", cpu["ran_on"], [{"cpu": truth["here"], "count": by_strategy + calls}] if is_lock else [])

    running = cpu["running"]
    equal("runs", running and running["function"], "known_stuck")
    check("runs since", truth["before_stuck_ns"] <= running["since_ns"] <= truth["stuck_by_ns"], running, truth)
    check("runs for", running["for_ns"] == process["taken_ns"] - running["since_ns"], running, process["taken_ns"])

    for side, times in ("here", 3 if is_lock else 5), ("away", 2 if is_lock else 0):
        runs = [each[side] for each in cpu["functions"] if each["function"] == "known_long"]
        check(f"known_long {side}: total", sum(each["total_ns"] for each in runs) >= times * LONG, runs)
        check(f"known_long {side}: longest", times == 0 or max(each["longest_ns"] for each in runs) >= LONG, runs)

    lived = process["taken_ns"] - process["start_ns"]
    check("busy and idle", truth["ready_ns"] - truth["first_ns"] <= cpu["busy_ns"] + cpu["idle_ns"] <= lived, cpu, lived)
    check("busy", cpu["busy_ns"] >= process["taken_ns"] - truth["stuck_by_ns"] + 3 * LONG, cpu["busy_ns"])
    check("asleep", 0 < cpu["asleep_ns"] <= cpu["idle_ns"], cpu["asleep_ns"], cpu["idle_ns"])
    check("wake-ups", 0 < cpu["wakeups"] <= cpu["wakes_sent"], cpu["wakeups"], cpu["wakes_sent"])
    # Each item was waited for, and a wait may queue a node of its own.
    check("batches", 0 < cpu["batches"] <= 2 * cpu["queued"] + cpu["coalesced"], cpu["batches"])

    locks = cpu["locks"]
    equal("contended", locks["contended"], 1)
    check("waited", locks["waited_ns"] >= truth["waited_ns"] >= LONG, locks, truth["waited_ns"])
    by_sequences = process["lock_method"] == "rseq" and not is_lock and not same
    check("remote", (locks["remote"] >= 12 + locks["lost_races"]) if by_sequences else locks["remote"] == 0, locks)
    waits = cpu["histograms"]["lock_wait"]
    equal("lock waits", total(waits), 1)
    check("lock wait", longest_bucket(waits) >= LONG, waits)

    if is_full:
        histograms = cpu["histograms"]
        here, away = (by_worker, by_strategy) if is_lock else (by_worker + by_strategy, 0)
        equal("waits here", total(histograms["wait_here"]), here + 1)  # of what is stuck as well
        equal("runs here", total(histograms["run_here"]), here)
        equal("waits away", total(histograms["wait_away"]), away)
        equal("runs away", total(histograms["run_away"]), away)
        check("longest run", longest_bucket(histograms["run_here"]) >= LONG, histograms["run_here"])
    else:
        equal("histograms", sorted(cpu["histograms"]), ["lock_wait"])

    queues = {each["name"]: (each["priority"], each["runs"]["count"]) for each in process["workqueues"]}
    rest = by_strategy + by_worker - 25
    elsewhere = 0 if same else 7
    equal("workqueues", queues, {None: ("normal", rest + elsewhere + calls * len(cpus)), "known": ("normal", 20), "urgent": ("high", 5)})


def main():
    pw_stat, program = sys.argv[1:]
    for strategy in "0", "1":
        for stats in "on", "full":
            failures.clear()
            run(program, pw_stat, strategy, stats)
            print(f"{'FAILED' if failures else 'ok':7}PWLOCKS={strategy} stats={stats}")
            for each in failures:
                print("   ", each)
            if failures:
                sys.exit(1)


main()
