"""`bbq watch`: slots and lines as they change, drawn in place on the terminal's other screen, which is left as it was found.

One thread reads, the other draws, so that times go on and Ctrl-C is heard while AWS takes its time. A reading asks for each
model's slots, its counts, the head of its line, and the view of each job that is drawn; Bedrock's own count of records is asked
for at most once a minute and job (`progress.py`).
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
from typing import Annotated, Self

import typer
from botocore.exceptions import BotoCoreError, ClientError
from pynamodb.exceptions import PynamoDBException
from rich.console import Group
from rich.live import Live
from rich.text import Text

from cli import deployment as deployments
from cli import queries, times, wording
from cli.app import LOOK, Exit, Fault, NotFound, app, explain
from cli.app import console as make_console
from cli.deployment import Deployment
from cli.estimates import expected_start
from cli.holds import holds, what_is_wrong
from cli.jobs import records
from cli.progress import Progress
from cli.queries import View
from cli.status import pause_of, paused
from cli.tables import Column, Row, table
from cli.times import duration, moment, rough
from cli.wording import bar, counted, safe
from shared.job import CLAIMED, QUEUED, SUBMITTED
from shared.names import parse_holder
from shared.slots import Slots

INTERVAL_SECONDS = 2.0
MIN_INTERVAL_SECONDS = 0.5
DRAW_SECONDS = 0.5
HEAD = 10  # places of each line that are shown
MAX_COUNTS_A_TICK = 5  # questions to Bedrock
MAX_FAILURES = 5  # readings in a row that failed: then it gives up
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


@app.command(rich_help_panel=LOOK)
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
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # so that the terminal is left as it was, too
    with _Readings(Watcher(deployment, models), interval) as readings, _keyboard() as quit_asked:
        try:
            with Live(console=console, screen=True, auto_refresh=False) as live:
                while not quit_asked(DRAW_SECONDS):
                    lines = frame_lines(
                        readings.frame(), times.now(), width=console.width, height=console.height,
                        trouble=readings.trouble, interval=interval,
                    )  # fmt: skip
                    live.update(Group(*lines), refresh=True)
        except KeyboardInterrupt:
            pass  # the usual way out


class Watcher:
    """Reads what is drawn. `progress` is asked for Bedrock's counts."""

    def __init__(self, deployment: Deployment, models: Sequence[str], progress: Progress | None = None) -> None:
        self._deployment, self._models = deployment, models
        self._progress = progress or Progress()

    def tick(self, now: datetime) -> Frame:
        """One reading."""
        models = queries.at_once(lambda alias: self._model(alias, now), self._models)
        drawn = [job for model in models for job in dict.fromkeys([*_holders(model), *model.head])]
        seen = queries.at_once(lambda job: queries.view(self._deployment, job), drawn)
        views = {view.job: view for view in seen if view is not None}
        return Frame(at=now, models=models, views=views, processed=self._counts(views, now))

    def _model(self, alias: str, now: datetime) -> ModelFrame:
        store = self._deployment.store
        return ModelFrame(
            model=alias, slots=store.slots(alias) or Slots(model=alias, limit=0), waiting=store.waiting(alias).get("jobs", 0),
            head=store.line(alias, HEAD), mean_slot_seconds=queries.recent_mean_slot_seconds(store, alias, now),
        )  # fmt: skip

    def _counts(self, views: Mapping[str, View], now: datetime) -> dict[str, int]:
        running = {job: view.arn for job, view in views.items() if view.arn and view.status == "InProgress"}
        self._progress.forget(but=set(running.values()))
        for arn in [arn for arn in running.values() if self._progress.due(arn, now)][:MAX_COUNTS_A_TICK]:
            self._progress.ask(arn, now)
        return {job: count for job, arn in running.items() if (count := self._progress.known(arn)) is not None}


def frame_lines(frame: Frame | None, now: datetime, *, width: int, height: int, trouble: str, interval: float) -> list[Text]:
    """The screen, no wider and no higher than it is: what does not fit is counted."""
    title = Text.assemble(("bbq watch", "bold"), (f"  {moment(now)} UTC, every {interval:g}s, q ends it", "dim"))
    if frame and now - frame.at > timedelta(seconds=STALE_SECONDS + 2 * interval):
        title.append(f", but this is {duration(now - frame.at)} old", style="yellow")
    made = [_cut(title, width)]
    if trouble:
        made.append(_cut(Text(f"the last reading failed: {safe(trouble)}", style="red"), width))
    if frame is None:
        return [*made, Text(), Text("reading ...", style="dim")][:height]
    made += [Text(), *(_cut(_summary(model, frame.models, now), width) for model in frame.models)]
    slots = [list(_slot_rows(model, frame, now)) for model in frame.models]
    lines = [list(_line_rows(model, frame, now)) for model in frame.models]
    in_slots, in_line, room = sum(map(len, slots)), sum(model.waiting for model in frame.models), height - len(made)
    of_line = min(sum(map(len, lines)) + 3, max(room - in_slots - 2, room // 3)) if in_line else 0
    made += _part(_SLOTS, slots, in_slots, room - of_line, "in slots", width)
    made += _part(_LINE, lines, in_line, height - len(made), "in line", width)
    return made[: max(height, 1)]


def _part(  # noqa: PLR0917 - two calls, side by side
    columns: Sequence[Column], parts: Sequence[Sequence[Row]], count: int, room: int, where: str, width: int
) -> list[Text]:  # fmt: skip
    """A blank, a heading and all rows; or the first of each part, as many as there is room for, and a word about the rest."""
    if not count:
        return []
    rows = [row for part in parts for row in part]
    if len(rows) > room - 2 or (len(rows) < count and len(rows) > room - 3):
        share = max(room - 3, 0) // sum(map(bool, parts))
        rows = [row for part in parts for row in part[:share]]
    made = [Text(), *table(columns, rows, width)]
    if len(rows) < count:
        made.append(Text(f"and {count - len(rows):,} more {where}" if rows else f"{count:,} {where}", style="dim"))
    return made


def _summary(model: ModelFrame, models: Sequence[ModelFrame], now: datetime) -> Text:
    wide = max(len(each.model) for each in models) + 2
    slots = model.slots
    line = Text.assemble(
        (f"{safe(model.model):<{wide}}", "bold"), bar(len(slots.holders), slots.limit),
        f" {len(slots.holders)} of {counted(slots.limit, 'slot')}, {model.waiting:,} in line",
    )  # fmt: skip
    for held in holds(slots):
        line.append(f", on hold: {safe(what_is_wrong(held))}", style="yellow")
    if pause := pause_of(slots):
        line.append(f", {safe(paused(pause, now))}", style="yellow")
    return line


def _slot_rows(model: ModelFrame, frame: Frame, now: datetime) -> Iterator[Row]:
    """Those that run longest first, and one row for all that are free."""
    holders = _holders(model)
    for job, submitted in sorted(holders.items(), key=lambda held: _since(frame.views.get(held[0]), now)):
        view = frame.views.get(job)
        status = (view.status if view and view.status not in {QUEUED, CLAIMED} else SUBMITTED) if submitted else CLAIMED
        ran = (view.ran(now) if view else None) or timedelta(0)
        count = records(view, frame.processed.get(job)) if view else ""
        yield Row(cells=(model.model, job, view.file if view else "...", wording.status(status), count, duration(ran)))
    free = model.slots.limit - len(holders)
    if free > 0:
        yield Row(cells=(model.model, "", "", Text(f"{free:,} free", style="dim"), "", ""))


def _line_rows(model: ModelFrame, frame: Frame, now: datetime) -> Iterator[Row]:
    """The head of the line."""
    for ahead, job in enumerate(model.head):
        view = frame.views.get(job)
        waited = duration(now - view.queued_at) if view else ""
        file = view.file if view else "..."
        yield Row(cells=(model.model, str(ahead + 1), job, file, waited, _starts(model, ahead, now)))


def _starts(model: ModelFrame, ahead: int, now: datetime) -> str:
    slots = model.slots
    if slots.paused:
        return "paused"
    if held := holds(slots):  # few words: this column takes its width from the names of files
        left = max(each.next_try for each in held) - now
        return f"asked in {duration(left)}" if left > timedelta(0) else "asked now"
    start = expected_start(slots, ahead, model.mean_slot_seconds)
    return "unknown" if start is None else f"in {rough(start)}" if start else "any moment"


def _holders(model: ModelFrame) -> dict[str, bool]:
    """The jobs in slots, and whether Bedrock has taken them."""
    return {parse_holder(name)[0]: lease.submitted for name, lease in model.slots.holders.items()}


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
                self._frame, self.trouble, failures = self._watcher.tick(times.now()), "", 0
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
