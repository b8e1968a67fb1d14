"""Times and durations: no guess is more exact than it is, and what people write is understood or
refused.
"""

from datetime import timedelta

import pytest

from bbq.cli.faults import Fault
from bbq.cli.times import days, duration, exact, length, rough, since_when
from tests.cli.conftest import NOW


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-5, "0s"),
        (0, "0s"),
        (59.9, "59s"),
        (60, "1m00s"),
        (3599, "59m59s"),
        (3600, "1h00m"),
        (86_399, "23h59m"),
        (86_400, "1d00h"),
        (8_639_999, "99d23h"),
        (8_640_000, "100d"),
        (10**9, "11574d"),
    ],
)
def test_a_duration_has_six_letters_at_most(seconds: float, said: str) -> None:
    assert duration(timedelta(seconds=seconds)) == said
    assert len(said) <= 6


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (20, "less than a minute"),
        (90, "about 2m"),
        (5000, "about 83m"),
        (7300, "about 2h"),
        (300_000, "about 3d"),
    ],
)
def test_a_guess_is_rounded(seconds: float, said: str) -> None:
    assert rough(timedelta(seconds=seconds)) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0.00s"),
        (0.314, "0.31s"),
        (9.94, "9.9s"),
        (9.96, "10s"),
        (59.7, "1m00s"),
        (11_520, "3h12m"),
    ],
)
def test_durations_are_as_exact_as_a_refill_needs(seconds: float, said: str) -> None:
    assert exact(seconds, hundredths=True) == said


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90m", NOW - timedelta(minutes=90)),
        ("1w", NOW - timedelta(days=7)),
        ("2026-11-23", NOW.replace(day=23, hour=0)),
        ("2026-11-23T08:00+02:00", NOW.replace(day=23, hour=6)),
    ],
)
def test_times_may_be_said_in_many_ways(text: str, expected: object) -> None:
    assert since_when(text, NOW) == expected


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), (" 30m ", 1800), ("12h", 43_200), ("2d", 172_800), ("1w", 604_800)],
)
def test_lengths_of_time_are_read(text: str, seconds: int) -> None:
    assert length(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "h", "-1m", "1.5h", "1y", "999999999w", "2h30m"])
def test_what_is_no_time_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(Fault, match="is not a length of time: say 90s"):
        length(text)
    with pytest.raises(Fault, match="is not a time: say 90m"):
        since_when(text, NOW)


def test_today_and_yesterday_are_those_of_utc() -> None:
    assert days(NOW) == ("2026-11-24", "2026-11-23")
    assert days(NOW - timedelta(hours=12, seconds=1)) == ("2026-11-23", "2026-11-22")
