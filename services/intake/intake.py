"""Intake of one upload: gather, decide, apply. Ends with one event, `job-queued` or `job-rejected`,
or raises to be tried again.

What only the uploader can change is a rejection, with every reason at once; everything else rises,
and the message comes back. If the deployment lacks a right to read the upload, `upload-unreadable`
says so at once: people see it while it is tried again.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from bbq.services.intake.config import Config
from bbq.services.intake.objects import Lost, Opened, Unreadable
from bbq.services.intake.uploads import (
    DIGEST,
    ORDERS,
    Upload,
    choose_model,
    choose_priority,
    wrong_name,
)
from bbq.shared.events import (
    JobQueued,
    JobRejected,
    Label,
    Problem,
    Source,
    UnknownEvent,
    UploadUnreadable,
)
from bbq.shared.inspection import MAX_PROBLEMS, Inspection, Limits, inspect
from bbq.shared.job import UNREADABLE, IllegalEvent, Job
from bbq.shared.models import Model
from bbq.shared.names import job_id, output_prefix, s3_uri, staged_key
from bbq.shared.store import Store, VersionTaken

# the last ones say nothing of it, but clients do send them
PLAIN_ENCODINGS = {"", "identity", "utf-8", "utf8", "aws-chunked"}
# reading, inspecting and copying, at worst: 5 GiB, the most there can be, fit in 300 s
SLOWEST_BYTES_PER_SECOND = 20e6
SPARE_SECONDS = 10.0
MAX_TRIES = 5  # of one append: each time another delivery of the same upload was faster


class ObjectCalls(Protocol):
    """See objects.Objects."""

    def open(self, upload: Upload) -> AbstractContextManager[Opened]: ...
    def version_before(self, upload: Upload, etag: str) -> str | None: ...
    def copy(self, upload: Upload, etag: str, key: str) -> None: ...


@dataclass(frozen=True, kw_only=True)
class World:
    """What intake touches. `now` is UTC; `seconds_left` is what the invocation still has; `note`
    logs and counts; `hide` keeps a message (by its receipt handle) away for so many seconds.
    """

    config: Config
    store: Store
    objects: ObjectCalls
    now: Callable[[], datetime]
    seconds_left: Callable[[], float]
    note: Callable[..., None]
    hide: Callable[[str, int], None]


class NoTimeLeft(Exception):
    """The upload is too large for what is left of this invocation: better back in the queue than
    killed half way.
    """


class _Known(Exception):
    """The upload was taken in before, or an operator has cancelled it."""


def take_in(world: World, upload: Upload) -> None:
    """Inspect, stage and record one upload. Raises Unreadable, after it has been recorded.

    Delivered twice changes nothing: the id is the upload's own, so a second delivery ends at
    `_not_taken_in`, or, when both run at once, at the append, whose condition only one of them
    meets. What both copied is the same.
    """
    job = job_id(upload.bucket, upload.key, upload.version_id, upload.sequencer, upload.etag)
    try:
        before = _not_taken_in(world, job)
        try:
            event = _decide(world, upload, job)
        except Unreadable as error:
            world.note("UploadUnreadable", job=job, reason=str(error))
            _append(
                world,
                job,
                before,
                UploadUnreadable(at=world.now(), sources=(_source(upload),), reason=str(error)),
            )
            raise
        _append(world, job, before, event)
    except _Known:
        world.note("UploadKnown", job=job)
        return
    if isinstance(event, JobRejected):
        world.note(
            "JobRejected",
            job=job,
            model=event.model,
            problems=event.problem_count,
            size_bytes=event.size_bytes,
        )
    else:
        world.note(
            "JobQueued",
            job=job,
            model=event.model,
            records=event.record_count,
            size_bytes=event.size_bytes,
        )


def _not_taken_in(world: World, job: str) -> Job | None:
    """The upload as its events tell it: None without any, or Unreadable. Raises _Known."""
    try:
        found = world.store.job_of_events(job)
    except (UnknownEvent, IllegalEvent) as error:
        # a newer deployment took it in, or a person must look: it is not new
        raise _Known from error
    if found is not None and (found.status != UNREADABLE or found.cancel is not None):
        raise _Known
    return found


def _append(
    world: World, job: str, before: Job | None, event: JobQueued | JobRejected | UploadUnreadable
) -> None:
    """Append what was decided, behind whatever another delivery has recorded meanwhile, unless that
    took it in. An upload that stays unreadable for the same reason gets no second event. Raises
    _Known.
    """
    for tries in range(MAX_TRIES):
        if (
            isinstance(event, UploadUnreadable)
            and before is not None
            and before.reason == event.reason
        ):
            return
        try:
            world.store.append(job, before, event)
        except VersionTaken:
            world.store.pause(tries)
        else:
            return
        before = _not_taken_in(world, job)
    raise VersionTaken(f"the upload of job {job} changed {MAX_TRIES} times while it was taken in")


def _decide(world: World, upload: Upload, job: str) -> JobQueued | JobRejected:
    try:
        with world.objects.open(upload) as opened:
            asked = _Asked.by(upload, opened, world.config)
            found = _inspection(world, upload, opened, asked.limits)
            etag = opened.etag
        if asked.model is None or asked.problems or found.problem_count:
            return _rejected(
                world, upload, found, asked.problems, model=asked.model, labels=asked.labels
            )
        warnings = (*found.warnings, *_repeated(world, upload, etag))
        key = staged_key(job, upload.key)
        world.objects.copy(upload, etag, key)
    except Lost as error:
        nothing = Inspection(record_count=0, size_bytes=upload.size_bytes)
        return _rejected(world, upload, nothing, (str(error),))
    now = world.now()
    return JobQueued(
        at=now,
        model=asked.model,
        priority=asked.priority,
        sources=(_source(upload, found.record_count),),
        input_uri=s3_uri(upload.bucket, key),
        output_uri=s3_uri(upload.bucket, output_prefix(job, upload.key)),
        record_count=found.record_count,
        size_bytes=found.size_bytes,
        labels=asked.labels,
        line_at=world.config.models[asked.model].line_at(now, found.record_count),
        warnings=warnings,
    )


def _repeated(world: World, upload: Upload, etag: str) -> list[str]:
    """A warning if the version before holds the same bytes, as of an object that was copied onto
    itself. Both jobs run.
    """
    before = world.objects.version_before(upload, etag) if upload.version_id else None
    if before is None:
        return []
    job = job_id(upload.bucket, upload.key, before, "", "")
    return [
        f"job {job}, of the version before, has the same bytes: both run, and both are paid for"
    ]


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """What the uploader asked for, and what is wrong with it."""

    model: str | None
    priority: int
    problems: tuple[str, ...]
    limits: Limits
    labels: tuple[Label, ...]

    @classmethod
    def by(cls, upload: Upload, opened: Opened, config: Config) -> "_Asked":
        model, wrong_model = choose_model(
            upload.key, opened.metadata, config.models, config.default_model
        )
        priority, wrong_priority = choose_priority(opened.metadata)
        wrong_encoding = None
        if opened.encoding.lower() not in PLAIN_ENCODINGS:
            wrong_encoding = (
                "the object has a Content-Encoding: upload the file uncompressed, and without that "
                "header"
            )
        problems = tuple(
            wrong
            for wrong in (wrong_name(upload.key), wrong_model, wrong_priority, wrong_encoding)
            if wrong
        )
        words = sorted(
            (name, value)
            for name, value in opened.metadata.items()
            if name not in {*ORDERS, DIGEST}
        )
        labels = tuple(Label(name=name, value=value) for name, value in words)
        return cls(
            model=model,
            priority=priority,
            problems=problems,
            limits=limits_for(config.models, model),
            labels=labels,
        )


def limits_for(models: Mapping[str, Model], alias: str | None) -> Limits:
    """The model's; for an unknown one the widest, so that only what is wrong for every model is
    reported with it.
    """
    possible = [models[alias]] if alias else models.values()
    return Limits(
        min_records=min(model.min_records for model in possible),
        max_records=max(model.max_records for model in possible),
        max_bytes=max(model.max_bytes for model in possible),
        bodies=models[alias].bodies if alias else None,
    )


def _inspection(world: World, upload: Upload, opened: Opened, limits: Limits) -> Inspection:
    """What is in the object. One that is too large, compressed, or named as no input is, is not
    read. Raises NoTimeLeft.
    """
    if opened.size_bytes > limits.max_bytes:
        text = f"the file has {opened.size_bytes:,} bytes, more than {limits.max_bytes:,}"
        return Inspection(
            record_count=0,
            size_bytes=opened.size_bytes,
            problems=(Problem(line=None, text=text),),
            problem_count=1,
        )
    if opened.encoding.lower() not in PLAIN_ENCODINGS or wrong_name(upload.key):
        return Inspection(record_count=0, size_bytes=opened.size_bytes)
    if world.seconds_left() < SPARE_SECONDS + opened.size_bytes / SLOWEST_BYTES_PER_SECOND:
        raise NoTimeLeft(f"not enough time left for {opened.size_bytes} bytes")
    return inspect(opened.chunks, limits)


def _rejected(
    world: World,
    upload: Upload,
    found: Inspection,
    reasons: tuple[str, ...],
    *,
    model: str | None = None,
    labels: tuple[Label, ...] = (),
) -> JobRejected:
    """`reasons` are about the object as a whole, and come first."""
    problems = (*(Problem(line=None, text=reason) for reason in reasons), *found.problems)
    return JobRejected(
        at=world.now(),
        model=model,
        sources=(_source(upload, found.record_count),),
        problems=problems[:MAX_PROBLEMS],
        problem_count=len(reasons) + found.problem_count,
        size_bytes=found.size_bytes,
        labels=labels,
    )


def _source(upload: Upload, record_count: int | None = None) -> Source:
    return Source(
        bucket=upload.bucket,
        key=upload.key,
        version_id=upload.version_id,
        etag=upload.etag,
        sequencer=upload.sequencer,
        size_bytes=upload.size_bytes,
        record_count=record_count,
    )
