"""How long it will take: the position in line, the expected start, the time to drain.

Every answer is a guess from the mean time that a job holds a slot, today or yesterday; None if
there is nothing to go by. The place in line and the mean are read, the rest is arithmetic.

IAM: dynamodb:GetItem and dynamodb:Query on the projections table.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from bbq.cli import times
from bbq.cli.deployment import Deployment, client
from bbq.shared.job import Job
from bbq.shared.rows import line_pk, line_row
from bbq.shared.slots import Slots
from bbq.shared.store import Store
from bbq.shared.tables import LineRow

MAX_POSITION = 1_000  # counting further would read the whole line


@dataclass(frozen=True, kw_only=True)
class Position:
    """A place in line, behind `ahead` jobs. Not `exact`: the line goes on before it, and was not
    counted further.
    """

    ahead: int
    exact: bool = True

    @property
    def number(self) -> int:
        """From 1; if not exact, the place is beyond it."""
        return self.ahead + self.exact

    def __str__(self) -> str:
        return f"{self.number:,}" if self.exact else f"more than {self.number:,}"


def place(deployment: Deployment, job: Job) -> Position | None:
    """Where a waiting job is in its line; None if it is not in line (any more, or yet). Two
    strongly consistent requests.
    """
    row = line_row(job)
    if deployment.tables.get(LineRow, row.pk, row.sk) is None:
        return None
    return jobs_before(deployment, job.model, row.sk)


def jobs_before(deployment: Deployment, model: str, key: str) -> Position:
    """How many places of a line are before this key. One strongly consistent request."""
    answer = client("dynamodb").query(
        TableName=deployment.projections_table,
        KeyConditionExpression="pk = :line AND sk < :place",
        Select="COUNT",
        ExpressionAttributeValues={":line": {"S": line_pk(model)}, ":place": {"S": key}},
        ConsistentRead=True,
        Limit=MAX_POSITION,
    )
    return Position(ahead=answer["Count"], exact="LastEvaluatedKey" not in answer)


def recent_mean_slot_seconds(store: Store, model: str, now: datetime) -> float | None:
    """How long a job held its slot on average today, or yesterday if none ended today. Two
    queries.
    """
    return mean_slot_seconds(*(store.day(model, day) for day in times.days(now)))


def mean_slot_seconds(*days: Mapping[str, float]) -> float | None:
    """How long a job held its slot on average on the first of these days (as `Store.day` counts
    them) on which any ended.
    """
    for day in days:
        if day.get("slot_ends"):
            # the counts leave out what is 0
            return float(day.get("slot_seconds", 0)) / float(day["slot_ends"])
    return None


def expected_start(
    slots: Slots | None, position: Position, mean_slot_seconds: float | None
) -> timedelta | None:
    """How long until the job at a place in line gets a slot. None if unknown: also if the place is
    not exact, and while the model is paused or on hold.

    Slots that are free go first. After that one is freed every mean / limit seconds, on average.
    """
    if slots is None or slots.paused or slots.holds or slots.limit <= 0 or not position.exact:
        return None
    ends_needed = position.ahead + 1 - (slots.limit - len(slots.holders))
    if ends_needed <= 0:
        return timedelta(0)
    return (
        None
        if mean_slot_seconds is None
        else timedelta(seconds=ends_needed * mean_slot_seconds / slots.limit)
    )


def time_to_drain(
    waiting_jobs: int, limit: int, mean_slot_seconds: float | None
) -> timedelta | None:
    """Until everybody who waits now has had a slot, with all slots in use. None: nobody can say."""
    if not waiting_jobs:
        return timedelta(0)
    if limit <= 0 or mean_slot_seconds is None:
        return None
    return timedelta(seconds=waiting_jobs * mean_slot_seconds / limit)
