#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Installs what is missing to build pwlocks on Debian and Ubuntu: tools/setup.sh demo|test
# Needs neither root nor a network when nothing is missing.
set -euo pipefail

usage() {
    echo "usage: tools/setup.sh demo|test" >&2
    exit 2
}
[[ $# -eq 1 ]] || usage
mode=$1
[[ $mode == demo || $mode == test ]] || usage

missing=()

# need PACKAGE CHECK...: PACKAGE is missing unless the check succeeds
need() {
    local package=$1
    shift
    "$@" || missing+=("$package")
}

has_command() {
    local name
    for name in "$@"; do
        if command -v "$name" >/dev/null 2>&1; then return 0; fi
    done
    return 1
}

has_package() {
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) == installed ]]
}

# has_library PKG_CONFIG_NAME PACKAGE: without pkg-config itself, ask the package manager
has_library() {
    if has_command pkg-config; then pkg-config --exists "$1"; else has_package "$2"; fi
}

# Debian's interpreter first: its packages have the modules.
has_python_module() {
    local interpreter
    for interpreter in /usr/bin/python3 python3; do
        if "$interpreter" -c "import $1" >/dev/null 2>&1; then return 0; fi
    done
    return 1
}

has_header() {
    local folder
    for folder in /usr/include /usr/local/include; do
        if [[ -e $folder/$1 ]]; then return 0; fi
    done
    return 1
}

# Whether clang has its fuzzer's library, which is in a package of its own.
has_fuzzer() {
    has_command clang++ && [[ -e $(clang++ -print-file-name="libclang_rt.fuzzer-$(uname -m).a") ]]
}

need g++ has_command c++ g++ clang++
need gcc has_command cc gcc clang
need meson has_command meson
need ninja-build has_command ninja ninja-build
need pkg-config has_command pkg-config
for library in liburcu:liburcu-dev numa:libnuma-dev hwloc:libhwloc-dev CLI11:libcli11-dev fmt:libfmt-dev \
    nlohmann_json:nlohmann-json3-dev ncursesw:libncurses-dev; do
    need "${library#*:}" has_library "${library%:*}" "${library#*:}"
done
if [[ $mode == test ]]; then
    need catch2 has_library catch2 catch2
    need relacy-dev has_header relacy/relacy_std.hpp
    need valgrind has_command valgrind
    need python3 has_command python3
    # What judges pw-stat's formats.
    need python3-jsonschema has_python_module jsonschema
    need python3-prometheus-client has_python_module prometheus_client
    need prometheus has_command promtool
    need tmux has_command tmux
    # What fuzzes pw-stat.
    need clang has_command clang++
    clang_version=14 # Debian 12's
    if has_command clang++; then clang_version=$(clang++ -dumpversion); fi
    need "libclang-rt-${clang_version%%.*}-dev" has_fuzzer
    need libpipewire-0.3-dev has_library libpipewire-0.3 libpipewire-0.3-dev # a test looks for clashing names
fi

if [[ ${#missing[@]} -gt 0 ]]; then
    install="apt-get install -y --no-install-recommends ${missing[*]}"
    if ! has_command apt-get; then
        echo "setup: missing, install with this system's package manager (Debian's names): ${missing[*]}" >&2
        exit 1
    fi
    as_root=()
    if [[ $EUID -ne 0 ]]; then
        as_root=(sudo)
        [[ -t 0 ]] || as_root=(sudo -n) # nobody there to type a password
        if ! has_command sudo || ! "${as_root[@]}" true 2>/dev/null; then
            echo "setup: packages are missing, run as root: apt-get update && $install" >&2
            exit 1
        fi
    fi
    echo "setup: installing ${missing[*]}"
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -qq >/dev/null
    # shellcheck disable=SC2086 # a list of words
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive $install </dev/null >/dev/null
fi

version=$(meson --version)
if [[ ${version%%.*} -lt 1 ]]; then
    echo "setup: meson 1.0 or later is needed, this is $version:" \
        "use Debian 12, Ubuntu 24.04 or later, or 'pipx install meson'" >&2
    exit 1
fi
