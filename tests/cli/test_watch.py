"""`bbq watch`: what it draws, what it reads, and that a real terminal is left as it was found."""

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyte
import pytest
from botocore.exceptions import ClientError
from rich.console import ConsoleDimensions

from bbq.cli import progress, queries, watch
from bbq.cli.faults import Exit
from bbq.cli.progress import BETWEEN, Progress
from tests.cli.conftest import NOW, Deployed, Requests, Result

ROOT = Path(__file__).resolve().parents[2]
ENTERED, LEFT, SHOWN = b"\x1b[?1049h", b"\x1b[?1049l", b"\x1b[?25h"
PATIENCE_SECONDS = 120.0  # of a busy machine; a quiet one takes three
MODELS = ("haiku", "nova")


@pytest.fixture
def busy(deployed: Deployed) -> Deployed:
    """Two jobs run on haiku, and 14 wait; nova holds one back."""
    deployed.time = NOW - timedelta(hours=1)
    done = deployed.upload("haiku/done.jsonl")
    deployed.wait(minutes=10)
    deployed.complete(done)
    first = deployed.upload("haiku/running.jsonl", records=200)
    deployed.upload("haiku/second.jsonl")
    deployed.report(first, "InProgress")
    deployed.processed[deployed.job(first).arn or ""] = 37
    for number in range(14):
        deployed.upload(f"haiku/waiting-{number:02}.jsonl")
        deployed.wait(seconds=1)
    deployed.refuse_next()
    deployed.upload("nova/held.jsonl", "nova")
    deployed.time = NOW
    return deployed


def drawn(
    deployed: Deployed, width: int = 120, height: int = 40, counts: Progress | None = None
) -> list[str]:
    counts = counts or Progress(lambda: deployed)
    size = ConsoleDimensions(width, height)
    lines = watch.fitted(watch.read(deployed.deployment, MODELS, counts, deployed.time, size), size)
    assert all(line.cell_len <= width for line in lines)
    assert len(lines) <= height
    return [line.plain for line in lines]


@pytest.mark.parametrize("width", [80, 120])
def test_it_says_what_status_and_jobs_say_and_how_far_bedrock_is(
    busy: Deployed, width: int
) -> None:
    screen = drawn(busy, width)

    assert any(line.startswith("haiku  ■■ 2 of 2 slots   14 jobs in line") for line in screen)
    (running,) = [line for line in screen if "running.jsonl" in line]
    assert "InProgress" in running
    assert width < 100 or "37/200" in running.split()
    assert sum("waiting-" in line for line in screen) == 14


@pytest.mark.parametrize("height", [1, 5, 18, 40])
def test_what_does_not_fit_is_said(busy: Deployed, height: int) -> None:
    screen = drawn(busy, height=height)

    assert (screen[-1] == "and more: bbq jobs --status live") == (height < 40)
    assert len(screen) == height or height == 40


def test_only_the_models_that_were_named_are_drawn(busy: Deployed) -> None:
    lines = watch.read(
        busy.deployment, ["nova"], Progress(lambda: busy), busy.time, ConsoleDimensions(120, 40)
    )

    assert any("held.jsonl" in line.plain for line in lines)
    assert not any("haiku" in line.plain for line in lines)


def test_a_reading_costs_the_same_whatever_waits(busy: Deployed, requests: Requests) -> None:
    requests.clear()
    drawn(busy, height=10)
    before = (len(requests), requests.items)
    for number in range(20):
        busy.upload(f"haiku/more-{number}.jsonl")
    requests.clear()

    drawn(busy, height=10)

    assert (len(requests), requests.items) == before


def test_bedrock_is_asked_once_a_minute_for_each_job_and_never_again_once_it_denies(
    busy: Deployed,
) -> None:
    asked: list[str] = []

    class Bedrock:
        denies = False

        def get_model_invocation_job(self, *, jobIdentifier: str) -> dict[str, Any]:
            asked.append(jobIdentifier)
            if self.denies:
                raise ClientError(
                    {"Error": {"Code": "AccessDeniedException", "Message": "no"}},
                    "GetModelInvocationJob",
                )
            return {"processedRecordCount": len(asked)}

    bedrock = Bedrock()
    progress, views = Progress(lambda: bedrock), queries.live_views(busy.deployment, MODELS)

    def counts(seconds: float) -> list[int]:
        return list(watch.counts(progress, views, busy.time + timedelta(seconds=seconds)).values())

    assert [counts(seconds) for seconds in range(0, 60, 10)] == [[1]] * 6
    assert counts(60) == [2]
    bedrock.denies = True
    assert [counts(60 * minute) for minute in range(2, 6)] == [[2]] * 4  # the last that was said
    assert len(asked) == 3


def test_a_bedrock_that_throttles_is_left_alone_for_a_minute_by_all_jobs() -> None:
    asked: list[str] = []

    class Bedrock:
        def get_model_invocation_job(self, *, jobIdentifier: str) -> dict[str, Any]:
            asked.append(jobIdentifier)
            raise ClientError(
                {"Error": {"Code": "ThrottlingException", "Message": "slow down"}},
                "GetModelInvocationJob",
            )

    counts = Progress(Bedrock)
    assert [counts.ask(arn, NOW) for arn in ("a", "b", "c")] == [None, None, None]
    assert asked == ["a"]
    counts.ask("b", NOW + BETWEEN)
    assert asked == ["a", "b"]


def test_bedrock_is_asked_without_retries_because_readings_wait_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = progress.client.__wrapped__().meta.config
    assert config.retries["total_max_attempts"] == 1
    assert (config.connect_timeout, config.read_timeout) == (
        progress.TIMEOUT_SECONDS,
        progress.TIMEOUT_SECONDS,
    )


def test_without_a_terminal_it_names_the_command_that_needs_none(
    deployed: Deployed, bbq: Callable[..., Result]
) -> None:
    result = bbq("watch")
    assert (result.code, result.out) == (Exit.USAGE, "")
    assert "bbq status" in result.err


# --- in a real terminal


@dataclass
class Terminal:
    """A pseudo-terminal with a process on it, and the screen that a person would see."""

    process: "subprocess.Popen[bytes]"
    master: int
    slave: int
    before: list[Any]
    screen: pyte.Screen
    raw: bytes = b""
    stream: pyte.ByteStream = field(init=False)

    def __post_init__(self) -> None:
        self.stream = pyte.ByteStream(self.screen)

    @property
    def text(self) -> str:
        """What is on the screen."""
        return "\n".join(self.screen.display)

    def until(self, done: Callable[[], bool]) -> None:
        """Read what is written until then. Fails when patience is over."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not done():
            assert time.monotonic() < deadline, self.text
            if select.select([self.master], [], [], 0.1)[0]:
                piece = os.read(self.master, 65_536)
                self.raw += piece
                self.stream.feed(piece)

    def end(self) -> int:
        """Wait for the process, and read what it still says; its exit code."""
        self.until(lambda: self.process.poll() is not None)
        with contextlib.suppress(BlockingIOError):
            os.set_blocking(self.master, False)
            while piece := os.read(self.master, 65_536):
                self.raw += piece
        return self.process.returncode


def _as_in_a_shell() -> None:
    """What was started in the background of a script ignores Ctrl-C, and so would its children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture
def terminal() -> Iterator[Callable[..., Terminal]]:
    """Start `bbq watch` in a terminal of 90 x 24."""
    started: list[Terminal] = []

    def start(*arguments: str, **environment: str) -> Terminal:
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 90, 0, 0))
        theirs = ("AWS_", "BBQ_", "COLUMNS", "LINES", "NO_COLOR")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(theirs)}
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.cli.watched", *arguments],
            cwd=ROOT,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=kept | {"TERM": "xterm-256color"} | environment,
            start_new_session=True,
            preexec_fn=_as_in_a_shell,  # noqa: PLW1509 - nothing else runs here
        )
        found = Terminal(process, master, slave, termios.tcgetattr(slave), pyte.Screen(90, 24))
        started.append(found)
        return found

    yield start
    for each in started:
        if each.process.poll() is None:
            each.process.kill()
            each.process.wait()
        os.close(each.master)
        os.close(each.slave)


def restored(terminal: Terminal) -> bool:
    """The other screen was entered and left, the cursor is there, and the keyboard is as it was."""
    return (
        terminal.raw.count(ENTERED) == terminal.raw.count(LEFT) == 1
        and terminal.raw.index(ENTERED) < terminal.raw.index(LEFT)
        and terminal.raw.rindex(SHOWN) > terminal.raw.index(ENTERED)
        and termios.tcgetattr(terminal.slave) == terminal.before
    )


@pytest.mark.parametrize("how", ["SIGINT", "SIGTERM"])
def test_however_it_is_ended_the_terminal_is_left_as_it_was(
    terminal: Callable[..., Terminal], how: str
) -> None:
    watched = terminal()
    watched.until(lambda: "37/200" in watched.text and "waiting.jsonl" in watched.text)
    assert ENTERED in watched.raw
    assert "haiku  ■■ 2 of 2 slots   2 jobs in line" in watched.text
    watched.process.send_signal(signal.Signals[how])
    assert watched.end() == (128 + signal.SIGTERM if how == "SIGTERM" else 0)
    assert restored(watched)
    assert b"Traceback" not in watched.raw


def test_after_an_error_the_terminal_is_left_as_it_was_and_the_error_is_said(
    terminal: Callable[..., Terminal],
) -> None:
    watched = terminal("fail")
    watched.until(lambda: "37/200" in watched.text)
    watched.until(lambda: "the last reading failed" in watched.text)
    assert "37/200" in watched.text  # what was read last stays
    assert watched.end() == Exit.FAILED
    assert restored(watched)
    said = watched.raw[watched.raw.index(LEFT) :]
    assert b"bbq:" in said
    assert b"ResourceNotFoundException" in said
    assert b"Traceback" not in watched.raw


def test_without_colours_it_has_none(terminal: Callable[..., Terminal]) -> None:
    watched = terminal(NO_COLOR="1")
    watched.until(lambda: "37/200" in watched.text)
    watched.process.send_signal(signal.SIGINT)
    assert watched.end() == 0
    colours = {
        part
        for codes in re.findall(rb"\x1b\[([0-9;]*)m", watched.raw)
        for part in codes.split(b";")
    }
    assert colours <= {b"", b"0", b"1", b"2"}  # bold and dim are no colours
