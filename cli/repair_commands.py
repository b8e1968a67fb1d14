"""`bbq wake`, `verify`, `rebuild`, `redrive`: the tools of last resort (`repair.py`, `redrive.py`),
as commands.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

import typer
from rich.status import Status
from rich.text import Text

from bbq.cli import deployment as deployments
from bbq.cli import redrive as letters
from bbq.cli import repair, unreadable
from bbq.cli.app import REPAIR, app, who
from bbq.cli.deployment import Deployment
from bbq.cli.faults import Exit, Failed, Fault, NotFound
from bbq.cli.output import answer, confirm, err, print_json, say
from bbq.cli.scan import DEFAULT_READ_UNITS_PER_SECOND, DynamoReader, RepairContext
from bbq.cli.wording import counted, safe
from bbq.services.scheduler.hints import ALL
from bbq.shared.names import is_job_id, job_stream
from bbq.shared.tables import EVENTS, PROJECTIONS

LINE_SECONDS = 15.0  # between two lines of progress where there is no terminal
DEFAULT_MOST = 10_000  # dead letters

Rate = Annotated[
    float,
    typer.Option(
        help="Read units a second that it may take from the tables, roughly.",
        min=1.0,
        metavar="UNITS",
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


class Which(StrEnum):
    """The dead-letter queues, by what they are for."""

    UPLOADS = "uploads"
    HINTS = "hints"
    STREAM = "stream"


@app.command(rich_help_panel=REPAIR)
def wake(
    context: typer.Context,
    what: Annotated[
        str | None,
        typer.Argument(
            help="Alias of a model, or id of a job; every model without it.", metavar="[JOB|MODEL]"
        ),
    ] = None,
    every: Annotated[
        bool,
        typer.Option(
            "--all", help="And every job with anything left to do; reads the events table whole."
        ),
    ] = False,
    rate: Rate = DEFAULT_READ_UNITS_PER_SECOND,
) -> None:
    """Make the scheduler look again now, and intake at uploads that it could not read. Harmless at
    any time.

    The scheduler brings the model's slots up to date, fills them, and asks Bedrock again although
    the model is on hold; with a job or --all it looks at jobs too, and at every model. All uploads
    that are Unreadable are sent to intake again.

    Exit codes: 0 the hints are sent, 2 usage, 3 no such job or model.

    Example: [bold]bbq wake haiku[/bold]
    """
    if every and what is not None:
        raise Fault("say a job, a model or --all")
    here = deployments.find(context.obj)
    model = what if what in here.models else None
    told = model or "every model"
    if every:
        with _context(here, "wake", rate) as desk:
            woken = letters.wake_unfinished(desk)
        told = f"{counted(woken, 'job')} and every model"
    elif what is not None and model is None:
        if not is_job_id(what) or not here.store.exists(job_stream(what)):
            raise NotFound(
                f"there is no job and no model {what!r}: the models are "
                f"{', '.join(sorted(here.models))}"
            )
        here.hints.wake_job(what)
        told = f"{what} and every model"
    here.hints.wake_model(model or ALL, ask=True)
    answer(f"{told} will be looked at")
    again = unreadable.send_again(here)
    if again:
        answer(
            f"{counted(again, 'upload')} that could not be read will be tried again: `bbq status` "
            "tells in a minute"
        )


@app.command(rich_help_panel=REPAIR)
def verify(
    context: typer.Context,
    rate: Rate = DEFAULT_READ_UNITS_PER_SECOND,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Compare everything that is shown and decided on with the events. Changes nothing; may run at
    any time.

    Reads both tables whole. What differs is read again after a while, and reported if it differs
    the same way. Exit codes: 0 all is as it should be, 1 something differs (each thing is a line).

    Example: [bold]bbq verify --rate 50[/bold]
    """
    here = deployments.find(context.obj)
    with _context(here, "verify", rate) as desk:
        report = repair.verify(desk)
    if as_json:
        print_json(
            {
                "complete": report.complete,
                "streams": report.streams,
                "differences": report.differences,
            }
        )
    else:
        for difference in report.differences:
            answer(safe(str(difference)))
    if not report.complete:
        say(f"more differs than these {repair.MAX_DIFFERENT:,} rows: run bbq rebuild")
    what = counted(len(report.differences), "difference") if report.differences else "no difference"
    say(f"{counted(report.streams, 'stream')} of events looked at: {what}")
    raise typer.Exit(Exit.FAILED if report.differences or not report.complete else Exit.OK)


@app.command(rich_help_panel=REPAIR)
def rebuild(
    context: typer.Context, rate: Rate = DEFAULT_READ_UNITS_PER_SECOND, yes: Yes = False
) -> None:
    """Pause every model, make what is shown and decided on what the events say, and resume.

    Uploads, cancels and ends go on meanwhile; nothing new is sent to Bedrock. If it is broken off,
    the models stay paused: run it again. Models that were paused before stay paused. Exit codes: 0
    done, 1 something is left, and each line says why.

    Example: [bold]bbq rebuild[/bold]
    """
    here = deployments.find(context.obj)
    confirm(
        f"Pause every model of deployment {here.name}, and rebuild its projections from its "
        "events?",
        yes=yes,
    )
    try:
        with _context(here, "rebuild", rate) as desk:
            rebuilt = repair.rebuild(desk)
    except BaseException:
        say(
            "broken off: the models that it has paused stay paused until `bbq rebuild` is run again"
        )
        raise
    for pk, sk in rebuilt.repaired:
        answer(f"repaired {safe(pk)} / {safe(sk)}")
    for (pk, sk), why in rebuilt.left.items():
        answer(f"left {safe(pk)} / {safe(sk)}: {safe(why)}")
    done = counted(len(rebuilt.repaired), "row")
    say(
        f"{counted(rebuilt.streams, 'stream')} of events looked at, {done} repaired, "
        f"{len(rebuilt.left):,} left"
    )
    raise typer.Exit(Exit.FAILED if rebuilt.left else Exit.OK)


@app.command(rich_help_panel=REPAIR)
def redrive(
    context: typer.Context,
    which: Annotated[
        list[Which] | None, typer.Argument(help="uploads, hints or stream; all of them without.")
    ] = None,
    most: Annotated[
        int, typer.Option(help="At most so many letters of each queue.", min=1)
    ] = DEFAULT_MOST,
    rate: Rate = DEFAULT_READ_UNITS_PER_SECOND,
    yes: Yes = False,
) -> None:
    """Give dead letters another chance: uploads and hints go back to their queues, stream failures
    wake every unfinished job.

    Shows how many there are, and asks. A letter that dies again stays for the next time. Exit
    codes: 0 done, also where there was nothing to do; 1 the deployment does not say where such
    letters are.

    Example: [bold]bbq redrive uploads --most 100[/bold]
    """
    here = deployments.find(context.obj)
    wanted = list(dict.fromkeys(which or list(Which)))
    missing = [name for name in wanted if name.value not in here.dead_letter_queue_urls]
    if missing:
        raise Failed(
            f"deployment {here.name} publishes no dead-letter queue for {missing[0].value}: deploy "
            "it again"
        )
    dead = {name: here.queue(here.dead_letter_queue_urls[name.value]) for name in wanted}
    depths = {name: queue.depth() for name, queue in dead.items()}
    for name, depth in depths.items():
        say(f"{name.value}: {counted(depth, 'dead letter')}")
    due = [name for name in wanted if depths[name]]
    if not due:
        say("nothing to redrive")
        return
    confirm(
        f"Redrive {', '.join(f'{min(depths[name], most):,} of {name.value}' for name in due)}?",
        yes=yes,
    )
    sources = {Which.UPLOADS: here.uploads_queue_url, Which.HINTS: here.hints_queue_url}
    for name in due:
        if name is Which.STREAM:
            with _context(here, "redriving stream", rate) as desk:
                moved = letters.redrive_stream_failures(desk, dead[name], most=most)
        else:
            source = here.queue(sources[name])
            with _status(f"redriving {name.value}") as tell:
                moved = letters.redrive(dead[name], source, most=most, sleep=time.sleep, tell=tell)
        answer(f"{name.value}: {counted(moved, 'letter')} redriven")
        if name is Which.STREAM and moved < min(depths[name], most):
            say(
                f"{min(depths[name], most) - moved:,} came too late for this: run it again in a "
                "minute"
            )


@contextmanager
def _context(here: Deployment, what: str, rate: float) -> Iterator[RepairContext]:
    """What the tools of last resort work with, on this deployment."""
    names = {EVENTS: here.events_table, PROJECTIONS: here.projections_table}
    with _status(what) as tell:
        yield RepairContext(
            tables=here.tables,
            reader=DynamoReader(names, here.region),
            hints=here.hints,
            lease=here.lease,
            now=lambda: datetime.now(UTC),
            sleep=time.sleep,
            models=tuple(here.models),
            by=who(),
            tell=tell,
            say=lambda text: say(safe(text)),
            read_units_per_second=rate,
        )


@contextmanager
def _status(what: str) -> Iterator[Callable[[str], None]]:
    """Tells how far something is: in one moving line on a terminal, else in a line now and then."""
    console = err()
    if console.is_terminal:
        with Status(f"{what} …", console=console) as status:
            yield lambda text: status.update(Text(f"{what}: {text}"))
        return
    last = time.monotonic()

    def tell(text: str) -> None:
        nonlocal last
        if time.monotonic() - last >= LINE_SECONDS:
            last = time.monotonic()
            console.print(f"{what}: {text}")

    yield tell
