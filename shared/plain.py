"""Values of events and states as JSON, and back. Times are fixed-width text, which sorts as time
does. Pure.
"""

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from functools import cache, partial
from types import NoneType
from typing import Any, ClassVar, get_args, get_origin, get_type_hints


def text_of(moment: datetime) -> str:
    """Fixed-width UTC text with microseconds: sorts as time does."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def shortened(text: str, most: int) -> str:
    """At most so many characters; the last one is … if something was left out."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def moment_of(text: str) -> datetime:
    """The reverse of `text_of`."""
    return datetime.fromisoformat(text)


def to_plain(value: object) -> Any:
    """A value of an event, or of a state, as JSON."""
    if isinstance(value, datetime):
        return text_of(value)
    if isinstance(value, tuple):
        return [to_plain(item) for item in value]
    if isinstance(value, frozenset):
        return sorted(value)
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_plain(getattr(value, field.name)) for field in fields(value)}
    return value


@cache
def reader(kind: Any) -> Callable[[Any], Any]:
    """What reads a value of this kind from JSON. Raises TypeError, ValueError if it is none."""
    if kind is datetime:
        return _moment
    if get_origin(kind) in {tuple, frozenset}:
        item, collection = reader(get_args(kind)[0]), get_origin(kind)
        return lambda value: collection(item(each) for each in value)
    if NoneType in get_args(kind):
        (inner,) = (each for each in get_args(kind) if each is not NoneType)
        read = reader(inner)
        return lambda value: None if value is None else read(value)
    if isinstance(kind, type) and is_dataclass(kind):
        known = {
            name: reader(hint)
            for name, hint in get_type_hints(kind).items()
            if get_origin(hint) is not ClassVar
        }
        return lambda value: kind(
            **{name: known[name](item) for name, item in value.items() if name in known}
        )
    return partial(_plain_of, kind)


def _moment(text: str) -> datetime:
    moment = moment_of(text)
    if moment.tzinfo is None:
        raise ValueError("a time without a zone")
    return moment.astimezone(UTC)


def _plain_of(kind: Any, value: Any) -> object:
    """A value of a plain kind."""
    if not isinstance(value, kind):
        raise TypeError(f"{type(value).__name__} for {kind}")
    return value
