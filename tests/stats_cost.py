#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What the statistics cost: the library's own rows of pw-bench lock, queue and call with stats=on beside stats=off.

Usage: stats_cost.py PW_BENCH [--pairs N] [--stats on|full] [--repetitions N]
Runs each in turn, so often, and prints the median of each side and the median of the pairs' ratios with its quartiles:
what lies between them is the machine's noise. Measures, and judges nothing.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys


def rows(pw_bench, command, stats, repetitions):
    environment = dict(os.environ, PWLOCKS_OPTIONS=f"stats={stats}", PWLOCKS_CONF="/dev/null")
    done = subprocess.run([pw_bench, command, "--json", "--no-peers", "--repetitions", str(repetitions)],
                          capture_output=True, text=True, env=environment, check=False, timeout=600)
    if done.returncode != 0:
        sys.exit(f"stats_cost: {command} with stats={stats}: {done.stderr}")
    for run in json.loads(done.stdout)["runs"]:
        for scene in run.get("scenes", [run]):
            for row in scene["rows"]:
                if row["group"] == "own":
                    unit = next(each for each in ("ns_median", "ns_p50") if each in row)
                    yield (command, run["strategy"], scene.get("scene", run.get("worker", "")), row["name"]), row[unit]


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("pw_bench")
    arguments.add_argument("--pairs", type=int, default=15)
    arguments.add_argument("--stats", choices=["on", "full"], default="on")
    arguments.add_argument("--repetitions", type=int, default=5)
    given = arguments.parse_args()
    sides = {"off": {}, given.stats: {}}
    for pair in range(given.pairs):
        # Whichever goes first finds a machine that the other one has warmed up.
        for stats in sorted(sides, reverse=pair % 2 == 1):
            for command in ("lock", "queue", "call"):
                for row, figure in rows(given.pw_bench, command, stats, given.repetitions):
                    sides[stats].setdefault(row, []).append(figure)
    print(f"{given.pairs} pairs, {given.repetitions} repetitions each; ratio: stats={given.stats} to stats=off")
    print(f"{'':<86} {'off':>8} {given.stats:>8} {'ratio':>7} {'25 %':>7} {'75 %':>7}")
    for row, off in sides["off"].items():
        on = sides[given.stats][row]
        ratios = [b / a for a, b in zip(off, on)]
        low, middle, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
        print(f"{' / '.join(filter(None, row)):<86} {statistics.median(off):8.1f} {statistics.median(on):8.1f} "
              f"{middle:7.3f} {low:7.3f} {high:7.3f}")


main()
