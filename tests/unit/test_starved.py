"""A model that Bedrock does not let fill its slots: the quota is below the limit, others have it, or Create is throttled. For
days and weeks, which the simulation's hours do not reach. Nobody is lost, the line stays a line, and the work stays bounded.
"""

import heapq
import json
import random
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from services.scheduler.bedrock import Accepted, Answer, Refused, Request, Unknown
from services.scheduler.fill import fill
from services.scheduler.handler import on_hint
from services.scheduler.hints import Report
from services.scheduler.reconcile import Visit, reconcile, reconcile_report, wake
from shared import events as e
from shared.models import Model
from shared.names import model_stream
from shared.projections import append_to_model, model_changed
from shared.slots import MAX_HELD, MAX_LIFE, Slots
from tests.support.samples import MODEL, MODEL_ID, id_of, queued
from tests.support.world import Bench, arn, config

QUOTA = Refused("quota", "ServiceQuotaExceededException: full")
DAY = timedelta(days=1)
OTHER = "haiku-slow"  # another alias of the same model


class Scarce:
    """A Bedrock that lets `quota` jobs live, each for so long; ends and the model's timers come in the order of time."""

    def __init__(self, *, limit: int, quota: int, hours: float, throttled: float = 0.0) -> None:
        self.bench = Bench(limit=limit, gauges_due=False)
        self.quota, self.hours, self.throttled = quota, hours, throttled
        self.chance = random.Random("scarce")
        self.live: dict[str, str] = {}
        self.ends: list[tuple[datetime, str]] = []
        self.jobs: list[str] = []
        self.bench.bedrock.create = self.create  # type: ignore[method-assign] # Bedrock's part

    def create(self, request: Request) -> Answer:
        self.bench.bedrock.creates.append(request)
        if self.chance.random() < self.throttled:
            return Refused("throttle", "ThrottlingException: too many requests")
        if len(self.live) >= self.quota:
            return QUOTA
        which = self.bench.bedrock.take(request.name)
        self.live[which] = request.name
        heapq.heappush(self.ends, (self.bench.time + timedelta(hours=self.hours * self.chance.uniform(0.9, 1.1)), which))
        return Accepted(which)

    def upload(self, version: str, *, priority: int = 5) -> str:
        self.bench.wait(seconds=1)
        self.jobs.append(self.bench.upload(version, priority=priority))
        reconcile(self.bench.world(), self.jobs[-1], Visit())
        return self.jobs[-1]

    def step(self) -> bool:
        """The next end or timer; False where none is to come."""
        due = self.bench.timers.due(f"model-{MODEL}")
        if due and (not self.ends or due[0] <= self.ends[0][0]):
            del self.bench.timers.armed[f"model-{MODEL}", due[0]]
            self.bench.time = max(self.bench.time, due[0])
            on_hint(self.bench.world(), json.dumps({"wake": MODEL, "due": due[0].isoformat()}))
        elif self.ends:
            at, which = heapq.heappop(self.ends)
            self.bench.time = max(self.bench.time, at)
            self.bench.bedrock.turn(which, "Completed")
            _, job, attempt = self.live.pop(which).rsplit("-", 2)
            ended(self.bench, job, which, int(attempt))
        else:
            return False
        return True

    def statuses(self) -> set[str]:
        return {self.bench.job(job).status for job in self.jobs}


def ended(bench: Bench, job: str | None, which: str, attempt: int | None = 1) -> None:
    told = Report(arn=which, model_id=MODEL_ID, status="Completed", message="", job=job, attempt=attempt)
    reconcile_report(bench.world(), told)


def test_weeks_of_work_on_a_quota_below_the_limit_are_done_and_the_line_stays_a_line() -> None:
    scarce = Scarce(limit=10, quota=2, hours=12)
    for number in range(60):
        scarce.upload(f"v{number}")
    began, most = scarce.bench.time, 0
    while scarce.step():
        most = max(most, len(scarce.bench.slots.refused))
    took = scarce.bench.time - began
    assert scarce.statuses() == {"Completed"}
    assert took < 16 * DAY  # 60 jobs of 12 hours, two at a time, are 15 days
    assert took > 2 * MAX_HELD
    assert most <= 20
    assert len(scarce.bench.bedrock.creates) < 200 * took.days


def test_who_waits_for_weeks_while_others_of_the_model_are_taken_is_not_given_up() -> None:
    scarce = Scarce(limit=10, quota=1, hours=24)
    for number in range(25):
        scarce.upload(f"v{number}")
    while scarce.step():
        pass
    assert scarce.statuses() == {"Completed"}
    waited = [scarce.bench.job(job) for job in scarce.jobs]
    assert max(job.submitted_at - job.claimed_at for job in waited if job.submitted_at and job.claimed_at) > MAX_HELD


def test_an_urgent_job_begins_after_those_who_were_refused_and_nobody_else() -> None:
    scarce = Scarce(limit=10, quota=2, hours=2)
    for number in range(60):
        scarce.upload(f"v{number}")
    while len(scarce.bench.bedrock.jobs) < 20:
        assert scarce.step()
    urgent, refused, begun = scarce.upload("urgent", priority=0), len(scarce.bench.slots.refused), len(scarce.bench.bedrock.jobs)
    while scarce.bench.job(urgent).submitted_at is None:
        assert scarce.step()
    assert len(scarce.bench.bedrock.jobs) - begun <= refused + 1 < 20


def test_a_model_that_nobody_gets_into_for_a_week_tells_each_job_so() -> None:
    scarce = Scarce(limit=3, quota=0, hours=1)
    for number in range(5):
        scarce.upload(f"v{number}")
    began = scarce.bench.time
    while scarce.step() and scarce.bench.time < began + 40 * DAY:
        pass
    assert scarce.statuses() == {"Failed"}
    assert {scarce.bench.job(job).reason for job in scarce.jobs} == {f"refused for 7 days: {QUOTA.message}"}
    assert scarce.bench.time - began > MAX_HELD
    assert scarce.bench.slots.refused == {}


@pytest.mark.parametrize("hours", [150, 24])
def test_a_model_that_had_a_job_within_two_weeks_keeps_its_refused_waiting(hours: float) -> None:
    scarce = Scarce(limit=3, quota=1, hours=hours)
    scarce.upload("lives")
    scarce.quota = 0  # others have the rest, and take its place
    held = scarce.upload("held")
    began = scarce.bench.time
    while scarce.bench.time < began + MAX_LIFE + MAX_HELD - DAY:
        assert scarce.step()
    assert scarce.bench.job(held).status == "Held"
    while scarce.step():
        pass
    assert scarce.bench.job(held).status == "Failed"
    assert scarce.bench.time - began < MAX_LIFE + MAX_HELD + 2 * DAY


def test_a_week_of_pause_is_no_week_of_refusals() -> None:
    scarce = Scarce(limit=10, quota=0, hours=1)
    for number in range(12):
        scarce.upload(f"v{number}")
    for _ in range(10):
        scarce.step()
    held = [job for job in scarce.jobs if scarce.bench.job(job).status == "Held"]
    say(scarce.bench, e.ModelPaused(at=scarce.bench.time, by="ann", why="holiday"))
    scarce.bench.wait(days=8)
    say(scarce.bench, e.ModelResumed(at=scarce.bench.time, by="ann", why=""))
    assert len(held) > 1
    assert scarce.statuses() == {"Held", "Queued"}
    scarce.quota = 10
    while scarce.step():
        pass
    assert scarce.statuses() == {"Completed"}


def say(bench: Bench, event: e.Event) -> None:
    bench.store.append_to_model(MODEL, len(bench.store.load(model_stream(MODEL))) + 1, event)
    wake(bench.world(), MODEL)


@pytest.mark.parametrize("throttled", [0.3, 0.7])
def test_a_rate_that_is_exceeded_by_chance_is_never_a_jobs_own_reason(throttled: float) -> None:
    scarce = Scarce(limit=20, quota=100, hours=0.5, throttled=throttled)
    for number in range(300):
        scarce.upload(f"v{number}")
    while scarce.step():
        pass
    assert scarce.statuses() == {"Completed"}


def test_a_job_that_got_no_answer_holds_no_newcomer_back() -> None:
    bench = Bench(limit=2)
    job = bench.upload("v1")
    bench.bedrock.script = [Unknown("timeout"), Unknown("timeout")]
    reconcile(bench.world(), job, Visit())
    for _ in range(2):
        bench.wait(minutes=6)
        reconcile(bench.world(), job, Visit(look=True, timer=True))
    assert bench.slots.refused
    bench.wait(seconds=2)
    newcomer = bench.upload("v2")
    reconcile(bench.world(), newcomer, Visit())
    assert bench.job(newcomer).status == "Submitted"


class FromTheFuture(e.CancelRequested):
    NAME = "job-from-the-future"


def test_more_unreadable_jobs_than_a_fill_can_pass_make_its_message_come_back_later_and_are_no_hot_loop() -> None:
    bench = Bench(limit=0)
    for number in range(30):
        job = bench.upload(f"v{number}")
        reconcile(bench.world(), job, Visit())
        bench.append(job, FromTheFuture(at=bench.time, by="x", why=""))
    bench.set_limit(1)
    plain = bench.timers.arm_attempt

    def slow(job: str, attempt: int, due: datetime) -> None:
        bench.left -= 10
        plain(job, attempt, due)

    bench.timers.arm_attempt = slow  # type: ignore[method-assign] # as slow as a bad day
    with pytest.raises(TimeoutError, match="cannot be read"):
        fill(bench.world(), MODEL, probe=True)
    assert bench.outbox.sent == []


def test_a_fill_that_has_no_time_leaves_a_hint_also_where_somebody_is_to_be_skipped() -> None:
    bench = Bench(limit=1, left=1.0)
    fill(bench.world(), MODEL, probe=True, skip="a" * 26 + "#1")
    assert bench.outbox.sent == [("model", MODEL)]


# --- two aliases of one model share its quota


def shared() -> tuple[Bench, str, str]:
    """A job of one alias runs; one of the other has just been uploaded."""
    bench = Bench(limit=1)
    models = {alias: Model(alias=alias, model_id=MODEL_ID, limit=1) for alias in (MODEL, OTHER)}
    bench.config = config(models=models)
    other = Slots(model=OTHER, limit=1, model_version=1)
    bench.store.commit([append_to_model(OTHER, 1, e.LimitSet(at=bench.time, limit=1)), *model_changed(None, other)])
    first, key = bench.upload(), f"to-process/{OTHER}/x.jsonl"
    reconcile(bench.world(), first, Visit())
    bench.store.append(id_of(key), None, replace(queued(key), model=OTHER))
    bench.bedrock.script = [QUOTA]
    return bench, first, id_of(key)


def test_an_end_of_one_alias_lets_the_refused_of_the_other_try_at_once() -> None:
    bench, first, second = shared()
    reconcile(bench.world(), second, Visit())
    assert bench.job(second).status == "Held"
    ended(bench, first, arn(1))
    assert (bench.job(first).status, bench.job(second).status) == ("Completed", "Submitted")


def test_an_end_of_one_alias_between_refusal_and_giving_up_of_the_other_is_seen() -> None:  # R17
    bench, first, second = shared()

    def meanwhile(_: Request) -> None:
        bench.bedrock.on_create = lambda _: None
        ended(bench, first, arn(1))

    bench.bedrock.on_create = meanwhile
    reconcile(bench.world(), second, Visit())
    assert bench.job(second).status == "Submitted"


def test_a_job_whose_alias_was_renamed_tells_the_new_one_of_its_end() -> None:
    bench, first, second = shared()
    bench.config = config(models={OTHER: bench.config.models[OTHER]})
    reconcile(bench.world(), second, Visit())
    ended(bench, first, arn(1))
    assert (bench.job(first).status, bench.job(second).status) == ("Completed", "Submitted")


def test_where_the_other_alias_cannot_be_told_a_hint_does_it() -> None:
    bench, first, second = shared()
    reconcile(bench.world(), second, Visit())
    plain = bench.store.slots

    def failing(model: str) -> Slots | None:
        if model == OTHER:
            raise TimeoutError("the other's slots cannot be read")
        return plain(model)

    bench.store.slots = failing  # type: ignore[method-assign] # one row that is stuck
    with pytest.raises(ExceptionGroup):
        ended(bench, first, arn(1))
    assert bench.job(first).status == "Completed"
    assert ("model", OTHER) in bench.outbox.sent
