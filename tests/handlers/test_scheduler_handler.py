"""The scheduler's entry: batches in, partial failures out, and no message that stops another."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from services.scheduler import handler as h
from services.scheduler.config import read_config
from shared import events as e
from shared.batch import retry_seconds
from shared.names import attempt_name, job_stream, model_stream
from shared.tables import EventRow, Put
from tests.support.payloads import bedrock_event, body, sqs_event, stream_event, stream_of
from tests.support.samples import MODEL, MODEL_ID
from tests.support.world import DEPLOYMENT, Bench, arn

MAX_RECEIVES = 300  # terraform/hints.tf
GARBAGE = ["", "null", "{}", "[]", '{"wake": "nobody"}', '{"job": 5}', body(bedrock_event()), "\x00"]


def run(bench: Bench, event: dict[str, Any]) -> dict[str, Any]:
    return h.act_on(bench.world(), event)


def report(job: str, status: str, which: str) -> str:
    return body(
        bedrock_event(batchJobName=attempt_name(DEPLOYMENT, job, 1), batchJobArn=which, status=status, batchModelId=MODEL_ID)
    )


def test_a_stream_record_of_a_queued_job_starts_it() -> None:
    bench = Bench()
    job = bench.upload()
    assert run(bench, stream_of(job)) == {"batchItemFailures": []}
    assert bench.job(job).status == "Submitted"


def test_a_batch_looks_at_each_job_once() -> None:
    bench = Bench(limit=0)
    job = bench.upload()
    loads: list[str] = []
    load = bench.store.load
    bench.store.load = lambda stream, after=0: loads.append(stream) or load(stream, after)  # type: ignore[method-assign,func-returns-value]
    run(bench, stream_of(job, job, job))
    assert len(loads) == 1


def test_a_stream_record_that_fails_becomes_a_hint_and_is_reported_done() -> None:  # R13
    bench = Bench()
    bad, good = bench.upload("bad"), bench.upload("good")
    fail_on(bench, bad)
    assert run(bench, stream_of(bad, good)) == {"batchItemFailures": []}
    assert bench.outbox.sent == [("job", bad)]
    assert bench.job(good).status == "Submitted"


def test_only_when_the_hint_fails_too_is_the_record_reported_failed() -> None:
    bench = Bench()
    bad, good = bench.upload("bad"), bench.upload("good")
    fail_on(bench, bad)

    def broken(job: str) -> None:
        raise ClientError({"Error": {"Code": "AccessDenied"}}, "SendMessage")

    bench.outbox.wake_job = broken  # type: ignore[method-assign] # the queue is out of reach
    event = stream_of(bad, good)
    failed = event["Records"][0]["dynamodb"]["SequenceNumber"]
    assert run(bench, event) == {"batchItemFailures": [{"itemIdentifier": failed}]}
    assert bench.job(good).status == "Submitted"


def test_records_without_time_left_become_hints() -> None:
    bench = Bench(left=5)
    job = bench.upload()
    run(bench, stream_of(job))
    assert bench.outbox.sent == [("job", job)]


def test_a_models_stream_record_brings_its_slots_up_to_date() -> None:
    bench = Bench(limit=0)
    job = bench.upload()
    run(bench, stream_of(job))
    bench.store.append_to_model(MODEL, 2, e.LimitSet(at=bench.time, limit=1))
    run(bench, stream_event(model_stream(MODEL)))
    assert bench.job(job).status == "Submitted"


@pytest.mark.parametrize("stream", ["", "x", "#", "job", "other#x", "job#"])
def test_a_stream_record_of_nothing_we_know_changes_nothing(stream: str) -> None:
    bench = Bench()
    assert run(bench, stream_event(stream)) == {"batchItemFailures": []}
    assert bench.outbox.sent == []


def test_bedrocks_events_move_a_job_to_its_end() -> None:
    bench = Bench()
    job = bench.upload()
    run(bench, stream_of(job))
    made = arn(1)
    for status in ("Validating", "InProgress", "Completed"):
        assert run(bench, sqs_event(report(job, status, made))) == {"batchItemFailures": []}
    assert bench.job(job).status == "Completed"


def test_garbage_is_counted_and_dropped_and_stops_nobody() -> None:  # P7
    bench = Bench()
    job = bench.upload()
    run(bench, stream_of(job))
    events = bench.history(job)
    assert run(bench, sqs_event(*GARBAGE)) == {"batchItemFailures": []}
    assert bench.history(job) == events
    assert {name for name, _ in bench.notes} >= {"HintIgnored"}


def test_a_hint_that_fails_comes_back_alone_and_later_each_time() -> None:
    bench = Bench()
    bad, good = bench.upload("bad"), bench.upload("good")
    fail_on(bench, bad)
    event = sqs_event(body({"job": bad}), body({"job": good}), receives=3)
    assert run(bench, event) == {"batchItemFailures": [{"itemIdentifier": event["Records"][0]["messageId"]}]}
    assert [seconds for _, seconds in bench.outbox.hidden] == [120]
    assert bench.job(good).status == "Submitted"


def test_hints_about_a_job_that_cannot_be_read_do_not_pile_up() -> None:  # P6, found by simulation
    """Each hour's fill leaves a hint about it; what must come back, until a person looks, is the one of its own event."""
    bench = Bench(limit=0)
    bad = bench.upload()
    row = EventRow(stream=job_stream(bad), version=2, name="from-the-future", schema=1, at="x", data={})
    bench.store.commit([Put(row)])
    due = bench.time.isoformat()
    own, of_a_fill, of_an_attempt = {"job": bad}, {"job": bad, "attempt": 0, "due": due}, {"job": bad, "attempt": 1, "due": due}
    event = sqs_event(body(own), body(of_a_fill), body(of_an_attempt))
    ids = [record["messageId"] for record in event["Records"]]
    failed = [item["itemIdentifier"] for item in run(bench, event)["batchItemFailures"]]
    assert failed == [ids[0], ids[2]]


@pytest.mark.parametrize("which", ["job", "model"])
def test_timers_that_all_fire_early_never_break_the_chain(which: str) -> None:  # R35, found by simulation
    """A fired schedule keeps its name for a while: each must leave one behind that never was, whatever its job needs."""
    bench = Bench(limit=0)
    job = bench.upload()
    whose, hint = (f"{job}-1", {"job": job, "attempt": 1}) if which == "job" else (f"model-{MODEL}", {"wake": MODEL})
    due = bench.time + timedelta(minutes=5)
    once: set[datetime] = set()
    for _ in range(5):
        for _ in range(2):
            run(bench, sqs_event(body({**hint, "due": due.isoformat()})))
        (again,) = set(bench.timers.due(whose)) - once
        assert again > due
        once |= {due, again}
        due = again
    bench.time = due
    before = bench.timers.due(whose)
    run(bench, sqs_event(body({**hint, "due": due.isoformat()})))
    assert bench.timers.due(whose) == before


def test_retries_grow_to_an_hour_and_reach_the_dead_letter_queue_within_its_fourteen_days() -> None:
    waits = [retry_seconds(n, h.LONGEST_RETRY_SECONDS) for n in range(1, MAX_RECEIVES + 1)]
    assert waits[0] == 30
    assert waits == sorted(waits)
    assert max(waits) == 3600
    assert 12 * 86_400 < sum(waits) < 14 * 86_400


def test_a_direct_wake_with_limits_is_a_deployment() -> None:
    bench = Bench(limit=-1)
    job = bench.upload()
    run(bench, stream_of(job))
    assert bench.job(job).status == "Queued"
    assert run(bench, {"wake": "all", "limits": {MODEL: 1}, "configuration": "x"}) == {"woken": [MODEL]}
    assert bench.job(job).status == "Submitted"


def test_a_direct_call_that_says_nothing_is_told_what_to_say() -> None:
    with pytest.raises(ValueError, match='"wake": "all"'):
        run(Bench(), {"hello": 1})


def test_a_configuration_that_is_not_complete_says_everything_at_once() -> None:
    with pytest.raises(ValueError, match=r"BBQ_EVENTS_TABLE.*BBQ_CHECK_IN_MINUTES.*BBQ_MODELS"):
        read_config({"BBQ_DEPLOYMENT": "bbq", "BBQ_CHECK_IN_MINUTES": "0"})


def fail_on(bench: Bench, job: str) -> None:
    """The table answers for every job but this one."""
    load = bench.store.load

    def failing(stream: str, after: int = 0) -> Any:
        if stream.endswith(job):
            raise ClientError({"Error": {"Code": "InternalServerError"}}, "Query")
        return load(stream, after)

    bench.store.load = failing  # type: ignore[method-assign] # one partition is out of reach


def test_a_service_that_hangs_is_an_error_while_there_is_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """botocore's own time-outs would take five minutes: the function would be killed before it could record anything."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setattr(h, "_config", lambda: Bench().config)
    bedrock, timers, outbox, results = h._clients.__wrapped__()
    for client in (bedrock._client, timers._client, outbox._client, results._client):
        config: Any = client.meta.config
        longest = config.retries["total_max_attempts"] * (config.connect_timeout + config.read_timeout)
        assert longest <= Bench().config.function_timeout.total_seconds() / 3, client.meta.service_model.service_name
