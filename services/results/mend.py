"""Mend and retry: which records run again, and what becomes of the others. Pure.

By itself a record runs again only if its answer is missing or its error may pass, and only so
many times. What a person asks for by `bbq retry` is any choice of what did not succeed. What was
answered is never lost by it (statuses.replaces).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bbq.services.results.answers import Settled
from bbq.services.results.assemble import CANCELLED, FAILED, TOO_FEW, Leftover
from bbq.services.results.line_set import LineSet
from bbq.services.results.statuses import RANK, Status, replaces

MEND_ROUNDS = 2  # by default


@dataclass(frozen=True, kw_only=True)
class Again:
    """These lines are to run again, in one new slice."""

    lines: LineSet


def outstanding(last_round: Iterable[Settled]) -> LineSet:
    """The lines of the slices that ran last whose answers are transient or missing. What an older
    slice left, and was not asked for again, is over.
    """
    return LineSet.union(
        one.by_status.get(status, LineSet())
        for one in last_round
        for status in (Status.TRANSIENT, Status.MISSING)
    )


def after_round(
    last_round: Sequence[Settled],
    *,
    mends_spent: int,
    mend_rounds: int,
    min_records: int,
    cancelled: bool,
) -> Again | Leftover:
    """What follows when all slices of a round are settled. `mends_spent`: since the upload was
    taken in, or retried; a round in which Bedrock processed nothing may count as none (races.md,
    R61). `min_records`: of a job of the model; fewer cannot run alone.
    """
    lines = outstanding(last_round)
    if cancelled:
        return CANCELLED
    if not lines or mends_spent >= mend_rounds:
        return FAILED
    if len(lines) < min_records:
        return TOO_FEW
    return Again(lines=lines)


def states(rounds: Sequence[Sequence[Settled]]) -> dict[Status, LineSet]:
    """The lines of each status after all rounds, in the order in which they were bought. Slices of
    one round share no line. `assemble` decides the same, line by line.
    """
    found = {status: LineSet() for status in RANK}
    for slices in rounds:
        latest = {
            status: LineSet.union(one.by_status.get(status, LineSet()) for one in slices)
            for status in RANK
        }
        everything = LineSet.union(one.lines for one in slices)
        latest[Status.SUCCEEDED] = everything - LineSet.union(latest.values())
        stays = {
            later: LineSet.union(found[status] for status in RANK if not replaces(later, status))
            for later in RANK
        }
        for later, lines in latest.items():
            taken = lines - stays[later]
            found = {status: its - taken for status, its in found.items()}
            found[later] |= taken
    return found


# What `--only` takes.
CHOICES = ("failed", "truncated", "withheld", "missing", "not_run")


def retried(
    rounds: Sequence[Sequence[Settled]], leftover: Leftover, only: Iterable[str] = CHOICES
) -> LineSet:
    """The lines that a retry of a finished upload buys. A choice is the status that the result
    shows (`leftover`: what it shows for transient and missing records), or `missing`: those of them
    that no line of any output answered. Invalid lines are never bought. Raises ValueError for
    another choice.
    """
    chosen = set(only)
    if unknown := chosen - set(CHOICES):
        raise ValueError(f"--only takes {', '.join(CHOICES)}; not {', '.join(sorted(unknown))}")
    found = states(rounds)
    lines = [
        its
        for status, its in found.items()
        if status in chosen
        or (status in {Status.TRANSIENT, Status.MISSING} and leftover.status in chosen)
    ]
    return LineSet.union(lines)
