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

# A tag's letter: the model that must fail without that barrier, and the files that have such.
PROTOCOLS = {
    "W": ("idle", ["src/idle.h"]),
    "U": ("turn", ["src/turn.h"]),
    "I": ("flush", ["src/item.h"]),
    "K": ("cancel", ["src/item.h", "src/quiesce.h"]),
    "Q": ("quiesce", ["src/quiesce.h"]),
    "C": ("completion", ["src/completion.h"]),
    "V": ("visit", ["src/visit.h"]),
    "M": ("mutex", ["src/futex_mutex.h"]),
}

LANE = ("lane", "src/lane.cc")
LANE_RUN = ("lane", "src/lane_run.cc")
CIRCLES = ("lane_circles", "src/lane_wait.cc")
WAITS = ("lane_circles", "src/waits.cc")
CANCEL = ("lane_cancel", "src/lane.cc")
CANCEL_WAIT = ("lane_cancel", "src/lane_wait.cc")
# Tag, what is done, model and file, the text (once in the file), and what replaces it; or several such pairs, and None.
STEPS = [
    ("U7", "takes any turn's end for an answer", "turn", "src/turn.h", "(ends == 1 && is_over(nothing_arrived))", "ends == 1"),
    ("U8", "looks at the turn first", "turn", "src/turn.h",
     """        if (!nothing_arrived())
            return false;
""",
     """        if (word_.load(std::memory_order_acquire) % 2 != 0)
            return false;
        return nothing_arrived();
"""),
    ("I7", "looks at current first", "flush", "src/item.h",
     """        state = word.load(std::memory_order_acquire); // [I5] pairs with the release in start()
        if (item_state::is_queued(state))
            return true;
        return current_.load(std::memory_order_acquire) == item;""",
     """        bool runs = current_.load(std::memory_order_acquire) == item;
        state = word.load(std::memory_order_acquire);
        return item_state::is_queued(state) || runs;"""),
    ("I8", "clears pending by a store", "flush", "src/item.h",
     """            if (state.compare_exchange_weak(before, after, std::memory_order_acq_rel, // [I3]
                                            std::memory_order_relaxed))
                return before;""",
     """            state.store(after, std::memory_order_release);
            return before;"""),
    ("I9", "a claim writes nothing if pending", "flush", "src/item.h",
     """        uint64_t after = before;
        if (!(before & item_state::pending)) {
            if (before & item_state::unusual)""",
     """        uint64_t after = before;
        if (before & item_state::pending) {
            return before;
        } else {
            if (before & item_state::unusual)"""),
    ("I10", "waits for no claimant", "flush", "src/quiesce.h", "return (word & depth_mask) != 0 &&", "return false &&"),
    ("K1", "acq_rel -> acquire", "cancel", "src/item.h",
     "compare_exchange_strong(before, after, std::memory_order_acq_rel, // [K1]",
     "compare_exchange_strong(before, after, std::memory_order_acquire, // [K1]"),
    ("K4", "reads the place of a claimant still inside", "cancel", "src/item.h", "            left(before); // [K4]\n", ""),
    ("K8", "a stand-in runs whatever its place", "cancel", "src/item.h",
     "            if (place.load(std::memory_order_relaxed) != ours) // relaxed: ordered by left()\n                return false;\n", ""),
    ("K9", "runs at the own node in any case", "cancel", "src/item.h",
     "            if (item_state::is_here(before))\n                after &= ~item_state::pending;",
     "            if (before & item_state::pending)\n                after &= ~(item_state::pending | item_state::stood_in);"),
    ("K11", "claims again and waits for no claimant", "calls", "src/work.cc",
     "            wait_until_queued(inside, before);\n            if ((before & item_state::linked) && !place) {",
     "            if ((before & item_state::linked) && !place) {"),
    ("K12", "its barrier waits for no claimant", "calls", "src/work.cc",
     "        if (held)\n            wait_until_queued(inside, before);\n        break;", "        break;"),
    ("K13", "cancelling refuses nothing", "calls", "src/work.cc", "} else if (before & item_state::cancelling) {",
     "} else if (false) {"),
    ("K14", "a timer's claim forgets who refuses", "calls", "src/item.h", " | (before & item_state::cancelling);", ";"),
    ("K15", "cancelling does not wait for what runs", "calls", "src/work.cc", "held = target.running.busy(&work, word, state) ||",
     "held = item_state::is_queued(state = word.load(std::memory_order_acquire)) ||"),
    ("K16", "cancelling does not look again behind a timer", "calls", "src/work.cc",
     "            if (!taken_back && armed_here(reinterpret_cast<const pw_delayed &>(work)))\n                continue;\n", ""),
    ("A1", "who arms wakes nobody", "calls", "src/timer.cc", "if (earlier && this_thread.worker_here != &keeper) {", "if (false) {"),
    ("A2", "looks at the timers before it is idle", "calls", "src/worker.cc",
     "    self.queue.idle.declare();\n    PW_INJECT();\n    uint64_t earliest = self.timers.earliest();",
     "    uint64_t earliest = self.timers.earliest();\n    PW_INJECT();\n    self.queue.idle.declare();"),
    ("A3", "arms and waits for no claimant", "calls", "src/timer.cc", "!may_overwrite(inside, before)) {", "false) {"),
    ("H1", "sleeps with an eye on one queue only", "calls", "src/worker.cc", "if (something_arrived(self) || (earliest",
     "if (!self.queue.nothing_arrived() || (earliest"),
    ("D1", "counts before it queues", "drain", "src/work.cc",
     [("        uint64_t before = claim(std::atomic_ref(work.state), kind, inside.claim_mark());\n        int result = 1;",
       "        if (chained)\n            queued_while_draining(wq);\n"
       "        uint64_t before = claim(std::atomic_ref(work.state), kind, inside.claim_mark());\n        int result = 1;"),
      ("        if (pw_unlikely(chained) && result == 1)\n            queued_while_draining(wq);\n", "")], None),
    ("D2", "counts before it hands over", "drain", "src/work.cc",
     [("    lane::admission admitted = through.admit(work, wq, record);",
       "    if (chained)\n        queued_while_draining(wq);\n    lane::admission admitted = through.admit(work, wq, record);"),
      ("    if (chained && (admitted", "    if (false && (admitted")], None),
    ("D3", "looks at what is armed last", "drain", "src/workqueue.cc",
     [("        if (disarm && wq.armed", "        bool chained = wq.chained.load(std::memory_order_acquire) != before;\n        PW_INJECT();\n"
       "        if (disarm && wq.armed"),
      ("        if (wq.chained.load(std::memory_order_acquire) == before)\n", "        if (!chained)\n")], None),
    ("D4", "a timer counts behind its disarming", "drain", "src/timer.cc",
     [("    wq->armed.fetch_sub(1, std::memory_order_release);\n", ""),
      ("    // In this order: see drain().\n", "    wq->armed.fetch_sub(1, std::memory_order_release);\n    PW_INJECT();\n")], None),
    ("D5", "does not wait for who saw no drain", "drain", "src/workqueue.cc", "static void settle() { wait_for_passages(); }",
     "static void settle() {}"),
    ("M5", "who slept knows of no other", "mutex", "src/futex_mutex.h",
     "        while (word_.exchange(awaited, std::memory_order_acquire) != free)",
     "        for (uint32_t mine = awaited; word_.exchange(mine, std::memory_order_acquire) != free; mine = held)"),
    ("M6", "looks whether to wake, and then releases", "mutex", "src/futex_mutex.h",
     "        if (word_.exchange(free, std::memory_order_release) == awaited)",
     "        bool wakes = word_.load(std::memory_order_relaxed) == awaited;\n"
     "        word_.store(free, std::memory_order_release);\n        if (wakes)"),
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
    ("T6", "runs what is running", *LANE, "if (run_record *now = find(&item)) {\n        note_hand_over(",
     "if (run_record *now = nullptr) {\n        note_hand_over("),
    ("T7", "the head does not wait for itself", *LANE_RUN, "if (!first_ || find(first_))", "if (!first_)"),
    ("T8", "the head does not wait for runners", *LANE_RUN, "(each->ticket && each->ticket < first_->ticket) || (each->again",
     "(each->again"),
    ("T9", "the head does not wait for hand-overs", *LANE_RUN,
     "(each->ticket && each->ticket < first_->ticket) || (each->again && each->again < first_->ticket)",
     "(each->ticket && each->ticket < first_->ticket)"),
    ("T10", "no look at the list between runs", *LANE_RUN,
     "    // Either way something has ended that the head of the list may have waited for.\n    kick();",
     "    if (!record.ticket)\n        kick();"),
    ("T11", "no look at the list after a run", *LANE_RUN,
     "    // Either way something has ended that the head of the list may have waited for.\n    kick();", ""),
    ("T12", "the deputy gets its item twice", *LANE_RUN, "if (kicked_ || !head_ready())", "if (!head_ready())"),
    ("T13", "pending while it runs", *LANE_RUN, "    clear_pending(item);\n", ""),
    ("T14", "nobody runs what an ended thread leaves", *LANE_RUN, "    if (record.again)\n        list(*record.item);\n", ""),
    ("T34", "the deputy inherits", *LANE_RUN, "        if (start_heir(*this, record))\n            return;\n", ""),
    ("T35", "an heir does not look what is left", *LANE_RUN, "    if (from.again)\n        begin_handed_over(",
     "    if (true)\n        begin_handed_over("),
    ("T15", "no look at what the list waits for", *CIRCLES, "(each->ticket && each->ticket < last)", "false"),
    ("T16", "no look at what runs and is waited for", *CIRCLES,
     "bool blocks = key.covers(each->item, each->wq, each->number()) ||", "bool blocks ="),
    ("T17", "a stop is not woken", *LANE_RUN, "    wake_if_idle();\n    return goes_on;", "    return goes_on;"),
    ("T18", "no look at what was handed over and is waited for", *CIRCLES,
     "(each->again && key.covers(each->item, each->item->wq, each->again))", "false"),
    ("T19", "no look at hand-overs that the list waits for", *CIRCLES, "(each->again && each->again < last)", "false"),
    ("T20", "no look at the runner of what is listed", *CIRCLES, "blocks = other == each->item", "blocks = false"),
    ("T21", "no look at what the deputy runs", *CIRCLES, "(last && each->thread == deputy)", "false"),
    ("T22", "sees circles of one thread only", *WAITS, "if (blocker == goal || reaches(blocker, goal, 0))",
     "if (blocker == goal)"),
    ("T23", "sees no circle that ends at itself", *WAITS, "if (blocker == goal || reaches(blocker, goal, 0))",
     "if (reaches(blocker, goal, 0))"),
    ("T24", "imagines circles", *CIRCLES, "bool blocks = key.covers(", "bool blocks = true || key.covers("),
    ("T29", "sees no worker that waits for itself", "calls", "src/waits.cc", "if (target == goal && depth_ >= depth)",
     "if (false)"),
    ("T28", "a stop is not woken when something is taken back", *CANCEL_WAIT,
     "    kick();\n    wake_if_idle();\n    return true;", "    kick();\n    return true;"),
    ("T31", "the deputy goes on with its own item", *LANE_RUN, "bool goes_on = record.ticket && !on_deputy();",
     "bool goes_on = record.ticket;"),
    ("T32", "does not ask again when the item's next run has begun", *CANCEL_WAIT, "(asked && self.key.limit == now->number())", "asked"),
    ("T33", "refuses what was armed", *CANCEL, "admit_locked(item->work, wq, record, true)", "admit_locked(item->work, wq, record, false)"),
    ("T30", "a worker that calls makes no calls", "calls", "src/waits.cc", "edge.call_ ? edge.worker_->serving.load() : 0", "0"),
    ("T25", "cancelling refuses nothing", *CANCEL, "if (!accepted && (state_of(item) & item_state::cancelling))",
     "if (false)"),
    ("T26", "cancelling does not wait", *CANCEL_WAIT,
     "    if (waits)\n        self.done.wait(flush_spins());\n    if (asked)", "    if (asked)"),
    ("T27", "nobody waits on when something is taken back", *CANCEL_WAIT, "    wake_waiters(&item, item.wq, item.ticket);\n", ""),
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
    seen = set()
    for path in sorted({path for _, paths in PROTOCOLS.values() for path in paths}):
        lines = (root / path).read_text(encoding="utf-8").split("\n")
        for number, line in enumerate(lines):
            code, _, comment = line.partition("//")
            tag = re.match(r" \[([A-Z]\d+)\]", comment)
            if not code.strip() or not tag:
                continue
            if tag[1] in {step[0] for step in STEPS}:
                continue  # no barrier
            model, paths = PROTOCOLS.get(tag[1][0], ("", []))
            if path not in paths or tag[1] in seen:
                sys.exit(f"models: {path}:{number + 1}: tag {tag[1]} is used twice or belongs elsewhere")
            seen.add(tag[1])
            found = list(weakenings(code))
            if not found:
                sys.exit(f"models: {path}:{number + 1}: nothing to weaken at tag {tag[1]}")
            for what, text in found:
                yield Mutant(tag[1], what, model, path, "\n".join(lines[:number] + [text] + lines[number + 1 :]))
    for letter, (model, paths) in PROTOCOLS.items():
        if not any(tag.startswith(letter) for tag in seen):
            sys.exit(f"models: no tag {letter} in {', '.join(paths)}")
    for tag, what, model, path, old, new in STEPS:
        text = (root / path).read_text(encoding="utf-8")
        for old, new in old if new is None else [(old, new)]:
            if text.count(old) != 1:
                sys.exit(f"models: {tag}: {path} has this {text.count(old)} times, not once: {old}")
            text = text.replace(old, new)
        yield Mutant(tag, what, model, path, text)


def copy_checker(compiler, folder):
    """Relacy follows C++11, where a thread's next store to a word carries on what its last release of that word has published.
    C++20 ends that: so does this copy, which every model is built with. False if there is no Relacy to copy."""
    probe = subprocess.run(compiler + ["-M", "-x", "c++", "-"], input="#include <relacy/relacy.hpp>\n", text=True,
                           capture_output=True, check=False)
    if probe.returncode != 0:
        return False
    place = next(pathlib.Path(word) for word in probe.stdout.split() if word.endswith("relacy/relacy.hpp"))
    shutil.copytree(place.parent, folder / "relacy")
    header = folder / "relacy" / "thread.hpp"
    text = header.read_text(encoding="utf-8")
    sequence = "(rmw || (index_ == prev.thread_id_))"
    if text.count(sequence) != 1:
        sys.exit(f"models: {place.parent}: another Relacy than we know: its release sequences are not where they were")
    header.write_text(text.replace(sequence, "rmw"), encoding="utf-8")
    return True


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
        ran = subprocess.run([str(program)], capture_output=True, text=True, check=False, timeout=600)
    except subprocess.TimeoutExpired:
        return None, "did not end in 600 s"
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
        if not copy_checker(compiler, folder):
            print("skipped: relacy/relacy.hpp is not there (Debian: relacy-dev)")
            return 77
        compiler += ["-I", str(folder)]
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
