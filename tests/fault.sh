# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# What the fault scripts share: fault_load as a co-process that answers questions. Sourced.

# skip REASON: this machine cannot run the test
skip() {
    echo "skipped: $1"
    exit 77
}

fail() {
    echo "failed: $1" >&2
    exit 1
}

# start_load PROGRAM: its first line is in $load_says, its pid in $load_pid
start_load() {
    local in out
    coproc load { exec "$1"; }
    load_pid=$!
    # Bash forgets its own ends when the co-process is gone: keep copies, and close those: a pipe with another
    # writer has no end.
    out=${load[0]} in=${load[1]}
    exec {load_out}<&"$out" {load_in}>&"$in"
    exec {out}<&- {in}>&-
    hear
}

# hear: the next line that the load says, in $load_says. Minutes: it waits for work, not for a clock.
hear() {
    IFS= read -r -t 120 load_says <&"$load_out" || fail "no answer: work or a flush hangs, or the load has died"
}

# round WHEN: every CPU's work is queued, run and flushed, and every CPU's lock taken, behind this question
round() {
    echo >&"$load_in"
    hear
    [[ $load_says == 'done' ]] || fail "$1: it said '$load_says'"
}

# end_load: counts everything
end_load() {
    local status=0
    exec {load_in}>&-
    hear
    wait "$load_pid" || status=$?
    load_pid=''
    exec {load_out}<&-
    echo "$load_says"
    [[ $status -eq 0 ]] || fail "something was lost: status $status"
    [[ $load_says == "executed "*", 0 errors" ]] || fail "it said '$load_says'"
}

load_pid='' load_says='' load_in='' load_out=''
kill_load() {
    if [[ -n $load_pid ]]; then
        kill -CONT "$load_pid" 2>/dev/null || true
        kill -KILL "$load_pid" 2>/dev/null || true
    fi
}
