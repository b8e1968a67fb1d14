"""`bbq download`: all that Bedrock wrote for a job, into a directory.

Each object is written to a hidden part file first, named by the object's key and ETag, and renamed
when it is whole. A download that was broken off goes on where it was: with a Range request that
holds only for that ETag. Nothing is ever written outside the directory, whatever the keys are and
whatever links the directory holds.

IAM: s3:ListBucket on the bucket, s3:GetObject on `processed/*`, dynamodb:Query on the events table.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from botocore.exceptions import BotoCoreError, ClientError

from bbq.cli import deployment as deployments
from bbq.cli.app import SUBMIT, app
from bbq.cli.deployment import Deployment
from bbq.cli.faults import Exit, Failed, Fault, NotFound
from bbq.cli.follow import Pending
from bbq.cli.job_ids import check_id
from bbq.cli.output import bars, say
from bbq.cli.wording import counted, safe, size
from bbq.shared.job import OVER, Job, outcome
from bbq.shared.names import split_s3_uri

CHUNK_BYTES = 1024**2
MAX_TRIES = 5  # of one object, where the connection breaks; each goes on where the last one ended
MAX_OBJECTS = 100_000
MAX_SEGMENT_BYTES = 255  # of a file's name, on the usual file systems

Step = Callable[[int], None]


@dataclass(frozen=True, kw_only=True)
class S3Object:
    """One object below the job's output, and where it goes, relative to the directory."""

    key: str
    etag: str
    size_bytes: int
    path: Path


@app.command(rich_help_panel=SUBMIT)
def download(
    context: typer.Context,
    job: Annotated[str, typer.Argument(help="Id of the job.", metavar="JOB")],
    directory: Annotated[
        Path, typer.Argument(help="Where to; made if it is not there.", metavar="DIR")
    ],
    force: Annotated[
        bool, typer.Option("--force", help="Overwrite files, also those that look finished.")
    ] = False,
) -> None:
    """Fetch a job's outputs and manifest. Run it again after a break: it goes on where it was.

    Prints the files' paths. Exit codes: 0 all is there, 1 the job is over and has no output, 2 a
    file is in the way, 3 no such job, 8 the job is not over yet.

    Example: [bold]bbq download abcdefghijklmnopqrstuvwxyz results/[/bold]
    """
    check_id(job)
    here = deployments.find(context.obj)
    state = here.store.job(job)
    if state is None:
        raise NotFound(f"there is no job {job}")
    if state.status not in OVER:
        raise Pending(
            f"job {job} is {state.status}: there is no whole output yet; `bbq show {job}` says more"
        )
    outputs, refused = _outputs(here, state)
    if not outputs and not refused:
        why = f": {state.reason}" if state.reason else ""
        raise Failed(f"job {job} is over ({outcome(state)}) and left no output{safe(why)}")
    fetched = fetch_all(here.bucket, outputs, directory, force=force)
    left = len(outputs) - fetched
    say(
        f"{counted(fetched, 'file')} fetched, {left:,} there already, "
        f"{size(sum(t.size_bytes for t in outputs))} in all"
    )
    for key in refused:
        say(f"left out, its name is not one for a file: {safe(key)}")
    raise typer.Exit(Exit.FAILED if refused else Exit.OK)


def fetch_all(bucket: str, outputs: Sequence[S3Object], directory: Path, *, force: bool) -> int:
    """Fetch what is not there. Answers how many were fetched. Raises Fault, before it writes, where
    a file is in the way.
    """
    directory.mkdir(parents=True, exist_ok=True)
    root = directory.resolve()
    due = {output.key: output for output in outputs if force or not _finished(root, output)}
    for output in due.values():
        _must_be_inside(root, output)
    with bars() as progress:
        task = progress.add_task(
            "downloading", total=sum(output.size_bytes for output in due.values())
        )
        for output in due.values():
            _fetch(bucket, output, root, lambda count: progress.advance(task, count), afresh=force)
    for output in outputs:
        # not beside a bar, which takes standard output over
        typer.echo(str(directory / output.path))
    return len(due)


def local_path(relative: str) -> Path | None:
    """The file for an object whose key ends in `relative`; None if that cannot name a file below a
    directory.
    """
    parts = relative.split("/")
    if any(not _plain(part) for part in parts):
        return None
    return Path(*parts)


def _plain(part: str) -> bool:
    """Also not what Windows would read as a drive, a stream or another separator."""
    return (
        part not in {"", ".", ".."}
        and part.isprintable()
        and not set(part) & set('\\:*?"<>|')
        and len(part.encode(errors="replace")) <= MAX_SEGMENT_BYTES
    )


def _outputs(here: Deployment, job: Job) -> tuple[list[S3Object], list[str]]:
    """(objects below the job's output, keys that cannot be files)."""
    if not job.output_uri:
        return [], []
    bucket, prefix = split_s3_uri(job.output_uri)
    if bucket != here.bucket or not prefix.endswith(f"{job.id}/"):
        raise Failed(
            f"the output of job {job.id} is said to be at {job.output_uri}, which is not a place "
            "of this deployment"
        )
    outputs, refused = [], []
    for item in _listed(bucket, prefix):
        name = item["Key"].removeprefix(prefix)
        path = local_path(name)
        if path is None:
            refused.append(item["Key"])
        elif "/" in name:
            # output is in a folder of its Bedrock job; beside it may lie what only tried the role's
            # permissions
            outputs.append(
                S3Object(
                    key=item["Key"], etag=item["ETag"], size_bytes=int(item["Size"]), path=path
                )
            )
        if len(outputs) > MAX_OBJECTS:
            raise Failed(
                f"job {job.id} left more than {MAX_OBJECTS:,} objects: fetch them with `aws s3 "
                f"sync {job.output_uri} .`"
            )
    return outputs, refused


def _listed(bucket: str, prefix: str) -> Iterator[dict[str, Any]]:
    pages = (
        deployments.client("s3")
        .get_paginator("list_objects_v2")
        .paginate(Bucket=bucket, Prefix=prefix)
    )
    for page in pages:
        yield from page.get("Contents", [])


def _finished(root: Path, output: S3Object) -> bool:
    """Whether it is there with the right size. Raises Fault for another file of its name."""
    path = root / output.path
    if not path.exists():
        return False
    if path.is_file() and path.stat().st_size == output.size_bytes:
        return True
    raise Fault(
        f"{path} is in the way, with another size: say --force to overwrite it, or name another "
        "directory"
    )


def _must_be_inside(root: Path, output: S3Object) -> None:
    """A link in the directory may lead out of it. Raises Fault."""
    parent = (root / output.path).parent
    if not parent.resolve().is_relative_to(root):
        raise Fault(
            f"{parent} leads out of {root}: nothing is written there; name another directory"
        )


def _fetch(bucket: str, output: S3Object, root: Path, step: Step, *, afresh: bool) -> None:
    path = root / output.path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _must_be_inside(root, output)
        part = path.parent / _part_name(output)
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        descriptor = os.open(part, flags | (os.O_TRUNC if afresh else 0), 0o666)
    except OSError as error:
        raise Fault(f"{path} cannot be written: {error.strerror}") from None
    with os.fdopen(descriptor, "r+b") as file:
        have = file.seek(0, os.SEEK_END)
        if have > output.size_bytes:
            have = file.truncate(0)
        step(have)
        _fill(bucket, output, file, step)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)  # a link of that name is replaced, not followed


def _part_name(output: S3Object) -> str:
    whose = hashlib.sha256(json.dumps([output.key, output.etag]).encode()).hexdigest()
    return f".bbq-{whose[:24]}.part"


def _fill(bucket: str, output: S3Object, file: Any, step: Step) -> None:
    """Go on at the end of the file until it is whole."""
    for tries_left in reversed(range(MAX_TRIES)):
        have = file.seek(0, os.SEEK_END)
        if have == output.size_bytes:
            return
        try:
            _continue(bucket, output, file, have, step)
        except ClientError as error:
            code = error.response["Error"].get("Code")
            if code in {"PreconditionFailed", "412", "NoSuchKey", "404"}:
                raise Failed(
                    f"{output.key} was changed or removed while it was fetched: run the command "
                    "again"
                ) from None
            raise
        except BotoCoreError:
            if not tries_left:
                raise
    if file.seek(0, os.SEEK_END) != output.size_bytes:
        raise Failed(
            f"{output.key} could not be fetched in {MAX_TRIES} tries: run the command again, it "
            "goes on where it was"
        )


def _continue(bucket: str, output: S3Object, file: Any, have: int, step: Step) -> None:
    answer = deployments.client("s3").get_object(
        Bucket=bucket, Key=output.key, IfMatch=output.etag, Range=f"bytes={have}-"
    )
    with closing(answer["Body"]) as body:
        begins = _first_byte(answer)
        if begins != have:  # whoever does not know Range sends all of it
            if begins:
                raise Failed(f"S3 answered with another part of {output.key} than it was asked for")
            step(-have)
            file.seek(0)
            file.truncate()
        for chunk in body.iter_chunks(CHUNK_BYTES):
            file.write(chunk)
            step(len(chunk))


def _first_byte(answer: Any) -> int:
    """Of `bytes 100-199/200`; a whole object begins at 0."""
    said = str(answer.get("ContentRange", "")).removeprefix("bytes ").partition("-")[0]
    return int(said) if said.isdecimal() else 0
