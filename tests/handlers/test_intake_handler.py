"""Intake, from the message to the event: on documented payloads, with moto's S3 and the in-memory
store.
"""

import gzip
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from typing import Any
from urllib.parse import quote_plus

import boto3
import pytest
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    IncompleteReadError,
    ReadTimeoutError,
)
from botocore.response import StreamingBody
from botocore.stub import Stubber
from moto import mock_aws

from bbq.services.intake import handler as h
from bbq.services.intake.config import Config, read_config
from bbq.services.intake.intake import World, take_in
from bbq.services.intake.objects import Lost, Objects, Opened
from bbq.services.intake.uploads import (
    NotANotification,
    Upload,
    announced,
    choose_model,
    choose_priority,
)
from bbq.shared import events as e
from bbq.shared.memory import MemoryTables
from bbq.shared.models import Model
from bbq.shared.names import job_id, job_stream
from bbq.shared.store import Store
from local.settings import ROOT
from tests.support.payloads import S3_TEST_EVENT, body, s3_notification, sqs_event
from tests.support.samples import T0

BUCKET = "bbq-bucket"
MODELS = {
    "haiku": Model(alias="haiku", model_id="haiku", limit=1, min_records=2, max_bytes=10_000),
    "nova": Model(alias="nova", model_id="nova", limit=1, min_records=3, max_bytes=10_000),
}
GOOD = b'{"modelInput": {}}\n' * 2


class Bench:
    """Intake with moto's S3."""

    def __init__(self) -> None:
        self.s3 = boto3.client("s3", region_name="us-east-1")
        self.s3.create_bucket(Bucket=BUCKET)
        self.s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        self.seconds_left = 300.0
        self.notes: list[tuple[str, dict[str, Any]]] = []
        self.hidden: list[tuple[str, int]] = []
        self.store = Store(MemoryTables(), sleep=lambda _: None)
        config = Config(
            bucket=BUCKET,
            events_table="events",
            uploads_queue_url="http://uploads",
            region="us-east-1",
            models=MODELS,
            default_model="haiku",
        )
        self.world = World(
            config=config,
            store=self.store,
            objects=Objects(self.s3),
            now=lambda: T0,
            seconds_left=lambda: self.seconds_left,
            note=lambda name, **fields: self.notes.append((name, fields)),
            hide=lambda receipt_handle, seconds: self.hidden.append((receipt_handle, seconds)),
        )

    def put(self, key: str, data: bytes = GOOD, **more: Any) -> str:
        """A message's body about a new object."""
        version = self.s3.put_object(Bucket=BUCKET, Key=key, Body=data, **more)["VersionId"]
        return body(s3_notification(quote_plus(key, safe="/"), bucket=BUCKET, version=version))

    def run(self, *bodies: str) -> list[str]:
        """The ids of the messages that failed."""
        answer = h.take_in_batch(self.world, sqs_event(*bodies))
        return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]

    def event_of(self, message: str) -> e.Event:
        """Take in a message; the event it became."""
        assert self.run(message) == []
        return self.event(message)

    def event(self, message: str) -> e.Event:
        """The one event of the upload that a message is about."""
        upload = upload_of(message)
        (recorded,) = self.store.load(
            job_stream(job_id(BUCKET, upload.key, upload.version_id, "", ""))
        )
        return recorded.event

    def keys(self, prefix: str) -> list[str]:
        return [
            item["Key"]
            for item in self.s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
        ]


def upload_of(message: str) -> Upload:
    """The upload that a message announces."""
    (upload,) = announced(message, BUCKET)
    assert isinstance(upload, Upload)
    return upload


def reasons(event: e.Event) -> list[str]:
    assert isinstance(event, e.JobRejected)
    return [problem.text for problem in event.problems]


@pytest.fixture
def bench() -> Iterator[Bench]:
    with mock_aws():
        yield Bench()


def test_labels_and_the_place_in_line_come_from_the_upload_and_its_model(bench: Bench) -> None:
    message = bench.put(
        "to-process/haiku/a.jsonl",
        Metadata={"priority": "2", "Owner": "ann@example.com", "team": "x"},
    )
    assert bench.run(message) == []
    event = bench.event(message)
    assert isinstance(event, e.JobQueued)
    assert [(label.name, label.value) for label in event.labels] == [
        ("owner", "ann@example.com"),
        ("team", "x"),
    ]
    assert event.line_at is None
    largest_first = {"haiku": replace(MODELS["haiku"], order="largest-first")}
    bench.world = replace(bench.world, config=replace(bench.world.config, models=largest_first))
    later = bench.event_of(bench.put("to-process/haiku/b.jsonl", GOOD * 2))
    assert isinstance(later, e.JobQueued)
    assert later.line_at is not None
    assert later.line_at < later.at


def test_a_fit_upload_is_staged_and_queued(bench: Bench) -> None:
    message = bench.put("to-process/haiku/my reviews+1.jsonl", Metadata={"priority": "2"})
    assert bench.run(message) == []
    event = bench.event(message)
    assert isinstance(event, e.JobQueued)
    assert (event.model, event.priority, event.record_count, event.size_bytes) == (
        "haiku",
        2,
        2,
        len(GOOD),
    )
    (staged,) = bench.keys("staged/")
    assert event.input_uri == f"s3://{BUCKET}/{staged}"
    assert bench.s3.get_object(Bucket=BUCKET, Key=staged)["Body"].read() == GOOD
    assert event.sources[0].key == "to-process/haiku/my reviews+1.jsonl"


def test_the_version_that_was_announced_is_read_and_staged_even_after_an_overwrite(
    bench: Bench,
) -> None:
    first = bench.put("to-process/a.jsonl", b'{"modelInput": {"v": 1}}\n' * 2)
    second = bench.put("to-process/a.jsonl", b"not json\n" * 2)
    assert bench.run(first, second) == []
    assert isinstance(bench.event(first), e.JobQueued)
    assert isinstance(bench.event(second), e.JobRejected)
    (staged,) = bench.keys("staged/")
    assert b'"v": 1' in bench.s3.get_object(Bucket=BUCKET, Key=staged)["Body"].read()


def test_the_same_notification_twice_is_one_job(bench: Bench) -> None:  # P2
    message = bench.put("to-process/a.jsonl")
    assert bench.run(message, message) == []
    answers = failing(bench, "open", "NoSuchKey")
    assert bench.run(message) == []
    assert answers == []  # a known upload is not read again
    assert isinstance(bench.event(message), e.JobQueued)
    assert [name for name, _ in bench.notes] == ["JobQueued", "UploadKnown", "UploadKnown"]


def test_two_deliveries_at_once_are_one_job(bench: Bench) -> None:  # P2
    message = bench.put("to-process/a.jsonl")
    job, looks = bench.store.job, iter((None, None))
    bench.store.job = lambda job_id: next(looks, job(job_id))  # type: ignore[method-assign] # both looked before either wrote
    assert bench.run(message, message) == []
    assert isinstance(bench.event(message), e.JobQueued)


def test_everything_wrong_is_said_together(bench: Bench) -> None:
    message = bench.put(
        "to-process/a.jsonl", b"x\n[]\n", Metadata={"model": "gpt", "priority": "soon"}
    )
    assert bench.run(message) == []
    event = bench.event(message)
    assert isinstance(event, e.JobRejected)
    assert [(problem.line, problem.text) for problem in event.problems] == [
        (None, 'metadata "model" is not a configured model; choose one of haiku, nova'),
        (None, 'metadata "priority" is not a digit from 0 (first) to 9 (last)'),
        (1, "is not valid JSON at column 1"),
        (2, "is not a JSON object"),
    ]
    assert (event.problem_count, event.model) == (4, None)
    assert bench.keys("staged/") == []


@pytest.mark.parametrize(
    ("data", "more", "text"),
    [
        (b"", {}, "the file is empty"),
        (b"x" * 20_000, {}, "20,000 bytes"),
        (gzip.compress(GOOD), {"ContentEncoding": "gzip"}, "Content-Encoding"),
        (gzip.compress(GOOD), {}, "gzip"),
        (b'{"modelInput": {}}\n', {}, "fewer than 2"),
    ],
)
def test_what_cannot_run_is_rejected_with_the_reason(
    bench: Bench, data: bytes, more: dict[str, str], text: str
) -> None:
    message = bench.put("to-process/a.jsonl", data, **more)
    assert bench.run(message) == []
    event = bench.event(message)
    assert isinstance(event, e.JobRejected)
    assert text in " ".join(problem.text for problem in event.problems)


def test_an_object_that_was_deleted_first_is_rejected_and_not_lost(bench: Bench) -> None:  # P3
    message = bench.put("to-process/a.jsonl")
    upload = upload_of(message)
    bench.s3.delete_object(Bucket=BUCKET, Key=upload.key, VersionId=upload.version_id)
    assert bench.run(message) == []
    event = bench.event(message)
    assert isinstance(event, e.JobRejected)
    assert "deleted" in event.problems[0].text


def test_an_object_that_changes_between_reading_and_copying_is_not_staged(bench: Bench) -> None:
    upload = Upload(
        bucket=BUCKET,
        key="to-process/a.jsonl",
        version_id="",
        etag="x",
        sequencer="1",
        size_bytes=9,
    )
    with Stubber(bench.s3) as stub:  # moto does not know CopySourceIfMatch
        expected = {
            "Bucket": BUCKET,
            "Key": "staged/x/a.jsonl",
            "CopySource": {"Bucket": BUCKET, "Key": upload.key},
            "CopySourceIfMatch": "etag-that-was-read",
            "MetadataDirective": "REPLACE",
            "TaggingDirective": "REPLACE",
            "ContentType": "application/jsonl",
        }
        stub.add_client_error(
            "copy_object", "PreconditionFailed", http_status_code=412, expected_params=expected
        )
        with pytest.raises(Lost, match="replaced"):
            Objects(bench.s3).copy(upload, "etag-that-was-read", "staged/x/a.jsonl")


@pytest.mark.parametrize("when", ["open", "copy"])
@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("NoSuchKey", "the object was deleted before it was taken in"),
        ("NoSuchVersion", "the object was deleted before it was taken in"),
        ("MethodNotAllowed", "the object was deleted before it was taken in"),
        ("PreconditionFailed", "the object was replaced before it was taken in"),
        (
            "InvalidObjectState",
            "the object is archived: upload it in a storage class that can be read at once",
        ),
        (
            "InvalidRequest",
            "the object cannot be read: do not encrypt it with a key of your own (SSE-C)",
        ),
    ],
)
def test_an_upload_that_no_later_try_can_read_is_rejected_with_the_reason(
    bench: Bench, when: str, code: str, text: str
) -> None:
    message = bench.put("to-process/a.jsonl")
    answers = failing(bench, when, code)
    assert bench.run(message) == []
    assert reasons(bench.event(message)) == [text]
    assert answers == [code]


@pytest.mark.parametrize("when", ["open", "copy"])
@pytest.mark.parametrize(
    "code", ["SlowDown", "InternalError", "NoSuchBucket", "KMS.ThrottlingException"]
)
def test_what_may_pass_or_an_operator_can_mend_comes_back(
    bench: Bench, when: str, code: str
) -> None:
    message = bench.put("to-process/a.jsonl")
    failing(bench, when, code)
    assert len(bench.run(message)) == 1
    assert bench.notes[-1][0] == "MessageFailed"
    (event,) = sqs_event(message)["Records"]
    # and not the half hour of the visibility timeout
    assert bench.hidden == [(event["receiptHandle"], 30)]
    assert not bench.store.exists(job_stream(job_of(upload_of(message))))
    bench.world = replace(bench.world, objects=Objects(bench.s3))
    assert bench.run(message) == []
    assert isinstance(bench.event(message), e.JobQueued)


def test_a_failed_upload_comes_back_after_half_a_minute_then_later_and_an_outage_of_nine_hours_loses_none(
    bench: Bench,
) -> None:
    text = (ROOT / "terraform" / "intake.tf").read_text()
    (most,) = re.findall(r"max_receive_count += (\d+)", text)
    message = bench.put("to-process/a.jsonl")
    failing(bench, "copy", "SlowDown")
    for receives in range(1, int(most) + 1):
        assert h.take_in_batch(bench.world, sqs_event(message, receives=receives))[
            "batchItemFailures"
        ]
    waits = [seconds for _, seconds in bench.hidden]
    assert waits[:3] == [30, 60, 120]
    assert waits == sorted(waits)
    # what a message stays away for anyway, where its invocation was cut off
    assert max(waits) == 1800
    assert 9 * 3600 < sum(waits) < 86_400


def test_what_keeps_a_message_away_is_its_visibility(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    sqs = boto3.client("sqs", region_name="us-east-1")
    url = sqs.create_queue(QueueName="uploads", Attributes={"VisibilityTimeout": "1800"})[
        "QueueUrl"
    ]
    sqs.send_message(QueueUrl=url, MessageBody="{}")
    (received,) = sqs.receive_message(QueueUrl=url)["Messages"]
    monkeypatch.setattr(h, "_config", lambda: replace(bench.world.config, uploads_queue_url=url))
    h._hide(received["ReceiptHandle"], 0)
    assert [again["Body"] for again in sqs.receive_message(QueueUrl=url)["Messages"]] == ["{}"]


def test_without_versions_the_etag_and_sequencer_make_the_job(bench: Bench) -> None:
    etag = bench.s3.put_object(Bucket=BUCKET, Key="to-process/a.jsonl", Body=GOOD)["ETag"].strip(
        '"'
    )
    first, again = (unversioned(etag, sequencer) for sequencer in ("1", "2"))
    for upload in (first, again):
        take_in(bench.world, upload)
    assert job_of(first) != job_of(again)
    assert all(
        isinstance(bench.store.load(job_stream(job_of(upload)))[0].event, e.JobQueued)
        for upload in (first, again)
    )


# P2
def test_without_versions_an_upload_that_was_replaced_does_not_run_what_replaced_it(
    bench: Bench,
) -> None:
    old = bench.s3.put_object(Bucket=BUCKET, Key="to-process/a.jsonl", Body=GOOD)["ETag"].strip('"')
    bench.s3.put_object(Bucket=BUCKET, Key="to-process/a.jsonl", Body=GOOD + GOOD)
    upload = unversioned(old, "1")
    take_in(bench.world, upload)
    (recorded,) = bench.store.load(job_stream(job_of(upload)))
    assert reasons(recorded.event) == ["the object was replaced before it was taken in"]
    assert bench.keys("staged/") == []


def test_the_version_named_null_is_no_version() -> None:
    notification = s3_notification("to-process/a.jsonl", bucket=BUCKET, version="null")
    assert upload_of(body(notification)).version_id == ""


def test_a_broken_connection_brings_only_its_own_message_back(bench: Bench) -> None:
    bad, good = bench.put("to-process/bad.jsonl", GOOD * 5), bench.put("to-process/good.jsonl")

    def broken(chunks: Iterator[bytes]) -> Iterator[bytes]:
        yield next(chunks)[:20]
        raise ReadTimeoutError(endpoint_url="https://s3")

    reading(
        bench,
        lambda upload, opened: (
            replace(opened, chunks=broken(opened.chunks)) if "bad" in upload.key else opened
        ),
    )
    assert len(bench.run(bad, good)) == 1
    assert isinstance(bench.event(good), e.JobQueued)
    assert not bench.store.exists(job_stream(job_of(upload_of(bad))))


def test_a_short_read_is_an_error_and_not_a_smaller_file(bench: Bench) -> None:
    def get_object(**_: Any) -> dict[str, Any]:
        # what the connection gave, what S3 announced
        stream = StreamingBody(BytesIO(GOOD), content_length=3 * len(GOOD))
        return {"Body": stream, "ETag": '"x"', "ContentLength": 3 * len(GOOD), "Metadata": {}}

    upload = unversioned("x", "1")
    bench.s3.get_object = get_object  # type: ignore[method-assign,assignment] # moto never cuts an answer short
    with pytest.raises(IncompleteReadError):
        take_in(bench.world, upload)
    assert not bench.store.exists(job_stream(job_of(upload)))


def test_an_upload_too_large_for_the_time_left_comes_back(bench: Bench) -> None:
    message = bench.put("to-process/a.jsonl")
    bench.seconds_left = 5
    assert len(bench.run(message)) == 1
    assert not bench.store.exists(job_stream(job_of(upload_of(message))))


# P3
def test_an_upload_too_large_for_its_model_is_rejected_unread_whatever_the_time(
    bench: Bench,
) -> None:
    message = bench.put("to-process/a.jsonl")

    def huge(_: Upload, opened: Opened) -> Opened:
        return replace(opened, size_bytes=5 * 10**12, chunks=never())

    reading(bench, huge)
    assert bench.run(message) == []
    assert reasons(bench.event(message)) == [
        "the file has 5,000,000,000,000 bytes, more than 10,000"
    ]


def test_the_limits_are_those_of_the_chosen_model(bench: Bench) -> None:
    message = bench.put("to-process/nova/a.jsonl")
    assert bench.run(message) == []
    assert reasons(bench.event(message)) == ["the file holds 2 records, fewer than 3"]


def test_what_is_not_read_to_its_end_is_closed(bench: Bench) -> None:
    get, bodies = bench.s3.get_object, []

    def get_object(**arguments: Any) -> Any:
        answer = get(**arguments)
        bodies.append(answer["Body"])
        return answer

    bench.s3.get_object = get_object  # type: ignore[method-assign] # to see the bodies
    bench.run(bench.put("to-process/a.jsonl", b"x" * 20_000), bench.put("to-process/b.jsonl"))
    assert [vars(stream)["_raw_stream"].closed for stream in bodies] == [True, True]


@pytest.mark.parametrize(
    "text",
    ["", "x", "null", "[]", "{}", '{"Records": 1}', '{"Records": [{}]}', '{"Records": [null]}'],
)
def test_what_is_no_notification_fails_so_that_a_person_sees_it(bench: Bench, text: str) -> None:
    good = bench.put("to-process/good.jsonl")
    assert len(bench.run(text, good)) == 1
    assert isinstance(bench.event(good), e.JobQueued)


def test_a_record_that_s3_never_sent_does_not_hold_up_the_others_of_its_message(
    bench: Bench,
) -> None:
    good = bench.put("to-process/good.jsonl")
    mixed = body({"Records": [None, *json.loads(good)["Records"]]})
    assert len(bench.run(mixed)) == 1
    assert isinstance(bench.event(good), e.JobQueued)


def test_an_upload_that_fails_does_not_hold_up_the_others_of_its_message(bench: Bench) -> None:
    bad, good = bench.put("to-process/bad.jsonl"), bench.put("to-process/good.jsonl")

    def broken(upload: Upload, opened: Opened) -> Opened:
        if "bad" in upload.key:
            raise ReadTimeoutError(endpoint_url="https://s3")
        return opened

    reading(bench, broken)
    assert (
        len(
            bench.run(
                body({"Records": [*json.loads(bad)["Records"], *json.loads(good)["Records"]]})
            )
        )
        == 1
    )
    assert isinstance(bench.event(good), e.JobQueued)


def test_a_hundred_problems_are_kept_and_all_are_counted(bench: Bench) -> None:
    message = bench.put("to-process/a.jsonl", b"x\n" * 150, Metadata={"model": "gpt"})
    assert bench.run(message) == []
    event = bench.event(message)
    assert isinstance(event, e.JobRejected)
    assert (len(event.problems), event.problem_count) == (100, 151)
    assert event.problems[0].line is None


@pytest.mark.parametrize(
    "change",
    [
        {"key": None},
        {"key": ""},
        {"key": 5},
        {"key": "k" * 1025},
        {"key": "\ud800"},
        {"size": "x"},
        {"versionId": 7},
        {"eTag": []},
    ],
)
def test_a_record_with_impossible_parts_is_not_one_of_s3(change: dict[str, Any]) -> None:
    notification = s3_notification("to-process/a.jsonl", bucket=BUCKET)
    notification["Records"][0]["s3"]["object"].update(change)
    (found,) = announced(body(notification), BUCKET)
    assert isinstance(found, NotANotification)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (S3_TEST_EVENT, "TestEvent"),
        (s3_notification("to-process/a.jsonl", bucket="somebody-elses"), "OtherBucket"),
        (s3_notification("processed/a.jsonl", bucket=BUCKET), "OtherPrefix"),
        (s3_notification("staged/a.jsonl", bucket=BUCKET), "OtherPrefix"),
        (s3_notification("to-process/a.jsonl.out", bucket=BUCKET), "OtherSuffix"),
        (s3_notification("to-process/picture.png", bucket=BUCKET), "OtherSuffix"),
        (s3_notification("to-process/_SUCCESS", bucket=BUCKET), "OtherSuffix"),
        (s3_notification("to-process/folder/", bucket=BUCKET), "FolderMarker"),
        (s3_notification("to-process/folder.jsonl/", bucket=BUCKET), "FolderMarker"),
        (
            s3_notification("to-process/a.jsonl", bucket=BUCKET, name="ObjectRemoved:Delete"),
            "OtherEvent",
        ),
    ],
)
def test_what_is_not_an_input_is_left_alone(
    bench: Bench, message: dict[str, Any], reason: str
) -> None:
    assert bench.run(body(message)) == []
    assert bench.notes == [("UploadIgnored", {"reason": reason})]
    assert bench.store.load("job#") == []


def test_keys_are_decoded_as_s3_encodes_them() -> None:
    for key in ("a b", "a+b", "a%2Bb", "100%", "ünï ✓", "a//b", "../x", "\x01"):
        notification = s3_notification(
            quote_plus(f"to-process/{key}.jsonl", safe="/"), bucket=BUCKET
        )
        assert upload_of(json.dumps(notification)).key == f"to-process/{key}.jsonl"


@pytest.mark.parametrize(
    ("key", "metadata", "alias"),
    [
        ("to-process/haiku/a.jsonl", {}, "haiku"),
        ("to-process/haiku/nova/a.jsonl", {}, "haiku"),
        ("to-process/other/a.jsonl", {}, "nova"),
        ("to-process/haiku.jsonl", {}, "nova"),
        ("to-process/haiku/a.jsonl", {"model": "nova"}, "nova"),
        ("to-process/haiku/a.jsonl", {"model": "gpt"}, None),
        ("to-process/Haiku/a.jsonl", {}, None),
        ("to-process/hiaku/a.jsonl", {}, None),
        ("to-process/hiku/a.jsonl", {}, None),
        ("to-process/haikus/a.jsonl", {}, None),
        ("to-process/model=haiku/a.jsonl", {}, None),
        ("to-process/model=Nova/a.jsonl", {}, None),
        ("to-process/Haiku/a.jsonl", {"model": "haiku"}, "haiku"),
        ("to-process/haiku-tests/a.jsonl", {}, "nova"),
        ("to-process/november/a.jsonl", {}, "nova"),
        ("to-process/Haiku.jsonl", {}, "nova"),
        ("to-process//a.jsonl", {}, "nova"),
    ],
)
def test_the_model_is_what_the_metadata_or_the_folder_says(
    key: str, metadata: dict[str, str], alias: str | None
) -> None:
    assert choose_model(key, metadata, MODELS, "nova")[0] == alias


def test_a_folder_that_is_nearly_an_alias_names_the_aliases() -> None:
    _, problem = choose_model("to-process/hiaku/a.jsonl", {}, MODELS, "nova")
    assert problem is not None
    assert "name it haiku/" in problem
    assert "the aliases are haiku, nova" in problem


def test_with_one_model_every_folder_is_its_own() -> None:
    assert choose_model("to-process/Haiku/a.jsonl", {}, {"haiku": MODELS["haiku"]}, "haiku") == (
        "haiku",
        None,
    )
    short = dict.fromkeys(("a", "b12"), MODELS["haiku"])
    assert choose_model("to-process/b/x.jsonl", {}, short, "a") == ("a", None)
    assert choose_model("to-process/B12/x.jsonl", {}, short, "a")[0] is None


@pytest.mark.parametrize(
    ("name", "do"),
    [
        ("a.JSONL", "small letters"),
        ("a.json", "one JSON object a line"),
        ("a.ndjson", "one JSON object a line"),
        ("a.jsonl.gz", "unpack it"),
        ("a.JSON.ZIP", "unpack it"),
        ("a.csv", "one JSON object a line"),
    ],
)
def test_what_other_tools_name_otherwise_is_rejected_with_what_to_do(
    bench: Bench, name: str, do: str
) -> None:
    event = bench.event_of(bench.put(f"to-process/haiku/{name}", Metadata={"owner": "ann"}))
    [text] = reasons(event)
    assert text.startswith("the key does not end in .jsonl: ")
    assert do in text
    assert isinstance(event, e.JobRejected)
    assert event.labels == (e.Label(name="owner", value="ann"),)


@pytest.mark.parametrize("encoding", ["utf8", "UTF-8", "identity", "aws-chunked"])
def test_an_encoding_that_is_none_is_taken(bench: Bench, encoding: str) -> None:
    assert isinstance(
        bench.event_of(bench.put("to-process/a.jsonl", ContentEncoding=encoding)), e.JobQueued
    )


def test_bodies_that_no_record_runs_with_are_rejected_unless_the_model_does_not_check(
    bench: Bench,
) -> None:
    claude = replace(MODELS["haiku"], model_id="anthropic.claude-haiku-4-5-20251001-v1:0")
    for model, kind in (
        (claude, e.JobRejected),
        (replace(claude, check_bodies=False), e.JobQueued),
    ):
        bench.world = replace(
            bench.world, config=replace(bench.world.config, models={"haiku": model})
        )
        event = bench.event_of(bench.put("to-process/a.jsonl"))
        assert isinstance(event, kind)
    bench.world = replace(bench.world, config=replace(bench.world.config, models={"haiku": claude}))
    event = bench.event_of(bench.put("to-process/a.jsonl"))
    assert isinstance(event, e.JobRejected)
    assert [(problem.line, problem.text.partition(":")[0]) for problem in event.problems] == [
        (1, "modelInput has no anthropic_version"),
        (1, "modelInput has no max_tokens"),
    ]


def test_the_same_bytes_as_the_version_before_are_a_warning_and_two_jobs(bench: Bench) -> None:
    first = bench.put("to-process/a.jsonl")
    assert isinstance(event := bench.event_of(first), e.JobQueued)
    assert event.warnings == (
        "2 of 2 records have no recordId: Bedrock gives their answers ids of its own",
    )
    bench.put("to-process/a.jsonl.jsonl")
    second = bench.event_of(bench.put("to-process/a.jsonl"))
    assert isinstance(second, e.JobQueued)
    job = job_of(upload_of(first))
    assert second.warnings[1:] == (
        f"job {job}, of the version before, has the same bytes: both run, and both are paid for",
    )
    other = bench.event_of(bench.put("to-process/a.jsonl", GOOD * 2))
    assert isinstance(other, e.JobQueued)
    assert len(other.warnings) == 1


@pytest.mark.parametrize(
    "error",
    [
        ClientError({"Error": {"Code": "AccessDenied"}}, "ListObjectVersions"),
        ConnectionClosedError(endpoint_url="https://s3"),
        ReadTimeoutError(endpoint_url="https://s3"),
    ],
)
def test_if_versions_cannot_be_listed_an_upload_is_taken_in(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def failed(**_: object) -> None:
        raise error

    monkeypatch.setattr(bench.s3, "list_object_versions", failed)
    assert isinstance(bench.event_of(bench.put("to-process/a.jsonl")), e.JobQueued)


@pytest.mark.parametrize(
    ("said", "priority", "wrong"),
    [("0", 0, False), ("9", 9, False), ("10", 5, True), ("-1", 5, True), ("٣", 5, True)],
)
def test_the_priority_is_a_digit(said: str, priority: int, wrong: bool) -> None:
    found, problem = choose_priority({"priority": said})
    assert (found, problem is not None) == (priority, wrong)
    assert choose_priority({}) == (5, None)


def test_a_configuration_that_is_not_complete_says_everything_at_once() -> None:
    with pytest.raises(
        ValueError, match=r"BBQ_EVENTS_TABLE.*BBQ_DEFAULT_MODEL must be one of haiku"
    ):
        read_config(
            {
                "BBQ_BUCKET": "b",
                "AWS_REGION": "r",
                "BBQ_DEFAULT_MODEL": "x",
                "BBQ_MODELS": '{"haiku": {"model_id": "m", "limit": 1}}',
            }
        )


def test_problems_notes_and_events_hold_nothing_of_the_records(bench: Bench) -> None:
    secret = "xylophone"
    lines = [
        secret,
        f'{{"{secret}": 1}}',
        f'{{"recordId": "{secret}", "modelInput": "{secret}"}}',
        f'"{secret}\\q"',
        f"NaN{secret}",
    ]
    message = bench.put(
        "to-process/a.jsonl",
        "\n".join([*lines, *lines]).encode(),
        Metadata={"model": secret, "priority": secret},
    )
    assert bench.run(message) == []
    assert len(reasons(bench.event(message))) > len(lines)
    assert secret not in repr((bench.event(message), bench.notes))


def job_of(upload: Upload) -> str:
    return job_id(upload.bucket, upload.key, upload.version_id, upload.sequencer, upload.etag)


def unversioned(etag: str, sequencer: str) -> Upload:
    return Upload(
        bucket=BUCKET,
        key="to-process/a.jsonl",
        version_id="",
        etag=etag,
        sequencer=sequencer,
        size_bytes=9,
    )


def never() -> Iterator[bytes]:
    raise AssertionError("this must not be read")
    yield b""


def reading(bench: Bench, change: Callable[[Upload, Opened], Opened]) -> None:
    """Change what is read from S3."""

    class Changed(Objects):
        @contextmanager
        def open(self, upload: Upload) -> Iterator[Opened]:
            with super().open(upload) as opened:
                yield change(upload, opened)

    bench.world = replace(bench.world, objects=Changed(bench.s3))


def failing(bench: Bench, when: str, code: str, message: str = "no") -> list[str]:
    """S3 answers with an error code. Returns the answers given."""
    answers: list[str] = []

    class Client:
        """S3, but for one call."""

        def __getattr__(self, name: str) -> Any:
            if name != {"open": "get_object", "copy": "copy_object"}[when]:
                return getattr(bench.s3, name)

            def fail(**_: Any) -> None:
                answers.append(code)
                operation = "".join(word.title() for word in name.split("_"))
                raise ClientError({"Error": {"Code": code, "Message": message}}, operation)

            return fail

    bench.world = replace(bench.world, objects=Objects(Client()))  # type: ignore[arg-type] # all that is used of a client
    return answers
