#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Fuzzes pw-stat's reader. Usage: fuzz.sh FUZZER FUZZ_REPLAY SECONDS [FOLDER]
# With FOLDER, what was found to reach further stays there for the next time.
set -euo pipefail

if [[ $# -lt 3 || $# -gt 4 ]]; then
    echo "usage: fuzz.sh FUZZER FUZZ_REPLAY SECONDS [FOLDER]" >&2
    exit 2
fi
scratch=$(mktemp -d)
trap 'rm -rf -- "$scratch"' EXIT
found=${4:-$scratch/found}
mkdir -p "$found" "$scratch/seeds"
"$2" --write "$scratch/seeds"

# A segment is done with in milliseconds; the rest of the minute is for machines that do much else. It takes no
# more than the 256 MiB that are mapped of it, its text, and what the sanitizers add.
status=0
"$1" -max_total_time="$3" -timeout=60 -rss_limit_mb=2048 -max_len=16384 -len_control=0 \
    -print_final_stats=1 -artifact_prefix="$scratch/" "$found" "$scratch/seeds" >"$scratch/log" 2>&1 || status=$?
tail -n 40 "$scratch/log"
for input in "$scratch"/{crash,timeout,oom,leak}-*; do
    [[ -e $input ]] || continue
    status=1
    echo "fuzz: $(basename "$input"), to be had back with: base64 -d | gunzip"
    gzip -c "$input" | base64
done
exit "$status"
