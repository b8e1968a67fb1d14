"""A hint may come from anybody: what it says is checked, and what it is not changes nothing."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bbq.services.scheduler.hints import JobHint, ModelHint, Report, alias_of, parse
from bbq.shared.due import at_minute
from bbq.shared.models import Model
from tests.support.payloads import BEDROCK_EVENT, bedrock_event

JOB = "a" * 26
ARN = "arn:aws:bedrock:us-east-1:123456789012:model-invocation-job/abcdefghwxyz"


def read(body: object, source: str = "aws.bedrock") -> object:
    text = body if isinstance(body, str) else json.dumps(body)
    return parse(text, deployment="bbq", source=source, account="123456789012", region="us-east-1")


def test_the_documented_event_of_a_strangers_job_is_a_report_of_nobody_of_ours() -> None:
    found = read(BEDROCK_EVENT)
    assert isinstance(found, Report)
    assert (found.arn, found.status, found.job, found.attempt) == (ARN, "Completed", None, None)


@pytest.mark.parametrize(
    "time", ["Wed Aug 28 22:58:30 UTC 2024", "2024-08-28T22:58:30Z", "", None, 7]
)
def test_no_format_of_time_matters(time: object) -> None:
    assert isinstance(read({**BEDROCK_EVENT, "time": time}), Report)


def test_an_event_of_ours_names_its_job_and_attempt() -> None:
    found = read(bedrock_event(batchJobName=f"bbq-{JOB}-2", status="Failed", failureMessage="no"))
    assert isinstance(found, Report)
    assert (found.job, found.attempt, found.status, found.message) == (JOB, 2, "Failed", "no")


@pytest.mark.parametrize(
    "change",
    [
        {"status": "Melted"},
        {"status": ["Completed"]},
        {"batchJobArn": ""},
        {"batchJobArn": ARN.replace("123456789012", "999999999999")},
        {"batchJobArn": ARN.replace("us-east-1", "eu-west-1")},
        {"batchJobArn": ARN + "x"},
        {"batchJobArn": ARN + "\n"},
        {"batchJobArn": {"S": ARN}},
    ],
)
def test_a_wrong_account_region_arn_or_status_is_no_hint(change: dict[str, object]) -> None:
    event = bedrock_event()
    event["detail"].update(change)
    assert read(event) is None


@pytest.mark.parametrize(
    "event",
    [
        {**BEDROCK_EVENT, "source": "my.app"},
        {**BEDROCK_EVENT, "account": "999999999999"},
        {**BEDROCK_EVENT, "account": 123456789012},
        {**BEDROCK_EVENT, "region": "eu-west-1"},
        {name: value for name, value in BEDROCK_EVENT.items() if name != "account"},
        {**BEDROCK_EVENT, "detail-type": "Model Customization Job State Change"},
        {**BEDROCK_EVENT, "detail": None},
        {**BEDROCK_EVENT, "detail": []},
        {"detail-type": None},
    ],
)
def test_a_lookalike_event_is_no_hint(event: dict[str, object]) -> None:
    assert read(event) is None


def test_a_timer_names_a_job_and_its_attempt() -> None:
    due = at_minute(29_000_000)
    assert read({"job": JOB, "attempt": 1, "due": due.isoformat()}) == JobHint(
        job=JOB, attempt=1, timer=True
    )


@pytest.mark.parametrize("attempt", [None, "1", -1, 1000, 1.5, [1]])
def test_an_attempt_that_is_none_is_nobodys(attempt: object) -> None:
    assert read({"job": JOB, "attempt": attempt}) == JobHint(job=JOB, attempt=0)


@pytest.mark.parametrize("alias", ["all", "haiku", "a-1"])
def test_a_wake_up_names_a_model_or_all(alias: str) -> None:
    assert read({"wake": alias}) == ModelHint(alias=alias)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "null",
        "7",
        "[]",
        "{",
        "{}",
        '"all"',
        '{"wake": 1}',
        '{"wake": "No Such"}',
        '{"job": "x"}',
        '{"job": {}}',
        "[" * 100_000,
        '{"wake": "a' + "a" * 300_000 + '"}',
        '{"job": "' + "A" * 26 + '"}',
    ],
)
def test_garbage_is_no_hint(body: str) -> None:
    assert read(body) is None


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda c: st.lists(c) | st.dictionaries(st.text(), c),
    )
)
def test_nothing_that_is_json_raises(value: object) -> None:
    for body in (
        value,
        {"detail-type": value, "detail": value},
        {"job": value, "due": value},
        {"wake": value},
    ):
        read(body)


@pytest.mark.parametrize(
    ("model_id", "alias"),
    [
        ("amazon.nova-lite-v1:0", "nova"),
        ("arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0", "nova"),
        ("arn:aws:bedrock:us-east-1:1:inference-profile/us.anthropic.haiku", "haiku"),
        ("anthropic.haiku", None),
        ("", None),
    ],
)
def test_a_model_id_is_matched_as_an_id_or_as_an_arn(model_id: str, alias: str | None) -> None:
    ids = {"nova": "amazon.nova-lite-v1:0", "haiku": "us.anthropic.haiku"}
    models = {name: Model(alias=name, model_id=known, limit=1) for name, known in ids.items()}
    assert alias_of(model_id, models) == alias
