"""P9, measured: an hour in which Bedrock refuses everybody, or fails every job, beside a line of
500. It costs no upload and few calls, and every slot is in use within a minute after the next
reason to ask.
"""

from dataclasses import replace

import pytest

from tests.simulation.aws import HOUR
from tests.simulation.people import REFUSALS, bring_to_calm, live
from tests.simulation.run import LONGEST_RUN_SECONDS, Run
from tests.simulation.versions import newer_shape
from tests.simulation.weather import RATES, SPELLS, Weather

JOBS, LIMIT = 500, 3
BEGIN, END = 60.0, 60.0 + HOUR


class Outage(Run):
    """500 uploads within three seconds; from BEGIN to END something of the account's is broken, and
    nothing else ever is.
    """

    def __init__(self) -> None:
        super().__init__(
            "outage", weather=Weather("outage", frozenset({*RATES, *SPELLS})), burst=True
        )
        self.job_count = JOBS
        self.limits = {"haiku": LIMIT}
        self.models = {"haiku": self.model("haiku", LIMIT)}
        self.rules.settings = replace(
            self.settings, stage_seconds=(1.0, 2.0), job_seconds=(240.0, 240.0)
        )
        # a slot beside a hold stands free on purpose
        self.was_clear = self.was_gentle = self.was_patient = False
        self.filled_at: float | None = None  # the first time after END when all slots are in use

    def run(self) -> None:
        """As any run, but the weather turns only after the outage."""
        with newer_shape():
            self.deploy({})
            live(self, at_once=True)
            self._run_until(END + 120)
            bring_to_calm(self)
            self.idle_from = self.kernel.time
            self._run_until(LONGEST_RUN_SECONDS)
            self.check_liveness()

    def look(self) -> None:
        """Every second from END on: are all slots in use, and by jobs that Bedrock has?"""
        holders = self.watch.slots["haiku"]["holders"]["M"].values()
        if len(holders) == LIMIT and all(lease["M"]["submitted"]["BOOL"] for lease in holders):
            self.filled_at = self.kernel.time
        else:
            self.kernel.after(1.0, self.look)


@pytest.mark.parametrize(
    "refusal", REFUSALS, ids=lambda refusal: refusal[0] + " " + refusal[1][:20]
)
def test_an_hour_of_refusals_costs_no_upload_and_fifteen_calls_at_most(
    refusal: tuple[str, str],
) -> None:
    sim = Outage()
    calls: list[int] = []

    def begin() -> None:
        calls.append(sim.watch.creates.total())
        sim.bedrock.refusal = refusal

    def end() -> None:
        calls.append(sim.watch.creates.total())
        sim.bedrock.refusal = None
        sim.wake()  # `bbq wake`
        sim.look()

    sim.kernel.after(BEGIN, begin)
    sim.kernel.after(END, end)
    sim.run()
    assert {job.status for job in sim.watch.jobs.values()} == {"Completed"}
    assert calls[1] - calls[0] <= 15
    assert sim.filled_at is not None
    assert sim.filled_at - END <= 60


@pytest.mark.parametrize("phase", ["fail_validating", "fail_in_progress"])
def test_an_hour_of_failures_loses_no_upload_and_burns_few_jobs(phase: str) -> None:
    sim = Outage()
    sim.kernel.after(BEGIN, lambda: setattr(sim, phase, True))
    sim.kernel.after(END, lambda: setattr(sim, phase, False))
    sim.run()
    assert {job.status for job in sim.watch.jobs.values()} == {"Completed"}
    failed = [job for job in sim.rules.jobs.values() if job.status == "Failed"]
    assert LIMIT <= len(failed) <= LIMIT + 10
