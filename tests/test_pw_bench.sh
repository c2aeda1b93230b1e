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

bench 0 queue --repetitions 2 --items 1000 --json
python3 - "$out" <<'PYTHON' || fail "the JSON document of queue"
import json
import math
import sys

with open(sys.argv[1], encoding="utf-8") as file:
    result = json.load(file)
assert result["schema"] == "pw-bench queue 1" and result["repetitions"] == 2 and result["items"] == 1000, result
assert [run["strategy"] for run in result["runs"]] == ["queue", "lock"]
for run in result["runs"]:
    assert run["producer_cpu"] != run["worker_cpu"], run
    expected = {"pw_queue_on", "pw_queue_work_on", "wfcqueue", "wfcqueue, state word", "a cache line there and back"}
    if run["strategy"] == "queue":
        expected.add("std::mutex and condition_variable, deque")
    shapes = {"distinct": (1, 1000, 1000), "recycled": (1, 1024, 1000), "several producers": (4, 4000, 4000)}
    assert [scene["scene"] for scene in run["scenes"]] == list(shapes)
    for scene in run["scenes"]:
        assert (scene["producers"], scene["items"], scene["queueings"]) == shapes[scene["scene"]], scene
        names = [row["name"] for row in scene["rows"]]
        assert len(names) == len(set(names)) and not expected - set(names), names
        assert {row["group"] for row in scene["rows"]} <= {"own", "reference", "peer"}
        for row in scene["rows"]:
            assert math.isfinite(row["ns_median"]) and 0 < row["ns_p25"] <= row["ns_median"] <= row["ns_p75"], row
    bytes_by_name = {each["name"]: each["bytes"] for each in run["bytes_an_item"]}
    assert set(bytes_by_name) == set(names), bytes_by_name
    assert bytes_by_name["pw_queue_on"] == 48 and bytes_by_name["wfcqueue"] == 8, bytes_by_name
    assert all(each is None or 0 < each < 1000 for each in bytes_by_name.values()), bytes_by_name
assert [(target["scene"], target["limit"]) for target in result["targets"]] == [("distinct", 1.6), ("distinct", 1),
                                                                                ("several producers", 1)]
for target in result["targets"]:
    assert target["verdict"] in ("reached", "missed"), target
PYTHON

bench 0 queue --repetitions 1 --items 1000 --producers 2 --no-peers
grep -qE '^strategy queue, producer on CPU [0-9]+, worker on CPU [0-9]+$' "$out" || fail "no queue strategy in the table"
grep -q ' 1 producer, each item once  *1024 items recycled  *2 producers, each item once$' "$out" || fail "no scenes in the table"
grep -qE '^  pw_queue_on( +[0-9]+\.[0-9]){9} +48$' "$out" || fail "no figures of pw_queue_on"
grep -q '^  moodycamel' "$out" && fail "peers although there were to be none"
grep -qE '^  several producers: pw_queue_on to the fastest peer .* not measured$' "$out" || fail "no target without peers"

bench 0 call --repetitions 2 --calls 200 --json
python3 - "$out" <<'PYTHON' || fail "the JSON document of call"
import json
import math
import sys

with open(sys.argv[1], encoding="utf-8") as file:
    result = json.load(file)
assert result["schema"] == "pw-bench call 1" and result["repetitions"] == 2 and result["calls"] == 200, result
both = {"pw_queue_on and pw_flush"}
expected = {("queue", "awake"): both | {"pw_queue_on, function answers", "one line there and back", "one line there, one back"},
            ("queue", "asleep"): both | {"futex there and back", "std::mutex and condition_variable"},
            ("lock", "asleep"): {"remote: pw_queue_on", "remote: pw_queue_on and pw_flush", "pw_queue_on, null function",
                                 "remote: exchange and store"}}
assert [(run["strategy"], run["worker"]) for run in result["runs"]] == list(expected)
for run in result["runs"]:
    names = [row["name"] for row in run["rows"]]
    missing = expected[run["strategy"], run["worker"]] - set(names)
    assert len(names) == len(set(names)) and not missing, missing
    assert run["caller_cpu"] != run["worker_cpu"], run
    for row in run["rows"]:
        assert row["calls"] == 2 * (200 if run["worker"] == "awake" or run["strategy"] == "lock" else 10), row
        assert math.isfinite(row["ns_max"]) and 0 <= row["ns_p50"] <= row["ns_p99"] <= row["ns_p999"] <= row["ns_max"], row
assert [(target["run"], target["limit"]) for target in result["targets"]] == [("queue, worker awake", 2.5),
                                                                              ("queue, worker asleep", 1.15), ("lock", 1.3)]
for target in result["targets"]:
    assert target["verdict"] in ("reached", "missed"), target
PYTHON

bench 0 call --repetitions 1 --calls 200 --no-peers
for title in 'queue, worker awake' 'queue, worker asleep' lock; do
    grep -q "^strategy $title, caller on CPU " "$out" || fail "no run $title in the table"
done
grep -q '^  std::mutex' "$out" && fail "peers although there were to be none"

bench 0 delay --armed 1000 --samples 20 --json
python3 - "$out" <<'PYTHON' || fail "the JSON document of delay"
import json
import math
import sys

with open(sys.argv[1], encoding="utf-8") as file:
    result = json.load(file)
assert result["schema"] == "pw-bench delay 1" and result["samples"] == 20 and result["armed"] == 1000, result
assert result["early"] == 0 and result["targets"] == [] and "repetitions" not in result, result
assert [run["strategy"] for run in result["runs"]] == ["queue", "lock"]
for run in result["runs"]:
    assert run["caller_cpu"] != run["worker_cpu"], run
    assert (run["runner_cpu"] == run["worker_cpu"]) == (run["strategy"] == "queue"), run
    assert [(row["name"], row["group"], row["armed"]) for row in run["lateness"]] == [
        (name, group, armed) for armed in (0, 1000)
        for name, group in (("pw_queue_delayed_on", "own"), ("clock_nanosleep", "reference"))]
    for row in run["lateness"]:
        assert row["times"] == 20 and row["early"] == 0, row
        assert math.isfinite(row["ns_max"]) and 0 <= row["ns_p50"] <= row["ns_p99"] <= row["ns_p999"] <= row["ns_max"], row
    assert [row["name"] for row in run["costs"]] == ["pw_queue_delayed_on", "pw_mod_delayed_on", "pw_cancel"]
    for row in run["costs"]:
        assert row["group"] == "own" and row["armed"] == 1000, row
        assert math.isfinite(row["ns_p75"]) and 0 < row["ns_p25"] <= row["ns_median"] <= row["ns_p75"], row
PYTHON

bench 0 delay --armed 1000 --samples 20
grep -qE "^strategy lock, caller on CPU [0-9]+, worker's CPU [0-9]+, functions run on CPU [0-9]+$" "$out" ||
    fail "no run of delay in the table"
grep -qE '^  clock_nanosleep +1000( +[0-9]+){4} +20 +0$' "$out" || fail "no figures of clock_nanosleep"
[[ $(tail -n 1 "$out") == 'never early: holds' ]] || fail "does not say whether work was early"

last=$(taskset -cp $$ | sed 's/.*[:, -]//')
timeout 300 taskset -c "$last" "$pw_bench" lock "${few[@]}" --no-peers >"$out" 2>"$err" || fail "one CPU"
grep -q 'one CPU only' "$out" || fail "does not say that there is one CPU only"
for command in queue call delay; do
    timeout 300 taskset -c "$last" "$pw_bench" "$command" >"$out" 2>"$err" && fail "$command on one CPU"
    [[ $(cat "$err") == "pw-bench: two CPUs are needed, one that calls and one that works; only CPU $last is ours to run on" ]] ||
        fail "$command does not say that there is one CPU only"
done
GLIBC_TUNABLES=glibc.pthread.rseq=0 timeout 300 "$pw_bench" lock "${few[@]}" --no-peers >"$out" 2>"$err" || fail "without rseq"
grep -q 'strategy queue, lock method atomic, out of line (no rseq)' "$out" || fail "does not say that there is no rseq"

refuses 'A subcommand is required'
refuses 'The following argument was not expected: --wrong' lock --wrong
refuses '--repetitions: Value 0 not in range 1 to 10000' lock --repetitions 0
refuses '--cpu: CPU 4095 is not ours to run on' lock --cpu 4095
refuses '--items: Value 10 not in range 1000 to 10000000' queue --items 10
refuses '--producers: Value 1 not in range 2 to 64' queue --producers 1
refuses '--calls: Value 1 not in range 100 to 10000000' call --calls 1
refuses '--armed: Value 1 not in range 100 to 10000000' delay --armed 1
refuses 'The following argument was not expected: --no-peers' delay --no-peers
refuses "--worker-cpu: is the same CPU as --cpu" call --cpu "$last" --worker-cpu "$last"
refuses '--worker-cpu: CPU 4095 is not ours to run on' queue --worker-cpu 4095
refuses 'The following argument was not expected: --pairs' queue --pairs
refuses "--remote-cpu: is the same CPU as --cpu" lock --cpu "$last" --remote-cpu "$last"
bench 0 --version
grep -qE '^pw-bench [0-9]+\.[0-9]+' "$out" || fail "no version"
for command in lock queue call delay; do
    bench 0 "$command" --help
    grep -q -- --json "$out" || fail "no help of $command"
done
"$pw_bench" lock --help 2>"$err" >/dev/full
[[ $? -eq 1 && $(cat "$err") == 'pw-bench: cannot write: No space left on device' ]] || fail "a full disk"

if [[ $failures -gt 0 ]]; then
    echo "$failures checks failed"
    exit 1
fi
