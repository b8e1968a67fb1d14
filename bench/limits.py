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
# one takes 20 ms, the middle of what the simulation draws: UNVERIFIED
TRANSACTIONS_IN_TURN = 50
SMALL_REGIONS = "Scheduler: CreateSchedule, the smaller Regions"
US_EAST_1 = "Scheduler: CreateSchedule, us-east-1"
SHORTEST_JOB_SECONDS = 8.7 * 60  # seen in the field
QUOTA = 100
# of the cell of `scheduling` whose seconds are taken: every length has one
SHOWN_JOBS_AT_MOST = 1000

# jobs a second, what, what AWS allows, what a job needs, for whom
Limit = tuple[float, str, str, str, str]


def report(parts: Mapping[str, Any]) -> dict[str, Table]:
    """All of them, the lowest rate first."""
    few, many = parts["costs"]["result"]["costs"]
    cells = parts["scheduling"]["result"]["cells"]
    cell = max(
        cells, key=lambda cell: (cell["slots"], cell["jobs"] <= SHOWN_JOBS_AT_MOST, cell["jobs"])
    )
    limits = [*_at_once(cell["seconds_per_job"]), *_a_second(few, many)]
    rows = [
        (what, allows, needs, f"**{rounded(rate, 2 if rate < 1 else 0)}**", whom)
        for rate, what, allows, needs, whom in sorted(limits, key=lambda limit: limit[0])
    ]
    columns = ("limit", "AWS allows", "a job needs", "jobs a second", "for")
    return {"limits": Table("limits", columns, rows)}


def _at_once(seconds: Mapping[str, float]) -> Iterator[Limit]:
    needs = f"{SHORTEST_JOB_SECONDS / 60:.1f} min, the shortest seen"
    rate = QUOTA / SHORTEST_JOB_SECONDS
    yield rate, "Bedrock's quota of jobs", f"{QUOTA} at once", needs, "a model"
    for what, lanes, brought in (
        ("hints queue's function, `maximum_concurrency`", HINT_CONCURRENCY, "hints"),
        ("stream's function, lanes of one shard", STREAM_LANES, "stream"),
        ("uploads queue's function, `maximum_concurrency`", UPLOAD_CONCURRENCY, "uploads"),
    ):
        needs = f"{rounded(seconds[brought], 2)} s of invocations"
        yield lanes / seconds[brought], what, f"{lanes} at once", needs, "a deployment"


def _a_second(few: Mapping[str, Any], many: Mapping[str, Any]) -> Iterator[Limit]:
    units, timers, each = many["write_units"], many["timers"], many["transactions"]["slots"]
    status, index_units = max(many["index_units"].items(), key=lambda one: one[1])
    partitions = {
        f"slots item, {few['slots']} slots: write units of its partition": (
            few["write_units"]["slots"]
        ),
        f"slots item, {many['slots']} slots: write units of its partition": units["slots"],
        "line: write units of its partition": units["line"],
        "counts: write units, while they are one partition": units["counts"],
        f"status index: write units of one partition ({status})": index_units,
    }
    in_turn = "slots item: one transaction after another"
    for what, allows, needs, unit, whom in (
        *((what, PARTITION_UNITS, need, "units", "a model") for what, need in partitions.items()),
        (in_turn, TRANSACTIONS_IN_TURN, each, "transactions", "a model"),
        (SMALL_REGIONS, CREATE_SCHEDULE_LEAST, timers["armed"], "calls", "an account"),
        (US_EAST_1, CREATE_SCHEDULE_MOST, timers["armed"], "calls", "an account"),
        ("Scheduler: DeleteSchedule", DELETE_SCHEDULE, timers["disarmed"], "calls", "an account"),
    ):
        guess = " (UNVERIFIED)" if what == in_turn else ""
        yield (
            allows / needs,
            what,
            f"{allows} a second{guess}",
            f"{rounded(needs, 1)} {unit}",
            whom,
        )
