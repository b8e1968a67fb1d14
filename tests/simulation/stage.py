"""A stage for named races: the same simulation, but nothing moves by itself. A test says who runs,
up to which call.

`stage.see(job)` and its like begin an invocation and give its `Player`; `to` runs it until a call
is about to arrive, `through` until the call has had its effect but its answer is under way, `end`
to its end, `crash` kills it there. `settle` lets everything run by itself from then on, and checks
that every job comes to its end.
"""

import json
from dataclasses import replace
from typing import Any

from bbq.shared.due import CLOCK_SKEW
from bbq.shared.names import job_stream, model_stream
from tests.simulation.aws import Message, sqs_event, stream_event
from tests.simulation.kernel import Invocation, Kernel
from tests.simulation.run import LONGEST_RUN_SECONDS, Run
from tests.simulation.simulation import MODELS, notification
from tests.simulation.watch import Shadow
from tests.simulation.weather import RATES, SPELLS, Weather
from tests.support.samples import LINE

MAX_CALLS = 500  # of one invocation; more is a hot loop


class StagedKernel(Kernel):
    """Invocations are resumed by hand, until `by_hand` is over."""

    by_hand = True

    def _resume_after(self, seconds: float, invocation: Invocation) -> None:
        invocation.notes["pause"] = seconds if invocation.pausing else 0.0
        if not self.by_hand:
            super()._resume_after(seconds, invocation)


class StagedWeather(Weather):
    """Nothing goes wrong but what is announced: `once` holds the faults that strike at their next
    chance.
    """

    def __init__(self) -> None:
        super().__init__("stage", frozenset({*RATES, *SPELLS}))
        self.once: list[str] = []

    def strike(self, fault: str) -> bool:
        """See Weather."""
        if fault in self.once:
            self.once.remove(fault)
            return True
        return super().strike(fault)


class Player:
    """One invocation, moved by hand."""

    def __init__(self, stage: "Stage", invocation: Invocation) -> None:
        self._stage, self.invocation = stage, invocation

    def to(self, call: str) -> "Player":
        """Run until a call that begins so is about to arrive."""
        return self._run(
            lambda: self.invocation.doing.startswith(call) and not self.invocation.arrived, call
        )

    def through(self, call: str) -> "Player":
        """Run until a call that begins so has had its effect; its answer is under way."""
        return self._run(
            lambda: self.invocation.doing.startswith(call) and self.invocation.arrived, call
        )

    def end(self) -> "Player":
        """Run to the end. Raises what the invocation raised."""
        self._run(lambda: self.invocation.over, "its end")
        if self.invocation.error is not None:
            raise self.invocation.error
        return self

    def crash(self) -> None:
        """It is killed where it is."""
        self._stage.kernel.kill(self.invocation, "crash")

    def _run(self, there: Any, call: str) -> "Player":
        kernel, invocation = self._stage.kernel, self.invocation
        for _ in range(MAX_CALLS):
            if invocation.over:
                break
            kernel.time += 0.001 + invocation.notes.pop("pause", 0.0)
            kernel.resume(invocation)
            if there():
                return self
        assert there(), (
            f"{invocation} never came to {call!r}; it is in {invocation.doing!r}, over: "
            f"{invocation.over}"
        )
        return self


class Stage(Run):
    """One model `haiku` with this limit, deployed; Bedrock's quota is what the test says (100)."""

    def __init__(self, limit: int = 1, kernel: StagedKernel | None = None) -> None:
        self.staged = StagedWeather()
        super().__init__("stage", kernel=kernel or StagedKernel("stage"), weather=self.staged)
        self.rules.settings = replace(
            self.settings,
            stage_seconds=(10.0, 20.0),
            job_seconds=(3600.0, 3600.0),
            stopping_seconds=(5.0, 5.0),
        )
        self.ceilings.clear()
        self.limits, self.models = {"haiku": limit}, {"haiku": self.model("haiku", limit)}
        # whoever is moved by hand takes his time
        self.was_clear = self.was_gentle = self.was_patient = False
        self.deploy({})
        self.last().end()

    def last(self) -> Player:
        """The invocation that was begun last."""
        return Player(self, self.kernel.running[max(self.kernel.running)])

    # People.

    def put(self, name: str) -> str:
        """Upload a file and run intake for it: the job's id. Nobody has seen its event yet."""
        upload = self.upload(f"to-process/haiku/{name}.jsonl", LINE, fit=True, announce=False)
        version, etag = upload.version, self.s3.things[upload.key, upload.version].etag
        message = Message("upload", notification(upload.key, version, etag, len(LINE)), receives=1)
        Player(self, self.invoke_intake(sqs_event(message), lambda _: None)).end()
        return upload.job

    def started(self, name: str) -> str:
        """An uploaded job that Bedrock has."""
        job = self.put(name)
        self.see(job).end()
        assert self.job(job).state == "running"
        return job

    def deployed(self, limit: int) -> None:
        """A deployment changes the limit, from beginning to end."""
        self.deploy({"haiku": limit})
        self.last().end()

    def full(self, quota: int = 1) -> None:
        """Others fill what is left of the quota until `others_end`."""
        self.rules.set_quota(MODELS["haiku"], quota)
        self.rules.start_foreign(MODELS["haiku"], quota, None, self.kernel.now)
        self.pump()

    def others_end(self) -> str:
        """The others' jobs end; the body of their event."""
        self.rules.end_foreign(self.kernel.now)
        self.pump()
        self.kernel.time += 0.001
        self.pump()
        return self.bus.sent[-1]

    def wait(self, seconds: float) -> None:
        """Time passes; Bedrock's jobs move on, nobody hears of it."""
        until = self.kernel.time + seconds
        while (due := self.rules.next_change_at()) is not None and (
            due - self.kernel.now
        ).total_seconds() <= until - self.kernel.time:
            self.kernel.time = max(
                self.kernel.time, (due - self.kernel.now).total_seconds() + self.kernel.time
            )
            self.pump()
        self.kernel.time = until

    def strike(self, *faults: str) -> None:
        """These faults hit, each at its next chance."""
        self.staged.once += faults

    # Hints.

    def see(self, job: str) -> Player:
        """A stream record about a job."""
        return Player(
            self,
            self.invoke_scheduler(
                stream_event([(job_stream(job), 1, "job-queued")], self.tables.peek)
            ),
        )

    def see_model(self) -> Player:
        """A stream record about the model."""
        return Player(
            self,
            self.invoke_scheduler(
                stream_event([(model_stream("haiku"), 1, "limit-set")], self.tables.peek)
            ),
        )

    def hint(self, body: str) -> Player:
        """A message of the hints queue."""
        return Player(self, self.invoke_scheduler(sqs_event(Message("hint", body, receives=1))))

    def timer(self, job: str) -> Player:
        """The attempt's next timer fires; its schedule lingers under its name."""
        return self._fire(f"{job}-")

    def model_timer(self) -> Player:
        """The model's next timer fires."""
        return self._fire("model-haiku-")

    def wake_up(self) -> Player:
        """Somebody wakes the model without a timer."""
        self.watch.reasons["haiku"] += 1
        return self.hint(json.dumps({"wake": "haiku"}))

    def said(self, job: str, status: str) -> str:
        """Bedrock's own event about the newest Bedrock job of this job."""
        bodies = [
            body
            for body in self.bus.sent
            if job in body and json.loads(body)["detail"]["status"] == status
        ]
        return bodies[-1]

    def pending(self, prefix: str) -> list[str]:
        """Names of the timers that will fire."""
        return [name for name in self.schedules.pending if name.startswith(prefix)]

    def _fire(self, prefix: str) -> Player:
        """It fires as early as it can: by AWS's clock it is due, by ours not yet."""
        name = min(self.pending(prefix))
        due = self.schedules.armed[name]
        del self.schedules.pending[name]
        self.wait(max((due - CLOCK_SKEW - self.kernel.now).total_seconds(), 0))
        whose = (
            {"wake": "haiku"}
            if prefix.startswith("model")
            else {"job": name.split("-")[0], "attempt": int(name.split("-")[1])}
        )
        body = json.dumps({**whose, "due": due.isoformat()})
        self._timer_fired(body)
        return self.hint(body)

    # What is there.

    def job(self, job: str) -> Shadow:
        """The job, as the watch knows it."""
        return self.watch.jobs[job]

    @property
    def holders(self) -> dict[str, Any]:
        """Holders and their leases, in wire form."""
        found: dict[str, Any] = self.watch.slots["haiku"]["holders"]["M"]
        return found

    def creates(self, job: str) -> int:
        """Calls of Create for a job."""
        return sum(count for name, count in self.watch.creates.items() if job in name)

    def history(self, job: str) -> list[str]:
        """The names of its events."""
        return [recorded.event.NAME for recorded in self.people.load(job_stream(job))]

    def settle(self) -> None:
        """Everything runs by itself from now on, and every job must come to its end."""
        kernel = self.kernel
        assert isinstance(kernel, StagedKernel)
        kernel.by_hand = False
        for invocation in list(kernel.running.values()):
            kernel.after(0.0, lambda invocation=invocation: kernel.resume(invocation))  # type: ignore[misc] # a lambda with a default
        self.calm, self.idle_from = True, kernel.time
        self._run_until(kernel.time + LONGEST_RUN_SECONDS)
        self.check_liveness()
