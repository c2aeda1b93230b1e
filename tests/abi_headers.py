#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Whether a stranger can compile against the public headers.

abi_headers.py alone HEADERS                   each header by itself, as C11 and as C++20, without a warning
abi_headers.py use HEADERS LIBRARY PROGRAM...  the programs use every public name, link with the library, and run
abi_headers.py installed BUILD PROGRAM...      the same through pkg-config, against what `meson install` lays out

Exit status: 0, or 1 with a line for each finding.
"""
import itertools
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

from public_names import Declared

C = [name for name in ("gcc", "clang") if shutil.which(name)] or ["cc"]
CXX = [name for name in ("g++", "clang++") if shutil.which(name)] or ["c++"]
LANGUAGES = [(compiler, "c", "c11") for compiler in C] + [(compiler, "c++", "c++20") for compiler in CXX]
STRICT = ["-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wundef", "-Wconversion", "-Werror"]
STRATEGIES = {"PWLOCKS=0": {"PWLOCKS": "0"}, "PWLOCKS=1": {"PWLOCKS": "1"}}


def attempt(command, **more):
    """Runs a command. Returns nothing, or what went wrong."""
    words = [str(word) for word in command]
    run = subprocess.run(words, check=False, capture_output=True, text=True, timeout=300, **more)
    if run.returncode == 0:
        return []
    return [f"{' '.join(words)}: status {run.returncode}\n{run.stdout}{run.stderr}"]


def check_alone(headers):
    findings = []
    names = sorted(header.name for header in headers.glob("*.h"))
    if "pwlocks.h" not in names:
        findings.append(f"{headers}: no pwlocks.h")
    for name, (compiler, language, standard), level in itertools.product(names, LANGUAGES, ("-O0", "-O2")):
        # Twice, since the guard counts too; and with a name, since ISO C has no empty file.
        text = f"#include <pwlocks/{name}>\n#include <pwlocks/{name}>\ntypedef int not_empty;\n"
        findings += attempt([compiler, "-x", language, f"-std={standard}", level, *STRICT, f"-I{headers.parent}", "-c",
                             "-o", "/dev/null", "-"], input=text)
    return findings


def unused(headers, programs):
    """The public names that no program uses."""
    declared = Declared(headers)
    private = re.compile(r"(?i)pw_detail_\w+|PWLOCKS_\w+_H|\w+_slow")
    public = {name for name in declared.functions | declared.macros if not private.fullmatch(name)}
    text = "".join(program.read_text(encoding="utf-8") for program in programs)
    return [f"no program uses {name}" for name in sorted(public) if not re.search(rf"\b{name}\b", text)]


def check_use(headers, library, *programs):
    findings = unused(headers, programs)
    modes = (["-O0"], ["-O2"], ["-O2", "-fPIC", "-pie"], ["-O2", "-fno-pie", "-no-pie"])
    with tempfile.TemporaryDirectory() as folder:
        binary = pathlib.Path(folder, "use")
        for program, (compiler, language, standard), mode in itertools.product(programs, LANGUAGES, modes):
            built = attempt([compiler, "-x", language, f"-std={standard}", *mode, *STRICT, f"-I{headers.parent}",
                             program, "-x", "none", library, "-o", binary])
            findings += built or run_everywhere(binary, library.parent)
    return findings


def run_everywhere(binary, folder):
    findings = []
    for name, settings in STRATEGIES.items():
        environment = os.environ | settings | {"LD_LIBRARY_PATH": str(folder)}
        findings += [f"{name} {finding}" for finding in attempt([binary], env=environment)]
    return findings


def check_installed(build, *programs):
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder, "root")
        findings = attempt(["meson", "install", "-C", build, "--no-rebuild", "--destdir", root])
        described = list(root.rglob("pwlocks.pc"))
        if findings or len(described) != 1:
            return findings + [f"{len(described)} files pwlocks.pc were installed"]
        # The folders that the file names are below the root that it was installed into.
        prefix = re.search(r"^prefix=(.*)$", described[0].read_text(encoding="utf-8"), flags=re.MULTILINE).group(1)
        environment = os.environ | {"PKG_CONFIG_PATH": str(described[0].parent)}
        config = ["pkg-config", f"--define-variable=prefix={root}{prefix}"]

        def said(*question):
            return subprocess.run([*config, *question, "pwlocks"], check=True, capture_output=True, text=True,
                                  env=environment).stdout.split()

        flags = said("--cflags", "--libs")
        version = " ".join(said("--modversion"))
        headers = root / prefix.lstrip("/") / "include" / "pwlocks"
        text = (headers / "base.h").read_text(encoding="utf-8")
        numbers = [re.search(rf"PW_VERSION_{part} (\d+)", text).group(1) for part in ("MAJOR", "MINOR", "PATCH")]
        if version != ".".join(numbers):
            findings.append(f"pkg-config says version {version}, the headers say {'.'.join(numbers)}")
        private = [flag for flag in flags if re.search(r"hwloc|numa|urcu", flag)]
        findings += [f"a program that uses the library would need {flag}" for flag in private]
        libraries = [pathlib.Path(flag[2:]) for flag in flags if flag.startswith("-L")]
        binary = pathlib.Path(folder, "use")
        for program, (compiler, language, standard) in itertools.product(programs, LANGUAGES):
            built = attempt([compiler, "-x", language, f"-std={standard}", "-O2", *STRICT, program, "-x", "none", *flags,
                             "-o", binary])
            findings += built or run_everywhere(binary, libraries[0])
        return findings


def main():
    checks = {"alone": (check_alone, 1), "use": (check_use, 3), "installed": (check_installed, 2)}
    check, count = checks.get(sys.argv[1] if len(sys.argv) > 1 else None, (None, 0))
    exact = check is check_alone
    if not check or len(sys.argv) < count + 2 or (exact and len(sys.argv) > count + 2):
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    findings = check(*(pathlib.Path(argument).resolve() for argument in sys.argv[2:]))
    for finding in findings:
        print(finding)
    print(f"{len(findings)} findings, {len(LANGUAGES)} compilers")
    sys.exit(1 if findings else 0)


if __name__ == "__main__":
    main()
