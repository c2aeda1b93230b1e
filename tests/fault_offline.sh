#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# A CPU goes offline and comes back while its work and its locks are in use: nothing is lost, every flush returns,
# its locks can be taken; and a program can start while it is away. Usage: fault_offline.sh FAULT_LOAD
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=fault.sh
source "$(dirname "${BASH_SOURCE[0]}")/fault.sh"

program=$1
cpu=1
switch=/sys/devices/system/cpu/cpu$cpu/online
[[ $EUID -eq 0 ]] || skip "needs root, to take a CPU offline"
[[ -w $switch ]] || skip "$switch cannot be written: no second CPU, or /sys is read-only"
[[ $(cat "$switch") == 1 ]] || skip "cpu $cpu is offline already"
taskset -c 0,$cpu true 2>/dev/null || skip "cpu 0 and cpu $cpu are not both ours"

online() {
    # Somebody may be using the CPUs' list at this moment: try again, it must not stay offline.
    for _ in {1..100}; do
        if echo 1 >"$switch" && [[ $(cat "$switch") == 1 ]]; then return 0; fi
        sleep 0.1
    done
    echo "failed: cpu $cpu is still offline: echo 1 >$switch" >&2
    return 1
}
offline() {
    [[ $(cat "$switch") == 1 ]] || fail "cpu $cpu is offline before it should be"
    { echo 0 >"$switch"; } 2>/dev/null || skip "cpu $cpu cannot be taken offline here"
    [[ $(cat "$switch") == 0 ]] || fail "cpu $cpu did not go offline"
}
finish() {
    local status=$?
    trap '' INT TERM HUP
    online || status=1
    kill_load
    exit "$status"
}
trap finish EXIT
trap 'exit 1' INT TERM HUP

# The worker's CPU goes and comes back under it.
start_load "$program"
[[ $load_says == "cpus 0 $cpu"* ]] || fail "it started with '$load_says'"
echo "$load_says"
round "before"
for turn in 1 2 3 4; do
    offline
    round "turn $turn, cpu $cpu offline"
    round "turn $turn, cpu $cpu offline"
    online
    round "turn $turn, cpu $cpu back"
done
end_load

# A program that starts meanwhile has no worker there, but the CPU's lock and data.
offline
start_load "$program"
echo "$load_says"
[[ $load_says == "cpus 0 of "* ]] || fail "it started with '$load_says' while cpu $cpu was offline"
[[ $load_says =~ of\ ([0-9]+), && ${BASH_REMATCH[1]} -gt $cpu ]] || fail "cpu $cpu cannot occur: '$load_says'"
round "cpu $cpu offline from the start"
online
round "cpu $cpu came later"
offline
round "cpu $cpu went again"
online
end_load
