#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Removes one barrier after the other from the protocols and expects their models to notice.

A barrier is a line of code whose comment names it, as in "// [W1]". Each is weakened in a copy of the sources: a fence is
removed, an order becomes relaxed, acq_rel becomes acquire only and release only. Steps of a protocol that are no barriers
are listed below, with what is done to them. Then the model of the protocol is built from the copy and must fail. The
untouched models must hold. One line each, at the end "N passed, N failed"; exit status 0 if nothing failed, 77 with a
reason if the model checker (Debian's relacy-dev) is not there.
"""
import argparse
import concurrent.futures
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

# A tag's letter: the model that must fail without that barrier, and the file that has it.
PROTOCOLS = {
    "W": ("idle", "src/idle.h"),
    "I": ("flush", "src/item.h"),
    "Q": ("quiesce", "src/quiesce.h"),
    "C": ("completion", "src/completion.h"),
    "V": ("visit", "src/visit.h"),
}

LANE = ("lane", "src/lane.cc")
# Tag, what is done, model and file, the text (once in the file), and what replaces it.
STEPS = [
    ("I7", "looks at current first", "flush", "src/item.h",
     """        state = word.load(std::memory_order_acquire); // [I5] pairs with the release in start()
        if (state & item_state::pending)
            return true;
        return current_.load(std::memory_order_acquire) == item;""",
     """        bool runs = current_.load(std::memory_order_acquire) == item;
        state = word.load(std::memory_order_acquire);
        return (state & item_state::pending) || runs;"""),
    ("I8", "clears pending by a store", "flush", "src/item.h",
     "state.exchange(before & ~item_state::pending, std::memory_order_acq_rel);",
     "state.store(before & ~item_state::pending, std::memory_order_release);"),
    ("I9", "a claim writes nothing if pending", "flush", "src/item.h",
     "    while (!state.compare", "    while (!(before & item_state::pending) && !state.compare"),
    ("I10", "waits for no claimant", "flush", "src/quiesce.h", "return (word & depth_mask) != 0 &&", "return false &&"),
    ("L1", "acquire -> relaxed", "lock", "include/pwlocks/lock.h", "tid, 0, __ATOMIC_ACQUIRE,",
     "tid, 0, __ATOMIC_RELAXED,"),
    ("L2", "release -> relaxed", "lock", "include/pwlocks/lock.h", "__atomic_store_n(&instance->owner, 0, __ATOMIC_RELEASE)",
     "__atomic_store_n(&instance->owner, 0, __ATOMIC_RELAXED)"),
    ("L3", "restarts no sequence", "lock", "src/lock.cc", "    restart_sequences(cpu);\n", ""),
    ("L4", "takes no second look at the owner", "lock", "src/lock.cc", "    restart_sequences(cpu);\n",
     "    restart_sequences(cpu);\n    return true;\n"),
    ("L5", "waits without a timeout", "lock", "src/lock.cc", "holder, &timeout)", "holder)"),
    ("T1", "no dependency on what is handed over", *LANE, "    depend(item.ticket);\n    count(", "    count("),
    ("T2", "no dependency on what is pending", *LANE, "        depend(item.ticket);\n", ""),
    ("T3", "the list does not count", *LANE, "if (first_ && first_->ticket <= ticket)", "if (false)"),
    ("T4", "what is handed to a runner does not count", *LANE, "if (each->again && each->again <= ticket)", "if (false)"),
    ("T5", "what was handed over and runs does not count", *LANE,
     "if (each->ticket && each->ticket <= ticket && !is_ours(each))", "if (false)"),
    ("T6", "runs what is running", *LANE, "if (run_record *now = find(&item)) {",
     "if (run_record *now = nullptr) {"),
    ("T7", "the head does not wait for itself", *LANE, "if (!first_ || find(first_))", "if (!first_)"),
    ("T8", "the head does not wait for runners", *LANE, "(each->ticket && each->ticket < first_->ticket) || (each->again",
     "(each->again"),
    ("T9", "the head does not wait for hand-overs", *LANE,
     "(each->ticket && each->ticket < first_->ticket) || (each->again && each->again < first_->ticket)",
     "(each->ticket && each->ticket < first_->ticket)"),
    ("T10", "no look at the list between runs", *LANE,
     "    // Either way something has ended that the head of the list may have waited for.\n    kick();",
     "    if (!record.ticket)\n        kick();"),
    ("T11", "no look at the list after a run", *LANE,
     "    // Either way something has ended that the head of the list may have waited for.\n    kick();", ""),
    ("T12", "the deputy gets its item twice", *LANE, "if (kicked_ || !head_ready())", "if (!head_ready())"),
    ("T13", "pending while it runs", *LANE, "            clear_pending(*record.item);\n", ""),
    ("T14", "nobody runs what an ended thread leaves", *LANE, "    if (record.again)\n        list(*record.item);\n", ""),
    ("T15", "a flush waits for its own thread", *LANE, "if (waits_for_us(item))", "if (false)"),
    ("T16", "no look at what waits below us", *LANE, "if (now && is_ours(now))", "if (false)"),
    ("T17", "a stop is not woken", *LANE,
     "    if (idle())\n        wake_waiters(nullptr);\n    return record.ticket != 0;", "    return record.ticket != 0;"),
]

ORDER = re.compile(r"(memory_order_|__ATOMIC_)(\w+)")
FENCE = re.compile(r"^\s*[\w:]*(fence|enqueued|restart)\(.*\);")
WEAKER = {
    "acquire": ["relaxed"],
    "release": ["relaxed"],
    "acq_rel": ["acquire", "release"],
    "seq_cst": ["relaxed"],
}


class Mutant:
    """A model, and the file of which it gets another text: None if it is to run as it is."""

    def __init__(self, tag, what, model, path=None, text=None):
        self.tag, self.what, self.model, self.path, self.text = tag, what, model, path, text

    def apply(self, tree):
        if self.path is not None:
            (tree / self.path).write_text(self.text, encoding="utf-8")


def weakenings(code):
    """Yields (what was done, the code after it) for one line of code."""
    if FENCE.match(code):
        yield "removed " + code.strip().rstrip(";"), ""
        return
    for each in ORDER.finditer(code):
        for weaker in WEAKER.get(each[2].lower(), []):
            name = weaker if each[2].islower() else weaker.upper()
            yield f"{each[2].lower()} -> {weaker}", code[: each.start(2)] + name + code[each.end(2) :]


def find_mutants(root):
    for letter, (model, path) in PROTOCOLS.items():
        seen = set()
        lines = (root / path).read_text(encoding="utf-8").split("\n")
        for number, line in enumerate(lines):
            code, _, comment = line.partition("//")
            tag = re.match(r" \[([A-Z]\d+)\]", comment)
            if not code.strip() or not tag:
                continue
            if not tag[1].startswith(letter) or tag[1] in seen:
                sys.exit(f"models: {path}:{number + 1}: tag {tag[1]} is used twice or belongs elsewhere")
            seen.add(tag[1])
            found = list(weakenings(code))
            if not found:
                sys.exit(f"models: {path}:{number + 1}: nothing to weaken at tag {tag[1]}")
            for what, text in found:
                yield Mutant(tag[1], what, model, path, "\n".join(lines[:number] + [text] + lines[number + 1 :]))
        if not seen:
            sys.exit(f"models: {path}: no tag")
    for tag, what, model, path, old, new in STEPS:
        text = (root / path).read_text(encoding="utf-8")
        if text.count(old) != 1:
            sys.exit(f"models: {tag}: {path} has this {text.count(old)} times, not once: {old}")
        yield Mutant(tag, what, model, path, text.replace(old, new))


def compile_model(compiler, tree, arguments):
    flags = ["-std=c++20", "-O1", "-w", "-D_GNU_SOURCE", "-I", str(tree / "src"), "-I", str(tree / "include")]
    return subprocess.run(compiler + flags + arguments, capture_output=True, text=True, check=False)


def run(mutant, root, folder, compiler, number):
    """Returns (whether the model holds, what it said): None if it could not be built."""
    tree = folder / str(number)
    for part in ("src", "include"):
        shutil.copytree(root / part, tree / part)
    mutant.apply(tree)
    program = tree / "model"
    built = compile_model(compiler, tree, [str(folder / "tests" / f"model_{mutant.model}.cc"), "-o", str(program)])
    if built.returncode != 0:
        return None, built.stderr
    try:
        ran = subprocess.run([str(program)], capture_output=True, text=True, check=False, timeout=120)
    except subprocess.TimeoutExpired:
        return None, "did not end in 120 s"
    shutil.rmtree(tree)
    if ran.returncode not in (0, 1):
        return None, f"exit status {ran.returncode}\n{ran.stdout}{ran.stderr}"
    return ran.returncode == 0, ran.stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=pathlib.Path, help="the source folder")
    parser.add_argument("build", type=pathlib.Path, help="a folder for temporary files")
    parser.add_argument("--only", default="", help="tags that start so, or a model's name")
    parser.add_argument("--compiler", default="g++")
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    compiler = arguments.compiler.split()
    # As src/meson.build has it.
    newer = subprocess.run(["pkg-config", "--atleast-version=0.14", "liburcu"], check=False).returncode == 0
    compiler.append(f"-DPWLOCKS_URCU_TAKES_POINTER={newer:d}")

    probe = subprocess.run(compiler + ["-E", "-x", "c++", "-"], input="#include <relacy/relacy.hpp>\n", text=True,
                           capture_output=True, check=False)
    if probe.returncode != 0:
        print("skipped: relacy/relacy.hpp is not there (Debian: relacy-dev)")
        return 77

    root = arguments.root.resolve()
    models = sorted(each.stem[len("model_") :] for each in (root / "tests").glob("model_*.cc"))
    page = (root / "doc" / "MEMORY-ORDER.md").read_text(encoding="utf-8")
    everything = [Mutant("none", "as it is", model) for model in models] + list(find_mutants(root))
    for tag in {each.tag for each in everything if each.path}:
        if not re.search(rf"\b{tag}\b", page):
            sys.exit(f"models: doc/MEMORY-ORDER.md does not name {tag}")
    chosen = [each for each in everything if each.tag.startswith(arguments.only) or each.model == arguments.only]

    counts = [0, 0]
    with tempfile.TemporaryDirectory(dir=arguments.build) as name:
        folder = pathlib.Path(name)
        (folder / "tests").mkdir()
        for each in (root / "tests").glob("model*.[ch]*"):
            shutil.copy(each, folder / "tests")
        # Precompiled, which gcc then finds beside it: Relacy is most of what there is to compile.
        compile_model(compiler, root, ["-x", "c++-header", str(folder / "tests" / "model.h")])
        with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
            jobs = [pool.submit(run, each, root, folder, compiler, number)
                    for number, each in enumerate(chosen)]
            for mutant, job in zip(chosen, jobs):
                holds, output = job.result()
                good = holds is not None and holds == (mutant.path is None)
                counts[not good] += 1
                told = {True: "holds", False: "fails", None: "could not be run"}[holds]
                print(f"{'ok' if good else 'NOT OK':7}{mutant.tag:5} {mutant.what:46} model_{mutant.model} {told}",
                      flush=True)
                if not good:
                    print(output[:4000])
    print(f"{counts[0]} passed, {counts[1]} failed")
    return 1 if counts[1] or not counts[0] else 0


if __name__ == "__main__":
    sys.exit(main())
