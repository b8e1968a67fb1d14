"""What `bbq submit` says of its files: problems, the table, costs, and the document of --json."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from rich.console import Console

from bbq.cli.estimates import Position
from bbq.cli.output import answer, say
from bbq.cli.prices import BYTES_PER_TOKEN, Estimate, Prices, in_money
from bbq.cli.problems import problem_lines
from bbq.cli.submission import Checked, Submitted
from bbq.cli.tables import Column, Row, show_lines, table
from bbq.cli.times import rough
from bbq.cli.wording import safe, size


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """What awaits a file in line: its place, and its start, which is a guess. `paused`: by whom."""

    waiting_jobs: int
    position: Position
    start: timedelta | None
    paused: str = ""


@dataclass(kw_only=True)
class Report:
    """What is known of a file by now; None if it is not known (yet)."""

    file: Checked
    outlook: Outlook | None = None
    estimate: Estimate | None = None
    submitted: Submitted | None = None
    outcome: str | None = None

    @property
    def name(self) -> str:
        """For a terminal."""
        return safe(str(self.file.submission.path))


_COLUMNS = (
    Column(title="file", file=True),
    Column(title="model"),
    Column(title="priority", right=True, spare=1),
    Column(title="records", right=True),
    Column(title="size", right=True, spare=3),
    Column(title="in line", right=True, spare=2),
    Column(title="before it", right=True),
    Column(title="start"),
)


def print_table(console: Console, reports: Sequence[Report]) -> None:
    """A line for each file, with its place in line."""
    rows = [
        Row(
            cells=(
                str(report.file.submission.path),
                report.file.submission.model,
                str(report.file.submission.priority),
                f"{report.file.found.record_count:,}",
                size(report.file.found.size_bytes),
                *(_place(report.outlook) if report.outlook else ("", "", "")),
            )
        )
        for report in reports
    ]
    show_lines(console, table(_COLUMNS, rows, console.width))


def _place(outlook: Outlook) -> tuple[str, str, str]:
    start = "unknown"
    if outlook.start is not None:
        start = f"in {rough(outlook.start)}" if outlook.start else "at once"
    more = "" if outlook.position.exact else "+"
    before = f"{outlook.position.ahead:,}{more}"
    return f"{outlook.waiting_jobs:,}", before, outlook.paused or start


def print_problems(unfit: Sequence[Report]) -> None:
    """As compilers do it: file, line, what."""
    for report in unfit:
        found = report.file.found
        for line, text in problem_lines(found.problems, found.problem_count):
            say(f"{report.name}{'' if line is None else f':{line}'}: {text}")


def print_warnings(reports: Sequence[Report]) -> None:
    """What is odd about files that are fit."""
    for report in reports:
        for warning in report.file.found.warnings:
            say(f"{report.name}: note: {warning}")


def print_estimates(reports: Sequence[Report], prices: Prices) -> None:
    """Tokens and costs, as far as they can be told before a job runs."""
    estimates = [(report.name, report.estimate) for report in reports if report.estimate]
    for name, guess in estimates:
        most = guess.output_tokens_at_most
        text = f"{name}: about {guess.input_tokens:,} tokens in"
        text += (
            f", at most {most:,} out"
            if most is not None
            else "; tokens out unknown, not every record says its max_tokens"
        )
        if guess.input_cost is not None:
            text += f"; about {in_money(guess.input_cost, prices.currency)} in"
        if guess.cost_at_most is not None:
            text += f", about {in_money(guess.cost_at_most, prices.currency)} at most in all"
        answer(text)
    answer(
        f"an estimate: {BYTES_PER_TOKEN} bytes of the file count as a token; nothing was uploaded"
    )
    if any(guess.input_cost is None for _, guess in estimates):
        unnamed = "the price table does not name the model"
        say(f"no cost: {unnamed if prices.models else 'say --prices or BBQ_PRICES'}")


def document(deployment: str, reports: Sequence[Report], prices: Prices) -> dict[str, Any]:
    """What --json prints: one entry for each file, with what is known at that point."""
    return {"deployment": deployment, "files": [_entry(report, prices) for report in reports]}


def _entry(report: Report, prices: Prices) -> dict[str, Any]:
    submission, found = report.file.submission, report.file.found
    entry: dict[str, Any] = {
        "file": str(submission.path),
        "key": submission.key,
        "model": submission.model,
        "priority": submission.priority,
        "records": found.record_count,
        "size_bytes": found.size_bytes,
        "problem_count": found.problem_count,
        "problems": found.problems,
        "warnings": found.warnings,
    }
    if outlook := report.outlook:
        entry |= {
            "waiting_jobs": outlook.waiting_jobs,
            "jobs_ahead": outlook.position.ahead,
            "expected_start_seconds": (
                None if outlook.start is None else outlook.start.total_seconds()
            ),
        }
    if guess := report.estimate:
        entry |= {
            "estimated_input_tokens": guess.input_tokens,
            "output_tokens_at_most": guess.output_tokens_at_most,
            "estimated_input_cost": guess.input_cost,
            "estimated_cost_at_most": guess.cost_at_most,
            "currency": prices.currency or None,
        }
    if report.submitted:
        entry |= {**asdict(report.submitted), "outcome": report.outcome}
    return entry
