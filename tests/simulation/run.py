"""One run of the deployment, in the weather of its seed.

It has three parts. While faults are on, people upload, cancel, pause, deploy. At a time drawn from
the seed everything goes well again, an operator redrives the dead letters, and the queue runs until
nothing is left to happen: then every job must be over, no slot may have stood free with somebody in
line (L1-L5), and hints delivered again must change nothing (S10, S13).
"""

import random
from collections.abc import Callable, Sequence

from bbq.cli.repair import verify
from bbq.services.scheduler.publish import message
from bbq.shared import events as e
from bbq.shared.names import job_stream, model_stream
from bbq.shared.slots import REBUILDING
from bbq.shared.tables import EventRow, SlotsRow, Write
from tests.simulation.aws import HOUR
from tests.simulation.kernel import Invocation, Kernel
from tests.simulation.people import (
    bring_to_calm,
    copy,
    drill,
    end_one_of_ours,
    forged,
    live,
    malformed,
    meddle,
)
from tests.simulation.simulation import Simulation, Upload
from tests.simulation.versions import newer_shape
from tests.simulation.watch import Shadow
from tests.simulation.weather import Weather

CALM_PATH_SECONDS = 20.0  # L2 without faults: from a slot free and somebody waiting to his claim
# L2 after faults: the latest hint still under way (4 h), an hour's retry, check-in, hold, lease
HEALED_SECONDS = 8 * HOUR
LONGEST_RUN_SECONDS = 30 * 24 * HOUR
MAX_INVOCATIONS_PER_JOB = 15  # L5
MAX_STEPS_PER_UPLOAD = 20_000  # more is a hot loop; two weeks of refusals take half of it
# Faults by which a job that nobody touched may end otherwise than Completed.
CRUEL = frozenset(
    {
        "jobs-expire",
        "jobs-expire-half-done",
        "jobs-partly-complete",
        "jobs-fail",
        "input-refused-while-validating",
        "model-id-invalid",
    }
)


# Events that are published.
SAID = ("job-queued", "job-rejected", "job-ended", "job-tallied", "job-cancelled")


class Run(Simulation):
    """See the module. `burst`: everybody uploads within three seconds."""

    def __init__(
        self,
        seed: int | str,
        *,
        kernel: Kernel | None = None,
        weather: Weather | None = None,
        jobs: int | None = None,
        burst: bool = False,
    ) -> None:
        super().__init__(seed, kernel=kernel, weather=weather, jobs=jobs)
        self.burst = burst
        if not burst:
            self.draw_ceilings(random.Random(f"{seed}/ceilings"))
        # Of the weather as it was drawn: no faults at all; none that loses or delays a hint; those,
        # and jobs refused for a reason of their own; none that decides a job's end.
        self.was_clear, self.was_gentle, self.was_patient = (
            self.weather.clear,
            self.weather.gentle,
            self.weather.patient,
        )
        self.fate_was_cruel = bool(CRUEL & self.weather.spells)
        self.idle_since: dict[str, float] = {}
        self.longest_idle: dict[str, float] = {}
        self.idle_from = 0.0
        self.said_no: dict[str, bool] = {}  # Bedrock's last answer, by model
        self.sim_tables.meddle = self._meddle  # type: ignore[method-assign] # people, who watch what invocations read
        self.sim_tables.unheard = self._unheard  # type: ignore[method-assign] # as above
        self.bedrock.refusing, self.bedrock.accepting, self.bedrock.unanswered = (
            self._refusing,
            self._accepting,
            self._unanswered,
        )

    def run(self) -> None:
        """From the first deployment to the last check. Raises Violation."""
        with newer_shape():
            self.deploy({})
            span = live(self, at_once=self.burst)
            self._run_until(span if self.was_clear else self.chance.uniform(0.2, 1.0) * span)
            bring_to_calm(self)
            self.idle_from = self.kernel.time
            self._run_until(LONGEST_RUN_SECONDS)
            self.check_liveness()
            self.check_replays()

    def _run_until(self, until: float) -> None:
        kernel, watch = self.kernel, self.watch
        seen = -1
        while (at := kernel.next_at()) is not None and at <= until:
            kernel.step()
            at_rest = kernel.steps <= MAX_STEPS_PER_UPLOAD * (10 + len(self.uploads))
            watch.check(
                "L5", at_rest, f"{kernel.steps} steps for {len(self.uploads)} uploads, and no rest"
            )
            if (self.calm or self.was_patient) and seen != watch.writes + watch.at:
                seen = watch.writes + watch.at
                self._look_for_idle_slots()
        if at is not None:
            kernel.time = until

    def _look_for_idle_slots(self) -> None:
        """L2: since when has a slot been free while somebody could have it? L1: since when is a
        cancel not carried out?
        """
        now = self.kernel.time
        if self.was_patient:
            for name, job in self.watch.to_cancel.items():
                waits = job.state == "queued" or (
                    job.state == "running" and job.status != "Stopping"
                )
                late = (
                    waits
                    and not (job.arn and self.rules.jobs[job.arn[-12:]].ended)
                    and now - job.cancel_at > CALM_PATH_SECONDS
                )
                self.watch.check(
                    "L1",
                    not late,
                    f"the cancel of {name} was not carried out in {CALM_PATH_SECONDS:.0f} s: {job}",
                )
        for alias in self.limits:
            if self._idle(alias):
                self.idle_since.setdefault(alias, now)
            elif alias in self.idle_since:
                self._idle_over(alias)

    def _idle_over(self, alias: str) -> None:
        since = max(self.idle_since.pop(alias), self.idle_from)
        self.longest_idle[alias] = max(self.longest_idle.get(alias, 0.0), self.kernel.time - since)

    def _idle(self, alias: str) -> bool:
        row = self.watch.slots.get(alias)
        if row is None or row["paused"]["BOOL"] or alias not in self.models:
            return False
        if self.was_patient and not self.was_gentle and self.said_no.get(alias):
            return False
        # by Bedrock's truth: a probe that is refused again is no use
        in_use = len(self.watch.alive.get(alias, {}))
        model = self.model_ids[alias]
        if in_use >= int(row["limit"]["N"]) or self.rules.alive(model) >= self.rules.quota(model):
            return False
        waiting = self.watch.waiting.get(alias, {})
        for order in self.watch.orders.get(
            alias, []
        ):  # nobody passes one who waits for another day, but for what Bedrock turns down
            name = order.rpartition("#")[2]
            if name in waiting and self.watch.is_parked(alias, self.watch.jobs[name]):
                return False
            if name in waiting and name not in self.bedrock.cursed:
                return True
        return False

    # After the end.

    def check_liveness(self) -> None:
        """L1, L2, L4, L5."""
        check = self.watch.check
        for alias in list(self.idle_since):
            self._idle_over(alias)
        bound = CALM_PATH_SECONDS if self.was_patient else HEALED_SECONDS
        for alias, seconds in self.longest_idle.items():
            check(
                "L2",
                seconds <= bound,
                f"a slot of {alias} stood free for {seconds:.0f} s with somebody in line",
            )
        for upload in self.uploads:
            job = self.watch.jobs.get(upload.job)
            check("S4", job is not None, f"{upload} has no stream")
            assert job
            if not job.poisoned:
                self._check_end(upload, job)
        # no code can read them: a person must look
        poisoned = [name for name, job in self.watch.jobs.items() if job.poisoned]
        differences = verify(self.repair_context()).differences
        differ = [
            d for d in differences if not any(name in f"{d.pk}{d.sk}{d.field}" for name in poisoned)
        ]
        check("S9", not differ, f"the projections are not the fold: {[str(d) for d in differ[:3]]}")
        for alias in self.watch.slots:
            reasons = {pause.why for pause in self._pauses(alias)}
            check("L1", reasons != {REBUILDING}, f"{alias} stays paused after a rebuild")
        dead = [
            body
            for body in (*self.hints.dead, *self.notifications.dead)
            if not any(name in body for name in poisoned)
        ]
        check("L4", not dead, f"dead letters: {dead[:3]}")
        self._check_published()
        if self.was_clear:
            jobs = max(1, sum(job.attempt for job in self.watch.jobs.values()))
            invocations = self.kernel.started.total()
            check(
                "L5",
                invocations <= MAX_INVOCATIONS_PER_JOB * jobs + 5,
                f"{invocations} invocations for {jobs} attempts",
            )

    def _pauses(self, alias: str) -> list[e.ModelPaused]:
        """By which the model is paused now."""
        pauses: list[e.ModelPaused] = []
        for recorded in self.people.load(model_stream(alias)):
            match recorded.event:
                case e.ModelPaused():
                    pauses.append(recorded.event)
                case e.ModelResumed():
                    pauses.clear()
        return pauses

    def _check_end(self, upload: Upload, job: Shadow) -> None:
        check = self.watch.check
        row = self.watch.slots.get(job.model)
        waits = (
            job.state == "queued"
            and row is not None
            and (row["paused"]["BOOL"] or row["limit"]["N"] == "0")
        )
        over = job.state in {"ended", "cancelled", "rejected"}
        check("L1", over or waits, f"{upload} is {job} for ever")
        view = self.watch.views.get(upload.job)
        check(
            "L1",
            view is not None and int(view["version"]["N"]) == len(job.statuses),
            f"the view of {upload} is not up to date",
        )
        if over and upload.job not in self.touched:
            expected = "ended" if upload.fit else "rejected"
            check("L4", job.state == expected, f"{upload} should be {expected}, is {job}")
        if job.state == "ended" and upload.job not in self.touched and not self.fate_was_cruel:
            check("L4", job.status == "Completed", f"{upload} should be Completed, is {job}")
        due_again = job.state == "ended" and self.watch.comes_back(job)
        check(
            "L4",
            not due_again,
            f"{upload} is {job.status} with nothing bought, and was not tried again: {job}",
        )
        if job.state == "ended" and job.arn is not None:
            check("L1", job.tallied, f"{upload} was never tallied: {job}")

    def _check_published(self) -> None:
        """L6. What the stream gave up is not published: nobody is left who would."""
        rows = {
            (name, int(row.version)): message(row)
            for name in self.watch.jobs
            for row in self.tables.query(EventRow, job_stream(name))
            if row.name in SAID or (row.name == "cancel-requested" and row.outcome)
        }
        heard = {(body["job"], int(body["version"])): body for body in self.sns.published}
        given_up = {
            (stream.partition("#")[2], version) for stream, version, _ in self.stream.given_up
        }
        missing = rows.keys() - heard.keys() - given_up
        self.watch.check(
            "L6", not missing, f"never published: {[rows[event] for event in sorted(missing)[:3]]}"
        )
        self.watch.check(
            "L6", heard.items() <= rows.items(), "something else was published than was appended"
        )

    def check_replays(self) -> None:
        """S10, S13: now that nothing is left to do, no hint of whatever kind does anything."""
        chance, watch, self.replaying = self.chance, self.watch, True
        bodies = [*self.bus.sent, *self.schedules.fired, *self.hints.delivered]
        chosen = [chance.choice(bodies) for _ in range(min(len(bodies), 8))]
        records = [
            chance.choice(self.stream.delivered) for _ in range(min(len(self.stream.delivered), 4))
        ]
        writes, creates, made = (
            watch.writes - watch.asked,
            watch.creates.total(),
            len(self.rules.jobs),
        )
        for body in chosen:
            for _ in range(chance.randint(1, 5)):
                self.hints.send(body, chance.uniform(0, 1))
        for record in records:
            for _ in range(chance.randint(1, 5)):
                self.stream.put(*record)
        self._run_until(self.kernel.time + LONGEST_RUN_SECONDS)
        now = (watch.writes - watch.asked, watch.creates.total(), len(self.rules.jobs))
        watch.check(
            "S10",
            now == (writes, creates, made),
            f"hints delivered again changed something: {chosen} {records}",
        )
        for body in (forged(self), malformed(self), forged(self), malformed(self)):
            self.hints.send(body)
        self._run_until(self.kernel.time + LONGEST_RUN_SECONDS)
        now = (watch.writes - watch.asked, watch.creates.total(), len(self.rules.jobs))
        watch.check(
            "S13", now == (writes, creates, made), "a forged or malformed hint changed something"
        )
        watch.check("S13", not self.hints.depth, "a hint is still in the queue")

    # What people and fate do just then.

    def _meddle(self, alias: str) -> None:
        """An invocation reads the slots: somebody may act on them just then."""
        if alias in self.limits:
            meddle(self, alias)

    def _accepting(self, job: str) -> None:
        """Bedrock has just taken a job: an operator may cancel it before anybody knows."""
        self.said_no[self.watch.jobs[job].model] = False
        if self.weather.strike("cancelled-just-then"):
            self._soon(lambda: self.cancel(job))

    def _refusing(self, job: str) -> None:
        """Bedrock has just refused: at this very moment jobs may end, or an operator cancel, or
        wake the model.
        """
        alias = self.watch.jobs[job].model
        strike, model = self.weather.strike, self.model_ids[alias]
        self.said_no[alias] = True
        if strike("cancelled-just-then"):
            self._soon(lambda: self.cancel(job))
        if strike("others-end-just-then"):
            self._soon(self._others_end)
        if strike("ours-end-just-then"):
            self._soon(lambda: end_one_of_ours(self, model))
        if strike("woken-just-then"):
            self._soon(self._wake)

    def _unheard(self, invocation: Invocation, writes: Sequence[Write]) -> None:
        """A write was done, and its answer is lost: the same may happen meanwhile."""
        slots = [write.row.pk for write in writes if isinstance(write.row, SlotsRow)]
        jobs = [
            name
            for name, job in self.watch.jobs.items()
            if job.state == "queued" and job.attempt and f"slots#{job.model}" in slots
        ]
        if invocation.name != "scheduler" or not jobs:
            return
        if self.weather.strike("cancelled-just-then"):
            self.kernel.after(
                self.chance.uniform(0, 5), lambda: self.cancel(self.chance.choice(jobs))
            )
        if self.weather.strike("woken-just-then"):
            self._soon(self._wake)

    def _unanswered(self, job: str) -> None:
        """Create was carried out, and nobody hears of it."""
        if self.weather.strike("copied-in-the-console"):
            copy(self, job)
        if self.weather.strike("slots-lost-with-an-answer"):
            drill(self, self.watch.jobs[job].model)

    def _wake(self) -> None:
        self.wake()

    def _soon(self, act: Callable[[], None]) -> None:
        self.kernel.after(self.chance.uniform(0.0, 0.02), lambda: None if self.calm else act())

    def _others_end(self) -> None:
        self.rules.end_foreign(self.kernel.now)
        self.pump()
