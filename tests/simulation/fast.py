"""For a process that does nothing but run seeds: the same answers with less work.

PynamoDB's attributes ask at every access whether their owner is the map of a class; an event and a
slots item are read from the same row many times; the collector of cycles goes through all that a
run remembers. `campaign` calls this in its own processes only, and a test compares its runs with
those of a process that takes its time.
"""

import gc
from collections.abc import Callable
from functools import cache
from typing import Any

from pynamodb.attributes import Attribute, AttributeContainer, NumberAttribute
from pynamodb.models import Model

from bbq.shared import rows, store
from bbq.shared.events import Event, Json
from bbq.shared.slots import Slots
from bbq.shared.tables import SlotsRow


class Hurry:
    """This process reads rows faster. `tidy` after each run: what was read is forgotten."""

    @classmethod
    @cache
    def up(cls) -> "Hurry":
        """The one of this process, from the first call on."""
        return cls()

    def __init__(self) -> None:
        # by id of the data, which is kept so that the id stays its own
        self._events: dict[int, tuple[Json, Event]] = {}
        self._slots: dict[int, tuple[SlotsRow, Slots]] = {}  # as above, of the row
        _look_attributes_up()
        reading: Any = store
        reading.from_stored = self._reading_events(reading.from_stored)
        reading = rows
        reading.slots_of = self._reading_slots(reading.slots_of)
        gc.freeze()
        gc.disable()

    def tidy(self) -> None:
        """Forget what a run has read, and the cycles that it left."""
        self._events.clear()
        self._slots.clear()
        gc.collect()

    def _reading_events(
        self, read: Callable[[str, int, str, Json], Event]
    ) -> Callable[[str, int, str, Json], Event]:
        def reading(name: str, version: int, at: str, data: Json) -> Event:
            known = self._events.get(id(data))
            if known is None:
                known = self._events[id(data)] = data, read(name, version, at, data)
            return known[1]

        return reading

    def _reading_slots(self, read: Callable[[SlotsRow], Slots]) -> Callable[[SlotsRow], Slots]:
        def reading(row: SlotsRow) -> Slots:
            known = self._slots.get(id(row))
            if known is None:
                known = self._slots[id(row)] = row, read(row)
            return known[1]

        return reading


def _look_attributes_up() -> None:
    """Attributes of rows, which are Models, are looked up directly, and those of maps as before.
    Whole numbers need no JSON, and a row without defaults looks for none.
    """
    attribute: Any = Attribute
    number: Any = NumberAttribute
    container: Any = AttributeContainer
    slow_get, slow_set = attribute.__get__, attribute.__set__
    slow_number, slow_defaults = number.serialize, container._set_defaults
    has_defaults: dict[type, bool] = {}

    def get(self: Any, instance: Any, owner: Any) -> Any:
        if isinstance(instance, Model):
            row: Any = instance
            name = self.attr_path[-1]
            return row.attribute_values.get(row._dynamo_to_python_attrs.get(name, name))
        return slow_get(self, instance, owner)

    def put(self: Any, instance: Any, value: Any) -> None:
        if isinstance(instance, Model):
            row: Any = instance
            name = self.attr_path[-1]
            row.attribute_values[row._dynamo_to_python_attrs.get(name, name)] = value
        else:
            slow_set(self, instance, value)

    def written(self: Any, value: Any) -> Any:
        return str(value) if type(value) is int else slow_number(self, value)

    def defaults(self: Any, _user_instantiated: bool = True) -> None:  # noqa: FBT002 - as PynamoDB has it
        kind = type(self)
        if kind not in has_defaults:
            every = self.get_attributes().values()
            has_defaults[kind] = any(
                each.default is not None or each.default_for_new is not None for each in every
            )
        if has_defaults[kind]:
            slow_defaults(self, _user_instantiated=_user_instantiated)

    attribute.__get__, attribute.__set__, number.serialize, container._set_defaults = (
        get,
        put,
        written,
        defaults,
    )
