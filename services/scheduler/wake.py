"""Models: their slots brought up to their events, then filled; and whatever may have made room, or
mended something.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from bbq.services.scheduler.fill import fill
from bbq.services.scheduler.hints import Report, alias_of
from bbq.services.scheduler.world import World
from bbq.shared import appends, projections
from bbq.shared import events as e
from bbq.shared.names import model_stream
from bbq.shared.slots import Slots, fold_model
from bbq.shared.tables import ConditionFailed, Write

MAX_STEPS = 20  # tries to bring a model up to date


def wake(
    world: World,
    alias: str | None = None,
    limits: Mapping[str, int] | None = None,
    *,
    ask: bool = False,
) -> list[str]:
    """Look at one model, or at all that are configured. `limits` come from a deployment; `ask`: a
    person wants Bedrock to be asked again although a model is on hold.
    """
    aliases = [alias] if alias is not None else list(world.config.models)
    each(aliases, lambda name: reconcile_model(world, name, (limits or {}).get(name), ask=ask))
    return aliases


def reconcile_model(
    world: World, alias: str, limit: int | None = None, *, ask: bool = False
) -> None:
    """Bring a model's slots up to its events, then fill. `limit` is what a deployment now says, and
    the ceiling of a day is what it has configured; None leaves both.
    """
    for tries in range(MAX_STEPS):
        events = [recorded.event for recorded in world.store.load(model_stream(alias))]
        state, slots = fold_model(alias, events), world.store.slots(alias)
        if slots is None and any(isinstance(event, e.LimitSet) for event in events):
            # Made anew it would be empty and open, whoever lives at Bedrock.
            raise RuntimeError(
                f"the slots of model {alias} are missing, but it had them: rebuild them with `bbq "
                "rebuild`"
            )
        writes: list[Write] = []
        if limit is not None and (event := _new_limit(world, limit, state, events)) is not None:
            state = fold_model(alias, [*events, event])
            writes.append(appends.append_to_model(alias, state.model_version, event))
        projected = slots.model_version if slots else 0
        if state.model_version > projected:
            resumed = any(isinstance(event, e.ModelResumed) for event in events[projected:])
            writes.extend(projections.model_changed(slots, state, resumed=resumed))
        elif ask and slots is not None and slots.holds:
            writes.extend(projections.reason_to_ask(alias))
        try:
            if writes:
                world.store.commit(writes)
            break
        except ConditionFailed:
            world.store.pause(tries)
    else:
        raise RuntimeError(
            f"the slots of model {alias} could not be brought up to date in {MAX_STEPS} tries"
        )
    fill(world, alias)


def _new_limit(
    world: World, limit: int, state: Slots, events: Sequence[e.Event]
) -> e.LimitSet | None:
    """What a deployment says, unless its model's stream says so already."""
    ceiling = world.config.models[state.model].ceiling
    if events and (state.limit, state.ceiling) == (limit, ceiling):
        return None
    return e.LimitSet(
        at=world.now(),
        limit=limit,
        max_jobs_per_day=ceiling.jobs,
        max_records_per_day=ceiling.records,
    )


def foreign_end(world: World, report: Report) -> None:
    """Others share the quota: their end is a reason to ask again for a job that Bedrock refused, or
    is refusing right now.
    """
    alias = alias_of(report.model_id, world.config.models)

    def hear(alias: str) -> None:
        slots = world.store.slots(alias)
        if slots is not None and slots.quota_matters:
            world.store.commit(projections.reason_to_ask(alias))
            fill(world, alias)

    # a model that cannot be told may be any
    each([alias] if alias is not None else world.config.models, hear)


def each(aliases: Iterable[str], act: Callable[[str], None]) -> None:
    """Do it for every model, whatever becomes of the others; then raise what went wrong."""
    errors: list[Exception] = []
    for alias in aliases:
        try:
            act(alias)
        except Exception as error:  # noqa: BLE001 - raised below, all together
            error.add_note(f"model {alias}")
            errors.append(error)
    if errors:
        raise ExceptionGroup("some models could not be looked after", errors)
