"""What each answer of Create means: the table on which promise P2 stands."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ConnectTimeoutError, EndpointConnectionError, ReadTimeoutError
from botocore.stub import Stubber

from bbq.services.scheduler.bedrock import (
    LIST_MARGIN,
    MAX_MESSAGE,
    Accepted,
    Bedrock,
    NameInUse,
    NotYetKnown,
    Refused,
    Request,
    Unknown,
)
from bbq.shared.hold import INVALID, NOT_FOUND
from bbq.shared.models import Model
from tests.support.samples import ARN

REQUEST = Request(
    name="bbq-aaaaaaaaaaaaaaaaaaaaaaaaaa-1",
    model=Model(alias="haiku", model_id="m", limit=1),
    input_uri="s3://bkt/a.jsonl",
    output_uri="s3://bkt/out/",
    role_arn="arn:aws:iam::000000000000:role/r",
    kms_key_arn=None,
)


def client() -> Any:
    once = Config(retries={"total_max_attempts": 1})
    return boto3.client(
        "bedrock",
        region_name="us-east-1",
        aws_access_key_id="x",
        aws_secret_access_key="x",
        config=once,
    )


# Codes and HTTP statuses: Bedrock API reference, CreateModelInvocationJob.
@pytest.mark.parametrize(
    ("code", "http", "message", "expected"),
    [
        (
            "ServiceQuotaExceededException",
            400,
            "quota",
            Refused("quota", "ServiceQuotaExceededException: quota"),
        ),
        ("ThrottlingException", 429, "slow", Refused("throttled", "ThrottlingException: slow")),
        (
            "AccessDeniedException",
            403,
            "iam:PassRole",
            Refused("access", "AccessDeniedException: iam:PassRole"),
        ),
        (
            "TooManyRequestsException",
            429,
            "slow",
            Refused("throttled", "TooManyRequestsException: slow"),
        ),
        (
            "UnrecognizedClientException",
            403,
            "x",
            Refused("access", "UnrecognizedClientException: x"),
        ),
        ("InvalidSignatureException", 403, "x", Refused("access", "InvalidSignatureException: x")),
        ("ExpiredTokenException", 403, "x", Refused("access", "ExpiredTokenException: x")),
        ("ValidationException", 400, "bad", Refused(INVALID, "ValidationException: bad")),
        (
            "ResourceNotFoundException",
            404,
            "no",
            Refused(NOT_FOUND, "ResourceNotFoundException: no"),
        ),
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
        "inputDataConfig": {
            "s3InputDataConfig": {"s3Uri": "s3://bkt/a.jsonl", "s3InputFormat": "JSONL"}
        },
        "outputDataConfig": {"s3OutputDataConfig": {"s3Uri": "s3://bkt/out/"}},
        "timeoutDurationInHours": 24,
        "modelInvocationType": "InvokeModel",
    }
    with Stubber(bedrock) as stub:
        stub.add_response("create_model_invocation_job", {"jobArn": ARN}, expected)
        assert Bedrock(bedrock).create(REQUEST) == Accepted(ARN)


def test_a_parameter_that_the_sdk_does_not_know_is_the_deployments_fault_and_was_not_sent() -> None:
    answer = Bedrock(client()).create(replace(REQUEST, input_uri=7))  # type: ignore[arg-type] # as unknown to the SDK
    assert isinstance(answer, Refused)
    assert answer.kind == INVALID
    assert "Parameter validation failed" in answer.message


def test_bedrocks_words_are_cut_to_a_length_that_events_bear() -> None:
    bedrock = client()
    with Stubber(bedrock) as stub:
        stub.add_client_error("create_model_invocation_job", "ValidationException", "x" * 9000, 400)
        answer = Bedrock(bedrock).create(REQUEST)
    assert isinstance(answer, Refused)
    assert len(answer.message) == MAX_MESSAGE


# Recorded 2025-2026 (four recordings, 257 summaries): a summary has no clientRequestToken, message
# or counts.
SUMMARY = {
    "modelId": "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-micro-v1:0",
    "roleArn": "r",
    "status": "Submitted",
    "submitTime": "2026-03-13T17:48:55.259Z",
    "lastModifiedTime": "2026-03-13T17:48:55.259Z",
    "inputDataConfig": {
        "s3InputDataConfig": {"s3Uri": "s3://bkt/a", "s3BucketOwner": "111122223333"}
    },
    "outputDataConfig": {
        "s3OutputDataConfig": {"s3Uri": "s3://bkt/o", "s3BucketOwner": "111122223333"}
    },
    "timeoutDurationInHours": 24,
    "jobExpirationTime": "2026-03-14T17:48:55.259Z",
    "modelInvocationType": "InvokeModel",
}
SINCE = datetime(2026, 3, 13, 17, 48, tzinfo=UTC)


def listed(arn: str, name: str) -> dict[str, Any]:
    return {**SUMMARY, "jobArn": arn, "jobName": name}


def got(arn: str, name: str, token: str) -> dict[str, Any]:
    return {
        **SUMMARY,
        "jobArn": arn,
        "jobName": name,
        "clientRequestToken": token,
        "processedRecordCount": 0,
    }


def asks_list(
    page: dict[str, Any], token: str | None = None
) -> tuple[str, dict[str, Any], dict[str, Any]]:
    asked = {
        "nameContains": REQUEST.name,
        "submitTimeAfter": SINCE - LIST_MARGIN,
        "maxResults": 1000,
    }
    return "list_model_invocation_jobs", page, asked | ({"nextToken": token} if token else {})


def asks_get(arn: str, name: str, token: str) -> tuple[str, dict[str, Any], dict[str, Any]]:
    return "get_model_invocation_job", got(arn, name, token), {"jobIdentifier": arn}


def test_a_look_up_reads_every_page_and_asks_get_for_each_of_exactly_this_name() -> None:
    bedrock, ours, theirs = client(), ARN, ARN[:-1] + "2"
    with Stubber(bedrock) as stub:
        stub.add_response(
            *asks_list(
                {
                    "nextToken": "n",
                    "invocationJobSummaries": [listed(ARN[:-1] + "3", REQUEST.name + "0")],
                }
            )
        )
        stub.add_response(
            *asks_list(
                {
                    "invocationJobSummaries": [
                        listed(theirs, REQUEST.name),
                        listed(ours, REQUEST.name),
                    ]
                },
                "n",
            )
        )
        stub.add_response(*asks_get(theirs, REQUEST.name, "theirs"))
        stub.add_response(*asks_get(ours, REQUEST.name, REQUEST.name))
        found = Bedrock(bedrock).named(REQUEST.name, SINCE)
        stub.assert_no_pending_responses()
    assert [(each.arn, each.token, each.processed_records) for each in found] == [
        (theirs, "theirs", 0),
        (ours, REQUEST.name, 0),
    ]


def test_a_job_that_list_shows_and_get_does_not_know_yet_is_no_answer() -> None:
    bedrock = client()
    with Stubber(bedrock) as stub:
        stub.add_response(*asks_list({"invocationJobSummaries": [listed(ARN, REQUEST.name)]}))
        stub.add_client_error(
            "get_model_invocation_job", "ResourceNotFoundException", "was not found", 404
        )
        with pytest.raises(NotYetKnown):
            Bedrock(bedrock).named(REQUEST.name, SINCE)


def test_a_look_up_that_fails_is_not_a_job_that_is_not_there() -> None:
    bedrock = client()
    with Stubber(bedrock) as stub:
        stub.add_client_error("list_model_invocation_jobs", "ThrottlingException", "", 429)
        with pytest.raises(bedrock.exceptions.ThrottlingException):
            Bedrock(bedrock).named(REQUEST.name, SINCE)


# Recorded 2026: of a well-formed ARN of no job, and of one that is none.
@pytest.mark.parametrize(
    ("code", "http"), [("ResourceNotFoundException", 404), ("ValidationException", 400)]
)
def test_get_of_no_job_is_none_and_another_error_rises(code: str, http: int) -> None:
    bedrock = client()
    with Stubber(bedrock) as stub:
        stub.add_client_error(
            "get_model_invocation_job",
            code,
            "The provided batch inference job was not found.",
            http,
        )
        assert Bedrock(bedrock).get(ARN) is None
        stub.add_client_error("get_model_invocation_job", "AccessDeniedException", "", 403)
        with pytest.raises(bedrock.exceptions.AccessDeniedException):
            Bedrock(bedrock).get(ARN)


@pytest.mark.parametrize(
    "code", ["ConflictException", "ValidationException", "ResourceNotFoundException"]
)
def test_stopping_what_is_over_or_not_known_is_no_error(code: str) -> None:
    bedrock = client()
    with Stubber(bedrock) as stub:
        stub.add_client_error("stop_model_invocation_job", code, "", 400)
        assert Bedrock(bedrock).stop(ARN) is False
