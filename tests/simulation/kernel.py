"""One process, one virtual clock, one seed: invocations as greenlets, switched at every call that
leaves the process.

Production code runs unchanged. Where it calls a client, the client calls `Kernel.call`, which lets
everybody else run until the request arrives, does what the call does, and lets everybody else run
again until the answer is back. At either moment the invocation may be killed. All that happens is
an entry of one heap, ordered by virtual time, and all chance (here, of the weather and of people)
comes from the seed: the same seed is the same run, step for step.
"""

import heapq
import itertools
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeVar

from greenlet import getcurrent, greenlet

T0 = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
Result = TypeVar("Result")


class Killed(BaseException):
    """Unwinds an invocation that is no more. Not an Exception: nothing in production code may catch
    it.
    """


@dataclass(eq=False)
class Invocation:
    """One run of a function. `done` hears its result, or None where it was killed or raised."""

    name: str
    number: int
    deadline: float
    done: Callable[[Any], None]
    thread: Any = None
    over: bool = False
    killed: bool = False
    error: BaseException | None = None
    doing: str = ""  # the call it is in
    arrived: bool = False  # whether that call has had its effect
    pausing: bool = False  # in a sleep of its own
    notes: dict[str, Any] = field(default_factory=dict)  # what the watch remembers of it

    def __str__(self) -> str:
        return f"{self.name}-{self.number}"


class Kernel:
    """The clock, the heap and the invocations."""

    def __init__(self, seed: int | str, *, trace: bool = False) -> None:
        self.chance = random.Random(f"{seed}/time")
        self.time = 0.0  # seconds since T0
        self.steps = 0
        self.current: Invocation | None = None
        self.running: dict[int, Invocation] = {}
        self.started: Counter[str] = Counter()
        self.trace: list[tuple[float, str, str]] | None = [] if trace else None
        self.latency: Callable[[str], float] = lambda _: self.chance.uniform(0.001, 0.02)
        # of what carries hints, by its name
        self.delay: Callable[[str], float] = lambda _: self.chance.uniform(0.005, 0.1)
        self.may_kill: Callable[[Invocation], bool] = lambda _: False
        self.finished: Callable[[Invocation], None] = lambda _: None
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._numbers = itertools.count(1)

    @property
    def now(self) -> datetime:
        """The true time; an invocation may see another one."""
        return T0 + timedelta(seconds=self.time)

    def after(self, seconds: float, act: Callable[[], None]) -> None:
        """Do something later."""
        heapq.heappush(self._heap, (self.time + max(0.0, seconds), next(self._order), act))

    def step(self) -> None:
        """Do what is next (`next_at` says when, and whether anything is)."""
        at, _, act = heapq.heappop(self._heap)
        self.time = max(self.time, at)
        self.steps += 1
        act()

    def next_at(self) -> float | None:
        """When the next step is."""
        return self._heap[0][0] if self._heap else None

    def say(self, who: object, text: str) -> None:
        """A line of the timeline."""
        if self.trace is not None:
            self.trace.append((self.time, str(who), text))

    # Invocations.

    def start(
        self,
        name: str,
        body: Callable[[], Any],
        timeout: float,
        done: Callable[[Any], None] = lambda _: None,
    ) -> Invocation:
        """Run `body` as an invocation, from the next step on. Its deadline kills it, as Lambda's
        does.
        """
        invocation = Invocation(name, next(self._numbers), self.time + timeout, done)
        self.started[name] += 1
        self.running[invocation.number] = invocation

        def main() -> Any:
            try:
                return body()
            except Killed:
                return None
            except Exception as error:  # noqa: BLE001 - Lambda's own answer to an exception is a failed invocation
                invocation.error = error
                self.say(invocation, f"raised {error!r}"[:300])
                return None

        invocation.thread = greenlet(main)
        self._resume_after(0.0, invocation)
        self.after(timeout, lambda: self.kill(invocation, "timeout"))
        return invocation

    def kill(self, invocation: Invocation, why: str) -> None:
        """End it where it is; nothing it was about to do happens."""
        if invocation.over:
            return
        self.say(invocation, f"KILLED ({why}) in {invocation.doing or 'its first line'}")
        invocation.over = invocation.killed = True
        if invocation.thread:  # has begun
            before, self.current = self.current, invocation
            invocation.thread.throw(Killed)
            self.current = before
        self._finish(invocation, None)

    def call(self, what: str, effect: Callable[[], Result]) -> Result:
        """A call that leaves the process: others run, then `effect`, then others run again until
        its answer is here.
        """
        invocation = self.current
        if invocation is None:  # a person, or a test: at once
            return effect()
        self._travel(invocation, what, arrived=False)
        try:
            answer = effect()
        except Exception as error:
            self.say(invocation, f"{what}: {error!r}"[:300])
            self._travel(invocation, what, arrived=True)
            raise
        self.say(invocation, what)
        self._travel(invocation, what, arrived=True)
        return answer

    def wait(self, what: str, seconds: float) -> None:
        """The invocation does nothing for so long: a sleep, or an answer that does not come."""
        invocation = self.current
        if invocation is not None:
            invocation.doing, invocation.pausing = what, True
            self._switch(invocation, seconds)
            invocation.pausing = False

    def _travel(self, invocation: Invocation, what: str, *, arrived: bool) -> None:
        invocation.doing, invocation.arrived = what, arrived
        if not invocation.over and self.may_kill(invocation):
            self.after(0.0, lambda: self.kill(invocation, "crash"))
            self._switch(invocation, 1.0)
        self._switch(invocation, self.latency(what))

    def _switch(self, invocation: Invocation, seconds: float) -> None:
        if invocation.over:
            raise Killed
        self._resume_after(seconds, invocation)
        parent = getcurrent().parent
        assert parent is not None  # the invocation's greenlet was made by the kernel's
        parent.switch()

    def _resume_after(self, seconds: float, invocation: Invocation) -> None:
        self.after(seconds, partial(self.resume, invocation))

    def resume(self, invocation: Invocation) -> None:
        """Let it run to its next call."""
        if invocation.over:
            return
        self.current = invocation
        result = invocation.thread.switch()
        self.current = None
        if invocation.thread.dead:
            invocation.over = True
            self._finish(invocation, result)

    def _finish(self, invocation: Invocation, result: Any) -> None:
        del self.running[invocation.number]
        invocation.done(result)
        self.finished(invocation)
