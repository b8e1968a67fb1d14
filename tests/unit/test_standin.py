"""The second Bedrock stand-in answers as the real service was recorded to
(tests/standin/recorded.json).
"""

import http.client
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError

from local.settings import ROOT
from tests.standin.bedrock import ALIVE, FAILURES, REFUSALS, Bedrock, Lost, Refusal
from tests.standin.server import Standin

if TYPE_CHECKING:
    from mypy_boto3_bedrock import BedrockClient

RECORDED = json.loads((ROOT / "tests" / "standin" / "recorded.json").read_text())
REQUEST: dict[str, Any] = RECORDED["create"]["request"]
TOKEN = RECORDED["get_stopping"]["answer"]["clientRequestToken"]
MODEL = REQUEST["modelId"]
INPUT = REQUEST["inputDataConfig"]["s3InputDataConfig"]["s3Uri"]
LONG = 1000.0  # seconds after which every job is over


class Memory:
    """Objects by URI."""

    def __init__(self, objects: dict[str, bytes] | None = None) -> None:
        self.objects = objects or {}

    def read(self, uri: str) -> bytes:
        if uri not in self.objects:
            raise FileNotFoundError(uri)
        return self.objects[uri]

    def write(self, uri: str, body: bytes) -> None:
        self.objects[uri] = body


def records(count: int) -> bytes:
    return b"".join(
        b'{"recordId":"r%d","modelInput":{"messages":[]}}\n' % number for number in range(count)
    )


def bedrock(*, count: int = 100, seed: int = 1, quota: int = 100) -> Bedrock:
    return Bedrock(Memory({INPUT: records(count)}), seed=seed, quota=quota)


def named(name: str, **other: Any) -> dict[str, Any]:
    return {**REQUEST, "jobName": name, "clientRequestToken": f"{name}-token", **other}


def finished(service: Bedrock, name: str, now: float = 0.0) -> dict[str, Any]:
    """Get's answer of a job that was made now and is over."""
    arn = service.create(named(name), now)["jobArn"]
    service.advance(now + LONG)
    return service.get(arn, now + LONG)


def seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


# What was recorded, to the letter.


def test_get_answers_what_was_recorded_and_the_counts_that_younger_clients_show() -> None:
    recorded = RECORDED["get_stopping"]["answer"]
    service = bedrock()
    arn = service.create({**REQUEST, "clientRequestToken": TOKEN}, seconds(recorded["submitTime"]))[
        "jobArn"
    ]
    service.stop(arn, seconds(recorded["lastModifiedTime"]))
    answer = service.get(arn, seconds(recorded["lastModifiedTime"]))
    counts = dict.fromkeys(
        ("totalRecordCount", "processedRecordCount", "successRecordCount", "errorRecordCount"), 0
    )
    assert answer == {**recorded, "jobArn": arn, "modelInvocationType": "InvokeModel", **counts}


def test_list_answers_the_recorded_page() -> None:
    newest, failed, stopped = RECORDED["list"]["summaries"]
    service = bedrock(count=0)
    for recorded in (stopped, failed, newest):
        began = seconds(recorded["submitTime"])
        arn = service.create(named(recorded["jobName"]), began)["jobArn"]
        if recorded is stopped:
            service.stop(arn, began + 1)
        if recorded is not newest:
            service.advance(seconds(recorded["lastModifiedTime"]))
    page = service.list_jobs({}, seconds(newest["submitTime"]))
    assert set(page) == {"invocationJobSummaries"}
    for summary, recorded in zip(
        page["invocationJobSummaries"], RECORDED["list"]["summaries"], strict=True
    ):
        assert set(summary) == set(recorded)  # endTime only of the failed one
        assert {**summary, "jobArn": "", "endTime": ""} == {**recorded, "jobArn": "", "endTime": ""}


@pytest.mark.parametrize(
    "what", sorted(RECORDED["create_errors"].keys() - {"source", "name-in-use"})
)
def test_create_refuses_in_the_recorded_words(what: str) -> None:
    recorded, service = RECORDED["create_errors"][what], bedrock()
    service.change_weather({"refuse": {"what": what, "seconds": 90}}, 0.0)
    model = "amazon.nova-lite-v1:0" if what == "unsupported-here" else REQUEST["modelId"]
    role = "arn:aws:iam::111122223333:role/example-missing-role"
    with pytest.raises(Refusal) as refused:
        service.create(named("any", modelId=model, roleArn=role), 89.9)
    words = (
        recorded["message"]
        .replace("example-caller/example-session", "caller/session")
        .replace("us-west-2", "us-east-1")
    )
    assert refused.value.code == recorded["code"]
    assert words in refused.value.message
    assert service.create(named("any", modelId=model, roleArn=role), 90.0)
    assert service.ledger()["count"] == {f"refused {recorded['code']}": 1, "made": 1, "events": 1}


def test_a_job_with_too_few_records_is_taken_and_fails_in_the_recorded_words() -> None:
    recorded = RECORDED["get_counts"]["cases"][0]
    answer = finished(bedrock(count=1), "small")
    words = recorded["message"].replace(
        "arn:aws:bedrock:us-east-1:111122223333:model-invocation-job/abc123def456", answer["jobArn"]
    )
    assert {key: answer[key] for key in recorded} == {**recorded, "message": words}


def test_a_completed_job_has_counts_an_end_and_the_recorded_files() -> None:
    files = Memory({INPUT: records(300)})
    service = Bedrock(files, seed=1)
    answer = finished(service, "good")
    place = f"s3://amzn-s3-demo-destination-bucket/{answer['jobArn'][-12:]}"
    assert set(files.objects) == {INPUT, f"{place}/input.jsonl.out", f"{place}/manifest.json.out"}
    manifest = json.loads(files.objects[f"{place}/manifest.json.out"])
    assert set(manifest) == set(RECORDED["manifest"]["content"])
    lines = [json.loads(line) for line in files.objects[f"{place}/input.jsonl.out"].splitlines()]
    failed = [line for line in lines if "error" in line]
    assert failed
    assert all(list(line) == RECORDED["failed_line"]["keys"] for line in failed)
    assert all(list(line["error"]) == RECORDED["failed_line"]["error_keys"] for line in failed)
    assert all(
        list(line) == ["modelInput", "modelOutput", "recordId"]
        for line in lines
        if line not in failed
    )
    ids = [line["recordId"] for line in lines]
    assert sorted(ids) == sorted(f"r{number}" for number in range(300))
    assert ids != [f"r{number}" for number in range(300)]  # in no order
    assert answer["status"] == "Completed"
    counts = (
        answer["totalRecordCount"],
        answer["processedRecordCount"],
        answer["successRecordCount"],
        answer["errorRecordCount"],
    )
    assert counts == (300, 300, 300 - len(failed), len(failed)) == tuple(manifest.values())[:4]
    assert {"endTime", "clientRequestToken"} <= set(answer)
    assert service.ledger()["inputs"] == {INPUT: {"made": 1, "processed": 1}}


# Over HTTP, with the SDK.


@pytest.fixture
def served() -> Iterator[Standin]:
    service = Bedrock(Memory({INPUT: records(100)}), seed=1, quota=3, phase_seconds=(0.0, 0.01))
    standin = Standin(service, port=0, events=None, event_source="local.bedrock")
    yield standin
    standin.close()


def client_of(standin: Standin) -> "BedrockClient":
    config = Config(retries={"total_max_attempts": 1})
    return boto3.client(
        "bedrock",
        region_name="us-east-1",
        endpoint_url=standin.url,
        config=config,
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )


def error_of(caught: pytest.ExceptionInfo[ClientError]) -> tuple[str, int]:
    response = caught.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


def plain(
    standin: Standin, method: str, path: str, body: str = ""
) -> tuple[int, dict[str, Any], str]:
    """A call without the SDK: status, answer and error type."""
    connection = http.client.HTTPConnection(standin.url.removeprefix("http://"), timeout=10)
    connection.request(method, path, body)
    response = connection.getresponse()
    status, answer, error = (
        response.status,
        json.load(response),
        response.headers.get("x-amzn-ErrorType", ""),
    )
    connection.close()
    return status, answer, error


def test_the_sdk_makes_a_job_follows_it_to_its_end_and_cannot_stop_it_then(served: Standin) -> None:
    client = client_of(served)
    before = datetime.now(UTC)
    answer = client.create_model_invocation_job(**REQUEST)
    assert set(answer) - {"ResponseMetadata"} == set(RECORDED["create"]["answer_keys"])
    arn = answer["jobArn"]
    while (job := client.get_model_invocation_job(jobIdentifier=arn))["status"] in ALIVE:
        time.sleep(0.02)
    assert (job["status"], job["jobName"]) == ("Completed", REQUEST["jobName"])
    assert job["submitTime"] >= before.replace(microsecond=0)
    with pytest.raises(ClientError) as stopped:
        client.stop_model_invocation_job(jobIdentifier=arn)
    recorded = RECORDED["stop_completed"]
    assert error_of(stopped) == (recorded["code"], recorded["http_status"])
    assert recorded["message_contains"] in str(stopped.value)


@pytest.mark.parametrize("identifier", ["abc123def456", REQUEST["jobName"]])
def test_only_an_arn_names_a_job(served: Standin, identifier: str) -> None:
    recorded = RECORDED["get_errors"]["bare_id"]
    with pytest.raises(ClientError) as refused:
        client_of(served).get_model_invocation_job(jobIdentifier=identifier)
    assert error_of(refused) == (recorded["code"], recorded["http_status"])
    assert recorded["message"] in str(refused.value)


def test_an_unknown_arn_is_not_found_and_one_that_is_not_encoded_is_no_operation(
    served: Standin,
) -> None:
    arn = "arn:aws:bedrock:us-east-1:111122223333:model-invocation-job/abc123def456"
    for call in (
        client_of(served).get_model_invocation_job,
        client_of(served).stop_model_invocation_job,
    ):
        with pytest.raises(ClientError) as unknown:
            call(jobIdentifier=arn)
        recorded = RECORDED["get_errors"]["unknown"]
        assert error_of(unknown) == (recorded["code"], recorded["http_status"])
        assert recorded["message"] in str(unknown.value)
    status, _, error = plain(served, "GET", f"/model-invocation-job/{arn}")
    recorded = RECORDED["get_errors"]["not_encoded"]
    assert (error, status) == (recorded["code"], recorded["http_status"])


def test_a_lost_answer_leaves_a_job_or_none(served: Standin) -> None:
    client = client_of(served)
    plain(
        served,
        "POST",
        "/standin/weather",
        json.dumps({"lose": {MODEL: ["made", "unmade", "unheard", ""]}}),
    )
    for name in ("made", "unmade", "unheard"):
        with pytest.raises(ConnectionClosedError):
            client.create_model_invocation_job(**named(name))
    client.create_model_invocation_job(**named("answered"))
    names = [
        job["jobName"] for job in client.list_model_invocation_jobs()["invocationJobSummaries"]
    ]
    assert names == ["answered", "unheard", "made"]
    count = plain(served, "GET", "/standin/ledger")[1]["count"]
    assert (count["made"], count["lost made"], count["lost unmade"], count["lost unheard"]) == (
        3,
        1,
        1,
        1,
    )


def test_weather_that_there_is_not_is_refused(served: Standin) -> None:
    for wrong in (
        {"rain": 1},
        {"refuse": {"what": "rain", "seconds": 1}},
        {"fail": {"what": "account", "seconds": 1}},
    ):
        status, answer, _ = plain(served, "POST", "/standin/weather", json.dumps(wrong))
        assert status == 400
        assert (
            str(
                sorted(REFUSALS if "refuse" in wrong else FAILURES if "fail" in wrong else ["lose"])
            )[1:-1]
            in answer["message"]
        )
    assert plain(served, "POST", "/standin/weather", "{")[0] == 400


class Bus:
    """EventBridge, with what was sent."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    def put_events(self, Entries: list[Any]) -> None:
        self.sent.extend(Entries)


def life(**weather: Any) -> tuple[str, list[dict[str, Any]]]:
    """A job's ARN, and what was sent by half a second after its end."""
    bus: Any = Bus()
    service = Bedrock(Memory({INPUT: records(100)}), seed=1, phase_seconds=(0.0, 0.01))
    service.change_weather(weather, 0.0)
    standin = Standin(service, port=0, events=bus, event_source="local.standin")
    try:
        arn = client_of(standin).create_model_invocation_job(**REQUEST)["jobArn"]
        while service.ledger()["jobs"][0]["status"] != "Completed":
            time.sleep(0.02)
        time.sleep(0.5)
    finally:
        standin.close()
    return arn, bus.sent


def test_late_state_changes_are_held_back() -> None:
    assert life(late_events_seconds=100_000.0)[1] == []


def test_state_changes_go_to_the_bus_once_in_the_documented_shape() -> None:
    arn, sent = life()
    details = [json.loads(entry["Detail"]) for entry in sent]
    assert [detail["status"] for detail in details] == [
        "Submitted",
        "Validating",
        "Scheduled",
        "InProgress",
        "Completed",
    ]
    assert {(entry["Source"], entry["DetailType"], *entry["Resources"]) for entry in sent} == {
        ("local.standin", "Batch Inference Job State Change", arn)
    }
    assert {key: details[0][key] for key in ("batchJobName", "batchJobArn", "failureMessage")} == {
        "batchJobName": REQUEST["jobName"],
        "batchJobArn": arn,
        "failureMessage": "",
    }
    assert (
        details[0]["batchModelId"]
        == "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-micro-v1:0"
    )


# Rules and faults, on a clock of the test.


def test_a_taken_name_is_in_use_also_after_its_job_ended_unless_switched_off() -> None:
    service = bedrock()
    finished(service, "taken")
    again = named("taken", clientRequestToken="another")
    with pytest.raises(
        Refusal, match=RECORDED["create_errors"]["name-in-use"]["message"]
    ) as refused:
        service.create(again, LONG)
    assert refused.value.code == "ValidationException"
    service.change_weather({"name_in_use_code": "ConflictException"}, LONG)
    with pytest.raises(Refusal) as refused:
        service.create(again, LONG)
    assert refused.value.code == "ConflictException"
    service.change_weather({"ended_names_stay_taken": False}, LONG)
    assert service.create(again, LONG)


def test_a_repeated_token_gets_its_own_job_or_finds_the_name_in_use() -> None:
    service = bedrock()
    first = service.create(named("twice"), 0.0)
    assert service.create(named("twice"), 1.0) == first
    service.change_weather({"replay_tokens": False}, 1.0)
    with pytest.raises(Refusal, match="currently in use"):
        service.create(named("twice"), 2.0)
    ledger = service.ledger()
    assert (ledger["creates"], ledger["inputs"]) == (
        {"twice-token": 3},
        {INPUT: {"made": 1, "processed": 0}},
    )


def test_every_job_that_is_not_over_counts_for_the_quota_of_its_model() -> None:
    service = bedrock(quota=2)
    service.create(named("a"), 0.0)
    arn = service.create(named("b"), 0.0)["jobArn"]
    service.stop(arn, 0.0)
    with pytest.raises(Refusal) as refused:
        service.create(named("c"), 0.0)
    assert refused.value.code == "ServiceQuotaExceededException"
    service.create(named("d", modelId="us.anthropic.claude-haiku-4-5-20251001-v1:0"), 0.0)
    service.advance(LONG)
    service.create(named("c"), LONG)
    assert service.ledger()["most_alive"] == {
        REQUEST["modelId"]: 2,
        "us.anthropic.claude-haiku-4-5-20251001-v1:0": 1,
    }


@pytest.mark.parametrize(
    ("what", "through"),
    [("get-object", ["Submitted", "Validating"]), ("invoke-model", ["Submitted", *ALIVE[1:4]])],
)
def test_jobs_fail_for_the_account_s_reasons_in_the_recorded_status_and_only_for_a_time(
    what: str, through: list[str]
) -> None:
    service = bedrock()
    service.change_weather({"fail": {"what": what, "seconds": LONG + 1}}, 0.0)
    failed = finished(service, "burnt")
    assert (failed["status"], failed["processedRecordCount"]) == ("Failed", 0)
    assert failed["message"] == FAILURES[what][1].format(bucket="amzn-s3-demo-bucket")
    assert service.ledger()["jobs"][0]["history"] == [*through, "Failed"]
    assert finished(service, "good", LONG + 1)["status"] == "Completed"


def test_an_input_that_is_missing_or_no_record_fails_in_validating() -> None:
    broken = Bedrock(Memory({INPUT: records(99) + b"{}\n"}), seed=1)
    assert finished(broken, "broken")["message"].endswith("has an invalid record on line 100")
    assert finished(Bedrock(Memory(), seed=1), "none")["message"].startswith(
        "Could not validate GetObject permissions"
    )


def test_a_bucket_that_is_gone_fails_its_own_job_only() -> None:
    class Gone(Memory):
        def write(self, uri: str, body: bytes) -> None:
            if "/gone/" in uri:
                raise FileNotFoundError(uri)
            super().write(uri, body)

    service = Bedrock(Gone({INPUT: records(100)}), seed=1)
    service.create(
        named("gone", outputDataConfig={"s3OutputDataConfig": {"s3Uri": "s3://bucket/gone/"}}), 0.0
    )
    assert finished(service, "good")["status"] == "Completed"
    assert [job["status"] for job in service.ledger()["jobs"]] == ["Failed", "Completed"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"jobName": "a_b"},
        {"jobName": "a" * 64},
        {"clientRequestToken": "a.b"},
        {"roleArn": "role"},
        {"inputDataConfig": {"s3InputDataConfig": {"s3Uri": "s3://bucket/a b.jsonl"}}},
        {"timeoutDurationInHours": 23},
        {"timeoutDurationInHours": 169},
        {"modelInvocationType": "Foo"},
    ],
)
def test_create_checks_what_the_sdk_does_not(wrong: dict[str, Any]) -> None:
    with pytest.raises(Refusal, match=next(iter(wrong))):
        bedrock().create({**named("good"), **wrong}, 0.0)


def test_get_and_list_are_behind_for_a_while_if_told_so() -> None:
    service = bedrock()
    arn = service.create(named("new"), 0.0)["jobArn"]
    assert service.get(arn, 0.0)
    service.change_weather({"get_behind_seconds": 30.0, "list_behind_seconds": 30.0}, 0.0)
    with pytest.raises(Refusal, match="was not found"):
        service.get(arn, 0.01)
    assert service.list_jobs({}, 0.01)["invocationJobSummaries"] == []
    assert service.get(arn, 30.0)
    assert service.list_jobs({}, 30.0)["invocationJobSummaries"]


def test_list_pages_by_name_status_and_time_and_may_have_empty_pages() -> None:
    service = bedrock()
    for number in range(6):
        service.create(named(f"{'odd' if number % 2 else 'even'}-{number}"), 10.0 * number)

    def names(query: dict[str, str]) -> list[str]:
        return [job["jobName"] for job in service.list_jobs(query, 60.0)["invocationJobSummaries"]]

    assert names({"nameContains": "odd"}) == ["odd-5", "odd-3", "odd-1"]
    assert names({"nameContains": "odd", "sortOrder": "Ascending", "maxResults": "1"}) == ["odd-1"]
    after = datetime.fromtimestamp(20, UTC).isoformat()
    assert names({"submitTimeAfter": after}) == ["odd-5", "even-4", "odd-3"]
    assert names({"submitTimeBefore": after}) == ["odd-1", "even-0"]
    assert names({"statusEquals": "Stopped"}) == []
    assert names({"maxResults": "4", "nextToken": "4"}) == ["odd-1", "even-0"]
    service.change_weather({"filter_before_paging": False}, 60.0)
    page = service.list_jobs({"nameContains": "even-0", "maxResults": "2"}, 60.0)
    assert page == {"invocationJobSummaries": [], "nextToken": "2"}
    for wrong in ({"maxResults": "0"}, {"maxResults": "x"}):
        with pytest.raises(Refusal):
            service.list_jobs(wrong, 60.0)


def test_events_are_dropped_doubled_and_late_by_the_seed() -> None:
    def events(seed: int, **weather: float) -> list[tuple[str, float]]:
        service = bedrock(seed=seed)
        service.change_weather(weather, 0.0)
        service.create(named("one"), 0.0)
        return [(event.detail["status"], event.due) for event in service.advance(LONG)]

    assert events(1) == [
        ("Submitted", 0.0),
        *((status, LONG) for status in ("Validating", "Scheduled", "InProgress", "Completed")),
    ]
    assert events(1, drop_events=1.0) == []
    assert len(events(1, double_events=1.0)) == 10
    late = events(1, late_events_seconds=30.0)
    assert late == events(1, late_events_seconds=30.0) != events(2, late_events_seconds=30.0)
    assert sorted(late, key=lambda event: event[1]) != late  # reordered
    assert 0 < len(events(1, drop_events=0.5)) < 5


def test_a_job_that_is_not_heard_of_sends_no_event() -> None:
    service = bedrock()
    service.change_weather({"lose": {MODEL: ["unheard"]}, "double_events": 1.0}, 0.0)
    with pytest.raises(Lost):
        service.create(named("silent"), 0.0)
    assert service.advance(LONG) == []
    assert service.list_jobs({}, LONG)["invocationJobSummaries"][0]["status"] == "Completed"


def test_the_seed_decides_and_not_the_order_of_calls() -> None:
    def run(names: list[str]) -> dict[str, list[float]]:
        service = bedrock(seed=7)
        for name in names:
            service.create(named(name), 0.0)
        return {job.name: [due for due, _ in job.plan] for job in service._jobs}

    assert run(["a", "b", "c"]) == run(["c", "b", "a"])


def test_losses_are_used_up_by_calls_that_would_be_taken() -> None:
    service = bedrock()
    service.change_weather(
        {"lose": {MODEL: ["unmade"]}, "refuse": {"what": "account", "seconds": 10}}, 0.0
    )
    with pytest.raises(Refusal):
        service.create(named("a"), 0.0)
    assert service.create(named("other", modelId="amazon.nova-lite-v1:0"), 10.0)
    with pytest.raises(Lost):
        service.create(named("a"), 10.0)
    assert service.create(named("a"), 10.0)
