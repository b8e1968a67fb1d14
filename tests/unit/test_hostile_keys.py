"""A key through its job's whole life: intake, line, slot, Bedrock, timers, results, views, log
lines.

The key itself is data: it stands in `job-queued`, in the view and in the event's row, whole and as
it was. Everything that is a *name* (of a table's item, a Bedrock job, a path, a timer, a hint) is
made of ids and safe letters alone, and no log line has any of it.
"""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote_plus

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bbq.services.intake.config import Config
from bbq.services.intake.handler import take_in_message
from bbq.services.intake.intake import World
from bbq.services.intake.objects import Opened
from bbq.services.intake.uploads import Upload
from bbq.services.scheduler.hints import Report
from bbq.services.scheduler.reconcile import Visit, reconcile, reconcile_report
from bbq.shared.models import Model
from bbq.shared.names import INPUT_PREFIX, job_id
from bbq.shared.telemetry import METRICS
from tests.support.payloads import s3_notification
from tests.support.samples import BUCKET, LINE, MODEL, MODEL_ID
from tests.support.world import Bench
from tests.unit.test_names_properties import JOB_NAME, KEYS, LOOK_ALIKE, S3_URI, TOKEN

CANARY = "Zq7canary"  # part of every key, so that a trace of it is a trace of the key
ID = r"[a-z2-7]{26}"
NAMES = re.compile(  # of items in both tables
    rf"job#{ID}|view|model#haiku|line#haiku|slots#haiku|slots|counts#(haiku)?|(waiting|\d{{4}}-\d\d-\d\d)#\d|\d#[0-9:TZ.-]+#{ID}|\d+"
)
# where a key, or what is made of it, may stand
DATA = {"data", "key", "sources", "labels", "input_uri", "output_uri", "owner"}


class Bucket:
    """One fit object under every key. Remembers where copies went."""

    def __init__(self) -> None:
        self.copies: list[str] = []

    @contextmanager
    def open(self, upload: Upload) -> Iterator[Opened]:
        """See Objects."""
        # as hostile as can be; S3 itself allows less
        metadata: Mapping[str, str] = {"owner": upload.key}
        yield Opened(
            size_bytes=len(LINE), etag="e", encoding="", metadata=metadata, chunks=iter([LINE])
        )

    def version_before(self, upload: Upload, etag: str) -> str | None:
        """See Objects."""
        return None

    def copy(self, upload: Upload, etag: str, key: str) -> None:
        """See Objects."""
        assert (upload.bucket, etag) == (BUCKET, "e")
        self.copies.append(key)


class Life:
    """Intake and scheduler on the same tables."""

    def __init__(self) -> None:
        self.bench, self.bucket = Bench(limit=99), Bucket()
        models = {MODEL: Model(alias=MODEL, model_id=MODEL_ID, limit=99, min_records=1)}
        self.intake = World(
            config=Config(
                bucket=BUCKET,
                events_table="events",
                uploads_queue_url="http://uploads",
                region="us-east-1",
                models=models,
                default_model=MODEL,
            ),
            store=self.bench.store,
            objects=self.bucket,
            now=lambda: self.bench.time,
            seconds_left=lambda: 300.0,
            note=lambda name, **fields: self.bench.notes.append((name, fields)),
            hide=lambda *_: None,
        )

    def upload(self, key: str, version: str = "v1") -> str:
        """S3 announces it; the job it became."""
        take_in_message(
            self.intake,
            json.dumps(s3_notification(quote_plus(key), bucket=BUCKET, version=version)),
        )
        return job_id(BUCKET, key, version, "", "")

    def run(self, job: str) -> None:
        """To its end."""
        reconcile(self.bench.world(), job, Visit())
        state = self.bench.job(job)
        assert state.arn
        report = Report(
            arn=state.arn, model_id=MODEL_ID, status="Completed", message="", job=job, attempt=1
        )
        reconcile_report(self.bench.world(), report)


def items(life: Life) -> Iterator[tuple[str, str | int, dict[str, Any]]]:
    for table in life.bench.tables._items.values():
        for partition, rows in table.items():
            for sort, item in rows.items():
                yield partition, sort, item


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(KEYS)
def test_no_name_is_made_of_a_key_and_the_key_itself_is_kept(raw: str) -> None:
    key = (
        (INPUT_PREFIX + CANARY + raw.removeprefix(INPUT_PREFIX))
        .encode()[: 1024 - 6]
        .decode(errors="ignore")
        .removesuffix(".jsonl")
    )
    key += ".jsonl"
    life = Life()
    job = life.upload(key)
    life.run(job)
    assert life.bench.job(job).status == "Completed"
    assert life.bench.job(job).sources[0].key == key
    (request,) = life.bench.bedrock.creates
    assert re.fullmatch(JOB_NAME, request.name)
    assert re.fullmatch(TOKEN, request.name)
    assert CANARY not in request.name
    for uri in (request.input_uri, request.output_uri):
        assert re.fullmatch(S3_URI, uri)
        assert len(uri) <= 1024
    assert life.bucket.copies == [request.input_uri.removeprefix(f"s3://{BUCKET}/")]
    assert re.fullmatch(rf"staged/{job}/[A-Za-z0-9._-]+\.jsonl", life.bucket.copies[0])
    for partition, sort, item in items(life):
        assert NAMES.fullmatch(partition), partition
        assert NAMES.fullmatch(str(sort)), sort
        assert CANARY not in json.dumps(
            {name: value for name, value in item.items() if name not in DATA}
        )
    for name, *_ in life.bench.timers.log:
        assert name in {"arm", "disarm"}
    assert {whose for _, whose, _ in life.bench.timers.log} == {f"{job}-1"}
    assert life.bench.outbox.sent == []
    assert {name for name, _ in life.bench.notes} >= {
        "JobQueued",
        "SlotClaimed",
        "JobSubmitted",
        "JobEnded",
    }
    assert CANARY not in repr(life.bench.notes)
    assert {name for name, _ in life.bench.notes} <= {*METRICS, "JobProgressed"}


@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(KEYS, st.lists(KEYS, max_size=3))
def test_uploads_that_look_alike_are_jobs_of_their_own(key: str, more: list[str]) -> None:
    twins = [twist(key) for twist in LOOK_ALIKE]
    keys = {
        one
        for one in (key, *twins, *more)
        if one.startswith(INPUT_PREFIX) and one.endswith(".jsonl") and len(one.encode()) <= 1024
    }
    life = Life()
    jobs = {life.upload(one) for one in keys} | {life.upload(key, "v2"), life.upload(key)}
    assert len(jobs) == len(keys) + 1
    assert len(set(life.bucket.copies)) == len(life.bucket.copies) == len(jobs)
    assert len({life.bench.job(job).output_uri for job in jobs}) == len(jobs)
    assert {life.bench.job(job).sources[0].key for job in jobs} == keys
