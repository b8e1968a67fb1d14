"""`bbq wake`, `verify`, `rebuild`, `redrive`: the tools of last resort (`repair.py`, `redrive.py`), as commands.

Those that walk through whole tables can be broken off: with `--cursor FILE` they note after every page how far they are, and go
on from there when they are started again with the same file. It is removed when they are done.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.status import Status
from rich.text import Text

from cli import deployment as deployments
from cli import redrive as letters
from cli import repair, times, unreadable
from cli.app import REPAIR, Exit, Failed, Fault, NotFound, answer, app, confirm, err, print_json, say
from cli.deployment import Deployment
from cli.reader import DynamoReader
from cli.walk import DEFAULT_READ_UNITS_PER_SECOND, Cursor, Desk
from cli.wording import counted, safe
from services.scheduler.hints import ALL
from shared.names import is_job_id, job_stream
from shared.tables import EVENTS, PROJECTIONS

LINE_SECONDS = 15.0  # between two lines of progress where there is no terminal
DEFAULT_MOST = 10_000  # dead letters

CursorFile = Annotated[
    Path | None, typer.Option("--cursor", help="Note here how far it is, and go on from there.", metavar="FILE")
]
Rate = Annotated[
    float, typer.Option(help="Read units a second that it may take from the tables, roughly.", min=1.0, metavar="UNITS")
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
        str | None, typer.Argument(help="Alias of a model, or id of a job; every model without it.", metavar="[JOB|MODEL]")
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="And every job with anything left to do; reads the events table whole.")
    ] = False,
    cursor: CursorFile = None,
    rate: Rate = DEFAULT_READ_UNITS_PER_SECOND,
) -> None:
    """Make the scheduler look again now, and intake at uploads that it could not read. Harmless at any time.

    The scheduler brings the model's slots up to date, fills them, and asks Bedrock again although the model is on hold; with a
    job or --all it looks at jobs too, and at every model. All uploads that are Unreadable are sent to intake again.

    Exit codes: 0 the hints are sent, 2 usage, 3 no such job or model.

    Example: [bold]bbq wake haiku[/bold]
    """
    if every and what is not None:
        raise Fault("say a job, a model or --all")
    if not every and cursor is not None:
        raise Fault("--cursor goes with --all")
    here = deployments.find(context.obj)
    model = what if what in here.models else None
    told = model or "every model"
    if every:
        with _walk(here, "wake", cursor) as walk:
            woken = letters.wake_unfinished(desk(here, walk.note, rate), walk.begin)
        told = f"{counted(woken, 'job')} and every model"
    elif what is not None and model is None:
        if not is_job_id(what) or not here.store.exists(job_stream(what)):
            raise NotFound(f"there is no job and no model {what!r}: the models are {', '.join(sorted(here.models))}")
        here.hints.wake_job(what)
        told = f"{what} and every model"
    here.hints.wake_model(model or ALL, ask=True)
    answer(f"{told} will be looked at")
    again = unreadable.send_again(here)
    if again:
        answer(f"{counted(again, 'upload')} that could not be read will be tried again: `bbq status` tells in a minute")


@app.command(rich_help_panel=REPAIR)
def verify(
    context: typer.Context, cursor: CursorFile = None, rate: Rate = DEFAULT_READ_UNITS_PER_SECOND,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:  # fmt: skip
    """Compare everything that is shown and decided on with the events. Changes nothing; may run at any time.

    Reads both tables whole. What differs is read three times before it is reported. Exit codes: 0 all is as it should be,
    1 something differs (each thing is a line), 2 the cursor is of something else.

    Example: [bold]bbq verify --cursor verify.cursor --rate 50[/bold]
    """
    here = deployments.find(context.obj)
    with _walk(here, "verify", cursor) as walk:
        report = repair.verify(desk(here, walk.note, rate), walk.begin)
    if as_json:
        print_json({"complete": report.complete, "streams": report.cursor.jobs, "differences": report.differences})
    else:
        for difference in report.differences:
            answer(safe(str(difference)))
    if report.uncounted:
        moved = counted(len(report.uncounted), "row")
        say(f"{moved} of counts changed meanwhile, or cannot be told: run it again in a quiet hour")
    if not report.complete:
        say("so much differs that this stopped half way, and the slots were not looked at: run bbq rebuild")
    what = counted(len(report.differences), "difference") if report.differences else "no difference"
    say(f"{_streams(report.cursor)} looked at: {what}")
    raise typer.Exit(Exit.FAILED if report.differences or not report.complete else Exit.OK)


@app.command(rich_help_panel=REPAIR)
def rebuild(
    context: typer.Context, cursor: CursorFile = None, rate: Rate = DEFAULT_READ_UNITS_PER_SECOND, yes: Yes = False
) -> None:  # fmt: skip
    """Make what is shown and decided on what the events say, and wake whatever was repaired. May run beside a living system.

    A model's slots are rebuilt only while the model is paused since before the walk began: `bbq pause MODEL` first.
    Exit codes: 0 done, 1 something is left, and each thing says why and what to do, 2 the cursor is of something else.

    Example: [bold]bbq rebuild --cursor rebuild.cursor[/bold]
    """
    here = deployments.find(context.obj)
    confirm(f"Rebuild the projections of deployment {here.name} from its events?", yes=yes)
    with _walk(here, "rebuild", cursor) as walk:
        rebuilt = repair.rebuild(desk(here, walk.note, rate), walk.begin)
        later = [left.until for left in rebuilt.left if left.until is not None]
        if later:
            walk.keep(rebuilt.cursor)
    for pk, sk in rebuilt.repaired:
        answer(f"repaired {safe(pk)} / {safe(sk)}")
    for left in rebuilt.left:
        answer(f"left {safe(left.pk)} / {safe(left.sk)}: {safe(left.why)}")
    for note in rebuilt.notes:
        say(safe(note))
    if later:
        go_on = f"bbq rebuild --cursor {cursor}" if cursor is not None else "bbq rebuild"
        say(f"run {go_on} again after {times.moment(max(later))} UTC")
    done = counted(len(rebuilt.repaired), "row")
    say(f"{_streams(rebuilt.cursor)} looked at, {done} repaired, {len(rebuilt.left):,} left")
    raise typer.Exit(Exit.FAILED if rebuilt.left else Exit.OK)


@app.command(rich_help_panel=REPAIR)
def redrive(
    context: typer.Context,
    which: Annotated[list[Which] | None, typer.Argument(help="uploads, hints or stream; all of them without.")] = None,
    most: Annotated[int, typer.Option(help="At most so many letters of each queue.", min=1)] = DEFAULT_MOST,
    rate: Rate = DEFAULT_READ_UNITS_PER_SECOND,
    yes: Yes = False,
) -> None:
    """Give dead letters another chance: uploads and hints go back to their queues, stream failures wake every unfinished job.

    Shows how many there are, and asks. A letter that dies again stays for the next time. Exit codes: 0 done, also where there was
    nothing to do; 1 the deployment does not say where such letters are.

    Example: [bold]bbq redrive uploads --most 100[/bold]
    """
    here = deployments.find(context.obj)
    wanted = list(dict.fromkeys(which or list(Which)))
    missing = [name for name in wanted if name.value not in here.dead_letter_queue_urls]
    if missing:
        raise Failed(f"deployment {here.name} publishes no dead-letter queue for {missing[0].value}: deploy it again")
    dead = {name: here.queue(here.dead_letter_queue_urls[name.value]) for name in wanted}
    depths = {name: queue.depth() for name, queue in dead.items()}
    for name, depth in depths.items():
        say(f"{name.value}: {counted(depth, 'dead letter')}")
    due = [name for name in wanted if depths[name]]
    if not due:
        say("nothing to redrive")
        return
    confirm(f"Redrive {', '.join(f'{min(depths[name], most):,} of {name.value}' for name in due)}?", yes=yes)
    for name in due:
        match name:
            case Which.STREAM:
                moved = letters.redrive_stream_failures(desk(here, rate=rate), dead[name], most=most)
            case _:
                source = here.uploads_queue_url if name is Which.UPLOADS else here.hints_queue_url
                with _status(f"redriving {name.value}") as status:
                    moved = letters.redrive(
                        dead[name], here.queue(source), most=most, sleep=time.sleep,
                        progress=_letters(status),
                    )  # fmt: skip
        answer(f"{name.value}: {counted(moved, 'letter')} redriven")
        if name is Which.STREAM and moved < min(depths[name], most):
            say(f"{min(depths[name], most) - moved:,} came too late for this: run it again in a minute")


Tell = Callable[[str], None]


def desk(
    here: Deployment, progress: Callable[[Cursor], None] = lambda _: None, rate: float = DEFAULT_READ_UNITS_PER_SECOND
) -> Desk:
    """What the tools of last resort work with, on this deployment."""
    names = {EVENTS: here.events_table, PROJECTIONS: here.projections_table}
    return Desk(
        tables=here.tables, reader=DynamoReader(names, here.region), hints=here.hints, lease=here.lease,
        now=lambda: datetime.now(UTC), sleep=time.sleep, progress=progress, read_units_per_second=rate,
    )  # fmt: skip


def _streams(cursor: Cursor) -> str:
    """Of jobs and of models."""
    return f"{counted(cursor.jobs, 'stream')} of events"


def _letters(tell: Tell) -> Callable[[int], None]:
    return lambda count: tell(counted(count, "letter"))


class _Walk:
    """A walk's beginning, and where its cursor is kept."""

    def __init__(self, here: Deployment, command: str, path: Path | None, tell: Tell) -> None:
        self._about = {"command": command, "deployment": here.name, "region": here.region, "account": here.account_id}
        self._path, self._tell, self._kept = path, tell, False
        self.begin = self._read()
        if self.begin is not None:
            say(f"going on with {path}, after {counted(self.begin.pages, 'page')}")

    def note(self, cursor: Cursor) -> None:
        """After every page: the file is always a whole one, old or new."""
        self._write(cursor)
        wrong = f", {len(cursor.suspects):,} to be looked at again" if cursor.suspects else ""
        self._tell(f"{counted(cursor.pages, 'page')}, {_streams(cursor)}{wrong}")

    def keep(self, cursor: Cursor) -> None:
        """There is something left that a later run with this cursor can do."""
        self._write(cursor)
        self._kept = True

    def done(self) -> None:
        if self._path is not None and not self._kept:
            self._path.unlink(missing_ok=True)

    def _write(self, cursor: Cursor) -> None:
        if self._path is None:
            return
        beside = self._path.with_name(self._path.name + ".new")
        beside.write_text(json.dumps({**self._about, "cursor": json.loads(cursor.to_text())}))
        beside.replace(self._path)

    def _read(self) -> Cursor | None:
        if self._path is None or not self._path.exists():
            return None
        try:
            said = json.loads(self._path.read_text())
            cursor = Cursor.from_text(json.dumps(said.pop("cursor")))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise Fault(
                f"{self._path} is not a cursor of bbq ({type(error).__name__}): remove it, or name another file"
            ) from None
        if said != self._about:
            raise Fault(
                f"{self._path} is the cursor of `bbq {said.get('command')}` on {said.get('deployment')}: name another file"
            )
        return cursor


@contextmanager
def _walk(here: Deployment, command: str, path: Path | None) -> Iterator[_Walk]:
    """Where the walk is broken off, its cursor stays; where it came to its end, it goes."""
    with _status(command) as tell:
        walk = _Walk(here, command, path, tell)
        try:
            yield walk
        except BaseException:
            if path is not None and path.exists():
                say(f"broken off: the same command with --cursor {path} goes on")
            raise
    walk.done()


@contextmanager
def _status(what: str) -> Iterator[Tell]:
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
