"""How long it will take: the position in line, the expected start, the time to drain. Pure
arithmetic on what was counted.

Every answer is a guess from the mean time that a job holds a slot, today or yesterday; None where
there is nothing to go by.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from bbq.shared.slots import Slots

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
    slots: Slots | None, jobs_ahead: int, mean_slot_seconds: float | None
) -> timedelta | None:
    """How long until a job with so many before it gets a slot. None if unknown: also while the
    model is paused or on hold.

    Slots that are free go first. After that one is freed every mean / limit seconds, on average.
    """
    if slots is None or slots.paused or slots.holds or slots.limit <= 0:
        return None
    ends_needed = jobs_ahead + 1 - (slots.limit - len(slots.holders))
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
