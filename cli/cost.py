"""`bbq cost`: what the jobs that are over have used, and what that costs by a price table of the
operator's.

Tokens are Bedrock's own counts, from each job's manifest. A job that was tried more than once
counts with all its attempts: its view has the last one only, so its events are read. No price is
invented: without a table there are tokens, and no cost.

IAM: dynamodb:Query on the projections table's index; dynamodb:Query on the events table for jobs
with several attempts.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from bbq.cli import deployment as deployments
from bbq.cli import queries, times
from bbq.cli.app import LOOK, app
from bbq.cli.output import out, print_json, say
from bbq.cli.prices import Prices, cost, in_money, prices_from
from bbq.cli.queries import OVER_STATUSES
from bbq.cli.tables import Column, Row, show_lines, table
from bbq.cli.times import moment, since_when
from bbq.cli.views import View
from bbq.cli.wording import counted
from bbq.shared import events as e
from bbq.shared.job import ENDS
from bbq.shared.names import INPUT_PREFIX, job_stream
from bbq.shared.store import Store

DEFAULT_SINCE = timedelta(days=30)
NO_FOLDER = "(none)"


class By(StrEnum):
    """What is added up."""

    MODEL = "model"
    PREFIX = "prefix"
    DAY = "day"


@dataclass(frozen=True, kw_only=True)
class Sum:
    """Of a group of jobs, as --json calls it. Tokens are unknown if an attempt has no count."""

    group: str
    jobs: int = 0
    jobs_with_unknown_tokens: int = 0
    jobs_without_price: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: Decimal = Decimal(0)

    def __add__(self, other: "Sum") -> "Sum":
        numbers = (field.name for field in fields(self) if field.name != "group")
        return replace(
            self, **{name: getattr(self, name) + getattr(other, name) for name in numbers}
        )


@app.command(name="cost", rich_help_panel=LOOK)
def cost_command(
    context: typer.Context,
    since: Annotated[
        str | None,
        typer.Option(
            help="Of jobs that ended since: 90m, 2h, 3d, or a day (UTC). Default: 30d.",
            metavar="TIME",
        ),
    ] = None,
    by: Annotated[
        By,
        typer.Option(
            help="One line for each model, first folder of the key, or day (UTC) of the end."
        ),
    ] = By.MODEL,
    prices: Annotated[
        Path | None,
        typer.Option(help="Price table, TOML or JSON. [dim]BBQ_PRICES[/dim]", metavar="FILE"),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="One JSON document; costs as text, exact.")
    ] = False,
) -> None:
    """Add up tokens of the jobs that are over, and their cost by your price table (docs/commands.md
    shows one).

    Exit codes: 0, 2 the price table cannot be used.

    Example: [bold]bbq cost --since 2026-11-01 --by prefix --prices prices.toml[/bold]
    """
    known = prices_from(prices)
    now = times.now()
    beginning = since_when(since, now) if since else now - DEFAULT_SINCE
    here = deployments.find(context.obj)
    views = queries.over_views(here, [*here.models], beginning, outcomes=_WITH_TOKENS)
    sums = added(used(view, here.store, known, by) for view in views)
    if json:
        return print_json(_document(sums, known, by, since=beginning))
    console, total = out(), [sum(sums, Sum(group="all"))] if len(sums) > 1 else []
    show_lines(
        console, table(_COLUMNS, [_row(each, known) for each in [*sums, *total]], console.width)
    )
    if not sums:
        say(f"no job ended since {moment(beginning)} UTC (--since)")
    if unknown := sum(each.jobs_with_unknown_tokens for each in sums):
        say(
            f"{counted(unknown, 'job')} with unknown token counts, not or not wholly in these "
            "numbers"
        )
    if unpriced := sum(each.jobs_without_price for each in sums):
        missing = f"{counted(unpriced, 'job')} ran on models that the price table does not name"
        say(missing if known.models else "no cost: say --prices FILE or set BBQ_PRICES")
    return None


def used(view: View, store: Store, prices: Prices, by: By) -> Sum:
    """What one job used, with all its attempts. One query if it was tried more than once."""
    if view.attempt > 1:
        history = [recorded.event for recorded in store.load(job_stream(view.job))]
        known, tokens_in, tokens_out = of_attempts(history)
    else:
        known = view.arn is None or (
            view.input_tokens is not None and view.output_tokens is not None
        )
        tokens_in, tokens_out = view.input_tokens or 0, view.output_tokens or 0
    price = prices.of(view.model, view.model_id)
    return Sum(
        group=_group(view, by),
        jobs=1,
        jobs_with_unknown_tokens=int(not known),
        jobs_without_price=int(price is None and bool(tokens_in or tokens_out)),
        input_tokens=tokens_in,
        output_tokens=tokens_out,
        cost=cost(price, tokens_in, tokens_out) if price is not None else Decimal(0),
    )


def of_attempts(history: Sequence[e.Event]) -> tuple[bool, int, int]:
    """(whether all is known, tokens in, tokens out) of all attempts that Bedrock took."""
    taken = {event.attempt for event in history if isinstance(event, e.JobSubmitted)}
    tallies = {event.attempt: event for event in history if isinstance(event, e.JobTallied)}
    counts = [
        (tally.input_tokens, tally.output_tokens)
        for attempt in taken
        if (tally := tallies.get(attempt)) is not None
    ]
    known = len(counts) == len(taken) and all(
        number is not None for pair in counts for number in pair
    )
    return known, sum(pair[0] or 0 for pair in counts), sum(pair[1] or 0 for pair in counts)


def added(jobs: Iterable[Sum]) -> list[Sum]:
    """One sum for each group, in their order."""
    sums: dict[str, Sum] = {}
    for job in jobs:
        sums[job.group] = sums[job.group] + job if job.group in sums else job
    return [sums[group] for group in sorted(sums)]


_WITH_TOKENS = tuple(
    dict.fromkeys(
        [*queries.OUTCOMES_OF_COMPLETED, *(status for status in OVER_STATUSES if status in ENDS)]
    )
)

_COLUMNS = (
    Column(title=""),
    Column(title="jobs", right=True),
    Column(title="tokens in", right=True),
    Column(title="tokens out", right=True),
    Column(title="unknown", right=True, spare=1),
    Column(title="cost", right=True),
)


def _group(view: View, by: By) -> str:
    match by:
        case By.MODEL:
            return view.model
        case By.DAY:
            return f"{view.last_at:%Y-%m-%d}"
        case By.PREFIX:
            key = view.sources[0].key.removeprefix(INPUT_PREFIX) if view.sources else ""
            return f"{key.rpartition('/')[0].partition('/')[0]}/" if "/" in key else NO_FOLDER


def _row(of: Sum, prices: Prices) -> Row:
    """A cost that is not of all the group's tokens says so."""
    unknown = of.jobs_with_unknown_tokens
    more = "+" if unknown or of.jobs_without_price else ""
    return Row(
        cells=(
            of.group,
            f"{of.jobs:,}",
            f"{of.input_tokens:,}",
            f"{of.output_tokens:,}",
            f"{unknown:,}" if unknown else "",
            in_money(of.cost, prices.currency) + more if prices.models else "",
        )
    )


def _document(sums: Sequence[Sum], prices: Prices, by: By, since: datetime) -> dict[str, Any]:
    groups = []
    for each in sums:
        numbers = asdict(each) if prices.models else asdict(each) | {"cost": None}
        groups.append({by.value: numbers.pop("group"), **numbers})
    return {"since": since, "by": by.value, "currency": prices.currency or None, "groups": groups}
