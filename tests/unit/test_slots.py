"""Slots: room, a pause, and what a model's events say."""

from bbq.shared import events as e
from bbq.shared.slots import Lease, Slots, fold_model
from tests.support.samples import T0


def test_slots_have_room_only_below_the_limit_and_not_paused() -> None:
    lease = Lease(owner="a", until=T0)
    assert Slots(model="m", limit=1).has_room
    assert not Slots(model="m", limit=0).has_room
    assert not Slots(model="m", limit=1, paused=True).has_room
    assert not Slots(model="m", limit=1, holders={"a#1": lease, "b#1": lease}).has_room


def test_a_models_events_fold_to_its_limit_and_pause() -> None:
    events = [
        e.LimitSet(at=T0, limit=3),
        e.ModelPaused(at=T0, by="", why=""),
        e.LimitSet(at=T0, limit=5),
    ]
    slots = fold_model("m", events)
    assert (slots.limit, slots.paused, slots.model_version) == (5, True, 3)
    assert not fold_model("m", [*events, e.ModelResumed(at=T0, by="", why="")]).paused
