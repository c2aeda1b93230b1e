#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The whole process is stopped and continued, wherever its threads are in queueing, waiting and waking: nothing is
# lost and every flush returns. Usage: fault_stopped.sh FAULT_LOAD
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=fault.sh
source "$(dirname "${BASH_SOURCE[0]}")/fault.sh"
trap kill_load EXIT
trap 'exit 1' INT TERM HUP

# stopped: every thread of the load is stopped
stopped() {
    local task state
    for task in /proc/"$load_pid"/task/*; do
        state=$(sed -n 's/^State:[[:space:]]*\(.\).*/\1/p' "$task/status")
        [[ $state == T ]] || return 1
    done
}

start_load "$1"
echo "$load_says"
round "before"
for turn in {1..30}; do
    # Somewhere in the middle of what it does.
    sleep "0.0$((turn % 7))"
    kill -STOP "$load_pid"
    for _ in {1..1000}; do
        if stopped; then break; fi
        sleep 0.01
    done
    stopped || fail "turn $turn: the load does not stop"
    # A question that arrives while it is stopped is answered afterwards.
    echo >&"$load_in"
    # Long enough for the timeouts of waiters to run out meanwhile.
    sleep "0.0$((turn % 10))"
    kill -CONT "$load_pid"
    hear
    [[ $load_says == 'done' ]] || fail "turn $turn: it said '$load_says'"
done
end_load
