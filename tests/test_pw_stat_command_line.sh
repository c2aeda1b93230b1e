#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What pw-stat understands, and what it says of the rest. Usage: test_pw_stat_command_line.sh PW_STAT STAT_TARGET
set -uo pipefail
# shellcheck source=tests/pw_stat.bash
source "$(dirname "${BASH_SOURCE[0]}")/pw_stat.bash"

# documented WORD SUBCOMMAND: the manual page has it, too
page=$(dirname "${BASH_SOURCE[0]}")/../doc/pw-stat.1
documented() {
    grep -qE -- "^\.(It|Op|Fl|Cm|Nm).*[ -]$1([ ,]|\$)" "$page" || fail "pw-stat.1 lacks $1 of pw-stat $2"
}

# Every subcommand has a help that exits with 0 and states its exit statuses.
look 0 --help
subcommands=$(awk '/^Subcommands:/ { inside = 1; next } !NF { inside = 0 } inside && /^  [a-z]/ { print $1 }' "$out")
[[ $subcommands == *list* ]] || fail "no subcommands in --help"
for subcommand in '' $subcommands; do
    for option in -h --help; do
        look 0 ${subcommand:+"$subcommand"} "$option"
        grep -q "^Usage: pw-stat ${subcommand:+$subcommand }" "$out" || fail "$subcommand $option: no usage"
        grep -q '^Exit status: 0; 1 ' "$out" || fail "$subcommand $option: no exit status"
        [[ $(wc -L <"$out") -le 120 ]] || fail "$subcommand $option: lines of $(wc -L <"$out") columns"
    done
    for word in $(grep -oE '^  (-[A-Za-z],)?--?[a-zA-Z-]+' "$out" | tr ',' ' '); do documented "${word#-}" "$subcommand"; done
    for word in $(grep -v ' TEXT' "$out" | grep -oE '^  [A-Z][A-Z0-9_]+(, [A-Z0-9_]+)* ' | tr ',' ' '); do documented "$word" "$subcommand"; done
    [[ -n $subcommand ]] || continue
    documented "$subcommand" ''
    look 2 "$subcommand" --wrong
    grep -qE '^pw-stat: (The following argument was not expected: --wrong|.* is required)$' "$err" || fail "$subcommand --wrong"
done
look 0 --version
grep -qE '^pw-stat [0-9]+\.[0-9]+' "$out" || fail "no version"

for argument in -1 0 99999999999 ''; do
    look_fails 2 "pw-stat: \"$argument\": not a process id" "$argument"
done
look_fails 2 'pw-stat: The following argument was not expected: --wrong' --wrong
look_fails 2 'pw-stat: The following argument was not expected: 3' list 3
look_fails 2 'pw-stat: PID|NAME: not together with "list"' 3 list
for name in abc 5x 1.5; do
    look 1 "$name"
    grep -qE "^pw-stat: $name: no process of that name uses the pwlocks runtime( \([0-9]+ could not be looked into.*\))?$" "$err" ||
        fail "$name: not the line of an unknown name"
done
look 1 $'a\e]0;b\a'
grep -q '^pw-stat: a?\]0;b?: ' "$err" || fail "a name with control characters"

# By name: one, several, one that is named like a subcommand, one whose name is longer than the kernel keeps.
cp -- "$target" "$scratch/list"
cp -- "$target" "$scratch/pw_name_of_20_chars"
LD_LIBRARY_PATH=$(dirname "$(ldd "$target" | awk '/libpwlocks/ { print $3 }')")
export LD_LIBRARY_PATH
target=$scratch/list
start PWLOCKS=0 --
look 0 -- list
[[ $(awk '$1 == "pid" { print $2 }' "$out") == "$pid" ]] || fail "the process named list"
look 0 list
grep -q ' COMMAND ' "$out" || fail "list shows no list"
finish

target=$scratch/pw_name_of_20_chars
start PWLOCKS=0 --
first=$pid
mkfifo "$scratch/input"
env PWLOCKS=1 "$target" 1 <"$scratch/input" >"$scratch/second" &
second=$!
exec {second_input}>"$scratch/input"
for ((attempt = 0; attempt < 200; attempt++)); do
    grep -q ready "$scratch/second" && break
    sleep 0.05
done
look 0 pw_name_of_20_chars
[[ $(awk '$1 == "pid" { print $2 }' "$out" | sort -n) == "$(printf '%s\n' "$first" "$second" | sort -n)" ]] ||
    fail "not the two processes of one name"
[[ $(awk '$1 == "pid" && NR > 1 { print previous == "" } { previous = $0 }' "$out") == 1 ]] || fail "no blank line between two processes"
pids=$(printf '%s\n' "$first" "$second" | sort -n | paste -sd, | sed 's/,/, /')
look_fails 2 "pw-stat: pw_name_of_20_chars: several processes have that name: $pids" top pw_name_of_20_chars
exec {second_input}>&-
wait "$second" || fail "the second process of that name"
finish

report_failures
