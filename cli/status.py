"""`bbq status`: each model at a glance: its slots, its line, why it is on hold, what ended today,
and how long it will take.

A bounded number of reads whatever the history: for each model its slots, its counts of the line and
of two days, and the head of each priority in its line, eleven at most; the counts of uploads
without a model; and the depth of three queues.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

import typer
from rich.text import Text

from bbq.cli import deployment as deployments
from bbq.cli import queries, times
from bbq.cli.app import LOOK, app
from bbq.cli.deployment import Deployment
from bbq.cli.estimates import mean_slot_seconds, time_to_drain
from bbq.cli.holds import Held, holds, next_try, what_is_wrong, what_to_do
from bbq.cli.output import out, print_json
from bbq.cli.queries import NO_MODEL, OUTCOMES
from bbq.cli.tables import paragraph, show_lines
from bbq.cli.times import duration, rough
from bbq.cli.wording import bar, counted, safe
from bbq.cli.wording import status as styled
from bbq.shared.job import UNREADABLE
from bbq.shared.slots import UNBOUNDED, Slots
from bbq.shared.store import Store

MOST_UNREADABLE = 100  # uploads that are counted; of more it is said that there are more
LETTERS = {  # what helps against dead letters, by queue
    "uploads": ("notifications of uploads that could not be handled", "bbq redrive uploads"),
    "hints": ("hints that could not be handled", "bbq redrive hints"),
    "stream": ("records of the stream that could not be handled", "bbq redrive stream"),
}


@dataclass(frozen=True, kw_only=True)
class Pause:
    """Who paused a model, when and why; None where the slots do not say."""

    by: str | None = None
    at: datetime | None = None
    why: str | None = None


@dataclass(frozen=True, kw_only=True)
class Began:
    """What began today (UTC), of what may; None where there is no such ceiling. `parked`: next in
    line must wait for tomorrow.
    """

    jobs: int
    max_jobs: int | None
    records: int
    max_records: int | None
    parked: bool


@dataclass(frozen=True, kw_only=True)
class ModelStatus:
    """One model. `began_today` is None for a model without a ceiling of the day;
    `mean_slot_seconds` and `drain_seconds` are None where there is nothing to go by. `ended_today`:
    by outcome.
    """

    model: str
    slots_held: int
    slot_limit: int
    paused: Pause | None
    waiting_jobs: int
    waiting_records: int
    oldest_wait_since: datetime | None
    on_hold: tuple[Held, ...]
    began_today: Began | None
    ended_today: Mapping[str, int]
    mean_slot_seconds: float | None
    drain_seconds: float | None


@dataclass(frozen=True, kw_only=True)
class Unreadable:
    """Uploads that intake may not read: how many (no more than MOST_UNREADABLE are counted), since
    when the first, and why it.
    """

    uploads: int
    since: datetime
    reason: str


@dataclass(frozen=True, kw_only=True)
class Status:
    """The whole deployment. `ended_without_model`: by outcome, uploads of today whose model was
    never known (a folder that is nearly an alias, or cancelled before it could be read).
    `dead_letters`: messages by queue (uploads, hints, stream).
    """

    deployment: str
    at: datetime
    models: tuple[ModelStatus, ...]
    ended_without_model: Mapping[str, int]
    unreadable: Unreadable | None
    dead_letters: Mapping[str, int]


@app.command(rich_help_panel=LOOK)
def status(
    context: typer.Context,
    json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Show each model's slots, its line, what ended today, and what needs a person.

    Example: [bold]bbq --name bbq status[/bold]
    """
    deployment = deployments.find(context.obj)
    found = read(deployment, list(deployment.models))
    if json:
        return print_json(found)
    console = out()
    show_lines(console, status_lines(found, console.width))
    return None


def read(deployment: Deployment, models: Sequence[str]) -> Status:
    """Everything, all of these models at once."""
    now = times.now()
    queues = deployment.dead_letter_queue_urls
    found = queries.at_once(lambda alias: model_status(deployment, alias, now), models)
    depths = queries.at_once(lambda url: deployment.queue(url).depth(), list(queues.values()))
    return Status(
        deployment=deployment.name,
        at=now,
        models=tuple(found),
        ended_without_model=_outcomes(deployment.store.day(NO_MODEL, times.days(now)[0])),
        unreadable=unreadable(deployment),
        dead_letters=dict(zip(queues, depths, strict=True)),
    )


def unreadable(deployment: Deployment) -> Unreadable | None:
    """Uploads that intake may not read at this time; None without any. One request."""
    found = queries.live_views(deployment, [NO_MODEL], {UNREADABLE}, limit=MOST_UNREADABLE)
    if not found:
        return None
    return Unreadable(
        uploads=len(found), since=found[0].queued_at, reason=found[0].reason or "unknown"
    )


def model_status(deployment: Deployment, alias: str, now: datetime) -> ModelStatus:
    """One model as it is now."""
    store = deployment.store
    # before its first limit was set, nothing starts
    slots = store.slots(alias) or Slots(model=alias, limit=0)
    today, yesterday = (store.day(alias, day) for day in times.days(now))
    waiting = store.waiting(alias)
    mean = mean_slot_seconds(today, yesterday)
    began = began_today(store, slots, now) if slots.ceiling != UNBOUNDED else None
    stuck = slots.paused or (began is not None and began.parked) or bool(slots.holds)
    drain = None if stuck else time_to_drain(waiting.get("jobs", 0), slots.limit, mean)
    return ModelStatus(
        model=alias,
        slots_held=len(slots.holders),
        slot_limit=slots.limit,
        paused=pause_of(slots),
        waiting_jobs=waiting.get("jobs", 0),
        waiting_records=waiting.get("records", 0),
        oldest_wait_since=store.oldest_place(alias) if waiting.get("jobs") else None,
        on_hold=holds(slots),
        began_today=began,
        ended_today=_outcomes(today),
        mean_slot_seconds=mean,
        drain_seconds=drain.total_seconds() if drain is not None else None,
    )


def pause_of(slots: Slots) -> Pause | None:
    """None for a model that is not paused."""
    if not slots.paused:
        return None
    return (
        Pause(by=slots.pause.by, at=slots.pause.at, why=slots.pause.why) if slots.pause else Pause()
    )


def began_today(store: Store, slots: Slots, now: datetime) -> Began:
    """Reads who is next in line, because only that says whether it fits."""
    day, ceiling = slots.day.at(now), slots.ceiling
    head = next(iter(store.line(slots.model, 1)), None)
    job = store.job(head) if head is not None else None
    parked = job is not None and not ceiling.allows(day, job.record_count)
    return Began(
        jobs=day.jobs,
        max_jobs=ceiling.jobs,
        records=day.records,
        max_records=ceiling.records,
        parked=parked,
    )


def status_lines(found: Status, width: int) -> list[Text]:
    """A block for each model, and what needs a person at the end."""
    indent = max(len(model.model) for model in found.models) + 2
    blocks = [_block(model, found.at, width, indent) for model in found.models]
    if found.ended_without_model:
        blocks.append(paragraph(_without_model(found.ended_without_model), width, indent=0))
    if found.unreadable is not None:
        blocks.append(paragraph(_unreadable(found.unreadable, found.at), width, indent=0))
    for queue, depth in found.dead_letters.items():
        if depth:
            what, command = LETTERS[queue]
            red = Text(f"{depth:,} {what}", style="red")
            blocks.append([red, Text(f"  look at them with: {command}")])
    return [line for block in blocks for line in (Text(), *block)][1:]


def _outcomes(day: Mapping[str, int]) -> dict[str, int]:
    return {outcome: day[outcome] for outcome in OUTCOMES if day.get(outcome)}


def _ended(counts: Mapping[str, int], first: str) -> list[str | Text]:
    """How many ended how, after the first word; empty if none did."""
    words = [first, *[""] * len(counts)]
    return [
        Text.assemble(f"{word}{count:,} ", styled(outcome))
        for word, (outcome, count) in zip(words, counts.items(), strict=False)
    ]


def _without_model(counts: Mapping[str, int]) -> list[str | Text]:
    options = " ".join(f"--status {outcome}" for outcome in counts)
    look = f"look at them with: bbq jobs {options}"
    return [*_ended(counts, "today without a model: "), look]


def _unreadable(found: Unreadable, now: datetime) -> list[str | Text]:
    more = " or more" if found.uploads == MOST_UNREADABLE else ""
    what = (
        f"{counted(found.uploads, 'upload')}{more} cannot be read, the first for "
        f"{duration(now - found.since)}"
    )
    return [Text(safe(f"{what}: {found.reason}"), style="red"), "mend it, then: bbq wake"]


def _block(model: ModelStatus, now: datetime, width: int, indent: int) -> list[Text]:
    held, limit = model.slots_held, model.slot_limit
    slots = Text.assemble(bar(held, limit), f" {held} of {counted(limit, 'slot')}")
    sentences = [Text(safe(paused(model.paused, now)), "yellow")] if model.paused else []
    if (began := model.began_today) is not None:
        sentences.append(Text(_began(began), "yellow" if began.parked else ""))
    for hold in model.on_hold:
        sentences += [Text(text, "yellow") for text in _held(hold, model, now)]
    made = paragraph([slots, _waiting(model, now)], width, indent=indent, between="   ")
    for sentence in sentences:
        made += paragraph([sentence], width, indent=indent)
    made += paragraph(_today(model), width, indent=indent)
    name = Text(f"{safe(model.model):<{indent}}", style="bold")
    return [name.append_text(made[0][indent:]), *made[1:]]


def paused(pause: Pause, now: datetime) -> str:
    """By whom, since when and why, as far as it is known."""
    by = f" by {pause.by}" if pause.by else ""
    since = f" {duration(now - pause.at)} ago" if pause.at else ""
    return f"paused{by}{since}" + (f": {pause.why}" if pause.why else "")


def _waiting(model: ModelStatus, now: datetime) -> str:
    if not model.waiting_jobs:
        return "nothing in line"
    oldest = (
        f", oldest {duration(now - model.oldest_wait_since)}" if model.oldest_wait_since else ""
    )
    return (
        f"{counted(model.waiting_jobs, 'job')} in line "
        f"({counted(model.waiting_records, 'record')}){oldest}"
    )


def _began(began: Began) -> str:
    of = []
    if began.max_jobs is not None:
        of.append(f"{began.jobs:,} of {began.max_jobs:,} jobs today")
    if began.max_records is not None:
        of.append(f"{began.records:,} of {began.max_records:,} records today")
    return ("parked until midnight UTC: " if began.parked else "began: ") + ", ".join(of)


def _held(held: Held, model: ModelStatus, now: datetime) -> tuple[str, str, str]:
    tried = next_try(held, now, paused_model=model.model if model.paused else None)
    return (
        f"on hold for {duration(now - held.since)}: {safe(what_is_wrong(held))}",
        tried,
        what_to_do(held, model.model),
    )


def _today(model: ModelStatus) -> list[str | Text]:
    said = _ended(model.ended_today, "today ") or ["nothing ended today"]
    if model.mean_slot_seconds is not None:
        said.append(f"{duration(timedelta(seconds=model.mean_slot_seconds))} each on average")
    if model.waiting_jobs:
        said.append(_drain(model))
    return said


def _drain(model: ModelStatus) -> str:
    if model.paused:
        return "the line stands still"
    if model.began_today is not None and model.began_today.parked:
        return "the line goes on tomorrow"
    if model.drain_seconds is not None:
        return f"the line takes {rough(timedelta(seconds=model.drain_seconds))}"
    if model.on_hold:
        return "the line waits for Bedrock"
    return (
        "how long the line takes is unknown"
        if model.slot_limit
        else "a limit of 0 lets nothing start"
    )
