"""`bbq watch`: slots and lines as they change, drawn in place on the terminal's other screen, which is left as it was found.

One thread reads, the other draws, so that times go on and Ctrl-C is heard while AWS takes its time. What is read is bounded: for
each model and tick its slots, its count of the line and the line's head; a job's view when it is met at a new place, and again
only after a while; Bedrock's own count of records at most once a minute for each job (`progress.py`).
"""

import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import FrameType
from typing import Annotated, Self

import typer
from botocore.exceptions import BotoCoreError, ClientError
from pynamodb.exceptions import PynamoDBException
from rich.console import Group
from rich.live import Live
from rich.text import Text

from cli import deployment as deployments
from cli import queries, wording
from cli.app import Exit, Fault, NotFound, app, explain
from cli.app import console as make_console
from cli.deployment import Deployment
from cli.estimates import expected_start, mean_slot_seconds
from cli.holds import holds, what_is_wrong
from cli.progress import Progress
from cli.queries import View
from cli.status import Pause, days, paused
from cli.wording import Column, Row, bar, counted, duration, moment, rough, safe
from shared.job import CLAIMED, QUEUED, SUBMITTED
from shared.names import parse_holder
from shared.slots import Slots

INTERVAL_SECONDS = 2.0
MIN_INTERVAL_SECONDS = 0.5
DRAW_SECONDS = 0.5
HEAD = 10  # places of each line that are shown
VIEW_AGE = timedelta(seconds=5)  # a job in a slot is looked at again after that; one in line does not change
MEAN_AGE, NO_MEAN_AGE = timedelta(minutes=5), timedelta(seconds=20)  # until the mean is asked for again, and where there was none
MAX_VIEWS_A_TICK = 50
MAX_COUNTS_A_TICK = 5  # questions to Bedrock
MAX_FAILURES = 5  # readings in a row that failed: then it gives up
MIN_LINE_ROWS = 3
STALE_SECONDS = 3  # beside two intervals: then what is shown is said to be old

_SLOTS = (
    Column(title="model"),
    Column(title="job", spare=1),
    Column(title="file", file=True),
    Column(title="status"),
    Column(title="records", right=True, spare=2),
    Column(title="running", right=True),
)
_LINE = (
    Column(title="model"),
    Column(title="place", right=True),
    Column(title="job", spare=1),
    Column(title="file", file=True),
    Column(title="waiting", right=True),
    Column(title="starts"),
)


@dataclass(frozen=True, kw_only=True)
class ModelFrame:
    """One model as it was read: its slots, how many wait, and the first of them."""

    model: str
    slots: Slots
    waiting: int
    head: Sequence[str]
    mean_slot_seconds: float | None


@dataclass(frozen=True, kw_only=True)
class Frame:
    """Everything that is drawn, as it was read `at` that time. `views` and `processed` may lack a job that has just come."""

    at: datetime
    models: Sequence[ModelFrame]
    views: Mapping[str, View]
    processed: Mapping[str, int]


@app.command()
def watch(
    context: typer.Context,
    model: Annotated[list[str] | None, typer.Option(help="Only this model; may be said several times.")] = None,
    interval: Annotated[
        float, typer.Option(help="Seconds between two readings.", min=MIN_INTERVAL_SECONDS, max=3600)
    ] = INTERVAL_SECONDS,
) -> None:
    """Watch the slots and the lines, until q or Ctrl-C.

    Example: [bold]bbq watch --model haiku --interval 5[/bold]
    """
    console = make_console()
    if not sys.stdout.isatty() or console.is_dumb_terminal:
        raise Fault("bbq watch draws on a terminal and there is none: `bbq status` says the same once, and has --json")
    deployment = deployments.find(context.obj)
    unknown = [alias for alias in model or () if alias not in deployment.models]
    if unknown:
        raise NotFound(f"there is no model {unknown[0]!r}: the models are {', '.join(deployment.models)}")
    models = list(dict.fromkeys(model)) if model else list(deployment.models)
    with _Readings(Watcher(deployment, models), interval) as readings, _keyboard() as quit_asked, _terminated():
        try:
            with Live(console=console, screen=True, auto_refresh=False) as live:
                while not quit_asked(DRAW_SECONDS):
                    lines = frame_lines(
                        readings.frame(), queries.now(), width=console.width, height=console.height,
                        trouble=readings.trouble, interval=interval,
                    )  # fmt: skip
                    live.update(Group(*lines), refresh=True)
        except KeyboardInterrupt:
            pass  # the usual way out


class Watcher:
    """Reads what is drawn, no more often than it can have changed."""

    def __init__(self, deployment: Deployment, models: Sequence[str], progress: Progress | None = None) -> None:
        self._deployment, self._models = deployment, models
        self._views: dict[str, tuple[str, datetime, View]] = {}  # by job: where it was when it was read, when, and how it was
        self._means: dict[str, tuple[datetime, float | None]] = {}
        self._progress = progress or Progress()

    def tick(self, now: datetime) -> Frame:
        """One reading."""
        models = queries.at_once(lambda alias: self._model(alias, now), self._models)
        places = {job: place for model in models for job, place in _places(model).items()}
        self._look_at(places, now)
        self._count(places, now)
        views = {job: view for job, (_, _, view) in self._views.items() if job in places}
        counts = {job: count for job, view in views.items() if (count := self._progress.known(view.arn)) is not None}
        return Frame(at=now, models=models, views=views, processed=counts)

    def _model(self, alias: str, now: datetime) -> ModelFrame:
        store = self._deployment.store
        at, mean = self._means.get(alias, (None, None))
        if at is None or now - at >= (NO_MEAN_AGE if mean is None else MEAN_AGE):
            mean = mean_slot_seconds(*(store.day(alias, day) for day in days(now)))
            self._means[alias] = (now, mean)
        return ModelFrame(
            model=alias, slots=store.slots(alias) or Slots(model=alias, limit=0), waiting=store.waiting(alias).get("jobs", 0),
            head=store.line(alias, HEAD), mean_slot_seconds=mean,
        )  # fmt: skip

    def _look_at(self, places: Mapping[str, str], now: datetime) -> None:
        """Read the views of jobs that are new or have moved, then of those in a slot that were read longest ago."""
        self._views = {job: seen for job, seen in self._views.items() if job in places}

        def age(job: str) -> timedelta:
            place, at, _ = self._views.get(job, ("", now, None))
            if place != places[job]:
                return timedelta.max
            return now - at if place != QUEUED else timedelta(0)

        due = sorted((job for job in places if age(job) >= VIEW_AGE), key=age, reverse=True)[:MAX_VIEWS_A_TICK]
        read = queries.at_once(lambda job: queries.view(self._deployment, job), due)
        for job, view in zip(due, read, strict=True):
            if view is not None:
                self._views[job] = (places[job], now, view)

    def _count(self, places: Mapping[str, str], now: datetime) -> None:
        running = [view.arn for job, (_, _, view) in self._views.items() if places[job] == SUBMITTED and view.arn]
        started = {view.arn for _, _, view in self._views.values() if view.status == "InProgress"}
        self._progress.forget(but=set(running))
        for arn in [arn for arn in running if arn in started and self._progress.due(arn, now)][:MAX_COUNTS_A_TICK]:
            self._progress.ask(arn, now)


def frame_lines(frame: Frame | None, now: datetime, *, width: int, height: int, trouble: str, interval: float) -> list[Text]:
    """The screen, no wider and no higher than it is: the line is cut first, then the slots, with a word about the rest."""
    title = Text.assemble(("bbq watch", "bold"), (f"  {moment(now)} UTC, every {interval:g}s, q ends it", "dim"))
    if frame and now - frame.at > timedelta(seconds=STALE_SECONDS + 2 * interval):
        title.append(f", but this is {duration(now - frame.at)} old", style="yellow")
    made = [_cut(title, width)]
    if trouble:
        made.append(_cut(Text(f"the last reading failed: {safe(trouble)}", style="red"), width))
    if frame is None:
        return [*made, Text(), Text("reading ...", style="dim")][:height]
    made += [Text(), *(_cut(_summary(model, frame.models, now), width) for model in frame.models)]
    in_slots = [row for model in frame.models for row in _slot_rows(model, frame, now)]
    lines = [list(_line_rows(model, frame, now)) for model in frame.models]
    in_line = sum(model.waiting for model in frame.models)
    room = height - len(made) - (2 if in_slots else 0) - (2 if in_line else 0)  # a blank and a heading each
    line_rows = min(sum(map(len, lines)) + 1, max(MIN_LINE_ROWS, room - len(in_slots)))
    made += _table(_SLOTS, [in_slots], room - line_rows if in_line else room, len(in_slots), "in slots", width)
    made += _table(_LINE, lines, line_rows, in_line, "in line", width)
    return made[: max(height, 1)]


def _table(  # noqa: PLR0917 - two calls, side by side
    columns: Sequence[Column], parts: Sequence[Sequence[Row]], room: int, count: int, where: str, width: int
) -> list[Text]:  # fmt: skip
    """All rows, or as many as there is room for, with a word about the rest of `count`."""
    known = sum(map(len, parts))
    if not known:
        return []
    shown = _heads(parts, known if count <= min(known, room) else room - 1)
    made = [Text(), *wording.lines(columns, shown, width)] if shown else [Text()]
    if len(shown) < count:
        made.append(Text(f"and {count - len(shown):,} more {where}" if shown else f"{count:,} {where}", style="dim"))
    return made


def _heads(parts: Sequence[Sequence[Row]], room: int) -> list[Row]:
    """The first of each part, and then the second of each, as long as there is room; still part by part."""
    turns = sorted((turn, number) for number, part in enumerate(parts) for turn in range(len(part)))[: max(room, 0)]
    return [parts[number][turn] for number, turn in sorted((number, turn) for turn, number in turns)]


def _summary(model: ModelFrame, models: Sequence[ModelFrame], now: datetime) -> Text:
    wide = max(len(each.model) for each in models) + 2
    slots = model.slots
    line = Text.assemble(
        (f"{safe(model.model):<{wide}}", "bold"), bar(len(slots.holders), slots.limit),
        f" {len(slots.holders)} of {counted(slots.limit, 'slot')}, {model.waiting:,} in line",
    )  # fmt: skip
    for held in holds(slots):
        line.append(f", on hold: {safe(what_is_wrong(held))}", style="yellow")
    if slots.paused:
        pause = Pause(by=slots.pause.by, at=slots.pause.at, why=slots.pause.why) if slots.pause else Pause()
        line.append(f", {safe(paused(pause, now))}", style="yellow")
    return line


def _slot_rows(model: ModelFrame, frame: Frame, now: datetime) -> Iterator[Row]:
    """Those that run longest first, and one row for all that are free."""
    holders = [(parse_holder(name)[0], lease) for name, lease in model.slots.holders.items()]
    for job, lease in sorted(holders, key=lambda held: _since(frame.views.get(held[0]), now)):
        view = frame.views.get(job)
        status = (view.status if view and view.status not in {QUEUED, CLAIMED} else SUBMITTED) if lease.submitted else CLAIMED
        ran = (view.ran(now) if view else None) or timedelta(0)
        count = wording.records(view, frame.processed.get(job)) if view else ""
        yield Row(cells=(model.model, job, view.file if view else "...", wording.status(status), count, duration(ran)))
    free = model.slots.limit - len(holders)
    if free > 0:
        yield Row(cells=(model.model, "", "", Text(f"{free:,} free", style="dim"), "", ""))


def _line_rows(model: ModelFrame, frame: Frame, now: datetime) -> Iterator[Row]:
    """The head of the line."""

    def row(job: str, place: str, starts: str | Text) -> Row:
        view = frame.views.get(job)
        waited = duration(now - view.queued_at) if view else ""
        return Row(cells=(model.model, place, job, view.file if view else "...", waited, starts))

    for number, job in enumerate(model.head):
        yield row(job, str(number + 1), _starts(model, number, now))


def _starts(model: ModelFrame, ahead: int, now: datetime) -> str:
    slots = model.slots
    if slots.paused:
        return "paused"
    if held := holds(slots):  # few words: this column takes its width from the names of files
        left = max(each.next_try for each in held) - now
        return f"asked in {duration(left)}" if left > timedelta(0) else "asked now"
    start = expected_start(ahead, slots.limit, len(slots.holders), model.mean_slot_seconds)
    return "unknown" if start is None else f"in {rough(start)}" if start else "any moment"


def _places(model: ModelFrame) -> dict[str, str]:
    """Where each job is that is drawn: whoever moves is looked at again."""
    holders = {parse_holder(name)[0]: SUBMITTED if lease.submitted else CLAIMED for name, lease in model.slots.holders.items()}
    return dict.fromkeys(model.head, QUEUED) | holders


def _since(view: View | None, now: datetime) -> datetime:
    return (view.submitted_at or view.claimed_at or now) if view else now


def _cut(text: Text, width: int) -> Text:
    text.truncate(width, overflow="ellipsis")
    return text


class _Readings:
    """A thread that reads. `frame()` is the newest reading, and raises what made the thread give up."""

    def __init__(self, watcher: Watcher, interval: float) -> None:
        self._watcher, self._interval = watcher, interval
        self._frame: Frame | None = None
        self._fault: Exception | None = None
        self._over = threading.Event()
        self.trouble = ""

    def frame(self) -> Frame | None:
        if self._fault is not None:
            raise self._fault
        return self._frame

    def __enter__(self) -> Self:
        threading.Thread(target=self._read, daemon=True).start()  # a reading that hangs does not keep the process
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()

    def _read(self) -> None:
        failures = 0
        while not self._over.is_set():
            try:
                self._frame, self.trouble, failures = self._watcher.tick(queries.now()), "", 0
            except (BotoCoreError, ClientError, PynamoDBException) as error:
                code, self.trouble = explain(error)
                failures += 1
                if code == Exit.NO_ACCESS or failures >= MAX_FAILURES:
                    self._fault = error
                    return
            except Exception as error:  # noqa: BLE001 - a mistake of ours is told by the thread that can
                self._fault = error
                return
            self._over.wait(self._interval)


@contextmanager
def _keyboard() -> Iterator[Callable[[float], bool]]:
    """Keys are neither shown nor waited for with Enter, and Ctrl-Z does nothing, until this ends. Gives a wait of so many seconds
    that says whether q was pressed.
    """
    if not sys.stdin.isatty():
        over = threading.Event()
        yield over.wait
        return
    import termios  # noqa: PLC0415 - Windows has none, and every other command works there

    keyboard = sys.stdin.fileno()
    before = termios.tcgetattr(keyboard)
    quiet = termios.tcgetattr(keyboard)
    quiet[3] &= ~(termios.ECHO | termios.ICANON)
    quiet[6][termios.VSUSP] = b"\0"
    termios.tcsetattr(keyboard, termios.TCSADRAIN, quiet)

    def asked(seconds: float) -> bool:
        ready, _, _ = select.select([keyboard], [], [], seconds)
        return bool(ready) and (os.read(keyboard, 64).lower() or b"q").find(b"q") >= 0  # nothing to read: it was closed

    try:
        yield asked
    finally:
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)


@contextmanager
def _terminated() -> Iterator[None]:
    """A polite end from outside leaves the terminal as it was, too."""

    def leave(number: int, _: FrameType | None) -> None:
        sys.exit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
