"""What each role and policy must not do, tried for real with its credentials on the emulator. All
of it must be refused.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.exceptions import ClientError

from local.settings import REGION, local_environment
from tests.rights.bench import PEOPLE, Bench

ACCOUNT = "000000000000"
REFUSED = {
    "AccessDenied",
    "AccessDeniedException",
    "AuthorizationError",
    "AuthorizationErrorException",
    "403",
}
EVENT = {"stream": {"S": "model#haiku"}, "version": {"N": "1"}}
PLACE = {"pk": {"S": "line#haiku"}, "sk": {"S": "forged"}}
# its tables, bucket and queues; a refusal comes before any answer whether they exist
OTHER = "another-deployment"

# What MiniStack would let pass, because it does not look: said here, held by plan tests.
NOT_TRIED = {
    "change an event that IAM lets one change": "MiniStack stores the events table's own policy and does not enforce it",
    "pass another role to EventBridge Scheduler": "MiniStack does not check iam:PassRole",
    "make a schedule outside the deployment's group": "MiniStack takes every schedule to be in the default group",
    "send to the hints queue as EventBridge for another rule": "MiniStack delivers without asking the queue's policy",
    "wear the timers' or Bedrock's role for another source": "MiniStack has no services that could ask to",
}


@dataclass(frozen=True)
class Attempt:
    """`call` is made with `who`'s credentials."""

    who: str
    what: str
    call: Callable[[Callable[[str], Any]], object]


def attempts(bench: Bench) -> Iterator[Attempt]:  # noqa: C901 - one table
    """Every cell."""
    out = bench.deployment.outputs
    bucket, events, projections = out["bucket"], out["events_table"], out["projections_table"]
    staged, prompt, output = (
        "staged/x/x.jsonl",
        "to-process/haiku/x.jsonl",
        "processed/haiku/x/j/1/x.jsonl.out",
    )
    everybody = ("intake", "scheduler", "bedrock", "timers", *PEOPLE)

    def read(key: str) -> Callable[[Callable[[str], Any]], object]:
        return lambda client: client("s3").get_object(Bucket=bucket, Key=key)

    def write(key: str) -> Callable[[Callable[[str], Any]], object]:
        return lambda client: client("s3").put_object(Bucket=bucket, Key=key, Body=b"x")

    for who in everybody:
        yield Attempt(
            who,
            "delete an event",
            lambda client: client("dynamodb").delete_item(TableName=events, Key=EVENT),
        )
        yield Attempt(
            who,
            "delete the events table",
            lambda client: client("dynamodb").delete_table(TableName=events),
        )
        yield Attempt(
            who,
            "update an event",
            lambda client: client("dynamodb").update_item(
                TableName=events, Key=EVENT, UpdateExpression="REMOVE schema"
            ),
        )
        yield Attempt(
            who,
            "read another deployment's table",
            lambda client: client("dynamodb").get_item(TableName=f"{OTHER}-events", Key=EVENT),
        )
        yield Attempt(
            who,
            "write another deployment's table",
            lambda client: client("dynamodb").put_item(
                TableName=f"{OTHER}-projections", Item=PLACE
            ),
        )
        yield Attempt(who, "write outside every prefix", write("elsewhere/x"))
        yield Attempt(
            who,
            "delete an object",
            lambda client: client("s3").delete_object(Bucket=bucket, Key=prompt),
        )
        yield Attempt(
            who,
            "widen its own rights",
            lambda client: client("iam").put_role_policy(
                RoleName="r", PolicyName="p", PolicyDocument="{}"
            ),
        )
        yield Attempt(
            who,
            "change a function",
            lambda client: client("lambda").delete_function(FunctionName=out["intake_function"]),
        )
        yield Attempt(
            who,
            "change the bucket's policy",
            lambda client: client("s3").delete_bucket_policy(Bucket=bucket),
        )
    for who, key in (
        ("intake", output),
        ("intake", staged),
        ("scheduler", prompt),
        ("scheduler", staged),
        ("scheduler", output),
        ("bedrock", prompt),
        ("bedrock", output),
        ("timers", prompt),
        ("viewer", staged),
        ("operator", staged),
    ):
        yield Attempt(who, f"read {key.split('/')[0]}/", read(key))
    for who, key in (
        ("intake", prompt),
        ("intake", output),
        ("scheduler", prompt),
        ("scheduler", staged),
        ("scheduler", output),
        ("bedrock", prompt),
        ("bedrock", staged),
        ("viewer", prompt),
        ("viewer", output),
        ("operator", staged),
        ("operator", output),
    ):
        yield Attempt(who, f"write {key.split('/')[0]}/", write(key))
    for who in ("intake", "bedrock", "timers"):
        yield Attempt(
            who,
            "read projections",
            lambda client: client("dynamodb").get_item(TableName=projections, Key=PLACE),
        )
    for who in ("intake", "bedrock", "timers", "viewer"):
        yield Attempt(
            who,
            "write projections",
            lambda client: client("dynamodb").put_item(TableName=projections, Item=PLACE),
        )
    for who in ("intake", "scheduler", "viewer"):
        yield Attempt(who, "scan a table", lambda client: client("dynamodb").scan(TableName=events))
    for who in ("intake", "viewer"):
        yield Attempt(
            who,
            "wake the scheduler",
            lambda client: client("sqs").send_message(
                QueueUrl=out["hints_queue_url"], MessageBody="{}"
            ),
        )
    for who in (*PEOPLE, "timers"):
        yield Attempt(
            who,
            "take messages from the functions",
            lambda client: client("sqs").receive_message(QueueUrl=out["hints_queue_url"]),
        )
    for who in ("intake", "timers", *PEOPLE):
        yield Attempt(
            who,
            "publish to the topic",
            lambda client: client("sns").publish(TopicArn=out["events_topic_arn"], Message="x"),
        )
        yield Attempt(
            who, "make a timer", lambda client: client("scheduler").delete_schedule(Name="x")
        )


def let_pass(bench: Bench) -> list[str]:
    """Everything that was not refused, as `who: what`."""
    roles = ("intake", "scheduler", "bedrock", "timers")
    with bench.may_be_assumed(*roles):
        sessions = {who: _session(bench, who) for who in (*roles, *PEOPLE)}
        return [f"{a.who}: {a.what}" for a in attempts(bench) if not _refused(a, sessions[a.who])]


def table(bench: Bench) -> str:
    """What was tried and refused, by what was tried; and what could not be tried."""
    by: dict[str, list[str]] = {}
    for attempt in attempts(bench):
        by.setdefault(attempt.what, []).append(attempt.who)
    rows = [f"| {what} | {', '.join(who)} |" for what, who in sorted(by.items())]
    rows += [f"| {what} | *not tried: {why}* |" for what, why in NOT_TRIED.items()]
    return "| what | refused to |\n|---|---|\n" + "\n".join(rows)


def _refused(attempt: Attempt, session: boto3.Session) -> bool:
    try:
        attempt.call(
            lambda service: session.client(  # type: ignore[call-overload]
                service, endpoint_url=local_environment()["AWS_ENDPOINT_URL"]
            )
        )
    except ClientError as error:
        return error.response["Error"].get("Code") in REFUSED
    return False


def _session(bench: Bench, who: str) -> boto3.Session:
    if who in PEOPLE:
        key = bench.keys[who]
        return boto3.Session(key["AccessKeyId"], key["SecretAccessKey"], region_name=REGION)
    arn = f"arn:aws:iam::{ACCOUNT}:role/{bench.full(who)}"
    key = bench.deployment.client("sts").assume_role(RoleArn=arn, RoleSessionName="rights")[
        "Credentials"
    ]
    return boto3.Session(
        key["AccessKeyId"], key["SecretAccessKey"], key["SessionToken"], region_name=REGION
    )
