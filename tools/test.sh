#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Builds everything and runs every test, each behavioural one under both strategies. The last line is
# "N passed, N failed".
set -euo pipefail

usage() {
    echo "usage: tools/test.sh [--sanitize=address,undefined|--sanitize=thread] [--suite NAME]..." >&2
    exit 2
}

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
sanitize=none
select=()
while [[ $# -gt 0 ]]; do
    case $1 in
        --sanitize=*) sanitize=${1#*=} ;;
        --suite=*) select+=(--suite "${1#*=}") ;;
        --suite)
            [[ $# -ge 2 ]] || usage
            select+=(--suite "$2")
            shift
            ;;
        *) usage ;;
    esac
    shift
done

options=("-Db_sanitize=$sanitize" -Dtests=true -Dtools=true -Dexamples=true -Ddocs=true)
# Instrumented code is slow to build: with less optimization, and without the packages that pw-bench measures, half as slow.
instrumented=(-Dbuildtype=debug -Doptimization=1 -Dpeers=disabled -Db_lundef=false
    -Dwerror=false) # instrumented, Catch2's headers make gcc warn
launcher=()
case $sanitize in
    none)
        build=$root/build-test
        options+=(-Dbuildtype=debugoptimized -Dwerror=true) # not under sanitizers: gcc documents that they give false warnings
        ;;
    address,undefined)
        build=$root/build-asan
        options+=("${instrumented[@]}")
        select+=(--timeout-multiplier 3)
        ;;
    thread)
        build=$root/build-tsan
        options+=("${instrumented[@]}")
        select+=(--timeout-multiplier 5)
        # ThreadSanitizer wants memory in certain places; older ones abort where the kernel randomizes more.
        if setarch -R true 2>/dev/null; then launcher=(setarch -R); fi
        ;;
    *) usage ;;
esac

stopped() {
    echo "test: $1" >&2
    echo "0 passed, 1 failed"
    exit 1
}
"$root/tools/setup.sh" test || stopped "set-up failed"
"$root/tools/build.sh" "$build" "${options[@]}" || stopped "the build failed"
exec "${launcher[@]}" python3 "$root/tests/run_tests.py" "$build" "${select[@]}"
