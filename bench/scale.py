"""Many jobs, many models: does a job take the same time when a million have gone before it?

The production functions, called directly: intake's append, then reconcile as the stream's record,
then Bedrock's reports, each as the hints queue would bring it. Fifty models, each with a line that
never runs empty. Tables in memory, a Bedrock that takes everything, a clock that ticks. The time is
processor time of this process.

Memory is bounded as it would be in a table with an archive: an ended job's events and view are
dropped once its last hint is handled. What remains are lines, slots and counts.

`make bench` runs 100,000 jobs; `BENCH_JOBS=1000000 make bench ARGS=scale` a million (about ten
times as long; with PyPy, where this project's dependencies are installed for it,
`BENCH_JOBS=1000000 pypy3 -m bench scale` takes about a third of that).
"""

import os
import resource
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from bbq.services.scheduler.bedrock import Accepted, Answer, Request
from bbq.services.scheduler.hints import Report
from bbq.services.scheduler.reconcile import Visit, reconcile, reconcile_report
from bbq.services.scheduler.wake import reconcile_model
from bbq.services.scheduler.world import World
from bbq.shared.events import JobQueued, Source
from bbq.shared.memory import MemoryTables
from bbq.shared.models import Model
from bbq.shared.names import job_id, job_stream
from bbq.shared.rows import view_pk
from bbq.shared.store import Store
from bbq.shared.tables import EVENTS, PROJECTIONS
from bench.long_tables import LongTables
from bench.table import Table, rounded, target
from tests.support.world import FakeBedrock, FakeOutbox, FakeTimers, FakeTopic, arn, config

if TYPE_CHECKING:  # a Python without Matplotlib can measure, too
    from matplotlib.figure import Figure

JOBS, JOBS_QUICK = 100_000, 400
BLOCK, BLOCK_QUICK = 10_000, 40
MODELS, MODELS_QUICK = 50, 5
SLOTS, WAITING = 20, 30  # of each model
TICK = timedelta(seconds=1)  # of the clock, for each upload: a million are eleven days
T0 = datetime.fromisoformat("2026-11-23T12:00:00+00:00")
COLOUR = "#0072B2"
GROWS_AT_MOST = 1.1  # the last tenth of the blocks to the first, by medians


@dataclass
class _Bedrock(FakeBedrock):
    """Takes every job; keeps no more than the ARNs of those that run."""

    created: int = 0
    arns: dict[str, str] = field(default_factory=dict)

    def create(self, request: Request) -> Answer:
        """See Bedrock.create."""
        self.created += 1
        self.arns[request.name] = arn(self.created)
        return Accepted(self.arns[request.name])


class _Results:
    """Every job has a manifest."""

    def manifest(self, output_uri: str, arn: str) -> dict[str, int]:  # noqa: ARG002 - all are alike
        return {
            "totalRecordCount": 1000,
            "processedRecordCount": 1000,
            "successRecordCount": 1000,
            "errorRecordCount": 0,
            "inputTokenCount": 1_000_000,
            "outputTokenCount": 200_000,
        }


class BusyModels:
    """Some models at work. `turn()` is the life of one job: one is uploaded, and the oldest that
    runs ends.
    """

    def __init__(self, models: int, slots: int, waiting: int, tables: MemoryTables) -> None:
        self.now = T0
        self.tables, self.bedrock, self.timers = tables, _Bedrock(), FakeTimers()
        self.timer_calls: Counter[str] = Counter()  # "armed", "disarmed"
        self.uploaded = 0
        self.running: dict[str, deque[str]] = {f"m{number}": deque() for number in range(models)}
        known = {
            alias: Model(alias=alias, model_id=f"vendor.{alias}-v1:0", limit=slots)
            for alias in self.running
        }
        self.world = World(
            config=config(models=known),
            store=Store(self.tables, sleep=lambda _: None),
            bedrock=self.bedrock,
            timers=self.timers,
            outbox=FakeOutbox(),
            topic=FakeTopic(),
            results=_Results(),
            now=lambda: self.now,
            seconds_left=lambda: 110.0,
            new_id=lambda: f"{self.uploaded:08x}",
            note=self._note,
        )
        for alias in known:
            reconcile_model(self.world, alias, slots)
        for _ in range((slots + waiting) * models):
            self._upload()

    def turn(self) -> None:
        """One job comes, another ends and is dropped."""
        job = self.running[self._upload()].popleft()
        name = f"bbq-{job}-1"
        for status in ("Validating", "Scheduled", "InProgress", "Completed"):
            report = Report(
                arn=self.bedrock.arns[name],
                model_id="",
                status=status,
                message="",
                job=job,
                attempt=1,
            )
            reconcile_report(self.world, report)
        for table, partition in ((EVENTS, job_stream(job)), (PROJECTIONS, view_pk(job))):
            self.tables._items[table].pop(partition)  # as an archive would take it out of the table
        del self.bedrock.arns[name]
        self.timer_calls.update(f"{call}ed" for call, *_ in self.timers.log)
        self.timers.log.clear()
        self.timers.armed.clear()

    def items(self) -> int:
        """How many there are, in both tables."""
        return sum(
            len(partition) for table in self.tables._items.values() for partition in table.values()
        )

    def _upload(self) -> str:
        self.uploaded += 1
        self.now += TICK
        alias = f"m{self.uploaded % len(self.running)}"
        key = f"to-process/{alias}/{self.uploaded:08d}.jsonl"
        job = job_id("bucket", key, "v1", "", "")
        source = Source(
            bucket="bucket",
            key=key,
            version_id="v1",
            etag="e" * 32,
            sequencer="",
            size_bytes=10**6,
            record_count=1000,
        )
        event = JobQueued(
            at=self.now,
            model=alias,
            priority=5,
            sources=(source,),
            input_uri=f"s3://bucket/staged/{job}/{self.uploaded:08d}.jsonl",
            output_uri=f"s3://bucket/processed/{alias}/{self.uploaded:08d}/{job}/",
            record_count=1000,
            size_bytes=10**6,
        )
        self.world.store.append(job, None, event)
        reconcile(self.world, job, Visit())
        return alias

    def _note(self, name: str, **fields: Any) -> None:
        if name == "SlotClaimed":
            self.running[fields["model"]].append(fields["job"])


def run(*, quick: bool) -> dict[str, Any]:
    """Milliseconds of each job, block by block."""
    jobs, block = (
        (JOBS_QUICK, BLOCK_QUICK) if quick else (int(os.environ.get("BENCH_JOBS", JOBS)), BLOCK)
    )
    models = MODELS_QUICK if quick else MODELS
    deployment = BusyModels(models, SLOTS, WAITING, LongTables())
    blocks = []
    for _ in range(jobs // block):
        began = time.process_time()
        for _ in range(block):
            deployment.turn()
        blocks.append(round((time.process_time() - began) / block * 1000, 4))
    grows = growth(blocks)
    found = [
        target("time of a job, the last tenth of all to the first", grows, at_most=GROWS_AT_MOST)
    ]
    return {
        "jobs": jobs,
        "block": block,
        "models": models,
        "slots": SLOTS,
        "waiting": WAITING,
        "milliseconds_per_job": blocks,
        "growth": grows,
        "items_kept": deployment.items(),
        "targets": found,
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def growth(blocks: Sequence[float]) -> float:
    """Mean of the last tenth of the blocks to that of the first, at least one each."""
    tenth = max(1, len(blocks) // 10)
    return sum(blocks[-tenth:]) / sum(blocks[:tenth])


def report(result: Mapping[str, Any]) -> dict[str, Table]:
    """Time of a job, at the beginning and at the end."""
    blocks = result["milliseconds_per_job"]
    rows = [
        (
            "jobs",
            (
                f"{result['jobs']:,} over {result['models']} models, {result['slots']} slots and "
                f"{result['waiting']} in line each"
            ),
        ),
        (f"processor time of a job, first {result['block']:,}", f"{rounded(blocks[0], 2)} ms"),
        (f"last {result['block']:,}", f"{rounded(blocks[-1], 2)} ms"),
        (
            "least and most of any block",
            f"{rounded(min(blocks), 2)} and {rounded(max(blocks), 2)} ms",
        ),
        ("last tenth to first tenth", rounded(result["growth"], 3)),
        ("items in the tables at the end", f"{result['items_kept']:,}"),
        ("memory at most", f"{result['peak_mib']} MiB"),
    ]
    return {"scale": Table("one job after many", ("", ""), rows)}


def charts(result: Mapping[str, Any]) -> dict[str, Any]:
    """Time of a job, over all jobs."""
    numbers = {"block": result["block"], "milliseconds": result["milliseconds_per_job"]}
    return {"time-per-job": (numbers, _draw_times)}


def _draw_times(figure: "Figure", numbers: Mapping[str, Any]) -> None:
    axes = figure.subplots()
    jobs = [(place + 1) * numbers["block"] / 1000 for place in range(len(numbers["milliseconds"]))]
    axes.plot(jobs, numbers["milliseconds"], "o-", color=COLOUR, linewidth=1.2, markersize=4)
    axes.set_ylim(0, max(numbers["milliseconds"]) * 1.25)
    axes.set_xlabel("thousand jobs done")
    axes.set_ylabel("processor ms of a job")
    axes.grid(axis="y", linewidth=0.3)
