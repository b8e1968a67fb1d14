"""The two tables: their rows, and the writes that can be made to them.

Rows are PynamoDB models used as schema only; a `Write` is data. What executes them is `dynamodb.py`
on AWS and `memory.py` in simulations, both under the same contract tests
(`tests/contract/test_tables.py`): a rule about capacity is a condition here, written once, and the
simulation runs the very condition that DynamoDB will evaluate.

events: hash `stream`, range `version`. projections: hash `pk`, range `sk`:

| row | pk | sk |
|---|---|---|
| ViewRow | `job#<id>` | `view` |
| LineRow | `line#<alias>` | `<priority>#<line_at>#<id>` |
| SlotsRow | `slots#<alias>` | `slots` |
| CountRow | `counts#<alias>` | `waiting#<shard>`, `<YYYY-MM-DD>#<shard>` |
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TypeVar

from pynamodb.attributes import (
    BooleanAttribute,
    JSONAttribute,
    ListAttribute,
    MapAttribute,
    NumberAttribute,
    UnicodeAttribute,
)
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action
from pynamodb.models import Model

EVENTS, PROJECTIONS = "events", "projections"
STATUS_INDEX = "by-status"


def storable(text: str) -> str:
    """Text as DynamoDB takes it, which is UTF-8. JSON can say half of a surrogate pair, UTF-8
    cannot: it becomes "?".
    """
    return text.encode(errors="replace").decode()


class Words(UnicodeAttribute):
    """Text that people or AWS wrote: anything at all."""

    def serialize(self, value: Any) -> str:
        """As it is stored."""
        return storable(super().serialize(value))


class EventRow(Model):
    """One event. `data` is JSON text: what `events.to_stored` gave.

    The rest is for subscribers to select on, and read by nobody here: the job as it is after the
    event, words of its own where they are known and empty where not. The events of a model have
    only `model`.
    """

    TABLE: ClassVar[str] = EVENTS
    stream = UnicodeAttribute(hash_key=True)
    version = NumberAttribute(range_key=True)
    name = UnicodeAttribute()
    schema = NumberAttribute()
    at = UnicodeAttribute()
    data = JSONAttribute()
    job = UnicodeAttribute(default="")
    model = UnicodeAttribute(default="")
    status = UnicodeAttribute(default="")
    outcome = UnicodeAttribute(default="")
    owner = Words(default="")
    key = Words(default="")


class ViewRow(Model):
    """A job as people query it, and in `fold` all else that its state is (shared/fold.py).

    `status_key` is `<model>#<status>`, with `#<day>` behind it once the job is over, and
    `<model>#InSlot` for every job that has a slot.
    """

    TABLE: ClassVar[str] = PROJECTIONS
    pk = UnicodeAttribute(hash_key=True)
    sk = UnicodeAttribute(range_key=True, default="view")
    version = NumberAttribute()
    job = UnicodeAttribute()
    status = UnicodeAttribute()
    status_key = UnicodeAttribute()
    outcome = UnicodeAttribute(null=True)
    model = UnicodeAttribute()
    model_id = UnicodeAttribute(null=True)
    priority = NumberAttribute()
    attempt = NumberAttribute()
    sources: ListAttribute[Any] = ListAttribute()
    input_uri = UnicodeAttribute(null=True)
    output_uri = UnicodeAttribute(null=True)
    arn = UnicodeAttribute(null=True)
    reason = Words(null=True)
    problems: ListAttribute[Any] = ListAttribute(null=True)
    warnings: ListAttribute[Any] = ListAttribute(null=True)
    # of {name, value}: people's words are values, never names
    labels: ListAttribute[Any] = ListAttribute(null=True)
    cancel_by = Words(null=True)
    queued_at = UnicodeAttribute()
    claimed_at = UnicodeAttribute(null=True)
    submitted_at = UnicodeAttribute(null=True)
    started_at = UnicodeAttribute(null=True)
    ended_at = UnicodeAttribute(null=True)
    updated_at = UnicodeAttribute()
    records = NumberAttribute()
    size_bytes = NumberAttribute()
    processed_records = NumberAttribute(null=True)
    succeeded_records = NumberAttribute(null=True)
    failed_records = NumberAttribute(null=True)
    input_tokens = NumberAttribute(null=True)
    output_tokens = NumberAttribute(null=True)
    fold = JSONAttribute(null=True)


class LineRow(Model):
    """A place in line: `<priority>#<line_at>#<id>`. Exists exactly while the view says Queued."""

    TABLE: ClassVar[str] = PROJECTIONS
    pk = UnicodeAttribute(hash_key=True)
    sk = UnicodeAttribute(range_key=True)
    job = UnicodeAttribute()
    queued_at = UnicodeAttribute(null=True)


class SlotsRow(Model):
    """A model's slots. `holders` exists, empty, from the first moment: `size()` of an absent
    attribute is less than no limit. `refused` and `failing` are its holds (shared/hold.py), absent
    while all is well, as `failures`, `failed_late` and `failed_since` are. `day_jobs` and
    `day_records` are what began on `day`, of at most `max_jobs_per_day` and `max_records_per_day`
    (absent: no bound).
    """

    TABLE: ClassVar[str] = PROJECTIONS
    pk = UnicodeAttribute(hash_key=True)
    sk = UnicodeAttribute(range_key=True, default="slots")
    limit = NumberAttribute()
    paused = BooleanAttribute()
    model_version = NumberAttribute()
    ends = NumberAttribute()
    taken = NumberAttribute()
    good_ends = NumberAttribute()
    holders: MapAttribute[str, Any] = MapAttribute()
    refused: MapAttribute[str, Any] = MapAttribute(null=True)
    failing: MapAttribute[str, Any] = MapAttribute(null=True)
    failures = NumberAttribute(null=True)
    failed_late = BooleanAttribute(null=True)
    failed_since = UnicodeAttribute(null=True)
    paused_by = Words(null=True)
    paused_at = UnicodeAttribute(null=True)
    paused_why = Words(null=True)
    day = UnicodeAttribute(null=True)
    day_jobs = NumberAttribute(null=True)
    day_records = NumberAttribute(null=True)
    max_jobs_per_day = NumberAttribute(null=True)
    max_records_per_day = NumberAttribute(null=True)


class CountRow(Model):
    """How many jobs wait, or were over on a day, and what they add up to (shared/counts.py). One of
    several shards, so that the jobs of a model do not all change one item. `changes` counts the
    transactions that changed it.
    """

    TABLE: ClassVar[str] = PROJECTIONS
    pk = UnicodeAttribute(hash_key=True)
    sk = UnicodeAttribute(range_key=True)
    changes = NumberAttribute(null=True)
    jobs = NumberAttribute(null=True)
    records = NumberAttribute(null=True)
    completed = NumberAttribute(null=True, attr_name="Completed")
    completed_with_errors = NumberAttribute(null=True, attr_name="CompletedWithErrors")
    no_record_succeeded = NumberAttribute(null=True, attr_name="NoRecordSucceeded")
    partially_completed = NumberAttribute(null=True, attr_name="PartiallyCompleted")
    failed = NumberAttribute(null=True, attr_name="Failed")
    stopped = NumberAttribute(null=True, attr_name="Stopped")
    expired = NumberAttribute(null=True, attr_name="Expired")
    cancelled = NumberAttribute(null=True, attr_name="Cancelled")
    rejected = NumberAttribute(null=True, attr_name="Rejected")
    slot_seconds = NumberAttribute(null=True)
    slot_ends = NumberAttribute(null=True)
    succeeded_records = NumberAttribute(null=True)
    failed_records = NumberAttribute(null=True)
    input_tokens = NumberAttribute(null=True)
    output_tokens = NumberAttribute(null=True)


Row = EventRow | ViewRow | LineRow | SlotsRow | CountRow
R = TypeVar("R", EventRow, ViewRow, LineRow, SlotsRow, CountRow)


@dataclass(frozen=True)
class Put:
    """Write the whole row, if the condition holds for the row that is there now."""

    row: Row
    condition: Condition | None = None


@dataclass(frozen=True)
class Update:
    """Change parts of the row with this row's key; without a condition it is made where there is
    none.
    """

    row: Row
    actions: Sequence[Action]
    condition: Condition | None = None


@dataclass(frozen=True)
class Delete:
    """Remove the row with this row's key, if it is there."""

    row: Row


@dataclass(frozen=True)
class Check:
    """Write nothing; the transaction holds only if the condition does."""

    row: Row
    condition: Condition


Write = Put | Update | Delete | Check


class ConditionFailed(Exception):
    """A condition did not hold, or a repeat of the same write met its own first try. Not an answer:
    read again.
    """


class Contended(Exception):
    """Others write to the same items at this moment, or DynamoDB throttles: the same write may pass
    if tried again.
    """


class Tables(Protocol):
    """All that is ever done to the tables. Every read is strongly consistent; there is no scan."""

    def get(self, kind: type[R], hash_key: str, range_key: str) -> R | None:
        """The row with this key."""

    def query(
        self,
        kind: type[R],
        hash_key: str,
        *,
        limit: int | None = None,
        prefix: str = "",
        after: str | int = "",
    ) -> list[R]:
        """The first `limit` rows of a partition (all of them by default), in the order of their
        range key; only those whose range key begins with `prefix`, or is greater than `after`
        (text, or the version of an event).
        """

    def write(self, writes: Sequence[Write]) -> None:
        """All of it or nothing. One write alone is not a transaction and costs half. Raises
        ConditionFailed, Contended.
        """


def key_of(row: Row) -> tuple[str, str | int]:
    """(hash, range) of a row."""
    return (row.stream, int(row.version)) if isinstance(row, EventRow) else (row.pk, row.sk)
