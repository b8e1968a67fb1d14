"""File out: how long it takes from Bedrock's output to a result, and in how much memory.

The production code (services/results) with S3 as files on disk, each step in a fresh process;
beside it a process that reads and writes the same bytes. Outputs are shuffled in windows of 1,000
lines, 3 % of the records failed; all but 1 % have a line. `python -m bench.settling` measures, with
`--quick` in small. Not part of `make bench` yet.
"""

import json
import math
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bbq.services.results.answers import Settled
from bbq.services.results.assemble import Work, assemble
from bbq.services.results.line_set import LineSet
from bbq.services.results.settle import Slice, settle
from bbq.services.results.staged import Part
from bbq.shared.record_ids import record_id
from bench.table import Table, printed, rounded, target, target_table
from local.settings import ROOT
from tests.support.files import Files

MB = 1_000_000
TAG = "bench0"
PROMPT, ANSWER = 800, 600  # bytes of text; with what is around them a record of some 1 KB
RECORDS, QUICK_RECORDS = 100_000, 2_000
ROUNDS, QUICK_ROUNDS = 3, 1
PARTS = 10  # of the large upload; its last job is settled when the others are
WINDOW = 1000
FAILED, MISSING = 0.03, 0.01
SECONDS_AT_MOST, SECONDS_OF_PARTS_AT_MOST = 30.0, 60.0
MEMORY_AT_MOST, LONG_MEMORY_AT_MOST = 256.0, 512.0
# name -> records, bytes of the prompt and of the answer (a line of the output has both)
SHAPES = {
    "100,000 of 1 KB": (RECORDS, PROMPT, ANSWER),
    "500 of 1 MB": (500, 1_000_000, 1_000_000),
    "100 of 1 KB, one of 25 MB": (100, 25_000_000, 25_000_000),
    "300,000 of 1 KB": (300_000, PROMPT, ANSWER),
}
CHILD_SECONDS = 600.0


def run(*, quick: bool) -> dict[str, Any]:
    """Each shape, then an upload of ten parts."""
    found: dict[str, Any] = {"shapes": {}}
    with tempfile.TemporaryDirectory(prefix="bbq-bench-") as directory:
        for name, (records, prompt, answer) in SHAPES.items():
            records = min(records, QUICK_RECORDS) if quick else records  # noqa: PLW2901 - smaller
            folder = Path(directory) / name.replace(" ", "-").replace(",", "")
            _make(folder, 1, records, prompt, answer, long="one" in name)
            rounds = QUICK_ROUNDS if quick or records * prompt > RECORDS * PROMPT else ROUNDS
            steps = [
                {step: _measured(step, folder) for step in ("settle", "assemble", "copy")}
                for _ in range(rounds)
            ]
            found["shapes"][name] = {
                step: {
                    "seconds": min(one[step]["seconds"] for one in steps),
                    "megabytes": max(one[step]["megabytes"] for one in steps),
                }
                for step in steps[0]
            }
            found["shapes"][name]["output_mb"] = round(_size(folder, "*.out") / MB, 1)
        found["parts"] = _of_parts(Path(directory) / "parts", QUICK_RECORDS if quick else RECORDS)
    return found | {"targets": _targets(found)}


def _targets(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    shapes = found["shapes"]
    first = shapes["100,000 of 1 KB"]
    seconds = first["settle"]["seconds"] + first["assemble"]["seconds"]
    targets = [
        target("seconds from .out to result, 100,000 of 1 KB", seconds, at_most=SECONDS_AT_MOST),
        target(
            f"seconds from the last of {PARTS} such jobs to the whole result",
            found["parts"]["seconds"],
            at_most=SECONDS_OF_PARTS_AT_MOST,
        ),
    ]
    for name, each in shapes.items():
        most = LONG_MEMORY_AT_MOST if "25 MB" in name else MEMORY_AT_MOST
        largest = max(each[step]["megabytes"] for step in ("settle", "assemble"))
        targets.append(target(f"MB of memory, {name}", largest, at_most=most))
    return targets


def report(result: Mapping[str, Any]) -> dict[str, Table | str]:
    """Seconds and memory of each step, beside reading and writing the same bytes."""
    rows = [
        (name, rounded(each["output_mb"], 0), step, rounded(one["seconds"], 2), one["megabytes"])
        for name, each in result["shapes"].items()
        for step in ("settle", "assemble", "copy")
        for one in [each[step]]
    ]
    parts = result["parts"]
    return {
        "settling": Table("from .out to result", ("records", "MB", "step", "s", "MB held"), rows),
        "settling-parts": f"{parts['records']:,} records in {PARTS} parts: {parts['settle']:.1f} s "
        f"to settle the last job, {parts['assemble']:.1f} s to assemble all, one part after "
        "another.",
    }


# One step, in a process of its own.


def _measured(step: str, folder: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "bench.settling", "child", step, str(folder)]
    done = subprocess.run(  # noqa: S603 - our own words
        command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=CHILD_SECONDS
    )
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


def _child(step: str, folder: Path) -> None:
    files, began = Files(folder), time.monotonic()
    lines = LineSet.from_text((folder / "lines").read_text())
    if step == "settle":
        one = Slice(tag=TAG, lines=lines, answers_key="answers", settled_key="settled")
        settle(files, ["in.jsonl.out", "manifest.json.out"], [one], folder)
    elif step == "assemble":
        settled = Settled.from_json((folder / "settled").read_bytes())
        part = Part(first=lines.first, last=lines.last, tag=TAG, records_key="in.jsonl")
        work = Work(first=lines.first, last=lines.last, parts=[part], slices=[settled])
        with files.write("result.jsonl") as result, files.write("failures.jsonl") as failures:
            counts = assemble(files, work, result, failures)
        if sum(counts.values()) != len(lines):
            raise RuntimeError(f"{counts} of {len(lines)} lines")
    else:  # the same bytes: what settle and assemble read, and what they write
        for key in ("in.jsonl.out", "answers", "in.jsonl"):
            with files.read(key) as chunks, files.write("copied") as write:
                for chunk in chunks:
                    write(chunk)
    seconds = time.monotonic() - began
    # not getrusage: what its parent held counts there
    held = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
    megabytes = int(held[1]) * 1024 / MB if held else math.nan
    sys.stdout.write(json.dumps({"seconds": round(seconds, 3), "megabytes": round(megabytes)}))


def _of_parts(folder: Path, records: int) -> dict[str, Any]:
    """The last of PARTS jobs is settled, and then all parts are assembled."""
    seconds = {"settle": 0.0, "assemble": 0.0}
    for number in range(PARTS):
        place = folder / str(number)
        _make(place, 1 + number * records, records, PROMPT, ANSWER)
        seconds["settle"] = _measured("settle", place)["seconds"]  # the last one's is kept
        (place / "in.jsonl.out").unlink()
    for number in range(PARTS):
        seconds["assemble"] += _measured("assemble", folder / str(number))["seconds"]
    return {
        "records": PARTS * records,
        "seconds": round(sum(seconds.values()), 2),
        "settle": round(seconds["settle"], 2),
        "assemble": round(seconds["assemble"], 2),
    }


# Files.


def _make(
    folder: Path, first: int, records: int, prompt: int, answer: int, *, long: bool = False
) -> None:
    """The staged part and its output. `long`: only one record is as long as that."""
    folder.mkdir(parents=True)
    chance, window = random.Random(first), list[bytes]()
    last = first + records - 1
    (folder / "lines").write_text(f"{first}-{last}")
    with (folder / "in.jsonl").open("wb") as staged, (folder / "in.jsonl.out").open("wb") as out:
        for line in range(first, last + 1):
            short = long and line > first
            body = _body(line, PROMPT if short else prompt)
            our_id = record_id(TAG, line)
            staged.write(b'{"recordId":"%b","modelInput":%b}\n' % (our_id.encode(), body))
            drawn = chance.random()
            if drawn >= MISSING:
                said = _said(line, ANSWER if short else answer, failed=drawn < MISSING + FAILED)
                window.append(
                    b'{"modelInput":%b,%b,"recordId":"%b"}\n' % (body, said, our_id.encode())
                )
            if len(window) == WINDOW or sum(map(len, window[-1:])) > MB // 2:
                _shuffled(window, chance, out.write)
        _shuffled(window, chance, out.write)


def _shuffled(window: list[bytes], chance: random.Random, write: Any) -> None:
    chance.shuffle(window)
    write(b"".join(window))
    window.clear()


def _body(line: int, size: int) -> bytes:
    text = f'{line} the quick brown fox said \\"jump\\",\\n' * (size // 38 + 1)
    return (
        b'{"anthropic_version":"bedrock-2023-05-31","max_tokens":1024,"messages":[{"role":"user",'
        b'"content":[{"type":"text","text":"%b"}]}]}' % text.encode()
    )


def _said(line: int, size: int, *, failed: bool) -> bytes:
    if failed:
        return (
            b'"error":{"errorCode":400,"errorMessage":"bad request","expired":false,'
            b'"retryable":false}'
        )
    text = f"answer {line} of so many words and a \\u00e9 " * (size // 42 + 1)
    return (
        b'"modelOutput":{"id":"msg_%d","type":"message","role":"assistant","model":"claude",'
        b'"content":[{"type":"text","text":"%b"}],"stop_reason":"end_turn","stop_sequence":null,'
        b'"usage":{"input_tokens":200,"output_tokens":150}}' % (line, text.encode())
    )


def _size(folder: Path, pattern: str) -> int:
    return sum(path.stat().st_size for path in folder.glob(pattern))


def main(arguments: Sequence[str]) -> None:
    """Measure and print; or one step, in a child."""
    if arguments[:1] == ["child"]:
        _child(arguments[1], Path(arguments[2]))
        return
    result = run(quick="--quick" in arguments)
    for each in (
        *report(result).values(),
        target_table({"settling": {"result": result}}),
    ):
        sys.stdout.write(f"{each if isinstance(each, str) else printed(each)}\n\n")


if __name__ == "__main__":
    main(sys.argv[1:])
