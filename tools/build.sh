#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Configures and compiles in a build folder: tools/build.sh FOLDER [meson options]
# Prints one line, and the whole log when something fails.
set -euo pipefail

[[ $# -ge 1 ]] || { echo "usage: tools/build.sh FOLDER [meson options]" >&2; exit 2; }
source=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
folder=$1
shift
mkdir -p "$folder"
log=$folder/build.log

echo "=== building in ${folder#"$source"/} (log: ${log#"$source"/})"
configure() {
    if [[ -f $folder/build.ninja ]]; then
        meson setup --reconfigure "$folder" "$source" "$@"
    else
        meson setup "$folder" "$source" "$@"
    fi
}
if [[ -f $folder/build.ninja ]] && ! configure "$@" >"$log" 2>&1; then
    # A folder of another Meson or compiler, or of a tree that has moved, cannot be used again: start afresh.
    rm -rf -- "$folder"
    mkdir -p "$folder"
fi
if [[ ! -f $folder/build.ninja ]] && ! configure "$@" >"$log" 2>&1; then
    cat "$log"
    exit 1
fi
if ! meson compile -C "$folder" >>"$log" 2>&1; then
    cat "$log"
    exit 1
fi
