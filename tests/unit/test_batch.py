"""Partial failures: each record is tried, and exactly those that failed are named, by the
identifier that Lambda asks for.
"""

from typing import Any

import pytest

from bbq.shared.batch import Record, partial_failures
from tests.support.payloads import sqs_event, stream_event


def failing_on(*bad: Any) -> tuple[list[Record], Any]:
    """The records that were tried, and what tries them."""
    tried: list[Record] = []

    def handle(record: Record) -> None:
        tried.append(record)
        if record in bad:
            raise RuntimeError("bad")

    return tried, handle


@pytest.mark.parametrize(
    "event",
    [sqs_event("a", "b", "c"), stream_event("job#a", "job#b", "job#c")],
    ids=["queue", "stream"],
)
def test_every_record_is_tried_and_those_that_failed_are_named(event: dict[str, Any]) -> None:
    first, second, third = records = event["Records"]
    tried, handle = failing_on(first, third)
    names = [
        r["dynamodb"]["SequenceNumber"] if "dynamodb" in r else r["messageId"]
        for r in (first, third)
    ]
    assert partial_failures(records, handle) == {
        "batchItemFailures": [{"itemIdentifier": name} for name in names]
    }
    assert tried == [first, second, third]


def test_nothing_failed_is_an_empty_list() -> None:
    assert partial_failures(sqs_event("a")["Records"], lambda _: None) == {"batchItemFailures": []}


def test_a_failed_record_without_an_identifier_fails_the_whole_batch() -> None:
    """An empty or wrong identifier would, too (Lambda developer guide, partial batch responses),
    but would not say why.
    """
    with pytest.raises(KeyError, match="messageId"):
        partial_failures([{}], failing_on({})[1])


def test_what_ends_the_process_is_no_failure_of_a_record() -> None:
    def stopped(_: Record) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        partial_failures(sqs_event("a")["Records"], stopped)
