"""A hint is what is documented, wholly; anything else that anybody may send is none, and raises
nothing.
"""

import json
import re
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bbq.services.scheduler.hints import Hint, JobHint, ModelHint, Report, parse
from bbq.shared.plain import shortened
from tests.support.payloads import BEDROCK_EVENT

# The ten statuses of a batch job: ModelInvocationJobStatus.
STATUSES = [
    "Submitted",
    "Validating",
    "Scheduled",
    "InProgress",
    "Stopping",
    "Completed",
    "PartiallyCompleted",
    "Failed",
    "Stopped",
    "Expired",
]
JOB = "a" * 26
TEXT = st.text(st.characters(), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from(
    [
        f"bbq-{JOB}-1",
        f"bbq-{JOB}-999",
        f"bbq-{JOB}-1000",
        f"bbq-{JOB}-01",
        f"bbq-{JOB}",
        f"other-{JOB}-1",
        "",
    ]
)
HERE = "arn:aws:bedrock:us-east-1:123456789012:model-invocation-job/"
ARNS = st.sampled_from(
    [
        *(
            HERE + end
            for end in (
                "abcdefghwxyz",
                "000000000000",
                "abc",
                "abcdefghwxyz/x",
                "ABCDEFGHWXYZ",
                "abcdefghwxyz\n",
            )
        ),
        f" {HERE}abcdefghwxyz",
        "arn:aws-cn:bedrock:us-east-1:123456789012:model-invocation-job/abcdefghwxyz",
        "arn:aws:bedrock:us-east-2:123456789012:model-invocation-job/abcdefghwxyz",
        "arn:aws:bedrock:us-east-1:223456789012:model-invocation-job/abcdefghwxyz",
        "arn:aws:bedrock:us-east-1:123456789012:model-customization-job/abcdefghwxyz",
    ]
)


def read(body: str) -> Hint | None:
    """As the scheduler reads it."""
    return parse(
        body, deployment="bbq", source="aws.bedrock", account="123456789012", region="us-east-1"
    )


def is_documented(event: Any) -> bool:
    """The documented event, of a batch job of this account and Region, in one of the ten
    statuses.
    """
    detail = event.get("detail")
    return (
        (event.get("detail-type"), event.get("source"))
        == ("Batch Inference Job State Change", "aws.bedrock")
        and (event.get("account"), event.get("region")) == ("123456789012", "us-east-1")
        and isinstance(detail, dict)
        and isinstance(arn := detail.get("batchJobArn"), str)
        and bool(
            re.fullmatch(
                r"arn:aws[a-z-]*:bedrock:us-east-1:123456789012:model-invocation-job/[a-z0-9]{12}",
                arn,
            )
        )
        and detail.get("status") in STATUSES
    )


@st.composite
def nearly(draw: st.DrawFn) -> dict[str, Any]:
    """The documented event with legal values, and up to three places that are missing, or hold
    something else.
    """
    event: dict[str, Any] = json.loads(json.dumps(BEDROCK_EVENT))
    arn = draw(
        st.sampled_from([True, False]).flatmap(
            lambda good: st.just(f"{HERE}abcdefghwxyz") if good else ARNS
        )
    )
    name, status = draw(NAMES), draw(st.sampled_from(STATUSES))
    event["detail"].update(
        batchJobArn=arn, batchJobName=name, status=status, failureMessage=draw(TEXT) * 50
    )
    places = [(event, name) for name in event] + [
        (event["detail"], name) for name in event["detail"]
    ] * 2
    for inner, name in draw(st.lists(st.sampled_from(places), max_size=3)):
        match draw(st.sampled_from(["missing", "other", "alike"])):
            case "missing":
                inner.pop(name, None)
            case "other":
                inner[name] = draw(JSON)
            case _:
                inner[name] = draw(
                    ARNS
                    | NAMES
                    | st.sampled_from(
                        [*STATUSES, "Melted", "completed", "aws.Bedrock", "Completed "]
                    )
                )
    # two lone surrogates side by side are one character to JSON
    known: dict[str, Any] = json.loads(json.dumps(event))
    return known


@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow])
@given(nearly())
def test_only_the_documented_event_is_a_report_and_it_says_what_the_event_says(
    event: dict[str, Any],
) -> None:
    found = read(json.dumps(event))
    if not is_documented(event):
        assert found is None or ("detail-type" not in event and not isinstance(found, Report))
        return
    assert isinstance(found, Report)
    detail = event["detail"]
    said = {name: value if isinstance(value, str) else "" for name, value in detail.items()}
    ours = re.fullmatch(rf"bbq-({JOB})-([1-9][0-9]{{0,2}})", said.get("batchJobName", ""))
    assert (found.arn, found.status) == (said["batchJobArn"], said["status"])
    assert (found.model_id, found.message) == (
        said.get("batchModelId", ""),
        shortened(said.get("failureMessage", ""), 500),
    )
    assert (found.job, found.attempt) == ((ours[1], int(ours[2])) if ours else (None, None))


@settings(max_examples=300)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "job": st.sampled_from([JOB, "a" * 25, "a" * 27, "A" * 26, f"{JOB}\n", "1" * 26])
            | JSON,
            "wake": st.sampled_from(
                ["all", "haiku", "a-1", "a" * 20, "a" * 21, "Haiku", "1a", "-a", "a\n", ""]
            )
            | JSON,
        },
    ),
    JSON,
    JSON,
)
def test_only_a_job_id_or_an_alias_is_a_hint_of_ours(
    message: dict[str, Any], due: Any, more: Any
) -> None:
    found = read(json.dumps({**message, "due": due}))
    job, alias = message.get("job"), message.get("wake")
    if "job" in message:
        ours = isinstance(job, str) and re.fullmatch(r"[a-z2-7]{26}", job)
        assert found == (JobHint(job=str(job), timer=True) if ours else None)
    elif isinstance(alias, str) and re.fullmatch(r"[a-z][a-z0-9-]{0,19}", alias):
        assert found == ModelHint(alias=alias)
    else:
        assert found is None
    assert read(json.dumps({**message, "detail-type": more, "detail": more})) is None


@given(st.binary(max_size=200), TEXT, JSON, st.integers(0, 300_000), st.sampled_from('[{"1 '))
def test_no_text_and_no_bytes_raise_and_none_of_it_is_a_report(
    noise: bytes, text: str, value: Any, many: int, one: str
) -> None:
    whole = json.dumps(BEDROCK_EVENT)
    cut = many % len(whole)
    texts = [noise.decode("latin-1"), noise.decode(errors="surrogateescape"), text, one * many]
    values = [json.dumps(value), json.dumps(value, ensure_ascii=False)]
    spoilt = [whole[:cut], whole[cut + 1 :], f"[{whole}]", json.dumps(whole), whole + " " * 262_144]
    for body in (*texts, *values, *spoilt):
        assert not isinstance(read(body), Report)
