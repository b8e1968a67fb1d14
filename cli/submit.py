"""`bbq submit`: check files here as intake will check them, upload them, and say at once which jobs they are.

All files are checked before any is uploaded. What is uploaded is what was checked: its digest is taken while it is read for the
check and again while it is read for the upload, and the last part is not sent where they differ. S3 makes a version only when a
multipart upload is completed, so even small files are uploaded that way: a call repeated after a lost answer, or a command
that was killed, cannot leave two versions, which would be two jobs.

The digest is in the object's metadata. If the object at the key has the same one, the file was submitted before, and a person is
asked whether it is to run once more: nothing else would notice, as each version is a job of its own.

IAM: s3:GetObject (for HeadObject), s3:PutObject and s3:AbortMultipartUpload on `to-process/*`, dynamodb:Query on the projections
table.
"""

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import typer
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError
from rich.console import Console
from rich.progress import Progress

from cli import deployment as deployments
from cli import queries
from cli.app import Exit, Failed, Fault, answer, app, bars, confirm, err, nobody_reads, out, print_json, say
from cli.cost import in_money, prices_from
from cli.decisions import GOOD_OUTCOME
from cli.deployment import Deployment
from cli.estimates import MAX_POSITION, expected_start, mean_slot_seconds
from cli.follow import Timeout, follow, seconds_of
from cli.prices import BYTES_PER_TOKEN, Estimate, Prices, estimate, most_output_tokens
from cli.wording import Column, Row, counted, lines, rough, safe, size
from services.intake.intake import limits_for
from services.intake.uploads import DIGEST, MAX_KEY_BYTES, ORDERS, UNVERSIONED, choose_model, choose_priority
from shared.events import Problem
from shared.inspection import Inspection, inspect
from shared.names import INPUT_PREFIX, INPUT_SUFFIX, job_id
from shared.projections import line_pk
from shared.tables import LineRow

READ_BYTES = 1024**2
PART_BYTES = 8 * 1024**2
PARALLEL_PARTS = 4
MAX_FILES = 1_000
MAX_METADATA_BYTES = 2048  # S3's own limit of all names and values of an object's metadata
MAX_VALUE = 256

_NAME = re.compile(r"[a-z0-9-]{1,64}")
_VALUE = re.compile(r"[ -~]+")
DIGEST_BYTES = len(DIGEST) + 64  # in hexadecimal digits
_IDENTITY = "after-call.s3.CompleteMultipartUpload"


@dataclass(frozen=True, kw_only=True)
class Order:
    """One file, where it goes, and what its uploader asks for. `metadata` is what the object will carry."""

    path: Path
    key: str
    model: str
    priority: int
    metadata: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Checked:
    """A file as it was read: `digest` of all its bytes. Problems mean that it is not fit."""

    order: Order
    found: Inspection
    digest: bytes = b""
    output_tokens_at_most: int | None = None


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """What awaits a file in line: `ahead` jobs are served before it (`more`: at least), and its start is a guess."""

    waiting_jobs: int
    ahead: int
    more: bool
    start: timedelta | None
    paused: str = ""


@dataclass(frozen=True, kw_only=True)
class Submitted:
    """An upload that S3 has taken."""

    job: str
    version_id: str


Step = Callable[[int], None]


class Changed(Exception):
    """The file is not what was checked any more."""


@app.command()
def submit(  # noqa: PLR0917 - typer passes each by its name
    context: typer.Context,
    files: Annotated[list[Path], typer.Argument(help="JSON Lines files, one record a line.", metavar="FILE…")],
    model: Annotated[str | None, typer.Option(help="Alias of the model. Without it, the default model.", metavar="ALIAS")] = None,
    priority: Annotated[int | None, typer.Option(help="0 is served first, 9 last; 5 without it.", min=0, max=9)] = None,
    meta: Annotated[list[str] | None, typer.Option(help="A label of the job, any number of times.", metavar="NAME=VALUE")] = None,
    key: Annotated[str | None, typer.Option("--as", help="The key under to-process/, for one file.", metavar="KEY")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Follow the jobs to their end.")] = False,
    timeout: Timeout = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check, and estimate the cost; upload nothing.")] = False,
    prices: Annotated[Path | None, typer.Option(help="Price table for --dry-run. [dim]BBQ_PRICES[/dim]", metavar="FILE")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Submit also what was submitted before, without a question.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:  # fmt: skip
    """Check files, upload them and print their jobs' ids.

    Standard output has one id a line, in the order of the files. Exit codes: 0 uploaded (with --wait: every job Completed, with
    no failed record), 1 with --wait: anything worse, 2 a file is not fit and nothing was uploaded, 8 not over in time.

    Example: [bold]bbq submit reviews.jsonl --model haiku --priority 3 --meta owner=ada --wait[/bold]
    """
    limit = seconds_of(timeout)
    table = prices_from(prices) if dry_run else Prices()
    here = deployments.find(context.obj)
    orders = orders_of(here, files, model=model, priority=priority, labels=labels_of(meta or []), key=key)
    checked = _check_all(here, orders, count_output=dry_run)
    unfit = [file for file in checked if file.found.problem_count]
    if unfit:
        _print_problems(unfit)
        if as_json:
            print_json(_document(here, checked))
        raise Fault(f"{len(unfit)} of {len(checked)} files not fit: nothing was uploaded")
    _print_warnings(checked)
    repeated = _repeated(here, checked)
    outlooks = _outlooks(here, checked)
    if dry_run:
        estimates = [_estimated(here, file, table) for file in checked]
        if as_json:
            return print_json(_document(here, checked, outlooks=outlooks, estimates=estimates, currency=table.currency))
        _print_table(out(), checked, outlooks)
        return _print_estimates(checked, estimates, table)
    _print_table(err(), checked, outlooks)
    if repeated:
        confirm(f"{counted(repeated, 'file')} of {len(checked)} would run and be paid for once more. Submit?", yes=yes)
    submitted = _upload_all(here, checked, quiet=as_json)
    outcomes: dict[str, str] = {}
    try:
        if wait:
            ends = follow(here, [upload.job for upload in submitted], limit)
            outcomes = {end.job.id: end.word for end in ends}
            for end in ends:
                if end.word != GOOD_OUTCOME:
                    say(f"{end.job.id} {end.word} {end.job.reason}".rstrip())
    finally:
        if as_json:
            print_json(_document(here, checked, outlooks=outlooks, submitted=submitted, outcomes=outcomes))
    raise typer.Exit(Exit.FAILED if any(word != GOOD_OUTCOME for word in outcomes.values()) else Exit.OK)


def labels_of(given: Sequence[str]) -> dict[str, str]:
    """`name=value` texts as S3 metadata. Raises Fault."""
    labels: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not _NAME.fullmatch(name):
            raise Fault(f"--meta {text!r}: say name=value, the name of small letters, digits and hyphens, at most 64")
        if name == DIGEST:
            raise Fault(f"--meta {name}: bbq itself writes it, choose another name")
        if name in ORDERS:
            raise Fault(f"--meta {name}: say --{name} instead")
        if name in labels:
            raise Fault(f"--meta {name} was given twice")
        if len(value) > MAX_VALUE or not _VALUE.fullmatch(value) or value != value.strip():
            raise Fault(f"--meta {name}: a value has 1 to {MAX_VALUE} printable ASCII characters, and no space at its ends")
        labels[name] = value
    return labels


def orders_of(
    here: Deployment,
    files: Sequence[Path],
    *,
    model: str | None,
    priority: int | None,
    labels: Mapping[str, str],
    key: str | None,
) -> list[Order]:
    """Where each file goes, with intake's own choice of model and priority. Raises Fault."""
    if len(files) > MAX_FILES:
        raise Fault(f"{len(files):,} files are more than {MAX_FILES:,}: submit them in parts")
    if key is not None and len(files) > 1:
        raise Fault("--as names the key of one file: submit the others on their own")
    if model is not None and model not in here.models:
        raise Fault(f"deployment {here.name} has no model {model!r}: choose one of {', '.join(sorted(here.models))}")
    seen: set[Path] = set()
    for path in files:
        if (real := path.resolve()) in seen:
            raise Fault(f"{path} was given twice: each upload is a job of its own")
        seen.add(real)
    return [_order(here, path, model=model, priority=priority, labels=labels, key=key) for path in files]


def _order(
    here: Deployment, path: Path, *, model: str | None, priority: int | None, labels: Mapping[str, str], key: str | None
) -> Order:
    whole = INPUT_PREFIX + (key.removeprefix(INPUT_PREFIX) if key is not None else f"{model or here.default_model}/{path.name}")
    name = whole.rpartition("/")[2]
    if not whole.isprintable() or len(whole.encode(errors="replace")) > MAX_KEY_BYTES or name == INPUT_SUFFIX:
        raise Fault(f"{whole!r} cannot be the object's key: say --as with a plain name of at most {MAX_KEY_BYTES} bytes")
    if not whole.endswith(INPUT_SUFFIX):
        compressed = ", and unpack it first" if name.endswith((".gz", ".zip", ".zst", ".bz2", ".xz")) else ""
        raise Fault(f"only keys that end in {INPUT_SUFFIX} are taken in: rename {name!r}, or say --as{compressed}")
    metadata = dict(labels)
    if priority is not None:
        metadata["priority"] = str(priority)
    if model is not None and choose_model(whole, metadata, here.models, here.default_model)[0] != model:
        metadata["model"] = model
    letters = sum(len(word) for pair in metadata.items() for word in pair)
    if letters > MAX_METADATA_BYTES - DIGEST_BYTES:
        most = MAX_METADATA_BYTES - DIGEST_BYTES
        raise Fault(f"the labels have {letters:,} bytes, more than the {most:,} that S3 has room for: leave some out")
    alias, wrong_model = choose_model(whole, metadata, here.models, here.default_model)
    chosen, wrong_priority = choose_priority(metadata)
    if alias is None or wrong_priority:
        raise Fault(str(wrong_model or wrong_priority))
    return Order(path=path, key=whole, model=alias, priority=chosen, metadata=metadata)


def check(here: Deployment, order: Order, step: Step, *, count_output: bool = False) -> Checked:
    """Read the file once, as intake reads the object. Raises Fault where it cannot be read."""
    limits = limits_for(here.models, order.model)
    digest = hashlib.sha256()
    with _opened(order.path) as file:
        whole = os.fstat(file.fileno()).st_size
        if whole > limits.max_bytes:
            text = f"the file has {whole:,} bytes, more than {limits.max_bytes:,}"
            found = Inspection(record_count=0, size_bytes=whole, problems=(Problem(line=None, text=text),), problem_count=1)
            return Checked(order=order, found=found)

        def chunks() -> Iterator[bytes]:
            while data := file.read(READ_BYTES):
                digest.update(data)
                step(len(data))
                yield data

        found = inspect(chunks(), limits)
        most = None
        if count_output and not found.problem_count:
            file.seek(0)
            most = most_output_tokens(file)
    return Checked(order=order, found=found, digest=digest.digest(), output_tokens_at_most=most)


def upload(here: Deployment, checked: Checked, step: Step) -> Submitted:
    """The file to its key, if it is still what was checked. Raises Fault, Failed; what S3 refuses rises as it is."""
    order, answers = checked.order, list[Mapping[str, Any]]()
    s3 = deployments.client("s3")

    def remember(parsed: Mapping[str, Any], **_: object) -> None:
        answers.append(parsed)

    s3.meta.events.register(_IDENTITY, remember, unique_id=_IDENTITY)
    try:
        with _opened(order.path) as file:
            s3.upload_fileobj(
                _Proven(file, checked), here.bucket, order.key, Callback=step,
                ExtraArgs={"Metadata": {**order.metadata, DIGEST: checked.digest.hex()}, "ContentType": "application/jsonl"},
                Config=TransferConfig(multipart_threshold=1, multipart_chunksize=PART_BYTES, max_concurrency=PARALLEL_PARTS),
            )  # fmt: skip
    except Changed:
        raise Fault(f"{order.path} was changed while it was submitted: it was not uploaded, submit it again") from None
    except ClientError as error:
        if error.operation_name == "CompleteMultipartUpload" and error.response["Error"].get("Code") == "NoSuchUpload":
            raise Failed(f"S3 may have taken {order.path} already: look at `bbq jobs` before you submit it again") from None
        raise
    finally:
        s3.meta.events.unregister(_IDENTITY, unique_id=_IDENTITY)
    version = answers[-1].get("VersionId", "") if answers else ""
    if version in {"", UNVERSIONED}:
        raise Failed(f"{order.path} was uploaded, but the bucket keeps no versions, so nobody here can say its job: turn them on")
    return Submitted(job=job_id(here.bucket, order.key, version, "", ""), version_id=version)


class _Proven:
    """A file to be read once. The read that would give its last bytes raises Changed where the digest is another one, so that S3
    never gets all parts. Not seekable, on purpose: then nobody reads a part twice.
    """

    def __init__(self, file: BinaryIO, checked: Checked) -> None:
        self._file, self._checked = file, checked
        self._digest, self._size = hashlib.sha256(), 0

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._digest.update(data)
        self._size += len(data)
        whole = self._checked.found.size_bytes
        at_end = self._size == whole or not data
        if self._size > whole or (at_end and self._digest.digest() != self._checked.digest):
            raise Changed
        return data


def _opened(path: Path) -> BinaryIO:
    try:
        if not path.is_file():
            there = "is not a file" if path.exists() else "does not exist"
            raise Fault(f"{path} {there}")
        return path.open("rb")
    except OSError as error:
        raise Fault(f"{path} cannot be read: {error.strerror}") from None


def _check_all(here: Deployment, orders: Sequence[Order], *, count_output: bool) -> list[Checked]:
    for order in orders:
        _opened(order.path).close()  # all of them, before minutes are spent on the first
    with bars() as progress:
        return [
            check(
                here, order, _bar(progress, f"checking {order.path.name}", order.path.stat().st_size), count_output=count_output
            )
            for order in orders
        ]


def _upload_all(here: Deployment, checked: Sequence[Checked], *, quiet: bool) -> list[Submitted]:
    done: list[Submitted] = []
    read = True
    try:
        for file in checked:
            with bars() as progress:
                done.append(upload(here, file, _bar(progress, f"uploading {file.order.path.name}", file.found.size_bytes)))
            # As soon as it is known; not beside a bar, which takes standard output over.
            read = quiet or (read and _printed(done[-1].job))
            if not read:
                say(done[-1].job)
    except BaseException:
        if len(checked) > 1:
            say(f"{len(done)} of {len(checked)} files were submitted; not {checked[len(done)].order.path} and what follows")
        raise
    return done


def _printed(job: str) -> bool:
    """False where nobody reads standard output any more: the files that follow are submitted all the same."""
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
            there = s3.head_object(Bucket=here.bucket, Key=file.order.key)
        except ClientError:
            continue  # none is there, or it may not be looked at: then only intake warns
        if there["Metadata"].get(DIGEST) == file.digest.hex():
            repeated += 1
            job = job_id(here.bucket, file.order.key, there.get("VersionId", ""), "", "")
            say(f"{safe(str(file.order.path))}: the same file was submitted before, as job {job}")
    return repeated


def _outlooks(here: Deployment, checked: Sequence[Checked]) -> list[Outlook]:
    """Of all files of a command. They have one model and one priority, so each is behind those before it."""
    order, store = checked[0].order, here.store
    slots = store.slots(order.model)
    rows = here.tables.query(LineRow, line_pk(order.model), limit=MAX_POSITION)
    ahead = sum(row.sk < f"{order.priority}$" for row in rows)  # "$" follows "#"
    more = ahead == MAX_POSITION
    today = queries.now()
    mean = mean_slot_seconds(*(store.day(order.model, f"{today - timedelta(days=back):%Y-%m-%d}") for back in (0, 1)))
    waiting = store.waiting(order.model).get("jobs", 0)
    paused = slots is not None and slots.paused
    why = f"paused by {slots.pause.by}" if slots is not None and slots.pause is not None else "paused" if paused else ""
    can_tell = slots is not None and not paused and not more and not slots.holds
    return [
        Outlook(
            waiting_jobs=waiting, ahead=ahead + before, more=more, paused=why,
            start=expected_start(ahead + before, slots.limit, len(slots.holders), mean) if slots and can_tell else None,
        )
        for before in range(len(checked))
    ]  # fmt: skip


def _estimated(here: Deployment, file: Checked, prices: Prices) -> Estimate:
    model = here.models[file.order.model]
    return estimate(file.found.size_bytes, file.output_tokens_at_most, prices.of(model.alias, model.model_id))


def _print_problems(unfit: Sequence[Checked]) -> None:
    """As compilers do it: file, line, what."""
    for file in unfit:
        name = safe(str(file.order.path))
        for problem in file.found.problems:
            line = f":{problem.line}" if problem.line is not None else ""
            say(f"{name}{line}: {problem.text}")
        if (rest := file.found.problem_count - len(file.found.problems)) > 0:
            say(f"{name}: and {counted(rest, 'problem')} more")


def _print_warnings(checked: Sequence[Checked]) -> None:
    for file in checked:
        for warning in file.found.warnings:
            say(f"{safe(str(file.order.path))}: note: {warning}")


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
                str(file.order.path), file.order.model, str(file.order.priority), f"{file.found.record_count:,}",
                size(file.found.size_bytes), f"{outlook.waiting_jobs:,}", f"{outlook.ahead:,}{'+' * outlook.more}",
                outlook.paused or _start(outlook.start),
            )
        )
        for file, outlook in zip(checked, outlooks, strict=True)
    ]  # fmt: skip
    for line in lines(_COLUMNS, rows, console.width):
        console.print(line, no_wrap=True, crop=False)


def _start(start: timedelta | None) -> str:
    if start is None:
        return "unknown"
    return "at once" if not start else f"in {rough(start)}"


def _print_estimates(checked: Sequence[Checked], estimates: Sequence[Estimate], prices: Prices) -> None:
    for file, guess in zip(checked, estimates, strict=True):
        most = guess.output_tokens_at_most
        text = f"{safe(str(file.order.path))}: about {guess.input_tokens:,} tokens in"
        text += f", at most {most:,} out" if most is not None else "; tokens out unknown, not every record says its max_tokens"
        if guess.input_cost is not None:
            text += f"; about {in_money(guess.input_cost, prices.currency)} in"
        if guess.cost_at_most is not None:
            text += f", about {in_money(guess.cost_at_most, prices.currency)} at most in all"
        answer(text)
    answer(f"an estimate: {BYTES_PER_TOKEN} bytes of the file count as a token; nothing was uploaded")
    if any(guess.input_cost is None for guess in estimates):
        missing = "the price table does not name the model" if prices.models else "say --prices or BBQ_PRICES"
        say(f"no cost: {missing}")


def _document(
    here: Deployment, checked: Sequence[Checked], *, outlooks: Sequence[Outlook] = (), estimates: Sequence[Estimate] = (),
    submitted: Sequence[Submitted] = (), outcomes: Mapping[str, str] | None = None, currency: str = "",
) -> dict[str, Any]:  # fmt: skip
    """What --json prints: one entry for each file, with what is known at that point."""
    files = []
    for number, file in enumerate(checked):
        entry: dict[str, Any] = {
            "file": str(file.order.path), "key": file.order.key, "model": file.order.model, "priority": file.order.priority,
            "records": file.found.record_count, "size_bytes": file.found.size_bytes,
            "problem_count": file.found.problem_count, "problems": file.found.problems, "warnings": file.found.warnings,
        }  # fmt: skip
        if outlooks:
            start = outlooks[number].start
            entry |= {
                "waiting_jobs": outlooks[number].waiting_jobs, "jobs_ahead": outlooks[number].ahead,
                "expected_start_seconds": start.total_seconds() if start is not None else None,
            }  # fmt: skip
        if estimates:
            guess = estimates[number]
            entry |= {
                "estimated_input_tokens": guess.input_tokens, "output_tokens_at_most": guess.output_tokens_at_most,
                "estimated_input_cost": _text(guess.input_cost), "estimated_cost_at_most": _text(guess.cost_at_most),
                "currency": currency or None,
            }  # fmt: skip
        if number < len(submitted):
            done = submitted[number]
            entry |= {"job": done.job, "version_id": done.version_id, "outcome": (outcomes or {}).get(done.job)}
        files.append(entry)
    return {"deployment": here.name, "files": files}


def _text(money: Decimal | None) -> str | None:
    return None if money is None else f"{money:f}"


def _bar(progress: Progress, what: str, size_bytes: int) -> Step:
    task = progress.add_task(safe(what), total=size_bytes)
    return lambda count: progress.advance(task, count)
