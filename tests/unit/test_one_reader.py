"""Intake and the Bedrock simulator read with one reader: what one takes, the other takes, and each
record gets an answer.
"""

import io
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from botocore.response import StreamingBody
from hypothesis import example, given, settings

from bbq.services.intake.config import Config
from bbq.services.intake.intake import World, take_in
from bbq.services.intake.objects import Opened
from bbq.services.intake.uploads import Upload
from bbq.shared import events as e
from bbq.shared.memory import MemoryTables
from bbq.shared.models import Model
from bbq.shared.names import job_id, job_stream
from bbq.shared.store import Store
from local.bedrock_simulator import files as simulator
from tests.support.samples import BUCKET, T0
from tests.unit.test_inspection import files, record

KEY = "to-process/a.jsonl"


class Object:
    """One object, as S3 gives it to intake (`open`, `copy`) and to the simulator (the client's own
    names).
    """

    def __init__(self, data: bytes) -> None:
        self.data, self.out = data, b""

    @contextmanager
    def open(self, upload: Upload) -> Iterator[Opened]:
        metadata: Mapping[str, str] = {}
        yield Opened(
            size_bytes=len(self.data),
            etag="e",
            encoding="",
            metadata=metadata,
            chunks=iter([self.data]),
        )

    def version_before(self, upload: Upload, etag: str) -> None:
        """There is none."""

    def copy(self, upload: Upload, etag: str, key: str) -> None:
        """It is read at its own place here."""

    def head_object(self, **_: str) -> dict[str, Any]:
        return {"ContentLength": len(self.data)}

    def get_object(self, **_: str) -> dict[str, Any]:
        return {"Body": StreamingBody(io.BytesIO(self.data), len(self.data))}

    def upload_fileobj(self, file: Any, *_: str, **__: Any) -> None:
        self.out = file.read()

    def put_object(self, **_: Any) -> None:
        """The manifest, which is counted by others."""


def taken_in(there: Object) -> e.Event:
    """What intake makes of the object."""
    models = {"any": Model(alias="any", model_id="any", limit=1, min_records=1, max_records=1000)}
    config = Config(
        bucket=BUCKET,
        events_table="events",
        uploads_queue_url="",
        region="us-east-1",
        models=models,
        default_model="any",
    )
    store = Store(MemoryTables(), sleep=lambda _: None)
    world = World(
        config=config,
        store=store,
        objects=there,
        now=lambda: T0,
        seconds_left=lambda: 300.0,
        note=lambda *_, **__: None,
        hide=lambda *_: None,
    )
    upload = Upload(
        bucket=BUCKET, key=KEY, version_id="v1", etag="e", sequencer="", size_bytes=len(there.data)
    )
    take_in(world, upload)
    (recorded,) = store.load(job_stream(job_id(BUCKET, KEY, "v1", "", "")))
    return recorded.event


@settings(max_examples=400)
@given(files)
@example(b"")
@example(record("a") + b"\n" + record("b"))
@example(record("a") + b"\n\n")
@example(record("a") + b"\r\n \t\r\n")
@example(record("a") + b"\n\n\n")
@example(b"\xef\xbb\xbf" + record("a") + b"\n")
@example(record("a") + b"\n" + record("a"))
@example(b'{"recordId": 1, "modelInput": {}}')
@example(b'{"modelInput": {"x": NaN}}')
@example(b'{"modelInput": "text"}')
@example(b'{"modelInput": {"x": "\\ud800"}}')
@example(b'{"modelInput": {}, "modelInput": {}}')
@example(b"[" + record("a") + b"]")
@example(record("a", text="\u2028\x85"))
def test_what_one_takes_the_other_takes(data: bytes) -> None:
    there = Object(data)
    event = taken_in(there)
    client: Any = there
    work = simulator.Work(
        job_id="j",
        input_uri=f"s3://{BUCKET}/{KEY}",
        output_uri=f"s3://{BUCKET}/out",
        model="m",
        converse=False,
        records=1000,
    )
    found = simulator.inspect(client, work)
    assert isinstance(event, e.JobQueued) == (not found.problem and found.records > 0), (
        event,
        found,
    )
    if isinstance(event, e.JobQueued):
        assert event.record_count == found.records
        tally = simulator.write(client, work)
        assert (tally.success, tally.errors, tally.problem) == (found.records, 0, "")
        assert all(json.loads(line)["modelOutput"] for line in there.out.splitlines())
        assert len(there.out.splitlines()) == found.records
