#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Runs pw-stat against real processes. Usage: test_pw_stat.sh PW_STAT STAT_TARGET
set -uo pipefail

# shellcheck source=tests/pw_stat.bash
source "$(dirname "${BASH_SOURCE[0]}")/pw_stat.bash"

# column CPU HEADING: from the last output's row of that CPU
column() {
    awk -v cpu="$1" -v heading="$2" '
        !NF { table = 0 }
        table && $1 == cpu { print $number }
        $1 == "CPU" && $2 == "NODE" { table = 1; for (i = 1; i <= NF; i++) if ($i == heading) number = i }' "$out"
}

# state CPU: what stands in the last column, but for the time that something has been running
state() {
    awk -v cpu="$1" '
        !NF { table = 0 }
        table && $1 == cpu { line = substr($0, start); sub(/ for [0-9.]+[a-z]+/, " for TIME", line); print line }
        $1 == "CPU" && $2 == "NODE" { table = 1; start = index($0, "STATE") }' "$out"
}

# settles COMMAND...: the counters follow what a program sees by a moment: looks until COMMAND is content
settles() {
    local attempt
    for ((attempt = 0; attempt < 200; attempt++)); do
        look 0 "$pid"
        "$@" && return
        sleep 0.05
    done
    fail "$* of $strategy was never true"
}

all_done() {
    local cpu
    for cpu in $cpus; do
        [[ $(column "$cpu" QUEUED) == "$items" && $(column "$cpu" EXECUTED) == "$items" &&
            $(column "$cpu" CANCELLED) == 0 && $(column "$cpu" PENDING) == 0 && $(state "$cpu") == idle ]] || return 1
    done
}

is_blocked() {
    local first=${cpus%% *} queued=$((items + 4)) executed=$items run='running wait_for_release for TIME'
    if [[ $strategy == lock ]]; then
        executed=$((items + 3))
        run='idle; callers run wait_for_release for TIME'
    fi
    [[ $(column "$first" QUEUED) == "$queued" && $(column "$first" EXECUTED) == "$executed" &&
        $(column "$first" PENDING) == $((queued - executed)) && $(state "$first") == "$run" ]]
}

# One item runs, and its other queueing was taken back: it is neither pending nor executed.
is_cancelled() {
    local first=${cpus%% *}
    [[ $(column "$first" QUEUED) == $((items + 2)) && $(column "$first" EXECUTED) == "$items" &&
        $(column "$first" CANCELLED) == 1 && $(column "$first" PENDING) == 1 ]]
}

# Priority and name of each workqueue.
workqueues() {
    awk '!NF { table = 0 } table && $1 ~ /^[0-9]+$/ { print $5, $6 } $1 == "EXECUTED" && $6 == "WORKQUEUE" { table = 1 }' "$out"
}

# ledger CPU FUNCTION: how often it disturbed that CPU, and was spared to it
ledger() {
    awk -v cpu="$1" -v name="$2" '
        !NF { table = 0 }
        table && $1 == cpu && $NF == name { print $2, $6 }
        $1 == "CPU" && $2 == "DISTURBED" { table = 1 }' "$out"
}

# grep FIXED_TEXT in the last output
shows() {
    grep -qF -- "$1" "$out" || fail "pw-stat $pid does not show: $1"
}

for setting in PWLOCKS=0 PWLOCKS=1; do
    start "$setting" --
    settles all_done
    [[ $(awk '!NF { table = 0 } table && $1 ~ /^[0-9]+$/ { rows++ } $1 == "CPU" && $2 == "NODE" { table = 1 } END { print rows + 0 }' \
        "$out") -eq $(wc -w <<<"$cpus") ]] ||
        fail "not one row per CPU"
    shows "strategy     $strategy (from $source)"
    shows "$(basename "$target") $items"
    grep -qE '^uptime +([0-9]+s|[0-9]+m[0-9]{2}s)$' "$out" || fail "no uptime"
    grep -qE '^lock method +(rseq|atomic)$' "$out" || fail "no lock method"
    grep -q '^ignored' "$out" && fail "options ignored that nobody gave"
    for cpu in $cpus; do
        disturbed_spared="0 $items"
        [[ $strategy == lock ]] || disturbed_spared="$items 0"
        [[ $(ledger "$cpu" do_nothing) == "$disturbed_spared" ]] || fail "CPU $cpu: not disturbed and spared $disturbed_spared times"
    done
    if [[ $strategy == queue ]]; then
        for cpu in $cpus; do
            batches=$(column "$cpu" BATCHES)
            [[ $batches -ge 1 && $batches -le $items ]] || fail "CPU $cpu: $batches batches"
        done
    fi
    workqueues | grep -qv '^normal (system)$' && fail "workqueues that nobody created"
    look 0
    grep -qE "^ *$pid +$(basename "$target" | cut -c 1-15) +$strategy +$source " "$out" || fail "not in the list"
    finish
    look_fails 1 "pw-stat: $pid: no such process" "$pid"

    start "$setting" -- block
    settles is_blocked
    finish
done

# Locks are counted whoever takes them: here threads that never called into the runtime.
lock_counts() {
    local last=${cpus##* } remote=0
    # Seven and one, all of them remote where sequences are used and there is another CPU.
    if [[ $strategy == queue && $cpus == *' '* ]] && grep -qE '^lock method +rseq$' "$out"; then remote=8; fi
    [[ $(column "$last" REMOTE) == "$remote" && $(column "$last" CONTENDED) == 1 ]]
}
for setting in PWLOCKS=0 PWLOCKS=1; do
    start "$setting" -- locks
    settles lock_counts
    finish
done

# Workqueues that exist are listed, and cancelled items counted.
for setting in PWLOCKS=0 PWLOCKS=1; do
    start "$setting" -- workqueues
    settles is_cancelled
    [[ $(workqueues | sort) == $'high urgent\nnormal (system)\nnormal flusher' ]] || fail "workqueues"
    finish
done

# What the operator got wrong is shown; without statistics nothing is.
start PWLOCKS=2x PWLOCKS_OPTIONS='idle_spin_us=soon' --
look 0 "$pid"
[[ $(awk '$1 == "ignored" { print $2 }' "$out") == 2 ]] || fail "not two ignored options"
shows '"2x"'
shows '"soon"'
if [[ $(id -u) -eq 0 ]] && command -v setpriv >/dev/null; then
    # As a user that may not look, from a folder that it may read.
    chmod 755 "$scratch"
    cp -- "$pw_stat" "$scratch/pw-stat"
    setpriv --reuid 65534 --clear-groups "$scratch/pw-stat" "$pid" >"$out" 2>"$err"
    [[ $? -eq 1 && ! -s $out && $(cat "$err") == "pw-stat: $pid: permission denied (try as its user or as root)" ]] ||
        fail "another user's process"
else
    echo "skipped: another user's process: needs root and setpriv"
fi
finish
start PWLOCKS_OPTIONS='stats=off' --
look_fails 1 "pw-stat: $pid: does not use the pwlocks runtime (or it is not running)" "$pid"
look 0
grep -qE "^ *$pid " "$out" && fail "in the list without statistics"
finish
look_fails 1 "pw-stat: $$: does not use the pwlocks runtime (or it is not running)" "$$"

look 0 --help
for heading in CANCELLED PENDING DISTURBED; do
    grep -q "^  $heading " "$out" || fail "no explanation of the column $heading"
done

# A reader that went away, or was never there, is no error; a full disk is.
"$pw_stat" --help 2>"$err" | true
[[ ${PIPESTATUS[0]} -eq 0 && ! -s $err ]] || fail "a closed pipe"
"$pw_stat" --help 2>"$err" >&-
[[ $? -eq 0 && ! -s $err ]] || fail "closed standard output"
"$pw_stat" --help 2>"$err" >/dev/full
[[ $? -eq 1 && $(cat "$err") == 'pw-stat: cannot write: No space left on device' ]] || fail "a full disk"

report_failures
