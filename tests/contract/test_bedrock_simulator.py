"""botocore's own client against the simulator over HTTP: what it sends is understood, what it gets
is what it expects.

S3 is moto's, in this process; the event bus is a list. Ports are free ones.
"""

from __future__ import annotations

import json
import random
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    HTTPClientError,
    ReadTimeoutError,
)
from moto import mock_aws

from local.bedrock_simulator.driver import Driver
from local.bedrock_simulator.events import Events
from local.bedrock_simulator.faults import Faults
from local.bedrock_simulator.jobs import TERMINAL, Settings
from local.bedrock_simulator.server import App, serve
from tests.support.recorded import ARN, recorded, row, shape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mypy_boto3_bedrock import BedrockClient
    from mypy_boto3_events.type_defs import PutEventsRequestEntryTypeDef
    from mypy_boto3_s3 import S3Client

MODEL = "anthropic.claude-3-haiku-20240307-v1:0"
# One session: reading a service's model takes longer than most of these tests.
SESSION = boto3.Session(
    aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1"
)
ROOT = Path(__file__).parents[2]
READ_TIMEOUT_SECONDS = 3
LIFE = ["Submitted", "Validating", "Scheduled", "InProgress", "Completed"]


@dataclass(frozen=True)
class Simulator:
    url: str
    client: BedrockClient
    s3: S3Client
    events: list[PutEventsRequestEntryTypeDef]

    def create(self, name: str = "job-1", key: str = "in/a.jsonl", **changes: Any) -> str:
        arguments: dict[str, Any] = {
            "jobName": name,
            "clientRequestToken": f"token-{name}",
            "modelId": MODEL,
            "roleArn": "arn:aws:iam::000000000000:role/batch",
            "inputDataConfig": {"s3InputDataConfig": {"s3Uri": f"s3://bucket/{key}"}},
            "outputDataConfig": {"s3OutputDataConfig": {"s3Uri": "s3://bucket/out/"}},
            **changes,
        }
        return self.client.create_model_invocation_job(**arguments)["jobArn"]

    def admin(self, method: str, path: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        asked = urllib.request.Request(f"{self.url}/_simulator/{path}", data, method=method)
        with urllib.request.urlopen(asked, timeout=60) as answer:
            return json.load(answer)

    def ended(self, arn: str) -> Any:
        wait_until(
            lambda: self.client.get_model_invocation_job(jobIdentifier=arn)["status"] in TERMINAL
        )
        return self.client.get_model_invocation_job(jobIdentifier=arn)

    def statuses_sent(self) -> list[str]:
        return [json.loads(event["Detail"])["status"] for event in list(self.events)]

    def lines(self, key: str) -> list[Any]:
        body = self.s3.get_object(Bucket="bucket", Key=key)["Body"].read().decode()
        return [json.loads(line) for line in body.split("\n") if line]

    def keys(self, prefix: str) -> list[str]:
        return [
            found["Key"]
            for found in self.s3.list_objects_v2(Bucket="bucket", Prefix=prefix).get("Contents", [])
        ]

    def asked(self, path: str, body: object = None) -> tuple[int, str | None, Any]:
        """HTTP status, code of the error, and body, of a path as it is sent: GET, or with a `body`
        POST.
        """
        data = None if body is None else json.dumps(body).encode()
        try:
            with urllib.request.urlopen(
                urllib.request.Request(f"{self.url}{path}", data), timeout=60
            ) as answer:
                return answer.status, None, json.load(answer)
        except urllib.error.HTTPError as refused:
            with closing(refused):
                return refused.code, refused.headers["x-amzn-errortype"], json.load(refused)

    def put_records(self, key: str, count: int, **record: Any) -> None:
        """`recordId=None`: without one."""
        records = ({"recordId": f"r{n}", "modelInput": {"n": n}, **record} for n in range(count))
        lines = (
            json.dumps({name: value for name, value in each.items() if value is not None}) + "\n"
            for each in records
        )
        self.s3.put_object(Bucket="bucket", Key=key, Body="".join(lines).encode())


def wait_until(true: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


@contextmanager
def simulator(**changes: Any) -> Iterator[Simulator]:
    quick: dict[str, Any] = {
        "quota": 3,
        "stage_seconds": (0.0, 0.01),
        "job_seconds": (0.05, 0.1),
        "stopping_seconds": (0.0, 0.01),
    }
    settings = Settings(**(quick | changes))
    sent: list[PutEventsRequestEntryTypeDef] = []

    def bus(entries: list[PutEventsRequestEntryTypeDef]) -> int:
        sent.extend(entries)
        return 0

    with mock_aws(config={"core": {"passthrough": {"urls": [r"http://127\.0\.0\.1"]}}}):
        s3 = SESSION.client("s3")
        s3.create_bucket(Bucket="bucket")
        events = Events(settings, "test.bedrock", lambda: bus, random.Random(1))
        driver = Driver(settings, Faults(), lambda _: s3, events)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            server = serve(App(driver, events, random.Random(1)), listener)
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            config = Config(retries={"total_max_attempts": 1}, read_timeout=READ_TIMEOUT_SECONDS)
            client = SESSION.client("bedrock", endpoint_url=url, config=config)
            try:
                running = Simulator(url, client, s3, sent)
                running.put_records("in/a.jsonl", 120)
                yield running
            finally:
                server.shutdown()
                thread.join()
                driver.close()
                events.close()


@pytest.fixture
def bedrock() -> Iterator[Simulator]:
    with simulator() as running:
        yield running


def code(refused: pytest.ExceptionInfo[ClientError]) -> tuple[str, int]:
    answer = refused.value.response
    assert answer["Error"]["Message"]
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]


def test_a_job_runs_to_its_end_and_get_tells_all_that_the_model_knows(bedrock: Simulator) -> None:
    arn = bedrock.create(timeoutDurationInHours=48)
    job = bedrock.ended(arn)
    assert (job["jobArn"], job["status"], job["jobName"]) == (arn, "Completed", "job-1")
    assert job["clientRequestToken"] == "token-job-1"
    assert job["submitTime"] < job["endTime"] < job["lastModifiedTime"] < datetime.now(UTC)
    assert (job["jobExpirationTime"] - job["submitTime"]).total_seconds() == 48 * 3600
    counts = [job[f"{kind}RecordCount"] for kind in ("total", "processed", "success", "error")]
    assert counts == [120, 120, 120, 0]


def test_the_output_holds_every_record_once_in_another_order_with_its_manifest(
    bedrock: Simulator,
) -> None:
    bedrock.admin("POST", "faults", {"record_error": 0.3})
    arn = bedrock.create()
    job = bedrock.ended(arn)
    lines = bedrock.lines(f"out/{arn[-12:]}/a.jsonl.out")
    ids = [line["recordId"] for line in lines]
    assert ids != sorted(ids, key=lambda name: int(name[1:]))
    assert {(line["recordId"], line["modelInput"]["n"]) for line in lines} == {
        (f"r{n}", n) for n in range(120)
    }
    failed = [line for line in lines if "error" in line]
    assert all(("error" in line) != ("modelOutput" in line) for line in lines)
    # Keys, their order and types as in the line of a real output; the model here is Claude, whose
    # answers are another's.
    theirs = {
        row["model"]: row["line"] for row in recorded("output-lines")["rows"] if "line" in row
    }
    claude, video = (
        theirs["anthropic.claude-3-haiku-20240307-v1:0"],
        theirs["amazon.nova-lite-v1:0 (video by S3 URI), job Completed"],
    )
    answered = next(line for line in lines if "modelOutput" in line)
    assert list(answered) == list(claude)
    assert shape(answered["modelOutput"]) == shape(claude["modelOutput"])
    assert list(failed[0]) == list(video)
    assert shape(failed[0]["error"]) == shape(video["error"])
    assert 0 < len(failed) == job["errorRecordCount"] < 120
    place = recorded("manifest")
    key = (
        place["key"]
        .replace("<output s3Uri>", "out")
        .replace("<last 12 characters of the job ARN>", arn[-12:])
    )
    (manifest,) = bedrock.lines(key)
    assert shape(manifest) == shape(place["content"])
    assert bedrock.keys(f"out/{arn[-12:]}/") == [f"out/{arn[-12:]}/a.jsonl.out", key]
    tokens = {name: manifest.pop(name) for name in ("inputTokenCount", "outputTokenCount")}
    assert min(tokens.values()) > 0
    assert manifest == {
        "totalRecordCount": 120,
        "processedRecordCount": 120,
        "successRecordCount": 120 - len(failed),
        "errorRecordCount": len(failed),
    }


def test_the_output_is_there_before_the_job_is_seen_to_have_ended() -> None:
    with simulator(job_seconds=(0.0, 0.0), stage_seconds=(0.0, 0.0), quota=20) as bedrock:
        for number in range(10):
            arn = bedrock.create(f"job-{number}")
            assert bedrock.ended(arn)["status"] == "Completed"
            assert bedrock.lines(f"out/{arn[-12:]}/manifest.json.out")


def test_a_folder_is_read_whole_and_records_without_an_id_get_one(bedrock: Simulator) -> None:
    for name in ("a", "b"):
        bedrock.put_records(f"folder/{name}.jsonl", 60, recordId=None)
    bedrock.put_records("folder-of-others/c.jsonl", 60)
    arn = bedrock.create(key="folder")
    assert bedrock.ended(arn)["successRecordCount"] == 120
    lines = bedrock.lines(f"out/{arn[-12:]}/a.jsonl.out")
    assert len({line["recordId"] for line in lines}) == len(lines) == 60


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (
            b'{"modelInput":{}}\n' * 99,
            "contains less records (99) than the required minimum of: 100",
        ),
        (b'{"modelInput":{}}\n' * 100 + b"{\n", "Line 101 of bad.jsonl is not valid JSON"),
        (b'{"modelInput":{}}\n' * 100 + b"[]\n", "Line 101 of bad.jsonl is not a JSON object"),
        (b'{"modelInput":"\xff"}\n' * 100, "Line 1 of bad.jsonl is not UTF-8"),
        (b'{"modelInput":"text"}\n' * 100, "Line 1 of bad.jsonl modelInput is not an object"),
        (
            b"\xef\xbb\xbf" + b'{"modelInput":{}}\n' * 100,
            "bad.jsonl: the file begins with a byte order mark",
        ),
        (b"", "contains less records (0) than the required minimum of: 100"),
        (None, "GetObject"),
    ],
)
def test_unfit_input_fails_the_job_with_its_reason(
    bedrock: Simulator, content: bytes | None, reason: str
) -> None:
    if content is not None:
        bedrock.s3.put_object(Bucket="bucket", Key="in/bad.jsonl", Body=content)
    job = bedrock.ended(bedrock.create(key="in/bad.jsonl"))
    assert job["status"] == "Failed"
    assert reason in job["message"]


def test_a_bucket_that_cannot_be_written_fails_the_job(bedrock: Simulator) -> None:
    job = bedrock.ended(
        bedrock.create(
            outputDataConfig={"s3OutputDataConfig": {"s3Uri": "s3://no-such-bucket/out"}}
        )
    )
    assert (job["status"], "write the output" in job["message"]) == ("Failed", True)


def test_each_status_is_announced_once_and_in_order(bedrock: Simulator) -> None:
    arn = bedrock.create()
    wait_until(lambda: len(bedrock.events) >= 5)
    assert bedrock.statuses_sent() == LIFE
    assert {(event["Source"], event["DetailType"]) for event in bedrock.events} == {
        ("test.bedrock", "Batch Inference Job State Change")
    }
    assert all(event["Resources"] == [arn] for event in bedrock.events)


@pytest.mark.parametrize(
    ("faults", "expected"),
    [
        ({"event_drop": 1}, []),
        ({"event_duplicate": 1}, sorted(LIFE * 2)),
        ({"event_delay": 1, "event_delay_seconds": [3, 3]}, sorted(LIFE)),
    ],
)
def test_events_get_lost_doubled_and_late_on_request(
    bedrock: Simulator, faults: dict[str, Any], expected: list[str]
) -> None:
    bedrock.admin("POST", "faults", faults)
    bedrock.ended(bedrock.create())
    if "event_delay" in faults:
        assert "Completed" not in bedrock.statuses_sent()
    wait_until(lambda: len(bedrock.events) >= len(expected))
    time.sleep(0.05)
    assert sorted(bedrock.statuses_sent()) == expected


def test_events_overtake_each_other_on_request() -> None:
    with simulator(quota=10, job_seconds=(0.0, 0.01)) as bedrock:
        bedrock.admin("POST", "faults", {"event_reorder": 0.5, "event_reorder_seconds": [1, 3]})
        bedrock.create()
        wait_until(lambda: len(bedrock.events) >= 5)
        assert bedrock.statuses_sent() != LIFE
        assert sorted(bedrock.statuses_sent()) == sorted(LIFE)


def test_the_paginator_sees_every_job_once(bedrock: Simulator) -> None:
    bedrock.admin("POST", "quotas", {"model": MODEL, "limit": 100})
    arns = {bedrock.create(f"job-{number}") for number in range(25)}
    pages = list(
        bedrock.client.get_paginator("list_model_invocation_jobs").paginate(
            PaginationConfig={"PageSize": 10}
        )
    )
    seen = [job["jobArn"] for page in pages for job in page["invocationJobSummaries"]]
    assert (len(pages), len(seen), set(seen)) == (3, 25, arns)


def test_a_list_is_filtered_by_what_the_client_sends() -> None:
    with simulator(job_seconds=(60.0, 60.0)) as bedrock:
        bedrock.client.stop_model_invocation_job(jobIdentifier=(early := bedrock.create("early")))
        bedrock.ended(early)
        between = datetime.now(UTC)
        time.sleep(0.01)
        bedrock.create("late")

        def names(**asked: Any) -> list[str]:
            jobs = bedrock.client.list_model_invocation_jobs(**asked)["invocationJobSummaries"]
            return [job["jobName"] for job in jobs]

        assert names() == ["late", "early"]
        assert names(sortOrder="Ascending", sortBy="CreationTime") == ["early", "late"]
        assert names(submitTimeAfter=between) == ["late"]
        assert names(submitTimeBefore=between) == ["early"]
        assert names(statusEquals="Stopped") == ["early"]
        assert names(nameContains="lat") == ["late"]
        assert names(maxResults=1) == ["late"]


@pytest.mark.parametrize(
    "asked",
    [
        {"maxResults": 1001},
        {"statusEquals": "Foo"},
        {"nextToken": "foo"},
        {"sortOrder": "Up"},
        {"nameContains": "a_b"},
    ],
)
def test_a_list_with_bad_arguments_is_a_validation_error(
    bedrock: Simulator, asked: dict[str, Any]
) -> None:
    with pytest.raises(ClientError) as refused:
        bedrock.client.list_model_invocation_jobs(**asked)
    assert code(refused) == ("ValidationException", 400)


def test_a_request_the_client_lets_through_is_refused_by_pattern(bedrock: Simulator) -> None:
    with pytest.raises(bedrock.client.exceptions.ValidationException, match="s3Uri"):
        bedrock.create(key="dt=2026-01-01/a.jsonl")


def test_the_quota_is_refused_with_http_400_and_the_recorded_text(bedrock: Simulator) -> None:
    bedrock.admin("POST", "quotas", {"model": MODEL, "limit": 0})
    with pytest.raises(
        ClientError,
        match="reached the quota for number of concurrent invoke-model jobs in progress",
    ) as refused:
        bedrock.create()
    assert code(refused) == ("ServiceQuotaExceededException", 400)


def test_a_token_is_answered_with_the_first_job_and_a_name_in_use_is_refused(
    bedrock: Simulator,
) -> None:
    arn = bedrock.create()
    assert bedrock.create() == arn
    with pytest.raises(bedrock.client.exceptions.ValidationException, match="currently in use"):
        bedrock.create(clientRequestToken="another")
    bedrock.admin("POST", "faults", {"name_in_use_error": "ConflictException"})
    with pytest.raises(bedrock.client.exceptions.ConflictException):
        bedrock.create(clientRequestToken="another")


def test_stop_stops_a_job_and_a_second_time_is_refused() -> None:
    with simulator(job_seconds=(60.0, 60.0)) as bedrock:
        arn = bedrock.create()
        wait_until(
            lambda: (
                bedrock.client.get_model_invocation_job(jobIdentifier=arn)["status"] == "InProgress"
            )
        )
        bedrock.client.stop_model_invocation_job(jobIdentifier=arn)
        assert bedrock.ended(arn)["status"] == "Stopped"
        with pytest.raises(ClientError, match="State was: Stopped") as refused:
            bedrock.client.stop_model_invocation_job(jobIdentifier=arn)
        assert code(refused) == ("ValidationException", 400)


def test_a_job_that_is_stopped_leaves_the_records_that_were_processed() -> None:
    with simulator(job_seconds=(4.0, 4.0)) as bedrock:
        arn = bedrock.create()
        wait_until(
            lambda: (
                bedrock.client.get_model_invocation_job(jobIdentifier=arn)["processedRecordCount"]
                > 10
            )
        )
        bedrock.client.stop_model_invocation_job(jobIdentifier=arn)
        job = bedrock.ended(arn)
        lines = bedrock.lines(f"out/{arn[-12:]}/a.jsonl.out")
        assert (job["status"], job["totalRecordCount"]) == ("Stopped", 120)
        assert 10 < len(lines) == job["processedRecordCount"] < 120


@pytest.mark.parametrize(
    "name", [".write_access_check_file.tmp", "amazon-bedrock-permission-check"]
)
def test_an_object_that_tries_permissions_may_be_left_in_the_output_place(
    bedrock: Simulator, name: str
) -> None:
    bedrock.ended(bedrock.create())
    assert len(bedrock.keys("out/")) == 2
    bedrock.admin("POST", "faults", {"permission_check_object": name})
    assert bedrock.ended(bedrock.create("job-2"))["status"] == "Completed"
    assert f"out/{name}" in bedrock.keys("out/")
    refused = bedrock.ended(
        bedrock.create(
            "job-3", outputDataConfig={"s3OutputDataConfig": {"s3Uri": "s3://no-such-bucket/out"}}
        )
    )
    assert "Could not validate PutObject permissions" in refused["message"]


def test_an_unknown_job_is_not_found_and_an_id_or_a_path_that_is_not_encoded_is_no_arn(
    bedrock: Simulator,
) -> None:
    for ask in (bedrock.client.get_model_invocation_job, bedrock.client.stop_model_invocation_job):
        for identifier, wanted in (
            (ARN, ("ResourceNotFoundException", 404)),
            (ARN[-12:], ("ValidationException", 400)),
        ):
            with pytest.raises(ClientError) as refused:
                ask(jobIdentifier=identifier)
            assert code(refused) == wanted
    arn = bedrock.create()
    theirs = row("errors-get", "not encoded")
    assert bedrock.asked(f"/model-invocation-job/{arn}")[:2] == (
        theirs["http_status"],
        theirs["code"],
    )
    assert bedrock.asked(f"/model-invocation-job/{quote(arn, safe='')}")[0] == 200


def test_answers_travel_as_recorded() -> None:
    # its input is missing, and must not fail it before it is stopped
    with simulator(stage_seconds=(60.0, 60.0)) as bedrock:
        created, stopped = recorded("create"), recorded("stop")["cases"][0]
        asked = {**created["request"], "clientRequestToken": "token"}  # which botocore adds
        status, _, answer = bedrock.asked("/model-invocation-job", asked)
        assert (status, shape(answer)) == (created["http_status"], shape(created["answer"]))
        arn = answer["jobArn"]
        assert re.fullmatch(
            r"[a-z0-9]{12}",
            arn.removeprefix("arn:aws:bedrock:us-east-1:000000000000:model-invocation-job/"),
        )
        path = f"/model-invocation-job/{quote(arn, safe='')}"
        assert bedrock.asked(f"{path}/stop", {})[::2] == (stopped["http_status"], stopped["answer"])
        job = bedrock.asked(path)[2]
        theirs = recorded("get")["answers"][0]["answer"]
        assert shape({name: job[name] for name in theirs}) == shape(theirs)
        (listed,) = bedrock.asked("/model-invocation-jobs")[2]["invocationJobSummaries"]
        assert not set(recorded("list")["absent_in_every_summary"]) & set(listed)


@pytest.mark.parametrize(
    ("statuses", "sent"),
    [(["Completed", "Failed"], ["Completed"]), (LIFE[1:], LIFE[1:])],
    ids=["ends", "all but the first"],
)
def test_only_events_of_some_statuses_may_be_sent(
    bedrock: Simulator, statuses: list[str], sent: list[str]
) -> None:
    bedrock.admin("POST", "faults", {"event_statuses": statuses})
    bedrock.ended(bedrock.create())
    wait_until(lambda: len(bedrock.events) >= len(sent))
    time.sleep(0.05)
    assert bedrock.statuses_sent() == sent


def test_an_account_may_be_refused_for_a_time(bedrock: Simulator) -> None:
    set_to = bedrock.admin("POST", "faults", {"refuse_create": "account", "for_seconds": 2})
    assert set_to["refuse_create"] == "account"
    with pytest.raises(
        ClientError, match="Your account is not authorized to perform this action"
    ) as refused:
        bedrock.create()
    assert code(refused) == ("ValidationException", 400)
    assert bedrock.client.list_model_invocation_jobs()["invocationJobSummaries"] == []
    wait_until(lambda: bedrock.admin("GET", "faults")["refuse_create"] is None)
    assert bedrock.create()


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("throttle", ("ThrottlingException", 429)),
        ("fail", ("InternalServerException", 500)),
        ("deny", ("AccessDeniedException", 403)),
    ],
)
def test_a_call_is_refused_on_request_and_does_nothing(
    bedrock: Simulator, fault: str, expected: tuple[str, int]
) -> None:
    bedrock.admin("POST", "faults", {fault: 1})
    with pytest.raises(ClientError) as refused:
        bedrock.create()
    assert code(refused) == expected
    assert bedrock.admin("GET", "jobs")["jobs"] == []


def test_a_fault_can_be_kept_to_one_call(bedrock: Simulator) -> None:
    bedrock.admin("POST", "faults", {"throttle": 1, "fault_calls": ["List"]})
    assert bedrock.create()
    with pytest.raises(bedrock.client.exceptions.ThrottlingException):
        bedrock.client.list_model_invocation_jobs()


@pytest.mark.parametrize(
    ("how", "error"),
    [
        ({"timeout_answer": "close", "timeout_seconds": 0}, ConnectionClosedError),
        (
            {"timeout_answer": "close", "timeout_seconds": READ_TIMEOUT_SECONDS + 0.5},
            ReadTimeoutError,
        ),
        ({"timeout_answer": "500", "timeout_seconds": 0}, ClientError),
        (
            {"timeout_answer": "504", "timeout_seconds": 0, "timeout_makes_job": "after"},
            ClientError,
        ),
    ],
)
def test_an_accepted_job_lives_although_its_caller_never_learns_of_it(
    bedrock: Simulator, how: dict[str, Any], error: type[HTTPClientError | ClientError]
) -> None:
    bedrock.admin("POST", "faults", {"accept_then_timeout": 1, **how})
    with pytest.raises(error):
        bedrock.create()
    (job,) = bedrock.client.list_model_invocation_jobs(nameContains="job-1")[
        "invocationJobSummaries"
    ]
    bedrock.admin("POST", "faults", {"accept_then_timeout": 0})
    assert bedrock.create() == job["jobArn"]


def test_jobs_of_others_fill_the_quota_and_announce_their_end(bedrock: Simulator) -> None:
    made = bedrock.admin("POST", "foreign-jobs", {"model": MODEL, "count": 5, "seconds": None})
    assert (len(made["jobArns"]), made["refused"]) == (3, 2)
    with pytest.raises(bedrock.client.exceptions.ServiceQuotaExceededException):
        bedrock.create()
    assert bedrock.admin("DELETE", "foreign-jobs") == {"ended": 3}
    bedrock.create()
    wait_until(lambda: bedrock.statuses_sent().count("Completed") >= 3)
    stats = bedrock.admin("GET", "stats")
    assert stats["largest_alive"][MODEL] == {"ours": 1, "foreign": 3, "total": 3}
    assert (stats["accepted"], stats["refused_by_quota"]) == (1, 1)


def test_the_list_of_jobs_tells_when_each_status_began(bedrock: Simulator) -> None:
    bedrock.ended(bedrock.create())
    (job,) = bedrock.admin("GET", "jobs")["jobs"]
    assert (job["clientRequestToken"], job["modelId"], job["foreign"]) == (
        "token-job-1",
        MODEL,
        False,
    )
    assert list(job["times"]) == LIFE
    for status, moment in job["times"].items():
        assert (
            abs(datetime.fromisoformat(moment).timestamp() - job["epoch_seconds"][status]) < 0.001
        )


def test_a_change_happens_within_milliseconds_of_when_it_is_due() -> None:
    with simulator(job_seconds=(0.3, 0.3), stage_seconds=(0.0, 0.0)) as bedrock:
        bedrock.create()
        # Watched by its events, because a call would do what is due before the clock's thread does.
        wait_until(lambda: "Completed" in bedrock.statuses_sent())
        (job,) = bedrock.admin("GET", "jobs")["jobs"]
        seconds = job["epoch_seconds"]["Completed"] - job["epoch_seconds"]["InProgress"]
        assert 0.29 <= seconds < 5  # a thread may have to wait for the machine


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("faults", {"event_dorp": 1}, "event_drop"),
        ("faults", {"throttle": "often"}, "throttle must be"),
        (
            "faults",
            {"refuse_create": "account", "for_seconds": "long"},
            "seconds must be a number of seconds",
        ),
        ("quotas", {"model": MODEL}, "limit is required"),
        ("foreign-jobs", {"count": 1}, "model is required"),
    ],
)
def test_a_mistaken_administration_request_is_answered_with_a_clear_sentence(
    bedrock: Simulator, path: str, body: dict[str, Any], said: str
) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        bedrock.admin("POST", path, body)
    assert refused.value.code == 400
    with closing(refused.value) as answer:
        assert said in json.load(answer)["message"]
    assert bedrock.admin("GET", "health") == {"status": "ok"}


@pytest.mark.parametrize("more", [[], ["--host", "127.0.0.2"]])
def test_a_taken_port_of_the_host_is_one_sentence_and_exit_code_2(more: list[str]) -> None:
    with socket.create_server(((more or ["", "127.0.0.1"])[1], 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "local.bedrock_simulator", "--port", port, *more]
        ran = subprocess.run(
            command, capture_output=True, text=True, timeout=20, check=False, cwd=ROOT
        )
    assert (ran.returncode, ran.stdout) == (2, "")
    assert (
        ran.stderr.strip()
        == f"Port {port} is in use: stop what listens there, or give another --port."
    )


def test_the_command_serves_until_it_is_terminated() -> None:
    command = [
        sys.executable,
        "-m",
        "local.bedrock_simulator",
        "--port",
        "0",
        "--model-quota",
        f"{MODEL}=0",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[3]
        with urllib.request.urlopen(f"{url}/_simulator/health", timeout=60) as answer:
            assert json.load(answer) == {"status": "ok"}
        process.terminate()
        assert process.wait(timeout=60) == 0
