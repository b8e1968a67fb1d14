"""Uploads that intake may not read, as `bbq` tells of them, and how `bbq wake` sends them to intake
again.
"""

import json
from collections.abc import Callable
from datetime import timedelta

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bbq.cli.unreadable import notification
from bbq.services.intake.uploads import Upload, announced
from bbq.shared import events as e
from bbq.shared.plain import text_of
from tests.cli.conftest import BUCKET, Deployed, Result
from tests.support.samples import queued
from tests.unit.test_names_properties import KEYS

Bbq = Callable[..., Result]
REASON = (
    "kms:Decrypt is missing on arn:aws:kms:us-east-1:000000000000:key/1: no identity-based policy"
)


def messages(deployed: Deployed) -> list[str]:
    """What is in the uploads queue."""
    sqs, found = boto3.client("sqs"), []
    while got := sqs.receive_message(
        QueueUrl=deployed.deployment.uploads_queue_url, MaxNumberOfMessages=10
    ).get("Messages"):
        found += [message["Body"] for message in got]
    return found


def test_jobs_show_and_status_name_the_right_and_the_key(deployed: Deployed, bbq: Bbq) -> None:
    job = deployed.unreadable("haiku/secret.jsonl", REASON)
    deployed.wait(minutes=5)
    listed = bbq("jobs").out
    assert "haiku/secret.jsonl" in listed
    assert "Unreadable" in listed
    assert REASON in listed
    assert [found["job"] for found in bbq("jobs", "--json", "--status", "unreadable").json] == [job]
    assert bbq("jobs", "--json", "--status", "live").json[0]["status"] == "Unreadable"
    assert bbq("jobs", "--json", "--model", "haiku").json == []  # nobody knows its model yet
    shown = " ".join(bbq("show", job).out.split())
    assert f"why {REASON}" in shown
    assert "model not known before it can be read" in shown
    assert "upload-unreadable" in shown
    assert "waits for a right that intake lacks: it tries again by itself for nine hours" in shown
    assert bbq("show", job, "--json").json["waits_for"]["what"] == "right"
    assert bbq("verify").code == 0
    said = " ".join(bbq("status").out.split())
    assert f"1 upload cannot be read, the first for 5m00s: {REASON}" in said
    assert "bbq wake" in said
    assert bbq("status", "--json").json["unreadable"] == {
        "uploads": 1,
        "since": text_of(deployed.time - timedelta(minutes=5)),
        "reason": REASON,
    }


def test_status_counts_no_more_than_it_says(
    deployed: Deployed, bbq: Bbq, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bbq.cli.status.MOST_UNREADABLE", 3)
    for number in range(5):
        deployed.unreadable(f"haiku/{number}.jsonl")
    assert "3 uploads or more cannot be read" in " ".join(bbq("status").out.split())


def test_what_can_be_read_again_is_unreadable_no_more(deployed: Deployed, bbq: Bbq) -> None:
    job = deployed.unreadable("haiku/a.jsonl")
    deployed.append(job, queued(key="to-process/haiku/a.jsonl"))
    deployed.wake(job)
    assert [found["status"] for found in bbq("jobs", "--json").json] == ["Submitted"]
    assert bbq("status", "--json").json["unreadable"] is None
    assert "cannot be read" not in bbq("status").out
    assert bbq("verify").code == 0
    bbq("wake")
    assert messages(deployed) == []


@pytest.mark.parametrize("arguments", [["wake"], ["wake", "nova"]])
def test_wake_sends_every_unreadable_upload_to_intake_again(
    deployed: Deployed, bbq: Bbq, arguments: list[str]
) -> None:
    keys = ["haiku/a b+%2B.jsonl", "nova/\u00fc.jsonl"]
    for key in keys:
        deployed.unreadable(key)
    deployed.upload("haiku/fine.jsonl")
    result = bbq(*arguments)
    assert result.code == 0
    assert "2 uploads that could not be read will be tried again" in result.out
    found = [upload for message in messages(deployed) for upload in announced(message, BUCKET)]
    assert {upload.key for upload in found if isinstance(upload, Upload)} == {
        f"to-process/{key}" for key in keys
    }


def test_wake_leaves_alone_what_is_cancelled_and_says_nothing_where_there_is_nothing(
    deployed: Deployed, bbq: Bbq
) -> None:
    job = deployed.unreadable("haiku/a.jsonl")
    result = bbq("cancel", job, "--yes")
    assert result.code == 0
    assert "will not be taken in" in result.out
    assert bbq("wake").out == "every model will be looked at\n"
    deployed.wake(job)
    assert [found["status"] for found in bbq("jobs", "--json").json] == ["Cancelled"]
    assert bbq("wake").out == "every model will be looked at\n"
    assert messages(deployed) == []
    assert bbq("verify").code == 0


def test_what_makes_no_sense_yet_is_refused_in_words(deployed: Deployed, bbq: Bbq) -> None:
    job = deployed.unreadable("haiku/a.jsonl")
    for command in (["retry", job, "--yes"], ["priority", job, "1"]):
        result = bbq(*command)
        assert result.code == 1
        assert "could not be read yet" in result.err


@given(
    KEYS,
    st.sampled_from(["", "v1"]) | st.text(min_size=1, max_size=20),
    st.text(max_size=20),
    st.integers(0, 5 * 2**40),
)
def test_what_is_sent_again_announces_the_very_upload(
    key: str, version: str, etag: str, size: int
) -> None:
    source = e.Source(
        bucket=BUCKET, key=key, version_id=version, etag=etag, sequencer=etag[::-1], size_bytes=size
    )
    (found,) = announced(notification(source), BUCKET)
    if version != "null":
        assert found == Upload(
            bucket=BUCKET,
            key=key,
            version_id=version,
            etag=etag,
            sequencer=etag[::-1],
            size_bytes=size,
        )
    assert json.loads(notification(source))["Records"][0]["eventName"] == "ObjectCreated:Put"
