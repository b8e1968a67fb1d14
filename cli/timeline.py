"""`bbq timeline`: the slots of a deployment over time, as a page to look at or as data, made from
the events of its jobs alone.

Views only say which jobs there were; what they did is read from their events, one strongly
consistent Query for each job, some at once. IAM: what `cli/queries.py` needs, dynamodb:Query on the
events table among it.
"""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from bbq.cli import deployment as deployments
from bbq.cli import queries, times
from bbq.cli.app import LOOK, app
from bbq.cli.faults import Fault
from bbq.cli.output import answer, err, print_json, say
from bbq.cli.timeline_bars import Bar, Panel, bars_of, panel
from bbq.cli.timeline_page import figures, page
from bbq.cli.times import moment, since_when
from bbq.cli.views import View
from bbq.cli.wording import counted, safe
from bbq.shared.events import Event, UnknownEvent
from bbq.shared.job import IllegalEvent
from bbq.shared.names import job_stream, model_stream
from bbq.shared.store import Store

MAX_JOBS = 20_000  # each is a read of the events table, and 350 bytes of the page
SOME = 3  # of the jobs that cannot be read are named


@app.command(rich_help_panel=LOOK)
def timeline(  # noqa: PLR0917 - typer passes each by its name
    context: typer.Context,
    since: Annotated[str, typer.Option(help="From when on: 90m, 24h, 3d, or a day (UTC).")] = "24h",
    until: Annotated[
        str | None, typer.Option(help="Until when, as --since: shows a part of that time larger.")
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option(help="Only this model's slots. May be said several times.")
    ] = None,
    out_file: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="The page's file. Default: <name>-timeline.html in this folder.",
            dir_okay=False,
        ),
    ] = None,
    json: Annotated[
        bool,
        typer.Option("--json", help="Bars and gaps as one JSON document; a page only with --out."),
    ] = False,
) -> None:
    """Draw which job was on which slot when, how many waited, and how fast freed slots were filled
    again.

    Writes one HTML file that opens without a network, in place of one that is there.

    Example: [bold]bbq timeline --since 3d --model haiku --out haiku.html[/bold]
    """
    now = times.now()
    beginning, end = (
        since_when(since, now),
        min(now, since_when(until, now, "--until")) if until else now,
    )
    if beginning >= end:
        before = f"before --until {until!r}" if until else "in the past"
        raise Fault(f"--since {since!r} is not {before}: say when the picture begins")
    deployment = deployments.find(context.obj)
    models = list(dict.fromkeys(model)) if model else [*deployment.models]
    target = out_file or (None if json else Path(f"{deployment.name}-timeline.html"))
    if target is not None and not target.parent.is_dir():  # said before anything is read
        raise Fault(f"there is no folder {target.parent}: make it, or say another --out")
    views = [
        view for view in queries.jobs_since(deployment, beginning, models) if view.queued_at <= end
    ]
    # one that is not configured any more may still have jobs
    deployment.must_have(*(set(models) - {view.model for view in views}))
    if len(views) > MAX_JOBS:
        raise Fault(
            f"{len(views):,} jobs lived then, and a picture shows {MAX_JOBS:,}: say a later "
            "--since, or one --model"
        )
    panels, notes = draw(deployment.store, models, views, beginning, end)
    if target is not None and panels:
        target.write_text(page(deployment.name, panels, beginning, end, notes), "utf-8")
    for note in notes:
        say(note)
    if json:
        print_json(document(deployment.name, panels, beginning, end, notes))
        return
    for line in [
        *(f"{found.model}: {figures(found)}" for found in panels),
        *([str(target)] if panels else []),
    ]:
        answer(safe(line))


def draw(
    store: Store, models: Sequence[str], views: Sequence[View], since: datetime, until: datetime
) -> tuple[list[Panel], list[str]]:
    """A panel for each model that had jobs, and sentences about what is missing from them."""

    def read(view: View) -> list[Bar] | None:
        """None if this code cannot read the job: a newer deployment wrote it, or its stream is
        damaged.
        """
        try:
            return bars_of(view.job, _events(store, job_stream(view.job), until))
        except (UnknownEvent, IllegalEvent):
            return None

    # Not at once: the first of these reads makes the client that the reads of the jobs share.
    model_events = {alias: _events(store, model_stream(alias), until) for alias in models}
    with err().status("reading jobs"):
        jobs = queries.at_once(read, views)
    notes = []
    if unread := [view.job for view, bars in zip(views, jobs, strict=True) if bars is None]:
        some = ", ".join(unread[:SOME]) + (", …" if len(unread) > SOME else "")
        notes.append(
            f"{counted(len(unread), 'job')} cannot be read (written by a newer version, or "
            "damaged) and left out, so that slots "
            f"may seem free which were not: {some}"
        )
    of_model = {
        alias: [bar for bars in jobs for bar in bars or () if bar.model == alias]
        for alias in models
    }
    panels = [
        panel(alias, bars, model_events[alias], since, until)
        for alias, bars in of_model.items()
        if bars
    ]
    if not panels:
        notes.append(f"no job was alive since {moment(since)} UTC, and no page is written")
    return panels, notes


def document(
    name: str, panels: Sequence[Panel], since: datetime, until: datetime, notes: Sequence[str]
) -> dict[str, Any]:
    """What --json prints; docs/timeline.md says what the fields mean."""
    models = [
        {
            "model": panel.model,
            "limit": panel.limit,
            "slots_used": panel.lanes,
            "jobs": panel.jobs,
            "waits": panel.waits,
            "refills": panel.refills,
        }
        for panel in panels
    ]
    gaps = [
        {"model": panel.model, **asdict(gap), "refill": gap.refill}
        for panel in panels
        for gap in panel.gaps
    ]
    bars = [bar for panel in panels for bar in panel.bars]
    return {
        "deployment": name,
        "since": since,
        "until": until,
        "notes": notes,
        "models": models,
        "bars": bars,
        "gaps": gaps,
    }


def _events(store: Store, stream: str, until: datetime) -> list[Event]:
    return [recorded.event for recorded in store.load(stream) if recorded.event.at <= until]
