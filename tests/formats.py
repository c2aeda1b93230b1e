#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What pw-stat writes for other programs, against what those programs accept.

Usage: formats.py SCHEMA FORMAT_SAMPLES PW_STAT

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


def check_schema(schema):
    jsonschema.Draft202012Validator.check_schema(schema)
    valid = jsonschema.Draft202012Validator(strict(copy.deepcopy(schema)))

    def judge(document):
        errors = [f"{error.json_path}: {error.message}" for error in valid.iter_errors(document)]
        check(not errors, "the schema: " + "; ".join(errors[:3]))

    def refuses(document, what):
        check(not valid.is_valid(document), "the schema accepts " + what)

    return judge, refuses


def check_documents(schema_path, samples, pw_stat):
    with open(schema_path, encoding="utf-8") as file:
        schema = json.load(file)
    judge, refuses = check_schema(schema)
    document = json.loads(output(samples, "json"))
    check(document == json.loads(output(samples, "line")), "one line says something else")
    judge(document)
    machine = json.loads(output(pw_stat, "topology", "--json"))
    judge(machine)
    for path in [["topology", "cpus", 0, "reason"], ["topology", "nodes", 0, "node"], ["topology", "caches", 0, "cpus"]]:
        if machine["topology"][path[1]]:
            changed = copy.deepcopy(machine)
            del changed[path[0]][path[1]][path[2]][path[3]]
            refuses(changed, "a document without " + str(path))
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
        refuses(changed, "1.5 as " + str(path))
        del place[path[-1]]
        refuses(changed, "a document without " + str(path))


def promtool(text):
    judged = subprocess.run(["promtool", "check", "metrics"], input=text.encode("utf-8"), stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, timeout=60)
    check(judged.returncode == 0 and not judged.stdout, "promtool: " + judged.stdout.decode("utf-8")[:500])


def check_metrics(samples):
    text = output(samples, "prometheus")
    promtool(text)
    families = {family.name: family for family in parse_prometheus(text)}
    check(families["pwlocks_queued"].type == "counter", "pwlocks_queued is no counter")

    openmetrics = output(samples, "openmetrics")
    promtool(openmetrics)
    parsed = {family.name: family for family in parse_openmetrics(openmetrics)}
    check(len(parsed) == len(families), "not the same families")
    check(parsed["pwlocks_wait_seconds"].type == "histogram" and parsed["pwlocks_wait_seconds"].unit == "seconds",
          "pwlocks_wait_seconds is no histogram of seconds")
    hostile = [sample for sample in parsed["pwlocks_function_runs_total"].samples if sample.labels["pid"] == "1235"]
    check(hostile[0].labels["command"] == 'a"b\\c{d},e="f' and hostile[0].labels["function"] == "f\ng",
          "labels do not read back")


if len(sys.argv) != 4:
    sys.exit(__doc__)
if missing:
    print("skipped: missing " + ", ".join(missing))
    sys.exit(77)
check_documents(*sys.argv[1:])
check_metrics(sys.argv[2])
