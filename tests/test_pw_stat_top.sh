#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# pw-stat top on a terminal, by tmux: what it shows, and that the terminal is as before whatever ends it.
# Usage: test_pw_stat_top.sh PW_STAT STAT_TARGET
set -uo pipefail
# shellcheck source=tests/pw_stat.bash
source "$(dirname "${BASH_SOURCE[0]}")/pw_stat.bash"

look_fails 2 'pw-stat: top: standard input and output are not a terminal; with an interval, pw-stat PID 1, there are lines' top
look 1 top no-such-name
grep -q '^pw-stat: no-such-name: no process of that name uses the pwlocks runtime' "$err" || fail "an unknown name"
if ! command -v tmux >/dev/null; then
    echo "skipped: needs tmux"
    [[ $failures -eq 0 ]] || exit 1
    exit 77
fi

export TMUX_TMPDIR=$scratch
unset TMUX NO_COLOR
# A shell of its own for each command: its prompt tells that the command is over.
export PS1='ready> '
in_tmux() {
    tmux -L test -f /dev/null "$@"
}
# Wide enough for all columns, also beside other processes with longer names.
in_tmux -u new-session -d -x 130 -y 20 env LC_ALL=C.UTF-8 bash --noprofile --norc || fail "tmux"
trap 'in_tmux kill-server 2>/dev/null; rm -rf -- "$scratch"' EXIT

screen() {
    in_tmux capture-pane -p >"$out"
}

# sees TEXT...: waits until each of these extended regular expressions is on the screen
sees() {
    local attempt expression
    for ((attempt = 0; attempt < 400; attempt++)); do
        screen
        for expression in "$@"; do
            grep -qE -- "$expression" "$out" || { sleep 0.05 && continue 2; }
        done
        return
    done
    fail "never seen: $*"
}

# keys KEY...
keys() {
    in_tmux send-keys "$@"
}

# top [VARIABLE=VALUE...] -- [ARGUMENT...]: starts pw-stat top in the terminal; top_pid is its pid
top() {
    local settings=()
    while [[ $1 != -- ]]; do
        settings+=("$1")
        shift
    done
    shift
    printf '%q ' env "${settings[@]}" "$pw_stat" top "$@" >"$scratch/command"
    cat >"$scratch/run" <<END
stty -g >$scratch/before
bash -c 'echo \$\$ >$scratch/pid; exec $(cat "$scratch/command")'
echo "status \$?"
stty -g >$scratch/after
END
    rm -f "$scratch/after"
    keys " clear; . $scratch/run" Enter
}

# is_over STATUS WHAT: the shell is back, with that status, and the terminal is as before
is_over() {
    sees "^status $1\$" '^ready> ?$'
    [[ $(cat "$scratch/before") == "$(cat "$scratch/after")" ]] || fail "$2: the terminal's settings have changed"
    [[ $(in_tmux display-message -p '#{alternate_on} #{cursor_flag} #{keypad_flag}') == '0 1 0' ]] ||
        fail "$2: the terminal is still a full screen, or without a cursor"
}

sees '^ready> ?$'
first=$target
cp -- "$target" "$scratch/"$'a\e[31mé'
LD_LIBRARY_PATH=$(dirname "$(ldd "$target" | awk '/libpwlocks/ { print $3 }')")
export LD_LIBRARY_PATH
in_tmux set-environment -g LD_LIBRARY_PATH "$LD_LIBRARY_PATH"
target=$scratch/$'a\e[31mé'
start PWLOCKS=1 -- block

# The list, its order, its size.
top LC_ALL=C.UTF-8 --
sees "^ *$pid +a\?\[31mé +lock " '^q quit' '[0-9]+ process'
grep -q 'BUSY↓' "$out" || fail "not sorted by BUSY at first"
keys '>'
sees 'QUEUED↓'
keys r
sees 'QUEUED↑'
keys '<' '<' Left Left
sees 'COMMAND↑'
keys r
sees 'COMMAND↓'
keys + +
sees 'every 4\.00s'
keys d 0 . 2 Enter
sees 'every 200ms'
in_tmux resize-window -x 60 -y 10
sees 'COMMAND↓'
for attempt in {1..100}; do
    screen
    [[ $(wc -l <"$out") -eq 10 && $(sed -n '10p' "$out") == 'q quit'* ]] && break
    sleep 0.05
done
[[ $(sed -n '10p' "$out") == 'q quit'* ]] || fail "the last line is not that of the keys after the size has changed"
[[ $(wc -L <"$out") -le 60 ]] || fail "lines that are too long"
in_tmux resize-window -x 19 -y 10
sees '^too small$'
in_tmux resize-window -x 150 -y 30
sees 'COMMAND↓ .* RUNNING' 'CPU [0-9]+: callers run wait_for_release'

# One of them, perhaps behind others that run here.
opens() {
    local attempt
    for attempt in {1..50}; do
        keys Enter
        sees '^[0-9]+ .*  (lock|queue) \(from '
        grep -q "^$1 " "$out" && return
        keys Escape
        sees ' RUNNING'
        keys Down
    done
    fail "cannot open $1"
}
opens "$pid"
sees "^$pid a\?\[31mé  lock \(from PWLOCKS\)" ' FUNCTION' '[0-9]+ +0 +no .* callers run wait_for_release'
keys Escape
sees ' RUNNING'
keys q
is_over 0 q

# Whatever ends it, and whatever it shows meanwhile.
top LC_ALL=C -- "$pid"
sees "^$pid a\?\[31m\?\??  lock" 'BUSY-'
keys C-c
is_over 0 Ctrl-C
for signal in TERM HUP QUIT INT; do
    top -- "$pid"
    sees "^$pid .*  lock"
    kill -s "$signal" "$(cat "$scratch/pid")"
    case $signal in
        INT) is_over 0 INT ;;
        *) is_over $((128 + $(kill -l "$signal"))) "$signal" ;;
    esac
done
# ncurses's handler of SIGTSTP, which is not ours, does not keep errno.
top TSAN_OPTIONS=report_signal_unsafe=0 -- "$pid"
sees "^$pid .*  lock"
keys C-z
sees '^ready> ?$'
[[ $(in_tmux display-message -p '#{alternate_on}') == 0 ]] || fail "stopped: still a full screen"
keys ' clear; fg' Enter
sees "^$pid .*  lock" '^q quit'
keys q
sees '^ready> ?$'
[[ $(in_tmux display-message -p '#{alternate_on} #{cursor_flag}') == '0 1' ]] || fail "stopped and continued: the terminal"

# Colours, unless there are to be none.
colours() {
    in_tmux capture-pane -p -e | grep -qE $'\e\\[([0-9]+;)*[34][0-7]m'
}
top -- "$pid"
sees "^$pid .*  lock"
colours || fail "no colours"
keys q
is_over 0 q
for settings in 'NO_COLOR=1 --' '-- --color=never'; do
    # shellcheck disable=SC2086 # words
    top $settings "$pid"
    sees "^$pid .*  lock"
    colours && fail "colours with $settings"
    keys q
    is_over 0 q
done
top NO_COLOR=1 -- --color=always "$pid"
sees "^$pid .*  lock"
colours || fail "no colours with --color=always"
keys q
is_over 0 q

# Terminals that it does not work on.
top TERM=dumb -- "$pid"
is_over 2 TERM=dumb
sees '^pw-stat: top: TERM: a terminal of the kind "dumb" cannot place its cursor$'
# ncurses loses some memory where it fails.
top TERM=nosuch ASAN_OPTIONS=detect_leaks=0 -- "$pid"
is_over 2 TERM=nosuch
sees '^pw-stat: top: TERM: terminals of the kind "nosuch" are not known here$'
top -u TERM -- "$pid"
is_over 2 'no TERM'
sees '^pw-stat: top: TERM, the kind of terminal, is not set$'

# The process ends: the list goes on without it, a view of it ends.
top -- --color=never
sees "^ *$pid "
opens "$pid"
finish
sees "^$pid: (has ended|does not use the pwlocks runtime)"
keys Down
sees '^q quit'
keys q
is_over 0 q
target=$first
start PWLOCKS=0 --
top -- "$(basename "$target" | cut -c 1-15)"
sees "^$pid .*  queue \(from PWLOCKS\)"
finish
is_over 3 "the process's end"
sees "^pw-stat: $pid: (has ended$|does not use the pwlocks runtime)"

# The terminal goes away.
top --
sees '^q quit'
in_tmux kill-server
for ((attempt = 0; attempt < 400; attempt++)); do
    kill -0 "$(cat "$scratch/pid")" 2>/dev/null || break
    sleep 0.05
done
kill -0 "$(cat "$scratch/pid")" 2>/dev/null && fail "goes on without its terminal"

report_failures
