"""What local/ministack.py makes of MiniStack's results."""

from typing import Any

import pytest

from local.ministack import as_on_a_stream

FAILED = {"batchItemFailures": [{"itemIdentifier": "7"}]}


def batch(source: str) -> dict[str, Any]:
    return {"Records": [{"eventSource": source}, {"eventSource": source}]}


def test_a_streams_batch_of_which_a_record_failed_is_an_error_so_that_it_comes_back() -> None:
    result = as_on_a_stream(batch("aws:dynamodb"), {"body": FAILED, "log": "its log"})
    assert result == {
        "error": True,
        "log": "its log",
        "body": {"errorType": "BatchItemFailures", "errorMessage": "1 of 2 records failed"},
    }


@pytest.mark.parametrize(
    ("event", "body"),
    [
        (batch("aws:dynamodb"), {"batchItemFailures": []}),
        (batch("aws:dynamodb"), None),
        (batch("aws:sqs"), FAILED),  # MiniStack itself brings back the messages that failed
        ({"wake": "all"}, {"woken": ["haiku"]}),
    ],
)
def test_every_other_result_is_as_it_was(event: dict[str, Any], body: Any) -> None:
    assert as_on_a_stream(event, {"body": body}) == {"body": body}
