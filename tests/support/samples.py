"""One job's life as events, and a few ready-made states, for tests."""

from datetime import UTC, datetime, timedelta

from bbq.shared import events as e
from bbq.shared.job import Job, fold
from bbq.shared.names import attempt_name, job_id, output_prefix, s3_uri, staged_key

T0 = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
BUCKET, MODEL, MODEL_ID = "bbq-bucket", "haiku", "anthropic.claude-haiku-4-5-20251001-v1:0"
LINE = (
    b'{"recordId": "CALL0000001", "modelInput": {"anthropic_version": "bedrock-2023-05-31", '
    b'"max_tokens": 1}}\n'
)
ARN = "arn:aws:bedrock:us-east-1:000000000000:model-invocation-job/abcdefghwxyz"


def at(seconds: float) -> datetime:
    """T0 plus seconds."""
    return T0 + timedelta(seconds=seconds)


def source(key: str = "to-process/haiku/a.jsonl", version: str = "v1") -> e.Source:
    """An upload."""
    return e.Source(
        bucket=BUCKET,
        key=key,
        version_id=version,
        etag="0" * 32,
        sequencer="0055AED6DCD90281E5",
        size_bytes=1234,
    )


def id_of(key: str = "to-process/haiku/a.jsonl", version: str = "v1") -> str:
    """The job id of an upload."""
    return job_id(BUCKET, key, version, "", "")


def queued(
    key: str = "to-process/haiku/a.jsonl",
    version: str = "v1",
    *,
    seconds: float = 0,
    priority: int = 5,
    model: str = MODEL,
) -> e.JobQueued:
    """A job-queued."""
    job = id_of(key, version)
    return e.JobQueued(
        at=at(seconds),
        model=model,
        priority=priority,
        sources=(source(key, version),),
        record_count=100,
        size_bytes=1234,
        input_uri=s3_uri(BUCKET, staged_key(job, key)),
        output_uri=s3_uri(BUCKET, output_prefix(job, key)),
    )


def slot_claimed(job: str, attempt: int = 1, seconds: float = 1) -> e.SlotClaimed:
    """A slot-claimed."""
    return e.SlotClaimed(
        at=at(seconds),
        attempt=attempt,
        model_id=MODEL_ID,
        job_name=attempt_name("bbq", job, attempt),
    )


def life(*later: e.Event) -> Job:
    """The state after job-queued and these events."""
    job = fold(id_of(), [queued(), *later])
    assert job is not None
    return job
