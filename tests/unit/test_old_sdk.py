"""What an SDK does that is older than this project: the reason why the zips hold one that is not
(local/build.py).
"""

from typing import Any

import boto3

from bbq.services.scheduler.bedrock import Bedrock, Refused, Request
from bbq.shared.hold import INVALID
from bbq.shared.models import Model

REQUEST = Request(
    name="bbq-aaaaaaaaaaaaaaaaaaaaaaaaaa-1",
    model=Model(alias="haiku", model_id="m", limit=1),
    input_uri="s3://bkt/a.jsonl",
    output_uri="s3://bkt/out/",
    role_arn="arn:aws:iam::000000000000:role/r",
    kms_key_arn=None,
)


def test_a_parameter_that_it_does_not_know_is_refused_and_nothing_is_sent() -> None:
    bedrock, sent = boto3.client("bedrock"), []
    bedrock.meta.events.register("before-send", lambda request, **_: sent.append(request))
    del _shape(bedrock, "CreateModelInvocationJob", "input_shape").members["modelInvocationType"]
    answer = Bedrock(bedrock).create(REQUEST)
    assert isinstance(answer, Refused)
    assert answer.kind == INVALID
    assert 'Unknown parameter in input: "modelInvocationType"' in answer.message
    assert sent == []


def test_what_is_packed_knows_the_counts_that_get_shows_since_april_2026() -> None:
    counts = {"totalRecordCount", "processedRecordCount", "successRecordCount", "errorRecordCount"}
    assert (
        counts
        <= _shape(boto3.client("bedrock"), "GetModelInvocationJob", "output_shape").members.keys()
    )


def _shape(client: Any, operation: str, which: str) -> Any:
    return getattr(client.meta.service_model.operation_model(operation), which)
