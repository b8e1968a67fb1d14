"""A batch of a queue's or a stream's records: each is tried, whatever became of the others, and
Lambda hears which failed.

Powertools has this, too, and brings asyncio and data classes of every event along: a sixteenth of a
cold start (bench/cold.py) for what is a loop. Lambda developer guide, "Using Lambda with Amazon
SQS" and "Using Lambda with DynamoDB": a queue's failed messages come back alone; a stream comes
back from the first that failed, so that what follows it is tried twice.
"""

from collections.abc import Callable, Sequence
from typing import Any

Record = dict[str, Any]
FIRST_RETRY_SECONDS = 30


def partial_failures(
    records: Sequence[Record], handle: Callable[[Record], None]
) -> dict[str, list[dict[str, str]]]:
    """What Lambda is to be answered. Raises KeyError, so that the whole batch fails, where a failed
    record has no identifier.
    """
    failed = []
    for record in records:
        try:
            handle(record)
        except Exception:  # noqa: BLE001 - whatever it is, the others have their turn; `handle` has said what it was
            failed.append(record)
    return {"batchItemFailures": [{"itemIdentifier": _identifier(record)} for record in failed]}


def retry_seconds(receives: int, longest: int) -> int:
    """How long a queue's message that failed stays away, by how often it was received: twice as
    long each time, up to `longest`. A hiccup costs half a minute, and an outage of hours does not
    use up the queue's receives.
    """
    return min(longest, FIRST_RETRY_SECONDS << min(receives - 1, 20))


def _identifier(record: Record) -> str:
    identifier: str = (
        record["dynamodb"]["SequenceNumber"] if "dynamodb" in record else record["messageId"]
    )
    return identifier
