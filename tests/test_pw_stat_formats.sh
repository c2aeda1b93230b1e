#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What pw-stat writes for other programs about real processes. Usage: test_pw_stat_formats.sh PW_STAT STAT_TARGET
set -uo pipefail
folder=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=tests/pw_stat.bash
source "$folder/pw_stat.bash"

python=/usr/bin/python3
[[ -x $python ]] || python=python3

# judged KIND FILE: what else accepts that
judged() {
    local status=0 said
    said=$("$python" "$folder/formats.py" "$folder/../doc/pw-stat.schema.json" "$1" <"$2" 2>&1) || status=$?
    [[ $status -eq 0 || $status -eq 77 ]] || fail "$1: $said"
    [[ $status -ne 77 ]] || echo "skipped: judging $1: $said"
}

# value NAME LABELS: of the series with exactly these labels behind pid and command
value() {
    awk -v series="$1{pid=\"$pid\",command=\"$(basename "$target" | cut -c 1-15)\"${2:+,$2}}" \
        'index($0, series " ") == 1 { print $NF }' "$out"
}

# number CPU MEMBER: of a CPU of the only process in the last document
number() {
    "$python" -c 'import json, sys
cpus = json.load(open(sys.argv[1]))["processes"][0]["cpus"]
print([cpu[sys.argv[3]] for cpu in cpus if cpu["cpu"] == int(sys.argv[2])][0])' "$out" "$1" "$2"
}

# The counters follow what a program sees by a moment.
settles() {
    local attempt
    for ((attempt = 0; attempt < 200; attempt++)); do
        look 0 "$pid" --json
        all_in_document && return
        sleep 0.05
    done
    fail "the counts of $strategy"
}

all_in_document() {
    local cpu
    for cpu in $cpus; do
        [[ $(number "$cpu" queued) == "$items" && $(number "$cpu" executed) == "$items" &&
            $(number "$cpu" pending) == 0 && $(number "$cpu" sleeping) == True ]] || return 1
    done
}

all_in_metrics() {
    local cpu
    for cpu in $cpus; do
        [[ $(value pwlocks_queued_total "cpu=\"$cpu\"") == "$items" &&
            $(value pwlocks_executed_total "cpu=\"$cpu\"") == "$items" &&
            $(value pwlocks_pending "cpu=\"$cpu\"") == 0 ]] || fail "CPU $cpu in $1"
    done
}

for setting in PWLOCKS=0 PWLOCKS=1; do
    start "$setting" PWLOCKS_OPTIONS=stats=full --
    settles
    judged json "$out"
    look 0 "$pid" --openmetrics
    judged openmetrics "$out"
    all_in_metrics --openmetrics
    [[ $(tail -n 1 "$out") == '# EOF' ]] || fail "no end of the metrics"

    mkdir "$scratch/collected"
    look 0 "$pid" --textfile "$scratch/collected"
    [[ ! -s $out ]] || fail "--textfile: wrote to stdout"
    [[ $(ls -A "$scratch/collected") == pwlocks.prom ]] || fail "--textfile: $(ls -A "$scratch/collected")"
    [[ $(stat -c %a "$scratch/collected/pwlocks.prom") == 644 ]] || fail "--textfile: mode"
    cp "$scratch/collected/pwlocks.prom" "$out"
    judged prometheus "$out"
    all_in_metrics --textfile
    grep -qx '# TYPE pwlocks_queued_total counter' "$out" || fail "--textfile: no types of counters"

    # Of all processes: this one is among them.
    for what in '' list; do
        look 0 ${what:+"$what"} --json
        judged json "$out"
        grep -qE "^ +\"pid\": $pid,$" "$out" || fail "$what --json without a process: $pid is not in it"
        look 0 ${what:+"$what"} --openmetrics
        judged openmetrics "$out"
        all_in_metrics "$what --openmetrics"
    done
    rm -r "$scratch/collected"
    finish
done

# At an interval: a document in each line, and files that are whole at any moment.
start PWLOCKS=0 --
look 0 "$pid" 0.02 3 --json
[[ $(wc -l <"$out") -eq 3 ]] || fail "--json at an interval: not three lines"
judged json "$out"
mkdir "$scratch/watched"
file=$scratch/watched/file
for format in '' --json --openmetrics; do
    "$pw_stat" "$pid" 0.01 60 --watch-file "$file" ${format:+"$format"} >"$out" 2>"$err" &
    watcher=$!
    seen=0
    while kill -0 "$watcher" 2>/dev/null; do
        [[ -e $file ]] || continue
        read -r text <"$file"
        copy=$(<"$file")
        case $format in
        --json) [[ ${copy:0:1} == '{' && ${copy: -1} == '}' ]] || fail "half a document" ;;
        --openmetrics) [[ $copy == '# TYPE '*$'\n# EOF' ]] || fail "half a text" ;;
        *) [[ $text == "pid "*"$pid" ]] || fail "no report: $text" ;;
        esac
        seen=$((seen + 1))
    done
    wait "$watcher" || fail "--watch-file $format: status $?"
    [[ $seen -gt 0 && ! -s $out && ! -s $err ]] || fail "--watch-file $format"
    [[ $(ls -A "$scratch/watched") == file ]] || fail "--watch-file left: $(ls -A "$scratch/watched")"
    cp "$file" "$out"
    [[ -z $format ]] || judged "${format#--}" "$out"
    rm "$file"
done

# What goes wrong.
look_fails 1 "pw-stat: $scratch/no: cannot create a file there: No such file or directory" "$pid" --textfile "$scratch/no"
look_fails 1 "pw-stat: /dev/null: is not a regular file, not replaced" "$pid" 0.01 --watch-file /dev/null
look_fails 2 'pw-stat: --json, --openmetrics, --textfile: only one of them' "$pid" --json --openmetrics
look_fails 2 'pw-stat: --watch-file: needs an interval' "$pid" --watch-file "$file"
look_fails 2 'pw-stat: --openmetrics: with an interval only together with --watch-file' "$pid" 1 --openmetrics
look_fails 2 'pw-stat: --watch-file: not together with --textfile, which is written at each interval, too' \
    "$pid" 1 --watch-file "$file" --textfile "$scratch"
look_fails 2 'pw-stat: -P, --explain: not together with output for other programs' "$pid" --json --explain
look_fails 2 'pw-stat: --textfile: "": not a name' --textfile ''
[[ -z $(ls -A "$scratch/watched") ]] || fail "left behind: $(ls -A "$scratch/watched")"
"$pw_stat" --json "$pid" 2>"$err" >/dev/full
[[ $? -eq 1 && $(cat "$err") == 'pw-stat: cannot write: No space left on device' ]] || fail "a full disk"

# The process ends while it is watched: the last text stays.
"$pw_stat" "$pid" 0.02 --json --watch-file "$file" >"$out" 2>"$err" &
watcher=$!
for ((attempt = 0; attempt < 200; attempt++)); do
    [[ -e $file ]] && break
    sleep 0.05
done
finish
status=0
wait "$watcher" || status=$?
[[ $status -eq 3 && $(cat "$err") == "pw-stat: $pid: has ended, or its runtime has" ]] || fail "the end: status $status"
cp "$file" "$out"
judged json "$out"
for format in --json --openmetrics; do
    look_fails 1 "pw-stat: $pid: no such process" "$pid" "$format"
    look_fails 1 "pw-stat: $pid: no such process" "$pid" 1 --watch-file "$file" "$format"
done

report_failures
