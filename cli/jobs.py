"""`bbq jobs`: which jobs there are."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from textwrap import wrap
from typing import Annotated, Any

import typer
from rich.text import Text

from bbq.cli import deployment as deployments
from bbq.cli import queries, times, wording
from bbq.cli.app import LOOK, app
from bbq.cli.deployment import Deployment
from bbq.cli.faults import Fault
from bbq.cli.holds import holds, next_try, what_is_wrong, what_to_do
from bbq.cli.output import err, out, plain, print_json, print_jsonl
from bbq.cli.queries import LIVE_STATUSES, NO_MODEL, OUTCOMES
from bbq.cli.tables import Column, Row, show_lines, table
from bbq.cli.times import duration, moment, since_when
from bbq.cli.views import View
from bbq.cli.wording import safe
from bbq.shared.job import QUEUED, REJECTED, UNREADABLE

DEFAULT_LIMIT = 50
MAX_LIMIT = 10_000
DEFAULT_SINCE = timedelta(days=7)
GROUPS = {"live": LIVE_STATUSES, "over": OUTCOMES}

_COLUMNS = (
    Column(title="job"),
    Column(title="file", file=True),
    Column(title="model", spare=2),
    Column(title="status"),
    Column(title="records", right=True, spare=5),
    Column(title="queued", right=True, spare=4),
    Column(title="waited", right=True, spare=1),
    Column(title="ran", right=True, spare=3),
)


@app.command(rich_help_panel=LOOK)
def jobs(  # noqa: PLR0917 - typer passes each by its name
    context: typer.Context,
    status: Annotated[
        list[str] | None,
        typer.Option(
            help="Only jobs with this status or outcome, or 'live', or 'over'. May be said "
            "several times."
        ),
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option(help="Only this model's jobs. May be said several times.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            help="Of the jobs that are over, those that ended since: 90m, 2h, 3d, or a day (UTC). "
            "Default: 7d."
        ),
    ] = None,
    limit: Annotated[
        int, typer.Option(help="At most so many.", min=1, max=MAX_LIMIT)
    ] = DEFAULT_LIMIT,
    json: Annotated[bool, typer.Option("--json", help="One JSON document: a list.")] = False,
    jsonl: Annotated[bool, typer.Option("--jsonl", help="One JSON document a line.")] = False,
) -> None:
    """List jobs: first those that are not over, then those that ended last.

    Example: [bold]bbq jobs --status Failed --status Rejected --since 2d[/bold]
    """
    now = times.now()
    words = _wanted(status or [])
    beginning = since_when(since, now) if since else now - DEFAULT_SINCE
    deployment = deployments.find(context.obj)
    found = _found(deployment, model, words, beginning, limit + 1)
    if jsonl:
        return print_jsonl([document(view, now) for view in found[:limit]])
    if json:
        return print_json([document(view, now) for view in found[:limit]])
    console = out()
    show_lines(
        console,
        [
            *job_lines(found[:limit], now, console.width),
            *_hold_lines(deployment, found, now, console.width),
        ],
    )
    if len(found) > limit:
        err().print(
            f"there are more than these {limit:,}: say --limit, --status, --model or --since",
            style="dim",
        )
    if not found:
        kind = "such job" if words or model else "job"
        err().print(
            f"no {kind} is waiting or running, and none ended since {moment(beginning)} UTC "
            "(--since)",
            style="dim",
        )
    return None


def job_lines(
    views: Sequence[View], now: datetime, width: int, processed: Mapping[str, int] | None = None
) -> list[Text]:
    """The table; no lines for no jobs. Why a job is as it is stands below it. `processed`: records
    so far, of jobs that run.
    """
    # the file says the model already
    folders = all(view.file.startswith(f"{view.model}/") for view in views if view.model)
    return table(
        _COLUMNS,
        [_row(view, now, (processed or {}).get(view.job), folders=folders) for view in views],
        width,
    )


def _hold_lines(
    deployment: Deployment, views: Sequence[View], now: datetime, width: int
) -> list[Text]:
    """Why the lines of models stand still that waiting jobs are in."""
    made: list[Text] = []
    for model in dict.fromkeys(view.model for view in views if view.status == QUEUED):
        for held in holds(deployment.store.slots(model)):
            what = f"{model} is on hold for {duration(now - held.since)}: {what_is_wrong(held)}"
            more = f"{next_try(held, now, paused_model=None)}; to do: {what_to_do(held, model)}"
            lines = [*wrap(safe(what), width), *wrap(safe(more), width)]
            made += [Text(), *(Text(line, style="yellow") for line in lines)]
    return made


def document(view: View, now: datetime) -> dict[str, Any]:
    """A job as --json says it: the view, and what a person would work out from it."""
    lengths = {"waited_seconds": view.waited(now), "ran_seconds": view.ran(now)}
    seconds = {
        name: None if length is None else length.total_seconds() for name, length in lengths.items()
    }
    return {"job": view.job, "file": view.file, **plain(view), **seconds}


def records(view: View, processed: int | None = None) -> str:
    """Those that succeeded, once that is known, or `processed` ones, of all."""
    if view.status in {REJECTED, UNREADABLE}:
        return ""
    done = view.succeeded_records if view.over else processed
    return f"{view.records:,}" if done is None else f"{done:,}/{view.records:,}"


def _found(
    deployment: Deployment,
    named: Sequence[str] | None,
    words: set[str],
    since: datetime,
    limit: int,
) -> list[View]:
    """Live ones first. A model that is not configured any more may still have jobs; one that never
    was has none.
    """
    models = list(dict.fromkeys(named)) if named else [*deployment.models, NO_MODEL]
    outcomes = (words & set(OUTCOMES)) if words else set(OUTCOMES)
    statuses = (words & set(LIVE_STATUSES)) if words else set(LIVE_STATUSES)
    live = queries.live_views(deployment, models, statuses, limit) if statuses else []
    over: list[View] = []
    if outcomes and len(live) < limit:
        over = queries.over_views(deployment, models, since, outcomes, limit - len(live))
    ended = {view.job for view in over}
    found = [view for view in live if view.job not in ended] + over
    deployment.must_have(*(set(named or ()) - {view.model for view in found}))
    return found


def _wanted(said: Iterable[str]) -> set[str]:
    """Statuses and outcomes in their own spelling. Raises Fault."""
    known = {word.lower(): (word,) for word in (*LIVE_STATUSES, *OUTCOMES)} | GROUPS
    wanted: set[str] = set()
    for word in said:
        if word.lower() not in known:
            raise Fault(
                f"there is no status {word!r}: say live, over, "
                f"{', '.join((*LIVE_STATUSES, *OUTCOMES))}"
            )
        wanted.update(known[word.lower()])
    return wanted


def _row(view: View, now: datetime, processed: int | None, *, folders: bool) -> Row:
    waited, ran = view.waited(now), view.ran(now)
    return Row(
        cells=(
            view.job,
            view.file,
            "" if folders else view.model or "-",
            wording.status(view.word),
            records(view, processed),
            duration(now - view.queued_at),
            duration(waited) if waited is not None else "",
            duration(ran) if ran is not None else "",
        ),
        under=why(view),
    )


def why(view: View) -> str:
    """In a word why the job is as it is; empty where there is nothing to say."""
    said = view.reason or ""
    if view.cancel_by and not view.over:
        return f"{view.cancel_by} asked to cancel it" + (f"; {said}" if said else "")
    return said
