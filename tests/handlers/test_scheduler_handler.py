"""The scheduler's entry: batches in, partial failures out, and no message that stops another."""

from dataclasses import replace
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError
from pynamodb.exceptions import QueryError

from bbq.services.scheduler import handler as h
from bbq.services.scheduler import wiring
from bbq.services.scheduler.config import read_config
from bbq.services.scheduler.timers import Timers
from bbq.shared import events as e
from bbq.shared.batch import retry_seconds
from bbq.shared.names import attempt_name, job_stream, model_stream
from bbq.shared.tables import EventRow, Put
from bbq.shared.telemetry import said
from tests.support.payloads import bedrock_event, body, sqs_event, stream_event, stream_of
from tests.support.samples import MODEL, MODEL_ID
from tests.support.world import DEPLOYMENT, Bench, arn

MAX_RECEIVES = 120  # terraform/hints.tf
GARBAGE = [
    "",
    "null",
    "{}",
    "[]",
    '{"wake": "nobody"}',
    '{"job": 5}',
    body(bedrock_event()),
    "\x00",
]


def run(bench: Bench, event: dict[str, Any]) -> dict[str, Any]:
    return h.act_on(bench.world(), event)


def report(job: str, status: str, which: str) -> str:
    return body(
        bedrock_event(
            batchJobName=attempt_name(DEPLOYMENT, job, 1),
            batchJobArn=which,
            status=status,
            batchModelId=MODEL_ID,
        )
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
    assert bench.outbox.sent == [("job", job), ("publish", f"{job} 1")]
    assert bench.topic.messages == []


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
    assert run(bench, event) == {
        "batchItemFailures": [{"itemIdentifier": event["Records"][0]["messageId"]}]
    }
    assert [seconds for _, seconds in bench.outbox.hidden] == [120]
    assert bench.job(good).status == "Submitted"


def test_hints_about_a_job_that_cannot_be_read_do_not_pile_up() -> None:  # P6, found by simulation
    """Each hour's fill leaves a hint about it; what must come back, until a person looks, is the
    one of its own event.
    """
    bench = Bench(limit=0)
    bad = bench.upload()
    row = EventRow(
        stream=job_stream(bad), version=2, name="from-the-future", schema=1, at="x", data={}
    )
    bench.store.commit([Put(row)])
    due = bench.time.isoformat()
    own, of_a_fill, of_an_attempt = (
        {"job": bad},
        {"job": bad, "attempt": 0, "due": due},
        {"job": bad, "attempt": 1, "due": due},
    )
    event = sqs_event(body(own), body(of_a_fill), body(of_an_attempt))
    ids = [record["messageId"] for record in event["Records"]]
    failed = [item["itemIdentifier"] for item in run(bench, event)["batchItemFailures"]]
    assert failed == [ids[0], ids[2]]


def test_retries_grow_to_an_hour_and_leave_a_dead_letter_nine_of_its_fourteen_days() -> None:
    """A message that moves keeps its age (SQS developer guide, "Dead-letter queues"). Each receive
    may take the whole timeout.
    """
    waits = [retry_seconds(n, h.LONGEST_RETRY_SECONDS) for n in range(1, MAX_RECEIVES + 1)]
    assert waits[0] == 30
    assert waits == sorted(waits)
    assert max(waits) == 3600
    receiving = MAX_RECEIVES * Bench().config.function_timeout.total_seconds()
    assert 4 * 86_400 < sum(waits) < sum(waits) + receiving < (14 - 9) * 86_400


def test_a_direct_wake_with_limits_is_a_deployment() -> None:
    bench = Bench(limit=-1)
    job = bench.upload()
    run(bench, stream_of(job))
    assert bench.job(job).status == "Queued"
    assert run(bench, {"wake": "all", "limits": {MODEL: 1}, "configuration": "x"}) == {
        "woken": [MODEL]
    }
    assert bench.job(job).status == "Submitted"


DENIED = ClientError(
    {"Error": {"Code": "AccessDeniedException", "Message": "no identity-based policy allows it"}},
    "GetItem",
)


def test_a_deployment_waits_while_its_rights_are_not_there_yet() -> None:
    """Recorded 2026-03-24, terraform-aws-control_tower_account_factory #614: the first apply was
    refused, a later one was not.
    """
    bench = Bench(limit=-1)
    errors = denied_for_a_while(bench, [query_denied(), DENIED])
    assert run(bench, {"wake": "all", "limits": {MODEL: 1}}) == {"woken": [MODEL]}
    assert errors == []
    assert bench.slots.limit == 1
    assert [name for name, _ in bench.notes].count("RightsNotThereYet") == 2


def test_a_deployment_fails_when_its_time_is_over_and_the_rights_are_still_missing() -> None:
    bench = Bench(limit=-1)
    denied_for_a_while(bench, [query_denied()] * 3 + [DENIED])
    world = bench.world()
    left = iter([110.0, 60.0, h.RECORD_SECONDS])
    late = replace(world, seconds_left=lambda: next(left))
    with pytest.raises(ExceptionGroup) as caught:
        h.act_on(late, {"wake": "all"})
    assert "AccessDenied" in said(caught.value)


def test_a_deployment_does_not_wait_for_any_other_error() -> None:
    bench = Bench(limit=-1)
    errors = denied_for_a_while(
        bench, [ClientError({"Error": {"Code": "InternalServerError"}}, "Query"), DENIED]
    )
    with pytest.raises(ExceptionGroup):
        run(bench, {"wake": "all", "limits": {MODEL: 1}})
    assert errors == [DENIED]
    assert bench.outbox.sent == [("model", MODEL)]  # whether or not anybody repeats the apply


def denied_for_a_while(bench: Bench, errors: list[Exception]) -> list[Exception]:
    """The models' events answer with these errors first."""
    load = bench.store.load

    def failing(stream: str, after: int = 0) -> Any:
        if errors and stream == model_stream(MODEL):
            raise errors.pop(0)
        return load(stream, after)

    bench.store.load = failing  # type: ignore[method-assign] # the role is young
    return errors


def query_denied() -> Exception:
    """As PynamoDB raises what botocore says."""
    return QueryError(f"Failed to query items: {DENIED}", DENIED)


def test_a_timer_whose_role_cannot_be_assumed_yet_brings_the_hint_back() -> None:
    """Recorded 2026-09-08: for minutes after the role was made, at times later. Nothing is claimed
    without a timer.
    """
    words = (
        "The execution role you provide must allow AWS EventBridge Scheduler to assume the role."
    )
    refused = ClientError(
        {"Error": {"Code": "ValidationException", "Message": words}}, "CreateSchedule"
    )

    errors = [refused, refused]

    class Scheduler:
        def create_schedule(self, **_: Any) -> None:
            if errors:
                raise errors.pop()

    bench = Bench()
    job = bench.upload()
    timers: Any = Timers(
        cast("Any", Scheduler()),
        group="bbq",
        role_arn="arn:role",
        queue_arn="arn:queue",
        dlq_arn="arn:dlq",
    )
    bench.timers.arm_attempt = timers.arm_attempt  # type: ignore[method-assign] # the real one
    run(bench, stream_of(job))
    assert bench.outbox.sent == [("job", job)]
    assert len(run(bench, sqs_event(body({"job": job})))["batchItemFailures"]) == 1
    assert [
        words in str(fields["error"]) for name, fields in bench.notes if name == "HintFailed"
    ] == [True]
    assert bench.job(job).status == "Queued"
    assert run(bench, sqs_event(body({"job": job}))) == {"batchItemFailures": []}
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


def test_a_service_that_hangs_is_an_error_while_there_is_time_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """botocore's own time-outs would take five minutes: the function would be killed before it
    could record anything.
    """
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setattr(wiring, "_config", lambda: Bench().config)
    bedrock, timers, outbox, topic, results = wiring._clients.__wrapped__()
    for client in (
        bedrock._client,
        timers._client,
        outbox._client,
        topic._connect(),
        results._client,
    ):
        config: Any = client.meta.config
        longest = config.retries["total_max_attempts"] * (
            config.connect_timeout + config.read_timeout
        )
        assert longest <= Bench().config.function_timeout.total_seconds() / 3, (
            client.meta.service_model.service_name
        )
