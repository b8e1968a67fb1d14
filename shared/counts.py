"""How many jobs wait, and what became of those that are over: counted as they move, so that nobody
ever has to count them.

Pure. What a job counts for is a function of its state (`counted`); a transaction that changes a
job's view also changes its count, by the difference between before and after (`moved`). So the
counts are as exact as the views, whatever the history, and a status page costs the same for ten
jobs and for ten million.

A model's waiting jobs and each day's jobs are kept in SHARDS rows, by the job's id, so that a burst
does not fight over one.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from bbq.shared.job import ENDS, OVER, QUEUED, Job, outcome
from bbq.shared.plain import text_of
from bbq.shared.tables import CountRow, Update

SHARDS = 8
WAITING = "waiting"
_LETTERS = "abcdefghijklmnopqrstuvwxyz234567"  # of a job id
_FIELDS = {
    attribute.attr_name: name
    for name, attribute in CountRow.get_attributes().items()
    if attribute.attr_name not in {"pk", "sk", "changes"}
}

Numbers = dict[str, int]


def counts_pk(model: str) -> str:
    """Hash key of a model's counts. Jobs rejected because nobody knows their model are counted
    under the empty name.
    """
    return f"counts#{model}"


def count_sk(what: str, job_id: str) -> str:
    """Range key of the shard that counts this job. `what` is WAITING or a day."""
    return f"{what}#{shard(job_id)}"


def shard(job_id: str) -> int:
    """Which shard counts this job."""
    return _LETTERS.find(job_id[:1]) % SHARDS


def counted(job: Job | None) -> tuple[str, Numbers]:
    """What a job counts for, and where: among the waiting, or on the day (UTC) it was over. Nowhere
    while it has a slot, and until its tally, which follows its end and says what became of it.
    """
    if job is not None and job.status == QUEUED:
        return count_sk(WAITING, job.id), {"jobs": 1, "records": job.record_count}
    if job is None or job.status not in OVER or to_be_tallied(job):
        return "", {}
    numbers = {outcome(job): 1, "records": job.record_count}
    if job.status in ENDS and job.submitted_at is not None and job.ended_at is not None:
        numbers |= {
            "slot_ends": 1,
            "slot_seconds": int((job.ended_at - job.submitted_at).total_seconds()),
        }
    if job.tally is not None:
        numbers |= {
            "succeeded_records": job.tally.succeeded_records or 0,
            "failed_records": job.tally.failed_records or 0,
            "input_tokens": job.tally.input_tokens or 0,
            "output_tokens": job.tally.output_tokens or 0,
        }
    return count_sk(text_of(job.ended_at or job.updated_at)[:10], job.id), numbers


def to_be_tallied(job: Job) -> bool:
    """Whether its tally is still to come. What ended without an ARN was never at Bedrock, and is
    over as it is.
    """
    return job.status in ENDS and job.arn is not None and job.tally is None


def moved(before: Job | None, after: Job) -> list[Update]:
    """The changes of the counts when a job goes from one state to another; none where it counts for
    the same.
    """
    changes: dict[str, Numbers] = {}
    for job, sign in ((before, -1), (after, 1)):
        sk, numbers = counted(job)
        row = changes.setdefault(sk, {})
        for name, number in numbers.items():
            row[name] = row.get(name, 0) + sign * number
    return [
        Update(
            CountRow(pk=counts_pk(after.model), sk=sk),
            [
                CountRow.changes.add(1),
                *(_attribute(name).add(number) for name, number in sorted(row.items()) if number),
            ],
        )
        for sk, row in changes.items()
        if any(row.values())
    ]


def count_row(pk: str, sk: str, changes: int, numbers: Mapping[str, int]) -> CountRow:
    """One shard that holds these numbers."""
    row = CountRow(pk=pk, sk=sk, changes=changes)
    for name, number in numbers.items():
        setattr(row, _FIELDS[name], number or None)
    return row


def numbers_of(row: CountRow) -> Numbers:
    """What one shard holds, without what is nought."""
    read = {name: int(getattr(row, field) or 0) for name, field in _FIELDS.items()}
    return {name: number for name, number in read.items() if number}


def total(rows: Iterable[CountRow]) -> Numbers:
    """The sum over shards."""
    return added(numbers_of(row) for row in rows)


def added(many: Iterable[Mapping[str, int]]) -> Numbers:
    """The sum, name by name."""
    sums: Numbers = {}
    for numbers in many:
        for name, number in numbers.items():
            sums[name] = sums.get(name, 0) + number
    return sums


def _attribute(name: str) -> Any:
    return getattr(CountRow, _FIELDS[name])
