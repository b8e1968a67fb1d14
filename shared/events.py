"""The events: what has happened, as it is stored for ever.

An event is a frozen dataclass in the past tense. Its stored name and version are constants of ours,
never a class path, so classes may be renamed freely. A stored event is never changed: when a shape
must change, its version rises and one step in `UPCASTS` lifts the version before it, on read.
`tests/history/` holds a sample of every version ever written.

Times are timezone-aware UTC `datetime`s; how they and the other values are stored: plain.py.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from types import MappingProxyType
from typing import Any, ClassVar

from bbq.shared.plain import reader, to_plain

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Source:
    """One upload: one version of one S3 object. `sequencer` is S3's own order of the versions of
    one key.
    """

    bucket: str
    key: str
    version_id: str
    etag: str
    sequencer: str
    size_bytes: int
    record_count: int | None = None


@dataclass(frozen=True, kw_only=True)
class Label:
    """A word of the uploader's about the job, from the object's metadata. `owner` is one that
    subscribers can select on.
    """

    name: str
    value: str


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Why an upload was rejected. `line` counts from 1; None where the whole object is meant. Never
    holds record content.
    """

    line: int | None
    text: str


@dataclass(frozen=True, kw_only=True)
class Event:
    """What every event has. `NAME` and `VERSION` are what is stored."""

    NAME: ClassVar[str]
    VERSION: ClassVar[int] = 1
    at: datetime


@dataclass(frozen=True, kw_only=True)
class JobQueued(Event):
    """The upload is fit to run. A list of sources, so that splitting and packing need no new event.

    `line_at`: its place in line is that of a job queued then, where its model does not serve first
    come, first served. `warnings`: sentences for the uploader about what runs, but is probably not
    meant.
    """

    NAME: ClassVar[str] = "job-queued"
    model: str
    priority: int
    sources: tuple[Source, ...]
    input_uri: str
    output_uri: str
    record_count: int
    size_bytes: int
    labels: tuple[Label, ...] = ()
    line_at: datetime | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class JobRejected(Event):
    """The upload cannot run. `problems` holds the first ones, `problem_count` says how many there
    were.
    """

    NAME: ClassVar[str] = "job-rejected"
    model: str | None
    sources: tuple[Source, ...]
    problems: tuple[Problem, ...]
    problem_count: int
    size_bytes: int
    labels: tuple[Label, ...] = ()


@dataclass(frozen=True, kw_only=True)
class UploadUnreadable(Event):
    """The deployment may not read the upload at this time, or not copy it: a right is missing, or a
    key cannot be used. `reason` names them. No end: `job-queued` or `job-rejected` follows once it
    can be read. Again only with another reason.
    """

    NAME: ClassVar[str] = "upload-unreadable"
    sources: tuple[Source, ...]
    reason: str


@dataclass(frozen=True, kw_only=True)
class SlotClaimed(Event):
    """Attempt n owns a slot and will call Create under `job_name`: the intent, before the
    effect.
    """

    NAME: ClassVar[str] = "slot-claimed"
    attempt: int
    model_id: str
    job_name: str


@dataclass(frozen=True, kw_only=True)
class SubmissionRefused(Event):
    """Bedrock definitely did not take the attempt: it waits at its old place, and its model is on
    hold (shared/hold.py).

    `message` is in Bedrock's words. `taken` is how many jobs of the model Bedrock had taken before
    this Create.
    """

    NAME: ClassVar[str] = "submission-refused"
    attempt: int
    kind: str
    message: str
    taken: int


@dataclass(frozen=True, kw_only=True)
class JobSubmitted(Event):
    """Bedrock took the attempt. `found` says that a look-up or an event told us, not the answer of
    Create.
    """

    NAME: ClassVar[str] = "job-submitted"
    attempt: int
    arn: str
    found: bool = False


@dataclass(frozen=True, kw_only=True)
class JobProgressed(Event):
    """Bedrock's status rose to Validating, Scheduled, InProgress or Stopping."""

    NAME: ClassVar[str] = "job-progressed"
    attempt: int
    status: str


@dataclass(frozen=True, kw_only=True)
class JobEnded(Event):
    """The attempt is over: Completed, PartiallyCompleted, Failed, Stopped or Expired. No ARN if
    Bedrock never took it.

    What Get says of a job that Failed or Expired: `processed_records` (None: not asked, or not
    said), and whether it had `started` to process any. `good_ends` is how many jobs of the model
    had ended well before it.
    """

    NAME: ClassVar[str] = "job-ended"
    attempt: int
    status: str
    message: str
    arn: str | None
    processed_records: int | None = None
    started: bool = False
    good_ends: int = 0


@dataclass(frozen=True, kw_only=True)
class JobTallied(Event):
    """What the attempt did, read when it ended: record and token counts, None where nobody could
    say.
    """

    NAME: ClassVar[str] = "job-tallied"
    attempt: int
    total_records: int | None = None
    processed_records: int | None = None
    succeeded_records: int | None = None
    failed_records: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None


@dataclass(frozen=True, kw_only=True)
class JobRequeued(Event):
    """Another attempt is due. `by` is "policy" or who asked."""

    NAME: ClassVar[str] = "job-requeued"
    attempt: int
    by: str
    why: str


@dataclass(frozen=True, kw_only=True)
class PriorityChanged(Event):
    """Somebody wants the job served earlier or later: 0 is first, 9 last."""

    NAME: ClassVar[str] = "priority-changed"
    priority: int
    by: str
    why: str


@dataclass(frozen=True, kw_only=True)
class CancelRequested(Event):
    """Somebody wants the job not to run, or to stop."""

    NAME: ClassVar[str] = "cancel-requested"
    by: str
    why: str


@dataclass(frozen=True, kw_only=True)
class ForgetRequested(Event):
    """An operator gives up a job that Bedrock does not know any more although we hold its ARN."""

    NAME: ClassVar[str] = "forget-requested"
    by: str
    why: str


@dataclass(frozen=True, kw_only=True)
class JobCancelled(Event):
    """The job was not at Bedrock and never will be. A job that was there ends as Stopped
    instead.
    """

    NAME: ClassVar[str] = "job-cancelled"


@dataclass(frozen=True, kw_only=True)
class LimitSet(Event):
    """The deployment allows this many live jobs of the model (0 stops it), and so much of it to
    begin in a day (UTC; None: no bound).
    """

    NAME: ClassVar[str] = "limit-set"
    limit: int
    max_jobs_per_day: int | None = None
    max_records_per_day: int | None = None


@dataclass(frozen=True, kw_only=True)
class ModelPaused(Event):
    """Nothing new starts on the model; what runs goes on."""

    NAME: ClassVar[str] = "model-paused"
    by: str
    why: str


@dataclass(frozen=True, kw_only=True)
class ModelResumed(Event):
    """The model starts jobs again."""

    NAME: ClassVar[str] = "model-resumed"
    by: str
    why: str


EVENTS: Mapping[str, type[Event]] = MappingProxyType(
    {
        event.NAME: event
        for event in (
            JobQueued,
            JobRejected,
            UploadUnreadable,
            SlotClaimed,
            SubmissionRefused,
            JobSubmitted,
            JobProgressed,
            JobEnded,
            JobTallied,
            JobRequeued,
            PriorityChanged,
            CancelRequested,
            ForgetRequested,
            JobCancelled,
            LimitSet,
            ModelPaused,
            ModelResumed,
        )
    }
)

# (name, version) -> the step that lifts stored data of that version to the next one.
UPCASTS: Mapping[tuple[str, int], Callable[[Json], Json]] = {}


class UnknownEvent(Exception):
    """A stored event this code cannot read: a newer deployment wrote it. Stops its own job only,
    never another.
    """


def to_stored(event: Event) -> Json:
    """The data of an event as JSON. `at`, the name and the version are stored beside it, not
    in it.
    """
    return {
        field.name: to_plain(getattr(event, field.name))
        for field in fields(event)
        if field.name != "at"
    }


def from_stored(name: str, version: int, at: str, data: Json) -> Event:
    """Read a stored event of any version up to ours. Fields this code does not know are left out (a
    newer writer's).

    Raises UnknownEvent for a name or version that this code does not know, and for data that does
    not fit.
    """
    cls: Any = EVENTS.get(name)
    if cls is None or not 0 < version <= cls.VERSION:
        raise UnknownEvent(
            f"event {name!r} version {version} is not known to this code: deploy the newer version"
        )
    try:
        for step in range(version, cls.VERSION):
            data = UPCASTS[name, step](data)
        event = reader(cls)({**data, "at": at})
    except (TypeError, ValueError, KeyError, AttributeError, OverflowError) as error:
        raise UnknownEvent(
            f"event {name!r} version {version} cannot be read: {type(error).__name__}"
        ) from error
    assert isinstance(event, Event)  # noqa: S101 - for the type checker; reader(cls) built one
    return event
