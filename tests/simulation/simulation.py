"""The deployment: production code in a simulated AWS, with the people and the weather that act on
it. `run.py` lets it live.
"""

import json
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import quote_plus

from bbq.cli.scan import Page, RepairContext
from bbq.services.intake import handler as intake
from bbq.services.intake import intake as taking_in
from bbq.services.intake.config import Config as IntakeConfig
from bbq.services.intake.objects import Objects
from bbq.services.scheduler import handler as scheduler
from bbq.services.scheduler.bedrock import Bedrock
from bbq.services.scheduler.config import Config
from bbq.services.scheduler.outbox import Outbox
from bbq.services.scheduler.publish import Topic
from bbq.services.scheduler.results import Results
from bbq.services.scheduler.timers import Timers
from bbq.services.scheduler.world import World
from bbq.shared import events as e
from bbq.shared.events import UnknownEvent
from bbq.shared.memory import MemoryTables
from bbq.shared.models import Model
from bbq.shared.names import job_id, job_stream, model_stream, split_s3_uri
from bbq.shared.slots import Ceiling
from bbq.shared.store import Store, VersionTaken
from local.bedrock_simulator.faults import Faults
from local.bedrock_simulator.jobs import EXPIRED, Inspection, Settings, Tally
from local.bedrock_simulator.jobs import Job as BedrockJob
from local.bedrock_simulator.rules import Bedrock as Rules
from tests.simulation import clients
from tests.simulation.aws import Bus, Queue, Schedules, Stream
from tests.simulation.kernel import T0, Invocation, Kernel
from tests.simulation.versions import OldTables
from tests.simulation.watch import DEPLOYMENT, ENDS, RANKS, Shadow, Watch
from tests.simulation.weather import Weather
from tests.support.reader import MemoryReader
from tests.support.world import config

BUCKET = "bbq-bucket"
MODELS = {"haiku": "anthropic.claude-haiku-4-5-20251001-v1:0", "nova": "amazon.nova-lite-v1:0"}
FUNCTION_TIMEOUT = 120.0  # terraform/scheduler.tf, intake.tf, hints.tf say these (a test compares)
INTAKE_TIMEOUT = 900.0
HINT_RECEIVES, UPLOAD_RECEIVES = 120, 24
# as in an account of a thousand executions: more meet each other
HINT_CONCURRENCY, UPLOAD_CONCURRENCY = 10, 50
CHECK_IN_MINUTES = 30
CEILING_SHARE = 0.3  # of the seeds have a ceiling of the day
MAX_HINTS_UNREADABLE = 30  # of one job, at once

# seconds of one way of a call
LATENCIES = (0.002, 0.005, 0.005, 0.01, 0.01, 0.01, 0.02, 0.02, 0.05, 0.2)


@dataclass(frozen=True)
class Upload:
    """What a person put into the bucket, and whether it is fit to run."""

    key: str
    version: str
    job: str
    fit: bool
    data: bytes


class Simulation:
    """Clients, queues, functions, Bedrock, and what people can do with them.

    `kernel` and `weather` are drawn from the seed unless given; `jobs` bounds the uploads.
    """

    def __init__(
        self,
        seed: int | str,
        *,
        kernel: Kernel | None = None,
        weather: Weather | None = None,
        jobs: int | None = None,
    ) -> None:
        self.kernel = kernel = kernel or Kernel(seed)
        self.weather = weather or Weather(seed)
        self.chance = random.Random(f"{seed}/people")
        self.watch = Watch(kernel)
        self.tables = MemoryTables()
        chance, spell = self.chance, self.weather.spell
        self.model_ids = dict(MODELS)
        self.limits = {
            alias: chance.choice((1, 1, 2, 3)) for alias in list(MODELS)[: chance.choice((1, 2))]
        }
        self.job_count = chance.randint(4, 9)
        self.job_count = min(self.job_count, jobs or self.job_count)
        self.ceilings: dict[str, Ceiling] = {}
        self.models = {alias: self.model(alias) for alias in self.limits}
        shortest = chance.choice((1.0, 60.0, 600.0))
        self.settings = Settings(
            seed=chance.randrange(2**32),
            quota=100,
            min_records=1,
            stage_seconds=(0.01, chance.choice((0.2, 30.0))),
            job_seconds=(shortest, shortest * chance.choice((1.5, 10.0))),
        )
        faults = Faults(
            forget_tokens=spell("tokens-forgotten"),
            token_ends_with_job=spell("token-ends-with-job"),
            quota_before_token=spell("quota-before-token"),
            names_stay_taken=spell("names-stay-taken"),
            name_in_use_error="ConflictException"
            if spell("names-conflict")
            else "ValidationException",
            job_expiry=0.3 if spell("jobs-expire") else 0.0,
            job_partial=0.3 if spell("jobs-partly-complete") else 0.0,
            job_failure=0.3 if spell("jobs-fail") else 0.0,
        )
        for fault in (
            "tokens-forgotten",
            "token-ends-with-job",
            "quota-before-token",
            "names-conflict",
            "names-stay-taken",
            "clock-skew",
            "equal-timestamps",
            "jobs-expire",
            "jobs-partly-complete",
            "jobs-fail",
        ):
            if spell(fault):
                self.weather.felt(fault)
        self.rules = Rules(self.settings, faults, self._inspect, self._write)
        self.watch.bedrock = self.rules
        self.weather.struck = self._struck
        if spell("quota-below-limit"):
            self.weather.felt("quota-below-limit")
            for alias, limit in self.limits.items():
                self.rules.set_quota(self.model_ids[alias], max(1, limit - 1))
        self.fail_validating = self.fail_in_progress = False  # the Bedrock role has lost a right
        self.gauges_due: Callable[[str], bool] = lambda _: False  # nobody looks at gauges here
        self.uploads: list[Upload] = []
        # jobs that people or fate interfered with: their end is not known beforehand
        self.touched: set[str] = set()
        self._pumped: datetime | None = None
        self.deploying = False
        self.drilled: set[str] = set()  # models that an operator has paused to rebuild their slots
        # of them, those where that failed: the operator will try again
        self.half_rebuilt: set[str] = set()
        self.replaying = False  # whether hints are delivered again, as often as the check likes
        self._wire()
        self.calm = False  # once people have brought the weather to an end

    def _wire(self) -> None:
        kernel, weather = self.kernel, self.weather
        self.hints = Queue(
            kernel,
            weather,
            "hints",
            self.invoke_scheduler,
            visibility=6 * FUNCTION_TIMEOUT,
            receives=HINT_RECEIVES,
            concurrency=HINT_CONCURRENCY,
        )
        self.notifications = Queue(
            kernel,
            weather,
            "uploads",
            self.invoke_intake,
            visibility=6 * INTAKE_TIMEOUT,
            receives=UPLOAD_RECEIVES,
            concurrency=UPLOAD_CONCURRENCY,
        )
        self.stream = Stream(kernel, weather, self.invoke_scheduler, self.tables.peek)
        self.bus = Bus(kernel, weather, self.settings, self.hints, lambda: self.rules.faults)
        self.schedules = Schedules(kernel, weather, self.hints)
        self.bedrock = clients.BedrockClient(kernel, weather, self.rules, self.watch, self.pump)
        self.s3 = clients.S3Client(kernel, weather)
        self.sim_tables = clients.Tables(kernel, weather, self.tables, self.watch, self.stream.put)
        self._timer_client = clients.SchedulerClient(kernel, weather, self.schedules)
        self._timer_client.refuse_past = self.chance.random() < 0.5
        self.hints.again = self._delivered_again
        self._sqs = clients.SqsClient(kernel, weather, self.watch, self.hints)
        self.sns = clients.SnsClient(kernel, weather)
        self._uploads_sqs = clients.SqsClient(kernel, weather, self.watch, self.notifications)
        fair = Weather("fair")  # people try again until it works
        fair.calm()
        theirs = clients.Tables(kernel, fair, self.tables, self.watch, self.stream.put)
        self.people = Store(theirs, sleep=lambda _: None)
        self._fair_tables = theirs
        kernel.latency, kernel.delay = self._latency, self._delay
        kernel.finished = self._finished
        self.schedules.heard = self._timer_fired
        kernel.may_kill = self._may_kill

    def repair_context(self) -> RepairContext:
        """What an operator's tools work with; each of their calls is a switch point too."""
        kernel, reader = self.kernel, MemoryReader(self.tables)

        def pages(table: str) -> Iterator[Page]:
            walk = reader.pages(table)
            while (page := kernel.call(f"scan {table}", lambda: next(walk, None))) is not None:
                yield page

        return RepairContext(
            tables=self._fair_tables,
            reader=cast("Any", SimpleNamespace(pages=pages)),
            hints=Outbox(cast("Any", self._sqs), "http://hints"),
            models=tuple(self.models),
            lease=config(function_timeout=timedelta(seconds=FUNCTION_TIMEOUT)).lease,
            now=lambda: kernel.now,
            sleep=lambda seconds: kernel.wait("pause", seconds),
        )

    def _delivered_again(self) -> None:
        """A copy of a hint is a reason of its own to ask Bedrock again: nobody can know that it is
        one.
        """
        self.watch.reasons[""] += 1

    def _timer_fired(self, body: str) -> None:
        self.watch.reasons[json.loads(body).get("wake", "")] += 1

    # The functions.

    def invoke_scheduler(
        self, event: dict[str, Any], done: Callable[[Any], None] = lambda _: None
    ) -> Invocation:
        """Lambda runs the scheduler, with the configuration as it is now."""
        settings = config(
            models=dict(self.models),
            check_in_minutes=CHECK_IN_MINUTES,
            function_timeout=timedelta(seconds=FUNCTION_TIMEOUT),
            deployment=DEPLOYMENT,
        )
        old = self.weather.strike("old-code")

        def heard(answer: Any) -> None:
            if answer is not None and not old:
                self._check_recorded(invocation, event, answer)
            done(answer)

        invocation = self.kernel.start(
            "scheduler", lambda: self._scheduler(settings, event, old=old), FUNCTION_TIMEOUT, heard
        )
        return invocation

    def invoke_intake(self, event: dict[str, Any], done: Callable[[Any], None]) -> Invocation:
        """Lambda runs intake."""
        settings = IntakeConfig(
            bucket=BUCKET,
            events_table="events",
            uploads_queue_url="http://uploads",
            region="us-east-1",
            models=dict(self.models),
            default_model="haiku",
        )
        return self.kernel.start(
            "intake", lambda: self._intake(settings, event), INTAKE_TIMEOUT, done
        )

    def _scheduler(self, settings: Config, event: dict[str, Any], *, old: bool) -> Any:
        invocation = self._current()
        ids = iter(range(1, 10_000))
        tables = OldTables(self.sim_tables) if old else self.sim_tables
        if old:
            self.kernel.say(invocation, "runs the old code")
        world = World(
            config=settings,
            store=Store(
                tables,
                sleep=lambda seconds: self.kernel.wait("pause", seconds),
                draw=self.kernel.chance.random,
            ),
            bedrock=Bedrock(cast("Any", self.bedrock)),
            timers=Timers(
                cast("Any", self._timer_client),
                group="bbq",
                role_arn="role",
                queue_arn="queue",
                dlq_arn="dlq",
            ),
            outbox=Outbox(cast("Any", self._sqs), "http://hints"),
            topic=Topic(lambda: cast("Any", self.sns), "topic", clock=lambda: self.kernel.time),
            results=Results(cast("Any", self.s3)),
            now=self._clock(),
            seconds_left=lambda: invocation.deadline - self.kernel.time,
            new_id=lambda: f"{invocation}/{next(ids)}",
            note=self._noter(invocation),
            gauges_due=self.gauges_due,
        )
        return scheduler.act_on(world, event)

    def _intake(self, settings: IntakeConfig, event: dict[str, Any]) -> Any:
        invocation = self._current()
        world = taking_in.World(
            config=settings,
            store=Store(
                self.sim_tables,
                sleep=lambda seconds: self.kernel.wait("pause", seconds),
                draw=self.kernel.chance.random,
            ),
            objects=Objects(cast("Any", self.s3)),
            now=self._clock(),
            seconds_left=lambda: invocation.deadline - self.kernel.time,
            note=self._noter(invocation),
            hide=lambda receipt_handle, seconds: self._uploads_sqs.change_message_visibility(
                QueueUrl=settings.uploads_queue_url,
                ReceiptHandle=receipt_handle,
                VisibilityTimeout=seconds,
            ),
        )
        return intake.take_in_batch(world, event)

    def _struck(self, fault: str) -> None:
        if self.kernel.current is not None:
            self.kernel.current.notes.setdefault("faults", set()).add(fault)

    def _current(self) -> Invocation:
        assert self.kernel.current
        return self.kernel.current

    def _clock(self) -> Callable[[], datetime]:
        """An invocation's clock: up to 15 s wrong, and in some runs it ticks every 5 s only (so
        that times are equal).
        """
        skew = self.kernel.chance.uniform(-15, 15) if self.weather.spell("clock-skew") else 0.0
        tick = 5.0 if self.weather.spell("equal-timestamps") else 0.0

        def now() -> datetime:
            seconds = self.kernel.time + skew
            return T0 + timedelta(seconds=seconds - seconds % tick if tick else seconds)

        return now

    EXPECTED = (
        "injected",
        "Contended",
        "ConditionFailed",
        "UnknownEvent",
        "no time left",
        "NoTimeLeft",
        "NotYetKnown",
        "Unreadable",
        "a moment ago",
        "holds no event",
    )

    def _noter(self, invocation: Invocation) -> Callable[..., None]:
        met = bool(self.watch.damaged)  # a part of the slots is gone, and may be rebuilt meanwhile

        def note(name: str, **fields: object) -> None:
            if name in {"StreamRecordFailed", "HintFailed", "SubmissionUnknown"}:
                invocation.notes["failed"] = name
            if name == "CeilingReached":
                invocation.notes.pop(f"next in line#{fields['model']}", None)
                self.watch.parked(**fields)
            if name == "JobUnreadable":  # to this version of the code: it is passed
                invocation.notes.setdefault("unreadable", set()).add(fields["job"])
            self.kernel.say(invocation, f"notes {name} {fields}")
            if "error" in fields:  # S13: nothing but what was done to it may make it fail
                error = str(fields["error"])
                expected = any(word in error for word in self.EXPECTED)
                lost = (met or bool(self.watch.damaged)) and "did not come to rest" in error
                self.watch.check("S13", expected or lost, f"{name}: {error}")

        return note

    # What must hold when an invocation is over.

    def _check_recorded(
        self, invocation: Invocation, event: dict[str, Any], answer: dict[str, Any]
    ) -> None:
        """What a handled Bedrock event said about an attempt of ours is recorded: it need never
        come again. An end is recorded also where the invocation failed for nothing but a row of
        another: of whoever would be next.
        """
        body = (event.get("Records") or [{}])[0].get("body", "")
        if "batchJobArn" not in body:
            return
        detail = json.loads(body)["detail"]
        made = self.rules.jobs.get(str(detail.get("batchJobArn", ""))[-12:])
        if made is None or made.foreign or detail["status"] not in (*RANKS, *ENDS):
            return
        job_name, attempt = made.name.split("-")[1], int(made.name.split("-")[2])
        job = self.watch.jobs[job_name]
        if answer["batchItemFailures"]:
            own = {f"job#{job_name}", f"slots#{job.model}", f"counts#{job.model}"}
            stuck, faults = (
                invocation.notes.get("stuck", set()),
                invocation.notes.get("faults", set()),
            )
            if (
                not stuck
                or own & stuck
                or faults - {"row-stuck"}
                or job.model in self.watch.damaged
                or detail["status"] not in ENDS
            ):
                return
        known = (
            job.attempt > attempt or job.state in {"ended", "queued", "cancelled"} or job.poisoned
        )
        if not known and detail["status"] in RANKS:
            known = job.state == "running" and RANKS.index(job.status) >= RANKS.index(
                detail["status"]
            )
        self.watch.check(
            "L1",
            known,
            f"{made.name} is {detail['status']} by a handled event, but recorded as {job.state} "
            f"{job.status}",
        )

    def _finished(self, invocation: Invocation) -> None:
        """Who leaves has seen that there is nothing to fill (L2). If nothing runs now: whatever
        holds a slot, and a line while its model is on hold, must have a hint to come (L3).
        """
        notes = invocation.notes
        left = [what for note, what in notes.items() if note.startswith("next in ")]
        left = [what for what in left if not self.watch.jobs[what.rpartition("#")[2]].passed_by]
        excused = (
            invocation.killed
            or invocation.error is not None
            or "failed" in notes
            or "unreadable" in notes
        )
        self.watch.check(
            "L2", excused or not left, f"{invocation} left with a slot free and {left} in line"
        )
        for unreadable in notes.get("unreadable", ()):
            count = self.hints.count(unreadable)
            few = self.replaying or count <= MAX_HINTS_UNREADABLE
            self.watch.check("L5", few, f"{count} hints about {unreadable}, which nobody can read")
        if self.kernel.running:
            return
        for alias, row in self.watch.slots.items():
            if alias in self.half_rebuilt:
                continue
            for holder in row["holders"]["M"]:
                job, _, attempt = holder.partition("#")
                hint = (
                    self.schedules.holds(f"{job}-{attempt}-", job)
                    or self.hints.holds(job)
                    or self.stream.holds(job)
                )
                self.watch.check(
                    "L3", hint, f"{holder} holds a slot, and nothing will ever look at it again"
                )
            has_room = (
                len(row["holders"]["M"]) < int(row["limit"]["N"]) and not row["paused"]["BOOL"]
            )
            unanswered = any(
                not lease["M"]["submitted"]["BOOL"] for lease in row["holders"]["M"].values()
            )
            if (
                not has_room
                or unanswered
                or alias not in self.models
                or self.stream.depth
                or self.hints.depth
                or self.deploying
            ):
                # an end, a take-over, an operator or a deployment will come, or another's hint may:
                # each of them fills
                continue
            in_line = [
                self.watch.jobs[place.rpartition("#")[2]]
                for place in self.watch.orders.get(alias, ())
            ]
            readable = [job for job in in_line if not job.poisoned]
            if ("refused" in row or "failing" in row) and readable:
                wake = f'"wake": "{alias}"'
                hint = self.schedules.holds(f"model-{alias}-", wake) or self.hints.holds(wake)
                self.watch.check(
                    "L3", hint, f"{alias} is on hold, and nothing will ever look at its line again"
                )

    def _latency(self, what: str) -> float:
        if self.weather.strike("stalled"):
            return self.kernel.chance.uniform(0.5, 30.0)
        return float(self.kernel.chance.choice(LATENCIES))

    def _delay(self, carrier: str) -> float:
        """Seconds under way in `stream`, `bus`, or a queue, where nothing goes wrong."""
        chance = self.kernel.chance
        if carrier == "bus":
            return float(10 ** chance.uniform(-2.5, -0.3))
        return chance.uniform(0.05, 0.3) if carrier == "stream" else chance.uniform(0.005, 0.1)

    def _may_kill(self, invocation: Invocation) -> bool:
        return self.weather.strike(
            "killed-after-a-call" if invocation.arrived else "killed-before-a-call"
        )

    # Bedrock.

    def pump(self) -> None:
        """Let Bedrock's jobs move on; their events go to the bus. Come back when the next one is
        due.
        """
        for change in self.rules.advance(self.kernel.now):
            self.watch.at_bedrock(change)
            self.bus.put(change)
        due = self.rules.next_change_at()
        if due is not None and (
            self._pumped is None or self._pumped <= self.kernel.now or due < self._pumped
        ):
            self._pumped = due
            self.kernel.after((due - self.kernel.now).total_seconds(), self.pump)

    def _inspect(self, job: BedrockJob) -> Inspection:
        _, key = split_s3_uri(job.request["inputDataConfig"]["s3InputDataConfig"]["s3Uri"])
        if job.foreign:
            return Inspection(records=1, largest_file_records=1)
        if self.fail_validating:
            self.weather.felt("everybody-fails-validating")
            return Inspection(
                problem="Could not validate GetObject permissions to access S3 bucket"
            )
        if self.weather.spell("input-refused-while-validating") and self.chance.random() < 0.3:
            self.weather.felt("input-refused-while-validating")
            return Inspection(problem="The role could not read the input.")
        staged = self.s3.newest.get(key)
        self.watch.check("S4", staged is not None, f"{job.name} runs without its input {key}")
        data = self.s3.things[key, str(staged)].data
        (upload,) = [upload for upload in self.uploads if upload.job in job.name]
        self.watch.check(
            "S4",
            data == upload.data,
            f"{job.name} runs something else than {upload.key} {upload.version}",
        )
        if self.rules.faults.permission_check_object:
            self.s3.put(
                split_s3_uri(job.output_uri)[1] + self.rules.faults.permission_check_object, b""
            )
        records = data.count(b"\n")
        return Inspection(records=records, largest_file_records=records)

    def _write(self, job: BedrockJob) -> Tally:
        _, prefix = split_s3_uri(job.request["outputDataConfig"]["s3OutputDataConfig"]["s3Uri"])
        if self.fail_in_progress:
            self.weather.felt("everybody-fails-in-progress")
            return Tally(problem="Customer doesn't have permissions to invokeModel")
        records = done = job.records_to_process
        if self.weather.spell("jobs-expire-half-done") and self.chance.random() < 0.3:
            self.weather.felt("jobs-expire-half-done")
            job.plan, done = replace(job.plan, outcome=EXPIRED), max(1, records // 2)
        manifest = {
            "totalRecordCount": records,
            "processedRecordCount": done,
            "successRecordCount": done,
            "errorRecordCount": 0,
            "inputTokenCount": 10 * done,
            "outputTokenCount": 20 * done,
        }
        self.s3.put(f"{prefix}{job.id}/manifest.json.out", json.dumps(manifest).encode())
        return Tally(success=done)

    # People.

    def model(self, alias: str, limit: int = 1) -> Model:
        """What the deployment says of a model."""
        ceiling = self.ceilings.get(alias, Ceiling())
        return Model(
            alias=alias,
            model_id=self.model_ids[alias],
            limit=limit,
            min_records=1,
            max_records=ceiling.records or 100,
            max_jobs_per_day=ceiling.jobs,
            max_records_per_day=ceiling.records,
        )

    def draw_ceilings(self, chance: random.Random) -> None:
        """Low enough to be reached by a handful of jobs of one or two records, high enough to be
        done within the run.
        """
        if chance.random() >= CEILING_SHARE:
            return
        kinds = (
            Ceiling(jobs=chance.randint(1, 4)),
            Ceiling(records=chance.randint(2, 6)),
            Ceiling(jobs=3, records=4),
        )
        self.ceilings = {alias: chance.choice(kinds) for alias in self.limits}
        self.models = {alias: self.model(alias) for alias in self.limits}

    def _raise_ceiling(self, alias: str) -> None:
        """Never lower: all work is to be done within the run."""
        if (ceiling := self.ceilings.get(alias)) is not None:
            jobs, records = ceiling.jobs, ceiling.records
            self.ceilings[alias] = Ceiling(
                jobs=jobs + 1 if jobs else None, records=records + 2 if records else None
            )

    def upload(
        self,
        key: str,
        data: bytes,
        *,
        fit: bool,
        announce: bool = True,
        priority: int | None = None,
    ) -> Upload:
        """A person uploads, and S3 announces it (at least once)."""
        version, etag = self.s3.put(
            key, data, **({} if priority is None else {"priority": str(priority)})
        )
        upload = Upload(key, version, job_id(BUCKET, key, version, "", ""), fit, data)
        self.uploads.append(upload)
        self.watch.uploads[key, version] = upload.job
        self.kernel.say("a person", f"uploads {key!r} as {version}: job {upload.job}")
        if announce:
            for _ in range(1 + self.weather.strike("notification-duplicated")):
                self.notifications.send(notification(key, version, etag, len(data)))
        return upload

    def append(self, stream: str, event: e.Event) -> bool:
        """An operator appends an event on condition, as the command line does."""
        for _ in range(5):
            try:
                kind, _, name = stream.partition("#")
                if kind == "job":
                    self.people.append(name, self.people.job(name), event)
                else:
                    self.people.append_to_model(name, len(self.people.load(stream)) + 1, event)
            except VersionTaken:
                continue
            except UnknownEvent:
                return False
            self.kernel.say("an operator", f"appends {event.NAME} to {stream}")
            return True
        return False

    def deploy(
        self, limits: Mapping[str, int], *, higher_ceilings: bool = False, added: Iterable[str] = ()
    ) -> None:
        """Terraform changes the limits, adds models, and wakes the scheduler; it fails where that
        fails, and is run again. One at a time.
        """
        if self.deploying:
            self.kernel.after(
                30, lambda: self.deploy(limits, higher_ceilings=higher_ceilings, added=added)
            )
            return
        for alias in added:
            self.models[alias] = self.model(alias)
        for alias in self.limits if higher_ceilings else ():
            self._raise_ceiling(alias)
        self.limits |= limits
        for alias in self.models:
            self.models[alias] = self.model(alias, self.limits[alias])
        self.watch.deployed = dict(self.limits)
        self.kernel.say("a person", f"deploys {dict(self.limits)}")
        self.deploying = True
        self._wake_deployed()

    def _wake_deployed(self) -> None:
        known = {alias: limit for alias, limit in self.limits.items() if alias in self.models}
        ceilings = dict(self.ceilings)

        def done(answer: Any) -> None:
            if answer is None:
                self.kernel.after(60, self._wake_deployed)
                return
            self.deploying = False
            for alias, limit in known.items():
                self.watch.check(
                    "S11",
                    self.watch.models[alias][-1][0] == limit,
                    f"{alias} was deployed with limit {limit}: {self.watch.models[alias][-1]}",
                )
                self.watch.check(
                    "S11",
                    self.watch.ceilings[alias] == ceilings.get(alias, Ceiling()),
                    f"{alias} was deployed with {ceilings.get(alias)}: {self.watch.ceilings}",
                )

        self.wake(limits=known, done=done)

    def wake(
        self, limits: Mapping[str, int] | None = None, done: Callable[[Any], None] = lambda _: None
    ) -> Invocation:
        """The scheduler is called directly."""
        self.watch.reasons[""] += 1
        return self.invoke_scheduler(
            {"wake": "all", **({"limits": dict(limits)} if limits else {})}, done
        )

    def pause(self, alias: str) -> None:
        """An operator pauses a model."""
        self.append(model_stream(alias), e.ModelPaused(at=self.kernel.now, by="ops", why="drill"))

    def resume(self, alias: str) -> None:
        """An operator resumes a model."""
        self.append(model_stream(alias), e.ModelResumed(at=self.kernel.now, by="ops", why="done"))

    def cancel(self, job: str) -> None:
        """An operator cancels a job."""
        self.touched.add(job)
        known = self.watch.jobs.get(job, Shadow())
        if known.state and not known.cancel:
            self.append(
                job_stream(job), e.CancelRequested(at=self.kernel.now, by="ops", why="not needed")
            )


def notification(key: str, version: str, etag: str, size: int) -> str:
    """S3's notification, the parts that are read."""
    thing = {
        "key": quote_plus(key),
        "size": size,
        "eTag": etag.strip('"'),
        "versionId": version,
        "sequencer": version,
    }
    record = {"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": BUCKET}, "object": thing}}
    return json.dumps({"Records": [record]})
