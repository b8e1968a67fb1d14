"""Made-up histories of a model's jobs, for pictures of any size: a line, slots, refusals, waits at
Bedrock, every outcome.
"""

import heapq
import random

from bbq.shared import events as e
from tests.support.samples import at, id_of, queued, slot_claimed

Histories = dict[str, list[e.Event]]
HOUR = 3600.0
FOLDERS = ("reviews", "tickets", "translations", "summaries/november", "labels")
QUOTA = (
    "You have reached the quota of batch inference jobs that are submitted or in progress for this "
    "model."
)
WHY = (
    "Bedrock said why, in a sentence that may be long: the input has records of another model's "
    "form."
)
ENDS = (  # status, records, of them well, weight
    ("Completed", 100, 100, 62),
    ("Completed", 100, 93, 14),
    ("Failed", None, None, 5),
    ("PartiallyCompleted", 100, 60, 4),
    ("Completed", 100, 0, 4),
    ("Expired", 100, 40, 4),
    ("Stopped", 100, 20, 4),
)


def histories(
    jobs: int, *, limit: int, hours: float = 24, model: str = "haiku"
) -> tuple[Histories, list[e.Event]]:
    """(events of each job, events of the model) of a time that began at `samples.T0`. The newest
    jobs are still on their way.

    The same arguments always give the same answer. Of more than twenty jobs, two are started
    minutes late.
    """
    chance = random.Random(f"{model}/{jobs}")
    found: Histories = {}
    run_seconds = hours * HOUR * limit / max(jobs, 1) * 0.95
    slots = [0.0] * limit  # when each is free
    for number, arrived in enumerate(sorted(_arrival(chance, hours) for _ in range(jobs))):
        key = f"to-process/{model}/{chance.choice(FOLDERS)}/batch-{number:04}.jsonl"
        events: list[e.Event] = [queued(key, seconds=arrived, model=model)]
        late = (
            chance.uniform(300, 900)
            if jobs > 20 and number in {jobs // 3, jobs // 2}
            else chance.lognormvariate(-1.2, 0.5)
        )
        claimed = max(heapq.heappop(slots), arrived) + late
        end = _attempt(
            chance, events, id_of(key), claimed, run_seconds * chance.uniform(0.35, 1.65)
        )
        heapq.heappush(slots, end)
        found[id_of(key)] = [event for event in events if event.at <= at(hours * HOUR)]
    return found, [e.LimitSet(at=at(-HOUR), limit=limit)]


def _arrival(chance: random.Random, hours: float) -> float:
    """Two bursts and a trickle."""
    first, last = chance.choices(((0.01, 0.06), (0.48, 0.52), (0.0, 0.97)), (45, 30, 25))[0]
    return chance.uniform(first, last) * hours * HOUR


def _attempt(
    chance: random.Random, events: list[e.Event], job: str, now: float, seconds: float
) -> float:
    """Append what an attempt does. Answers when its slot is free again."""
    events.append(slot_claimed(job, seconds=now))
    if chance.random() < 0.03:
        refused = e.SubmissionRefused(
            at=at(now + 0.4), attempt=1, kind="quota", message=QUOTA, taken=0
        )
        events.append(refused)
        now += seconds * chance.uniform(0.3, 0.9)
        events.append(slot_claimed(job, seconds=now))
    events.append(e.JobSubmitted(at=at(now + 0.6), attempt=1, arn=f"arn:of:{job}"))
    events.append(
        e.JobProgressed(
            at=at(now + 0.6 + seconds * chance.choice((0.02, 0.05, 0.3))),
            attempt=1,
            status="InProgress",
        )
    )
    end = now + 1 + seconds
    status, total, well, _ = chance.choices(ENDS, [weight for *_, weight in ENDS])[0]
    events.append(
        e.JobEnded(
            at=at(end),
            attempt=1,
            status=status,
            message="" if status == "Completed" else WHY,
            arn=None,
        )
    )
    failed = None if total is None or well is None else total - well
    tally = e.JobTallied(
        at=at(end + 0.04),
        attempt=1,
        total_records=total,
        processed_records=total,
        succeeded_records=well,
        failed_records=failed,
    )
    events.append(tally)
    return end
