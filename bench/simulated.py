"""Our queue on the simulation's virtual clock, with nothing going wrong, and with the delays that
AWS documents.

Intake, reconcile and fill are the production code, started by the production handlers; queues,
stream, bus and timers are those of `tests/simulation`, and its watch looks at every write. A burst
of uploads goes in, spans at Bedrock come out.

Each figure below is the time of a whole call or of the way of a hint, in seconds, drawn evenly from
the range unless it says otherwise. Sources: [D] Amazon DynamoDB documentation ("single-digit
millisecond performance"; also AWS database blog, "Understanding Amazon DynamoDB latency"); [L]
Lambda developer guide, "Using Lambda with DynamoDB" and "DynamoDB Streams and Lambda triggers"
(each shard is polled four times a second); [O] Lambda operator guide, "Execution environments" (a
cold start takes from under 100 ms to over a second); [S3] S3 user guide, "Amazon S3 Event
Notifications" (typically in seconds, sometimes a minute or longer) and the whitepaper "Best
practices design patterns: optimizing Amazon S3 performance" (the median of small requests is often
in the tens of milliseconds); [B] Bedrock user guide, "Monitor with EventBridge" (near real time,
best effort). UNVERIFIED: nobody documents a figure, and the range is chosen to be rather slow.

What is left out: throttling by anybody, Create's own rate limit (not documented), the hours in
which a function is not asked for anything and must start anew are in.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from bbq.services.intake.config import Config as IntakeConfig
from bbq.services.scheduler.config import Config
from bbq.shared.models import FIFO, Model
from bbq.shared.names import parse_attempt_name
from bbq.shared.tables import Contended, Write, key_of
from bench.long_tables import LongTables
from bench.yardsticks import Span
from local.bedrock_simulator.faults import Faults
from local.bedrock_simulator.jobs import (
    IN_PROGRESS,
    SCHEDULED,
    SUBMITTED,
    VALIDATING,
    Inspection,
    Plan,
    Settings,
)
from local.bedrock_simulator.jobs import Job as BedrockJob
from local.bedrock_simulator.rules import Bedrock as Rules
from tests.simulation import clients
from tests.simulation.aws import Stream
from tests.simulation.simulation import MODELS, Simulation
from tests.simulation.watch import DEPLOYMENT
from tests.simulation.weather import RATES, SPELLS, Weather
from tests.support.samples import LINE

ALIAS = "haiku"
# by the first word of the call's name in the simulation
CALLS: Mapping[str, tuple[float, float]] = {
    "get": (0.002, 0.009),  # [D]
    "query": (0.002, 0.009),  # [D]
    # a transaction: two rounds [D: it is prepared, then committed]; how long is UNVERIFIED
    "write": (0.01, 0.03),
    "Create": (0.2, 0.6),  # UNVERIFIED
    "Get": (0.05, 0.15),  # UNVERIFIED
    "List": (0.05, 0.15),  # UNVERIFIED
    "Stop": (0.05, 0.15),  # UNVERIFIED
    "arm": (0.02, 0.08),  # UNVERIFIED
    "disarm": (0.02, 0.08),  # UNVERIFIED
    "send": (0.005, 0.03),  # UNVERIFIED
    "hide": (0.005, 0.03),  # UNVERIFIED
    "publish": (0.01, 0.05),  # UNVERIFIED
    "GetObject": (0.02, 0.1),  # [S3]
    "ListObjectVersions": (0.02, 0.1),  # [S3]
    "CopyObject": (0.05, 0.2),  # UNVERIFIED
}
# of one shard: what terraform/variables.tf advises an account of a thousand executions (a test
# compares)
STREAM_LANES = 10
STREAM_POLL_SECONDS = 0.25  # [L]: a record waits up to so long for the next poll
STREAM_SECONDS = (0.02, 0.15)  # until a write is in the stream: UNVERIFIED
# lognormal, so 1.3 s at p99; [B] says near real time, no figure: UNVERIFIED
BUS_MEDIAN_SECONDS, BUS_SIGMA = 0.4, 0.5
QUEUE_SECONDS = (0.02, 0.1)  # Lambda's pollers wait at the queue: UNVERIFIED
NOTIFICATION_SECONDS = (1.0, 3.0)  # [S3]
COLD_SECONDS = (0.5, 1.5)  # [O]; of this package: bench/cold.py, on the machine at hand
WARM_SECONDS = 300.0  # how long an idle environment is kept: UNVERIFIED
COMPUTE_SECONDS = (0.02, 0.06)  # of a warm invocation, its own work: UNVERIFIED
CONFLICT_SECONDS = (
    # two transactions on one item within so long: one is cancelled (transaction conflict); how long
    # is UNVERIFIED
    0.01
)
STAGE_SECONDS = 10.0  # in each of Submitted, Validating and Scheduled; a part of the job's length
# of an upload here; the order depends on the logarithm of the share only (shared/models.py)
MAX_RECORDS = 1000
DEPLOYED_SECONDS = 60.0  # after which the uploads come
SETTLED_SECONDS = 400 * 24 * 3600.0  # after which nothing may be left to do


class Unfinished(Exception):
    """The run did not end with every job completed: a figure from it would be worth nothing."""


class _Rules(Rules):
    """Bedrock, where each job takes as long as it was said to."""

    lengths: Mapping[str, float] = {}

    def _start(self, request: Mapping[str, Any], now: datetime, **foreign: Any) -> BedrockJob:
        parsed = parse_attempt_name(DEPLOYMENT, request["jobName"])
        assert parsed  # noqa: S101 - there are no others here
        stages = dict.fromkeys((SUBMITTED, VALIDATING, SCHEDULED), STAGE_SECONDS)
        rest = self.lengths[parsed[0]] - sum(stages.values())
        return super()._start(request, now, plan=Plan({**stages, IN_PROGRESS: rest}), **foreign)


class _Stream(Stream):
    """One shard, in its lanes."""

    LANES = STREAM_LANES


class _Tables(clients.Tables):
    """Transactions that meet on an item: the later one is cancelled and comes again, as DynamoDB
    has it.
    """

    _last: dict[Any, float]

    def _write(self, writes: Sequence[Write]) -> None:
        if len(writes) > 1:
            keys = [(write.row.TABLE, *key_of(write.row)) for write in writes]
            now = self._kernel.time
            if any(now - self._last.get(key, -math.inf) < CONFLICT_SECONDS for key in keys):
                raise Contended("another transaction was at it")
            self._last.update(dict.fromkeys(keys, now))
        super()._write(writes)


class Burst(Simulation):
    """One model with so many slots, and uploads all at once."""

    def __init__(self, seed: int | str, slots: int, order: str = FIFO) -> None:
        self.slots, self.order = slots, order
        self.invocations = 0
        self.seconds: defaultdict[str, float] = defaultdict(
            float
        )  # for which invocations ran, all together, by what brought them
        # when each was last in use
        self.idle_environments: dict[str, list[float]] = {"scheduler": [], "intake": []}
        super().__init__(seed, weather=Weather(seed, frozenset({*RATES, *SPELLS})))
        self.limits = {ALIAS: slots}
        self.models = {ALIAS: self.model(ALIAS, slots)}
        self.began = 0.0
        self.kernel.after(0.0, lambda: self.deploy({}))
        self._run_until(DEPLOYED_SECONDS)

    def model(self, alias: str, limit: int = 1) -> Model:
        """See Simulation."""
        return Model(
            alias=alias,
            model_id=MODELS[alias],
            limit=limit,
            min_records=1,
            max_records=MAX_RECORDS,
            order=self.order,
        )

    def put(self, number: int, length: float, records: int = 1, after: float = 0.0) -> None:
        """Somebody uploads a file of so many records, whose job will take `length` seconds; `after`
        seconds from now.
        """
        data = b"".join(
            LINE.replace(b"CALL0000001", b"%d-%d" % (number, record)) for record in range(records)
        )

        def put() -> None:
            upload = self.upload(f"to-process/{ALIAS}/{number:06d}.jsonl", data, fit=True)
            self.lengths[upload.job] = length

        self.kernel.after(after, put)

    def run(self, lengths: Sequence[float], records: Sequence[int] | None = None) -> list[Span]:
        """Upload all of it now; the spans, in the order of upload. Raises Unfinished, or
        Violation.
        """
        self.began = self.kernel.time
        for number, length in enumerate(lengths):
            self.put(number, length, records[number] if records else 1)
        return self.finish()

    def finish(self) -> list[Span]:
        """Run until nothing is left to do; the spans, in the order of upload."""
        self._run_until(self.kernel.time + SETTLED_SECONDS)
        made = {job.name.split("-")[1]: job for job in self.rules.jobs.values()}
        over = [self.watch.jobs[upload.job] for upload in self.uploads]
        if len(made) != len(self.rules.jobs) or any(
            job.status != "Completed" or not job.tallied for job in over
        ):
            raise Unfinished(
                f"{len(self.uploads)} uploads, {len(self.rules.jobs)} jobs at Bedrock, not all of "
                "them completed"
            )
        times = [made[upload.job].times for upload in self.uploads]
        return [(self._seconds(at[SUBMITTED]), self._seconds(at["Completed"])) for at in times]

    def line(self) -> list[int]:
        """The uploads in the order of their places in line: notifications come in any order, and
        only the line's is promised.
        """
        jobs = [self.people.job(upload.job) for upload in self.uploads]
        places = [
            (job.line_at, job.id, number) for number, job in enumerate(jobs) if job is not None
        ]
        return [number for *_, number in sorted(places)]

    def _seconds(self, moment: datetime) -> float:
        return (moment - self.kernel.now).total_seconds() + self.kernel.time - self.began

    def _run_until(self, until: float) -> None:
        kernel = self.kernel
        while (at := kernel.next_at()) is not None and at <= until:
            kernel.step()

    # What differs from the simulation of faults.

    def _wire(self) -> None:
        self.tables = LongTables()
        self.lengths: dict[str, float] = {}
        self.rules = rules = _Rules(
            Settings(quota=self.slots, min_records=1), Faults(), self._inspect, self._write
        )
        rules.lengths = self.lengths
        self.watch.bedrock = rules
        super()._wire()
        self.stream = _Stream(self.kernel, self.weather, self.invoke_scheduler, self.tables.peek)
        self.sim_tables = _Tables(
            self.kernel, self.weather, self.tables, self.watch, self.stream.put
        )
        self.sim_tables._last = {}

    def _latency(self, what: str) -> float:
        low, high = CALLS[what.partition(" ")[0]]
        return self.kernel.chance.uniform(low, high) / 2

    def _delay(self, carrier: str) -> float:
        chance = self.kernel.chance
        if carrier == "bus":
            return chance.lognormvariate(math.log(BUS_MEDIAN_SECONDS), BUS_SIGMA)
        if carrier == "stream":
            return chance.uniform(0, STREAM_POLL_SECONDS) + chance.uniform(*STREAM_SECONDS)
        announced = chance.uniform(*NOTIFICATION_SECONDS) if carrier == "uploads" else 0.0
        return announced + chance.uniform(*QUEUE_SECONDS)

    def _scheduler(self, settings: Config, event: dict[str, Any], *, old: bool) -> Any:
        source = (event.get("Records") or [{"eventSource": "a call"}])[0]["eventSource"]
        brought = {"aws:sqs": "hints", "aws:dynamodb": "stream"}.get(source, source)
        return self._in_environment(
            "scheduler",
            brought,
            lambda: super(Burst, self)._scheduler(settings, event, old=old),
        )

    def _intake(self, settings: IntakeConfig, event: dict[str, Any]) -> Any:
        return self._in_environment(
            "intake", "uploads", lambda: super(Burst, self)._intake(settings, event)
        )

    def _in_environment(self, function: str, brought: str, act: Callable[[], Any]) -> Any:
        """In one that is warm, the last used first; or in a new one."""
        idle, chance, began = self.idle_environments[function], self.kernel.chance, self.kernel.time
        self.invocations += 1
        warm = bool(idle) and self.kernel.time - idle.pop() < WARM_SECONDS
        if not warm:
            idle.clear()  # the last used was too old, and so are the others
            self.kernel.wait("a cold start", chance.uniform(*COLD_SECONDS))
        self.kernel.wait("its own work", chance.uniform(*COMPUTE_SECONDS))
        try:
            return act()
        finally:
            idle.append(self.kernel.time)
            self.seconds[brought] += self.kernel.time - began

    def _inspect(self, job: BedrockJob) -> Inspection:  # noqa: ARG002 - every file is fit
        return Inspection(records=1, largest_file_records=1)
