#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Builds pwlocks and shows what it is for: a per-CPU object cache is drained from another CPU 1,000 times a
# second while a loop runs, under both strategies. Usage: tools/demo.sh [seconds per run]
set -euo pipefail

seconds=${1:-5}
if [[ $# -gt 1 || ! $seconds =~ ^[1-9][0-9]{0,3}$ ]]; then
    echo "usage: tools/demo.sh [seconds per run, 1 to 9999]" >&2
    exit 2
fi
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=$root/build
cache=$build/examples/object_cache
pw_stat=$build/tools/pw-stat

"$root/tools/setup.sh" demo
"$root/tools/build.sh" "$build" -Dbuildtype=debugoptimized -Db_sanitize=none \
    -Dtests=false -Dtools=true -Dexamples=true -Ddocs=false

results=$(mktemp -d)
running=
finish() {
    if [[ -n $running ]]; then kill "$running" 2>/dev/null || true; fi
    rm -rf -- "$results"
}
trap finish EXIT
failed=0

# run NAME TITLE VARIABLE=VALUE...: one run, with pw-stat's view from its middle; its output in NAME.out
run() {
    local name=$1 title=$2 pid status=0 arguments
    shift 2
    printf '\n=== %s: %s object_cache --seconds %s\n' "$title" "$*" "$seconds"
    # A hang fails the demo instead of blocking it; the file tells the pid of the cache itself.
    # shellcheck disable=SC2016 # expanded by the inner shell
    timeout --foreground -k 5 $((seconds + 60)) env "$@" \
        bash -c 'echo "$$" >"$1"; exec "$2" --seconds "$3"' - "$results/pid" "$cache" "$seconds" \
        >"$results/$name.out" </dev/null &
    running=$!
    sleep "$((seconds / 2)).$((seconds % 2 * 5))"
    pid=$(cat "$results/pid")
    for arguments in '' "$pid"; do
        printf '\n$ pw-stat%s\n' "${arguments:+ $arguments}"
        # shellcheck disable=SC2086 # no word, or one
        "$pw_stat" $arguments || { failed=1; echo "demo: pw-stat $arguments failed" >&2; }
    done
    wait "$running" || status=$?
    running=
    printf '\n'
    sed '/^result /d' "$results/$name.out"
    if [[ $status -ne 0 ]]; then
        failed=1
        echo "demo: the run with $* failed with status $status" >&2
    fi
}

# value NAME KEY: a figure from a run's result line
value() {
    tr ' ' '\n' <"$results/$1.out" | sed -n "s/^$2=//p"
}

run queue 'strategy queue' PWLOCKS=0
run lock 'strategy lock' PWLOCKS=1
columns=(queue lock)
titles=(queue lock)
if [[ $(value queue loop_class) == fifo:* ]]; then
    run fifo "strategy queue, its workers above the loop's priority" \
        PWLOCKS=0 PWLOCKS_OPTIONS="sched=fifo:50${PWLOCKS_OPTIONS:+ $PWLOCKS_OPTIONS}"
    columns+=(fifo)
    titles+=('queue, worker fifo:50')
fi

if [[ $failed -ne 0 ]]; then
    echo "demo: no table, since a run failed" >&2
    exit 1
fi

printf '\n=== %s s each, one binary, cpus: %s, the loop on cpu %s\n\n' \
    "$seconds" "$(value queue cpus)" "$(value queue loop_cpu)"
for column in "${columns[@]}"; do
    grep '^result ' "$results/$column.out"
done | awk -v titles="$(IFS='|'; echo "${titles[*]}")" -f "$root/tools/demo_table.awk"
