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

import heapq
import itertools
import random
import re
import string
from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from local.bedrock_simulator.answers import details, milliseconds
from local.bedrock_simulator.checks import check, refusal
from local.bedrock_simulator.errors import (
    CANNOT_STOP,
    CHECKED_FIRST,
    INVALID_ARN,
    JOB_NOT_FOUND,
    NAME_IN_USE,
    NOT_FOUND,
    NOT_SUPPORTED,
    OTHER_PARAMETERS,
    QUOTA,
    QUOTA_FULL,
    VALIDATION,
    BedrockError,
)
from local.bedrock_simulator.faults import Faults, changed
from local.bedrock_simulator.jobs import (
    IN_PROGRESS,
    SCHEDULED,
    STOPPING,
    SUBMITTED,
    VALIDATING,
    Inspection,
    Job,
    Plan,
    Settings,
    StatusChange,
    Tally,
    foreign_request,
)
from local.bedrock_simulator.life import (
    leaves_output,
    next_status,
    plan,
    processed,
    remembers_token,
)
from local.bedrock_simulator.pages import page

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
        refused = refusal(request, self.settings, self.faults)
        if refused and refused.code in CHECKED_FIRST:
            raise refused
        check("CreateModelInvocationJob", request)
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
        return details(
            job,
            self.settings,
            processed=processed(job, self.faults, now),
            with_counts=not self.faults.get_without_counts,
        )

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
            job.stopped_records = processed(job, self.faults, now)
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
                if leaves_output(job, self.faults):
                    job.waiting = self._ask_for_output(job)
                if not job.waiting:
                    status, job.message = next_status(job, self.settings, self.faults)
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
        if job is None or not remembers_token(job, self.faults, now):
            return None
        if self.faults.token_mismatch_error and dict(job.request) != dict(request):
            raise BedrockError(self.faults.token_mismatch_error, OTHER_PARAMETERS)
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
            **({"plan": plan(self.settings, self.faults, chance)} | foreign),
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
        return self._start(
            foreign_request(len(self.jobs), model, self.settings),
            now,
            foreign=True,
            open_ended=seconds is None,
            plan=Plan({IN_PROGRESS: seconds or 0.0}),
            inspection=Inspection(records=self.settings.min_records),
            tally=Tally(success=self.settings.min_records),
        )

    def _move(self, job: Job, status: str, due: datetime, now: datetime) -> None:
        previous, job.status, job.turn = job.status, status, job.turn + 1
        job.times[status] = now
        self.touched[job.id] = job
        self._changes.append(job.change(previous, now))
        if job.ended:
            self._alive[job.model][job.owner] -= 1  # at this instant the quota has room again
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

    def _resume(self, job: Job, now: datetime) -> None:
        job.waiting, job.due = False, max(job.due, now)
        self.touched[job.id] = job
        self._schedule(job)

    def _schedule(self, job: Job) -> None:
        if not job.waiting:
            heapq.heappush(self._due, (job.due, next(self._order), job.turn, job))

    def _count_alive(self, job: Job) -> None:
        alive = self._alive.setdefault(job.model, Counter())
        alive[job.owner] += 1
        largest = self.largest_alive.setdefault(job.model, {"ours": 0, "foreign": 0, "total": 0})
        for owner, count in (*alive.items(), ("total", alive.total())):
            largest[owner] = max(largest[owner], count)

    # Last in the class, because from here on `list` in an annotation would mean this method.
    def list(self, request: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        """A page of summaries, newest first unless `sortOrder` says otherwise. Raises
        BedrockError.
        """
        check("ListModelInvocationJobs", request)
        newest = now - timedelta(seconds=self.faults.list_behind_seconds)
        return page(request, self.jobs, newest, self.settings)
