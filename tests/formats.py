#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What pw-stat writes for other programs, against what those programs accept.

Usage: formats.py SCHEMA FORMAT_SAMPLES PW_STAT         samples that have everything, and this machine
       formats.py SCHEMA json|openmetrics|prometheus    one text, on standard input; of JSON, one or a line for each

Exits with 77 if a program or module that judges is missing."""
import copy
import json
import shutil
import subprocess
import sys

missing = []
try:
    import jsonschema
except ImportError:
    missing.append("python3-jsonschema")
try:
    from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
    from prometheus_client.parser import text_string_to_metric_families as parse_prometheus
except ImportError:
    missing.append("python3-prometheus-client")
if not shutil.which("promtool"):
    missing.append("prometheus")


def strict(schema):
    """The same schema, but it knows all members: a test must not pass because something is not described."""
    if isinstance(schema, dict):
        if "properties" in schema:
            schema["additionalProperties"] = False
        for part in schema.values():
            strict(part)
    elif isinstance(schema, list):
        for part in schema:
            strict(part)
    return schema


def check(condition, what):
    if not condition:
        sys.exit("failed: " + what)


def output(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=60).stdout.decode("utf-8")


class Schema:
    """Judges documents, and knows what it does not accept."""

    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            schema = json.load(file)
        jsonschema.Draft202012Validator.check_schema(schema)
        self.validator = jsonschema.Draft202012Validator(strict(schema))

    def judge(self, document):
        errors = [f"{error.json_path}: {error.message}" for error in self.validator.iter_errors(document)]
        check(not errors, "the schema: " + "; ".join(errors[:3]))

    def refuse(self, document, what):
        check(not self.validator.is_valid(document), "the schema accepts " + what)


def check_documents(schema, samples):
    document = json.loads(output(samples, "json"))
    check(document == json.loads(output(samples, "line")), "one line says something else")
    schema.judge(document)
    # Each part of the schema says something.
    for path in [["schema"], ["processes", 0, "pid"], ["processes", 1, "cpus", 0, "functions", 0, "here", "count"],
                 ["processes", 1, "cpus", 0, "histograms", "run_here", 0, "le_ns"],
                 ["processes", 1, "cpus", 0, "running", "for_ns"], ["processes", 1, "cpus", 0, "callers_running", 0, "threads"],
                 ["processes", 1, "other_locks", "remote"], ["processes", 1, "workqueues", 1, "priority"]]:
        changed = copy.deepcopy(document)
        place = changed
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = 1.5
        schema.refuse(changed, "1.5 as " + str(path))
        del place[path[-1]]
        schema.refuse(changed, "a document without " + str(path))


def check_machine(schema, pw_stat):
    document = json.loads(output(pw_stat, "topology", "--json"))
    schema.judge(document)
    for part, member in [("cpus", "reason"), ("nodes", "node"), ("caches", "cpus")]:
        if document["topology"][part]:
            changed = copy.deepcopy(document)
            del changed["topology"][part][0][member]
            schema.refuse(changed, f"{part} without {member}")


def promtool(text):
    judged = subprocess.run(["promtool", "check", "metrics"], input=text.encode("utf-8"), stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, timeout=60)
    check(judged.returncode == 0 and not judged.stdout, "promtool: " + judged.stdout.decode("utf-8")[:500])


def judge_prometheus(text):
    promtool(text)
    return {family.name: family for family in parse_prometheus(text)}


def judge_openmetrics(text):
    promtool(text)
    return {family.name: family for family in parse_openmetrics(text)}


def check_metrics(samples):
    families = judge_prometheus(output(samples, "prometheus"))
    check(families["pwlocks_queued"].type == "counter", "pwlocks_queued is no counter")
    parsed = judge_openmetrics(output(samples, "openmetrics"))
    check(len(parsed) == len(families), "not the same families")
    check(parsed["pwlocks_wait_seconds"].type == "histogram" and parsed["pwlocks_wait_seconds"].unit == "seconds",
          "pwlocks_wait_seconds is no histogram of seconds")
    hostile = [sample for sample in parsed["pwlocks_function_runs_total"].samples if sample.labels["pid"] == "1235"]
    check(hostile[0].labels["command"] == 'a"b\\c{d},e="f' and hostile[0].labels["function"] == "f\ng",
          "labels do not read back")


def judge_input(schema, kind):
    text = sys.stdin.buffer.read().decode("utf-8")
    if kind == "prometheus":
        check(judge_prometheus(text), "no metrics")
    elif kind == "openmetrics":
        check(judge_openmetrics(text), "no metrics")
    else:
        lines = text.splitlines()
        for each in lines if len(lines) > 1 and lines[0] != "{" else [text]:
            schema.judge(json.loads(each))


kinds = ["json", "openmetrics", "prometheus"]
if len(sys.argv) != 4 and not (len(sys.argv) == 3 and sys.argv[2] in kinds):
    sys.exit(__doc__)
if missing:
    print("skipped: missing " + ", ".join(missing))
    sys.exit(77)
judged_by = Schema(sys.argv[1])
if len(sys.argv) == 3:
    judge_input(judged_by, sys.argv[2])
else:
    check_documents(judged_by, sys.argv[2])
    check_machine(judged_by, sys.argv[3])
    check_metrics(sys.argv[2])
