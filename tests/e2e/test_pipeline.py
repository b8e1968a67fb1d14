"""The whole path on the emulator: real Terraform, real zips, IAM enforced, a Bedrock that keeps its
documented rules.

The tests run in the order of this file; test_teardown.py, last of all, destroys the deployment.
"""

import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bbq.shared.hold import QUOTA
from bench.emulator import lined_up, store_of
from local import deploy
from local.deployment import LocalDeployment, records, simulator
from local.settings import ROOT, local_environment
from tests.e2e.conftest import eventually, over

pytestmark = pytest.mark.e2e

HAIKU, NOVA = "us.anthropic.claude-haiku-4-5-20251001-v1:0", "amazon.nova-lite-v1:0"
LIMITS = {HAIKU: 3, NOVA: 2}


def names(deployment: LocalDeployment, job: str) -> list[str]:
    return [event["name"] for event in deployment.history(job)]


def test_an_upload_becomes_a_bedrock_job_and_its_result_is_back_in_the_bucket(
    deployment: LocalDeployment,
) -> None:
    job = deployment.upload("haiku/reviews/may.jsonl", records(words="spring"), priority="2")
    view = over(deployment, job)
    assert (view["status"], view["outcome"]) == ("Completed", "Completed")
    assert (view["model"], view["priority"], view["records"], view["succeeded_records"]) == (
        "haiku",
        2,
        100,
        100,
    )
    bucket, prefix = deployment.outputs["bucket"], f"processed/haiku/reviews/may/{job}/"
    assert view["output_uri"] == f"s3://{bucket}/{prefix}"
    (output,) = [key for key in deployment.keys(prefix) if key.endswith(".jsonl.out")]
    lines = [json.loads(line) for line in deployment.read(output).splitlines()]
    assert {line["recordId"] for line in lines} == {f"CALL{number:07d}" for number in range(1, 101)}
    assert all("modelOutput" in line for line in lines)
    history = names(deployment, job)
    assert history[:3] == ["job-queued", "slot-claimed", "job-submitted"]
    assert history[-2:] == ["job-ended", "job-tallied"]
    assert set(history[3:-2]) <= {"job-progressed"}
    versions = [int(event["version"]) for event in deployment.history(job)]
    assert versions == list(range(1, len(versions) + 1))


def test_a_bad_file_is_rejected_with_every_problem_and_its_line(
    deployment: LocalDeployment,
) -> None:
    bad = (
        records(99)
        + b'not json\n{"recordId": "CALL0000001", "modelInput": {}}\n{"modelInput": []}\n'
    )
    view = over(deployment, deployment.upload("haiku/bad.jsonl", bad))
    assert view["status"] == "Rejected"
    assert {problem["line"] for problem in view["problems"]} == {100, 101, 102}


def test_a_duplicate_notification_is_not_a_second_job(deployment: LocalDeployment) -> None:
    before = simulator("stats")["accepted"]
    job = deployment.upload("nova/twice.jsonl", records(converse=True))
    deployment.notify_again("to-process/nova/twice.jsonl")
    view = over(deployment, job)
    deployment.notify_again("to-process/nova/twice.jsonl")
    assert eventually(lambda: deployment.queue_depth(deployment.outputs["intake_queue_url"]) == 0)
    assert view["status"] == "Completed"
    assert simulator("stats")["accepted"] == before + 1
    assert names(deployment, job).count("job-queued") == 1


LONG_KEY = (
    "to-process/"
    + "/".join(["l" * 100] * 10)[: 1024 - len("to-process/") - len(".jsonl")]
    + ".jsonl"
)
KEYS = [
    "nova/with space.jsonl",
    "nova/a+b.jsonl",
    "nova/100%25.jsonl",
    "nova/ünïcödé ✓.jsonl",
    "nova/dt=2026-11-23/x.jsonl",
    LONG_KEY,
]


def test_keys_that_bedrock_would_refuse_run_all_the_same(deployment: LocalDeployment) -> None:
    assert len(LONG_KEY.encode()) == 1024
    jobs = {key: deployment.upload(key, records(converse="nova/" in key)) for key in KEYS}
    assert len(set(jobs.values())) == len(KEYS)
    for key, job in jobs.items():
        view = over(deployment, job)
        assert view["status"] == "Completed", view
        assert view["sources"][0]["key"] == (
            key if key.startswith("to-process/") else f"to-process/{key}"
        )


def test_what_is_not_an_input_is_left_alone(deployment: LocalDeployment) -> None:
    before = simulator("stats")["accepted"]
    bucket = deployment.outputs["bucket"]
    for key in (
        "to-process/notes.txt",
        "to-process/folder/",
        "elsewhere/x.jsonl",
        "to-process/x.jsonl.out",
    ):
        deployment.s3.put_object(Bucket=bucket, Key=key, Body=b"")
    deployment.sqs.send_message(
        QueueUrl=deployment.outputs["intake_queue_url"],
        MessageBody=json.dumps({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": bucket}),
    )
    job = deployment.upload("nova/after.jsonl", records(converse=True))
    assert over(deployment, job)["status"] == "Completed"
    assert simulator("stats")["accepted"] == before + 1
    assert not any(
        deployment.queue_depth(url) for url in deployment.outputs["dead_letter_queue_urls"].values()
    )


def test_a_full_quota_of_others_holds_a_job_and_their_end_lets_it_run(
    deployment: LocalDeployment,
) -> None:
    simulator("quotas", {"model": NOVA, "limit": 2})
    try:
        simulator("foreign-jobs", {"model": NOVA, "count": 2, "seconds": None})
        job = deployment.upload("nova/patient.jsonl", records(converse=True))
        assert eventually(lambda: "submission-refused" in names(deployment, job))
        view = deployment.view(job)
        assert (view["status"], "ServiceQuotaExceeded" in view["reason"]) == ("Queued", True)
        assert deployment.slots("nova")["refused"]["kind"] == QUOTA
        simulator("foreign-jobs", method="DELETE")
        assert over(deployment, job)["status"] == "Completed"
    finally:
        simulator("quotas", {"model": NOVA, "limit": 100})


def test_an_overwrite_while_waiting_is_a_second_job_and_each_runs_what_was_uploaded(
    deployment: LocalDeployment,
) -> None:
    simulator("quotas", {"model": NOVA, "limit": 1})
    try:
        simulator("foreign-jobs", {"model": NOVA, "count": 1, "seconds": None})
        first = deployment.upload("nova/changed.jsonl", records(words="before", converse=True))
        assert eventually(lambda: "submission-refused" in names(deployment, first))
        second = deployment.upload("nova/changed.jsonl", records(words="after", converse=True))
        assert first != second
        assert eventually(lambda: deployment.view(second).get("status") == "Queued")
        simulator("quotas", {"model": NOVA, "limit": 100})
        simulator("foreign-jobs", method="DELETE")
    finally:
        simulator("quotas", {"model": NOVA, "limit": 100})
    for job, word in ((first, b"before"), (second, b"after")):
        assert over(deployment, job)["status"] == "Completed"
        (output,) = [
            key
            for key in deployment.keys(f"processed/nova/changed/{job}/")
            if key.endswith(".jsonl.out")
        ]
        assert deployment.read(output).count(word) >= 100


def test_a_burst_fills_the_slots_to_the_limit_and_never_beyond(deployment: LocalDeployment) -> None:
    # or a slow machine would never have as many at once
    with lined_up(store_of(deployment), "haiku", 15):
        jobs = [
            deployment.upload(f"haiku/burst-{number:02d}.jsonl", records()) for number in range(15)
        ]
    for job in jobs:
        assert over(deployment, job)["status"] == "Completed"
    largest = simulator("stats")["largest_alive"]
    assert largest[HAIKU]["ours"] == LIMITS[HAIKU]
    assert largest[NOVA]["ours"] <= LIMITS[NOVA]
    assert eventually(lambda: not deployment.slots("haiku")["holders"])
    assert deployment.line("haiku") == []


def test_answers_lost_on_the_way_never_buy_a_job_twice(deployment: LocalDeployment) -> None:
    before = simulator("stats")["accepted"]
    simulator("faults", {"accept_then_timeout": 1.0, "timeout_seconds": 0.2})
    try:
        job = deployment.upload("haiku/lost-answer.jsonl", records())
        # Bedrock's own event tells of it, and Get confirms
        assert over(deployment, job)["status"] == "Completed"
    finally:
        simulator("faults", {"accept_then_timeout": 0.0})
    assert simulator("stats")["accepted"] == before + 1


def commands(page: str, marker: str) -> str:
    """The shell block of a page behind `<!-- marker -->`."""
    found = re.search(
        rf"<!-- {marker} -->\s*```(?:bash|sh)\n(.*?)```", (ROOT / page).read_text(), re.DOTALL
    )
    assert found, f"{page} has no block {marker}"
    return found[1]


def test_the_pages_own_commands_upload_a_file_and_find_its_job(
    deployment: LocalDeployment, tmp_path: Path
) -> None:
    (tmp_path / "reviews.jsonl").write_bytes(records())
    environment = local_environment() | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "BUCKET": deployment.outputs["bucket"],
        "EVENTS": deployment.outputs["events_table"],
        "PROJECTIONS": deployment.outputs["projections_table"],
    }

    def shell(commands: str) -> str:
        return subprocess.run(
            ["bash", "-ec", commands],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        ).stdout

    shell(commands("README.md", "upload"))

    def completed() -> list[str]:
        found = deployment.by_status(f"haiku#Completed#{datetime.now(UTC).date().isoformat()}")
        return [
            view["job"]
            for view in found
            if view["sources"][0]["key"] == "to-process/haiku/reviews.jsonl"
        ]

    (job,) = eventually(completed)
    assert over(deployment, job)["status"] == "Completed"
    shown = shell(commands("docs/operating.md", "query"))
    assert job in shown
    assert "Completed" in shown
    environment["JOB"] = job
    assert "job-queued" in shell(commands("docs/operating.md", "history"))


def test_a_changed_configuration_is_used_at_once(deployment: LocalDeployment, work: Path) -> None:
    assert deployment.slots("nova")["limit"] == 2
    models = {
        "haiku": {"model_id": HAIKU, "limit": 3},
        "nova": {"model_id": NOVA, "limit": 1, "invocation_type": "Converse"},
    }
    deploy.apply([f"-var=models={json.dumps(models)}"], work=work / "terraform", quiet=True)
    assert deployment.slots("nova")["limit"] == 1
    events = list(deployment._query("events_table", "stream", "model#nova"))
    assert [json.loads(event["data"])["limit"] for event in events] == [2, 1]
    haiku = deployment._query("events_table", "stream", "model#haiku")
    # by the burst above
    assert [event["name"] for event in haiku] == ["limit-set", "model-paused", "model-resumed"]
