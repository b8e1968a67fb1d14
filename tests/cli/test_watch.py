"""`bbq watch`: what it draws, how little it reads, and that a real terminal is left as it was found."""

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
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyte
import pytest
from botocore.exceptions import ClientError

from cli import progress, watch
from cli.app import Exit
from cli.progress import BETWEEN, Progress
from tests.cli.conftest import NOW, Deployed, Result

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


def drawn(deployed: Deployed, width: int, height: int, trouble: str = "") -> list[str]:
    frame = watch.Watcher(deployed.deployment, MODELS).tick(deployed.time)
    lines = watch.frame_lines(frame, deployed.time, width=width, height=height, trouble=trouble, interval=2)
    assert all(line.cell_len <= width for line in lines)
    assert len(lines) <= height
    return [line.plain for line in lines]


@pytest.mark.parametrize("width", [80, 120])
def test_it_draws_slots_and_the_heads_of_the_lines(busy: Deployed, width: int) -> None:
    screen = drawn(busy, width, 40)
    (running,) = [line for line in screen if "running.jsonl" in line]
    assert running.split()[-3:] == ["InProgress", "37/200", "50m00s"]
    (first,) = [line for line in screen if "waiting-00.jsonl" in line]
    assert re.fullmatch(r"haiku +1 .*waiting-00.jsonl +50m00s +in about 5m", first)
    (held,) = [line for line in screen if "held.jsonl" in line]
    assert held.endswith("asked now")
    assert "haiku  ■■ 2 of 2 slots, 14 in line" in screen
    assert "1 free" in "\n".join(screen)


@pytest.mark.parametrize("height", [5, 10, 15, 18, 24, 40])
def test_what_does_not_fit_is_counted_and_every_line_has_its_turn(busy: Deployed, height: int) -> None:
    screen = drawn(busy, 100, height)
    assert not any(before == after == "" for before, after in pairwise(screen))
    if height >= 15:
        assert any("held.jsonl" in line for line in screen)
        assert any("waiting-00.jsonl" in line for line in screen)
        shown = sum("waiting-" in line or "held.jsonl" in line for line in screen)
        assert screen[-1] == f"and {15 - shown} more in line"  # also those that were not read


def test_a_paused_model_says_so_and_starts_nothing(busy: Deployed) -> None:
    busy.pause("haiku", why="tests")
    screen = "\n".join(drawn(busy, 120, 40))
    assert "paused by ada 0s ago: tests" in screen
    assert re.search(r"waiting-00.jsonl +50m00s +paused", screen)


def test_while_bedrock_turns_jobs_away_no_start_is_promised(busy: Deployed) -> None:
    slots = busy.store.slots("nova")
    assert slots
    assert slots.refused
    busy.time = slots.refused.since  # it is not yet time for another try
    busy.upload("nova/behind.jsonl", "nova")
    (behind,) = [line for line in drawn(busy, 120, 40) if "behind.jsonl" in line]
    assert re.search(r"asked in \d+[ms]", behind)


def test_trouble_is_shown_and_what_was_read_last_stays(busy: Deployed) -> None:
    screen = drawn(busy, 80, 24, trouble="AWS could not be asked: \x1b[2J" + "x" * 99)
    assert screen[1].startswith("the last reading failed: AWS could not be asked: \N{REPLACEMENT CHARACTER}[2J")
    assert any("running.jsonl" in line for line in screen)


def test_a_reading_costs_the_same_whatever_the_history(busy: Deployed, requests: list[str]) -> None:
    watch.Watcher(busy.deployment, MODELS, Progress(lambda: busy)).tick(busy.time)
    assert requests.count("GetItem") == 2 + 3 + watch.HEAD  # slots; views of two running, one refused, and the heads
    assert len(requests) == requests.count("GetItem") + 2 * 4  # models; counts of the line and of two days, head


def test_a_job_that_moves_is_shown_where_it_is(busy: Deployed) -> None:
    watcher = watch.Watcher(busy.deployment, MODELS, Progress(lambda: busy))
    first = watcher.tick(busy.time)
    (running,) = [job for job, view in first.views.items() if view.status == "InProgress"]
    busy.complete(running)
    after = watcher.tick(busy.time + timedelta(seconds=2))
    assert running not in after.views
    moved = [job for job, view in first.views.items() if view.status == "Queued" and after.views[job] != view]
    assert [after.views[job].status for job in moved] == ["Submitted"]


def test_bedrock_is_asked_once_a_minute_for_each_job_and_never_again_once_it_denies(busy: Deployed) -> None:
    asked: list[str] = []

    class Bedrock:
        denies = False

        def get_model_invocation_job(self, *, jobIdentifier: str) -> dict[str, Any]:  # noqa: N803 - Bedrock's own name
            asked.append(jobIdentifier)
            if self.denies:
                raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "GetModelInvocationJob")
            return {"processedRecordCount": len(asked)}

    bedrock = Bedrock()
    watcher = watch.Watcher(busy.deployment, MODELS, Progress(lambda: bedrock))
    for second in range(0, 60, 10):
        frame = watcher.tick(busy.time + timedelta(seconds=second))
    assert (len(asked), list(frame.processed.values())) == (1, [1])
    assert list(watcher.tick(busy.time + BETWEEN).processed.values()) == [2]
    bedrock.denies = True
    for minute in range(2, 6):
        frame = watcher.tick(busy.time + minute * BETWEEN)
    assert len(asked) == 3
    assert list(frame.processed.values()) == [2]  # the last that was said


def test_a_reading_that_takes_long_is_said_to_be_old(busy: Deployed) -> None:
    frame = watch.Watcher(busy.deployment, MODELS).tick(NOW)

    def title(seconds: float) -> str:
        lines = watch.frame_lines(frame, NOW + timedelta(seconds=seconds), width=80, height=24, trouble="", interval=2)
        return lines[0].plain

    assert "old" not in title(6)
    assert title(14).endswith("but this is 14s old")


def test_a_bedrock_that_throttles_is_left_alone_for_a_minute_by_all_jobs() -> None:
    asked: list[str] = []

    class Bedrock:
        def get_model_invocation_job(self, *, jobIdentifier: str) -> dict[str, Any]:  # noqa: N803 - Bedrock's own name
            asked.append(jobIdentifier)
            raise ClientError({"Error": {"Code": "ThrottlingException", "Message": "slow down"}}, "GetModelInvocationJob")

    counts = Progress(Bedrock)
    assert [counts.ask(arn, NOW) for arn in ("a", "b", "c")] == [None, None, None]
    assert asked == ["a"]
    counts.ask("b", NOW + BETWEEN)
    assert asked == ["a", "b"]


def test_bedrock_is_asked_without_retries_because_readings_wait_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    config = progress.client.__wrapped__().meta.config
    assert config.retries["total_max_attempts"] == 1
    assert (config.connect_timeout, config.read_timeout) == (progress.TIMEOUT_SECONDS, progress.TIMEOUT_SECONDS)


def test_without_a_terminal_it_names_the_command_that_needs_none(deployed: Deployed, bbq: Callable[..., Result]) -> None:
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
            [sys.executable, "-m", "tests.cli.watched", *arguments], cwd=ROOT, stdin=slave, stdout=slave, stderr=slave,
            env=kept | {"TERM": "xterm-256color"} | environment, start_new_session=True,
            preexec_fn=_as_in_a_shell,  # noqa: PLW1509 - nothing else runs here
        )  # fmt: skip
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


@pytest.mark.parametrize("how", ["SIGINT", "q", "SIGTERM"])
def test_however_it_is_ended_the_terminal_is_left_as_it_was(terminal: Callable[..., Terminal], how: str) -> None:
    watched = terminal()
    watched.until(lambda: "37/200" in watched.text and "waiting.jsonl" in watched.text)
    assert ENTERED in watched.raw
    assert termios.tcgetattr(watched.slave) != watched.before  # keys are not shown
    assert "haiku  ■■ 2 of 2 slots, 2 in line" in watched.text
    if how == "q":
        os.write(watched.master, b"xq")
    else:
        watched.process.send_signal(signal.Signals[how])
    assert watched.end() == (128 + signal.SIGTERM if how == "SIGTERM" else 0)
    assert restored(watched)
    assert b"Traceback" not in watched.raw


def test_after_an_error_the_terminal_is_left_as_it_was_and_the_error_is_said(terminal: Callable[..., Terminal]) -> None:
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
    colours = {part for codes in re.findall(rb"\x1b\[([0-9;]*)m", watched.raw) for part in codes.split(b";")}
    assert colours <= {b"", b"0", b"1", b"2"}  # bold and dim are no colours
