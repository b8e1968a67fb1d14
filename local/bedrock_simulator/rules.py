"""The rules of Bedrock batch inference, apart from HTTP, S3 and the wall clock.

`Bedrock` holds the jobs, quotas, tokens and names of one account and Region. Every call gets the time as an argument and
nothing here waits, so a driver can run it on the wall clock and a simulation test on a virtual one: call, then `advance`
to `next_change_at()`, again and again. Everything drawn by chance comes from the seed and the number of the job.

What AWS documents is followed; where it documents nothing, `faults.Faults` holds a switch. Limits and simplifications:
the quota counts every job that has not ended under the very string in `modelId` (an ARN, a profile and a plain id of one
model are three models here); a job that expires or fails leaves no output; history is kept until the process ends.
Not safe under threads: the driver holds one lock.
"""

from __future__ import annotations

import base64
import binascii
import heapq
import itertools
import random
import string
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from local.bedrock_simulator.checks import problems
from local.bedrock_simulator.faults import CONFLICT, VALIDATION, Faults

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

SUBMITTED, VALIDATING, SCHEDULED, IN_PROGRESS = "Submitted", "Validating", "Scheduled", "InProgress"
STOPPING, STOPPED, COMPLETED, PARTIALLY_COMPLETED = "Stopping", "Stopped", "Completed", "PartiallyCompleted"
FAILED, EXPIRED = "Failed", "Expired"
TERMINAL = frozenset({STOPPED, COMPLETED, PARTIALLY_COMPLETED, FAILED, EXPIRED})
LEGAL_NEXT: Mapping[str, frozenset[str]] = {
    SUBMITTED: frozenset({VALIDATING, STOPPING}),
    VALIDATING: frozenset({SCHEDULED, FAILED, STOPPING}),
    SCHEDULED: frozenset({IN_PROGRESS, EXPIRED, STOPPING}),
    IN_PROGRESS: frozenset({COMPLETED, PARTIALLY_COMPLETED, FAILED, STOPPING}),
    STOPPING: frozenset({STOPPED}),
    **dict.fromkeys(TERMINAL, frozenset()),
}

# HTTP status and text of every error of these operations, as in the service model.
ERRORS: Mapping[str, tuple[int, str]] = {
    "AccessDeniedException": (403, "The request is denied because of missing access permissions."),
    CONFLICT: (400, "Error occurred because of a conflict while performing an operation."),
    "InternalServerException": (500, "An internal server error occurred. Retry your request."),
    "ResourceNotFoundException": (404, "The specified resource Amazon Resource Name (ARN) was not found."),
    "ServiceQuotaExceededException": (
        400,
        "The number of requests exceeds the service quota. Resubmit your request later.",
    ),
    "ThrottlingException": (429, "The number of requests exceeds the limit. Resubmit your request later."),
    VALIDATION: (400, "Input validation failed. Check your request parameters and retry the request."),
}
NAME_IN_USE = "The provided job name is currently in use."


class BedrockError(Exception):
    """A refusal as Bedrock gives it: `code` is the exception's name in the API, `http_status` what it travels with."""

    def __init__(self, code: str, message: str = "") -> None:
        self.code = code
        self.http_status, documented = ERRORS[code]
        self.message = message or documented
        super().__init__(f"{code}: {self.message}")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """`*_seconds` are ranges from which each job draws; `stage_seconds` holds for Submitted, Validating and Scheduled."""

    account: str = "000000000000"
    region: str = "us-east-1"
    seed: int = 0
    quota: int = 100
    model_quotas: Mapping[str, int] = field(default_factory=dict)
    stage_seconds: tuple[float, float] = (0.05, 0.2)
    job_seconds: tuple[float, float] = (1.0, 3.0)
    stopping_seconds: tuple[float, float] = (0.05, 0.2)
    min_records: int = 100
    max_records: int = 100_000
    max_file_bytes: int = 1024**3
    max_job_bytes: int = 5 * 1024**3
    timeout_hours: int = 24  # for a job that asks for none; the real default is not documented


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What `Validating` found in S3. `problem` is a sentence, and empty if every line of every file was readable."""

    records: int = 0
    largest_file_records: int = 0
    largest_file_bytes: int = 0
    total_bytes: int = 0
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class Tally:
    """What was written to S3. With a `problem` (a sentence) the job fails."""

    success: int = 0
    errors: int = 0
    problem: str = ""


@dataclass(frozen=True)
class Plan:
    """A job's lot, drawn when it is created: seconds in each status, and how it will end if nothing else ends it."""

    seconds: Mapping[str, float]
    outcome: str = COMPLETED


@dataclass(kw_only=True, eq=False)
class Job:
    id: str
    arn: str
    sequence: int
    request: Mapping[str, Any]
    plan: Plan
    submit_time: datetime
    expires_at: datetime
    due: datetime  # when it is to leave its status
    foreign: bool = False
    open_ended: bool = False  # a foreign job that stays InProgress until it is ended by name
    status: str = ""
    message: str = ""
    times: dict[str, datetime] = field(default_factory=dict)
    turn: int = 0  # raised by every change of status, so that what was scheduled before it is void
    waiting: bool = False  # for an Inspection, a Tally or the end of an open-ended job
    inspection: Inspection | None = None
    tally: Tally | None = None

    @property
    def name(self) -> str:
        return str(self.request["jobName"])

    @property
    def model(self) -> str:
        return str(self.request["modelId"])

    @property
    def token(self) -> str | None:
        return self.request.get("clientRequestToken")

    @property
    def ended(self) -> bool:
        return self.status in TERMINAL

    @property
    def records_to_process(self) -> int:
        records = self.inspection.records if self.inspection else 0
        return records // 2 if self.plan.outcome == PARTIALLY_COMPLETED else records


@dataclass(frozen=True, kw_only=True)
class StatusChange:
    job_id: str
    arn: str
    name: str
    model: str
    previous: str
    status: str
    message: str
    at: datetime
    submit_time: datetime
    foreign: bool


class Bedrock:
    """One account's batch jobs in one Region.

    `inspect(job)` is asked once when a job enters Validating, `write(job)` once when it enters InProgress and is going to
    have output. Either may answer at once (a simulation) or return None and answer later through `inspected` and
    `written` (the driver, which reads S3 outside the lock); until then the job stays where it is.
    """

    def __init__(
        self,
        settings: Settings,
        faults: Faults = Faults(),  # noqa: B008 - frozen
        inspect: Callable[[Job], Inspection | None] = lambda _: Inspection(records=100, largest_file_records=100),
        write: Callable[[Job], Tally | None] = lambda job: Tally(success=job.records_to_process),
    ) -> None:
        self.settings, self.faults = settings, faults
        self.jobs: dict[str, Job] = {}
        self.quotas = dict(settings.model_quotas)
        self.counts: Counter[str] = Counter(accepted=0, refused_by_quota=0, token_replays=0)
        self.largest_alive: dict[str, dict[str, int]] = {}
        self.touched: dict[str, Job] = {}  # what changed since whoever keeps the jobs in a file last looked
        self._inspect, self._write = inspect, write
        self._alive: dict[str, Counter[str]] = {}
        self._tokens: dict[str, Job] = {}
        self._names: dict[str, Job] = {}
        self._due: list[tuple[datetime, int, int, Job]] = []
        self._order = itertools.count()
        self._changes: list[StatusChange] = []

    # The four calls. Requests are the API's members as a dict, with datetimes for timestamps; answers likewise.

    def create(self, request: Mapping[str, Any], now: datetime) -> str:
        """The new job's ARN, or the original one's if the token is known. Raises BedrockError."""
        self._check("CreateModelInvocationJob", request)
        model = request["modelId"]
        if model in self.faults.unsupported_models:
            raise BedrockError(VALIDATION, "Batch inference is not supported for the requested model.")
        if self.faults.quota_before_token:
            self._check_quota(model)
        known = self._known_token(request, now)
        if known:
            self.counts["token_replays"] += 1
            return known.arn
        self._check_name(request["jobName"])
        self._check_quota(model)
        self.counts["accepted"] += 1
        return self._start(request, now).arn

    def get(self, identifier: str, now: datetime) -> dict[str, Any]:
        """The job by ARN or 12-character id, in the shape of GetModelInvocationJob. Raises BedrockError."""
        self._check("GetModelInvocationJob", {"jobIdentifier": identifier})
        return self._describe(self._find(identifier), now)

    def stop(self, identifier: str, now: datetime) -> None:
        """Begin to stop a job that has not ended; stopping twice is no error. Raises BedrockError."""
        self._check("StopModelInvocationJob", {"jobIdentifier": identifier})
        job = self._find(identifier)
        if job.ended:
            raise BedrockError(self.faults.stop_ended_error, f"The job has already ended: {job.status}.")
        if job.status != STOPPING:
            # Output that is being written is finished first, so that the counts describe what is in S3.
            writing = job.waiting and job.status == IN_PROGRESS and not job.open_ended
            self._move(job, STOPPING, now, now)
            job.waiting = writing

    # The life of a job.

    def advance(self, now: datetime) -> tuple[StatusChange, ...]:
        """Do everything due until now; every change of status since the last call, in the order it happened.

        A change is stamped `now`: the moment when the quota is free and a caller can see it, not when it was due.
        """
        while self._due and self._due[0][0] <= now:
            due, _, turn, job = heapq.heappop(self._due)
            if turn == job.turn and not job.waiting and not job.ended:
                status, job.message = self._next(job)
                self._move(job, status, due, now)
        changes, self._changes = tuple(self._changes), []
        return changes

    def next_change_at(self) -> datetime | None:
        """When `advance` next has something to do; None while nothing is planned (or all wait for S3)."""
        while self._due and self._due[0][2] != self._due[0][3].turn:
            heapq.heappop(self._due)
        return self._due[0][0] if self._due else None

    def inspected(self, job_id: str, inspection: Inspection, now: datetime) -> None:
        """The late answer to `inspect`. Does nothing if the job has left Validating meanwhile."""
        job = self.jobs[job_id]
        if job.status == VALIDATING and job.waiting:
            job.inspection = inspection
            self._resume(job, now)

    def written(self, job_id: str, tally: Tally, now: datetime) -> None:
        """The late answer to `write`."""
        job = self.jobs[job_id]
        if job.tally is None and job.waiting:
            job.tally = tally
            self._resume(job, now)

    def restore(self, jobs: Iterable[Job]) -> None:
        """Go on with the jobs of an earlier process, in the order they were made. What waited for S3 is asked for again."""
        for job in jobs:
            self._know(job)
            if not job.ended:
                self._count_alive(job)
                job.waiting = self._ask(job)
                self._schedule(job)

    # The account's other users, and its limits.

    def start_foreign(self, model: str, count: int, seconds: float | None, now: datetime) -> tuple[str, ...]:
        """Others' jobs, InProgress for `seconds` or (None) until ended: the ARNs of those that the quota let in."""
        room = max(0, self.quota(model) - self.alive(model))
        return tuple(self._start_one_foreign(model, seconds, now).arn for _ in range(min(count, room)))

    def end_foreign(self, now: datetime) -> int:
        """Complete every job of others, with all events; the number of them. Takes effect in the next `advance`."""
        jobs = [job for job in self.jobs.values() if job.foreign and not job.ended]
        for job in jobs:
            job.plan, job.open_ended, job.due = Plan({}), False, now
            self._resume(job, now)
        return len(jobs)

    def set_quota(self, model: str, limit: int) -> None:
        self.quotas[model] = limit

    def quota(self, model: str) -> int:
        return self.quotas.get(model, self.settings.quota)

    def alive(self, model: str) -> int:
        """Jobs of anybody that have not ended, Stopping ones included: which ones AWS counts is not documented."""
        return sum(self._alive.get(model, Counter()).values())

    # How a request is judged.

    def _check(self, operation: str, request: Mapping[str, Any]) -> None:
        found = problems(operation, request)
        if found:
            raise BedrockError(VALIDATION, f"{len(found)} validation error(s): {'; '.join(found)[:1800]}")

    def _check_quota(self, model: str) -> None:
        if self.alive(model) >= self.quota(model):
            self.counts["refused_by_quota"] += 1
            raise BedrockError("ServiceQuotaExceededException")

    def _check_name(self, name: str) -> None:
        holder = self._names.get(name)
        if holder and (self.faults.names_stay_taken or not holder.ended):
            raise BedrockError(self.faults.name_in_use_error, NAME_IN_USE)

    def _known_token(self, request: Mapping[str, Any], now: datetime) -> Job | None:
        job = self._tokens.get(request.get("clientRequestToken", ""))
        memory = self.faults.token_memory_seconds
        if job is None or self.faults.forget_tokens or (self.faults.token_ends_with_job and job.ended):
            return None
        if memory is not None and now - job.submit_time > timedelta(seconds=memory):
            return None
        if self.faults.token_mismatch_error and dict(job.request) != dict(request):
            raise BedrockError(self.faults.token_mismatch_error, "The client request token was used with other parameters.")
        return job

    def _find(self, identifier: str) -> Job:
        job = self.jobs.get(identifier[-12:])
        if job is None or identifier not in (job.id, job.arn):
            raise BedrockError("ResourceNotFoundException")
        return job

    # How a job comes to be and moves on.

    def _start(self, request: Mapping[str, Any], now: datetime, **foreign: Any) -> Job:
        sequence = len(self.jobs)
        chance = random.Random(f"{self.settings.seed}/{sequence}")  # noqa: S311 - repeatable on purpose
        job_id = "".join(chance.choices(string.ascii_lowercase + string.digits, k=12))
        hours = request.get("timeoutDurationInHours", self.settings.timeout_hours)
        job = Job(
            id=job_id,
            arn=f"arn:aws:bedrock:{self.settings.region}:{self.settings.account}:model-invocation-job/{job_id}",
            sequence=sequence,
            request=dict(request),
            submit_time=_milliseconds(now),
            expires_at=_milliseconds(now) + timedelta(hours=hours),
            due=now,
            **({"plan": self._plan(chance)} | foreign),
        )
        self._know(job)
        self._count_alive(job)
        self._move(job, SUBMITTED, now, now)
        return job

    def _know(self, job: Job) -> None:
        self.jobs[job.id] = job
        self._names[job.name] = job
        if job.token:
            self._tokens[job.token] = job

    def _start_one_foreign(self, model: str, seconds: float | None, now: datetime) -> Job:
        number = len(self.jobs)
        request = {
            "jobName": f"other-team-{number}",
            "clientRequestToken": f"other-team-{self.settings.seed}-{number}",
            "modelId": model,
            "roleArn": f"arn:aws:iam::{self.settings.account}:role/other-team",
            "inputDataConfig": {"s3InputDataConfig": {"s3Uri": f"s3://other-team/{number}.jsonl"}},
            "outputDataConfig": {"s3OutputDataConfig": {"s3Uri": "s3://other-team/output/"}},
        }
        return self._start(
            request,
            now,
            foreign=True,
            open_ended=seconds is None,
            plan=Plan({IN_PROGRESS: seconds or 0.0}),
            inspection=Inspection(records=self.settings.min_records),
            tally=Tally(success=self.settings.min_records),
        )

    def _plan(self, chance: random.Random) -> Plan:
        settings, faults = self.settings, self.faults
        seconds = {status: chance.uniform(*settings.stage_seconds) for status in (SUBMITTED, VALIDATING, SCHEDULED)}
        seconds[IN_PROGRESS] = chance.uniform(*settings.job_seconds)
        seconds[STOPPING] = chance.uniform(*settings.stopping_seconds)
        for rate, outcome in (
            (faults.job_failure, FAILED),
            (faults.job_partial, PARTIALLY_COMPLETED),
            (faults.job_expiry, EXPIRED),
        ):
            if chance.random() < rate:
                return Plan(seconds, outcome)
        return Plan(seconds)

    def _next(self, job: Job) -> tuple[str, str]:
        """The status after this one, and the message that goes with it."""
        match job.status:
            case "Submitted":
                return VALIDATING, ""
            case "Validating":
                problem = self._input_problem(job.inspection or Inspection())
                return (FAILED, problem) if problem else (SCHEDULED, "")
            case "Scheduled" if job.plan.outcome == EXPIRED or job.due >= job.expires_at:
                return EXPIRED, "The job timed out before it began."
            case "Scheduled":
                return IN_PROGRESS, ""
            case "Stopping":
                return STOPPED, ""
        return self._end_of_processing(job)

    def _input_problem(self, inspection: Inspection) -> str:
        settings = self.settings
        if inspection.problem:
            return inspection.problem
        if inspection.records < settings.min_records:
            return f"The input has {inspection.records} records; the minimum is {settings.min_records}."
        if max(inspection.records, inspection.largest_file_records) > settings.max_records:
            return f"The input has {inspection.records} records; the maximum is {settings.max_records}."
        if inspection.largest_file_bytes > settings.max_file_bytes or inspection.total_bytes > settings.max_job_bytes:
            return "The input is larger than the quota allows."
        return ""

    def _end_of_processing(self, job: Job) -> tuple[str, str]:
        if job.tally and job.tally.problem:
            return FAILED, job.tally.problem
        messages = {
            FAILED: "The job failed because of an internal error.",
            PARTIALLY_COMPLETED: "Not all records could be processed in time.",
        }
        # A lot of Expired has had its chance in Scheduled; end_foreign may have replaced it meanwhile.
        return job.plan.outcome, messages.get(job.plan.outcome, "")

    def _move(self, job: Job, status: str, due: datetime, now: datetime) -> None:
        previous, job.status, job.turn = job.status, status, job.turn + 1
        job.times[status] = now
        self.touched[job.id] = job
        self._changes.append(_change(job, previous, now))
        if job.ended:
            self._alive[job.model][_owner(job)] -= 1  # at this instant the quota has room again
            return
        # From when it was due, not from now: a late driver does not make jobs longer.
        job.due = due + timedelta(seconds=job.plan.seconds.get(status, 0.0))
        job.waiting = self._ask(job)
        self._schedule(job)

    def _ask(self, job: Job) -> bool:
        """Whether the job must wait for an answer from outside before it may leave its new status."""
        if job.status == VALIDATING and job.inspection is None:
            job.inspection = self._inspect(job)
            return job.inspection is None
        if job.status == IN_PROGRESS and job.tally is None and job.plan.outcome in (COMPLETED, PARTIALLY_COMPLETED):
            job.tally = self._write(job)
            return job.tally is None
        return job.status == IN_PROGRESS and job.open_ended

    def _resume(self, job: Job, now: datetime) -> None:
        job.waiting, job.due = False, max(job.due, now)
        self.touched[job.id] = job
        self._schedule(job)

    def _schedule(self, job: Job) -> None:
        if not job.waiting:
            heapq.heappush(self._due, (job.due, next(self._order), job.turn, job))

    def _count_alive(self, job: Job) -> None:
        alive = self._alive.setdefault(job.model, Counter())
        alive[_owner(job)] += 1
        largest = self.largest_alive.setdefault(job.model, {"ours": 0, "foreign": 0, "total": 0})
        for owner, count in (*alive.items(), ("total", alive.total())):
            largest[owner] = max(largest[owner], count)

    # What Get and List tell of a job.

    def _describe(self, job: Job, now: datetime) -> dict[str, Any]:
        ended = {"endTime": _milliseconds(job.times[job.status])} if job.ended else {}
        return {
            "jobArn": job.arn,
            "status": job.status,
            "submitTime": job.submit_time,
            "lastModifiedTime": _milliseconds(job.times[job.status]),
            "jobExpirationTime": job.expires_at,
            "timeoutDurationInHours": self.settings.timeout_hours,
            "modelInvocationType": "InvokeModel",
            **{name: value for name, value in job.request.items() if name != "tags" and value is not None},
            **ended,
            **({"message": job.message} if job.message else {}),
            **_progress(job, now),
        }

    # Last in the class, because from here on `list` in an annotation would mean this method.
    def list(self, request: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        """A page of summaries, newest first unless `sortOrder` says otherwise. Raises BedrockError.

        Pages are cut by the number of the job, so that jobs created meanwhile neither repeat nor hide others.
        """
        self._check("ListModelInvocationJobs", request)
        page_size = request.get("maxResults") or 100
        found = itertools.islice(self._matching(request), page_size + 1)
        page = [*found]
        answer: dict[str, Any] = {"invocationJobSummaries": [self._describe(job, now) for job in page[:page_size]]}
        if len(page) > page_size:
            answer["nextToken"] = base64.urlsafe_b64encode(b"%d" % page[page_size - 1].sequence).decode()
        return answer

    def _matching(self, request: Mapping[str, Any]) -> Iterable[Job]:
        ascending = request.get("sortOrder") == "Ascending"
        jobs: Iterable[Job] = self.jobs.values() if ascending else reversed(self.jobs.values())
        after, before = request.get("submitTimeAfter"), request.get("submitTimeBefore")
        last = _sequence(request.get("nextToken"))
        for job in jobs:
            seen = last is not None and (job.sequence <= last if ascending else job.sequence >= last)
            wanted = request.get("statusEquals") in (None, job.status) and (request.get("nameContains") or "") in job.name
            in_time = (after is None or job.submit_time > after) and (before is None or job.submit_time < before)
            if wanted and in_time and not seen:
                yield job


def _change(job: Job, previous: str, now: datetime) -> StatusChange:
    return StatusChange(
        job_id=job.id,
        arn=job.arn,
        name=job.name,
        model=job.model,
        previous=previous,
        status=job.status,
        message=job.message,
        at=now,
        submit_time=job.submit_time,
        foreign=job.foreign,
    )


def _owner(job: Job) -> str:
    return "foreign" if job.foreign else "ours"


def _progress(job: Job, now: datetime) -> dict[str, int]:
    """Record counts: 0 before processing starts, then in step with the time, then what is in the output."""
    started = job.times.get(IN_PROGRESS)
    inspection, tally = job.inspection, job.tally
    total = inspection.records if started and inspection else 0
    share = 1.0
    if started and job.status == IN_PROGRESS:
        seconds = job.plan.seconds.get(IN_PROGRESS, 0.0)
        share = min(1.0, (now - started).total_seconds() / seconds) if seconds else 0.0
    done = tally if started and tally and not tally.problem else Tally()
    success, errors = int(done.success * share), int(done.errors * share)
    return {
        "totalRecordCount": total,
        "processedRecordCount": success + errors,
        "successRecordCount": success,
        "errorRecordCount": errors,
    }


def _sequence(next_token: str | None) -> int | None:
    if next_token is None:
        return None
    try:
        return int(base64.urlsafe_b64decode(next_token))
    except (ValueError, binascii.Error) as error:
        raise BedrockError(VALIDATION, "nextToken is not one that this service gave.") from error


def _milliseconds(moment: datetime) -> datetime:
    """The API's timestamps have this precision; a submit time that a caller read is the one that filters compare."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
