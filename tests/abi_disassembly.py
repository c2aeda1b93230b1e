#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What the uncontended lock paths compile to: reads the disassembly of a program that inlines them.

abi_disassembly.py HEADERS

From each function's entry every path is followed that reaches its return without leaving the function; those that call, into the
library's out-of-line halves, are the unusual ones. A path that uses a restartable sequence, the queue strategy's, must have no
locked instruction; any other, the lock strategy's, exactly one. Prints the instructions of the longest path of each kind, which must
not exceed what is stated below and in README.md. Exit status: 0; 1 with a line for each finding; 77 where this is not x86-64.
"""
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tempfile

PROGRAM = """
#include <pwlocks/lock.h>
void local(pw_lock_t *lock, long *data)
{
    int cpu = pw_lock_local(lock);
    ++*pw_per_cpu_ptr(data, cpu);
    pw_unlock_local(lock, cpu);
}
void given(pw_lock_t *lock, long *data, int cpu)
{
    pw_lock(lock, cpu);
    ++*pw_per_cpu_ptr(data, cpu);
    pw_unlock(lock, cpu);
}
void try_local(pw_lock_t *lock, long *data)
{
    int cpu = pw_trylock_local(lock);
    if (cpu < 0)
        return;
    ++*pw_per_cpu_ptr(data, cpu);
    pw_unlock_local(lock, cpu);
}
void try_given(pw_lock_t *lock, long *data, int cpu)
{
    if (!pw_trylock(lock, cpu))
        return;
    ++*pw_per_cpu_ptr(data, cpu);
    pw_unlock(lock, cpu);
}
"""
FUNCTIONS = ("local", "given", "try_local", "try_given")
# The whole function, its own prologue, the increment and the return included, at most.
MOST_INSTRUCTIONS = {"queue": 42, "lock": 40}
INSTRUCTION = re.compile(r"^\s*([0-9a-f]+):\s+(\S.*?)\s*$")


class Finding(Exception):
    pass


def functions_of(listing):
    """Function name -> {address: (text, whether a relocation follows)}, in order."""
    found, current, last = {}, None, None
    for line in listing.splitlines():
        if head := re.match(r"^[0-9a-f]+ <(\w+)>:$", line):
            current = found.setdefault(head[1], {})
        elif "R_X86_64" in line and current:
            current[last] = (current[last][0], line)
        elif (each := INSTRUCTION.match(line)) and current is not None:
            last = int(each[1], 16)
            current[last] = (each[2].split("#")[0].strip(), "")
    return found


def is_locked(text):
    return text.startswith("lock") or (text.startswith("xchg") and "(" in text)


def paths(code, address, seen=()):
    """Yields the instructions of every path from an address to a return that calls nothing."""
    following = dict(zip(code, list(code)[1:]))
    while True:
        if address in seen:
            return  # a loop: not the straight way
        text, relocation = code[address]
        seen += (address,)
        word = text.split()[0]
        if word == "call" or word == "callq" or (word.startswith("jmp") and relocation):
            return
        if word.startswith("ret"):
            yield [code[each][0] for each in seen]
            return
        if word.startswith("j"):
            # The abort handler jumps back in from elsewhere; nothing here jumps there.
            target = int(text.split()[1], 16)
            if target in code:
                if word.startswith("jmp"):
                    address = target
                    continue
                yield from paths(code, target, seen)
            elif word.startswith("jmp"):
                return
        if address not in following:
            return
        address = following[address]


def check(code, name, compiler):
    """Returns {strategy: instructions of its longest path}."""
    longest = {}
    for path in paths(code, next(iter(code))):
        # The descriptor's address goes to the thread's rseq_cs.
        strategy = "queue" if any(re.match(r"mov\w*\s+%r\w+,%fs:0x8\(", each) for each in path) else "lock"
        locked = [each for each in path if is_locked(each)]
        if len(locked) != (0 if strategy == "queue" else 1):
            raise Finding(f"{compiler}: {name}: a path of strategy {strategy} has locked instructions {locked}:\n  " + "\n  ".join(path))
        longest[strategy] = max(longest.get(strategy, 0), len(path))
    if set(longest) != {"queue", "lock"}:
        raise Finding(f"{compiler}: {name}: only paths of {sorted(longest)} reach the return without a call")
    for strategy, count in longest.items():
        if count > MOST_INSTRUCTIONS[strategy]:
            raise Finding(f"{compiler}: {name}: {count} instructions under {strategy}, more than {MOST_INSTRUCTIONS[strategy]}")
    return longest


def main():
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    if platform.machine() != "x86_64" or not shutil.which("objdump"):
        print("needs x86-64 and objdump")
        sys.exit(77)
    headers = pathlib.Path(sys.argv[1]).resolve()
    findings, checked = [], 0
    with tempfile.TemporaryDirectory() as folder:
        compiled = pathlib.Path(folder, "locks.o")
        for compiler in ("gcc", "clang"):
            if not shutil.which(compiler):
                continue
            for flags in (["-O2"], ["-O2", "-fPIC"], ["-O2", "-fcf-protection"], ["-O3", "-march=native"]):
                subprocess.run([compiler, "-x", "c", "-std=c11", *flags, f"-I{headers.parent}", "-c", "-o", str(compiled), "-"],
                               input=PROGRAM, text=True, check=True)
                listing = subprocess.run(["objdump", "-dr", "--no-show-raw-insn", "--section=.text", str(compiled)], check=True,
                                         capture_output=True, text=True).stdout
                code = functions_of(listing)
                for name in FUNCTIONS:
                    try:
                        longest = check(code.get(name, {0: ("ret", "")}), name, f"{compiler} {' '.join(flags)}")
                        print(f"{compiler} {' '.join(flags)}: {name}: {longest['queue']} under queue, {longest['lock']} under lock")
                        checked += 1
                    except Finding as finding:
                        findings.append(str(finding))
    for finding in findings:
        print(finding)
    print(f"{len(findings)} findings, {checked} functions checked")
    sys.exit(1 if findings or not checked else 0)


if __name__ == "__main__":
    main()
