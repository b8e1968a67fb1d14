"""How fast an upload is cut into parts on one core, beside a loop that only parses its lines.

The production code (services/intake/cut.py) reads a file and writes parts and ids as files; the
loop is `for line in file: json.loads(line)`. They take turns, in fresh processes, and CPU seconds
are compared, those of the system for reading and writing included. Beside it stands what reading
and writing the same bytes costs alone.
"""

import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.table import Table, printed, rounded, target, target_table
from bench.throughput import (
    CHILD,
    LONG_RECORD_BYTES,
    MB,
    RECORD_BYTES,
    WORKS,
    run_child,
    write_file,
)

FILE_BYTES, QUICK_FILE_BYTES = 128 * MB, 16 * MB
ROUNDS, QUICK_ROUNDS = 7, 2
LOOP_AT_LEAST, MEMORY_AT_MOST_MB = 0.7, 256

FILES = """
from pathlib import Path
class Files:
    def __init__(self, folder):
        self.folder, self.open = Path(folder), {}
    def begin(self, part):
        self.part = part
    def write(self, stream, data):
        if stream not in self.open:
            self.open[stream] = (self.folder / f"{self.part}.{stream}").open("wb", buffering=0)
        self.open[stream].write(data)
    def end(self):
        for file in self.open.values():
            file.close()
        self.open = {}
    def discard(self):
        raise SystemExit("the file is not fit")
"""
CUT = (
    FILES
    + """
from bbq.services.intake.cut import Order, cut
from bbq.services.intake.objects import CHUNK_BYTES
from bbq.services.intake.plan import PartLimits
from bbq.shared.bodies import Bodies
source = Path(sys.argv[1])
order = Order(
    size_bytes=source.stat().st_size, tag="bench0", bodies=Bodies(claude=True),
    limits=PartLimits(min_records=1, max_records=50_000, max_bytes=2**30),
)
began = time.process_time()
with source.open("rb", buffering=0) as file:
    made = cut(lambda _: iter(lambda: file.read(CHUNK_BYTES), b""), order, Files(sys.argv[2]))
found = [made.found.record_count, made.found.problem_count]
"""
)
COPY = """
found = [0, 0]
with open(sys.argv[1], "rb", buffering=0) as file, open(sys.argv[2] + "/1.records", "wb", buffering=0) as copy:
    while chunk := file.read(2**18):
        copy.write(chunk)
"""  # noqa: E501 - a program
PROGRAMS = {"cut": CUT, "json.loads": WORKS["json.loads"], "copy": COPY}


def run(*, quick: bool) -> dict[str, Any]:
    """Every size of record, with raw samples."""
    found: dict[str, Any] = {"files": {}}
    with tempfile.TemporaryDirectory(prefix="bbq-bench-") as directory:
        for name, record in (RECORD_BYTES | {"2 MB": LONG_RECORD_BYTES}).items():
            path = Path(directory) / "input.jsonl"
            count = write_file(path, record, QUICK_FILE_BYTES if quick else FILE_BYTES)
            rounds = QUICK_ROUNDS if quick else ROUNDS
            found["files"][name] = _cut(path, count, rounds)
    files = {name: each for name, each in found["files"].items() if name in RECORD_BYTES}
    found["targets"] = [
        *(
            target(
                f"cut / json.loads loop, {name} records",
                each["ratio_to_loop"],
                at_least=LOOP_AT_LEAST,
            )
            for name, each in files.items()
        ),
        target(
            "memory of the largest cut (MB)",
            max(each["memory_mb"] for each in found["files"].values()),
            at_most=MEMORY_AT_MOST_MB,
        ),
    ]
    return found


def _cut(path: Path, count: int, rounds: int) -> dict[str, Any]:
    samples: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    memory = 0
    for _ in range(rounds):
        for name, program in PROGRAMS.items():
            with tempfile.TemporaryDirectory(dir=path.parent) as folder:
                answer = json.loads(
                    run_child([sys.executable, "-c", CHILD.format(work=program), str(path), folder])
                )
            if name != "copy" and answer["found"] != [count, 0]:
                raise RuntimeError(f"{name} found {answer['found']} of {count} good records")
            samples[name].append(round(answer["seconds"], 4))
            memory = max(memory, answer["bytes"] if name == "cut" else 0)
    size = path.stat().st_size
    # the best of each: what disturbs a process of one core only makes it slower
    best = {name: min(each) for name, each in samples.items()}
    return {
        "file_bytes": size,
        "records": count,
        "mb_per_second": {name: round(size / MB / each, 1) for name, each in best.items()},
        "ratio_to_loop": round(best["json.loads"] / best["cut"], 3),
        "memory_mb": round(memory / MB),
        "samples": samples,
    }


def report(result: Mapping[str, Any]) -> dict[str, Table]:
    """File by file."""
    rows = [
        (
            name,
            *(rounded(each["mb_per_second"][program], 0) for program in PROGRAMS),
            rounded(each["ratio_to_loop"], 2),
            rounded(each["memory_mb"], 0),
        )
        for name, each in result["files"].items()
    ]
    columns = (
        "records of",
        "cut, written (MB/s)",
        "json.loads",
        "read and write alone",
        "ratio to json.loads",
        "memory (MB)",
    )
    return {"cutting": Table("the cut of an upload", columns, rows)}


if __name__ == "__main__":  # not yet a part of `make bench`: the cut is not wired
    found = run(quick="--quick" in sys.argv)
    for table in (*report(found).values(), target_table({"cutting": {"result": found}})):
        sys.stdout.write(f"{table.title}\n{printed(table)}\n\n")
