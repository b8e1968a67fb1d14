"""Whatever an event holds survives being stored, and whatever is stored is either that event or
said to be unknown.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from types import NoneType, UnionType
from typing import Any, ClassVar, get_args, get_origin, get_type_hints

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bbq.shared import events as e
from bbq.shared.memory import MemoryTables
from bbq.shared.plain import moment_of, text_of
from bbq.shared.store import Store
from tests.support.samples import at

OFFSETS = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
MOMENTS = st.datetimes(datetime(1000, 1, 3), datetime(9999, 12, 29), timezones=OFFSETS)  # noqa: DTZ001 - the zones are drawn
# Lone surrogates too: JSON can say them (but not two that make a pair: they are one character
# then).
TEXT = st.text(st.characters(), max_size=30).map(lambda text: str(json.loads(json.dumps(text))))
PLAIN: dict[type, st.SearchStrategy[Any]] = {
    str: TEXT,
    int: st.integers(-(10**30), 10**30),
    bool: st.booleans(),
    NoneType: st.none(),
    datetime: MOMENTS,
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


def values(hint: Any) -> st.SearchStrategy[Any]:
    """Anything that a field of this type may hold."""
    if get_origin(hint) is tuple:
        return st.lists(values(get_args(hint)[0]), max_size=3).map(tuple)
    if get_origin(hint) is UnionType:
        return st.one_of([values(kind) for kind in get_args(hint)])
    return instances(hint) if is_dataclass(hint) and isinstance(hint, type) else PLAIN[hint]


def instances(kind: type) -> st.SearchStrategy[Any]:
    """Any instance of a dataclass."""
    hints = get_type_hints(kind)
    return st.builds(kind, **{field.name: values(hints[field.name]) for field in fields(kind)})


EVERY = pytest.mark.parametrize("kind", e.EVENTS.values(), ids=list(e.EVENTS))
ANY_EVENT = st.one_of([instances(kind) for kind in e.EVENTS.values()])
quick = settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])


def stored(event: e.Event) -> Any:
    """The data of an event after a journey as JSON text."""
    return json.loads(json.dumps(e.to_stored(event)))


def read(event: e.Event, data: Any) -> e.Event:
    """What these data are to the reader of such an event."""
    return e.from_stored(event.NAME, event.VERSION, text_of(event.at), data)


@EVERY
@quick
@given(data=st.data())
def test_an_event_survives_being_stored_whatever_it_holds(
    kind: type[e.Event], data: st.DataObject
) -> None:
    event = data.draw(instances(kind))
    assert read(event, stored(event)) == event
    store = Store(MemoryTables(), sleep=lambda _: None)
    store.append_to_model("x", 1, event)
    assert [recorded.event for recorded in store.load("model#x")] == [event]


@given(event=ANY_EVENT, more=st.dictionaries(TEXT.map("x-{}".format), JSON, max_size=3))
def test_fields_of_a_newer_writer_are_left_out_wherever_they_are(
    event: e.Event, more: dict[str, Any]
) -> None:
    def richer(value: Any) -> Any:
        if isinstance(value, list):
            return [richer(item) for item in value]
        return (
            {**more, **{name: richer(inner) for name, inner in value.items()}, **more}
            if isinstance(value, dict)
            else value
        )

    assert read(event, richer(stored(event))) == event


OPTIONAL = {
    "found",
    "record_count",
    "total_records",
    "processed_records",
    "succeeded_records",
    "failed_records",
    "input_tokens",
    "output_tokens",
    "labels",
    "line_at",
    "started",
    "good_ends",
    "warnings",
    "max_jobs_per_day",
    "max_records_per_day",
}


@EVERY
def test_a_field_that_is_missing_makes_an_event_unknown_unless_it_has_a_default(
    kind: type[e.Event],
) -> None:
    # of a job it must be known, of a source not
    defaults = OPTIONAL - ({"record_count"} if kind is e.JobQueued else set())

    @quick
    @given(instances(kind))
    def check(event: e.Event) -> None:
        whole = stored(event)
        for field in fields(kind):
            less = {name: value for name, value in whole.items() if name != field.name}
            if field.name in {"at", *defaults}:
                assert getattr(read(event, less), field.name) == (
                    event.at if field.name == "at" else field.default
                )
            else:
                with pytest.raises(e.UnknownEvent):
                    read(event, less)

    check()


@settings(max_examples=200)
@given(
    st.sampled_from(sorted(e.EVENTS)) | TEXT,
    st.integers(min_value=1),
    TEXT | st.just(text_of(at(0))),
    JSON,
)
def test_whatever_json_is_stored_no_error_but_unknown_event_comes_of_it(
    name: str, version: int, when: str, data: Any
) -> None:
    try:
        event = e.from_stored(name, version, when, data)
    except e.UnknownEvent:
        return
    assert type(event) is e.EVENTS[name]
    assert version <= event.VERSION


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(ANY_EVENT, st.data(), JSON)
def test_a_damaged_event_raises_no_error_but_unknown_event(
    event: e.Event, data: st.DataObject, damage: Any
) -> None:
    spoilt = inner = {**stored(event), "at": None}
    while True:
        place = data.draw(st.sampled_from(sorted(inner)))
        items = inner[place]
        if not (
            isinstance(items, list)
            and items
            and isinstance(items[0], dict)
            and data.draw(st.booleans())
        ):
            inner[place] = damage
            break
        inner = items[0]
    try:
        assert type(read(event, spoilt)) is type(event)
    except e.UnknownEvent:
        return


@pytest.mark.parametrize(
    ("name", "field", "wrong"),
    [
        ("job-queued", "sources", [None, 7, "x", [None], [7], ["x"], [[]], [{}], {"bucket": "b"}]),
        ("job-rejected", "problems", [None, 7, "x", [None], [{"line": 1}]]),
        ("job-queued", "line_at", [7, "", "soon", [], {}]),
    ],
)
def test_sources_problems_and_times_of_a_wrong_shape_are_an_unknown_event(
    name: str, field: str, wrong: list[Any]
) -> None:
    right: dict[str, Any] = {
        "sources": [],
        "problems": [],
        "labels": [],
        "line_at": None,
        "warnings": [],
    }
    whole = {
        each.name: right.get(each.name, "x" if each.type in {str, str | None} else 1)
        for each in fields(e.EVENTS[name])
        if each.name != "at"
    }
    assert type(e.from_stored(name, 1, text_of(at(0)), whole)) is e.EVENTS[name]
    for value in wrong:
        with pytest.raises(e.UnknownEvent):
            e.from_stored(name, 1, text_of(at(0)), {**whole, field: value})


@pytest.mark.parametrize(
    ("name", "version", "when", "data"),
    [
        pytest.param("limit-set", 0, text_of(at(0)), {"limit": 1}, id="a version that never was"),
        pytest.param("limit-set", 1, text_of(at(0)), {"limit": "many"}, id="a text for a number"),
        pytest.param(
            "job-progressed",
            1,
            text_of(at(0)),
            {"attempt": 1, "status": []},
            id="a list for a text",
        ),
        pytest.param("limit-set", 1, "2026-11-23", {"limit": 1}, id="a time without a zone"),
        pytest.param(
            "limit-set",
            1,
            "0001-01-01T00:00:00+23:59",
            {"limit": 1},
            id="a time that UTC cannot say",
        ),
    ],
)
def test_a_value_of_the_wrong_kind_is_an_unknown_event(
    name: str, version: int, when: str, data: dict[str, Any]
) -> None:
    with pytest.raises(e.UnknownEvent):
        e.from_stored(name, version, when, data)


@dataclass(frozen=True, kw_only=True)
class LimitSet(e.Event):
    """As limit-set may look one day: in version 2 `limit` became `jobs`, version 3 added `unit`."""

    NAME: ClassVar[str] = "limit-set"
    VERSION: ClassVar[int] = 3
    jobs: int
    unit: str


@given(st.integers(1, 9), st.integers())
def test_an_old_version_is_lifted_by_every_step_from_its_own_on_in_order_and_once(
    version: int, limit: int
) -> None:
    taken: list[int] = []

    def step(number: int, lift: Callable[[e.Json], e.Json], data: e.Json) -> e.Json:
        taken.append(number)
        return lift(data)

    lifts: list[Callable[[e.Json], e.Json]] = [
        lambda data: {"jobs": data["limit"]},
        lambda data: {**data, "unit": "jobs"},
    ]
    shapes: list[e.Json] = [{"limit": limit}, {"jobs": limit}, {"jobs": limit, "unit": "jobs"}]
    steps = {
        ("limit-set", number): partial(step, number, lift) for number, lift in enumerate(lifts, 1)
    }
    others = {("limit-set", 3): partial(step, 3, dict), ("job-queued", 1): partial(step, 1, dict)}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(e, "UPCASTS", {**steps, **others})
        patched.setattr(e, "EVENTS", {**e.EVENTS, "limit-set": LimitSet})
        if version > LimitSet.VERSION:
            with pytest.raises(e.UnknownEvent):
                e.from_stored("limit-set", version, text_of(at(0)), {"jobs": 1, "unit": "x"})
        else:
            event = e.from_stored("limit-set", version, text_of(at(0)), shapes[version - 1])
            assert event == LimitSet(at=at(0), jobs=limit, unit="jobs")
    assert taken == list(range(version, 3))


@given(MOMENTS, MOMENTS | st.integers(-2, 2).map(lambda micro: timedelta(microseconds=micro)))
def test_stored_times_sort_as_time_does_and_come_back_in_utc(
    one: datetime, other: datetime | timedelta
) -> None:
    other = other if isinstance(other, datetime) else one + other
    texts = text_of(one), text_of(other)
    assert (texts[0] < texts[1], texts[0] == texts[1]) == (one < other, one == other)
    assert [len(text) for text in texts] == [27, 27]
    assert (moment_of(texts[0]), moment_of(texts[0]).tzinfo) == (one, UTC)
