"""A model that Bedrock does not let fill its slots: the quota is below the limit, others have it,
or Create is throttled. For days and weeks, which the simulation's hours do not reach. Nobody is
lost, the line stays a line, and the work stays bounded.
"""

import heapq
import random
from datetime import datetime, timedelta

import pytest

from bbq.services.scheduler.bedrock import Accepted, Answer, Refused, Request
from bbq.services.scheduler.fill import fill
from bbq.shared import events as e
from bbq.shared.hold import QUOTA, THROTTLED
from tests.support.driving import ended, fire_next, see, started
from tests.support.samples import MODEL
from tests.support.world import Bench

DAY = timedelta(days=1)
FULL = Refused(QUOTA, "ServiceQuotaExceededException: full")


class Scarce:
    """A Bedrock that lets `quota` jobs live, each for so long; ends and the timers come in the
    order of time.
    """

    def __init__(self, *, limit: int, quota: int, hours: float, throttled: float = 0.0) -> None:
        self.bench = Bench(limit=limit, gauges_due=False)
        self.quota, self.hours, self.throttled = quota, hours, throttled
        self.chance = random.Random("scarce")
        self.ends: list[tuple[datetime, str]] = []
        self.jobs: list[str] = []
        self.over = 0
        self.bench.bedrock.create = self.create  # type: ignore[method-assign] # Bedrock's part

    def create(self, request: Request) -> Answer:
        self.bench.bedrock.creates.append(request)
        if self.chance.random() < self.throttled:
            return Refused(THROTTLED, "ThrottlingException: too many requests")
        if len(self.ends) >= self.quota:
            return FULL
        which = self.bench.bedrock.take(request.name)
        end = self.bench.time + timedelta(hours=self.hours * self.chance.uniform(0.9, 1.1))
        heapq.heappush(self.ends, (end, request.name.split("-")[1]))
        return Accepted(which)

    def upload(self, version: str, *, priority: int = 5) -> str:
        self.bench.wait(seconds=1)
        self.jobs.append(started(self.bench, version, priority=priority))
        return self.jobs[-1]

    def step(self) -> bool:
        """The next end or timer; False where none is to come."""
        until = self.ends[0][0] if self.ends else self.bench.time + DAY
        if fire_next(self.bench, until):
            return True
        if not self.ends:
            return False
        at, job = heapq.heappop(self.ends)
        self.bench.time = max(self.bench.time, at)
        ended(self.bench, job, processed=100)
        self.over += 1
        return True

    def until_all_are_over(self) -> None:
        while self.over < len(self.jobs):
            assert self.step()
        assert self.statuses() == {"Completed"}

    def statuses(self) -> set[str]:
        return {self.bench.job(job).status for job in self.jobs}


def test_weeks_of_work_on_a_quota_below_the_limit_are_done_and_the_line_stays_a_line() -> None:
    scarce = Scarce(limit=10, quota=2, hours=12)
    for number in range(40):
        scarce.upload(f"v{number}")
    began = scarce.bench.time
    scarce.until_all_are_over()
    took = scarce.bench.time - began
    assert 9 * DAY < took < 11 * DAY  # 40 jobs of 12 hours, two at a time, are 10 days
    # each half hour, and a grid for each end
    assert len(scarce.bench.bedrock.creates) < 11 * 48 + 40 * 7
    begun = [bench_job.submitted_at for bench_job in map(scarce.bench.job, scarce.jobs)]
    assert begun == sorted(moment for moment in begun if moment is not None)


def test_an_urgent_job_is_the_next_to_begin() -> None:
    scarce = Scarce(limit=10, quota=2, hours=2)
    for number in range(20):
        scarce.upload(f"v{number}")
    for _ in range(50):
        assert scarce.step()
    urgent, begun = scarce.upload("urgent", priority=0), len(scarce.bench.bedrock.jobs)
    while scarce.bench.job(urgent).submitted_at is None:
        assert scarce.step()
    assert len(scarce.bench.bedrock.jobs) == begun + 1


def test_a_model_that_nobody_gets_into_for_weeks_loses_no_job_and_goes_on_by_itself() -> None:
    scarce = Scarce(limit=3, quota=0, hours=1)
    for number in range(5):
        scarce.upload(f"v{number}")
    began = scarce.bench.time
    while scarce.bench.time < began + 10 * DAY:
        assert scarce.step()
    assert scarce.statuses() == {"Queued"}
    assert scarce.bench.job(scarce.jobs[0]).reason == FULL.message
    scarce.quota = 10
    scarce.until_all_are_over()
    assert scarce.bench.slots.refused is None


@pytest.mark.parametrize("throttled", [0.3, 0.7])
def test_a_rate_that_is_exceeded_by_chance_is_never_a_jobs_own_reason(throttled: float) -> None:
    scarce = Scarce(limit=20, quota=100, hours=0.5, throttled=throttled)
    for number in range(100):
        scarce.upload(f"v{number}")
    scarce.until_all_are_over()


class FromTheFuture(e.CancelRequested):
    NAME = "job-from-the-future"


def test_more_unreadable_jobs_than_a_fill_can_pass_are_no_hot_loop() -> None:
    bench = Bench(limit=0)
    for number in range(30):
        job = bench.upload(f"v{number}")
        see(bench, job)
        bench.append(job, FromTheFuture(at=bench.time, by="x", why=""))
    bench.set_limit(1)
    plain = bench.timers.arm_attempt

    def slow(job: str, attempt: int, due: datetime) -> None:
        bench.left -= 10
        plain(job, attempt, due)

    bench.timers.arm_attempt = slow  # type: ignore[method-assign] # as slow as a bad day
    with pytest.raises(TimeoutError, match="cannot be read"):
        fill(bench.world(), MODEL)
    assert bench.outbox.sent == []
