"""What a manifest may say: counts, and nothing else. Whoever may write the output may not steer
what is counted.
"""

import io
import json
from typing import Any, cast

import pytest
from botocore.exceptions import IncompleteReadError
from botocore.response import StreamingBody

from bbq.services.scheduler.results import MAX_COUNT, MAX_MANIFEST_BYTES, Results

ARN = "arn:aws:bedrock:us-east-1:123456789012:model-invocation-job/abcdefghwxyz"


def read(text: str, size_bytes: int | None = None) -> dict[str, int]:
    """What is read of an object of which `text` arrives; S3 has announced so many bytes."""

    class S3:
        @staticmethod
        def get_object(**asked: str) -> dict[str, Any]:
            assert asked == {"Bucket": "b", "Key": "out/abcdefghwxyz/manifest.json.out"}
            return {
                "Body": StreamingBody(
                    io.BytesIO(text.encode()), len(text) if size_bytes is None else size_bytes
                )
            }

    return Results(cast("Any", S3())).manifest("s3://b/out/", ARN)


def test_the_documented_manifest_is_read_whatever_else_it_holds() -> None:
    """As the Bedrock user guide shows it; further keys have been seen in the field."""
    counts = {
        "totalRecordCount": 3,
        "processedRecordCount": 3,
        "successRecordCount": 2,
        "errorRecordCount": 1,
    }
    tokens = {"inputTokenCount": 70, "outputTokenCount": 0, "cacheReadInputTokenCount": 5}
    assert read(json.dumps(counts | tokens | {"note": "x"})) == counts | tokens


@pytest.mark.parametrize("value", [-1, MAX_COUNT, 10**40, True, 1.5, "3", None, [3]], ids=str)
def test_what_is_no_count_is_as_if_it_were_not_there(value: object) -> None:
    assert read(json.dumps({"totalRecordCount": 3, "successRecordCount": value})) == {
        "totalRecordCount": 3
    }


@pytest.mark.parametrize(
    "text", ["", "[]", "nothing", "[" * 100_000, '{"totalRecordCount": 3', "null"], ids=range(6)
)
def test_what_is_no_manifest_says_nothing(text: str) -> None:
    assert read(text) == {}


def test_a_manifest_that_arrives_in_part_is_an_error_and_not_a_job_without_counts() -> None:
    with pytest.raises(IncompleteReadError):
        read('{"totalRecordCount": 3', 40)


def test_a_manifest_larger_than_any_says_nothing() -> None:
    assert read('{"totalRecordCount": 3}' + " " * MAX_MANIFEST_BYTES) == {}
