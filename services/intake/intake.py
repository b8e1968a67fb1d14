"""Intake of one upload: gather, decide, apply. Ends with one event, `job-queued` or `job-rejected`, or raises to be tried again.

Delivered twice changes nothing: the id is the upload's own, version 1 of its stream can be appended once, and a second copy
writes the same bytes under the same staged key.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from services.intake.config import Config
from services.intake.inspection import Inspection, Limits, inspect
from services.intake.objects import Gone, Opened
from services.intake.uploads import Upload, choose_model, choose_priority
from shared.events import Event, JobQueued, JobRejected, Source
from shared.names import job_id, job_stream, output_prefix, s3_uri, staged_key
from shared.store import Store, VersionTaken

PLAIN_ENCODINGS = {"", "identity", "utf-8", "aws-chunked"}


class ObjectCalls(Protocol):
    """See objects.Objects."""

    def open(self, upload: Upload) -> Opened: ...
    def copy(self, upload: Upload, etag: str, key: str) -> None: ...


@dataclass(frozen=True, kw_only=True)
class World:
    """What intake touches. `now` is UTC; `note` logs and counts."""

    config: Config
    store: Store
    objects: ObjectCalls
    now: Callable[[], datetime]
    note: Callable[..., None]


def take_in(world: World, upload: Upload) -> None:
    """Inspect, stage and record one upload. Permanent problems are recorded; everything else rises, to be tried again."""
    job = job_id(upload.bucket, upload.key, upload.version_id, upload.sequencer, upload.etag)
    if world.store.exists(job_stream(job)):
        world.note("UploadKnown", job=job)
        return
    event = _inspected(world, upload, job)
    try:
        world.store.append(job_stream(job), 1, event)
    except VersionTaken:
        world.note("UploadKnown", job=job)  # another delivery of the same notification was faster, or our first try
        return
    if isinstance(event, JobRejected):
        world.note("JobRejected", job=job, model=event.model, problems=event.problem_count)
    else:
        world.note("JobQueued", job=job, size_bytes=upload.size_bytes)


def _inspected(world: World, upload: Upload, job: str) -> Event:
    try:
        opened = world.objects.open(upload)
        alias, priority, found = _inspect(world.config, upload, opened)
        if alias is None or not found.fit:
            return _rejected(world, upload, alias, found)
        key = staged_key(job, upload.key)
        world.objects.copy(upload, opened.etag, key)
    except Gone as error:
        found = Inspection()
        found.add(None, str(error))
        return _rejected(world, upload, None, found)
    return JobQueued(
        at=world.now(),
        model=alias,
        priority=priority,
        sources=(_source(upload, found),),
        input_uri=s3_uri(upload.bucket, key),
        output_uri=s3_uri(upload.bucket, output_prefix(job, upload.key)),
        record_count=found.record_count,
        size_bytes=found.size_bytes,
    )


def _inspect(config: Config, upload: Upload, opened: Opened) -> tuple[str | None, int, Inspection]:
    """(model, priority, what was found). Everything wrong is said together; a file that cannot be a fit one is not read."""
    alias, wrong_model = choose_model(upload.key, opened.metadata, config.models, config.default_model)
    priority, wrong_priority = choose_priority(opened.metadata)
    model = config.models[alias or config.default_model]
    found = Inspection(size_bytes=opened.size_bytes)
    if opened.size_bytes > model.max_bytes:
        found.add(
            None, f"the file has {opened.size_bytes:,} bytes, more than the {model.max_bytes:,} that model {model.alias} takes"
        )
    elif opened.encoding.lower() not in PLAIN_ENCODINGS:
        found.add(None, "the object has a Content-Encoding: upload the file as it is, not compressed")
    else:
        limits = Limits(min_records=model.min_records, max_records=model.max_records, max_bytes=model.max_bytes)
        found = inspect(opened.chunks, limits)
        if found.fit and found.size_bytes != opened.size_bytes:
            raise ConnectionError(f"read {found.size_bytes} of {opened.size_bytes} bytes")
    for problem in (wrong_model, wrong_priority):
        if problem is not None:
            found.add(None, problem)
    return alias, priority, found


def _rejected(world: World, upload: Upload, alias: str | None, found: Inspection) -> JobRejected:
    return JobRejected(
        at=world.now(),
        model=alias,
        sources=(_source(upload, found),),
        problems=tuple(found.problems),
        problem_count=found.problem_count,
        size_bytes=found.size_bytes,
    )


def _source(upload: Upload, found: Inspection) -> Source:
    return Source(
        bucket=upload.bucket,
        key=upload.key,
        version_id=upload.version_id,
        etag=upload.etag,
        sequencer=upload.sequencer,
        size_bytes=upload.size_bytes,
        record_count=found.record_count,
    )
