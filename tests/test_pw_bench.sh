#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Runs pw-bench with few repetitions: what it reports, not how fast anything is. Usage: test_pw_bench.sh PW_BENCH
set -uo pipefail

if [[ $# -ne 1 ]]; then
    echo "usage: test_pw_bench.sh PW_BENCH" >&2
    exit 2
fi
pw_bench=$1
scratch=$(mktemp -d)
out=$scratch/out
err=$scratch/err
trap 'rm -rf -- "$scratch"' EXIT
unset PWLOCKS PWLOCKS_OPTIONS
export PWLOCKS_CONF=/dev/null
failures=0

fail() {
    echo "failed: $*"
    [[ -s $err ]] && sed 's/^/  stderr: /' "$err"
    failures=$((failures + 1))
}

# bench STATUS [ARGUMENT...]: runs pw-bench, which must exit with STATUS
bench() {
    local expected=$1 status=0
    shift
    timeout 300 "$pw_bench" "$@" >"$out" 2>"$err" </dev/null || status=$?
    [[ $status -eq $expected ]] || fail "pw-bench $*: exit status $status, not $expected"
}

# refuses LINE [ARGUMENT...]
refuses() {
    local line=$1
    shift
    bench 2 "$@"
    [[ ! -s $out ]] || fail "pw-bench $*: wrote to stdout"
    [[ $(head -n 1 "$err") == "pw-bench: $line" ]] || fail "pw-bench $*: stderr is not: $line"
}

few=(--repetitions 2 --pairs 1000)
bench 0 lock "${few[@]}" --json
python3 - "$out" <<'PYTHON' || fail "the JSON document"
import json
import math
import sys

with open(sys.argv[1], encoding="utf-8") as file:
    result = json.load(file)
assert result["schema"] == "pw-bench lock 1" and result["repetitions"] == 2, result
assert [run["strategy"] for run in result["runs"]] == ["queue", "lock"]
for run in result["runs"]:
    names = [row["name"] for row in run["rows"]]
    assert len(names) == len(set(names)), names
    expected = ["pw_lock_local", "pw_lock", "pw_trylock_local", "pw_trylock", "pw_lock_local_irqsave", "two rt_sigprocmask",
                "increment alone", "exchange and store", "pthread_spinlock_t", "pthread_mutex_t", "std::mutex"]
    if run["remote_cpu"] is not None:
        expected += ["remote: pw_lock", "remote: exchange and store"]
    assert not set(expected) - set(names), set(expected) - set(names)
    for row in run["rows"]:
        assert math.isfinite(row["cycles_median"]) and row["cycles_p25"] <= row["cycles_median"] <= row["cycles_p75"], row
assert len(result["targets"]) == 9
for target in result["targets"]:
    assert target["verdict"] in ("reached", "missed", "not measured"), target
    assert (target["ratio_median"] is None) == (target["verdict"] == "not measured"), target
PYTHON

bench 0 lock "${few[@]}" --no-peers
grep -q '^strategy queue, lock method ' "$out" || fail "no queue strategy in the table"
grep -q '^strategy lock, lock method atomic, ' "$out" || fail "no lock strategy in the table"
grep -q '^  pthread_spinlock_t ' "$out" && fail "peers although there were to be none"
grep -qE '^  queue: pw_lock_local faster than pthread_spinlock_t .* not measured$' "$out" || fail "no target without peers"

last=$(taskset -cp $$ | sed 's/.*[:, -]//')
timeout 300 taskset -c "$last" "$pw_bench" lock "${few[@]}" --no-peers >"$out" 2>"$err" || fail "one CPU"
grep -q 'one CPU only' "$out" || fail "does not say that there is one CPU only"
GLIBC_TUNABLES=glibc.pthread.rseq=0 timeout 300 "$pw_bench" lock "${few[@]}" --no-peers >"$out" 2>"$err" || fail "without rseq"
grep -q 'strategy queue, lock method atomic, out of line (no rseq)' "$out" || fail "does not say that there is no rseq"

refuses 'A subcommand is required'
refuses 'The following argument was not expected: --wrong' lock --wrong
refuses '--repetitions: Value 0 not in range 1 to 10000' lock --repetitions 0
refuses '--cpu: CPU 4095 is not ours to run on' lock --cpu 4095
refuses "--remote-cpu: is the same CPU as --cpu" lock --cpu "$last" --remote-cpu "$last"
bench 0 --version
grep -qE '^pw-bench [0-9]+\.[0-9]+' "$out" || fail "no version"
bench 0 lock --help
grep -q -- --json "$out" || fail "no help"
"$pw_bench" lock --help 2>"$err" >/dev/full
[[ $? -eq 1 && $(cat "$err") == 'pw-bench: cannot write: No space left on device' ]] || fail "a full disk"

if [[ $failures -gt 0 ]]; then
    echo "$failures checks failed"
    exit 1
fi
