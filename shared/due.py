"""When a timer is due. EventBridge Scheduler fires within the minute, so every due moment is a
whole minute (UTC), and at least one full minute ahead: the minute is part of the timer's name, and
a name that may have fired already arms nothing (R10, R35). So it is never the minute that woke us,
although our clock may be behind.

Pure.
"""

from datetime import UTC, datetime, timedelta

# between two invocations, or one and AWS, at most
CLOCK_SKEW = timedelta(seconds=30)


def grid_due(now: datetime, step_minutes: int, *, offset: int = 0) -> datetime:
    """The first minute of the grid that is at least one full minute ahead. `offset` (in minutes)
    shifts the grid.
    """
    earliest = minute_number(now) + 2 if now.second or now.microsecond else minute_number(now) + 1
    steps = -(-(earliest - offset) // step_minutes)
    return at_minute(offset + steps * step_minutes)


def lease_due(until: datetime, now: datetime) -> datetime:
    """The minute of a lease's timer: after its end, and at least one full minute ahead."""
    return max(at_minute(minute_number(until) + 1), grid_due(now, 1))


def hold_due(until: datetime, now: datetime) -> datetime:
    """The minute of a hold's timer: its end, or the one after it if that may have fired already."""
    return until if until - now > CLOCK_SKEW else until + timedelta(minutes=1)


def check_in_due(anchor: datetime, step_minutes: int, now: datetime) -> datetime:
    """The minute of the next look at a running attempt: on a grid anchored at its claim, so that
    every hint names the same.
    """
    return grid_due(now, step_minutes, offset=minute_number(anchor) % step_minutes)


def next_day_due(date: str, now: datetime) -> datetime:
    """The first minute of the day after `date` (`2026-11-24`, at least today's), at least one full
    minute ahead.
    """
    midnight = datetime.fromisoformat(date).replace(tzinfo=UTC) + timedelta(days=1)
    return max(midnight, grid_due(now, 1))


def minute_number(moment: datetime) -> int:
    """Whole minutes since 1970, rounded down."""
    return int(moment.timestamp() // 60)


def at_minute(number: int) -> datetime:
    """The reverse of `minute_number`."""
    return datetime.fromtimestamp(number * 60, UTC)
