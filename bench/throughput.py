"""How much goes through: uploads inspected, events appended, a burst of uploads until all are in
line.

Inspection and its yardsticks read the same file, one after another, in fresh processes, several
times; so do appends and theirs, on one emulator. What is compared are ratios; the rest is reported.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

from bbq.shared import appends
from bbq.shared.job import evolve
from bbq.shared.names import job_id
from bench.emulator import deployed, lined_up, store_of
from bench.table import Table, ratio_of_medians, rounded, target
from local.deployment import LocalDeployment, records
from local.settings import ROOT
from tests.support.samples import BUCKET, queued

MB = 1_000_000
RECORD_BYTES = {"1 KB": 1000, "4 KB": 4000, "1 MB": 1_000_000}
# beyond blocks.LONG_LINE_BYTES: made small before it is parsed, so that memory is bounded
LONG_RECORD_BYTES = 2_000_000
FILE_BYTES, QUICK_FILE_BYTES = 200 * MB, 16 * MB
LARGE_BYTES = 1_000 * MB
ROUNDS, QUICK_ROUNDS = 5, 3
LOOP_AT_LEAST, APPEND_AT_LEAST, MEMORY_AT_MOST = 0.9, 0.85, 1.25
APPENDS, WARM_APPENDS = 400, 20
SLOTS, BURST = 20, 200
CHILD_SECONDS = 600.0

# Each prints seconds of CPU, the largest memory in bytes, and what it found. A chunk is what intake
# asks S3 for.
CHILD = """
import json, resource, sys, time
began = time.process_time()
{work}
print(json.dumps({{"seconds": time.process_time() - began, "found": found,
                  "bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}}))
"""
WORKS = {
    "inspection": """
from bbq.services.intake.objects import CHUNK_BYTES
from bbq.shared.bodies import Bodies
from bbq.shared.inspection import Limits, inspect
limits = Limits(min_records=1, max_records=10**9, max_bytes=10**12, bodies=Bodies(claude=True))
began = time.process_time()
with open(sys.argv[1], "rb") as file:
    read = inspect(iter(lambda: file.read(CHUNK_BYTES), b""), limits)
found = [read.record_count, read.problem_count]
""",
    "json.loads": """
found = [0, 0]
with open(sys.argv[1], "rb") as file:
    for line in file:
        json.loads(line)
        found[0] += 1
""",
}


def run(*, quick: bool) -> dict[str, Any]:
    """Every part, with raw samples."""
    found: dict[str, Any] = {"inspection": _inspections(quick=quick)}
    found["emulator"] = {} if quick else _on_the_emulator()
    return found | {"targets": _targets(found)}


def _targets(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    files = found["inspection"]
    targets = [
        target(
            f"inspection / json.loads loop, {name} records",
            each["ratio_to_loop"],
            at_least=LOOP_AT_LEAST,
        )
        for name, each in files.items()
        if name in RECORD_BYTES
    ]
    same = {name: median(each["samples"]["inspection"]["bytes"]) for name, each in files.items()}
    growth = round(max(same.values()) / min(same.values()), 3)
    targets.append(
        target("memory of the largest inspection / the smallest", growth, at_most=MEMORY_AT_MOST)
    )
    if found["emulator"]:
        ratio = found["emulator"]["ratio_to_bare"]
        targets.append(
            target("appends / bare conditional PutItem", ratio, at_least=APPEND_AT_LEAST)
        )
    return targets


# Inspection.


def _inspections(*, quick: bool) -> dict[str, Any]:
    found = {}
    with tempfile.TemporaryDirectory(prefix="bbq-bench-") as directory:
        sizes = [
            (name, size, QUICK_FILE_BYTES if quick else FILE_BYTES)
            for name, size in RECORD_BYTES.items()
        ]
        sizes.append(("2 MB", LONG_RECORD_BYTES, QUICK_FILE_BYTES if quick else FILE_BYTES))
        large = [] if quick else [("1 GB of 4 KB", RECORD_BYTES["4 KB"], LARGE_BYTES)]
        for name, record, total in sizes + large:
            path = Path(directory) / "input.jsonl"
            count = write_file(path, record, total)
            found[name] = _inspected(
                path, count, QUICK_ROUNDS if quick else ROUNDS if total < LARGE_BYTES else 2
            )
    return found


def write_file(path: Path, record: int, total: int) -> int:
    """Records of so many bytes, each with an id of its own; how many. Prose: a newline and two
    quotes in every 66 characters.
    """
    line = json.loads(records(1))
    line["recordId"], line["modelInput"]["messages"][0]["content"][0]["text"] = "CALL%09d", "WORDS"
    head, tail = json.dumps(line).split("WORDS")
    sentence = json.dumps(
        'the quick brown fox said "jump over the lazy dog",\nand so on it went; '
    )[1:-1]
    room = record - len(head % 0) - len(tail) - 1
    words = (sentence * (room // len(sentence))).ljust(room, "x")
    count = total // record
    with path.open("w") as file:
        for number in range(count):
            file.write(f"{head % number}{words}{tail}\n")
    return count


def _inspected(path: Path, count: int, rounds: int) -> dict[str, Any]:
    samples: dict[str, dict[str, list[float]]] = {
        name: {"seconds": [], "bytes": []} for name in WORKS
    }
    for _ in range(rounds):
        for name, work in WORKS.items():
            answer = json.loads(
                run_child([sys.executable, "-c", CHILD.format(work=work), str(path)])
            )
            if answer["found"] != [count, 0]:
                raise RuntimeError(
                    f"{name} found {answer['found']} in a file of {count} good records"
                )
            samples[name]["seconds"].append(round(answer["seconds"], 4))
            samples[name]["bytes"].append(answer["bytes"])
    size = path.stat().st_size
    rates = {
        name: round(size / MB / max(median(each["seconds"]), 1e-4), 1)
        for name, each in samples.items()
    }
    ratio = ratio_of_medians(samples["json.loads"]["seconds"], samples["inspection"]["seconds"])
    return {
        "file_bytes": size,
        "records": count,
        "mb_per_second": rates,
        "ratio_to_loop": ratio,
        "samples": samples,
    }


def run_child(command: list[str]) -> str:
    return subprocess.run(  # noqa: S603 - our own words
        command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=CHILD_SECONDS
    ).stdout


# On the emulator.


def _on_the_emulator() -> dict[str, Any]:
    with deployed(
        {"haiku": {"model_id": "bench.burst-v1:0", "limit": SLOTS}}, ("--job-seconds", "0.1")
    ) as (deployment, _):
        found = _appends(deployment)
        with lined_up(store_of(deployment), "haiku", BURST):
            uploaded = time.monotonic()
            for number in range(BURST):
                deployment.upload(f"haiku/{number:03d}.jsonl", records())
        return found | {"burst": {"jobs": BURST, "seconds": round(time.monotonic() - uploaded, 2)}}


def _appends(deployment: LocalDeployment) -> dict[str, Any]:
    """Appends of `job-queued` and a bare conditional PutItem of rows of the same shape, in turn."""
    table = deployment.outputs["events_table"]
    store = store_of(deployment)
    absent: Any = {
        "ConditionExpression": "attribute_not_exists(#stream)",
        "ExpressionAttributeNames": {"#stream": "stream"},
    }
    samples: dict[str, list[float]] = {"append": [], "bare": []}
    for number in range(APPENDS + WARM_APPENDS):
        for name, taken in samples.items():
            # who has no slots: nothing follows
            event = queued(f"to-process/nobody/{name}-{number}.jsonl", model="nobody")
            job = job_id(BUCKET, event.sources[0].key, "v1", "", "")
            row = appends.append(evolve(job, None, event), event).row.to_dynamodb_dict()
            began = time.perf_counter()
            if name == "append":
                store.append(job, None, event)
            else:
                deployment.dynamodb.put_item(TableName=table, Item=row, **absent)
            taken.append(round((time.perf_counter() - began) * 1000, 3))
    samples = {name: each[WARM_APPENDS:] for name, each in samples.items()}
    return {
        "samples": samples,
        "ratio_to_bare": ratio_of_medians(samples["bare"], samples["append"]),
        "per_second": {name: round(1000 / median(each), 1) for name, each in samples.items()},
    }


def report(result: Mapping[str, Any]) -> dict[str, Table]:
    """Inspection, file by file; appends and the burst on the emulator."""
    files = [
        (
            name,
            *(rounded(each["mb_per_second"][who], 0) for who in WORKS),
            rounded(each["ratio_to_loop"], 2),
            rounded(median(each["samples"]["inspection"]["bytes"]) / MB, 0),
        )
        for name, each in result["inspection"].items()
    ]
    rates = []
    if here := result["emulator"]:
        rates = [
            (f"{name}, a second", rounded(rate, 0)) for name, rate in here["per_second"].items()
        ]
        rates.append(
            (
                f"{here['burst']['jobs']:,} uploads, all in line after",
                f"{here['burst']['seconds']} s",
            )
        )
    columns = (
        "records of",
        "inspection (MB/s)",
        "json.loads",
        "ratio to json.loads",
        "memory (MB)",
    )
    return {
        "throughput": Table("inspection", columns, files),
        "rates": Table("events", ("on the emulator", ""), rates),
    }
