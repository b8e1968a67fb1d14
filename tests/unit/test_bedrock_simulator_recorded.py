"""The simulator's answers beside those that were recorded from AWS (tests/recorded): the same
fields, no others, in their order.

On a virtual clock, with the recorded requests at the recorded times.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from local.bedrock_simulator.errors import BedrockError
from local.bedrock_simulator.events import event_entry
from local.bedrock_simulator.faults import Faults
from local.bedrock_simulator.jobs import Inspection, Settings
from local.bedrock_simulator.rules import Bedrock
from tests.support.recorded import ARN, recorded, row, shape

ACCOUNT = "111122223333"
COUNTS = ["totalRecordCount", "processedRecordCount", "successRecordCount", "errorRecordCount"]
NOON = datetime(2026, 3, 13, 12, tzinfo=UTC)
DAY = timedelta(hours=24)


def bedrock(faults: Faults = Faults(), records: int = 100, **settings: Any) -> Bedrock:  # noqa: B008 - frozen
    found = Inspection(records=records, largest_file_records=records)
    return Bedrock(Settings(account=ACCOUNT, **settings), faults, inspect=lambda _: found)


def request(**changes: Any) -> dict[str, Any]:
    return {**recorded("create")["request"], **changes}


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def sent(answer: Any) -> Any:
    """As it travels: timestamps in text."""
    return json.loads(
        json.dumps(
            answer, default=lambda at: at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        )
    )


def until(rules: Bedrock, status: str, now: datetime) -> datetime:
    """Let the only job go on until it has this status; when that is."""
    (job,) = rules.jobs.values()
    while job.status != status:
        due = rules.next_change_at()
        assert due is not None, f"it stays {job.status}"
        now = max(now, due)
        rules.advance(now)
    return now


def refused(act: Any) -> BedrockError:
    with pytest.raises(BedrockError) as caught:
        act()
    return caught.value


def says(error: str, row: dict[str, Any]) -> bool:
    """Whether a text is the recorded one, as far as that is known."""
    return (
        error == row.get("message", error)
        and error.startswith(row.get("message_begins", ""))
        and row.get("message_contains", row.get("Message_contains", "")) in error
    )


def test_get_of_a_job_that_is_being_stopped_is_the_recorded_answer() -> None:
    answer = recorded("get")["answers"][0]["answer"]
    rules = bedrock()
    submitted = moment(answer["submitTime"])
    arn = rules.create(request(clientRequestToken=answer["clientRequestToken"]), submitted)
    rules.stop(arn, moment(answer["lastModifiedTime"]))
    found = sent(rules.get(arn, submitted + timedelta(seconds=1)))
    # These the client of that day did not know; the type was in List's answers nine days later.
    assert found.pop("modelInvocationType") == "InvokeModel"
    assert [found.pop(name) for name in COUNTS] == [0, 0, 0, 0]
    assert list(found.items()) == list({**answer, "jobArn": arn}.items())
    assert shape(found) == shape(answer)


def summaries() -> list[dict[str, Any]]:
    """The simulator's List after the recorded jobs were made at their times, newest first as
    recorded.
    """
    wanted = recorded("list")["answer"]["invocationJobSummaries"]
    rules = bedrock(records=1, stage_seconds=(0.0, 134.0))
    for job in reversed(wanted):
        began, changed = moment(job["submitTime"]), moment(job["lastModifiedTime"])
        rules.advance(began)
        arn = rules.create(request(jobName=job["jobName"]), began)
        if job["status"] == "Stopped":
            rules.stop(arn, changed - timedelta(seconds=1))
        if job["status"] != "Submitted":
            rules.advance(changed + timedelta(minutes=5))
    listed = sent(rules.list({}, moment(wanted[0]["submitTime"])))
    assert list(listed) == ["invocationJobSummaries"]
    return listed["invocationJobSummaries"]  # type: ignore[no-any-return] # it came through JSON


def test_a_summary_of_list_has_the_recorded_fields_in_their_order_and_no_others() -> None:
    wanted, found = recorded("list"), summaries()
    for ours, theirs in zip(found, wanted["answer"]["invocationJobSummaries"], strict=True):
        assert shape(ours) == shape(theirs)
        for name in set(theirs) - {"jobArn", "lastModifiedTime", "endTime"}:
            assert ours[name] == theirs[name]
        assert not set(wanted["absent_in_every_summary"]) & set(ours)
        assert not set(ours["inputDataConfig"]["s3InputDataConfig"]) - {"s3Uri", "s3BucketOwner"}


def test_no_job_of_any_end_has_a_field_in_list_that_was_never_recorded() -> None:
    columns = {*recorded("list-2025")["columns"], "jobExpirationTime", "modelInvocationType"}
    for faults in (Faults(), Faults(job_failure=1), Faults(job_partial=1), Faults(job_expiry=1)):
        rules = bedrock(faults)
        rules.create(
            request(
                clientRequestToken="token",
                vpcConfig={"subnetIds": ["s-1"], "securityGroupIds": ["sg-1"]},
            ),
            NOON,
        )
        now = NOON
        while (due := rules.next_change_at()) is not None:
            now = max(now, due)
            rules.advance(now)
            (job,) = rules.list({}, now)["invocationJobSummaries"]
            assert set(job) <= columns, job["status"]


def test_what_list_leaves_out_get_tells() -> None:
    rules = bedrock(Faults(job_failure=1))
    vpc = {"subnetIds": ["s-1"], "securityGroupIds": ["sg-1"]}
    arn = rules.create(request(clientRequestToken="token", vpcConfig=vpc), NOON)
    now = until(rules, "Failed", NOON)
    (listed,), found = rules.list({}, now)["invocationJobSummaries"], rules.get(arn, now)
    assert set(found) - set(listed) == {"clientRequestToken", "message", "vpcConfig", *COUNTS}
    assert {name: found[name] for name in listed} == listed


def test_an_event_has_the_fields_that_were_seen_and_those_that_are_only_documented() -> None:
    rules = bedrock()
    rules.create(request(), NOON)
    (change,) = rules.advance(NOON)
    entry = event_entry(change, rules.settings, "aws.bedrock", Faults())
    theirs, detail = recorded("event"), json.loads(entry["Detail"])
    seen = theirs["seen_in_real_events"]
    assert (entry["DetailType"], entry["Source"]) == (seen["detail-type"], seen["source"])
    assert set(detail) - set(seen["detail"]) == set(theirs["documented_only"]) - {
        "the format of time"
    }
    assert shape({name: detail[name] for name in seen["detail"]}) == shape(seen["detail"])


def test_what_was_sent_is_answered_as_it_was_sent() -> None:
    rules = bedrock()
    asked = request(
        timeoutDurationInHours=48,
        modelInvocationType="Converse",
        inputDataConfig={
            "s3InputDataConfig": {
                "s3Uri": "s3://b-1/a.jsonl",
                "s3InputFormat": "JSONL",
                "s3BucketOwner": "1" * 12,
            }
        },
        outputDataConfig={
            "s3OutputDataConfig": {"s3Uri": "s3://b-1/out/", "s3EncryptionKeyId": "alias/a"}
        },
    )
    job = rules.get(rules.create(asked, NOON), NOON)
    assert (job["timeoutDurationInHours"], job["modelInvocationType"]) == (48, "Converse")
    assert job["jobExpirationTime"] - job["submitTime"] == 2 * DAY
    assert job["inputDataConfig"] == asked["inputDataConfig"]
    assert job["outputDataConfig"]["s3OutputDataConfig"] == {
        "s3Uri": "s3://b-1/out/",
        "s3EncryptionKeyId": "alias/a",
        "s3BucketOwner": ACCOUNT,
    }


PROFILES = f"arn:aws:bedrock:us-east-1:{ACCOUNT}:inference-profile"
OWN_PROFILE = f"arn:aws:bedrock:us-east-1:{ACCOUNT}:application-inference-profile/abc"


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        (
            "amazon.nova-micro-v1:0",
            "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-micro-v1:0",
        ),
        ("us.amazon.nova-2-lite-v1:0", f"{PROFILES}/us.amazon.nova-2-lite-v1:0"),
        ("global.anthropic.claude-opus-5", f"{PROFILES}/global.anthropic.claude-opus-5"),
        (OWN_PROFILE, OWN_PROFILE),
    ],
)
def test_a_model_is_answered_by_its_full_arn_whatever_was_sent(asked: str, answered: str) -> None:
    rules = bedrock()
    arn = rules.create(request(modelId=asked), NOON)
    assert rules.get(arn, NOON)["modelId"] == answered
    assert rules.list({}, NOON)["invocationJobSummaries"][0]["modelId"] == answered


@pytest.mark.parametrize(
    ("faults", "status"), [(Faults(), "Completed"), (Faults(job_failure=1), "Failed")]
)
def test_the_end_is_shortly_before_the_status_changes(faults: Faults, status: str) -> None:
    rules = bedrock(faults, stage_seconds=(30.0, 30.0), job_seconds=(60.0, 60.0))
    arn = rules.create(request(), NOON)
    job = rules.get(arn, until(rules, status, NOON))
    assert 0.028 <= (job["lastModifiedTime"] - job["endTime"]).total_seconds() <= 0.9


def test_a_stopped_job_has_no_end() -> None:
    rules = bedrock()
    arn = rules.create(request(), NOON)
    rules.stop(arn, NOON)
    assert "endTime" not in rules.get(arn, until(rules, "Stopped", NOON))


def test_an_expired_job_ended_soon_although_its_status_changes_a_day_later() -> None:
    minutes = 120.0  # in each stage; so validated after four minutes, as recorded
    rules = bedrock(stage_seconds=(minutes, minutes))
    arn = rules.create(request(), NOON)
    (job,) = rules.jobs.values()
    job.plan.seconds["Scheduled"] = 100 * 3600  # type: ignore[index] # a plan is a dict
    found = rules.get(arn, until(rules, "Expired", NOON))
    ends = [timedelta(minutes=3, seconds=45), timedelta(minutes=4, seconds=1)]
    assert [row["endTime_minus_submitTime"] for row in recorded("list-2025")["expired"]][:2] == [
        "0:03:45",
        "0:04:01",
    ]
    assert ends[0] <= found["endTime"] - found["submitTime"] <= ends[1]
    assert (
        DAY + timedelta(seconds=16)
        <= found["lastModifiedTime"] - found["submitTime"]
        <= DAY + timedelta(seconds=41)
    )


def test_too_few_records_are_taken_by_create_and_fail_the_job_with_the_recorded_words() -> None:
    failed, validating, _ = recorded("get-counts")["cases"]
    rules = bedrock(records=1)
    arn = rules.create(request(), NOON)
    now = until(rules, "Validating", NOON)
    assert rules.get(arn, now)["totalRecordCount"] == validating["totalRecordCount"] == 0
    job = rules.get(arn, until(rules, "Failed", now))
    assert job["message"] == failed["message"].replace(ARN, arn)
    assert [job[name] for name in COUNTS] == [failed[name] for name in COUNTS] == [0, 0, 0, 0]
    assert (
        row("failed-messages", "too-few-records")["message"].replace("(2)", "(1)")
        == failed["message"]
    )


def test_a_completed_job_counts_all_of_its_records() -> None:
    rules = bedrock()
    arn = rules.create(request(), NOON)
    completed = recorded("get-counts")["cases"][2]
    job = rules.get(arn, until(rules, "Completed", NOON))
    assert [job[name] for name in COUNTS] == [completed[name] for name in COUNTS]


def test_a_client_of_before_april_2026_shows_no_counts() -> None:
    rules = bedrock(Faults(get_without_counts=True))
    assert not set(COUNTS) & set(rules.get(rules.create(request(), NOON), NOON))


@pytest.mark.parametrize("kind", ["id", "name"])
def test_get_and_stop_take_the_full_arn_only(kind: str) -> None:
    rules = bedrock()
    arn = rules.create(request(), NOON)
    identifier = {"id": arn[-12:], "name": request()["jobName"]}[kind]
    theirs = row("errors-get", kind)
    for ask in (rules.get, rules.stop):
        error = refused(lambda ask=ask: ask(identifier, NOON))
        assert (error.code, error.http_status, error.message) == (
            theirs["code"],
            theirs["http_status"],
            theirs["message"],
        )


def test_a_job_that_is_not_there_is_not_found() -> None:
    rules = bedrock()
    theirs, stopped = row("errors-get", "no job"), recorded("stop")["cases"][1]
    for ask in (rules.get, rules.stop):
        error = refused(lambda ask=ask: ask(ARN, NOON))
        assert (error.code, error.http_status, error.message) == (
            theirs["code"],
            theirs["http_status"],
            theirs["message"],
        )
        assert {"Code": error.code, "Message": error.message} == stopped["error"]


def test_stop_of_an_ended_job_is_refused_as_recorded() -> None:
    rules = bedrock()
    arn = rules.create(request(), NOON)
    now = until(rules, "Completed", NOON)
    theirs = recorded("stop")["cases"][2]
    error = refused(lambda: rules.stop(arn, now))
    assert (error.code, error.http_status) == (theirs["error"]["Code"], theirs["http_status"])
    assert says(error.message, theirs["error"])


@pytest.mark.parametrize(
    ("kind", "theirs"),
    [
        ("pass-role", "pass-role"),
        ("model-access", "model-access"),
        ("not-supported", "not-supported"),
        ("not-supported-here", "not-supported-here"),
        ("account", "account"),
        ("other-region", "other-region"),
        ("legacy", "legacy"),
        ("legacy-not-found", "legacy"),
    ],
)
def test_create_is_refused_for_the_accounts_reasons_in_the_recorded_words(
    kind: str, theirs: str
) -> None:
    known = row("errors-create", theirs)
    rules = bedrock(Faults(refuse_create=kind), region="us-west-2")
    error = refused(lambda: rules.create(request(modelId="amazon.nova-lite-v1:0"), NOON))
    assert (error.code, error.http_status) in zip(known["codes"], known["http_status"], strict=True)
    if kind == "pass-role":
        known["message"] = known["message"].replace(
            "example-caller/example-session", "caller/session"
        )
        known["message"] = known["message"].replace("example-missing-role", "example-batch-role")
    assert says(error.message, known)
    assert not rules.jobs


def test_a_full_quota_and_a_name_in_use_are_refused_in_the_recorded_words() -> None:
    full = row("errors-create", "quota")
    error = refused(lambda: bedrock(quota=0).create(request(), NOON))
    assert (error.code, error.http_status) == (full["codes"][0], full["http_status"][0])
    assert says(error.message, full)
    in_use = row("errors-create", "name-in-use")
    for code in in_use["codes"]:
        rules = bedrock(Faults(name_in_use_error=code))
        rules.create(request(), NOON)
        error = refused(lambda rules=rules: rules.create(request(), NOON))
        assert (error.code, error.http_status, error.message) == (code, 400, in_use["message"])


@pytest.mark.parametrize("kind", ["get-object", "list-bucket"])
def test_every_job_may_fail_while_validating_in_the_recorded_words(kind: str) -> None:
    rules = bedrock(Faults(fail_validating=kind))
    arn = rules.create(request(), NOON)
    job = rules.get(arn, until(rules, "Failed", NOON))
    assert says(job["message"], row("failed-messages", kind))
    assert [job[name] for name in COUNTS] == [0, 0, 0, 0]
    assert "InProgress" not in rules.jobs[arn[-12:]].times


@pytest.mark.parametrize("kind", ["invoke-model", "marketplace"])
def test_every_job_may_fail_at_the_end_of_its_processing_in_the_recorded_words(kind: str) -> None:
    rules = bedrock(Faults(fail_processing=kind), job_seconds=(480.0, 480.0))
    arn = rules.create(request(), NOON)
    job = rules.get(arn, until(rules, "Failed", NOON))
    assert says(job["message"], row("failed-messages", kind))
    assert kind == "invoke-model" or request()["roleArn"] in job["message"]
    assert (job["processedRecordCount"], job["successRecordCount"]) == (0, 0)
    assert job["lastModifiedTime"] - job["submitTime"] >= timedelta(minutes=8)
