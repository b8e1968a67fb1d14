"""Times and durations as people say them, and read from what people say. All times are UTC. Pure,
but for `now`.
"""

import re
from datetime import UTC, datetime, timedelta

from bbq.cli.faults import Fault

MINUTE, HOUR, DAY = 60, 3600, 86_400
EXACT_SECONDS = 9.95  # below it, tenths tell something
_UNITS = {"": "seconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def now() -> datetime:
    """The clock of everything that is shown."""
    return datetime.now(UTC)


def days(at: datetime) -> tuple[str, str]:
    """Today and yesterday, as the counts name them."""
    today = at.astimezone(UTC).date()
    return today.isoformat(), (today - timedelta(days=1)).isoformat()


def moment(at: datetime) -> str:
    """To the second: 2026-11-24 12:00:00."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def minute(at: datetime) -> str:
    """To the minute: 2026-11-24 12:00."""
    return moment(at)[:16]


def clock(at: datetime) -> str:
    """Without the year: 24 Nov 12:00:00."""
    return at.astimezone(UTC).strftime("%d %b %H:%M:%S").lstrip("0")


def duration(time: timedelta) -> str:
    """At most six letters: 45s, 5m12s, 2h05m, 3d04h, 250d. Never negative: clocks differ."""
    seconds = max(0, int(time.total_seconds()))
    if seconds < MINUTE:
        return f"{seconds}s"
    if seconds < HOUR:
        return f"{seconds // MINUTE}m{seconds % MINUTE:02}s"
    if seconds < DAY:
        return f"{seconds // HOUR}h{seconds % HOUR // MINUTE:02}m"
    if seconds < 100 * DAY:
        return f"{seconds // DAY}d{seconds % DAY // HOUR:02}h"
    return f"{seconds // DAY}d"


def exact(seconds: float, *, hundredths: bool = False) -> str:
    """As `duration`, with tenths below ten seconds and, if asked for, hundredths below one: a
    refill takes less than that.
    """
    if seconds >= EXACT_SECONDS:
        return duration(timedelta(seconds=round(seconds)))
    return f"{max(seconds, 0):.{2 if hundredths and seconds < 1 else 1}f}s"


def rough(time: timedelta) -> str:
    """A guess, no more exact than it is: 'about 3h', 'about 40m', 'less than a minute'."""
    seconds = time.total_seconds()
    if seconds < MINUTE:
        return "less than a minute"
    if seconds < 100 * MINUTE:
        return f"about {round(seconds / MINUTE)}m"
    if seconds < 2 * DAY:
        return f"about {round(seconds / HOUR)}h"
    return f"about {round(seconds / DAY)}d"


def length(text: str) -> timedelta:
    """A length of time as people write it: 90, 90s, 30m, 12h, 2d, 1w. Raises Fault."""
    match = re.fullmatch(r"([0-9]{1,9})([smhdw]?)", text.strip())
    try:
        if match is not None:
            return timedelta(**{_UNITS[match[2]]: int(match[1])})
    except OverflowError:
        pass
    raise Fault(f"{text!r} is not a length of time: say 90s, 30m, 12h or 2d")


def since_when(text: str, at: datetime, option: str = "--since") -> datetime:
    """`90m`, `2h`, `3d`, `1w` before `at`, `2026-11-23` or a whole time; UTC if no zone is named.
    Raises Fault.
    """
    try:
        if re.fullmatch(r"[0-9]+[mhdw]", text.strip()):
            return at - length(text)
        said = datetime.fromisoformat(text.strip())
        return said if said.tzinfo else said.replace(tzinfo=UTC)
    except (ValueError, OverflowError, Fault):
        example = "say 90m, 2h, 3d or 1w, a day such as 2026-11-23, or 2026-11-23T08:00"
        raise Fault(f"{option} {text!r} is not a time: {example}") from None
