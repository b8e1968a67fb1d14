"""What real AWS was recorded to send (tests/recorded), through the production code that reads
it.
"""

import io
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, cast

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.stub import ANY, Stubber

from bbq.services.intake.uploads import Ignored, Upload, announced
from bbq.services.scheduler.bedrock import Accepted, Bedrock, NameInUse, Refused, Request, Unknown
from bbq.services.scheduler.hints import Report, alias_of, parse
from bbq.services.scheduler.results import Results
from bbq.services.scheduler.timers import Timers
from bbq.shared.models import Model
from tests.support.recorded import ARN, recorded, row

NAME = "example-batch-invocation"
ASKED = recorded("create")["request"]
REQUEST = Request(
    name=NAME,
    model=Model(alias="nova", model_id=ASKED["modelId"], limit=1),
    role_arn=ASKED["roleArn"],
    kms_key_arn=None,
    input_uri=ASKED["inputDataConfig"]["s3InputDataConfig"]["s3Uri"],
    output_uri=ASKED["outputDataConfig"]["s3OutputDataConfig"]["s3Uri"],
)
DUE = datetime(2026, 9, 8, 3, 54, tzinfo=UTC)

Answer = tuple[int, str, Any]  # HTTP status, code of an error or nothing, body


class Wire:
    """Bedrock's side of the connection: answers `answers[method and path]` and keeps what was
    asked, undecoded.
    """

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.asked: list[str] = []
        self.bodies: list[Any] = []


@contextmanager
def answering(**answers: Answer) -> Iterator[tuple[Bedrock, Wire]]:
    """The production client and what answers it: by the call's name, one of create, get, list and
    stop.
    """
    wire = Wire()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer("list" if self.path.startswith("/model-invocation-jobs") else "get")

        def do_POST(self) -> None:
            wire.bodies.append(
                json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
            )
            self.answer("stop" if self.path.endswith("/stop") else "create")

        def answer(self, call: str) -> None:
            wire.asked.append(self.path)
            status, code, body = answers[call]
            content = json.dumps(body).encode()
            self.send_response(status)
            if code:
                self.send_header("x-amzn-errortype", code)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's word
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        client = boto3.client(
            "bedrock",
            region_name="us-east-1",
            aws_access_key_id="x",
            aws_secret_access_key="x",
            endpoint_url=f"http://127.0.0.1:{server.server_address[1]}",
            config=Config(retries={"total_max_attempts": 1}),
        )
        yield Bedrock(client), wire
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def error(message: str) -> dict[str, str]:
    return {"message": message}


def test_the_recorded_answer_to_create_is_accepted_and_the_request_as_recorded() -> None:
    theirs = recorded("create")
    with answering(create=(theirs["http_status"], "", theirs["answer"])) as (bedrock, wire):
        assert bedrock.create(REQUEST) == Accepted(theirs["answer"]["jobArn"])
    (body,) = wire.bodies
    assert {name: body[name] for name in ("jobName", "modelId", "roleArn", "outputDataConfig")} == {
        name: ASKED[name] for name in ("jobName", "modelId", "roleArn", "outputDataConfig")
    }
    assert body["inputDataConfig"]["s3InputDataConfig"]["s3Uri"] == REQUEST.input_uri


CREATE_ERRORS = [
    pytest.param(
        row["kind"],
        code,
        status,
        row.get("message") or row.get("message_begins") or row.get("message_contains", ""),
    )
    for row in recorded("errors-create")["rows"]
    for code, status in zip(row["codes"], row["http_status"], strict=True)
]


@pytest.mark.parametrize(("kind", "code", "status", "message"), CREATE_ERRORS)
def test_no_recorded_refusal_of_create_leaves_it_open_if_there_is_a_job(
    kind: str, code: str, status: int, message: str
) -> None:
    with answering(create=(status, code, error(message))) as (bedrock, _):
        answer = bedrock.create(REQUEST)
    assert not isinstance(answer, Accepted | Unknown)
    assert isinstance(answer, NameInUse) == (kind == "name-in-use")
    assert message in answer.message
    if code in ("AccessDeniedException", "ServiceQuotaExceededException"):
        assert isinstance(answer, Refused)
        assert answer.kind == ("quota" if kind == "quota" else "access")


def test_get_reads_the_recorded_job_and_asks_by_the_encoded_arn() -> None:
    theirs = recorded("get")["answers"][0]
    with answering(get=(theirs["http_status"], "", theirs["answer"])) as (bedrock, wire):
        found = bedrock.get(ARN)
    assert found is not None
    assert (found.arn, found.name, found.status, found.message) == (ARN, NAME, "Stopping", "")
    assert found.token == theirs["answer"]["clientRequestToken"]
    # that client did not know them
    assert (found.total_records, found.processed_records) == (None, None)
    # Not encoded, an ARN is 404 UnknownOperationException (errors-get.json).
    assert wire.asked == ["/model-invocation-job/" + ARN.replace(":", "%3A").replace("/", "%2F")]


@pytest.mark.parametrize("case", recorded("get-counts")["cases"], ids=lambda case: case["status"])
def test_get_reads_the_recorded_counts(case: dict[str, Any]) -> None:
    with answering(get=(200, "", {**recorded("get")["answers"][0]["answer"], **case})) as (
        bedrock,
        _,
    ):
        found = bedrock.get(ARN)
    assert found is not None
    assert (found.status, found.message, found.total_records) == (
        case["status"],
        case.get("message", ""),
        case["totalRecordCount"],
    )
    assert found.succeeded_records == case.get("successRecordCount")


@pytest.mark.parametrize("kind", ["id", "name", "no job"])
def test_get_of_what_bedrock_does_not_know_is_no_job(kind: str) -> None:
    theirs = row("errors-get", kind)
    with answering(get=(theirs["http_status"], theirs["code"], error(theirs["message"]))) as (
        bedrock,
        _,
    ):
        assert bedrock.get(ARN) is None


def test_a_call_that_bedrock_does_not_know_is_an_error_and_no_answer() -> None:
    theirs = row("errors-get", "not encoded")
    with (
        answering(get=(theirs["http_status"], theirs["code"], {})) as (bedrock, _),
        pytest.raises(ClientError) as raised,
    ):
        bedrock.get(ARN)
    assert raised.value.response["Error"]["Code"] == "UnknownOperationException"


def test_stop_is_done_or_there_is_nothing_to_stop_as_recorded() -> None:
    stopped, _, ended = recorded("stop")["cases"]
    with answering(stop=(stopped["http_status"], "", stopped["answer"])) as (bedrock, wire):
        assert bedrock.stop(ARN) is True
    assert wire.asked[0].endswith("%2Fabc123def456/stop")
    text = f"The job cannot be stopped. {ended['error']['Message_contains']}"
    with answering(stop=(ended["http_status"], ended["error"]["Code"], error(text))) as (
        bedrock,
        _,
    ):
        assert bedrock.stop(ARN) is False


@pytest.mark.parametrize(
    "job", recorded("list")["answer"]["invocationJobSummaries"], ids=lambda job: job["status"]
)
def test_a_look_up_finds_a_recorded_summary_by_its_exact_name(job: dict[str, Any]) -> None:
    described = {**recorded("get")["answers"][0]["answer"], **job}
    with answering(list=(200, "", recorded("list")["answer"]), get=(200, "", described)) as (
        bedrock,
        _,
    ):
        (found,) = bedrock.named(job["jobName"], datetime(2026, 3, 1, tzinfo=UTC))
    assert (found.arn, found.status) == (job["jobArn"], job["status"])


def event(**detail: str) -> str:
    """The parts of the event that were seen in real ones, in the envelope that EventBridge gives
    every event.
    """
    theirs = recorded("event")["seen_in_real_events"]
    account, region = ARN.split(":")[4], ARN.split(":")[3]
    return json.dumps(
        {**theirs, "account": account, "region": region, "detail": {**theirs["detail"], **detail}}
    )


def read(body: str) -> object:
    return parse(
        body, deployment="bbq", source="aws.bedrock", account="111122223333", region="us-east-1"
    )


def test_an_event_with_only_the_fields_that_were_seen_in_real_ones_is_a_report() -> None:
    assert not set(recorded("event")["documented_only"]) & set(
        recorded("event")["seen_in_real_events"]["detail"]
    )
    found = read(event())
    assert found == Report(
        arn=ARN, model_id="", status="Completed", message="", job=None, attempt=None
    )


@pytest.mark.parametrize("failed", recorded("failed-messages")["rows"], ids=lambda row: row["kind"])
def test_a_recorded_failure_reaches_people_whole(failed: dict[str, Any]) -> None:
    text = failed.get("message") or failed.get("message_begins") or failed["message_about"]
    found = read(event(status="Failed", failureMessage=text))
    assert isinstance(found, Report)
    assert (found.status, found.message) == ("Failed", text)


def test_a_model_that_get_names_by_its_arn_is_the_one_that_was_configured_by_its_id() -> None:
    theirs = recorded("get")["answers"][0]["answer"]["modelId"]
    ids = {"nova": ASKED["modelId"], "other": "amazon.nova-lite-v1:0"}
    models = {name: Model(alias=name, model_id=known, limit=1) for name, known in ids.items()}
    assert alias_of(theirs, models) == "nova"


def notification(**changes: Any) -> str:
    body = recorded("s3-event-sqs")["body"]
    body["Records"][0]["s3"]["object"].update(changes)
    return json.dumps(body)


def test_a_recorded_notification_of_s3_announces_its_object() -> None:
    (found,) = announced(notification(key="to-process/nova/a%40b.jsonl"), "amzn-s3-demo-bucket")
    assert found == Upload(
        bucket="amzn-s3-demo-bucket",
        key="to-process/nova/a@b.jsonl",
        version_id="EXAMPLE",
        etag="437b930db84b8079c2dd804a71936b5f",
        sequencer="0055AED6DCD90281E5",
        size_bytes=9,
    )
    assert announced(notification(), "amzn-s3-demo-bucket") == [Ignored("OtherPrefix")]


def test_a_notification_of_a_bucket_without_versions_has_a_sequencer_in_their_place() -> None:
    body = json.loads(notification(key="to-process/a.jsonl"))
    del body["Records"][0]["s3"]["object"]["versionId"]
    (found,) = announced(json.dumps(body), "amzn-s3-demo-bucket")
    assert isinstance(found, Upload)
    assert (found.version_id, found.sequencer) == ("", "0055AED6DCD90281E5")


@contextmanager
def scheduling() -> Iterator[tuple[Timers, Stubber]]:
    client = boto3.client(
        "scheduler", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x"
    )
    with Stubber(client) as stub:
        yield (
            Timers(
                client, group="bbq", role_arn="arn:role", queue_arn="arn:queue", dlq_arn="arn:dlq"
            ),
            stub,
        )


def test_a_timer_is_asked_for_in_a_form_that_was_not_refused_and_a_taken_name_means_armed() -> None:
    taken, past, *refused, _ = recorded("scheduler")["rows"]
    expression = f"at({DUE:%Y-%m-%dT%H:%M:%S})"
    form = re.compile(r"at\(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\)")
    assert form.search(past["call"])
    assert form.fullmatch(expression)
    assert not any(form.search(row["error"]["Message"]) for row in refused)
    asked = {
        "ScheduleExpression": expression,
        "GroupName": "bbq",
        "Name": ANY,
        "Target": ANY,
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "ScheduleExpressionTimezone": "UTC",
        "ActionAfterCompletion": "DELETE",
    }
    with scheduling() as (timers, stub):
        stub.add_response("create_schedule", past["answer"], asked)
        timers.arm_attempt("a" * 26, 1, DUE)
        stub.add_client_error("create_schedule", taken["error"]["Code"])
        timers.arm_attempt("a" * 26, 1, DUE)
        stub.assert_no_pending_responses()


def test_a_timer_that_scheduler_will_not_make_is_an_error_so_that_the_hint_comes_back() -> None:
    theirs = row("scheduler", "role")
    with scheduling() as (timers, stub):
        stub.add_client_error(
            "create_schedule",
            theirs["error"]["Code"],
            theirs["error"]["Message"],
            theirs["http_status"],
        )
        with pytest.raises(
            ClientError, match="must allow AWS EventBridge Scheduler to assume the role"
        ):
            timers.arm_model("nova", DUE)


def test_the_recorded_manifest_is_found_in_its_place_and_read() -> None:
    theirs = recorded("manifest")
    output = "s3://amzn-s3-demo-destination-bucket/processed/a/"
    wanted = (
        theirs["key"]
        .replace("<output s3Uri>/", "processed/a/")
        .replace("<last 12 characters of the job ARN>", ARN[-12:])
    )

    class S3:
        @staticmethod
        def get_object(**asked: str) -> dict[str, Any]:
            assert asked == {"Bucket": "amzn-s3-demo-destination-bucket", "Key": wanted}
            return {"Body": io.BytesIO(json.dumps(theirs["content"]).encode())}

    assert Results(cast("Any", S3())).manifest(output, ARN) == theirs["content"]
