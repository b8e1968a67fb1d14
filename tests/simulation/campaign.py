"""Many seeds at once: run them on all cores, count what happened, and make a failing one small
enough to read.
"""

import os
import random
import re
import secrets
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

from tests.simulation.fast import Hurry
from tests.simulation.kernel import Kernel
from tests.simulation.run import Run
from tests.simulation.watch import Violation
from tests.simulation.weather import RATES, SPELLS, Weather

CHUNK = 20
MAX_TEXT = 1000  # of what is kept of a failure: every one of many seeds may fail
MAX_SHOWN = 20  # failures in one message
FIXED = range(1000)  # `make test` always runs these seeds
DRAWN = range(1_000_000, 1_000_000_000)  # what a first seed is drawn from


def first_seed() -> int:
    """A first seed, another one each time."""
    return secrets.choice(DRAWN)


def first_seed_of(text: str) -> int:
    """A first seed by chance, the same one for the same text."""
    return random.Random(text).choice(DRAWN)


@dataclass
class Tally:
    """What happened in some seeds."""

    seeds: int = 0
    steps: int = 0
    fewest_steps: int = 10**9
    invocations: int = 0
    jobs: int = 0
    fired: Counter[str] = field(default_factory=Counter)
    evaluated: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    longest_idle_calm: float = 0.0
    longest_idle_healed: float = 0.0
    failures: list[tuple[int, str, str]] = field(default_factory=list)  # seed, invariant, text

    def add(self, other: "Tally") -> None:
        """Both together."""
        self.seeds += other.seeds
        self.steps += other.steps
        self.fewest_steps = min(self.fewest_steps, other.fewest_steps)
        self.invocations += other.invocations
        self.jobs += other.jobs
        for mine, theirs in (
            (self.fired, other.fired),
            (self.evaluated, other.evaluated),
            (self.ends, other.ends),
        ):
            mine.update(theirs)
        self.longest_idle_calm = max(self.longest_idle_calm, other.longest_idle_calm)
        self.longest_idle_healed = max(self.longest_idle_healed, other.longest_idle_healed)
        self.failures += other.failures

    @property
    def failed(self) -> str:
        """The first seeds that failed, each with its invariant and how to see its timeline; empty
        if none did.
        """
        shown = self.failures[:MAX_SHOWN]
        first = [
            f"seed {seed}: {text}\n    its timeline: make simulate SEED={seed}"
            for seed, _, text in shown
        ]
        more = len(self.failures) - len(shown)
        return "\n".join([*first, *([f"and {more} more"] if more else [])])

    @property
    def never_fired(self) -> list[str]:
        """Faults that these seeds say nothing about."""
        return sorted(fault for fault in {**RATES, **SPELLS} if not self.fired[fault])


def run_seed(seed: int) -> Tally:
    """One seed, counted."""
    sim = Run(seed)
    tally = Tally(seeds=1)
    try:
        sim.run()
    except Violation as violation:
        tally.failures.append((seed, violation.invariant, str(violation)[:MAX_TEXT]))
    except Exception as error:  # noqa: BLE001 - a bug of the simulation itself, to be seen with its seed
        tally.failures.append(
            (seed, "BUG", f"BUG (of the simulation itself): {error!r}"[:MAX_TEXT])
        )
    tally.steps = tally.fewest_steps = sim.kernel.steps
    tally.invocations, tally.jobs = sim.kernel.started.total(), len(sim.watch.jobs)
    tally.fired, tally.evaluated = sim.weather.fired, sim.watch.evaluated
    tally.ends = Counter(job.status for job in sim.watch.jobs.values())
    longest = max(sim.longest_idle.values(), default=0.0)
    if sim.was_clear:
        tally.longest_idle_calm = longest
    else:
        tally.longest_idle_healed = longest
    return tally


def run_chunk(seeds: Iterable[int], *, stop: bool = False) -> Tally:
    """Some seeds, one after another, by a process that does nothing else; with `stop` no further
    than the first that fails.
    """
    total, hurry = Tally(), Hurry.up()
    for seed in seeds:
        total.add(run_seed(seed))
        hurry.tidy()
        if stop and total.failures:
            break
    return total


def run(seeds: range, *, processes: int | None = None) -> Iterator[Tally]:
    """All seeds on all cores: a tally for each chunk, in their order, whichever is done first."""
    chunks = [seeds[start : start + CHUNK] for start in range(0, len(seeds), CHUNK)]
    with ProcessPoolExecutor(processes or os.cpu_count()) as pool:
        yield from pool.map(run_chunk, chunks)


def burst(jobs: int, limit: int = 25) -> Run:
    """So many uploads within three seconds, nothing going wrong. Raises Violation."""
    sim = Run("burst", weather=Weather("burst", frozenset({*RATES, *SPELLS})), burst=True)
    sim.job_count = jobs
    sim.limits = dict.fromkeys(sim.limits, limit)
    sim.run()
    return sim


@dataclass(frozen=True)
class Failure:
    """A failing run, as small as it could be made."""

    seed: int
    jobs: int | None
    without: frozenset[str]
    violation: Violation
    simulation: Run


def attempt(
    seed: int,
    jobs: int | None = None,
    without: frozenset[str] = frozenset(),
    *,
    trace: bool = False,
) -> Failure | Run:
    """One run, and how it ended."""
    sim = Run(seed, kernel=Kernel(seed, trace=trace), weather=Weather(seed, without), jobs=jobs)
    try:
        sim.run()
    except Violation as violation:
        return Failure(seed, jobs, without, violation, sim)
    return sim


def shrink(failure: Failure) -> Failure:
    """Fewer jobs, then fewer faults, as long as the same invariant breaks."""

    def still(jobs: int | None, without: frozenset[str]) -> Failure | None:
        found = attempt(failure.seed, jobs, without)
        return (
            found
            if isinstance(found, Failure)
            and found.violation.invariant == failure.violation.invariant
            else None
        )

    smallest = failure
    for jobs in range(1, failure.simulation.job_count):
        if found := still(jobs, frozenset()):
            smallest = found
            break
    for fault in Weather(failure.seed).faults:
        if found := still(smallest.jobs, smallest.without | {fault}):
            smallest = found
    return smallest


def timeline(sim: Run) -> Iterator[str]:
    """The trace for a reader: job ids and ARNs by short names, times since the start."""
    names = {upload.job: f"job-{number}" for number, upload in enumerate(sim.uploads, 1)}
    names |= {job: f"bedrock-{number}" for number, job in enumerate(sim.rules.jobs, 1)}
    pattern = re.compile("|".join(map(re.escape, names)) or "$^")
    for at, who, text in sim.kernel.trace or ():
        short = pattern.sub(
            lambda found: names[found[0]],
            text.replace("arn:aws:bedrock:us-east-1:000000000000:model-invocation-job/", ""),
        )
        hours, rest = divmod(at, 3600)
        yield f"{int(hours):4d}:{int(rest // 60):02d}:{rest % 60:06.3f}  {who:14}  {short[:200]}"
