"""Hostile uploads on the emulator: keys of every kind, prompts that must leave no trace, and more
than a day may begin.
"""

import json
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bbq.shared.due import minute_number
from bbq.shared.names import INPUT_PREFIX
from local.deployment import LocalDeployment, records, simulator
from tests.e2e.conftest import MODELS, eventually, over

pytestmark = pytest.mark.e2e

SECRET = "xK9prompt7Qz"  # in every word of content that must not leave the bucket
JOB = "abcdefghijklmnopqrstuvwxyz"
KEYS = [
    "nova/a%2Bb + c%25.jsonl",
    "nova/caf\u00e9.jsonl",
    "nova/cafe\u0301.jsonl",
    "nova/\u202egnp.\u200bexe.jsonl",
    "nova/x.jsonl.out.jsonl",
    f"nova/{JOB}.jsonl",
    f"nova/bbq-local-{JOB}-1.jsonl",
    "nova/staged/processed/to-process/x.jsonl",
    "nova/'\"`$(id);<script>{}&=?#.jsonl",
]
UNFIT = [
    SECRET.encode(),
    f'{{"{SECRET}": 1}}'.encode(),
    f'{{"modelInput": "{SECRET}"}}'.encode(),
    f'"{SECRET}\\q"'.encode(),
    f'{{"recordId": "{SECRET}", "modelInput": {{}}}}'.encode(),
    f'{{"recordId": "{SECRET}", "modelInput": {{}}}}'.encode(),
    f'{{"modelInput": {{"{SECRET}": NaN{SECRET}'.encode(),
    b"\xff" + SECRET.encode(),
    f'"\\ud800{SECRET}"'.encode(),
]


def test_keys_of_every_kind_are_jobs_of_their_own_and_no_name_is_made_of_them(
    deployment: LocalDeployment,
) -> None:
    jobs = {key: deployment.upload(key, records(converse="nova/" in key)) for key in KEYS}
    assert len(set(jobs.values())) == len(KEYS)
    bucket = deployment.outputs["bucket"]
    for key, job in jobs.items():
        view = over(deployment, job)
        assert (view["status"], view["sources"][0]["key"]) == ("Completed", INPUT_PREFIX + key)
        assert re.fullmatch(
            rf"s3://{bucket}/staged/{job}/[A-Za-z0-9._-]+\.jsonl", view["input_uri"]
        )
        assert re.fullmatch(rf"s3://{bucket}/processed/[A-Za-z0-9._/-]+/{job}/", view["output_uri"])
        assert deployment.history(job)[0]["key"] == INPUT_PREFIX + key
        (output,) = [
            name
            for name in deployment.keys(view["output_uri"].removeprefix(f"s3://{bucket}/"))
            if name.endswith(".jsonl.out")
        ]
        assert deployment.read(output)


def test_output_that_looks_like_an_upload_is_none(deployment: LocalDeployment) -> None:
    before = simulator("stats")["accepted"]
    for key in (
        "processed/nova/x.jsonl",
        "staged/x/x.jsonl",
        "processed/to-process/x.jsonl",
        "processed/x/manifest.json.out",
    ):
        deployment.s3.put_object(Bucket=deployment.outputs["bucket"], Key=key, Body=records())
    assert (
        over(deployment, deployment.upload("nova/after-outputs.jsonl", records(converse=True)))[
            "status"
        ]
        == "Completed"
    )
    assert simulator("stats")["accepted"] == before + 1


def test_more_than_a_day_may_begin_waits_for_midnight(deployment: LocalDeployment) -> None:
    while (now := datetime.now(UTC)).hour == 23 and now.minute >= 55:
        time.sleep(10)  # until a day has begun that lasts as long as this test
    ceiling = MODELS["capped"]["max_jobs_per_day"]
    jobs = [deployment.upload(f"capped/{number}.jsonl", records()) for number in range(ceiling + 2)]
    assert eventually(
        lambda: sum(deployment.view(job).get("status") == "Completed" for job in jobs) == ceiling
    )
    assert eventually(lambda: len(deployment.line("capped")) == 2)
    slots = deployment.slots("capped")
    assert (slots["day_jobs"], slots["day_records"], slots["holders"]) == (
        ceiling,
        100 * ceiling,
        {},
    )
    midnight = datetime.fromisoformat(f"{slots['day']}T00:00:00+00:00") + timedelta(days=1)
    assert midnight > datetime.now(UTC)
    name = f"model-capped-{minute_number(midnight)}"
    schedule = deployment.client("scheduler").get_schedule(GroupName="bbq-local", Name=name)
    assert json.loads(schedule["Target"]["Input"])["wake"] == "capped"


def test_no_word_of_a_record_is_in_a_log_a_table_or_a_queue(
    deployment: LocalDeployment, work: Path
) -> None:
    """Of all tests that ran until now, too: they plant no canary, but what is found is searched
    whole.
    """
    fit = deployment.upload("nova/secret.jsonl", records(words=SECRET, converse=True))
    unfit = [
        deployment.upload(f"nova/secret-{number}.jsonl", line + b"\n" + records(99, converse=True))
        for number, line in enumerate(UNFIT)
    ]
    unfit.append(deployment.upload("nova/secret-all.jsonl", b"\n".join([*UNFIT, *UNFIT])))
    assert over(deployment, fit)["status"] == "Completed"
    rejected = [over(deployment, job) for job in unfit]
    assert {view["status"] for view in rejected} <= {"Rejected", "Completed"}
    # an id of its own is fit
    assert sum(view["status"] == "Rejected" for view in rejected) >= len(UNFIT) - 2

    # by the functions themselves, whose invocations may still be under way
    def logged(job: str, note: str) -> bool:
        return any(
            job in text and note in text
            for place, text in everything(deployment, work)
            if place.startswith("log ")
        )

    assert eventually(lambda: logged(fit, "JobSubmitted") and logged(unfit[-1], "JobRejected"))
    found = dict(everything(deployment, work))
    assert any(fit in text for place, text in found.items() if place.startswith("table "))
    assert [place for place, text in found.items() if SECRET in text] == []
    staged = deployment.read(rejected[0]["sources"][0]["key"])  # so that the search would find it
    assert SECRET.encode() in staged


def everything(deployment: LocalDeployment, work: Path) -> Iterator[tuple[str, str]]:
    """(place, text) of all that the run left: the functions' logs, the emulator's, both tables, and
    every queue's messages.
    """
    logs = deployment.client("logs")
    for group in logs.describe_log_groups()["logGroups"]:
        pages = logs.get_paginator("filter_log_events").paginate(logGroupName=group["logGroupName"])
        text = "\n".join(event["message"] for page in pages for event in page["events"])
        yield f"log {group['logGroupName']}", text
    for table in ("events_table", "projections_table"):
        start: dict[str, Any] = {}
        for number in range(10_000):
            page = deployment.dynamodb.scan(TableName=deployment.outputs[table], **start)
            yield f"table {table} {number}", repr(page["Items"])
            if "LastEvaluatedKey" not in page:
                break
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}
    for url in deployment.sqs.list_queues().get("QueueUrls", []):
        answer = deployment.sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=0
        )
        yield f"queue {url}", repr(answer.get("Messages", []))
    for path in work.rglob("*.log"):
        yield f"log file {path.name}", path.read_text(errors="replace")
