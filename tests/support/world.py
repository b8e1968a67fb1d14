"""A scheduler's world without AWS: the in-memory store, a scripted Bedrock, recorded timers and
hints, a clock that stands still.

The fakes keep the promises of the real files
(`services/scheduler/{bedrock,timers,outbox,results}.py`); what a test wants to happen *during* a
call it puts in `on_create` or `before_commit`, which is how another invocation gets in between.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from bbq.services.scheduler.bedrock import Accepted, Answer, Found, NotYetKnown, Request
from bbq.services.scheduler.config import Config
from bbq.services.scheduler.publish import NotPublished
from bbq.services.scheduler.world import World
from bbq.shared import appends
from bbq.shared import events as e
from bbq.shared.job import Job
from bbq.shared.memory import MemoryTables
from bbq.shared.models import Model
from bbq.shared.names import job_stream, model_stream
from bbq.shared.slots import Slots
from bbq.shared.store import Store
from bbq.shared.tables import EventRow, R, Write
from tests.support.samples import MODEL, MODEL_ID, T0, id_of, queued

ACCOUNT, REGION, DEPLOYMENT = "000000000000", "us-east-1", "bbq"


def arn(number: int) -> str:
    """The ARN of the n-th job Bedrock took."""
    return f"arn:aws:bedrock:{REGION}:{ACCOUNT}:model-invocation-job/{number:012d}"


def config(**changes: object) -> Config:
    """A configuration of one model."""
    settings: dict[str, object] = {
        "deployment": DEPLOYMENT,
        "account_id": ACCOUNT,
        "region": REGION,
        "events_table": "events",
        "projections_table": "projections",
        "models": {MODEL: Model(alias=MODEL, model_id=MODEL_ID, limit=1)},
        "bedrock_role_arn": f"arn:aws:iam::{ACCOUNT}:role/bbq-bedrock",
        "hints_queue_url": "http://queue",
        "hints_queue_arn": "arn:queue",
        "hints_dlq_arn": "arn:dlq",
        "timer_group": "bbq",
        "timer_role_arn": "arn:role",
        "events_topic_arn": "arn:topic",
        "event_source": "aws.bedrock",
        "check_in_minutes": 60,
        "function_timeout": timedelta(seconds=120),
    }
    return Config(**{**settings, **changes})  # type: ignore[arg-type] # the settings above


@dataclass
class FakeBedrock:
    """Takes every job unless `script`, and after it `otherwise`, says something else. `jobs` is
    what it holds, by ARN; `creates` every call, `looked_up` every name with the moment since when.
    List is behind for `unlisted` ARNs, Get for `unknown` ones.
    """

    script: list[Answer] = field(default_factory=list)
    otherwise: Answer = field(default=Accepted(""))
    on_create: Callable[[Request], None] = lambda _: None
    jobs: dict[str, Found] = field(default_factory=dict)
    creates: list[Request] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    looked_up: list[tuple[str, datetime]] = field(default_factory=list)
    unlisted: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)

    def create(self, request: Request) -> Answer:
        """The next answer of the script, afterwards `otherwise`. To accept without an ARN makes a
        job.
        """
        self.creates.append(request)
        self.on_create(request)
        answer = self.script.pop(0) if self.script else self.otherwise
        return Accepted(self.take(request.name)) if answer == Accepted("") else answer

    def take(self, name: str, token: str | None = None) -> str:
        """A job of this name is now at Bedrock."""
        made = arn(len(self.jobs) + 1)
        self.jobs[made] = Found(
            arn=made, name=name, token=token or name, status="Submitted", message=""
        )
        return made

    def turn(
        self,
        which: str,
        status: str,
        message: str = "",
        *,
        total: int | None = None,
        processed: int | None = None,
    ) -> None:
        """A job's status changes, and its counts."""
        job = self.jobs[which]
        self.jobs[which] = replace(
            job, status=status, message=message, total_records=total, processed_records=processed
        )

    def get(self, arn: str) -> Found | None:
        """See Bedrock.get."""
        return self.jobs.get(arn) if arn not in self.unknown else None

    def named(self, name: str, since: datetime) -> list[Found]:
        """See Bedrock.named."""
        self.looked_up.append((name, since))
        listed = [
            job for job in self.jobs.values() if job.name == name and job.arn not in self.unlisted
        ]
        if any(job.arn in self.unknown for job in listed):
            raise NotYetKnown(name)
        return listed

    def stop(self, arn: str) -> bool:
        """See Bedrock.stop."""
        self.stopped.append(arn)
        if arn not in self.jobs or self.jobs[arn].status in {
            "Completed",
            "Failed",
            "Stopped",
            "Expired",
            "PartiallyCompleted",
        }:
            return False
        self.turn(arn, "Stopping")
        return True


@dataclass
class FakeTimers:
    """Armed timers by name, as EventBridge Scheduler would keep them; `log` holds every call."""

    armed: dict[tuple[str, datetime], bool] = field(default_factory=dict)
    log: list[tuple[str, str, datetime]] = field(default_factory=list)

    def arm_attempt(self, job: str, attempt: int, due: datetime) -> None:
        """See Timers."""
        self._arm(f"{job}-{attempt}", due)

    def arm_model(self, alias: str, due: datetime) -> None:
        """See Timers."""
        self._arm(f"model-{alias}", due)

    def disarm_attempt(self, job: str, attempt: int, due: datetime) -> None:
        """See Timers."""
        self.log.append(("disarm", f"{job}-{attempt}", due))
        self.armed.pop((f"{job}-{attempt}", due), None)

    def due(self, whose: str) -> list[datetime]:
        """When the timers of this attempt or model are due."""
        return sorted(due for name, due in self.armed if name == whose)

    def _arm(self, whose: str, due: datetime) -> None:
        assert due.second == due.microsecond == 0
        self.log.append(("arm", whose, due))
        self.armed[whose, due] = True


@dataclass
class FakeOutbox:
    """Hints sent, and messages hidden."""

    sent: list[tuple[str, str]] = field(default_factory=list)
    hidden: list[tuple[str, int]] = field(default_factory=list)

    def wake_job(self, job: str) -> None:
        """See Outbox."""
        self.sent.append(("job", job))

    def wake_model(self, alias: str) -> None:
        """See Outbox."""
        self.sent.append(("model", alias))

    def publish_later(self, job: str, version: int) -> None:
        """See Outbox."""
        self.sent.append(("publish", f"{job} {version}"))

    def hide(self, receipt_handle: str, seconds: int) -> None:
        """See Outbox."""
        self.hidden.append((receipt_handle, seconds))


@dataclass
class FakeTopic:
    """Messages published. While it is `broken`, it takes none."""

    messages: list[Mapping[str, str]] = field(default_factory=list)
    broken: bool = False

    def publish(self, body: Mapping[str, str]) -> None:
        """See Topic."""
        if self.broken:
            raise NotPublished("KMSDisabled")
        self.messages.append(body)


@dataclass
class FakeResults:
    """Manifests by ARN."""

    manifests: dict[str, dict[str, int]] = field(default_factory=dict)

    def manifest(self, output_uri: str, arn: str) -> dict[str, int]:
        """See Results."""
        return self.manifests.get(arn, {})


class HookedTables(MemoryTables):
    """Calls `before_commit` once before every write: another invocation's chance to be faster.
    Refuses what no function's role may: to get an event by its key (terraform/intake.tf,
    scheduler.tf).
    """

    def __init__(self) -> None:
        super().__init__()
        self.before_commit: Callable[[Sequence[Write]], None] = lambda _: None

    def get(self, kind: type[R], hash_key: str, range_key: str) -> R | None:
        """See Tables."""
        assert kind is not EventRow, f"AccessDenied: dynamodb:GetItem of {hash_key}"
        return super().get(kind, hash_key, range_key)

    def write(self, writes: Sequence[Write]) -> None:
        """See Tables."""
        self.before_commit(writes)
        super().write(writes)


@dataclass
class Bench:
    """Everything, with the fakes in reach. `time` moves only when a test moves it."""

    limit: int = 1
    time: datetime = T0
    left: float = 110.0
    bedrock: FakeBedrock = field(default_factory=FakeBedrock)
    timers: FakeTimers = field(default_factory=FakeTimers)
    outbox: FakeOutbox = field(default_factory=FakeOutbox)
    topic: FakeTopic = field(default_factory=FakeTopic)
    results: FakeResults = field(default_factory=FakeResults)
    tables: HookedTables = field(default_factory=HookedTables)
    notes: list[tuple[str, dict[str, object]]] = field(default_factory=list)
    measured: list[tuple[str, float]] = field(default_factory=list)
    gauges_due: bool = True
    config: Config = field(default_factory=config)

    def __post_init__(self) -> None:
        self.store = Store(self.tables, sleep=lambda _: None, draw=lambda: 0.5)
        self._ids = itertools.count(1)
        if self.limit >= 0:
            self.set_limit(self.limit)

    def world(self) -> World:
        """A world for one invocation."""
        return World(
            config=self.config,
            store=self.store,
            bedrock=self.bedrock,
            timers=self.timers,
            outbox=self.outbox,
            topic=self.topic,
            results=self.results,
            now=lambda: self.time,
            seconds_left=lambda: self.left,
            new_id=lambda: f"owner-{next(self._ids)}",
            note=lambda name, **fields: self.notes.append((name, fields)),
            measure=lambda _, **values: self.measured.extend(values.items()),
            gauges_due=lambda _: self.gauges_due,
        )

    def measures(self, name: str) -> list[float]:
        """What was measured under this name, oldest first."""
        return [value for metric, value in self.measured if metric == name]

    def wait(self, **time: float) -> None:
        """Let time pass."""
        self.time += timedelta(**time)

    def set_limit(self, limit: int) -> None:
        """As a deployment does, without waking anybody."""
        from bbq.shared import projections as p  # noqa: PLC0415 - only here
        from bbq.shared.slots import fold_model  # noqa: PLC0415 - only here

        stream = model_stream(MODEL)
        events = [r.event for r in self.store.load(stream)]
        event = e.LimitSet(at=self.time, limit=limit)
        state = fold_model(MODEL, [*events, event])
        changes = p.model_changed(self.store.slots(MODEL), state, resumed=False)
        self.store.commit([appends.append_to_model(MODEL, state.model_version, event), *changes])

    def upload(self, version: str = "v1", *, priority: int = 5) -> str:
        """Intake's part: the event, nothing projected. Answers the job id."""
        seconds = (self.time - T0).total_seconds()
        event = queued(version=version, seconds=seconds, priority=priority)
        self.store.append(id_of(version=version), None, event)
        return id_of(version=version)

    def upload_id(self, version: str) -> str:
        """The id of an upload's job."""
        return id_of(version=version)

    def append(self, job: str, event: e.Event) -> None:
        """An operator's part: one more event on a job."""
        self.store.append(job, self.job(job), event)

    def job(self, job: str) -> Job:
        """The job now."""
        found = self.store.job(job)
        assert found
        return found

    def history(self, job: str) -> list[str]:
        """The names of its events."""
        return [r.event.NAME for r in self.store.load(job_stream(job))]

    @property
    def slots(self) -> Slots:
        """The model's slots now."""
        found = self.store.slots(MODEL)
        assert found
        return found
