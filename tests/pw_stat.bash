# SPDX-License-Identifier: MIT
# For scripts that run pw-stat against real processes, sourced with their arguments: PW_STAT STAT_TARGET
# shellcheck shell=bash disable=SC2034 # those that source it use its variables

if [[ $# -ne 2 ]]; then
    echo "usage: $(basename "$0") PW_STAT STAT_TARGET" >&2
    exit 2
fi
pw_stat=$1
target=$2
items=50
scratch=$(mktemp -d)
out=$scratch/out
err=$scratch/err
trap 'rm -rf -- "$scratch"' EXIT
unset PWLOCKS PWLOCKS_OPTIONS PWLOCKS_CONF
export PWLOCKS_CONF=/dev/null
failures=0

fail() {
    echo "failed: $*"
    [[ -s $out ]] && sed 's/^/  stdout: /' "$out"
    [[ -s $err ]] && sed 's/^/  stderr: /' "$err"
    failures=$((failures + 1))
}

# look STATUS [ARGUMENT...]: runs pw-stat, which must exit with STATUS
look() {
    local expected=$1 status=0
    shift
    timeout 60 "$pw_stat" "$@" >"$out" 2>"$err" </dev/null || status=$?
    [[ $status -eq $expected ]] || fail "pw-stat $*: exit status $status, not $expected"
}

# look_fails STATUS FIRST_LINE [ARGUMENT...]: nothing on stdout, and that line on stderr
look_fails() {
    local status=$1 line=$2
    shift 2
    look "$status" "$@"
    [[ ! -s $out ]] || fail "pw-stat $*: wrote to stdout"
    [[ $(head -n 1 "$err") == "$line" ]] || fail "pw-stat $*: stderr is not: $line"
    [[ $status -ne 1 || $(wc -l <"$err") -eq 1 ]] || fail "pw-stat $*: more than one line"
}

# start VARIABLE=VALUE... -- [block|locks|workqueues]: starts the target; sets pid, strategy, source, cpus
start() {
    local settings=()
    while [[ $1 != -- ]]; do
        settings+=("$1")
        shift
    done
    shift
    coproc helper { exec env "${settings[@]}" "$target" "$items" "$@" 2>"$scratch/helper"; }
    # shellcheck disable=SC2154 # coproc assigns it
    pid=$helper_PID
    local ready=''
    if ! read -r -t 120 ready strategy source cpus <&"${helper[0]}" || [[ $ready != ready ]]; then
        cat "$scratch/helper"
        echo "failed: stat_target did not start"
        kill "$pid" 2>/dev/null
        exit 1
    fi
}

# Ends the target, which must end well.
finish() {
    local status=0 input=${helper[1]}
    exec {input}>&-
    wait "$pid" || status=$?
    [[ $status -eq 0 ]] || fail "stat_target ended with status $status: $(cat "$scratch/helper")"
}

# The last line of a script.
report_failures() {
    [[ $failures -eq 0 ]] && exit 0
    echo "$failures checks failed"
    exit 1
}
