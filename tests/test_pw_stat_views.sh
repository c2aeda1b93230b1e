#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Intervals, histograms, what runs, and explanations of live, stuck and stopped processes.
# Usage: test_pw_stat_views.sh PW_STAT STAT_TARGET
set -uo pipefail
# shellcheck source=tests/pw_stat.bash
source "$(dirname "${BASH_SOURCE[0]}")/pw_stat.bash"
unset NO_COLOR COLUMNS LINES

# shows FIXED_TEXT: in the last output
shows() {
    grep -qF -- "$1" "$out" || fail "$strategy: not shown: $1"
}

# until_shown TEXT ARGUMENT...: the counters follow what a program sees by a moment
until_shown() {
    local text=$1 attempt
    shift
    for ((attempt = 0; attempt < 200; attempt++)); do
        look 0 "$@"
        grep -qF -- "$text" "$out" && return
        sleep 0.05
    done
    fail "$strategy: pw-stat $*: never showed: $text"
}

# until_written FILE: has something in it
until_written() {
    local attempt
    for ((attempt = 0; attempt < 200; attempt++)); do
        [[ -s $1 ]] && return
        sleep 0.05
    done
    fail "nothing was written to $1"
}

# rates HEADING: of that column, one a line
rates() {
    awk -v heading="$1" '$1 == "TIME" { for (i = 1; i <= NF; i++) if ($i == heading) number = i } /^[0-9]/ { print $number }' "$out"
}

# on_terminal COLUMNS VARIABLE=VALUE ARGUMENT...: as look 0, on a terminal of that width
on_terminal() {
    local columns=$1 setting=$2
    shift 2
    printf -v command '%q ' "$pw_stat" "$@"
    TERM=xterm script -qec "stty cols $columns rows 24; exec env $setting $command" /dev/null </dev/null 2>"$err" |
        tr -d '\r' >"$out"
    [[ ${PIPESTATUS[0]} -eq 0 ]] || fail "pw-stat $* on a terminal of $columns columns"
}

for setting in PWLOCKS=0 PWLOCKS=1; do
    start "$setting" -- block
    first=${cpus%% *}
    pending=4
    by=worker
    [[ $strategy == queue ]] || { pending=1 by='1 caller'; }

    # What is stuck is named, also of a process that is stopped itself.
    until_shown wait_for_release running "$pid"
    kill -STOP "$pid"
    look 0 running "$pid"
    grep -qE " $by +wait_for_release$" "$out" || fail "$strategy: wait_for_release is not run by $by"
    awk -v cpu="$first" -v pending="$pending" '$1 == cpu && $4 == pending { found = 1 } END { exit !found }' "$out" ||
        fail "$strategy: not $pending items pending on CPU $first"
    look 0 "$pid" --explain
    shows 'been running wait_for_release for '
    [[ $strategy == lock ]] || shows '3 items wait behind it.'
    grep -q '^Nothing to report' "$out" && fail "$strategy: something runs, and nothing is said to be reported"
    kill -CONT "$pid"

    # Rates: since the start, then over the interval, in which nothing happens.
    look 0 "$pid" 0.1 3
    [[ $(grep -c '^TIME' "$out") -eq 1 && $(rates QUEUED | wc -l) -eq 3 ]] || fail "not three lines below one heading"
    [[ $(rates QUEUED | head -n 1) != 0 && $(rates QUEUED | tail -n 2 | sort -u) == 0 ]] || fail "$strategy: rates"
    [[ $(rates PENDING | sort -u) == "$pending" && $(rates RUNNING | sort -u) == 1 ]] || fail "$strategy: states"
    look 0 "$pid" -P ALL 0.1 2
    [[ $(rates CPU | xargs) == "$cpus $cpus" ]] || fail "not each CPU twice"
    look 0 "$pid" -P "$first"
    [[ $(rates CPU) == "$first" ]] || fail "not the one CPU once"

    # As wide as the terminal at most.
    for columns in 40 80 200; do
        for arguments in "$pid" "running $pid" "hist $pid" "$pid --explain" "$pid -P ALL 0.1 2"; do
            # shellcheck disable=SC2086 # several
            on_terminal "$columns" NO_COLOR=1 $arguments
            [[ $(wc -l <"$out") -ge 2 ]] || fail "pw-stat $arguments: nothing on a terminal"
            [[ $(LC_ALL=C.UTF-8 wc -L <"$out") -le $columns ]] || fail "pw-stat $arguments: wider than $columns columns"
            grep -q $'\e' "$out" && fail "pw-stat $arguments: NO_COLOR, and colours"
        done
        on_terminal "$columns" NO_COLOR= running "$pid"
        grep -q $'\e' "$out" || fail "no colours on a terminal"
    done

    # The end of the process ends the watching.
    : >"$out"
    "$pw_stat" "$pid" 0.1 >"$out" 2>"$err" &
    watcher=$!
    until_written "$out"
    finish
    status=0
    wait "$watcher" || status=$?
    [[ $status -eq 3 && $(cat "$err") == "pw-stat: $pid: has ended, or its runtime has" ]] ||
        fail "watching a process that ends: status $status"
done

# A runtime that is started anew counts from zero. The watcher stands still meanwhile: without a runtime it would end.
start PWLOCKS=0 --
: >"$out"
"$pw_stat" "$pid" 0.1 >"$out" 2>"$err" &
watcher=$!
until_written "$out"
kill -STOP "$watcher"
printf r >&"${helper[1]}"
again=''
read -r -t 60 again <&"${helper[0]}"
[[ $again == again ]] || fail "stat_target did not start again"
kill -CONT "$watcher"
until_written "$err"
finish
wait "$watcher"
[[ $(head -n 1 "$err") == "pw-stat: $pid: its runtime was started anew; the next line is since then" ]] ||
    fail "no word of another runtime"

# Histograms: of items with stats=full only.
start PWLOCKS=0 PWLOCKS_OPTIONS=stats=full --
count=$((items * $(wc -w <<<"$cpus")))
until_shown "  $count items: p50 " hist "$pid"
shows "all CPUs: run time, on the CPU's worker"
look 0 hist "$pid" -P ALL
for cpu in $cpus; do
    shows "CPU $cpu: queued to started, on the CPU's worker"
done
[[ $(grep -c "^  $items items: p50 " "$out") -eq $((2 * $(wc -w <<<"$cpus"))) ]] || fail "not $items items of each CPU"
look 0 "$pid" --explain
shows "CPU ${cpus%% *} was disturbed $items times"
shows "The lock strategy would have spared the CPUs up to $count of these $count disturbances"
look_fails 2 "pw-stat: 8191: no worker on that CPU; there are workers on $(tr ' ' , <<<"$cpus" | sed 's/^0,1$/0-1/')" hist "$pid" -P 8191
finish
start PWLOCKS=0 PWLOCKS_OPTIONS='idle_spin_us=soon pwlocks=7' --
look 0 hist "$pid"
shows 'Histograms of items are kept with stats=full only'
look 0 "$pid" --explain
shows '"soon", ignored. In force instead: what the next source says, or the default.'
shows "\"7\", ignored. In force instead: the queue strategy, from PWLOCKS."
finish

for interval in x 0 -1 0.001 1e9 nan; do
    look_fails 2 "pw-stat: \"$interval\": not an interval in seconds, from 0.01 to 86400" -- 1 "$interval"
done
for count in x 0 1.5; do
    look_fails 2 "pw-stat: \"$count\": not a number of lines" 1 1 "$count"
done
look_fails 2 'pw-stat: --explain: not together with an interval or -P' 1 1 --explain
for command in hist running; do
    look_fails 2 'pw-stat: PID|NAME is required' "$command"
done

report_failures
