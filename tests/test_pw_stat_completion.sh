#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What shells complete for pw-stat. Usage: test_pw_stat_completion.sh PW_STAT STAT_TARGET
set -uo pipefail
# shellcheck source=tests/pw_stat.bash
source "$(dirname "${BASH_SOURCE[0]}")/pw_stat.bash"

look_fails 2 'pw-stat: SHELL is required' completion
look 2 completion fish
look 0 completion bash
cp -- "$out" "$scratch/completion.bash"
bash -n "$scratch/completion.bash" || fail "bash: syntax"
if command -v zsh >/dev/null; then
    look 0 completion zsh
    zsh -n "$out" || fail "zsh: syntax"
else
    echo "skipped: zsh's syntax: needs zsh"
fi

mkdir "$scratch/bin"
ln -s "$(realpath -- "$pw_stat")" "$scratch/bin/pw-stat"
PATH=$scratch/bin:$PATH
# shellcheck source=/dev/null
source "$scratch/completion.bash"
[[ $(complete -p pw-stat) == 'complete -F _pw_stat pw-stat' ]] || fail "bash: not registered"

# completes WORD...: what may stand for the last word, sorted, in one line
completes() {
    COMP_WORDS=(pw-stat "$@")
    COMP_CWORD=$#
    _pw_stat
    printf '%s\n' "${COMPREPLY[@]}" | sort -u | paste -sd' '
}

# gives EXPECTED WORD...
gives() {
    local expected=$1 got
    shift
    got=$(completes "$@")
    [[ $got == "$expected" ]] || fail "completion of pw-stat $*: $got"
}

target_name=pw_completed
cp -- "$target" "$scratch/$target_name"
LD_LIBRARY_PATH=$(dirname "$(ldd "$target" | awk '/libpwlocks/ { print $3 }')")
export LD_LIBRARY_PATH
target=$scratch/$target_name
start PWLOCKS=0 --

look 0 --help
subcommands=$(awk '/^Subcommands:/ { inside = 1; next } !NF { inside = 0 } inside && /^  [a-z]/ { print $1 }' "$out")
for word in $subcommands "$pid" $target_name; do
    [[ " $(completes '') " == *" $word "* ]] || fail "does not complete $word"
done
gives 'top topology' to
gives "$target_name" pw_compl
gives "$pid" "$pid"
gives "$target_name" -- pw_compl
gives '' -- to
gives "$target_name" top pw_compl
gives '' list pw_compl
gives '' top "$pid" pw_compl
gives '' "$pid" to
gives 'bash zsh' completion ''
gives 'always auto never' --color ''
gives 'always auto' --color = a
gives 'always auto' list --color = a
gives 'never' top "$pid" --color n
gives 'list' --color = always li
gives '' -P ''
gives "$scratch/bin" --textfile "$scratch/b"
touch "$scratch/bin file"
gives "$scratch/bin $scratch/bin file" "$pid" --watch-file "$scratch/b"
gives 'list' --color always li
for subcommand in '' $subcommands; do
    look 0 ${subcommand:+"$subcommand"} --help
    options=$(grep -oE '^  (-[A-Za-z],)?--?[a-zA-Z-]+' "$out" | tr -d ' ' | tr ',' '\n' | sort -u | paste -sd' ')
    [[ $options == *--help* ]] || fail "$subcommand: no options in --help"
    gives "$options" ${subcommand:+"$subcommand"} -
done
finish
gives '' pw_compl

report_failures
