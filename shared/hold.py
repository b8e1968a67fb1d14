"""The hold of a model: nothing but one probe at a time asks Bedrock again, until it takes, or
finishes, a job.

Pure. A refusal of Create is the model's, never the job's: Create was recorded to look at nothing of
the job's own, its texts are about the account, the Region, the role or the model (recorded
2025-2026: "Batch inference is not supported for ...", "Your account is not authorized ..."). So a
refused job goes back to its old place, and its model is on hold. A model may be held for two
reasons at once, each with a `Hold` of its own:

| | set by | lifted by a resume, or by |
|---|---|---|
| `Slots.refused` | a Create that was refused or not answered | a Create whose job is taken |
| `Slots.failing` | the third job in a row that failed at once | a later job that gets further |

**Whether a probe may ask is read from the item, never carried by a hint**: the hold's time is over,
or something that may have made room or mended something happened since it was last asked
(`Slots.ends` is not `Hold.ends`). The claim of a probe moves both on, on condition that the hold is
exactly as it was read, so that one probe asks at a time.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from bbq.shared.due import grid_due

# Kinds of refusal. What a kind means to people: cli/holds.py.
QUOTA, THROTTLED = "quota", "throttled"
ACCESS, INVALID, NOT_FOUND = "access", "invalid", "not found"
NAME_TAKEN = "name taken"  # a job that is not ours has the attempt's name
# Create was called or not, its answer was lost, and Bedrock has no such job
UNANSWERED = "unanswered"
FAILING = "failing"  # not a refusal: jobs are taken, and fail before a record is processed
# part of every day: no alarm, and ends of others are a reason to ask again
PASSING = frozenset({QUOTA, THROTTLED})
OWN = frozenset({INVALID, NAME_TAKEN})  # may be the job's own after all: see `is_its_own`
# probes go down the line: it might be the first job
WALKING = frozenset({INVALID, NOT_FOUND, NAME_TAKEN, UNANSWERED, FAILING})

STEP_MINUTES = (1, 2, 5, 10, 30)  # between two probes, by how often was asked; the last one stays
WALK = 10  # so many jobs of the line take their turn as a probe,
# and so many after so many probes: ten bad jobs at the head are not everybody
WIDE_WALK, WIDE_AFTER = 100, 20
FAILURES_IN_A_ROW = 3  # of jobs that were taken, before nothing more is sent after them
# others were taken, or ended well, so often since the job was first turned down: then it is the job
MAX_TAKEN_OTHERS = 3
# of one job, before a record was processed: so often, and for so long
MAX_FAILURES, MAX_FAILING = 10, timedelta(days=7)
# recorded 2025-2026: "Batch job <arn> contains less records (N) than the required ..."
TOO_FEW_RECORDS = "contains less records"


@dataclass(frozen=True, kw_only=True)
class Hold:
    """Since when, why (`kind`, and Bedrock's words), and when it is asked again. `count` is how
    often it was asked; `ends` is `Slots.ends` as it was before it was last asked.
    """

    kind: str
    message: str
    since: datetime
    until: datetime
    ends: int
    count: int = 1

    def is_open(self, ends: int, now: datetime) -> bool:
        """Whether a probe may ask now. Only the condition of its claim decides."""
        return self.until <= now or ends != self.ends

    @property
    def reach(self) -> int:
        """How many jobs of the line take their turn as a probe."""
        if self.kind not in WALKING:
            return 1
        return WALK if self.count < WIDE_AFTER else WIDE_WALK

    def place(self, length: int) -> int:
        """Which of the first `length` jobs in line is the probe."""
        return self.count % min(length, self.reach)


def refused(hold: Hold | None, *, kind: str, message: str, ends: int, now: datetime) -> Hold:
    """The hold after one more refusal. `ends` as read before Create. The probe's own claim has
    counted it and moved it on; a claim made before the hold says only what Bedrock said last.
    """
    if hold is None:
        return Hold(kind=kind, message=message, since=now, until=next_probe(now, 1), ends=ends)
    return replace(hold, kind=kind, message=message, ends=max(hold.ends, ends))


def probed(hold: Hold, ends: int, now: datetime) -> Hold:
    """The hold as the claim of a probe leaves it, which has read `ends`."""
    count = hold.count + 1
    return replace(hold, count=count, until=next_probe(now, count), ends=ends)


def failed(
    hold: Hold | None, *, failures: int, message: str, ends: int, now: datetime
) -> Hold | None:
    """The hold after the `failures`th job in a row that failed before a record was processed.
    `ends` counts its own end, which is no reason to try another.
    """
    if failures < FAILURES_IN_A_ROW:
        return hold
    if hold is None:
        return Hold(kind=FAILING, message=message, since=now, until=next_probe(now, 1), ends=ends)
    return replace(hold, message=message, ends=ends)


def next_probe(now: datetime, count: int) -> datetime:
    """When to ask again after `count` times: a whole minute on a grid that grows, so that many
    refusals share one timer.
    """
    return grid_due(now, STEP_MINUTES[min(max(count, 1), len(STEP_MINUTES)) - 1])


def is_its_own(readings: Sequence[int] | frozenset[int]) -> bool:
    """Whether a job was turned down, and again after each of MAX_TAKEN_OTHERS times when others of
    its model fared better.

    `readings` are the counter of those others (`Slots.taken`, `Slots.good_ends`) each time.
    Refusals under one reading count once: a role that is mended lets the job pass that happens to
    ask first, and the others are as innocent (R43).
    """
    return len(set(readings)) > MAX_TAKEN_OTHERS
