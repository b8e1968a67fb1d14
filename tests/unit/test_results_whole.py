"""File in, file out: whatever Bedrock makes of a job, line i of the result answers line i."""

import json
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from bbq.services.results.answers import Settled
from bbq.services.results.assemble import CANCELLED, FAILED, TOO_FEW, Leftover, Work, assemble
from bbq.services.results.line_set import LineSet
from bbq.services.results.mend import Again, after_round, retried, states
from bbq.services.results.settle import Job, Slice, settle
from bbq.services.results.staged import Part, pick
from tests.support.files import Files
from tests.support.uploads import Upload, output_of

FATES = (
    "s",
    "s",
    "s",
    "t",
    "w",
    "f",
    "es",
    "-s",
    "e-s",
    "-es",
    "ef",
    "-t",
    "e",
    "-",
    "ew",
    "-e",
    "e-",
)


class World:
    """Uploads in a bucket, cut into parts, and their jobs."""

    def __init__(self, root: Path, uploads: Sequence[Upload], parts: int, seed: int) -> None:
        self.files = Files(root, chunk_bytes=random.Random(seed).choice([7, 100, 4096, 1024**2]))
        self.root, self.seed, self.uploads = root, seed, uploads
        self.parts: dict[str, list[Part]] = {}
        self.rounds: dict[str, list[list[Settled]]] = {one.tag: [] for one in uploads}
        self.jobs = 0
        for upload in uploads:
            self._stage(upload, parts)

    def _stage(self, upload: Upload, parts: int) -> None:
        size = -(-len(upload.lines) // parts)
        self.parts[upload.tag] = []
        for first in range(1, len(upload.lines) + 1, size):
            last = min(first + size - 1, len(upload.lines))
            keys: dict[str, str | None] = dict.fromkeys(("records", "ids", "invalid", "reasons"))
            for name, content in upload.staged(first, last).items():
                keys[name] = f"staged/{upload.tag}/{first}/{name}"
                self.put(f"staged/{upload.tag}/{first}/{name}", content)
            self.parts[upload.tag].append(
                Part(
                    first=first,
                    last=last,
                    tag=upload.tag,
                    records_key=keys["records"],
                    ids_key=keys["ids"],
                    invalid_key=keys["invalid"],
                    reasons_key=keys["reasons"],
                )
            )

    def put(self, key: str, content: bytes) -> None:
        with self.files.write(key) as write:
            write(content)

    def get(self, key: str) -> bytes:
        return (self.root / key).read_bytes()

    def run(self, wanted: dict[str, LineSet]) -> Job:
        """One job of slices of these uploads: picked by the product, answered by Bedrock."""
        self.jobs += 1
        sent = b""
        for tag, lines in wanted.items():
            pieces: list[bytes] = []
            size = pick(self.files, self.parts[tag], lines, pieces.append)
            assert size == sum(map(len, pieces))
            sent += b"".join(pieces)
        files, junk = output_of(self.uploads, sent, self.seed * 100 + self.jobs)
        folder = f"outputs/{self.jobs}"
        keys = [f"{folder}/in.jsonl.out", f"{folder}/more.jsonl.out"]
        for key, content in zip(keys, files, strict=True):
            self.put(key, content)
        for name in (
            "manifest.json.out",
            ".write_access_check_file.tmp",
            "amazon-bedrock-permission-check",
        ):
            self.put(f"{folder}/{name}", b'{"recordId": "lies"}\n')
            keys.append(f"{folder}/{name}")
        slices = [
            Slice(
                tag=tag,
                lines=lines,
                answers_key=f"answers/{self.jobs}/{tag}",
                settled_key=f"settled/{self.jobs}/{tag}",
            )
            for tag, lines in wanted.items()
        ]
        job = settle(self.files, keys, slices, self.root)
        assert job.not_json == junk
        for one, settled in zip(slices, job.slices, strict=True):
            assert Settled.from_json(self.get(one.settled_key)) == settled
        return job

    def first_round(self) -> None:
        """Each part in a job; of several uploads, all in one."""
        if len(self.uploads) > 1:
            wanted = {one.tag: fit(one, 1, len(one.lines)) for one in self.uploads}
            for tag, settled in zip(wanted, self.run(wanted).slices, strict=True):
                self.rounds[tag].append([settled])
            return
        (upload,) = self.uploads
        jobs = [
            self.run({upload.tag: fit(upload, part.first, part.last)})
            for part in self.parts[upload.tag]
        ]
        self.rounds[upload.tag].append([job.slices[0] for job in jobs])

    def again(self, tag: str, lines: LineSet) -> None:
        self.rounds[tag].append([*self.run({tag: lines}).slices])

    def mended(self, tag: str, **rule: Any) -> Leftover:
        """Run again what the rule says."""
        for spent in range(5):
            then = after_round(self.rounds[tag][-1], mends_spent=spent, **rule)
            if isinstance(then, Leftover):
                return then
            self.again(tag, then.lines)
        raise AssertionError("mends never end")

    def work(
        self, tag: str, first: int, last: int, leftover: Leftover, *, echo: bool = False
    ) -> Work:
        slices = [one for slices in self.rounds[tag] for one in slices]
        return Work(
            first=first,
            last=last,
            parts=self.parts[tag],
            slices=slices,
            leftover=leftover,
            echo=echo,
        )

    def check(self, upload: Upload, leftover: Leftover, *, echo: bool = False) -> None:
        """The result of this upload, line by line; whole and in ranges."""
        count = len(upload.lines)
        result: list[bytes] = []
        failures: list[bytes] = []
        counts = assemble(
            self.files,
            self.work(upload.tag, 1, count, leftover, echo=echo),
            result.append,
            failures.append,
        )
        rows = b"".join(result).split(b"\n")
        assert rows.pop() == b""
        assert len(rows) == count
        bad: list[bytes] = []
        expected_counts: Counter[str] = Counter()
        for row, line, (expected, raw) in zip(
            rows, upload.lines, upload.expected(leftover.status, leftover.note), strict=True
        ):
            if echo and not line.problem:
                expected["modelInput"] = json.loads(line.body)
                assert line.body.encode() in row
            assert json.loads(row) == expected
            assert [*json.loads(row)] == [
                name
                for name in ("line", "recordId", "status", "modelOutput", "error", "modelInput")
                if name in expected
            ]
            assert raw.encode() in row
            assert line.own_id.encode() in row
            expected_counts[expected["status"]] += 1
            if expected["status"] != "succeeded":
                bad.append(line.users + b"\n")
        assert b"".join(failures) == b"".join(bad)
        assert counts == expected_counts
        assert sum(counts.values()) == count
        self._check_states(upload, leftover, expected_counts)
        pieces: tuple[list[bytes], list[bytes]] = ([], [])
        for first, last in cuts(count, self.seed):
            assemble(
                self.files,
                self.work(upload.tag, first, last, leftover, echo=echo),
                pieces[0].append,
                pieces[1].append,
            )
        assert b"".join(pieces[0]) == b"".join(result)
        assert b"".join(pieces[1]) == b"".join(failures)

    def _check_states(self, upload: Upload, leftover: Leftover, expected: Counter[str]) -> None:
        found: Counter[str] = Counter({"invalid": sum(bool(one.problem) for one in upload.lines)})
        for status, lines in states(self.rounds[upload.tag]).items():
            found[leftover.status if status in {"transient", "missing"} else status] += len(lines)
        assert +found == expected


def fit(upload: Upload, first: int, last: int) -> LineSet:
    return LineSet.of(one.number for one in upload.records(first, last))


def cuts(count: int, seed: int) -> list[tuple[int, int]]:
    chance, found, first = random.Random(seed), [], 1
    while first <= count:
        last = min(count, first + chance.randrange(1 + count // 2))
        found.append((first, last))
        first = last + 1
    return found


@pytest.mark.parametrize("seed", range(12))
def test_each_line_has_its_own_answer_after_mends_and_a_retry(tmp_path: Path, seed: int) -> None:
    upload = Upload.made("ab0z7k", 40 + 25 * seed, seed, FATES, problems=0.1 * (seed % 3))
    world = World(tmp_path, [upload], 1 + seed % 4, seed)
    world.first_round()
    leftover = world.mended(upload.tag, mend_rounds=seed % 4, min_records=1, cancelled=False)
    assert leftover == FAILED
    world.check(upload, FAILED, echo=seed % 2 == 0)
    lines = retried(world.rounds[upload.tag], FAILED)
    assert [*lines] == [
        row["line"] for row, _ in upload.expected() if row["status"] not in {"succeeded", "invalid"}
    ]
    world.again(upload.tag, lines)
    world.check(upload, FAILED)


@pytest.mark.parametrize("seed", range(4))
def test_slices_of_a_pack_do_not_mix(tmp_path: Path, seed: int) -> None:
    uploads = [
        Upload.made(tag, 30 + number, seed, FATES, problems=0.1)
        for number, tag in enumerate(("aaaaaa", "aaaaab", "000000", "zzzzzy"))
    ]
    world = World(tmp_path, uploads, 1, seed)
    world.first_round()
    for upload in uploads:
        world.mended(upload.tag, mend_rounds=2, min_records=1, cancelled=False)
        world.check(upload, FAILED)


def test_an_upload_that_is_cancelled_says_so_in_its_lines(tmp_path: Path) -> None:
    upload = Upload.made("abcdef", 60, 1, FATES, problems=0.1)
    world = World(tmp_path, [upload], 2, 1)
    world.first_round()
    assert world.mended(upload.tag, mend_rounds=2, min_records=1, cancelled=True) == CANCELLED
    world.check(upload, CANCELLED)


def test_too_few_to_run_again_say_so_in_their_lines(tmp_path: Path) -> None:
    upload = Upload.made("abcdef", 60, 1, FATES, problems=0.1)
    world = World(tmp_path, [upload], 2, 1)
    world.first_round()
    assert world.mended(upload.tag, mend_rounds=2, min_records=100, cancelled=False) == TOO_FEW
    world.check(upload, TOO_FEW)


def test_an_upload_that_never_ran_has_a_result(tmp_path: Path) -> None:
    upload = Upload.made("abcdef", 9, 1, FATES, problems=0.3)
    world = World(tmp_path, [upload], 2, 1)
    work = world.work(upload.tag, 1, 9, CANCELLED)
    rows: list[bytes] = []
    counts = assemble(world.files, work, rows.append, lambda _: None)
    assert set(counts) <= {"not_run", "invalid"}
    assert sum(counts.values()) == len(b"".join(rows).splitlines()) == 9


def test_a_retry_chooses_by_what_the_result_shows(tmp_path: Path) -> None:
    upload = Upload.made("abcdef", 120, 3, FATES, problems=0.1)
    world = World(tmp_path, [upload], 3, 3)
    world.first_round()
    shown = upload.expected()
    rounds = world.rounds[upload.tag]

    def lines(*statuses: str) -> list[int]:
        return [row["line"] for row, _ in shown if row["status"] in statuses]

    missing = [row["line"] for row, _ in shown if row.get("error", {}).get("code") == "NoAnswer"]
    assert missing
    assert [*retried(rounds, FAILED, ["failed"])] == lines("failed")
    assert [*retried(rounds, FAILED, ["truncated"])] == lines("truncated")
    assert [*retried(rounds, FAILED, ["withheld"])] == lines("withheld")
    assert [*retried(rounds, FAILED, ["missing"])] == missing
    assert [*retried(rounds, FAILED, ["failed", "truncated", "missing"])] == lines(
        "failed", "truncated"
    )
    assert [*retried(rounds, FAILED, ["not_run"])] == []
    assert len(retried(rounds, CANCELLED, ["not_run"])) + len(
        retried(rounds, CANCELLED, ["failed"])
    ) == len(lines("failed"))
    with pytest.raises(ValueError, match="not fialed"):
        retried(rounds, FAILED, ["fialed"])


def test_mends_end(tmp_path: Path) -> None:
    upload = Upload.made("abcdef", 50, 3, ["s", "-"], problems=0)
    world = World(tmp_path, [upload], 1, 3)
    world.first_round()
    rule: dict[str, Any] = {"mend_rounds": 2, "min_records": 1, "cancelled": False}
    first = after_round(world.rounds[upload.tag][-1], mends_spent=0, **rule)
    assert isinstance(first, Again)
    assert [*first.lines] == [one.number for one in upload.lines if one.fate(0) == "-"]
    assert isinstance(after_round(world.rounds[upload.tag][-1], mends_spent=1, **rule), Again)
    assert after_round(world.rounds[upload.tag][-1], mends_spent=2, **rule) == FAILED
