"""A deployment under moto for the command-line tool: tables, bucket, queues and the SSM parameter,
and a scheduler to fill them.

`deployed` is a `Deployed`: whatever is in its tables was written by the production code (intake's
event, then the scheduler's `reconcile`), on a clock that stands at NOW until a test moves it, and
that the commands are shown too. `bbq` runs a command as a shell would, in this process.
"""

import io
import itertools
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import botocore.client
import pytest
from moto import mock_aws

from bbq.cli import deployment as cli_deployment
from bbq.cli import progress, times
from bbq.cli.deployment import Deployment
from bbq.cli.main import run
from bbq.services.scheduler.bedrock import Refused
from bbq.services.scheduler.hints import Report
from bbq.services.scheduler.reconcile import Visit, reconcile, reconcile_report
from bbq.services.scheduler.wake import reconcile_model
from bbq.services.scheduler.world import World
from bbq.shared import events as e
from bbq.shared import projections as p
from bbq.shared.job import Job
from bbq.shared.models import Model
from bbq.shared.names import (
    INPUT_PREFIX,
    job_id,
    job_stream,
    model_stream,
    output_prefix,
    s3_uri,
    staged_key,
)
from bbq.shared.slots import fold_model
from bbq.shared.store import Store
from tests.support.tables import create_tables
from tests.support.world import FakeBedrock, FakeOutbox, FakeResults, FakeTimers, FakeTopic, config

NOW = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)
NAME, ACCOUNT, REGION = "bbq", "123456789012", "us-east-1"
BUCKET = f"{NAME}-{ACCOUNT}-{REGION}"
MODELS = {
    "haiku": Model(alias="haiku", model_id="us.anthropic.claude-haiku-4-5-20251001-v1:0", limit=2),
    "nova": Model(alias="nova", model_id="amazon.nova-lite-v1:0", limit=1),
}
QUEUES = ("uploads", "hints", "uploads-dlq", "hints-dlq", "stream-failures")


class Requests(list[str]):
    """Names of requests, and how many rows the queries among them answered."""

    items = 0

    def clear(self) -> None:
        """Begin anew."""
        super().clear()
        self.items = 0


@dataclass
class Result:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one document on standard output."""
        return json.loads(self.out)


@dataclass
class Deployed:
    """A deployment that is filled by hand. `time` is the clock of the scheduler and of the
    commands.
    """

    deployment: Deployment
    time: datetime = NOW
    bedrock: FakeBedrock = field(default_factory=FakeBedrock)
    results: FakeResults = field(default_factory=FakeResults)
    outbox: FakeOutbox = field(default_factory=FakeOutbox)
    timers: FakeTimers = field(default_factory=FakeTimers)
    # by ARN: what Bedrock counts while a job runs
    processed: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._ids = itertools.count(1)
        for alias, model in self.deployment.models.items():
            self.set_limit(alias, model.limit)

    @property
    def store(self) -> Store:
        """Events and projections."""
        return self.deployment.store

    def world(self) -> World:
        """For one invocation of the scheduler."""
        settings = config(
            deployment=NAME,
            account_id=ACCOUNT,
            region=REGION,
            events_table=self.deployment.events_table,
            projections_table=self.deployment.projections_table,
            models=self.deployment.models,
        )
        return World(
            config=settings,
            store=self.store,
            bedrock=self.bedrock,
            timers=self.timers,
            outbox=self.outbox,
            topic=FakeTopic(),
            results=self.results,
            now=lambda: self.time,
            seconds_left=lambda: 110.0,
            new_id=lambda: f"owner-{next(self._ids)}",
            note=lambda *_, **__: None,
        )

    def wait(self, **time: float) -> None:
        """Let time pass."""
        self.time += timedelta(**time)

    def upload(
        self,
        file: str,
        model: str = "haiku",
        *,
        priority: int = 5,
        records: int = 100,
        version: str = "v1",
        **labels: str,
    ) -> str:
        """A fit upload, as intake records it and the scheduler takes it up; the job's id."""
        key = INPUT_PREFIX + file
        job = job_id(BUCKET, key, version, "", "")
        self.append(
            job,
            e.JobQueued(
                at=self.time,
                model=model,
                priority=priority,
                sources=(self._source(key, version),),
                record_count=records,
                size_bytes=records * 1000,
                input_uri=s3_uri(BUCKET, staged_key(job, key)),
                output_uri=s3_uri(BUCKET, output_prefix(job, key)),
                labels=tuple(e.Label(name=name, value=value) for name, value in labels.items()),
            ),
        )
        self.wake(job)
        return job

    def reject(self, file: str, *problems: e.Problem, model: str | None = "haiku") -> str:
        """An upload that is not fit."""
        key = INPUT_PREFIX + file
        job = job_id(BUCKET, key, "v1", "", "")
        self.append(
            job,
            e.JobRejected(
                at=self.time,
                model=model,
                sources=(self._source(key, "v1"),),
                problems=problems,
                problem_count=len(problems),
                size_bytes=10,
            ),
        )
        self.wake(job)
        return job

    def unreadable(
        self, file: str, reason: str = "kms:Decrypt is missing", version: str = "v1"
    ) -> str:
        """An upload that intake may not read; the job's id."""
        key = INPUT_PREFIX + file
        job = job_id(BUCKET, key, version, "", "")
        self.append(
            job,
            e.UploadUnreadable(at=self.time, sources=(self._source(key, version),), reason=reason),
        )
        self.wake(job)
        return job

    def get_model_invocation_job(self, *, jobIdentifier: str) -> dict[str, Any]:
        """Bedrock, to the commands (its Get): moto does not know it."""
        count = self.processed.get(jobIdentifier)
        return {"jobArn": jobIdentifier} | (
            {"processedRecordCount": count} if count is not None else {}
        )

    def append(self, job: str, event: e.Event) -> None:
        """An event of intake's or an operator's; nothing is projected by this."""
        self.store.append(job, self.store.job(job), event)

    def wake(self, job: str) -> None:
        """The scheduler looks at the job."""
        reconcile(self.world(), job, Visit())

    def wake_model(self, model: str) -> None:
        """The scheduler looks at the model."""
        reconcile_model(self.world(), model)

    def report(self, job: str, status: str, *, message: str = "", **counts: int) -> None:
        """Bedrock says so of the running job. `counts` are the manifest's, as Bedrock names
        them.
        """
        state = self.job(job)
        assert state.arn
        self.results.manifests[state.arn] = counts
        self.bedrock.turn(state.arn, status)
        told = Report(
            arn=state.arn,
            model_id=state.model_id,
            status=status,
            message=message,
            job=job,
            attempt=state.attempt,
        )
        reconcile_report(self.world(), told)

    def complete(self, job: str, *, succeeded: int = 100, failed: int = 0) -> None:
        """It ran and ended, with so many records and a thousand tokens for each."""
        self.report(
            job,
            "Completed",
            totalRecordCount=succeeded + failed,
            processedRecordCount=succeeded + failed,
            successRecordCount=succeeded,
            errorRecordCount=failed,
            inputTokenCount=succeeded * 900,
            outputTokenCount=succeeded * 100,
        )

    def refuse_next(self, kind: str = "quota", message: str = "the quota is full") -> None:
        """Bedrock turns the next Create away."""
        self.bedrock.script.append(Refused(kind, message))

    def set_limit(self, model: str, limit: int, **ceiling: int | None) -> None:
        """As a deployment does."""
        self.model_event(model, e.LimitSet(at=self.time, limit=limit, **ceiling))

    def pause(self, model: str, by: str = "ada", why: str = "") -> None:
        """As an operator does."""
        self.model_event(model, e.ModelPaused(at=self.time, by=by, why=why))

    def model_event(self, model: str, event: e.Event) -> None:
        """An event of the model, and what it changes."""
        events = [recorded.event for recorded in self.store.load(model_stream(model))]
        state = fold_model(model, [*events, event])
        self.store.append_to_model(model, state.model_version, event)
        self.store.commit(
            p.model_changed(
                self.store.slots(model), state, resumed=isinstance(event, e.ModelResumed)
            )
        )

    def history(self, job: str) -> list[str]:
        """The names of its events."""
        return [recorded.event.NAME for recorded in self.store.load(job_stream(job))]

    def job(self, job: str) -> Job:
        """The job now."""
        found = self.store.job(job)
        assert found
        return found

    def _source(self, key: str, version: str) -> e.Source:
        return e.Source(
            bucket=BUCKET,
            key=key,
            version_id=version,
            etag="0" * 32,
            sequencer="00",
            size_bytes=1000,
        )


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """AWS by moto, and a process that has asked nothing of it yet."""
    for name in ("AWS_REGION", "AWS_PROFILE", "BBQ_NAME", "NO_COLOR", "COLUMNS", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    # so that what a command sets is forgotten behind the test
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    _forget()
    with mock_aws():
        yield
    _forget()


@pytest.fixture
def deployed(aws: None, monkeypatch: pytest.MonkeyPatch) -> Deployed:
    """Deployment `bbq` with models haiku (limit 2) and nova (limit 1), idle."""
    found = Deployed(publish())
    monkeypatch.setattr(times, "now", lambda: found.time)
    monkeypatch.setattr(progress, "client", lambda: found)
    return found


@pytest.fixture
def bbq(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run `bbq` with these arguments, without a terminal."""

    def call(*arguments: str) -> Result:
        out, err = io.StringIO(), io.StringIO()
        monkeypatch.setattr(sys, "argv", ["bbq", *arguments])
        with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
            run()
        return Result(code=int(ended.value.code or 0), out=out.getvalue(), err=err.getvalue())

    return call


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> Iterator[Requests]:
    """The name of every request to AWS, as it is made."""
    made = Requests()
    real = botocore.client.BaseClient._make_api_call  # type: ignore[attr-defined] # botocore's own door

    def counted(self: Any, operation: str, arguments: Any) -> Any:
        made.append(operation)
        answer = real(self, operation, arguments)
        made.items += len(answer.get("Items", ()))
        return answer

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", counted)
    yield made
    assert "Scan" not in made


def publish() -> Deployment:
    """Create everything that Terraform would, and find it as the commands do."""
    create_tables(boto3.client("dynamodb"), f"{NAME}-events", f"{NAME}-projections")
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    urls = {
        name: boto3.client("sqs").create_queue(QueueName=f"{NAME}-{name}")["QueueUrl"]
        for name in QUEUES
    }
    topic = boto3.client("sns").create_topic(Name=f"{NAME}-events")["TopicArn"]
    said = {
        "name": NAME,
        "region": REGION,
        "account_id": ACCOUNT,
        "bucket": BUCKET,
        "events_table": f"{NAME}-events",
        "projections_table": f"{NAME}-projections",
        "models": {
            alias: {"model_id": model.model_id, "limit": model.limit}
            for alias, model in MODELS.items()
        },
        "default_model": "haiku",
        "uploads_queue_url": urls["uploads"],
        "hints_queue_url": urls["hints"],
        "dead_letter_queue_urls": {
            "uploads": urls["uploads-dlq"],
            "hints": urls["hints-dlq"],
            "stream": urls["stream-failures"],
        },
        "events_topic_arn": topic,
        "lease_seconds": 215,
    }
    boto3.client("ssm").put_parameter(
        Name=cli_deployment.PATH + NAME, Value=json.dumps(said), Type="String"
    )
    return cli_deployment.find(NAME)


def _forget() -> None:
    cli_deployment.client.cache_clear()
    cli_deployment._tables.cache_clear()
