#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What the built library shows to a dynamic linker.

abi_symbols.py exports LIBRARY HEADERS   exactly the names that the headers declare, one version, needs and flags
abi_symbols.py pipewire LIBRARY HEADERS  no name in common with PipeWire, which real-time audio programs load too

Exit status: 0, 1 with a line for each finding, 77 if PipeWire's headers are not installed.
"""
import itertools
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

from public_names import Declared, without_comments

SONAME = "libpwlocks.so.0"
VERSION = "PWLOCKS_0"
NEEDED = re.compile(r"(liburcu[\w-]*|libnuma|libhwloc|libc|libm|libstdc\+\+|libgcc_s|ld-linux[\w-]*)\.so\.\d+")
SANITIZERS = re.compile(r"lib(asan|ubsan|tsan)\.so\.\d+")
# The series' own name; PipeWire has no such function.
SHARED_ON_PURPOSE = {"pw_get_cpu"}


def output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def exported(library):
    """Returns {name: (kind, version)} of what a library defines for others."""
    symbols = {}
    for line in output("nm", "-D", "--defined-only", str(library)).splitlines():
        kind, name = line.split()[-2:]
        name, _, version = name.partition("@@")
        symbols[name] = (kind, version)
    return symbols


def check_exports(library, headers):
    declared = Declared(headers)
    symbols = exported(library)
    symbols.pop(VERSION, None)  # the version's own name
    findings = []
    expected = declared.functions - declared.private | declared.data
    if len(expected) < 20 or not declared.data:
        findings.append(f"{headers}: these declarations were not understood: {sorted(expected)}")
    findings += [f"not exported: {name}" for name in sorted(expected - symbols.keys())]
    findings += [f"exported, but not declared: {name}" for name in sorted(symbols.keys() - expected)]
    for name, (kind, version) in sorted(symbols.items()):
        if version != VERSION:
            findings.append(f"{name}: version '{version}' instead of '{VERSION}'")
        if name in declared.functions and kind != "T":
            findings.append(f"{name}: a function of kind {kind} instead of T")
        if name in declared.data and kind not in "BD":
            findings.append(f"{name}: data of kind {kind} instead of B or D")

    dynamic = output("readelf", "-dW", str(library))
    soname = re.findall(r"\(SONAME\).*\[(.*)\]", dynamic)
    if soname != [SONAME]:
        findings.append(f"soname {soname} instead of {SONAME}")
    needed = re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic)
    if not needed:
        findings.append("needs no library at all: readelf was not understood")
    findings += [f"needs {name}" for name in needed if not (NEEDED.fullmatch(name) or SANITIZERS.fullmatch(name))]
    # Workers run its code for as long as the process lives: dlclose() must not unmap it. Bound at load, so that no
    # symbol is looked up on a path that runs work.
    flags = " ".join(re.findall(r"\(FLAGS(?:_1)?\)(.*)", dynamic))
    findings += [f"not linked with {flag}" for flag in ("NODELETE", "NOW") if flag not in flags]
    if "(TEXTREL)" in dynamic or "TEXTREL" in flags:
        findings.append("has text relocations")
    return findings


def compiles_with_pipewire(headers, flags):
    """Both libraries' headers in one file, in either order, as C and as C++."""
    findings = []
    for compiler, standard, suffix in (("cc", "-std=gnu11", ".c"), ("c++", "-std=gnu++20", ".cc")):
        if not shutil.which(compiler):
            continue
        for first, second in itertools.permutations(("pipewire/pipewire.h", "pwlocks/pwlocks.h")):
            with tempfile.NamedTemporaryFile("w", suffix=suffix) as source:
                source.write(f"#include <{first}>\n#include <{second}>\n")
                source.write("int main(void) { return pw_nr_cpus() == 0; }\n")
                source.flush()
                command = [compiler, standard, "-fsyntax-only", f"-I{headers.parent}", *flags, source.name]
                run = subprocess.run(command, check=False, capture_output=True, text=True)
                if run.returncode:
                    findings.append(f"{compiler}: <{first}> and then <{second}>:\n{run.stderr}")
    return findings


def check_pipewire(library, headers):
    config = ["pkg-config", "--cflags", "libpipewire-0.3"]
    if not shutil.which("pkg-config") or subprocess.run(config, check=False, capture_output=True).returncode:
        print("PipeWire's headers are not installed (Debian: libpipewire-0.3-dev)")
        sys.exit(77)
    flags = output(*config).split()
    theirs = set()
    folders = [pathlib.Path(flag[2:]) for flag in flags if flag.startswith("-I")]
    for header in (header for folder in folders for header in folder.rglob("*.h")):
        theirs |= set(re.findall(r"\b(?:pw|PW)_\w+", without_comments(header.read_text(encoding="utf-8"))))
    findings = []
    if "pw_init" not in theirs or "PW_VERSION_CORE" not in theirs:
        findings.append(f"PipeWire's headers were not understood: {len(theirs)} names in {folders}")
    declared = Declared(headers)
    ours = declared.identifiers | declared.functions | declared.macros | exported(library).keys()
    findings += [f"PipeWire has it too: {name}" for name in sorted((ours & theirs) - SHARED_ON_PURPOSE)]
    folder = output("pkg-config", "--variable=libdir", "libpipewire-0.3").strip()
    shared_object = pathlib.Path(folder, "libpipewire-0.3.so")
    if shared_object.exists():
        both = exported(library).keys() & exported(shared_object).keys()
        findings += [f"PipeWire's library exports it too: {name}" for name in sorted(both)]
    return findings + compiles_with_pipewire(headers, flags)


def main():
    if len(sys.argv) != 4 or sys.argv[1] not in ("exports", "pipewire"):
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    library, headers = pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
    check = check_exports if sys.argv[1] == "exports" else check_pipewire
    findings = check(library, headers)
    for finding in findings:
        print(finding)
    print(f"{len(findings)} findings")
    sys.exit(1 if findings else 0)


if __name__ == "__main__":
    main()
