"""Which limit of AWS binds first, and at what rate: docs/scale.md, which names the sources.

Reckoned from what one job costs (bench/costs.py) and from how long invocations last
(bench/scheduling.py).
"""

from collections.abc import Iterator, Mapping
from typing import Any

from bench.simulated import STREAM_LANES
from bench.table import Table, rounded
from tests.simulation.simulation import HINT_CONCURRENCY, UPLOAD_CONCURRENCY

# What AWS allows. Per second unless said otherwise.
PARTITION_UNITS = 1000
CREATE_SCHEDULE_LEAST, CREATE_SCHEDULE_MOST, DELETE_SCHEDULE = 250, 5000, 1000
TRANSACTION_SECONDS = 0.02  # the middle of what the simulation draws: UNVERIFIED
SHORTEST_JOB_SECONDS = 8.7 * 60  # seen in the field
QUOTA = 100
# of the cell of `scheduling` whose seconds are taken: every length has one
SHOWN_JOBS_AT_MOST = 1000

# what, what AWS allows, what a job needs, jobs a second, for whom
Limit = tuple[str, str, str, float, str]


def report(parts: Mapping[str, Any]) -> dict[str, Table]:
    """All of them, the lowest rate first."""
    few, many = parts["costs"]["result"]["costs"]
    cells = parts["scheduling"]["result"]["cells"]
    cell = max(
        cells, key=lambda cell: (cell["slots"], cell["jobs"] <= SHOWN_JOBS_AT_MOST, cell["jobs"])
    )
    limits = sorted(
        (
            *_concurrencies(cell["seconds_per_job"]),
            *_partitions(few, many),
            *_timers(many["timers"]),
        ),
        key=_rate,
    )
    rows = [
        (what, allows, needs, f"**{rounded(rate, 2 if rate < 1 else 0)}**", whom)
        for what, allows, needs, rate, whom in limits
    ]
    return {
        "limits": Table(
            "limits", ("limit", "AWS allows", "a job needs", "jobs a second", "for"), rows
        )
    }


def _rate(limit: Limit) -> float:
    return limit[3]


def _concurrencies(seconds: Mapping[str, float]) -> Iterator[Limit]:
    shortest = f"{SHORTEST_JOB_SECONDS / 60:.1f} min, the shortest seen"
    yield (
        "Bedrock's quota of jobs",
        f"{QUOTA} at once",
        shortest,
        QUOTA / SHORTEST_JOB_SECONDS,
        "a model",
    )
    for what, at_once, brought in (
        ("hints queue's function, `maximum_concurrency`", HINT_CONCURRENCY, "hints"),
        ("stream's function, lanes of one shard", STREAM_LANES, "stream"),
        ("uploads queue's function, `maximum_concurrency`", UPLOAD_CONCURRENCY, "uploads"),
    ):
        needs = f"{rounded(seconds[brought], 2)} s of invocations"
        yield what, f"{at_once} at once", needs, at_once / seconds[brought], "a deployment"


def _partitions(few: Mapping[str, Any], many: Mapping[str, Any]) -> Iterator[Limit]:
    status, index_units = max(many["index_units"].items(), key=lambda one: one[1])
    for what, units in (
        *(
            (
                f"slots item, {one['slots']} slots: write units of its partition",
                one["write_units"]["slots"],
            )
            for one in (few, many)
        ),
        ("line: write units of its partition", many["write_units"]["line"]),
        ("counts: write units, while they are one partition", many["write_units"]["counts"]),
        (f"status index: write units of one partition ({status})", index_units),
    ):
        yield (
            what,
            f"{PARTITION_UNITS} a second",
            f"{rounded(units, 1)} units",
            PARTITION_UNITS / units,
            "a model",
        )
    each = many["transactions"]["slots"]
    allows = f"{rounded(1 / TRANSACTION_SECONDS, 0)} a second (UNVERIFIED)"
    rate = 1 / TRANSACTION_SECONDS / each
    yield (
        "slots item: one transaction after another",
        allows,
        f"{rounded(each, 1)} transactions",
        rate,
        "a model",
    )


def _timers(timers: Mapping[str, float]) -> Iterator[Limit]:
    for what, a_second, call in (
        ("CreateSchedule, the smaller Regions", CREATE_SCHEDULE_LEAST, "armed"),
        ("CreateSchedule, us-east-1", CREATE_SCHEDULE_MOST, "armed"),
        ("DeleteSchedule", DELETE_SCHEDULE, "disarmed"),
    ):
        rate = a_second / timers[call]
        yield (
            f"Scheduler: {what}",
            f"{a_second} a second",
            f"{rounded(timers[call], 1)} calls",
            rate,
            "an account",
        )
