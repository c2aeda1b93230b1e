#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# A program runs under valgrind, with both strategies, without an error and without a definite leak. There
# are no restartable sequences there: locks take the atomic fall-back. Usage: valgrind.sh PROGRAM [ARGUMENT]...
set -euo pipefail

if ! command -v valgrind >/dev/null; then
    echo "skipped: valgrind is not installed"
    exit 77
fi
log=$(mktemp)
trap 'rm -f -- "$log"' EXIT

for strategy in 0 1; do
    # Threads take turns there: fairly, so that a spinning one does not keep the turn that another needs.
    status=0
    PWLOCKS=$strategy timeout 300 valgrind --quiet --error-exitcode=9 --fair-sched=try --leak-check=full \
        --errors-for-leak-kinds=definite --show-leak-kinds=definite --log-file="$log" "$@" || status=$?
    if [[ $status -ne 0 || -s $log ]]; then
        echo "failed: PWLOCKS=$strategy: status $status"
        cat "$log"
        exit 1
    fi
done
