"""`bbq submit`: check files here as intake will check them, upload them, and say at once which jobs
they are.

All files are checked before any is uploaded. If the object at the key has the same digest, the file
was submitted before, and a person is asked whether it is to run once more: nothing else would
notice, as each version is a job of its own.

IAM: s3:GetObject (for HeadObject) on `to-process/*`, dynamodb:Query on the projections table, and
what `submission.py` needs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer
from botocore.exceptions import (
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
)
from rich.console import Console
from rich.progress import Progress

from bbq.cli import deployment as deployments
from bbq.cli import queries, times
from bbq.cli.app import (
    SUBMIT,
    Exit,
    Fault,
    answer,
    app,
    bars,
    confirm,
    err,
    explain,
    nobody_reads,
    out,
    print_json,
    say,
)
from bbq.cli.cost import in_money, prices_from
from bbq.cli.decisions import GOOD_OUTCOME
from bbq.cli.deployment import Deployment, NoDeployment
from bbq.cli.estimates import MAX_POSITION, expected_start
from bbq.cli.follow import Timeout, follow, seconds_of
from bbq.cli.prices import BYTES_PER_TOKEN, Estimate, Prices, estimate
from bbq.cli.problems import problem_lines
from bbq.cli.submission import (
    Checked,
    Step,
    Submission,
    Submitted,
    check,
    labels_of,
    opened,
    submissions_of,
    upload,
)
from bbq.cli.tables import Column, Row, show_lines, table
from bbq.cli.times import rough
from bbq.cli.wording import counted, safe, size
from bbq.services.intake.uploads import DIGEST
from bbq.shared.job import outcome
from bbq.shared.names import job_id
from bbq.shared.rows import line_pk
from bbq.shared.tables import LineRow


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """What awaits a file in line: `ahead` jobs are served before it (`more`: at least), and its
    start is a guess.
    """

    waiting_jobs: int
    ahead: int
    more: bool
    start: timedelta | None
    paused: str = ""


@app.command(rich_help_panel=SUBMIT)
def submit(  # noqa: PLR0917 - typer passes each by its name
    context: typer.Context,
    files: Annotated[
        list[Path], typer.Argument(help="JSON Lines files, one record a line.", metavar="FILE…")
    ],
    model: Annotated[
        str | None,
        typer.Option(help="Alias of the model. Without it, the default model.", metavar="ALIAS"),
    ] = None,
    priority: Annotated[
        int | None, typer.Option(help="0 is served first, 9 last; 5 without it.", min=0, max=9)
    ] = None,
    meta: Annotated[
        list[str] | None,
        typer.Option(help="A label of the job, any number of times.", metavar="NAME=VALUE"),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option("--as", help="The key under to-process/, for one file.", metavar="KEY"),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Follow the jobs to their end.")] = False,
    timeout: Timeout = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check, and estimate the cost; upload nothing.")
    ] = False,
    prices: Annotated[
        Path | None,
        typer.Option(help="Price table for --dry-run. [dim]BBQ_PRICES[/dim]", metavar="FILE"),
    ] = None,
    yes: Annotated[
        bool,
        typer.Option("--yes", help="Submit also what was submitted before, without a question."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Check files, upload them and print their jobs' ids.

    Standard output has one id a line, in the order of the files. Exit codes: 0 uploaded (with
    --wait: every job Completed, with no failed record), 1 with --wait: anything worse, 2 a file is
    not fit and nothing was uploaded, 8 not over in time.

    Example: [bold]bbq submit reviews.jsonl --model haiku --priority 3 --meta owner=ada
    --wait[/bold]
    """
    limit = seconds_of(timeout)
    known = prices_from(prices) if dry_run else Prices()
    here = _deployment(context.obj, model, dry_run=dry_run)
    submissions = submissions_of(
        here, files, model=model, priority=priority, labels=labels_of(meta or []), key=key
    )
    checked = _check_all(here, submissions, count_output=dry_run)
    unfit = [file for file in checked if file.found.problem_count]
    if unfit:
        _print_problems(unfit)
        if as_json:
            print_json(_document(here, checked))
        raise Fault(f"{len(unfit)} of {len(checked)} files not fit: nothing was uploaded")
    _print_warnings(checked)
    repeated = _repeated(here, checked) if here.name else 0
    outlooks = _outlooks(here, checked) if here.name else []
    if dry_run:
        estimates = [_estimated(here, file, known) for file in checked]
        if as_json:
            return print_json(
                _document(
                    here, checked, outlooks=outlooks, estimates=estimates, currency=known.currency
                )
            )
        _print_table(out(), checked, outlooks)
        return _print_estimates(checked, estimates, known)
    _print_table(err(), checked, outlooks)
    if repeated:
        confirm(
            f"{counted(repeated, 'file')} of {len(checked)} would run and be paid for once more. "
            "Submit?",
            yes=yes,
        )
    submitted = _upload_all(here, checked, quiet=as_json)
    outcomes: dict[str, str] = {}
    try:
        if wait:
            ends = follow(here, [upload.job for upload in submitted], limit)
            outcomes = {job.id: outcome(job) for job in ends}
            for job in ends:
                if outcome(job) != GOOD_OUTCOME:
                    say(f"{job.id} {outcome(job)} {job.reason}".rstrip())
    finally:
        if as_json:
            print_json(
                _document(here, checked, outlooks=outlooks, submitted=submitted, outcomes=outcomes)
            )
    raise typer.Exit(
        Exit.FAILED if any(word != GOOD_OUTCOME for word in outcomes.values()) else Exit.OK
    )


def _deployment(name: str | None, model: str | None, *, dry_run: bool) -> Deployment:
    """The deployment. A dry run asks nobody if there is none to ask: then it is one without a name,
    and the limits are Bedrock's own.
    """
    try:
        return deployments.find(name)
    except (NoDeployment, NoRegionError, NoCredentialsError, EndpointConnectionError) as error:
        if not dry_run or name is not None:
            raise
        say(
            f"note: {explain(error)[1]}. So the check is by Bedrock's own limits; the model's, and "
            "its line, are unknown"
        )
        return deployments.without_aws(model or "default")


def _check_all(
    here: Deployment, submissions: Sequence[Submission], *, count_output: bool
) -> list[Checked]:
    for each in submissions:
        opened(each.path).close()  # all of them, before minutes are spent on the first
    with bars() as progress:
        return [
            check(
                here,
                each,
                _bar(progress, f"checking {each.path.name}", each.path.stat().st_size),
                count_output=count_output,
            )
            for each in submissions
        ]


def _upload_all(here: Deployment, checked: Sequence[Checked], *, quiet: bool) -> list[Submitted]:
    done: list[Submitted] = []
    read = True
    try:
        for file in checked:
            with bars() as progress:
                done.append(
                    upload(
                        here,
                        file,
                        _bar(
                            progress,
                            f"uploading {file.submission.path.name}",
                            file.found.size_bytes,
                        ),
                    )
                )
            # As soon as it is known; not beside a bar, which takes standard output over.
            read = quiet or (read and _printed(done[-1].job))
            if not read:
                say(done[-1].job)
    except BaseException:
        if len(checked) > 1:
            say(
                f"{len(done)} of {len(checked)} files were submitted; not "
                f"{checked[len(done)].submission.path} and what follows"
            )
        raise
    return done


def _printed(job: str) -> bool:
    """False where nobody reads standard output any more: the files that follow are submitted all
    the same.
    """
    try:
        typer.echo(job)
    except BrokenPipeError:
        nobody_reads()
        return False
    return True


def _repeated(here: Deployment, checked: Sequence[Checked]) -> int:
    """How many files are the object at their key already, each said with its job."""
    s3, repeated = deployments.client("s3"), 0
    for file in checked:
        try:
            there = s3.head_object(Bucket=here.bucket, Key=file.submission.key)
        except ClientError:
            continue  # none is there, or it may not be looked at: then only intake warns
        if there["Metadata"].get(DIGEST) == file.digest.hex():
            repeated += 1
            job = job_id(here.bucket, file.submission.key, there.get("VersionId", ""), "", "")
            say(
                f"{safe(str(file.submission.path))}: the same file was submitted before, as job "
                f"{job}"
            )
    return repeated


def _outlooks(here: Deployment, checked: Sequence[Checked]) -> list[Outlook]:
    """Of all files of a command. They have one model and one priority, so each is behind those
    before it.
    """
    first, store = checked[0].submission, here.store
    slots = store.slots(first.model)
    rows = here.tables.query(LineRow, line_pk(first.model), limit=MAX_POSITION)
    ahead = sum(row.sk < f"{first.priority}$" for row in rows)  # "$" follows "#"
    more = ahead == MAX_POSITION
    mean = queries.recent_mean_slot_seconds(store, first.model, times.now())
    waiting = store.waiting(first.model).get("jobs", 0)
    paused = slots is not None and slots.paused
    why = (
        f"paused by {slots.pause.by}"
        if slots is not None and slots.pause is not None
        else "paused"
        if paused
        else ""
    )
    return [
        Outlook(
            waiting_jobs=waiting,
            ahead=ahead + before,
            more=more,
            paused=why,
            start=None if more else expected_start(slots, ahead + before, mean),
        )
        for before in range(len(checked))
    ]


def _estimated(here: Deployment, file: Checked, prices: Prices) -> Estimate:
    model = here.models[file.submission.model]
    return estimate(
        file.found.size_bytes, file.output_tokens_at_most, prices.of(model.alias, model.model_id)
    )


def _print_problems(unfit: Sequence[Checked]) -> None:
    """As compilers do it: file, line, what."""
    for file in unfit:
        name = safe(str(file.submission.path))
        for line, text in problem_lines(file.found.problems, file.found.problem_count):
            say(f"{name}{'' if line is None else f':{line}'}: {text}")


def _print_warnings(checked: Sequence[Checked]) -> None:
    for file in checked:
        for warning in file.found.warnings:
            say(f"{safe(str(file.submission.path))}: note: {warning}")


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


def _print_table(console: Console, checked: Sequence[Checked], outlooks: Sequence[Outlook]) -> None:
    rows = [
        Row(
            cells=(
                str(file.submission.path),
                file.submission.model,
                str(file.submission.priority),
                f"{file.found.record_count:,}",
                size(file.found.size_bytes),
                *(_place(outlooks[number]) if outlooks else ("", "", "")),
            )
        )
        for number, file in enumerate(checked)
    ]
    show_lines(console, table(_COLUMNS, rows, console.width))


def _place(outlook: Outlook) -> tuple[str, str, str]:
    start = (
        "unknown"
        if outlook.start is None
        else f"in {rough(outlook.start)}"
        if outlook.start
        else "at once"
    )
    return (
        f"{outlook.waiting_jobs:,}",
        f"{outlook.ahead:,}{'+' * outlook.more}",
        outlook.paused or start,
    )


def _print_estimates(
    checked: Sequence[Checked], estimates: Sequence[Estimate], prices: Prices
) -> None:
    for file, guess in zip(checked, estimates, strict=True):
        most = guess.output_tokens_at_most
        text = f"{safe(str(file.submission.path))}: about {guess.input_tokens:,} tokens in"
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
    if any(guess.input_cost is None for guess in estimates):
        missing = (
            "the price table does not name the model"
            if prices.models
            else "say --prices or BBQ_PRICES"
        )
        say(f"no cost: {missing}")


def _document(
    here: Deployment,
    checked: Sequence[Checked],
    *,
    outlooks: Sequence[Outlook] = (),
    estimates: Sequence[Estimate] = (),
    submitted: Sequence[Submitted] = (),
    outcomes: Mapping[str, str] | None = None,
    currency: str = "",
) -> dict[str, Any]:
    """What --json prints: one entry for each file, with what is known at that point."""
    files = []
    for number, file in enumerate(checked):
        entry: dict[str, Any] = {
            "file": str(file.submission.path),
            "key": file.submission.key,
            "model": file.submission.model,
            "priority": file.submission.priority,
            "records": file.found.record_count,
            "size_bytes": file.found.size_bytes,
            "problem_count": file.found.problem_count,
            "problems": file.found.problems,
            "warnings": file.found.warnings,
        }
        if outlooks:
            start = outlooks[number].start
            entry |= {
                "waiting_jobs": outlooks[number].waiting_jobs,
                "jobs_ahead": outlooks[number].ahead,
                "expected_start_seconds": start.total_seconds() if start is not None else None,
            }
        if estimates:
            guess = estimates[number]
            entry |= {
                "estimated_input_tokens": guess.input_tokens,
                "output_tokens_at_most": guess.output_tokens_at_most,
                "estimated_input_cost": _text(guess.input_cost),
                "estimated_cost_at_most": _text(guess.cost_at_most),
                "currency": currency or None,
            }
        if number < len(submitted):
            done = submitted[number]
            entry |= {
                "job": done.job,
                "version_id": done.version_id,
                "outcome": (outcomes or {}).get(done.job),
            }
        files.append(entry)
    return {"deployment": here.name, "files": files}


def _text(money: Decimal | None) -> str | None:
    return None if money is None else f"{money:f}"


def _bar(progress: Progress, what: str, size_bytes: int) -> Step:
    task = progress.add_task(safe(what), total=size_bytes)
    return lambda count: progress.advance(task, count)
