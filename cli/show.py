"""`bbq show`: everything about one job: what it is, what happened to it, and what it waits for."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from bbq.cli import deployment as deployments
from bbq.cli import estimates, queries, times, wording
from bbq.cli.app import LOOK, app
from bbq.cli.deployment import Deployment
from bbq.cli.faults import NotFound
from bbq.cli.holds import holds, next_try, paused_by, what_is_wrong, what_to_do
from bbq.cli.job_ids import by_object
from bbq.cli.jobs import document, why
from bbq.cli.output import out, plain, print_json
from bbq.cli.problems import problem_lines
from bbq.cli.progress import Progress
from bbq.cli.queries import Happened
from bbq.cli.tables import Column, Row, show_lines, table
from bbq.cli.times import duration, exact, moment, rough
from bbq.cli.views import View, view_of
from bbq.cli.wording import counted, safe, size
from bbq.shared.events import Event, Json, Problem, UnknownEvent, from_stored
from bbq.shared.job import CLAIMED, QUEUED, REJECTED, UNREADABLE, IllegalEvent, Job, fold
from bbq.shared.names import holder
from bbq.shared.plain import text_of
from bbq.shared.rows import view_row

_HISTORY = (
    Column(title="#", right=True),
    Column(title="at (UTC)"),
    Column(title="after", right=True),
    Column(title="event"),
    Column(title="what it says"),
)


@dataclass(frozen=True, kw_only=True)
class Wait:
    """What a job waits for: `what` is right, slot, answer, end, scheduler or nothing, and `text`
    says it.

    The rest is None if it is unknown. `position` counts from 1; not `exact`, it is beyond that.
    `processed_records` is Bedrock's own count while it runs.
    """

    what: str
    text: str
    position: int | None = None
    exact: bool = True
    expected_start: datetime | None = None
    on_hold: str | None = None
    next_try: datetime | None = None
    lease_until: datetime | None = None
    processed_records: int | None = None


@app.command(rich_help_panel=LOOK)
def show(
    context: typer.Context,
    job: Annotated[
        str,
        typer.Argument(
            help="Its id, or its file: name, key of the bucket, or s3://BUCKET/KEY.", metavar="JOB"
        ),
    ],
    json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Show one job: what it is, what happened to it, and what it waits for.

    Example: [bold]bbq show haiku/reviews.jsonl[/bold]
    """
    now = times.now()
    deployment = deployments.find(context.obj)
    found = by_object(deployment, job)
    happened = queries.history(deployment, found)
    if not happened:
        raise NotFound(
            f"there is no job {found}"
            + ("" if job == found else f" for {job!r} (yet)")
            + ": `bbq jobs` lists the jobs"
        )
    view, state = queries.view(deployment, found), _folded(found, happened)
    projected = view is not None
    if view is None and state is not None:
        view = view_of(view_row(state))
    if view is None:
        raise NotFound(
            f"job {found} has events that this bbq cannot read, and no view: use the version that "
            "is deployed"
        )
    wait = waits_for(deployment, view, state, now, projected=projected)
    if json:
        print_json({**document(view, now), "waits_for": plain(wait), "history": plain(happened)})
        return
    console = out()
    _tell_what(
        console,
        view,
        now,
        problem_count=max([int(event.data.get("problem_count", 0)) for event in happened]),
    )
    console.print()
    tell_history(console, happened)
    console.print()
    console.print(Text.assemble(("waits for  ", "bold"), safe(wait.text)), soft_wrap=True)


def waits_for(
    deployment: Deployment, view: View, job: Job | None, now: datetime, *, projected: bool
) -> Wait:
    """What the job waits for, from its model's slots and line as they are now."""
    if view.over:
        return Wait(what="nothing", text="nothing: it is over")
    if view.status == UNREADABLE:
        text = (
            "a right that intake lacks: it tries again by itself for nine hours, at least every "
            "half hour, and on `bbq wake`"
        )
        return Wait(what="right", text=text)
    if not projected or job is None:
        return Wait(
            what="scheduler", text="the scheduler, which has not taken it up yet (a second or two)"
        )
    if view.status == QUEUED:
        return _for_a_slot(deployment, job, now)
    if view.status == CLAIMED:
        return _for_bedrock(deployment, view, now)
    text, processed = "its end at Bedrock", None
    if view.arn and view.status == "InProgress":
        processed = Progress().ask(view.arn, now)
    if processed is not None:
        text += f", {processed:,} of {view.records:,} records processed so far"
    return Wait(what="end", text=text, processed_records=processed)


def _for_a_slot(deployment: Deployment, job: Job, now: datetime) -> Wait:
    store, model = deployment.store, job.model
    place, slots = estimates.place(deployment, job), store.slots(model)
    if place is None:
        return Wait(what="scheduler", text="the scheduler, which is moving it at this moment")
    mean = estimates.recent_mean_slot_seconds(store, model, now)
    held, start = holds(slots), estimates.expected_start(slots, place, mean)
    text = f"a slot of {model}: position {place} in line"
    if slots and slots.paused:
        text += f"; {model} is {paused_by(slots)}: bbq resume {model}"
    elif slots and not slots.limit:
        text += f"; {model} has a limit of 0, so nothing starts"
    elif held:
        for each in held:
            text += f"; on hold: {what_is_wrong(each)}; {next_try(each, now, paused_model=None)}"
        text += f"; to do: {what_to_do(held[0], model)}"
    elif start is not None:
        text += f", should start in {rough(start)}" if start else ", should start any moment"
    elif mean is None:
        text += "; when it starts is unknown, because no job of the model ended today or yesterday"
    return Wait(
        what="slot",
        text=text,
        position=place.number,
        exact=place.exact,
        expected_start=now + start if start is not None else None,
        on_hold=held[0].kind if held else None,
        next_try=held[0].next_try if held else None,
    )


def _for_bedrock(deployment: Deployment, view: View, now: datetime) -> Wait:
    slots, name = deployment.store.slots(view.model), holder(view.job, view.attempt)
    lease = slots.holders.get(name) if slots else None
    if lease is not None and not lease.submitted:
        late = " (overdue: it is looked for at Bedrock then)" if lease.until < now else ""
        text = f"Bedrock's answer, until {moment(lease.until)} UTC at the latest{late}"
        return Wait(what="answer", text=text, lease_until=lease.until)
    return Wait(what="scheduler", text="the scheduler, which is moving it at this moment")


def _tell_what(console: Console, view: View, now: datetime, *, problem_count: int) -> None:
    for name, said in _facts(view, now, problem_count):
        text = said if isinstance(said, Text) else Text(safe(said or ""))
        if text:
            console.print(Text.assemble((f"{name:<9}  ", "bold"), text), soft_wrap=True)


def _facts(
    view: View, now: datetime, problem_count: int
) -> Iterator[tuple[str, str | Text | None]]:
    """(name, what is said of it) of everything that a view says; nothing if there is nothing."""
    rejected = view.status in {UNREADABLE, REJECTED}
    yield "job", view.job
    yield "file", view.file
    status = f" ({view.status})" if view.word != view.status else ""
    yield "status", Text.assemble(wording.status(view.word), status)
    yield "why", "" if view.problems else why(view)
    problems = [
        Problem(line=problem.get("line"), text=problem["text"]) for problem in view.problems
    ]
    for number, (line, text) in enumerate(problem_lines(problems, problem_count)):
        yield "" if number else "why", text if line is None else f"line {line:,}: {text}"
    for warning in view.warnings:
        yield "note", warning
    unknown = "not known before it can be read" if view.status == UNREADABLE else "none of ours"
    model_id = f" ({view.model_id})" if view.model_id else ""
    priority = "" if rejected else f", priority {view.priority}"
    attempt = f", attempt {view.attempt}" if view.attempt > 1 else ""
    yield "model", f"{view.model or unknown}{model_id}{priority}{attempt}"
    yield "records", "" if rejected else _records(view)
    if view.input_tokens is not None and view.output_tokens is not None:
        yield "tokens", f"{view.input_tokens:,} in, {view.output_tokens:,} out"
    since = duration(now - view.queued_at)
    yield "queued", f"{moment(view.queued_at)} UTC, {since} ago, {size(view.size_bytes)}"
    waited, ran = view.waited(now), view.ran(now)
    if waited is not None and (view.submitted_at or not view.over):
        yield "waited" if view.submitted_at else "waits", duration(waited)
    if ran is not None:
        yield "ran" if view.over else "runs", duration(ran)
    yield "labels", " ".join(f"{name}={value}" for name, value in view.labels.items())
    for source in view.sources:
        version = f" version {source.version_id}" if source.version_id else ""
        yield "source", f"s3://{source.bucket}/{source.key}{version}"
    yield "input", view.input_uri
    yield "output", view.output_uri
    yield "arn", view.arn


def _records(view: View) -> str:
    if view.succeeded_records is None:
        return f"{view.records:,}" + (
            f", {view.processed_records:,} processed" if view.processed_records is not None else ""
        )
    failed = f", {view.failed_records:,} failed" if view.failed_records is not None else ""
    return f"{view.succeeded_records:,} of {view.records:,} succeeded{failed}"


def tell_history(console: Console, happened: Sequence[Happened]) -> None:
    """Event by event, with the time since the one before; the day where it changes."""
    rows: list[Row] = []
    before: datetime | None = None
    for event in happened:
        day, time = moment(event.at).split()
        if before is None or moment(before)[:10] != day:
            rows.append(Row(cells=("", day, "", "", "")))
        after = "" if before is None else f"+{exact((event.at - before).total_seconds())}"
        said, words = what_it_says(event)
        rows.append(
            Row(cells=(str(event.version), time, after, event.name, said), under=words, whole=True)
        )
        before = event.at
    show_lines(console, table(_HISTORY, rows, console.width))


def what_it_says(event: Happened) -> tuple[str, str]:
    """The part of an event that a person wants to read: in short, and the words of whoever made it,
    which may be many.
    """
    said: Json = event.data
    match event.name:
        case "job-queued":
            return f"{said.get('record_count', 0):,} records, priority {said.get('priority')}", ""
        case "job-rejected":
            return counted(int(said.get("problem_count", 0)), "problem"), ""
        case "upload-unreadable":
            return "", str(said.get("reason", ""))
        case "slot-claimed":
            return f"attempt {said.get('attempt')}", ""
        case "submission-refused":
            return str(said.get("kind")), str(said.get("message", ""))
        case "job-submitted":
            return "found by its name" if said.get("found") else "", ""
        case "job-tallied":
            return _tallied(said), ""
        case "priority-changed":
            return f"to {said.get('priority')}, by {said.get('by')}", str(said.get("why", ""))
    short = str(said.get("status") or (f"by {said['by']}" if said.get("by") else ""))
    return short, str(said.get("message") or said.get("why") or "")


def _tallied(said: Json) -> str:
    if said.get("succeeded_records") is None:
        return "counts unknown"
    tokens = (
        f", {said['output_tokens']:,} tokens out" if said.get("output_tokens") is not None else ""
    )
    return f"{said['succeeded_records']:,}/{said.get('total_records') or 0:,} succeeded{tokens}"


def _folded(job: str, happened: Sequence[Happened]) -> Job | None:
    """The state by the events; None where one of them is newer than this code, or cannot follow the
    others.
    """
    try:
        events: list[Event] = [
            from_stored(event.name, event.schema, text_of(event.at), event.data)
            for event in happened
        ]
        return fold(job, events)
    except (UnknownEvent, IllegalEvent):
        return None
