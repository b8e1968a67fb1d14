"""The rules of Bedrock batch inference, apart from HTTP, S3 and the wall clock.

`Bedrock` holds the jobs, quotas, tokens and names of one account and Region. Every call gets the
time as an argument and nothing here waits, so a driver can run it on the wall clock and a
simulation test on a virtual one: call, then `advance` to `next_change_at()`, again and again.
Everything drawn by chance comes from the seed and the number of the job.

What was recorded from AWS is followed, then what AWS documents; where neither tells,
`faults.Faults` holds a switch. Limits and simplifications: the quota counts every job that has not
ended under the very string in `modelId` (an ARN, a profile and a plain id of one model are three
models here); a job that expires leaves no output; history is kept until the process ends. Not safe
under threads: the driver holds one lock.
"""

from __future__ import annotations

import base64
import binascii
import heapq
import itertools
import random
import re
import string
from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from local.bedrock_simulator.answers import details, milliseconds, summary
from local.bedrock_simulator.checks import problems
from local.bedrock_simulator.errors import (
    CANNOT_STOP,
    CHECKED_FIRST,
    INVALID_ARN,
    JOB_NOT_FOUND,
    NAME_IN_USE,
    NOT_FOUND,
    NOT_SUPPORTED,
    PROCESSING_FAILURES,
    QUOTA,
    QUOTA_FULL,
    REFUSALS,
    TOO_FEW_RECORDS,
    VALIDATING_FAILURES,
    VALIDATION,
    BedrockError,
)
from local.bedrock_simulator.faults import Faults, changed
from local.bedrock_simulator.jobs import (
    EXPIRED,
    FAILED,
    IN_PROGRESS,
    PARTIALLY_COMPLETED,
    SCHEDULED,
    STOPPED,
    STOPPING,
    SUBMITTED,
    VALIDATING,
    Inspection,
    Job,
    Plan,
    Settings,
    StatusChange,
    Tally,
)
from local.bedrock_simulator.models import base_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

# The service model's pattern of a job's identifier, without the bare id that it also allows:
# recorded to be refused.
_JOB_ARN = re.compile(
    r"arn:aws(-[^:]+)?:bedrock:[a-z0-9-]{1,20}:[0-9]{12}:model-invocation-job/[a-z0-9]{12}"
)
# How long after its time a job is seen to be Expired: recorded were 16 to 41 s (2025-01,
# amazon-bedrock-samples).
EXPIRY_LAG = timedelta(seconds=30)


class Bedrock:
    """One account's batch jobs in one Region.

    `inspect(job)` is asked once when a job enters Validating, `write(job)` once when it leaves
    InProgress or Stopping and is going to have output: `job.records_to_process` records. Either may
    answer at once (a simulation) or return None and answer later through `inspected` and `written`
    (the driver, which reads S3 outside the lock); until then the job stays where it is.
    """

    def __init__(
        self,
        settings: Settings,
        faults: Faults = Faults(),  # noqa: B008 - frozen
        inspect: Callable[[Job], Inspection | None] = lambda _: Inspection(
            records=100, largest_file_records=100
        ),
        write: Callable[[Job], Tally | None] = lambda job: Tally(success=job.records_to_process),
    ) -> None:
        self.settings, self.faults = settings, faults
        # name -> until when, and what it is then again
        self.passing_faults: dict[str, tuple[datetime, Any]] = {}
        self.jobs: dict[str, Job] = {}
        self.quotas = dict(settings.model_quotas)
        self.counts: Counter[str] = Counter(accepted=0, refused_by_quota=0, token_replays=0)
        self.largest_alive: dict[str, dict[str, int]] = {}
        self.touched: dict[str, Job] = {}  # what changed since it was last written to a file
        self._inspect, self._write = inspect, write
        self._alive: dict[str, Counter[str]] = {}
        self._tokens: dict[str, Job] = {}
        self._names: dict[str, Job] = {}
        self._due: list[tuple[datetime, int, int, Job]] = []
        self._order = itertools.count()
        self._changes: list[StatusChange] = []

    # The four calls. Requests are the API's members as a dict, with datetimes for timestamps;
    # answers likewise.

    def create(self, request: Mapping[str, Any], now: datetime) -> str:
        """The new job's ARN, or the original one's if the token is known. Raises BedrockError."""
        refused = self._refusal(request)
        if refused and refused.code in CHECKED_FIRST:
            raise refused
        self._check("CreateModelInvocationJob", request)
        if refused:
            raise refused
        model = request["modelId"]
        if model in self.faults.unsupported_models:
            raise BedrockError(VALIDATION, NOT_SUPPORTED)
        if self.faults.quota_before_token:
            self._check_quota(model)
        if self.faults.name_before_token:
            self._check_name(request["jobName"])
        known = self._known_token(request, now)
        if known:
            self.counts["token_replays"] += 1
            return known.arn
        self._check_name(request["jobName"])
        self._check_quota(model)
        self.counts["accepted"] += 1
        return self._start(request, now).arn

    def get(self, identifier: str, now: datetime) -> dict[str, Any]:
        """The job by its full ARN, in the shape of GetModelInvocationJob. Raises BedrockError."""
        job = self._find(identifier, now)
        processed, with_counts = self._processed(job, now), not self.faults.get_without_counts
        return details(job, self.settings, processed=processed, with_counts=with_counts)

    def stop(self, identifier: str, now: datetime) -> None:
        """Begin to stop a job that has not ended. Raises BedrockError."""
        job = self._find(identifier, now)
        if job.ended:
            raise BedrockError(self.faults.stop_ended_error, CANNOT_STOP.format(status=job.status))
        if job.status == STOPPING and self.faults.stop_twice_error:
            raise BedrockError(self.faults.stop_twice_error, CANNOT_STOP.format(status=job.status))
        if job.status != STOPPING:
            # Output that is being written is finished first, so that the counts describe what is in
            # S3.
            writing = job.waiting and job.status == IN_PROGRESS and not job.open_ended
            job.stopped_records = self._processed(job, now)
            self._move(job, STOPPING, now, now)
            job.waiting = writing

    # The life of a job.

    def advance(self, now: datetime) -> tuple[StatusChange, ...]:
        """Do everything due until now; every change of status since the last call, in the order it
        happened.

        A change is stamped `now`: the moment when the quota is free and a caller can see it, not
        when it was due.
        """
        self._end_passing_faults(now)
        while self._due and self._due[0][0] <= now:
            due, _, turn, job = heapq.heappop(self._due)
            if turn == job.turn and not job.waiting and not job.ended:
                if self._leaves_output(job):
                    job.waiting = self._ask_for_output(job)
                if not job.waiting:
                    status, job.message = self._next(job)
                    self._move(job, status, due, now)
        changes, self._changes = tuple(self._changes), []
        return changes

    def next_change_at(self) -> datetime | None:
        """When `advance` next has something to do; None while nothing is planned (or all wait for
        S3).
        """
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
        """Go on with the jobs of an earlier process, in the order they were made. What waited for
        S3 is asked for again.
        """
        for job in jobs:
            self._know(job)
            if not job.ended:
                self._count_alive(job)
                if job.waiting and not job.open_ended:
                    job.waiting = (
                        self._ask_for_input(job)
                        if job.status == VALIDATING
                        else self._ask_for_output(job)
                    )
                self._schedule(job)

    # Faults, the account's other users, and its limits.

    def disturb(self, wanted: Mapping[str, object], seconds: float | None, now: datetime) -> None:
        """Set the faults named in `wanted` (as `changed` takes them): for good, or for so many
        seconds, after which each is as it was before. Raises UnknownFaultError.
        """
        before, self.faults = self.faults, changed(self.faults, wanted)
        for name in wanted:
            _, usual = self.passing_faults.pop(name, (now, getattr(before, name)))
            if seconds is not None:
                self.passing_faults[name] = now + timedelta(seconds=seconds), usual

    def _end_passing_faults(self, now: datetime) -> None:
        over = {name: usual for name, (until, usual) in self.passing_faults.items() if until <= now}
        if over:
            self.faults = replace(self.faults, **over)
            for name in over:
                del self.passing_faults[name]

    def start_foreign(
        self, model: str, count: int, seconds: float | None, now: datetime
    ) -> tuple[str, ...]:
        """Others' jobs, InProgress for `seconds` or (None) until ended: the ARNs of those that the
        quota let in.
        """
        room = max(0, self.quota(model) - self.alive(model))
        return tuple(
            self._start_one_foreign(model, seconds, now).arn for _ in range(min(count, room))
        )

    def end_foreign(self, now: datetime) -> int:
        """Complete every job of others, with all events; the number of them. Takes effect in the
        next `advance`.
        """
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
        """Jobs of anybody that have not ended, Stopping ones included: which ones AWS counts is not
        documented.
        """
        return sum(self._alive.get(model, Counter()).values())

    # How a request is judged.

    def _check(self, operation: str, request: Mapping[str, Any]) -> None:
        found = problems(operation, request)
        if found:
            raise BedrockError(
                VALIDATION, f"{len(found)} validation error(s): {'; '.join(found)[:1800]}"
            )

    def _refusal(self, request: Mapping[str, Any]) -> BedrockError | None:
        """Why this account, Region, role or model is refused now, whatever the job."""
        if self.faults.refuse_create is None:
            return None
        code, text = REFUSALS[self.faults.refuse_create]
        model = str(request.get("modelId", ""))
        caller = f"arn:aws:sts::{self.settings.account}:assumed-role/caller/session"
        role, region = request.get("roleArn", ""), self.settings.region
        return BedrockError(
            code,
            text.format(
                caller=caller, role=role, region=region, model=model, base=base_model(model)
            ),
        )

    def _check_quota(self, model: str) -> None:
        if self.alive(model) >= self.quota(model):
            self.counts["refused_by_quota"] += 1
            raise BedrockError(QUOTA, QUOTA_FULL)

    def _check_name(self, name: str) -> None:
        holder = self._names.get(name)
        if holder and (self.faults.names_stay_taken or not holder.ended):
            raise BedrockError(self.faults.name_in_use_error, NAME_IN_USE)

    def _known_token(self, request: Mapping[str, Any], now: datetime) -> Job | None:
        job = self._tokens.get(request.get("clientRequestToken", ""))
        memory = self.faults.token_memory_seconds
        if (
            job is None
            or self.faults.forget_tokens
            or (self.faults.token_ends_with_job and job.ended)
        ):
            return None
        if memory is not None and now - job.submit_time > timedelta(seconds=memory):
            return None
        if self.faults.token_mismatch_error and dict(job.request) != dict(request):
            raise BedrockError(
                self.faults.token_mismatch_error,
                "The client request token was used with other parameters.",
            )
        return job

    def _find(self, arn: str, now: datetime) -> Job:
        if not _JOB_ARN.fullmatch(arn):
            raise BedrockError(VALIDATION, INVALID_ARN)
        job = self.jobs.get(arn[-12:])
        behind = timedelta(seconds=self.faults.get_behind_seconds)
        if job is None or job.arn != arn or now - job.submit_time < behind:
            raise BedrockError(NOT_FOUND, JOB_NOT_FOUND)
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
            submit_time=milliseconds(now),
            expires_at=milliseconds(now) + timedelta(hours=hours),
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
        seconds = {
            status: chance.uniform(*settings.stage_seconds)
            for status in (SUBMITTED, VALIDATING, SCHEDULED)
        }
        seconds[IN_PROGRESS] = chance.uniform(*settings.job_seconds)
        seconds[STOPPING] = chance.uniform(*settings.stopping_seconds)
        for rate, outcome, share in (
            (faults.job_failure, FAILED, 0.5 if faults.failed_output == "part" else 0.0),
            (faults.job_partial, PARTIALLY_COMPLETED, 0.5),
            (faults.job_expiry, EXPIRED, 0.0),
        ):
            if chance.random() < rate:
                return Plan(seconds, outcome, share)
        return Plan(seconds)

    def _next(self, job: Job) -> tuple[str, str]:
        """The status after this one, and the message that goes with it."""
        match job.status:
            case "Submitted":
                return VALIDATING, ""
            case "Validating":
                problem = self._permission_problem(job) or self._input_problem(job)
                return (FAILED, problem) if problem else (SCHEDULED, "")
            case "Scheduled" if job.plan.outcome == EXPIRED or job.due >= job.expires_at:
                return EXPIRED, "The job timed out before it began."
            case "Scheduled":
                return IN_PROGRESS, ""
            case "Stopping":
                return STOPPED, ""
        return self._end_of_processing(job)

    def _permission_problem(self, job: Job) -> str:
        if self.faults.fail_validating is None or job.foreign:
            return ""
        bucket, _, key = job.input_uri.removeprefix("s3://").partition("/")
        return VALIDATING_FAILURES[self.faults.fail_validating].format(
            bucket=bucket, key=key, uri=job.input_uri
        )

    def _input_problem(self, job: Job) -> str:
        settings, inspection = self.settings, job.inspection or Inspection()
        if inspection.problem:
            return inspection.problem
        if inspection.records < settings.min_records:
            return TOO_FEW_RECORDS.format(
                arn=job.arn, records=inspection.records, minimum=settings.min_records
            )
        if max(inspection.records, inspection.largest_file_records) > settings.max_records:
            return (
                f"The input has {inspection.records} records; the maximum is "
                f"{settings.max_records}."
            )
        if (
            inspection.largest_file_bytes > settings.max_file_bytes
            or inspection.total_bytes > settings.max_job_bytes
        ):
            return "The input is larger than the quota allows."
        return ""

    def _end_of_processing(self, job: Job) -> tuple[str, str]:
        if job.tally and job.tally.problem:
            return FAILED, job.tally.problem
        if self._fails_processing(job):
            return FAILED, PROCESSING_FAILURES[self.faults.fail_processing or ""].format(
                role=job.role
            )
        messages = {
            FAILED: "The job failed because of an internal error.",
            PARTIALLY_COMPLETED: "Not all records could be processed in time.",
        }
        # A lot of Expired has had its chance in Scheduled; end_foreign may have replaced it
        # meanwhile.
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
        if status == SCHEDULED:
            job.due = min(job.due, job.expires_at + EXPIRY_LAG)
        job.waiting = (
            self._ask_for_input(job)
            if status == VALIDATING
            else status == IN_PROGRESS and job.open_ended
        )
        self._schedule(job)

    def _ask_for_input(self, job: Job) -> bool:
        """Whether the job must wait for its inspection."""
        if job.inspection is None:
            job.inspection = self._inspect(job)
        return job.inspection is None

    def _ask_for_output(self, job: Job) -> bool:
        """Whether the job must wait for its output."""
        self.touched[job.id] = job
        job.tally = self._write(job)
        return job.tally is None

    def _leaves_output(self, job: Job) -> bool:
        """Whether there is output to be written before the job leaves its status."""
        if job.tally is not None:
            return False
        if job.status == STOPPING:
            return job.stopped_records > 0 and self.faults.stopped_output == "part"
        return job.status == IN_PROGRESS and job.plan.share > 0 and not self._fails_processing(job)

    def _processed(self, job: Job, now: datetime) -> int:
        return 0 if self._fails_processing(job) else job.processed_by(now)

    def _fails_processing(self, job: Job) -> bool:
        return self.faults.fail_processing is not None and job.tally is None and not job.foreign

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

    # Last in the class, because from here on `list` in an annotation would mean this method.
    def list(self, request: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        """A page of summaries, newest first unless `sortOrder` says otherwise. Raises BedrockError.

        Pages are cut by the number of the job, so that jobs created meanwhile neither repeat nor
        hide others.
        """
        self._check("ListModelInvocationJobs", request)
        page_size = request.get("maxResults") or 100
        page = [*itertools.islice(self._matching(request, now), page_size + 1)]
        answer: dict[str, Any] = {
            "invocationJobSummaries": [summary(job, self.settings) for job in page[:page_size]]
        }
        if len(page) > page_size:
            answer["nextToken"] = base64.urlsafe_b64encode(
                b"%d" % page[page_size - 1].sequence
            ).decode()
        return answer

    def _matching(self, request: Mapping[str, Any], now: datetime) -> Iterable[Job]:
        ascending = request.get("sortOrder") == "Ascending"
        jobs: Iterable[Job] = self.jobs.values() if ascending else reversed(self.jobs.values())
        after, before = request.get("submitTimeAfter"), request.get("submitTimeBefore")
        last = _sequence(request.get("nextToken"))
        newest = now - timedelta(seconds=self.faults.list_behind_seconds)
        for job in jobs:
            seen = last is not None and (
                job.sequence <= last if ascending else job.sequence >= last
            )
            wanted = (
                request.get("statusEquals") in (None, job.status)
                and (request.get("nameContains") or "") in job.name
            )
            in_time = (after is None or job.submit_time > after) and (
                before is None or job.submit_time < before
            )
            if wanted and in_time and not seen and job.submit_time <= newest:
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


def _sequence(next_token: str | None) -> int | None:
    if next_token is None:
        return None
    try:
        return int(base64.urlsafe_b64decode(next_token))
    except (ValueError, binascii.Error) as error:
        raise BedrockError(VALIDATION, "nextToken is not one that this service gave.") from error
