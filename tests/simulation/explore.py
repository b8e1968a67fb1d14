"""Small worlds, exhaustively: two invocations, every schedule with few preemptions, and a fault at
every place one can be.

Depth first over the decisions: before each call of the running invocation, it goes on, or the other
one does (a preemption), or it is killed, or a fault hits that call. A run is replayed from its
beginning by its list of decisions; a state that was seen before (tables, Bedrock, timers, messages,
and what each invocation has read so far) with as many preemptions and faults to spend is not
entered again. After the two, everything else runs by itself, and every job must come to its end.
"""

import argparse
import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from tests.simulation.kernel import Invocation
from tests.simulation.stage import Stage, StagedKernel
from tests.simulation.watch import Violation

Result = TypeVar("Result")

GO_ON, PREEMPT, KILL = "go on", "preempt", "kill"
FAULTS = {  # what may hit a call that begins so
    "write": ("write-contended", "write-done-but-failed", "write-done-but-error"),
    "Create": ("create-done-then-timeout", "create-500", "create-timeout-then-done"),
    "arm": ("timer-call-error", "timer-call-done-but-error"),
    "disarm": ("timer-call-error",),
    "get": ("read-error",),
    "query": ("read-error",),
    "Get": ("bedrock-call-error",),
    "List": ("bedrock-call-error",),
    "send": ("send-error",),
}
MAX_DECISIONS = 400  # of one run


class Explored(StagedKernel):
    """Remembers what each invocation has seen, as a hash."""

    def call(self, what: str, effect: Callable[[], Result]) -> Result:
        """See Kernel."""
        invocation = self.current

        def seen() -> Result:
            try:
                answer = effect()
            except Exception as error:
                _remember(invocation, what, repr(error))
                raise
            _remember(invocation, what, _content(answer))
            return answer

        return super().call(what, seen)


def _remember(invocation: Invocation | None, what: str, content: str) -> None:
    if invocation is not None:
        invocation.notes["log"] = hash((invocation.notes.get("log"), what, content))


def _content(answer: Any) -> str:
    rows = answer if isinstance(answer, list) else [answer]
    return repr(
        [row.to_dynamodb_dict() if hasattr(row, "to_dynamodb_dict") else row for row in rows]
    )


@dataclass
class Situation:
    """What the two invocations are, and what they meet: `begin` sets the stage and starts them."""

    name: str
    begin: Callable[[Stage], None]
    limit: int = 1


@dataclass
class Explorer:
    """All runs of one situation."""

    situation: Situation
    preemptions: int
    faults: int
    runs: int = 0
    states: int = 0
    ends: int = 0
    seen: set[Any] = field(default_factory=set)

    def explore(self, seconds: float = math.inf, runs: float = math.inf) -> bool:
        """Every run, or as many as fit; False where there were more. Raises Violation, with the
        decisions in a note.
        """
        began = time.monotonic()
        todo: list[tuple[str, ...]] = [(), (PREEMPT,)]  # either may begin: that is no preemption
        while todo:
            if time.monotonic() - began > seconds or self.runs >= runs:
                return False
            decisions = todo.pop()
            try:
                todo.extend(self._run(decisions))
            except Violation as violation:
                violation.add_note(
                    f"{self.situation.name}: {[d for d in decisions if d != GO_ON]} in {decisions}"
                )
                raise
        return True

    def _run(self, decisions: tuple[str, ...]) -> list[tuple[str, ...]]:
        """One run; the decisions of those that branch off from it behind `decisions`."""
        self.runs += 1
        stage = Stage(limit=self.situation.limit, kernel=Explored("stage"))
        self.situation.begin(stage)
        running = list(stage.kernel.running.values())
        for invocation in running:
            stage.kernel.resume(invocation)  # to its first call
        if decisions[:1] == (PREEMPT,):
            running.reverse()
        made: list[str] = list(decisions[:1]) if decisions[:1] == (PREEMPT,) else [GO_ON]
        preemptions, faults = self.preemptions, self.faults
        branches: list[tuple[str, ...]] = []
        while running := [invocation for invocation in running if not invocation.over]:
            assert len(made) < MAX_DECISIONS, f"a hot loop: {decisions}"
            current = running[0]
            choices = self._choices(current, len(running), preemptions, faults)
            if len(made) < len(decisions):
                choice = decisions[len(made)]
            else:
                choice = GO_ON
                state = (self._state(stage), current.number, preemptions, faults)
                if state in self.seen:
                    return branches
                self.seen.add(state)
                self.states += 1
                branches += [(*made, other) for other in choices]
            made.append(choice)
            preemptions -= choice == PREEMPT
            faults -= choice not in {GO_ON, PREEMPT}
            if choice == PREEMPT:
                running.reverse()
            else:
                self._step(stage, current, choice)
        end = self._state(stage)
        if end not in self.seen:
            self.seen.add(end)
            self.ends += 1
            stage.settle()
        return branches

    @staticmethod
    def _choices(current: Invocation, alive: int, preemptions: int, faults: int) -> list[str]:
        choices = [PREEMPT] if preemptions and alive > 1 else []
        if faults:
            choices += [KILL, *FAULTS.get(current.doing.split(" ")[0], ())]
        return choices

    @staticmethod
    def _step(stage: Stage, current: Invocation, choice: str) -> None:
        """The call it is in, up to its next."""
        if choice == KILL:
            stage.kernel.kill(current, "crash")
            return
        if choice != GO_ON:
            stage.strike(choice)
        while not current.over:
            stage.kernel.time += current.notes.pop("pause", 0.0)
            stage.kernel.resume(current)
            if not current.arrived and not current.pausing:
                return

    @staticmethod
    def _state(stage: Stage) -> int:
        bedrock = [(job.name, job.status) for job in stage.rules.jobs.values()]
        tables = sorted(
            (table, key, repr(rows))
            for table, parts in stage.tables._items.items()
            for key, rows in parts.items()
        )
        messages = sorted(
            (m.body, m.receives)
            for queue in (stage.hints, stage.notifications)
            for m in queue._messages.values()
        )
        logs = [(number, i.notes.get("log"), i.doing) for number, i in stage.kernel.running.items()]
        return hash(repr((bedrock, tables, messages, sorted(stage.schedules.pending), logs)))


# The situations: one or two jobs, limit 1 or 2.


def _two_newcomers(stage: Stage) -> None:
    for job in [stage.put("a"), stage.put("b")]:
        stage.see(job)


def _one_newcomer_twice(stage: Stage) -> None:
    job = stage.put("a")
    stage.see(job)
    stage.see(job)


def _an_end_and_a_newcomer(stage: Stage) -> None:
    first, second = stage.started("a"), stage.put("b")
    stage.wait(40_000)
    stage.hint(stage.said(first, "Completed"))
    stage.see(second)


def _an_end_twice(stage: Stage) -> None:
    first, second = stage.started("a"), stage.put("b")
    stage.see(second).end()
    stage.wait(40_000)
    stage.hint(stage.said(first, "Completed"))
    stage.hint(stage.said(first, "Completed"))


def _an_expiry_twice(stage: Stage) -> None:
    stage.rules.faults = type(stage.rules.faults)(job_expiry=1.0)
    job = stage.started("a")
    stage.rules.faults = type(stage.rules.faults)()
    stage.wait(4000)
    stage.hint(stage.said(job, "Expired"))
    stage.hint(stage.said(job, "Expired"))


def _a_take_over_and_an_event(stage: Stage) -> None:
    job = stage.put("a")
    stage.strike("create-done-then-timeout")
    stage.see(job).end()
    stage.wait(300)
    stage.timer(job)
    stage.hint(stage.said(job, "Submitted"))


def _a_take_over_twice(stage: Stage) -> None:
    job = stage.put("a")
    stage.strike("create-timeout")
    stage.see(job).end()
    stage.put("b")
    stage.wait(300)
    stage.timer(job)
    stage.see(job)


def _a_refusal_and_an_end_of_others(stage: Stage) -> None:
    stage.full()
    job = stage.put("a")
    end = stage.others_end()
    stage.full()
    stage.kernel.after(7200, lambda: stage.hints.send(stage.others_end()))
    stage.see(job)
    stage.hint(end)


def _a_cancel_beside_a_claim(stage: Stage) -> None:
    job = stage.put("a")
    stage.see(job)
    stage.cancel(job)
    stage.see(job)


def _a_cancel_beside_a_refused_job(stage: Stage) -> None:
    stage.full()
    job = stage.put("a")
    stage.see(job).end()
    stage.wait(120)
    stage.cancel(job)
    stage.wake_up()
    stage.see(job)


def _a_pause_beside_a_claim(stage: Stage) -> None:
    job = stage.put("a")
    stage.see(job)
    stage.pause("haiku")
    stage.see_model()
    stage.kernel.after(600, lambda: stage.resume("haiku"))


def _a_lower_limit_beside_a_claim(stage: Stage) -> None:
    stage.started("a")
    second = stage.put("b")
    stage.see(second)
    stage.deploy({"haiku": 1})


def _two_wakes_beside_a_refused_job(stage: Stage) -> None:
    stage.rules.set_quota("anthropic.claude-haiku-4-5-20251001-v1:0", 1)
    stage.rules.start_foreign("anthropic.claude-haiku-4-5-20251001-v1:0", 1, None, stage.kernel.now)
    first = stage.put("a")
    stage.see(first).end()
    stage.put("b")
    stage.others_end()
    stage.wait(120)
    stage.wake_up()
    stage.wake_up()


def _two_failures_at_once(stage: Stage) -> None:
    """The third and the fourth in a row that failed before a record was processed."""
    stage.fail_validating = True
    jobs = [stage.put(f"v{number}") for number in range(5)]
    for job in jobs:
        stage.see(job).end()
    for job in jobs[:2]:
        stage.wait(60)
        stage.hint(stage.said(job, "Failed")).end()
    stage.wait(60)
    for holder in stage.holders:
        stage.hint(stage.said(holder.partition("#")[0], "Failed"))
    stage.fail_validating = False


SITUATIONS = [
    Situation("two newcomers", _two_newcomers),
    Situation("two newcomers, two slots", _two_newcomers, limit=2),
    Situation("one newcomer twice", _one_newcomer_twice),
    Situation("an end and a newcomer", _an_end_and_a_newcomer),
    Situation("an end twice", _an_end_twice),
    Situation("an expiry twice", _an_expiry_twice),
    Situation("a take-over and an event", _a_take_over_and_an_event),
    Situation("a take-over twice", _a_take_over_twice, limit=2),
    Situation("a refusal and an end of others", _a_refusal_and_an_end_of_others),
    Situation("a cancel beside a claim", _a_cancel_beside_a_claim),
    Situation("a cancel beside a refused job", _a_cancel_beside_a_refused_job),
    Situation("a pause beside a claim", _a_pause_beside_a_claim),
    Situation("a lower limit beside a claim", _a_lower_limit_beside_a_claim, limit=2),
    Situation("two wakes beside a refused job", _two_wakes_beside_a_refused_job),
    Situation("two failures at once", _two_failures_at_once, limit=2),
]


def main() -> int:
    """Explore every situation; the exit code is 1 where an invariant breaks."""
    parser = argparse.ArgumentParser(prog="make explore", description=__doc__)
    parser.add_argument("--preemptions", type=int, default=2)
    parser.add_argument("--faults", type=int, default=1)
    parser.add_argument("names", nargs="*", help="only situations whose name holds one of these")
    options = parser.parse_args()
    broken = 0
    for situation in SITUATIONS:
        if options.names and not any(name in situation.name for name in options.names):
            continue
        explorer, began = Explorer(situation, options.preemptions, options.faults), time.monotonic()
        try:
            explorer.explore()
            outcome = "every invariant held"
        except Violation as violation:
            broken += 1
            outcome = f"BROKEN: {violation} {violation.__notes__}"
        print(  # noqa: T201 - a program for a terminal
            f"{situation.name:34} {explorer.runs:7,} runs {explorer.states:8,} states "
            f"{explorer.ends:6,} ends "
            f"{time.monotonic() - began:6.0f} s  {outcome}",
            flush=True,
        )
    return bool(broken)


if __name__ == "__main__":
    sys.exit(main())
