"""Intake, from the message to the event: on documented payloads, with moto's S3 and the in-memory store."""

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_plus

import boto3
import pytest
from botocore.stub import Stubber
from moto import mock_aws

from services.intake import handler as h
from services.intake.config import Config, read_config
from services.intake.intake import World, take_in
from services.intake.objects import Gone, Objects
from services.intake.uploads import NotANotification, Upload, choose_model, choose_priority, is_input, uploads_in
from shared import events as e
from shared.memory import MemoryTables
from shared.models import Model
from shared.names import job_id, job_stream
from shared.store import Store
from tests.support.payloads import S3_TEST_EVENT, body, s3_notification, sqs_event
from tests.support.samples import T0

BUCKET = "bbq-bucket"
MODELS = {alias: Model(alias=alias, model_id=alias, limit=1, min_records=2, max_bytes=10_000) for alias in ("haiku", "nova")}
GOOD = b'{"modelInput": {}}\n' * 2


@dataclass
class Context:
    milliseconds: int = 300_000
    function_name: str = "bbq-intake"
    memory_limit_in_mb: int = 1769
    invoked_function_arn: str = "arn:aws:lambda:us-east-1:000000000000:function:bbq-intake"
    aws_request_id: str = "52fdfc07-2182-154f-163f-5f0f9a621d72"

    def get_remaining_time_in_millis(self) -> int:
        return self.milliseconds


class Bench:
    """Intake with moto's S3."""

    def __init__(self) -> None:
        self.s3 = boto3.client("s3", region_name="us-east-1")
        self.s3.create_bucket(Bucket=BUCKET)
        self.s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        self.notes: list[tuple[str, dict[str, Any]]] = []
        self.store = Store(MemoryTables(), sleep=lambda _: None)
        config = Config(bucket=BUCKET, events_table="events", region="us-east-1", models=MODELS, default_model="nova")
        self.world = World(
            config=config, store=self.store, objects=Objects(self.s3), now=lambda: T0,
            note=lambda name, **fields: self.notes.append((name, fields)),
        )  # fmt: skip

    def put(self, key: str, data: bytes = GOOD, **more: Any) -> str:
        """A message's body about a new object."""
        version = self.s3.put_object(Bucket=BUCKET, Key=key, Body=data, **more)["VersionId"]
        return body(s3_notification(quote_plus(key, safe="/"), bucket=BUCKET, version=version))

    def run(self, *bodies: str, context: Context | None = None) -> list[str]:
        """The ids of the messages that failed."""
        answer = h.take_in_batch(self.world, sqs_event(*bodies), context or Context())  # type: ignore[arg-type] # what is used
        return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]

    def event(self, message: str) -> e.Event:
        """The one event of the upload that a message is about."""
        (upload,) = uploads_in(message, BUCKET)
        (recorded,) = self.store.load(job_stream(job_id(BUCKET, upload.key, upload.version_id, "", "")))
        return recorded.event

    def keys(self, prefix: str) -> list[str]:
        return [item["Key"] for item in self.s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])]


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    with mock_aws():
        yield Bench()


def test_a_fit_upload_is_staged_and_queued(bench: Bench) -> None:
    message = bench.put("to-process/haiku/my reviews+1.jsonl", Metadata={"priority": "2"})
    assert bench.run(message) == []
    event = bench.event(message)
    assert isinstance(event, e.JobQueued)
    assert (event.model, event.priority, event.record_count, event.size_bytes) == ("haiku", 2, 2, len(GOOD))
    (staged,) = bench.keys("staged/")
    assert event.input_uri == f"s3://{BUCKET}/{staged}"
    assert bench.s3.get_object(Bucket=BUCKET, Key=staged)["Body"].read() == GOOD
    assert event.sources[0].key == "to-process/haiku/my reviews+1.jsonl"


def test_the_version_that_was_announced_is_read_and_staged_even_after_an_overwrite(bench: Bench) -> None:
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
    assert bench.run(message) == []
    assert isinstance(bench.event(message), e.JobQueued)
    assert [name for name, _ in bench.notes] == ["JobQueued", "UploadKnown", "UploadKnown"]


def test_two_deliveries_at_once_are_one_job(bench: Bench) -> None:  # P2
    message = bench.put("to-process/a.jsonl")
    bench.store.exists = lambda stream: False  # type: ignore[method-assign] # both looked before either wrote
    assert bench.run(message, message) == []
    assert isinstance(bench.event(message), e.JobQueued)


def test_everything_wrong_is_said_together(bench: Bench) -> None:
    message = bench.put("to-process/a.jsonl", b"x\n[]\n", Metadata={"model": "gpt", "priority": "soon"})
    assert bench.run(message) == []
    event = bench.event(message)
    assert isinstance(event, e.JobRejected)
    assert event.problem_count == len(event.problems) == 4
    assert "haiku, nova" in event.problems[2].text
    assert bench.keys("staged/") == []


@pytest.mark.parametrize(
    ("data", "more", "text"),
    [
        (b"", {}, "0 records"),
        (b"x" * 20_000, {}, "20,000 bytes"),
        (gzip.compress(GOOD), {"ContentEncoding": "gzip"}, "Content-Encoding"),
        (gzip.compress(GOOD), {}, "UTF-8"),
        (b'{"modelInput": {}}\n', {}, "fewer than the 2"),
    ],
)
def test_what_cannot_run_is_rejected_with_the_reason(bench: Bench, data: bytes, more: dict[str, str], text: str) -> None:
    message = bench.put("to-process/a.jsonl", data, **more)
    assert bench.run(message) == []
    event = bench.event(message)
    assert isinstance(event, e.JobRejected)
    assert text in " ".join(problem.text for problem in event.problems)


def test_an_object_that_was_deleted_first_is_rejected_and_not_lost(bench: Bench) -> None:  # P3
    message = bench.put("to-process/a.jsonl")
    (upload,) = uploads_in(message, BUCKET)
    bench.s3.delete_object(Bucket=BUCKET, Key=upload.key, VersionId=upload.version_id)
    assert bench.run(message) == []
    event = bench.event(message)
    assert isinstance(event, e.JobRejected)
    assert "deleted" in event.problems[0].text


def test_an_object_that_changes_between_reading_and_copying_is_not_staged(bench: Bench) -> None:
    upload = Upload(bucket=BUCKET, key="to-process/a.jsonl", version_id="", etag="x", sequencer="1", size_bytes=9)
    with Stubber(bench.s3) as stub:  # moto does not know CopySourceIfMatch
        expected = {
            "Bucket": BUCKET, "Key": "staged/x/a.jsonl", "CopySource": {"Bucket": BUCKET, "Key": upload.key},
            "CopySourceIfMatch": "etag-that-was-read", "MetadataDirective": "REPLACE", "TaggingDirective": "REPLACE",
            "ContentType": "application/jsonl",
        }  # fmt: skip
        stub.add_client_error("copy_object", "PreconditionFailed", http_status_code=412, expected_params=expected)
        with pytest.raises(Gone, match="overwritten"):
            Objects(bench.s3).copy(upload, "etag-that-was-read", "staged/x/a.jsonl")


def test_without_versions_the_etag_and_sequencer_make_the_job(bench: Bench) -> None:
    bench.s3.put_object(Bucket=BUCKET, Key="to-process/a.jsonl", Body=GOOD)
    ids = set()
    for sequencer in ("1", "2"):
        upload = Upload(bucket=BUCKET, key="to-process/a.jsonl", version_id="", etag="x", sequencer=sequencer, size_bytes=9)
        take_in(bench.world, upload)
        ids.add(job_id(BUCKET, upload.key, "", sequencer, "x"))
    assert all(bench.store.exists(job_stream(job)) for job in ids)


def test_a_broken_connection_brings_only_its_own_message_back(bench: Bench) -> None:
    bad, good = bench.put("to-process/bad.jsonl"), bench.put("to-process/good.jsonl")
    opening = bench.world.objects.open

    def breaking(upload: Upload) -> Any:
        if "bad" in upload.key:
            raise ConnectionError("broken")
        return opening(upload)

    bench.world.objects.open = breaking  # type: ignore[method-assign] # S3 is out of reach for one key
    assert len(bench.run(bad, good)) == 1
    assert isinstance(bench.event(good), e.JobQueued)


def test_a_short_read_is_an_error_and_not_a_smaller_file(bench: Bench) -> None:
    message = bench.put("to-process/a.jsonl", GOOD * 3)
    opening = bench.world.objects.open

    def short(upload: Upload) -> Any:
        opened = opening(upload)
        return type(opened)(
            size_bytes=opened.size_bytes, etag=opened.etag, encoding="", metadata={}, chunks=iter([GOOD])
        )  # fmt: skip

    bench.world.objects.open = short  # type: ignore[method-assign] # the body ends early
    assert len(bench.run(message)) == 1
    assert bench.keys("staged/") == []


def test_a_message_without_enough_time_left_comes_back(bench: Bench) -> None:
    message = bench.put("to-process/a.jsonl")
    assert len(bench.run(message, context=Context(milliseconds=5_000))) == 1


@pytest.mark.parametrize("text", ["", "x", "null", "[]", "{}", '{"Records": 1}', '{"Records": [{}]}', '{"Records": [null]}'])
def test_what_is_no_notification_fails_so_that_a_person_sees_it(bench: Bench, text: str) -> None:
    good = bench.put("to-process/good.jsonl")
    assert len(bench.run(text, good)) == 1
    assert isinstance(bench.event(good), e.JobQueued)


@pytest.mark.parametrize(
    "message",
    [
        S3_TEST_EVENT,
        s3_notification("to-process/a.jsonl", bucket="somebody-elses"),
        s3_notification("processed/a.jsonl", bucket=BUCKET),
        s3_notification("staged/a.jsonl", bucket=BUCKET),
        s3_notification("to-process/a.jsonl.out", bucket=BUCKET),
        s3_notification("to-process/folder/", bucket=BUCKET),
        s3_notification("to-process/folder/.jsonl", bucket=BUCKET),
        s3_notification("to-process/a.jsonl", bucket=BUCKET, name="ObjectRemoved:Delete"),
    ],
)
def test_what_is_not_an_input_is_left_alone(bench: Bench, message: dict[str, Any]) -> None:
    assert bench.run(body(message)) == []
    assert bench.notes == []


def test_keys_are_decoded_as_s3_encodes_them() -> None:
    for key in ("a b", "a+b", "a%2Bb", "100%", "ünï ✓", "a//b", "../x", "\x01"):
        notification = s3_notification(quote_plus(f"to-process/{key}.jsonl", safe="/"), bucket=BUCKET)
        (upload,) = uploads_in(json.dumps(notification), BUCKET)
        assert upload.key == f"to-process/{key}.jsonl"


@pytest.mark.parametrize(
    ("key", "metadata", "alias"),
    [
        ("to-process/haiku/a.jsonl", {}, "haiku"),
        ("to-process/haiku/nova/a.jsonl", {}, "haiku"),
        ("to-process/other/a.jsonl", {}, "nova"),
        ("to-process/haiku.jsonl", {}, "nova"),
        ("to-process/haiku/a.jsonl", {"model": "nova"}, "nova"),
        ("to-process/haiku/a.jsonl", {"model": "gpt"}, None),
    ],
)
def test_the_model_is_what_the_metadata_or_the_folder_says(key: str, metadata: dict[str, str], alias: str | None) -> None:
    assert choose_model(key, metadata, MODELS, "nova")[0] == alias


@pytest.mark.parametrize(
    ("said", "priority", "wrong"), [("0", 0, False), ("9", 9, False), ("10", 5, True), ("-1", 5, True), ("٣", 5, True)]
)
def test_the_priority_is_a_digit(said: str, priority: int, wrong: bool) -> None:
    found, problem = choose_priority({"priority": said})
    assert (found, problem is not None) == (priority, wrong)
    assert choose_priority({}) == (5, None)


def test_inputs_are_told_by_prefix_and_suffix() -> None:
    assert is_input("to-process/a.jsonl")
    assert not is_input("to-process/.jsonl")
    with pytest.raises(NotANotification):
        uploads_in("{", BUCKET)


def test_a_configuration_that_is_not_complete_says_everything_at_once() -> None:
    with pytest.raises(ValueError, match=r"BBQ_EVENTS_TABLE.*BBQ_DEFAULT_MODEL must be one of haiku"):
        read_config(
            {
                "BBQ_BUCKET": "b",
                "AWS_REGION": "r",
                "BBQ_DEFAULT_MODEL": "x",
                "BBQ_MODELS": '{"haiku": {"model_id": "m", "limit": 1}}',
            }
        )
