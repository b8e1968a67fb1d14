"""What production code calls: the tables, and clients shaped as boto3's. Every call is a switch
point, and may go wrong.

The code that reads their answers (`services/scheduler/bedrock.py`, `timers.py`, `outbox.py`,
`results.py`, `services/intake/objects.py`) is production code, unchanged.
"""

import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError
from pynamodb.exceptions import PynamoDBException

from bbq.services.scheduler.config import CREATE_READ_TIMEOUT_SECONDS
from bbq.services.scheduler.publish import READ_TIMEOUT_SECONDS
from bbq.shared.memory import MemoryTables
from bbq.shared.names import INPUT_PREFIX
from bbq.shared.tables import Check, ConditionFailed, Contended, EventRow, LineRow, R, Write, key_of
from local.bedrock_simulator.errors import NAME_IN_USE, BedrockError
from local.bedrock_simulator.rules import Bedrock
from tests.simulation.aws import Queue, Schedules
from tests.simulation.kernel import Invocation, Kernel
from tests.simulation.watch import Watch
from tests.simulation.weather import Weather

Result = TypeVar("Result")
MAX_LATE_SECONDS = 20.0  # how long after the client gave up Bedrock may still carry out a Create
MOST_SLOW_SECONDS = 3.0  # for Create to answer, where it is slow
LIST_BEHIND_SECONDS = 20.0  # how far List may be behind
# and Get's counts (Bedrock user guide, "Monitor batch inference jobs": updated each minute)
COUNTS_BEHIND_SECONDS = 60.0
COUNTS = ("totalRecordCount", "processedRecordCount", "successRecordCount", "errorRecordCount")
GET_BEHIND_SECONDS = 60.0  # how long Get may not know a new job
LONGEST_STUCK_SECONDS = 7200.0
NO_DECRYPT = (
    "injected: not authorized to perform: kms:Decrypt on resource: "
    "arn:aws:kms:us-east-1:000000000000:key/1 because no "
    "identity-based policy allows the kms:Decrypt action"
)


# What a write that was done looks like where its answer is lost: the SDK's own second try meets the
# first, or fails too.
UNHEARD: Mapping[str, type[Exception]] = {
    "write-done-but-contended": Contended,
    "write-done-but-failed": ConditionFailed,
    "write-done-but-error": PynamoDBException,
}


def client_error(code: str, operation: str, message: str = "injected") -> ClientError:
    """As botocore raises it."""
    return ClientError({"Error": {"Code": code, "Message": message}}, operation)


class Tables:
    """`bbq.shared.tables.Tables` on the in-memory tables."""

    def __init__(
        self,
        kernel: Kernel,
        weather: Weather,
        tables: MemoryTables,
        watch: Watch,
        stream: Callable[[str, int, str], None],
    ) -> None:
        self._kernel, self._weather, self._tables, self._watch, self._stream = (
            kernel,
            weather,
            tables,
            watch,
            stream,
        )
        self._stuck: dict[str, float] = {}  # partition -> until when

    def meddle(self, alias: str) -> None:
        """Somebody acts on this model at this very moment (`people.meddle`)."""

    def unheard(self, invocation: Invocation, writes: Sequence[Write]) -> None:
        """Writes were done, and the invocation that sent them does not know (`Run`)."""

    def get(self, kind: type[R], hash_key: str, range_key: str) -> R | None:
        """See Tables. No function may get an event by its key (terraform/intake.tf, scheduler.tf):
        they query.
        """
        reader = self._kernel.current
        self._watch.check(
            "S13",
            reader is None or reader.name != "intake",
            f"intake has no right to read {hash_key}",
        )
        self._watch.check(
            "S13",
            kind is not EventRow,
            f"{self._kernel.current} has no right to get an event: {hash_key}",
        )
        if hash_key.startswith("slots#"):
            self._watch.slots_read(self._kernel.current, hash_key)
            if self._weather.strike("meddled"):
                self.meddle(hash_key.partition("#")[2])
        return self._kernel.call(
            f"get {hash_key}",
            lambda: self._read(hash_key, lambda: self._tables.get(kind, hash_key, range_key)),
        )

    def query(
        self,
        kind: type[R],
        hash_key: str,
        *,
        limit: int | None = None,
        prefix: str = "",
        after: str | int = "",
    ) -> list[R]:
        """See Tables."""

        def read() -> list[R]:
            rows = self._tables.query(kind, hash_key, limit=limit, prefix=prefix, after=after)
            if hash_key.startswith("line#"):
                self._watch.line_read(
                    self._kernel.current,
                    hash_key,
                    [row.sk for row in rows if isinstance(row, LineRow)],
                )
            return rows

        return self._kernel.call(f"query {hash_key}", lambda: self._read(hash_key, read))

    def write(self, writes: Sequence[Write]) -> None:
        """See Tables."""
        self._kernel.call(
            f"write {', '.join(describe(write) for write in writes)}", lambda: self._write(writes)
        )

    def _read(self, partition: str, read: Callable[[], Result]) -> Result:
        if self._is_stuck([partition]):
            raise PynamoDBException(f"injected: {partition} is stuck")
        if self._weather.strike("read-error"):
            raise PynamoDBException("injected: read-error")
        return read()

    def _is_stuck(self, partitions: Sequence[str]) -> bool:
        """Whether one of them is throttled, still or from now on. An invocation remembers which one
        it met.
        """
        if self._weather.strike("row-stuck"):
            seconds = LONGEST_STUCK_SECONDS ** self._kernel.chance.random()
            self._stuck[self._kernel.chance.choice(partitions)] = self._kernel.time + seconds
        for partition in partitions:
            if not self._weather.clear and self._stuck.get(partition, 0.0) > self._kernel.time:
                if self._kernel.current is not None:
                    self._kernel.current.notes.setdefault("stuck", set()).add(partition)
                return True
        return False

    def _write(self, writes: Sequence[Write]) -> None:
        strike = self._weather.strike
        if self._is_stuck([str(key_of(write.row)[0]) for write in writes]):
            raise Contended("injected: a row is stuck")
        if strike("write-contended"):
            raise Contended("injected: write-contended")
        if strike("write-error"):
            raise PynamoDBException("injected: write-error")
        self._apply(writes)
        for fault, error in UNHEARD.items():
            if strike(fault):
                if self._kernel.current is not None:
                    self.unheard(self._kernel.current, writes)
                if strike("lost-answer-slow"):
                    self._kernel.wait(
                        "a write without an answer", 10 ** self._kernel.chance.uniform(-1, 1)
                    )
                # no transaction: the same write again, as it is
                if fault == "write-done-but-failed" and len(writes) == 1:
                    return self._apply(writes)
                raise error(f"injected: {fault}")
        return None

    def _apply(self, writes: Sequence[Write]) -> None:
        keys = [
            (write.row.TABLE, *key_of(write.row))
            for write in writes
            if not isinstance(write, Check)
        ]
        before = [self._tables.peek(*key) for key in keys]
        self._tables.write(writes)
        after = [self._tables.peek(*key) for key in keys]
        for (table, stream, version), item in zip(keys, after, strict=True):
            if table == EventRow.TABLE and item is not None:
                self._stream(stream, int(version), item["name"]["S"])
        self._watch.written(self._kernel.current, [*zip(keys, before, after, strict=True)])


def describe(write: Write) -> str:
    """A write in a word, for the timeline."""
    row, name = write.row, type(write).__name__.lower()
    if isinstance(row, EventRow):
        return (
            f"{row.name} as {row.version} of {row.stream}"
            if name == "put"
            else f"check {row.stream} {row.version}"
        )
    return f"{name} {row.pk}"


class BedrockClient:
    """boto3's `bedrock`, with retries off, on the simulator's rules."""

    def __init__(
        self,
        kernel: Kernel,
        weather: Weather,
        rules: Bedrock,
        watch: Watch,
        pump: Callable[[], None],
    ) -> None:
        self._kernel, self._weather, self._rules, self._watch, self._pump = (
            kernel,
            weather,
            rules,
            watch,
            pump,
        )
        self.down = False
        # what Create answers for a reason of the account's: code, text
        self.refusal: tuple[str, str] | None = None
        # hears the job, while the answer is on its way
        self.refusing: Callable[[str], None] = lambda _: None
        self.accepting: Callable[[str], None] = lambda _: None
        self.unanswered: Callable[[str], None] = lambda _: None
        self.cursed: set[str] = set()  # jobs that are refused for a reason of their own

    def create_model_invocation_job(self, **request: Any) -> dict[str, Any]:
        """See the API."""
        name, invocation = request["jobName"], self._kernel.current
        return self._kernel.call(f"Create {name}", lambda: self._create(request, invocation))

    def get_model_invocation_job(self, *, jobIdentifier: str) -> dict[str, Any]:
        """See the API."""
        return self._kernel.call(
            f"Get {jobIdentifier[-12:]}",
            lambda: self._answer("Get", lambda now: self._get(jobIdentifier, now)),
        )

    def stop_model_invocation_job(self, *, jobIdentifier: str) -> dict[str, Any]:
        """See the API."""

        def stop(now: datetime) -> dict[str, Any]:
            self._rules.stop(jobIdentifier, now)
            return {}

        return self._kernel.call(f"Stop {jobIdentifier[-12:]}", lambda: self._answer("Stop", stop))

    def get_paginator(self, _: str) -> "BedrockClient":
        """List has pages; of two jobs, because a service may always answer less than was
        asked for.
        """
        return self

    def paginate(
        self,
        *,
        nameContains: str,
        submitTimeAfter: datetime,
        PaginationConfig: Mapping[str, int],
    ) -> Iterator[dict[str, Any]]:
        """Every page."""
        assert PaginationConfig["PageSize"] > 0
        request: dict[str, Any] = {
            "nameContains": nameContains,
            "submitTimeAfter": submitTimeAfter,
            "maxResults": 2,
        }
        if self._weather.strike("list-behind"):
            request["submitTimeBefore"] = self._kernel.now - timedelta(seconds=LIST_BEHIND_SECONDS)
        while True:
            page = self._kernel.call(f"List {nameContains}", lambda: self._list(request))
            yield page
            if "nextToken" not in page:
                return
            request["nextToken"] = page["nextToken"]

    def _get(self, identifier: str, now: datetime) -> dict[str, Any]:
        """A job may not be known for a while after it was made, although List shows it (recorded:
        NotFound for minutes).
        """
        answer = self._rules.get(identifier, now)
        if now - answer["submitTime"] < timedelta(
            seconds=GET_BEHIND_SECONDS
        ) and self._weather.strike("get-behind"):
            raise client_error(
                "ResourceNotFoundException",
                "Get",
                "The provided batch inference job was not found.",
            )
        ended_at = answer.get("endTime")
        if (
            ended_at is not None
            and now - ended_at < timedelta(seconds=COUNTS_BEHIND_SECONDS)
            and self._weather.strike("counts-behind")
        ):
            return {**answer, **dict.fromkeys(COUNTS, 0)}
        return answer

    def _list(self, request: dict[str, Any]) -> dict[str, Any]:
        """Without tokens, as every List that was recorded."""
        if self._weather.strike("list-error"):
            raise client_error("ThrottlingException", "List")
        answer = self._answer("List", lambda now: self._rules.list(request, now))
        hidden = {"clientRequestToken", "message"}
        shown = [
            {name: job[name] for name in job.keys() - hidden}
            for job in answer["invocationJobSummaries"]
        ]
        return {**answer, "invocationJobSummaries": shown}

    def _answer(self, operation: str, act: Callable[[datetime], Result]) -> Result:
        if self.down:
            self._weather.felt("bedrock-down")
            raise client_error("InternalServerException", operation)
        if self._weather.strike("bedrock-throttled"):
            raise client_error("ThrottlingException", operation)
        if self._weather.strike("bedrock-call-error"):
            raise EndpointConnectionError(endpoint_url="injected")
        return self._at_bedrock(operation, act)

    def _at_bedrock(self, operation: str, act: Callable[[datetime], Result]) -> Result:
        self._pump()
        try:
            return act(self._kernel.now)
        except BedrockError as error:
            raise client_error(error.code, operation, error.message) from error
        finally:
            self._pump()

    def _create(self, request: dict[str, Any], invocation: Any) -> dict[str, Any]:
        self._watch.create_called(invocation, request)
        strike, job = self._weather.strike, request["jobName"].split("-")[1]
        if self.down:
            self._weather.felt("bedrock-down")
            raise client_error("InternalServerException", "Create")
        if self.refusal is not None:
            self.refusing(job)
            raise client_error(self.refusal[0], "Create", self.refusal[1])
        if job in self.cursed:
            self._weather.felt("job-refused-for-its-own-reason")
            self.refusing(job)
            raise client_error("ValidationException", "Create", "no such record")
        if strike("bedrock-throttled"):
            raise client_error("ThrottlingException", "Create")
        if strike("create-500"):
            raise client_error("InternalServerException", "Create")
        if strike("create-timeout"):
            self._time_out()
        if strike("create-timeout-then-done"):
            wait = CREATE_READ_TIMEOUT_SECONDS + self._kernel.chance.uniform(0, MAX_LATE_SECONDS)
            self._kernel.after(wait, lambda: self._late(request))
            self._time_out()
        try:
            answer = {
                "jobArn": self._at_bedrock("Create", lambda now: self._rules.create(request, now))
            }
        except ClientError:
            self.refusing(job)
            self._slowly()
            raise
        if strike("create-done-then-timeout"):
            self.unanswered(job)
            self._time_out()
        if strike("create-done-then-500"):
            raise client_error("InternalServerException", "Create")
        if strike("create-done-then-conflict"):
            raise client_error(self._rules.faults.name_in_use_error, "Create", NAME_IN_USE)
        self.accepting(job)
        self._slowly()
        return answer

    def _slowly(self) -> None:
        if self._weather.strike("create-slow"):
            self._kernel.wait("Create, slowly", self._kernel.chance.uniform(0.3, MOST_SLOW_SECONDS))

    def _late(self, request: dict[str, Any]) -> None:
        try:
            self._at_bedrock("Create", lambda now: self._rules.create(request, now))
        except ClientError:
            return  # nobody hears it

    def _time_out(self) -> None:
        self._kernel.wait("Create without an answer", CREATE_READ_TIMEOUT_SECONDS)
        raise ReadTimeoutError(endpoint_url="injected")


class SchedulerClient:
    """boto3's `scheduler`."""

    def __init__(self, kernel: Kernel, weather: Weather, schedules: Schedules) -> None:
        self._kernel, self._weather, self._schedules = kernel, weather, schedules
        # a schedule for the past: refused or run at once, which is not documented
        self.refuse_past = False

    def create_schedule(
        self, *, Name: str, ScheduleExpression: str, Target: Mapping[str, Any], **_: Any
    ) -> None:
        """See the API."""

        def create() -> None:
            due = datetime.strptime(ScheduleExpression, "at(%Y-%m-%dT%H:%M:%S)").replace(tzinfo=UTC)
            self._maybe_fail()
            if due <= self._kernel.now and self.refuse_past:
                raise client_error("ValidationException", "CreateSchedule")
            if not self._schedules.create(Name, due, Target["Input"]):
                raise client_error("ConflictException", "CreateSchedule")
            self._fail_after_all()

        self._kernel.call(f"arm {Name}", create)

    def delete_schedule(self, *, Name: str, GroupName: str) -> None:
        """See the API."""

        def delete() -> None:
            assert GroupName
            self._maybe_fail()
            if not self._schedules.delete(Name):
                raise client_error("ResourceNotFoundException", "DeleteSchedule")
            self._fail_after_all()

        self._kernel.call(f"disarm {Name}", delete)

    def _maybe_fail(self) -> None:
        if self._weather.strike("timer-call-error"):
            raise client_error("InternalServerException", "Scheduler")

    def _fail_after_all(self) -> None:
        if self._weather.strike("timer-call-done-but-error"):
            raise client_error("InternalServerException", "Scheduler")


class SqsClient:
    """boto3's `sqs`, for one queue."""

    def __init__(self, kernel: Kernel, weather: Weather, watch: Watch, queue: Queue) -> None:
        self._kernel, self._weather, self._watch, self._queue = kernel, weather, watch, queue

    def send_message(self, *, QueueUrl: str, MessageBody: str) -> None:
        """See the API."""
        self._kernel.call(f"send {MessageBody}", lambda: self._send(MessageBody))

    def change_message_visibility(
        self, *, QueueUrl: str, ReceiptHandle: str, VisibilityTimeout: int
    ) -> None:
        """See the API."""
        self._kernel.call(
            f"hide {ReceiptHandle}", lambda: self._queue.hide(ReceiptHandle, VisibilityTimeout)
        )

    def _send(self, body: str) -> None:
        if self._weather.strike("send-error"):
            raise client_error("InternalError", "SendMessage")
        self._queue.send(body)
        self._watch.hinted(self._kernel.current, body)


class SnsClient:
    """boto3's `sns`."""

    def __init__(self, kernel: Kernel, weather: Weather) -> None:
        self.published: list[dict[str, str]] = []
        self._kernel, self._weather = kernel, weather

    def publish(self, *, TopicArn: str, Message: str) -> None:
        """See the API."""
        try:
            self._kernel.call("publish", lambda: self._publish(Message))
        except ReadTimeoutError:
            self._kernel.wait("a message without an answer", READ_TIMEOUT_SECONDS)
            raise

    def _publish(self, message: str) -> None:
        if self._weather.strike("publish-error"):
            raise client_error("InternalError", "Publish")
        if self._weather.strike("publish-unanswered"):
            raise ReadTimeoutError(endpoint_url="injected")
        self.published.append(json.loads(message))
        if self._weather.strike("publish-done-but-error"):
            raise client_error("InternalError", "Publish")


@dataclass
class Body:
    """A streaming body."""

    data: bytes
    _read: int = 0

    def read(self, size: int = -1) -> bytes:
        """What is left of it, or the next `size` bytes."""
        piece = self.data[self._read :] if size < 0 else self.data[self._read : self._read + size]
        self._read += len(piece)
        return piece

    def iter_chunks(self, size: int) -> Iterator[bytes]:
        """In pieces."""
        for start in range(0, len(self.data), size):
            yield self.data[start : start + size]

    def close(self) -> None:
        """Nothing to close."""


@dataclass
class Thing:
    """One version of an object."""

    data: bytes
    etag: str
    metadata: Mapping[str, str] = field(default_factory=dict)


class S3Client:
    """boto3's `s3`, on a versioned bucket in memory: (key, version id) -> Thing. The newest
    version's id is in `newest`.
    """

    def __init__(self, kernel: Kernel, weather: Weather) -> None:
        self._kernel, self._weather = kernel, weather
        self.things: dict[tuple[str, str], Thing] = {}
        self.newest: dict[str, str] = {}
        self.denied = False  # whether intake lacks a right to read uploads
        self._numbers = itertools.count(1)

    def put(self, key: str, data: bytes, **metadata: str) -> tuple[str, str]:
        """A person, or Bedrock, writes an object: (version id, ETag)."""
        number = next(self._numbers)
        version, etag = f"v{number:05d}", f'"{number:032x}"'
        self.things[key, version] = Thing(data, etag, metadata)
        self.newest[key] = version
        return version, etag

    def get_object(self, *, Bucket: str, Key: str, VersionId: str | None = None) -> dict[str, Any]:
        """See the API."""

        def get() -> dict[str, Any]:
            thing = self._thing(Key, VersionId, "GetObject")
            return {
                "Body": Body(thing.data),
                "ETag": thing.etag,
                "ContentLength": len(thing.data),
                "Metadata": dict(thing.metadata),
            }

        return self._kernel.call(f"GetObject {Key[-40:]!r}", get)

    def list_object_versions(
        self,
        *,
        Bucket: str,
        Prefix: str,
        KeyMarker: str,
        VersionIdMarker: str,
        MaxKeys: int,
    ) -> dict[str, Any]:
        """See the API: the versions of a key that are older than the marker's, newest first."""

        def listed() -> dict[str, Any]:
            if self._weather.strike("s3-error"):
                raise client_error("SlowDown", "ListObjectVersions")
            older = [
                version
                for key, version in self.things
                if key == KeyMarker and version < VersionIdMarker
            ]
            newest = sorted(older, reverse=True)[:MaxKeys]
            return {
                "Versions": [
                    {"Key": KeyMarker, "VersionId": v, "ETag": self.things[KeyMarker, v].etag}
                    for v in newest
                ]
            }

        return self._kernel.call(f"ListObjectVersions {Prefix[-40:]!r}", listed)

    def copy_object(
        self,
        *,
        Bucket: str,
        Key: str,
        CopySource: Mapping[str, str],
        CopySourceIfMatch: str,
        **_: Any,
    ) -> None:
        """See the API."""

        def copy() -> None:
            thing = self._thing(CopySource["Key"], CopySource.get("VersionId"), "CopyObject")
            if thing.etag != CopySourceIfMatch:
                raise client_error("PreconditionFailed", "CopyObject")
            self.put(Key, thing.data)

        self._kernel.call(f"CopyObject to {Key[-40:]!r}", copy)

    def delete_version(self, key: str, version: str) -> None:
        """A person deletes a version for good."""
        self.things.pop((key, version), None)

    def _thing(self, key: str, version: str | None, operation: str) -> Thing:
        if self._weather.strike("s3-error"):
            raise client_error("SlowDown", operation)
        if self.denied and key.startswith(INPUT_PREFIX):
            raise client_error("AccessDenied", operation, NO_DECRYPT)
        thing = self.things.get((key, version or self.newest.get(key, "")))
        if thing is None:
            raise client_error("NoSuchVersion" if version else "NoSuchKey", operation)
        return thing
