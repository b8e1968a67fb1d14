"""Stay with jobs until they are over for good: for `--wait`.

The view is read with pauses that grow from one second to fifteen, and never more than
READS_PER_SECOND however many jobs there are. A job counts as over when its records are counted too,
because `Completed` may mean that every record failed, and when policy does not try it again.
Leaving changes nothing: the jobs go on.

IAM: dynamodb:GetItem on the projections table, dynamodb:Query on the events table.
"""

import time
from collections.abc import Sequence
from typing import Annotated

import typer
from pynamodb.exceptions import PynamoDBException

from bbq.cli import times
from bbq.cli.decisions import settled
from bbq.cli.deployment import Deployment
from bbq.cli.faults import Exit, Fault
from bbq.cli.output import say
from bbq.shared.job import OVER, Job, outcome
from bbq.shared.models import MAX_ATTEMPTS
from bbq.shared.rows import VIEW_KEY, view_pk
from bbq.shared.tables import ViewRow

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 15.0
GROWTH = 1.4
READS_PER_SECOND = 20.0
UNSEEN_SECONDS = 60.0  # after which it is said that a job has not been seen yet
# readings in a row that may fail: a network that is gone for a moment does not end hours of waiting
MAX_FAULTS = 5

Timeout = Annotated[
    str | None,
    typer.Option(help="With --wait: wait no longer than this (90s, 30m, 12h, 2d).", metavar="TIME"),
]


class Pending(Fault):
    """Still under way when the time was over."""

    code = Exit.PENDING


def seconds_of(text: str | None) -> float | None:
    """What --timeout says. Raises Fault."""
    return times.length(text).total_seconds() if text is not None else None


def follow(here: Deployment, jobs: Sequence[str], limit_seconds: float | None) -> list[Job]:
    """Wait until all are over, telling each change on standard error. Raises Pending; ends the
    command at Ctrl-C.
    """
    try:
        return _follow(here, jobs, limit_seconds)
    except KeyboardInterrupt:
        first = jobs[0]
        goes = "the job goes" if len(jobs) == 1 else "the jobs go"
        say(f"\n{goes} on without you: `bbq show {first}` looks, `bbq cancel {first}` stops")
        raise


def _follow(here: Deployment, jobs: Sequence[str], limit_seconds: float | None) -> list[Job]:
    began, pause, faults, told = time.monotonic(), FIRST_PAUSE_SECONDS, 0, False
    pending, seen, ends = list(dict.fromkeys(jobs)), dict[str, str](), dict[str, Job]()
    while True:
        try:
            for job_id in list(pending):
                end = _look(here, job_id, seen)
                if end is not None:
                    ends[job_id] = end
                    pending.remove(job_id)
            faults = 0
        except PynamoDBException:
            faults += 1
            if faults == MAX_FAULTS:
                raise
        if not pending:
            return [ends[job_id] for job_id in dict.fromkeys(jobs)]
        waited = time.monotonic() - began
        unseen = [job_id for job_id in pending if job_id not in seen]
        if unseen and waited > UNSEEN_SECONDS and not told:
            told = True
            say(
                f"{unseen[0]} has not been taken in yet: `bbq status` tells of uploads that could "
                "not be taken in"
            )
        if limit_seconds is not None and waited >= limit_seconds:
            states = ", ".join(
                f"{job_id} is {seen.get(job_id, 'not seen yet')}" for job_id in pending[:3]
            )
            raise Pending(
                f"{len(pending)} of {len(ends) + len(pending)} not over after {limit_seconds:g} s: "
                f"{states}"
            )
        left = limit_seconds - waited if limit_seconds is not None else pause
        time.sleep(max(min(pause, left), len(pending) / READS_PER_SECOND))
        pause = min(pause * GROWTH, LONGEST_PAUSE_SECONDS)


def _look(here: Deployment, job_id: str, seen: dict[str, str]) -> Job | None:
    row = here.tables.get(ViewRow, view_pk(job_id), VIEW_KEY)
    if row is None:
        return None
    job = here.store.job(job_id) if row.status in OVER else None
    model = here.models.get(row.model)
    over = job is not None and settled(
        job, model.max_attempts if model is not None else MAX_ATTEMPTS
    )
    word = outcome(job) if job is not None and over else row.status
    if seen.get(job_id) != word:
        seen[job_id] = word
        say(f"{times.now():%H:%M:%S} {job_id} {word}")
    return job if over else None
