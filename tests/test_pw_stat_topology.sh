#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What pw-stat topology says that programs would do is what one does. Usage: test_pw_stat_topology.sh PW_STAT STAT_TARGET
set -uo pipefail
# shellcheck source=tests/pw_stat.bash
source "$(dirname "${BASH_SOURCE[0]}")/pw_stat.bash"

# value NAME: from the head of the last output
value() {
    awk -v name="$1" '$1 == name { $1 = ""; print substr($0, 2); exit }' "$out"
}

# How many CPUs have a worker by the last output's table.
with_worker() {
    awk '!NF { table = 0 } table { n += $worker == "yes" }
        $1 == "CPU" && /WORKER/ { table = 1; for (i = 1; i <= NF; i++) if ($i == "WORKER") worker = i }
        END { print n + 0 }' "$out"
}

# cpus_in LIST: how many there are in "0-3,8"
cpus_in() {
    tr , '\n' <<<"$1" | awk -F- '{ n += NF == 2 ? $2 - $1 + 1 : 1 } END { print n }'
}

# predicts VARIABLE=VALUE...
predicts() {
    local settings=("$@") workers strategy_line
    timeout 60 env "${settings[@]}" "$pw_stat" topology >"$out" 2>"$err" || fail "topology with ${settings[*]}"
    workers=$(value workers)
    strategy_line=$(value strategy)
    [[ $(with_worker) -eq $(cpus_in "$workers") ]] || fail "${settings[*]}: the table and the head differ"
    start "${settings[@]}" --
    look 0 "$pid"
    [[ $(value cpus) == "$workers" ]] || fail "${settings[*]}: workers on $(value cpus), not on $workers"
    [[ $(value strategy) == "$strategy_line" ]] || fail "${settings[*]}: strategy $(value strategy), not $strategy_line"
    finish
}

last=$(taskset -cp $$ | sed 's/.*[:, -]//')
predicts PWLOCKS=0
predicts PWLOCKS=1
predicts PWLOCKS=auto
predicts PWLOCKS_OPTIONS="cpus=$last"
predicts PWLOCKS_OPTIONS='pwlocks=lock cpus=housekeeping'
predicts PWLOCKS_OPTIONS='cpus=isolated'
predicts PWLOCKS_OPTIONS="cpus=$last,8191"
predicts PWLOCKS_OPTIONS='cpus=8191'
printf 'pwlocks=1\ncpus=%s\n' "$last" >"$scratch/conf"
predicts PWLOCKS_CONF="$scratch/conf"
taskset -cp "$last" $$ >/dev/null
predicts PWLOCKS=0
[[ $last == 0 ]] || grep -q ' not in the affinity that programs inherit$' <("$pw_stat" topology) || fail "the affinity is no reason"

# Looking at one's environment is not using it: only topology speaks of what is wrong with it.
PWLOCKS=2x look 0 topology
grep -q '^pwlocks: PWLOCKS: invalid value "2x", ignored$' "$err" || fail "topology does not complain of PWLOCKS"
[[ $(value ignored) == 1 ]] || fail "topology does not show what is ignored"
PWLOCKS=2x look 0 --help
[[ ! -s $err ]] || fail "complains of PWLOCKS without a reason"
look 0 topology --json
grep -q '^  "topology": {$' "$out" || fail "no document"

report_failures
