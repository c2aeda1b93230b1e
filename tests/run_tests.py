#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs a build folder's tests and counts them: each Catch2 case of each run, and each other program, is one.

The last line is "N passed, N failed"; the exit status is 0 only if something passed and nothing failed. A
program that cannot run here exits with 77 and says why in its last line; a Catch2 case that cannot run prints a
line "skipped: why".
"""
import argparse
import json
import pathlib
import re
import subprocess
import sys

# What Catch2 prints at its end, in versions 2 and 3.
ALL_PASSED = re.compile(r"^All tests passed \(.* in (\d+) test cases?\)", re.MULTILINE)
TABLE = re.compile(r"^test cases: *(\d+) \|(.*)$", re.MULTILINE)
TABLE_CELL = re.compile(r"(\d+) (passed|failed as expected|failed|skipped)")
NO_CASES = re.compile(r"^No test(s| cases) (ran|matched)", re.MULTILINE)
SKIPPED_CASE = re.compile(r"^\s*skipped: (.+)$", re.MULTILINE)


class Counts:
    def __init__(self):
        self.passed = 0
        self.failed = []
        self.skipped = []

    def add(self, test):
        """Adds one entry of Meson's log."""
        name, result = test["name"], test["result"]
        output = test.get("stdout", "")
        if result == "SKIP":
            lines = (output + "\n" + test.get("stderr", "")).split("\n")
            reasons = [line.strip() for line in lines if line.strip()]
            self.skipped.append((name, reasons[-1] if reasons else "no reason given"))
            return

        good = result in ("OK", "EXPECTEDFAIL")
        cases = catch_cases(output)
        if cases is None:
            self.passed += good
            if not good:
                self.failed.append((name, result, 1))
            return
        passed, failed = cases
        reasons = SKIPPED_CASE.findall(output)
        self.skipped += [(name, reason) for reason in reasons]
        self.passed += max(0, passed - len(reasons))
        if not good or failed:
            # It may also have died after its last case, or at a sanitizer's report: a failure of its own.
            self.failed.append((name, "no test case ran" if good else result, max(1, failed)))


def catch_cases(output):
    """Returns (passed, failed) if the output is Catch2's, else None."""
    everything = ALL_PASSED.findall(output)
    if everything:
        return int(everything[-1]), 0
    tables = TABLE.findall(output)
    if tables:
        cells = {what: int(number) for number, what in TABLE_CELL.findall(tables[-1][1])}
        return cells.get("passed", 0) + cells.get("failed as expected", 0), cells.get("failed", 0)
    if NO_CASES.search(output):
        return 0, 1  # a test program without a test is broken
    return None


def main():
    parser = argparse.ArgumentParser(description="Run the tests of a build folder and count them.")
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--suite", action="append", default=[])
    parser.add_argument("--timeout-multiplier", type=float, default=1)
    arguments = parser.parse_args()

    log = arguments.build / "meson-logs" / "testlog.json"
    log.unlink(missing_ok=True)
    command = ["meson", "test", "-C", str(arguments.build), "--no-rebuild", "--print-errorlogs"]
    command += ["--timeout-multiplier", str(arguments.timeout_multiplier)]
    for suite in arguments.suite:
        command += ["--suite", suite]
    meson = subprocess.run(command, stdin=subprocess.DEVNULL, check=False)

    counts = Counts()
    if log.exists():
        with log.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                counts.add(json.loads(line))
    failed = sum(number for _, _, number in counts.failed)
    if not failed and meson.returncode != 0:
        counts.failed.append(("meson test", f"exit status {meson.returncode}", 1))
        failed = 1
    if not failed and not counts.passed:
        counts.failed.append(("the suite", "no test ran", 1))
        failed = 1

    print()
    for name, reason in counts.skipped:
        print(f"skipped  {name}: {reason}")
    for name, result, number in counts.failed:
        print(f"failed   {name}: {result}" + (f", {number} cases" if number > 1 else ""))
    print(f"{counts.passed} passed, {failed} failed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
