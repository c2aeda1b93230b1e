#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The locks on 64-bit Arm: compiles the library and its lock tests for it and runs them in an emulated machine with four CPUs (user-mode
# emulation has no restartable sequences). Run by hand: it downloads some 150 MB. Needs root on Debian 12, x86-64.
# Usage: tests/arm64.sh [FOLDER], which keeps what was downloaded for the next time. The last line is "arm64: passed", or the exit
# status is 1.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
folder=${1:-$(mktemp -d)}
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
system=$folder/system # the machine's files
triplet=aarch64-linux-gnu

step() {
    echo "=== $*"
}

packages() {
    step "tools"
    local missing=() package
    for package in g++-aarch64-linux-gnu qemu-system-arm meson ninja-build pkg-config cpio; do
        [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || missing+=("$package")
    done
    [[ ${#missing[@]} -eq 0 ]] || apt-get install -qq -y --no-install-recommends "${missing[@]}" >/dev/null
    [[ -e $folder/kernel ]] && return
    step "arm64 packages, unpacked in $system"
    local had
    had=$(dpkg --print-foreign-architectures)
    dpkg --add-architecture arm64
    trap 'grep -qx arm64 <<<"$had" || { dpkg --remove-architecture arm64; apt-get update -qq; }' RETURN
    apt-get update -qq
    mkdir -p "$folder/packages" "$system"
    local kernel
    kernel=$(apt-cache depends linux-image-arm64:arm64 | awk '/Depends: linux-image/ { print $2; exit }')
    # Downloads as the user _apt where it may, which cannot write here: no harm.
    (cd "$folder/packages" && apt-get download -qq "${kernel%:arm64}:arm64" busybox-static:arm64 libc6:arm64 libgcc-s1:arm64 \
        libstdc++6:arm64 libhwloc15:arm64 libhwloc-dev:arm64 libnuma1:arm64 libnuma-dev:arm64 liburcu8:arm64 \
        liburcu-dev:arm64 libudev1:arm64 libltdl7:arm64 libltdl-dev:arm64 2>/dev/null)
    for package in "$folder"/packages/*.deb; do
        dpkg -x "$package" "$system"
    done
    cp "$system"/boot/vmlinuz-* "$folder/kernel"
    rm -rf "${system:?}"/boot "$system"/lib/modules
}

compile() {
    step "the library"
    cat >"$folder/cross.ini" <<INI
[binaries]
c = '$triplet-gcc'
cpp = '$triplet-g++'
ar = '$triplet-ar'
strip = '$triplet-strip'
pkgconfig = 'pkg-config'
[built-in options]
c_args = ['-isystem', '$system/usr/include', '-isystem', '$system/usr/include/$triplet']
cpp_args = ['-isystem', '$system/usr/include', '-isystem', '$system/usr/include/$triplet']
c_link_args = ['-L$system/usr/lib/$triplet', '-Wl,-rpath-link,$system/usr/lib/$triplet', '-Wl,-rpath-link,$system/lib/$triplet']
cpp_link_args = ['-L$system/usr/lib/$triplet', '-Wl,-rpath-link,$system/usr/lib/$triplet', '-Wl,-rpath-link,$system/lib/$triplet']
[properties]
pkg_config_libdir = '$system/usr/lib/$triplet/pkgconfig:$system/usr/share/pkgconfig'
sys_root = '$system'
[host_machine]
system = 'linux'
cpu_family = 'aarch64'
cpu = 'aarch64'
endian = 'little'
INI
    rm -rf "$folder/build"
    meson setup "$folder/build" "$root" --cross-file "$folder/cross.ini" -Dtests=false -Dtools=false -Dexamples=false \
        -Ddocs=false -Dwerror=true >"$folder/build.log" 2>&1 || { cat "$folder/build.log"; return 1; }
    meson compile -C "$folder/build" >>"$folder/build.log" 2>&1 || { cat "$folder/build.log"; return 1; }
    step "programs"
    local name
    for name in stress_locks abi_use abi_qpw stress_sequences; do
        local source=$root/tests/$name.cc
        [[ -e $source ]] || source=$root/tests/$name.c
        "$triplet-g++" -std=c++20 -O2 -Wall -Wextra -D_GNU_SOURCE -I"$root/include" -x c++ "$source" -x none \
            -o "$folder/$name" "$folder/build/src/libpwlocks.so" -pthread -Wl,-rpath-link,"$system/usr/lib/$triplet"
    done
}

image() {
    step "the machine's files"
    local files=$folder/files name
    rm -rf "$files"
    mkdir -p "$files"/{bin,lib,proc,sys,dev,tmp,test}
    # By name: the libraries' own links come along.
    for name in libc.so.6 libm.so.6 ld-linux-aarch64.so.1 libgcc_s.so.1 libstdc++.so.6 libhwloc.so.15 libnuma.so.1 libudev.so.1 \
        liburcu-common.so.8 liburcu-bp.so.8 liburcu.so.8 libdl.so.2 libpthread.so.0; do
        cp -L "$(find "$system/lib" "$system/usr/lib" -name "$name" | head -n 1)" "$files/lib/$name"
    done
    cp "$system/bin/busybox" "$files/bin/busybox"
    cp "$folder"/{stress_locks,abi_use,abi_qpw,stress_sequences} "$files/test/"
    cp -L "$folder/build/src/libpwlocks.so.0" "$files/lib/"
    cat >"$files/init" <<'INIT'
#!/bin/busybox sh
/bin/busybox mount -t proc none /proc
/bin/busybox mount -t sysfs none /sys
/bin/busybox mount -t tmpfs none /tmp
/bin/busybox mknod /dev/null c 1 3
cd /test
failed=0
attempt() {
    echo "--- $*"
    /bin/busybox env LD_LIBRARY_PATH=/lib "$@" || { echo "FAILED: $*"; failed=1; }
}
for strategy in 0 1; do
    attempt PWLOCKS=$strategy ./abi_use
    attempt PWLOCKS=$strategy ./abi_qpw
    attempt PWLOCKS=$strategy ./stress_locks --acquisitions 1000000
done
attempt PWLOCKS=0 ./stress_sequences
attempt PWLOCKS=0 GLIBC_TUNABLES=glibc.pthread.rseq=0 ./stress_locks --acquisitions 300000
[ $failed = 0 ] && echo "machine: everything passed"
/bin/busybox poweroff -f
INIT
    chmod +x "$files/init"
    (cd "$files" && find . | cpio -o -H newc --quiet | gzip -1 >"$folder/initrd")
}

run() {
    step "four emulated CPUs"
    timeout -k 5 900 qemu-system-aarch64 -M virt -cpu max -smp 4 -m 1024 -accel tcg,thread=multi -nographic -nic none -no-reboot \
        -kernel "$folder/kernel" -initrd "$folder/initrd" -append "console=ttyAMA0 quiet panic=-1" </dev/null |
        tee "$folder/machine.log"
    grep -q '^machine: everything passed' "$folder/machine.log"
}

packages
compile
image
run || { echo "arm64: failed"; exit 1; }
echo "arm64: passed"
