"""What a manifest may say: counts, and nothing else. Whoever may write the output may not steer what is counted."""

import io
import json
from typing import Any, cast

import pytest

from services.scheduler.results import MAX_COUNT, Results

ARN = "arn:aws:bedrock:us-east-1:123456789012:model-invocation-job/abcdefghwxyz"


def read(text: str) -> dict[str, int]:
    class S3:
        @staticmethod
        def get_object(**asked: str) -> dict[str, Any]:
            assert asked == {"Bucket": "b", "Key": "out/abcdefghwxyz/manifest.json.out"}
            return {"Body": io.BytesIO(text.encode())}

    return Results(cast("Any", S3())).manifest("s3://b/out/", ARN)


def test_the_documented_manifest_is_read_whatever_else_it_holds() -> None:
    """As the Bedrock user guide shows it; further keys have been seen in the field."""
    counts = {"totalRecordCount": 3, "processedRecordCount": 3, "successRecordCount": 2, "errorRecordCount": 1}
    tokens = {"inputTokenCount": 70, "outputTokenCount": 0, "cacheReadInputTokenCount": 5}
    assert read(json.dumps(counts | tokens | {"note": "x"})) == counts | tokens


@pytest.mark.parametrize("value", [-1, MAX_COUNT, 10**40, True, 1.5, "3", None, [3]], ids=str)
def test_what_is_no_count_is_as_if_it_were_not_there(value: object) -> None:
    assert read(json.dumps({"totalRecordCount": 3, "successRecordCount": value})) == {"totalRecordCount": 3}


@pytest.mark.parametrize("text", ["", "[]", "nothing", "[" * 100_000, '{"totalRecordCount": 3', "null"], ids=range(6))
def test_what_is_no_manifest_says_nothing(text: str) -> None:
    assert read(text) == {}
