"""`bbq watch`: what `bbq status` and `bbq jobs --status live` say, read again and again, until
Ctrl-C.

It is drawn on the terminal's other screen, which is left as it was found. A reading costs what
those two commands cost; Bedrock's own count of records is asked for at most once a minute and job
(`progress.py`).
"""

import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Annotated

import typer
from botocore.exceptions import BotoCoreError, ClientError
from pynamodb.exceptions import PynamoDBException
from rich.console import ConsoleDimensions, Group
from rich.live import Live
from rich.text import Text

from bbq.cli import deployment as deployments
from bbq.cli import queries, status, times
from bbq.cli.app import LOOK, app
from bbq.cli.deployment import Deployment
from bbq.cli.faults import Exit, Fault, explain
from bbq.cli.jobs import job_lines
from bbq.cli.output import console as make_console
from bbq.cli.progress import Progress
from bbq.cli.queries import NO_MODEL
from bbq.cli.times import moment
from bbq.cli.views import View
from bbq.cli.wording import safe

INTERVAL_SECONDS = 2.0
MIN_INTERVAL_SECONDS = 0.5
MAX_COUNTS_A_READING = 5  # questions to Bedrock
MAX_FAILURES = 5  # readings in a row that failed: then it gives up


@app.command(rich_help_panel=LOOK)
def watch(
    context: typer.Context,
    model: Annotated[
        list[str] | None, typer.Option(help="Only this model; may be said several times.")
    ] = None,
    interval: Annotated[
        float,
        typer.Option(help="Seconds between two readings.", min=MIN_INTERVAL_SECONDS, max=3600),
    ] = INTERVAL_SECONDS,
) -> None:
    """Watch the slots and the lines, until Ctrl-C.

    Example: [bold]bbq watch --model haiku --interval 5[/bold]
    """
    console = make_console()
    if not sys.stdout.isatty() or console.is_dumb_terminal:
        raise Fault(
            "bbq watch draws on a terminal and there is none: `bbq status` says the same once, and "
            "has --json"
        )
    deployment = deployments.find(context.obj)
    deployment.must_have(*(model or ()))
    models = list(dict.fromkeys(model)) if model else [*deployment.models]
    # so that the terminal is left as it was, too
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    progress, lines, failures = Progress(), [Text("reading ...", style="dim")], 0
    with (
        suppress(KeyboardInterrupt),
        Live(Group(*lines), console=console, screen=True, auto_refresh=False) as live,
    ):
        while True:
            try:
                lines, failures = read(deployment, models, progress, times.now(), console.size), 0
                trouble: list[Text] = []
            except (BotoCoreError, ClientError, PynamoDBException) as error:
                code, said = explain(error)
                failures += 1
                if code == Exit.NO_ACCESS or failures >= MAX_FAILURES:
                    raise
                trouble = [Text(f"the last reading failed: {safe(said)}", style="red")]
            live.update(Group(*fitted([*trouble, *lines], console.size)), refresh=True)
            time.sleep(interval)


def read(
    deployment: Deployment,
    models: Sequence[str],
    progress: Progress,
    now: datetime,
    size: ConsoleDimensions,
) -> list[Text]:
    """All that is said, from one reading; of jobs no more than a screen has lines."""
    found = status.read(deployment, models)
    views = queries.live_views(deployment, [*models, NO_MODEL], limit=size.height)
    title = Text.assemble(("bbq watch", "bold"), (f"  {moment(now)} UTC, Ctrl-C ends it", "dim"))
    jobs = job_lines(views, now, size.width, processed=counts(progress, views, now))
    return [title, Text(), *status.status_lines(found, size.width), Text(), *jobs]


def counts(progress: Progress, views: Sequence[View], now: datetime) -> dict[str, int]:
    """How many records Bedrock has processed of each job that runs, as far as it said so."""
    running = {view.job: view.arn for view in views if view.arn and view.status == "InProgress"}
    progress.forget(but=set(running.values()))
    for arn in [arn for arn in running.values() if progress.due(arn, now)][:MAX_COUNTS_A_READING]:
        progress.ask(arn, now)
    return {
        job: count for job, arn in running.items() if (count := progress.known(arn)) is not None
    }


def fitted(lines: Sequence[Text], size: ConsoleDimensions) -> list[Text]:
    """The lines that the screen has room for, and a word about the rest."""
    more = (
        [Text("and more: bbq jobs --status live", style="dim")] if len(lines) > size.height else []
    )
    shown = [line.copy() for line in [*lines[: size.height - len(more)], *more]]
    for line in shown:
        line.truncate(size.width, overflow="ellipsis")
    return shown
