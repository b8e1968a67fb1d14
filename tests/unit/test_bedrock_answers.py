"""What each answer of Create means: the table on which promise P2 stands."""

from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ConnectTimeoutError, EndpointConnectionError, ReadTimeoutError
from botocore.stub import Stubber

from services.scheduler.bedrock import Accepted, Bedrock, Invalid, NameInUse, Refused, Request, Unknown
from shared.models import Model
from tests.support.samples import ARN

REQUEST = Request(
    name="bbq-aaaaaaaaaaaaaaaaaaaaaaaaaa-1", model=Model(alias="haiku", model_id="m", limit=1), input_uri="s3://bkt/a.jsonl",
    output_uri="s3://bkt/out/", role_arn="arn:aws:iam::000000000000:role/r", kms_key_arn=None,
)  # fmt: skip


def client() -> Any:
    once = Config(retries={"total_max_attempts": 1})
    return boto3.client("bedrock", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x", config=once)


# Codes and HTTP statuses: Bedrock API reference, CreateModelInvocationJob.
@pytest.mark.parametrize(
    ("code", "http", "message", "expected"),
    [
        ("ServiceQuotaExceededException", 400, "quota", Refused("quota", "ServiceQuotaExceededException: quota")),
        ("ThrottlingException", 429, "slow", Refused("throttle", "ThrottlingException: slow")),
        ("AccessDeniedException", 403, "iam:PassRole", Refused("access", "AccessDeniedException: iam:PassRole")),
        ("ValidationException", 400, "bad", Invalid("ValidationException: bad")),
        ("ResourceNotFoundException", 404, "no", Invalid("ResourceNotFoundException: no")),
        ("ConflictException", 400, "x", NameInUse("ConflictException: x")),
        (
            "ValidationException",
            400,
            "The provided job name is currently in use.",
            NameInUse("ValidationException: The provided job name is currently in use."),
        ),
        ("InternalServerException", 500, "x", Unknown("InternalServerException: x")),
        ("ServiceUnavailableException", 503, "x", Unknown("ServiceUnavailableException: x")),
        ("SomethingNew", 400, "x", Unknown("SomethingNew: x")),
    ],
)
def test_an_error_of_create_means(code: str, http: int, message: str, expected: object) -> None:
    bedrock = client()
    with Stubber(bedrock) as stub:
        stub.add_client_error("create_model_invocation_job", code, message, http)
        assert Bedrock(bedrock).create(REQUEST) == expected


@pytest.mark.parametrize(
    "error",
    [
        ReadTimeoutError(endpoint_url="x"),
        ConnectTimeoutError(endpoint_url="x"),
        EndpointConnectionError(endpoint_url="x"),
    ],
)
def test_a_lost_connection_says_nothing_about_the_job(error: Exception) -> None:
    class Broken:
        def create_model_invocation_job(self, **_: object) -> None:
            raise error

    assert isinstance(Bedrock(Broken()).create(REQUEST), Unknown)  # type: ignore[arg-type] # the one call


def test_an_accepted_request_carries_name_and_token_alike_and_exactly_these_fields() -> None:
    bedrock = client()
    expected = {
        "jobName": REQUEST.name,
        "clientRequestToken": REQUEST.name,
        "roleArn": REQUEST.role_arn,
        "modelId": "m",
        "inputDataConfig": {"s3InputDataConfig": {"s3Uri": "s3://bkt/a.jsonl", "s3InputFormat": "JSONL"}},
        "outputDataConfig": {"s3OutputDataConfig": {"s3Uri": "s3://bkt/out/"}},
        "timeoutDurationInHours": 24,
        "modelInvocationType": "InvokeModel",
    }
    with Stubber(bedrock) as stub:
        stub.add_response("create_model_invocation_job", {"jobArn": ARN}, expected)
        assert Bedrock(bedrock).create(REQUEST) == Accepted(ARN)


def test_a_look_up_reads_every_page_and_takes_the_exact_name_only() -> None:
    bedrock = client()
    summary = {
        "modelId": "m", "roleArn": "r", "submitTime": "2026-01-01T00:00:00Z",
        "inputDataConfig": {"s3InputDataConfig": {"s3Uri": "s3://bkt/a"}},
        "outputDataConfig": {"s3OutputDataConfig": {"s3Uri": "s3://bkt/o"}},
    }  # fmt: skip
    first = [{**summary, "jobArn": "arn-1", "jobName": REQUEST.name + "0"}]
    second = [{**summary, "jobArn": "arn-2", "jobName": REQUEST.name, "clientRequestToken": REQUEST.name}]
    with Stubber(bedrock) as stub:
        stub.add_response("list_model_invocation_jobs", {"nextToken": "n", "invocationJobSummaries": first})
        stub.add_response("list_model_invocation_jobs", {"invocationJobSummaries": second})
        (found,) = Bedrock(bedrock).find(REQUEST.name)
    assert (found.arn, found.token) == ("arn-2", REQUEST.name)


def test_a_look_up_that_fails_is_not_a_job_that_is_not_there() -> None:
    bedrock = client()
    with Stubber(bedrock) as stub:
        stub.add_client_error("list_model_invocation_jobs", "ThrottlingException", "", 429)
        with pytest.raises(bedrock.exceptions.ThrottlingException):
            Bedrock(bedrock).find(REQUEST.name)


@pytest.mark.parametrize("code", ["ConflictException", "ValidationException"])
def test_stopping_what_is_over_is_no_error(code: str) -> None:
    bedrock = client()
    with Stubber(bedrock) as stub:
        stub.add_client_error("stop_model_invocation_job", code, "", 400)
        assert Bedrock(bedrock).stop(ARN) is False
