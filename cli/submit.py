"""`bbq submit`: check files here as intake will check them, upload them, and say at once which jobs
they are.

All files are checked before any is uploaded. If the object at the key has the same digest, the file
was submitted before, and a person is asked whether it is to run once more: nothing else would
notice, as each version is a job of its own.

IAM: s3:GetObject (for HeadObject) on `to-process/*`, dynamodb:Query on the projections table, and
what `submission.py` needs.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from botocore.exceptions import (
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
)
from rich.progress import Progress

from bbq.cli import deployment as deployments
from bbq.cli import times
from bbq.cli.app import SUBMIT, app
from bbq.cli.decisions import GOOD_OUTCOME
from bbq.cli.deployment import Deployment, NoDeployment
from bbq.cli.estimates import expected_start, jobs_before, recent_mean_slot_seconds
from bbq.cli.faults import Exit, Fault, explain
from bbq.cli.follow import Timeout, follow, seconds_of
from bbq.cli.holds import paused_by
from bbq.cli.output import bars, confirm, err, nobody_reads, out, print_json, say
from bbq.cli.prices import Estimate, Prices, estimate, prices_from
from bbq.cli.submission import (
    Checked,
    Step,
    Submission,
    check,
    labels_of,
    opened,
    submissions_of,
    upload,
)
from bbq.cli.submit_report import (
    Outlook,
    Report,
    document,
    print_estimates,
    print_problems,
    print_table,
    print_warnings,
)
from bbq.cli.wording import counted, safe
from bbq.services.intake.uploads import DIGEST
from bbq.shared.job import outcome
from bbq.shared.names import job_id


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
    reports = _check_all(here, submissions, count_output=dry_run)
    if unfit := [report for report in reports if report.file.found.problem_count]:
        print_problems(unfit)
        if as_json:
            print_json(document(here.name, reports, known))
        raise Fault(f"{len(unfit)} of {len(reports)} files not fit: nothing was uploaded")
    print_warnings(reports)
    repeated = _repeated(here, reports) if here.name else 0
    if here.name:
        _look_ahead(here, reports)
    if dry_run:
        for report in reports:
            report.estimate = _estimated(here, report.file, known)
        if as_json:
            return print_json(document(here.name, reports, known))
        print_table(out(), reports)
        return print_estimates(reports, known)
    print_table(err(), reports)
    if repeated:
        confirm(
            f"{counted(repeated, 'file')} of {len(reports)} would run and be paid for once more. "
            "Submit?",
            yes=yes,
        )
    _upload_all(here, reports, quiet=as_json)
    try:
        if wait:
            _wait(here, reports, limit)
    finally:
        if as_json:
            print_json(document(here.name, reports, known))
    good = all(report.outcome in {None, GOOD_OUTCOME} for report in reports)
    raise typer.Exit(Exit.OK if good else Exit.FAILED)


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
) -> list[Report]:
    for each in submissions:
        opened(each.path).close()  # all of them, before minutes are spent on the first
    reports = []
    with bars() as progress:
        for each in submissions:
            step = _bar(progress, f"checking {each.path.name}", each.path.stat().st_size)
            reports.append(Report(file=check(here, each, step, count_output=count_output)))
    return reports


def _upload_all(here: Deployment, reports: Sequence[Report], *, quiet: bool) -> None:
    read = True
    for number, report in enumerate(reports):
        file = report.file
        path = file.submission.path
        try:
            with bars() as progress:
                step = _bar(progress, f"uploading {path.name}", file.found.size_bytes)
                report.submitted = upload(here, file, step)
            # As soon as it is known; not beside a bar, which takes standard output over.
            read = quiet or (read and _printed(report.submitted.job))
            if not read:
                say(report.submitted.job)
        except BaseException:
            if len(reports) > 1:
                done = number + (report.submitted is not None)
                say(f"{done} of {len(reports)} files were submitted; not {path} and what follows")
            raise


def _wait(here: Deployment, reports: Sequence[Report], limit: float | None) -> None:
    of_job = {report.submitted.job: report for report in reports if report.submitted}
    for job in follow(here, list(of_job), limit):
        word = of_job[job.id].outcome = outcome(job)
        if word != GOOD_OUTCOME:
            say(f"{job.id} {word} {job.reason}".rstrip())


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


def _repeated(here: Deployment, reports: Sequence[Report]) -> int:
    """How many files are the object at their key already, each said with its job."""
    s3, repeated = deployments.client("s3"), 0
    for report in reports:
        key = report.file.submission.key
        try:
            there = s3.head_object(Bucket=here.bucket, Key=key)
        except ClientError:
            continue  # none is there, or it may not be looked at: then only intake warns
        if there["Metadata"].get(DIGEST) == report.file.digest.hex():
            repeated += 1
            job = job_id(here.bucket, key, there.get("VersionId", ""), "", "")
            say(f"{report.name}: the same file was submitted before, as job {job}")
    return repeated


def _look_ahead(here: Deployment, reports: Sequence[Report]) -> None:
    """All files of a command have one model and one priority: each is behind those before it."""
    first, store = reports[0].file.submission, here.store
    slots = store.slots(first.model)
    behind = jobs_before(here, first.model, f"{first.priority}$")  # "$" follows "#"
    mean = recent_mean_slot_seconds(store, first.model, times.now())
    waiting = store.waiting(first.model).get("jobs", 0)
    for number, report in enumerate(reports):
        position = replace(behind, ahead=behind.ahead + number)
        report.outlook = Outlook(
            waiting_jobs=waiting,
            position=position,
            start=expected_start(slots, position, mean),
            paused=paused_by(slots),
        )


def _estimated(here: Deployment, file: Checked, prices: Prices) -> Estimate:
    model = here.models[file.submission.model]
    return estimate(
        file.found.size_bytes, file.output_tokens_at_most, prices.of(model.alias, model.model_id)
    )


def _bar(progress: Progress, what: str, size_bytes: int) -> Step:
    task = progress.add_task(safe(what), total=size_bytes)
    return lambda count: progress.advance(task, count)
