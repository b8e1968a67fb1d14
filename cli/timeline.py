"""`bbq timeline`: the slots of a deployment over time, as a page to look at or as data, made from the events of its jobs alone.

Views only say which jobs there were; what they did is read from their events, one strongly consistent Query for each job, some at
once. IAM: what `cli/queries.py` needs, dynamodb:Query on the events table among it.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from plotly.offline import get_plotlyjs
from rich.progress import track

from cli import deployment as deployments
from cli import queries, times
from cli.app import LOOK, Fault, NotFound, answer, app, err, print_json, say
from cli.lanes import Life, Panel, life, panel
from cli.queries import View
from cli.timeline_figure import lasted
from cli.timeline_page import MARK, document, page
from cli.times import moment, since_when
from cli.wording import counted, safe
from shared.events import Event, UnknownEvent
from shared.job import IllegalEvent
from shared.names import job_stream, model_stream
from shared.store import Store

DEFAULT_SINCE = "24h"
DEFAULT_LIMIT = 5_000
MAX_LIMIT = 50_000
# Reads at once. PynamoDB shares one connection between threads for its own models and keeps no state of a Query in it; botocore
# promises that a client may be shared. The client is made by the first read, which is done alone.
READERS = 8
SOME = 3  # of the jobs that cannot be read are named
HEAD_BYTES = 1_000  # of a file that is there already: a page of ours says so at once

T = TypeVar("T")


@dataclass(frozen=True)
class Chosen:
    """The jobs of a picture, and from when on it knows all of them."""

    views: list[View]
    since: datetime
    left_out: int


@app.command(rich_help_panel=LOOK)
def timeline(  # noqa: PLR0917 - typer passes each by its name
    context: typer.Context,
    since: Annotated[str, typer.Option(help="From when on: 90m, 24h, 3d, or a day (UTC).")] = DEFAULT_SINCE,
    model: Annotated[list[str] | None, typer.Option(help="Only this model's slots. May be said several times.")] = None,
    out_file: Annotated[
        Path | None, typer.Option("--out", help="The page's file. Default: <name>-timeline.html in this folder.", dir_okay=False)
    ] = None,
    limit: Annotated[
        int, typer.Option(help="At most so many jobs; those that ended first are left out.", min=1, max=MAX_LIMIT)
    ] = DEFAULT_LIMIT,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is no timeline.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Bars and gaps as one JSON document; a page only with --out.")] = False,
) -> None:
    """Draw who was on which slot when, how many waited, and how fast freed slots were filled again.

    Writes one HTML file that opens without a network. A timeline that was written there before is replaced; any other file only
    with --force.

    Example: [bold]bbq timeline --since 3d --model haiku --out haiku.html[/bold]
    """
    until = times.now()
    beginning = since_when(since, until)
    if beginning >= until:
        raise Fault(f"--since {since!r} is not in the past: say when the picture begins")
    deployment = deployments.find(context.obj)
    models = list(dict.fromkeys(model)) if model else [*deployment.models]
    target = out_file or (None if json else Path(f"{deployment.name}-timeline.html"))
    if target is not None:
        check(target, force=force)  # before anything is read
    chosen = choose(queries.jobs_since(deployment, beginning, models), beginning, limit)
    for alias in models:
        if alias not in deployment.models and alias not in {view.model for view in chosen.views}:
            raise NotFound(f"there is no model {alias!r} and no job of it: the models are {', '.join(deployment.models)}")
    panels, notes = draw(deployment.store, models, chosen, until, readers=READERS)
    if target is not None and panels:
        write(target, page(deployment.name, panels, chosen.since, until, notes=notes, plotly=get_plotlyjs()))
    for note in notes:
        say(note)
    if json:
        print_json(document(deployment.name, panels, chosen.since, until, notes))
        return
    for line in [*told(panels), *([str(target)] if panels else [])]:
        answer(safe(line))


def choose(views: Iterable[View], since: datetime, limit: int) -> Chosen:
    """At most `limit` jobs: those that are not over, and of the others those that ended last. Where some are left out, the
    picture begins when the last of them ended: from then on it knows everybody. Raises Fault where more are not over.
    """
    by_end = sorted(views, key=lambda view: (_end(view) is None, _end(view) or view.queued_at), reverse=True)
    ends = [_end(view) for view in by_end[limit:]]
    if None in ends:
        raise Fault(f"more than {limit:,} jobs are not over yet: say a larger --limit, or one --model")
    return Chosen(by_end[:limit], max([since, *(end for end in ends if end is not None)]), len(ends))


def draw(store: Store, models: Sequence[str], chosen: Chosen, until: datetime, *, readers: int) -> tuple[list[Panel], list[str]]:
    """A panel for each model that had jobs, and sentences about what is missing from them."""
    notes = []
    if chosen.left_out:
        notes.append(
            f"{len(chosen.views):,} jobs are shown, {chosen.left_out:,} that ended earlier left out: the picture begins at "
            f"{moment(chosen.since)} UTC instead. Say a larger --limit, a later --since, or one --model."
        )
    lives = at_once(lambda view: _life(store, view.job), chosen.views, readers)
    unread = [view.job for view, one in zip(chosen.views, lives, strict=True) if one is None]
    if unread:
        some = ", ".join(unread[:SOME]) + (", …" if len(unread) > SOME else "")
        notes.append(
            f"{counted(len(unread), 'job')} cannot be read (written by a newer version, or damaged) and left out, so that slots "
            f"may seem free which were not: {some}"
        )
    known = [one for one in lives if one is not None]
    panels = []
    for alias in models:
        of_model = [one for one in known if one.model == alias]
        if of_model:
            panels.append(panel(alias, of_model, _events(store, model_stream(alias)), chosen.since, until))
    if not panels:
        notes.append(f"no job was alive since {moment(chosen.since)} UTC, and no page is written")
    return panels, notes


def at_once(read: Callable[[View], T], views: Sequence[View], readers: int) -> list[T]:
    """The answers for all views, in their order, `readers` reads at once. Progress on standard error, if it is a terminal."""
    first = [read(view) for view in views[:1]]  # alone: it makes the client that all share
    pool = ThreadPoolExecutor(readers)
    try:
        rest = pool.map(read, views[1:])
        if err().is_terminal:
            rest = iter(track(rest, "reading jobs", total=len(views) - 1, console=err(), transient=True))
        return [*first, *rest]
    finally:
        pool.shutdown(cancel_futures=True)  # after Ctrl-C nobody reads the rest


def check(target: Path, *, force: bool) -> None:
    """Raises Fault where the page may not or cannot be written there."""
    if not target.parent.is_dir():
        raise Fault(f"there is no folder {target.parent}: make it, or say another --out")
    if not os.access(target.parent, os.W_OK):
        raise Fault(f"nothing can be written to the folder {target.parent}: say another --out")
    if target.exists() and not force and not _ours(target):
        raise Fault(f"{target} is there already and is no timeline: say --force to write over it, or another --out")


def write(target: Path, text: str) -> None:
    """Whole or not at all."""
    new = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        new.write_text(text, "utf-8")
        new.replace(target)
    finally:
        new.unlink(missing_ok=True)


def told(panels: Sequence[Panel]) -> list[str]:
    """The figures of each model, a line each."""
    return [
        f"{found.model}: {counted(found.jobs, 'job')}, at most {found.lanes:,} slots used at once; "
        + (
            f"{counted(found.refills.count, 'refill')} of a freed slot: median {_said(found.refills.median_seconds)}, "
            f"p99 {_said(found.refills.p99_seconds)}, longest {_said(found.refills.largest_seconds)}"
            if found.refills.count
            else "no slot was freed while somebody was in line"
        )
        for found in panels
    ]


def _said(seconds: float | None) -> str:
    return "" if seconds is None else lasted(seconds)


def _life(store: Store, job: str) -> Life | None:
    """None where this code cannot read the job: a newer deployment wrote it, or its stream is damaged."""
    try:
        return life(job, _events(store, job_stream(job)))
    except (UnknownEvent, IllegalEvent):
        return None


def _events(store: Store, stream: str) -> list[Event]:
    return [recorded.event for recorded in store.load(stream)]


def _end(view: View) -> datetime | None:
    return view.last_at if view.over else None


def _ours(target: Path) -> bool:
    if not target.is_file():
        return False
    with target.open("rb") as file:
        return MARK.encode() in file.read(HEAD_BYTES)
