"""The simulator's rules on a virtual clock: no thread, no file, no waiting."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local.bedrock_simulator.errors import REFUSALS, BedrockError
from local.bedrock_simulator.events import event_entry
from local.bedrock_simulator.faults import Faults, UnknownFaultError, changed
from local.bedrock_simulator.jobs import LEGAL_NEXT, TERMINAL, Inspection, Job, Settings, Tally
from local.bedrock_simulator.rules import Bedrock

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
MODEL = "anthropic.claude-3-haiku-20240307-v1:0"
PLAIN = Settings(quota=2)


def request(name: str = "job-1", **changes: Any) -> dict[str, Any]:
    return {
        "jobName": name,
        "clientRequestToken": f"token-{name}",
        "modelId": MODEL,
        "roleArn": "arn:aws:iam::000000000000:role/batch",
        "inputDataConfig": {"s3InputDataConfig": {"s3Uri": "s3://bucket/in/a.jsonl"}},
        "outputDataConfig": {"s3OutputDataConfig": {"s3Uri": "s3://bucket/out/"}},
        **changes,
    }


def run_until_quiet(bedrock: Bedrock) -> tuple[list[str], datetime]:
    now, statuses = NOON, [change.status for change in bedrock.advance(NOON)]
    while (due := bedrock.next_change_at()) is not None:
        now = max(now, due)
        statuses += [change.status for change in bedrock.advance(now)]
    return statuses, now


def run_until(bedrock: Bedrock, status: str) -> datetime:
    """When the only job has this status."""
    (job,), now = bedrock.jobs.values(), NOON
    while job.status != status:
        due = bedrock.next_change_at()
        assert due is not None, f"it stays {job.status}"
        now = max(now, due)
        bedrock.advance(now)
    return now


def refusal(bedrock: Bedrock, asked: dict[str, Any], now: datetime = NOON) -> str:
    with pytest.raises(BedrockError) as refused:
        bedrock.create(asked, now)
    return refused.value.code


def test_a_job_passes_through_every_status_and_completes() -> None:
    bedrock = Bedrock(PLAIN)
    bedrock.create(request(), NOON)
    assert run_until_quiet(bedrock)[0] == [
        "Submitted",
        "Validating",
        "Scheduled",
        "InProgress",
        "Completed",
    ]


def test_time_in_progress_lies_in_the_configured_range() -> None:
    bedrock = Bedrock(replace(PLAIN, job_seconds=(4.0, 5.0)))
    bedrock.create(request(), NOON)
    run_until_quiet(bedrock)
    (job,) = bedrock.jobs.values()
    assert 4 <= (job.times["Completed"] - job.times["InProgress"]).total_seconds() <= 5


def test_the_same_seed_gives_the_same_jobs_and_times() -> None:
    def history(seed: int) -> list[Any]:
        bedrock = Bedrock(replace(PLAIN, seed=seed))
        bedrock.create(request(), NOON)
        run_until_quiet(bedrock)
        return [(job.arn, job.times) for job in bedrock.jobs.values()]

    assert history(1) == history(1) != history(2)


def test_a_full_quota_refuses_and_its_room_is_back_at_the_moment_the_status_is_terminal() -> None:
    bedrock = Bedrock(replace(PLAIN, quota=1))
    bedrock.create(request("first"), NOON)
    assert refusal(bedrock, request("second")) == "ServiceQuotaExceededException"
    _, ended_at = run_until_quiet(bedrock)
    bedrock.create(request("second"), ended_at)
    assert bedrock.counts["refused_by_quota"] == 1


def test_a_stopping_job_still_counts_against_the_quota() -> None:
    bedrock = Bedrock(replace(PLAIN, quota=1))
    arn = bedrock.create(request("first"), NOON)
    bedrock.stop(arn, NOON)
    assert refusal(bedrock, request("second")) == "ServiceQuotaExceededException"


def test_jobs_of_others_take_the_same_quota_and_give_it_back_when_ended() -> None:
    bedrock = Bedrock(replace(PLAIN, quota=3))
    assert len(bedrock.start_foreign(MODEL, 5, None, NOON)) == 3
    assert refusal(bedrock, request()) == "ServiceQuotaExceededException"
    bedrock.advance(NOON + timedelta(days=9))
    assert bedrock.end_foreign(NOON + timedelta(days=9)) == 3
    assert [change.status for change in bedrock.advance(NOON + timedelta(days=9))] == [
        "Completed"
    ] * 3
    bedrock.create(request(), NOON + timedelta(days=9))
    assert bedrock.largest_alive[MODEL] == {"ours": 1, "foreign": 3, "total": 3}


def test_a_repeated_token_answers_with_the_first_job_even_when_the_quota_is_full() -> None:
    bedrock = Bedrock(replace(PLAIN, quota=1))
    arn = bedrock.create(request(), NOON)
    assert bedrock.create(request(), NOON) == arn
    assert (len(bedrock.jobs), bedrock.counts["token_replays"]) == (1, 1)


def test_the_quota_may_be_looked_at_before_the_token() -> None:
    bedrock = Bedrock(replace(PLAIN, quota=1), Faults(quota_before_token=True))
    bedrock.create(request(), NOON)
    assert refusal(bedrock, request()) == "ServiceQuotaExceededException"


def test_a_token_may_be_forgotten_after_a_time_after_the_end_or_at_once() -> None:
    for faults, later in (
        (Faults(token_memory_seconds=60), NOON + timedelta(seconds=61)),
        (Faults(token_ends_with_job=True), NOON + timedelta(hours=1)),
        (Faults(forget_tokens=True), NOON + timedelta(hours=1)),
    ):
        bedrock = Bedrock(PLAIN, faults)
        first = bedrock.create(request(), NOON)
        run_until_quiet(bedrock)
        assert bedrock.create(request(), later) != first


def test_a_repeated_request_may_be_told_that_its_name_is_in_use() -> None:
    bedrock = Bedrock(PLAIN, Faults(name_before_token=True))
    bedrock.create(request(), NOON)
    assert refusal(bedrock, request()) == "ValidationException"
    assert len(bedrock.jobs) == 1


def test_a_token_with_other_parameters_is_ignored_unless_the_switch_refuses_it() -> None:
    bedrock = Bedrock(PLAIN)
    arn = bedrock.create(request(), NOON)
    other = request("job-2", clientRequestToken="token-job-1")
    assert bedrock.create(other, NOON) == arn
    bedrock.faults = Faults(token_mismatch_error="ConflictException")
    assert refusal(bedrock, other) == "ConflictException"


def test_a_name_is_taken_while_its_job_lives_and_afterwards_only_by_a_switch() -> None:
    bedrock = Bedrock(PLAIN)
    bedrock.create(request(), NOON)
    again = request(clientRequestToken="another")
    assert refusal(bedrock, again) == "ValidationException"
    bedrock.faults = Faults(name_in_use_error="ConflictException")
    assert refusal(bedrock, again) == "ConflictException"
    _, later = run_until_quiet(bedrock)
    bedrock.faults = Faults(names_stay_taken=True)
    assert refusal(bedrock, again, later) == "ValidationException"
    bedrock.faults = Faults()
    assert bedrock.create(again, later)


def test_a_job_waits_in_validating_for_the_inspection_and_in_progress_for_its_output() -> None:
    bedrock = Bedrock(PLAIN, inspect=lambda _: None, write=lambda _: None)
    bedrock.create(request(), NOON)
    (job,) = bedrock.jobs.values()
    statuses, now = run_until_quiet(bedrock)
    assert statuses[-1] == "Validating"
    bedrock.inspected(job.id, Inspection(records=100), now + timedelta(hours=1))
    statuses, now = run_until_quiet(bedrock)
    assert statuses == ["Scheduled", "InProgress"]
    assert now >= NOON + timedelta(hours=1)
    bedrock.written(job.id, Tally(success=99, errors=1), now)
    assert run_until_quiet(bedrock)[0] == ["Completed"]
    assert bedrock.get(job.arn, now)["errorRecordCount"] == 1


@pytest.mark.parametrize(
    "found",
    [
        Inspection(records=99),
        Inspection(records=100_001),
        Inspection(records=100, largest_file_bytes=1024**3 + 1),
        Inspection(records=100, total_bytes=5 * 1024**3 + 1),
        Inspection(records=100, problem="Line 3 of a.jsonl is not valid JSON."),
    ],
)
def test_unfit_input_fails_the_job_in_validating_with_a_message(found: Inspection) -> None:
    bedrock = Bedrock(PLAIN, inspect=lambda _: found)
    arn = bedrock.create(request(), NOON)
    assert run_until_quiet(bedrock)[0][-2:] == ["Validating", "Failed"]
    assert bedrock.get(arn, NOON)["message"]


def test_output_that_cannot_be_written_fails_the_job() -> None:
    bedrock = Bedrock(PLAIN, write=lambda _: Tally(problem="No such bucket."))
    arn = bedrock.create(request(), NOON)
    assert run_until_quiet(bedrock)[0][-1] == "Failed"
    assert bedrock.get(arn, NOON)["message"] == "No such bucket."


@pytest.mark.parametrize(
    ("faults", "end", "processed"),
    [
        (Faults(job_failure=1), "Failed", 0),
        (Faults(job_failure=1, failed_output="part"), "Failed", 50),
        (Faults(job_partial=1), "PartiallyCompleted", 50),
        (Faults(job_expiry=1), "Expired", 0),
    ],
)
def test_a_drawn_lot_decides_how_a_job_ends(faults: Faults, end: str, processed: int) -> None:
    bedrock = Bedrock(PLAIN, faults)
    arn = bedrock.create(request(), NOON)
    assert run_until_quiet(bedrock)[0][-1] == end
    assert bedrock.get(arn, NOON)["processedRecordCount"] == processed


def test_a_job_that_is_not_begun_before_its_timeout_expires() -> None:
    bedrock = Bedrock(replace(PLAIN, stage_seconds=(9 * 3600.0, 9 * 3600.0)))
    bedrock.create(request(timeoutDurationInHours=24), NOON)
    assert run_until_quiet(bedrock)[0] == ["Submitted", "Validating", "Scheduled", "Expired"]


def test_a_stopped_job_goes_through_stopping_and_cannot_be_stopped_again() -> None:
    bedrock = Bedrock(PLAIN)
    arn = bedrock.create(request(), NOON)
    bedrock.stop(arn, NOON)
    bedrock.stop(arn, NOON)
    assert run_until_quiet(bedrock)[0] == ["Submitted", "Stopping", "Stopped"]
    for switch in ("ConflictException", "ValidationException"):
        bedrock.faults = Faults(stop_ended_error=switch)
        with pytest.raises(BedrockError, match=f"{switch}.*State was: Stopped"):
            bedrock.stop(arn, NOON)


@pytest.mark.parametrize("switch", ["ConflictException", "ValidationException"])
def test_a_stopping_job_may_refuse_to_be_stopped_again(switch: str) -> None:
    bedrock = Bedrock(PLAIN, Faults(stop_twice_error=switch))
    arn = bedrock.create(request(), NOON)
    bedrock.stop(arn, NOON)
    with pytest.raises(BedrockError, match=f"{switch}.*State was: Stopping"):
        bedrock.stop(arn, NOON)


@pytest.mark.parametrize(("output", "written"), [("part", [40]), ("none", [])])
def test_a_stopped_job_has_processed_what_it_had_when_it_was_stopped(
    output: str, written: list[int]
) -> None:
    asked: list[int] = []

    def write(job: Job) -> Tally:
        asked.append(job.records_to_process)
        return Tally(success=job.records_to_process - 1, errors=1)

    bedrock = Bedrock(
        replace(PLAIN, job_seconds=(10.0, 10.0)), Faults(stopped_output=output), write=write
    )
    arn = bedrock.create(request(), NOON)
    begun = run_until(bedrock, "InProgress")
    bedrock.stop(arn, begun + timedelta(seconds=4))
    run_until_quiet(bedrock)
    job = bedrock.get(arn, NOON)
    assert asked == written
    assert (job["status"], job["totalRecordCount"], job["processedRecordCount"]) == (
        "Stopped",
        100,
        40,
    )
    assert job["errorRecordCount"] == len(written)


def test_a_job_stopped_before_it_began_has_processed_nothing() -> None:
    bedrock = Bedrock(PLAIN, write=lambda _: pytest.fail("it has no output"))
    arn = bedrock.create(request(), NOON)
    bedrock.stop(arn, run_until(bedrock, "Scheduled"))
    run_until_quiet(bedrock)
    assert bedrock.get(arn, NOON)["processedRecordCount"] == 0


def test_a_job_stopped_while_it_writes_ends_only_when_its_output_is_complete() -> None:
    bedrock = Bedrock(PLAIN, write=lambda _: None)
    arn = bedrock.create(request(), NOON)
    _, now = run_until_quiet(bedrock)
    bedrock.stop(arn, now)
    assert run_until_quiet(bedrock)[0] == ["Stopping"]
    bedrock.written(arn[-12:], Tally(success=100), now)
    assert run_until_quiet(bedrock)[0] == ["Stopped"]


@pytest.mark.parametrize("status", ["Validating", "InProgress"])
def test_a_restored_job_that_waited_for_s3_asks_again(status: str) -> None:
    def waiting(bedrock: Bedrock) -> Bedrock:
        bedrock.create(request(), NOON)
        run_until_quiet(bedrock)
        return bedrock

    late = (lambda _: None) if status == "Validating" else (lambda _: Inspection(records=100))
    before = waiting(Bedrock(PLAIN, inspect=late, write=lambda _: None))
    assert [job.status for job in before.jobs.values()] == [status]
    after = Bedrock(PLAIN)
    after.restore(before.jobs.values())
    assert run_until_quiet(after)[0][-1] == "Completed"


def test_record_counts_are_zero_before_processing_and_rise_while_in_progress() -> None:
    bedrock = Bedrock(replace(PLAIN, job_seconds=(10.0, 10.0)))
    arn = bedrock.create(request(), NOON)
    assert bedrock.get(arn, NOON)["totalRecordCount"] == 0
    while bedrock.get(arn, NOON)["status"] != "InProgress":
        bedrock.advance(bedrock.next_change_at() or NOON)
    half = bedrock.get(arn, bedrock.jobs[arn[-12:]].times["InProgress"] + timedelta(seconds=5))
    assert (half["totalRecordCount"], half["processedRecordCount"]) == (100, 50)


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
@pytest.mark.parametrize("order", ["Ascending", "Descending"])
def test_pages_hold_each_job_once_although_jobs_are_created_between_them(
    size: int, order: str
) -> None:
    bedrock = Bedrock(Settings(quota=1000))
    for number in range(7):
        bedrock.create(request(f"old-{number}"), NOON)
    names: list[str] = []
    asked: dict[str, Any] = {"maxResults": size, "sortOrder": order, "nameContains": "old"}
    while True:
        page = bedrock.list(asked, NOON)
        names += [job["jobName"] for job in page["invocationJobSummaries"]]
        bedrock.create(request(f"new-{len(bedrock.jobs)}"), NOON)
        if "nextToken" not in page:
            break
        asked["nextToken"] = page["nextToken"]
    wanted = [f"old-{number}" for number in range(7)]
    assert names == (wanted if order == "Ascending" else wanted[::-1])


def test_a_list_can_be_narrowed_by_status_name_and_submit_time() -> None:
    bedrock = Bedrock(Settings(quota=10))
    bedrock.create(request("early"), NOON)
    bedrock.advance(NOON + timedelta(hours=1))
    bedrock.create(request("late"), NOON + timedelta(hours=1))

    def names(**asked: Any) -> list[str]:
        return [
            job["jobName"]
            for job in bedrock.list(asked, NOON + timedelta(hours=1))["invocationJobSummaries"]
        ]

    assert names() == ["late", "early"]
    assert names(statusEquals="Submitted") == ["late"]
    assert names(nameContains="arl") == ["early"]
    assert names(submitTimeAfter=NOON + timedelta(minutes=1)) == ["late"]
    assert names(submitTimeBefore=NOON + timedelta(minutes=1)) == ["early"]


S3_URIS_ACCEPTED = ["s3://bkt", "s3://bkt/", "s3://bkt/a/", "s3://bkt/a/b.jsonl"]
S3_URIS_REJECTED = [
    f"s3://bkt/{key}"
    for key in ("a b", "dt=2026-01-01/a", "a+b", "a%20b", "a@b", "a:b", "a,b", "ü", "a//b")
]
NAMES_ACCEPTED = ["a-b", "a.b", "a+b", "2026-01-01T00-00", "a-", "a" * 63]
NAMES_REJECTED = ["a_b", "a/b", "a b", "-a", "a" * 64, "", "a" + "-" * 61 + "_"]
TOKENS_ACCEPTED = ["2f1c6a52-6d1f-4c5e-9a2b-3f0a3c1b2d4e", "a" * 256]
TOKENS_REJECTED = ["a_b", "a.b", "a:b", "a/b", "a#b", "-a", "a-", ""]


@pytest.mark.parametrize(
    "changes",
    [
        *({"jobName": name} for name in NAMES_ACCEPTED),
        *({"clientRequestToken": token} for token in TOKENS_ACCEPTED),
        *({"inputDataConfig": {"s3InputDataConfig": {"s3Uri": uri}}} for uri in S3_URIS_ACCEPTED),
        {"modelId": "global.anthropic.claude-opus-5"},
        {"timeoutDurationInHours": 168, "modelInvocationType": "Converse"},
    ],
)
def test_what_the_service_accepts_is_accepted(changes: dict[str, Any]) -> None:
    assert Bedrock(PLAIN).create(request(**changes), NOON)


@pytest.mark.parametrize(
    "changes",
    [
        *({"jobName": name} for name in NAMES_REJECTED),
        *({"clientRequestToken": token} for token in TOKENS_REJECTED),
        *({"inputDataConfig": {"s3InputDataConfig": {"s3Uri": uri}}} for uri in S3_URIS_REJECTED),
        *({"outputDataConfig": {"s3OutputDataConfig": {"s3Uri": uri}}} for uri in S3_URIS_REJECTED),
        *(
            {name: None}
            for name in ("jobName", "roleArn", "modelId", "inputDataConfig", "outputDataConfig")
        ),
        {"roleArn": "role/batch"},
        {"modelId": "us.openai.gpt-5.6-sol"},
        {"timeoutDurationInHours": 23},
        {"timeoutDurationInHours": 169},
        {"timeoutDurationInHours": "24"},
        {"modelInvocationType": "Foo"},
        {"inputDataConfig": {}},
        {"inputDataConfig": {"s3InputDataConfig": {"s3Uri": "s3://bkt/a", "s3InputFormat": "CSV"}}},
        {"tags": [{"key": "a", "value": "b"}] * 201},
        {"vpcConfig": {"subnetIds": [], "securityGroupIds": ["sg-1"]}},
    ],
)
def test_what_the_service_refuses_is_a_validation_error_and_makes_no_job(
    changes: dict[str, Any],
) -> None:
    bedrock = Bedrock(PLAIN)
    assert refusal(bedrock, {**request(), **changes}) == "ValidationException"
    assert not bedrock.jobs


def test_tags_are_taken_but_no_part_of_what_get_tells() -> None:
    bedrock = Bedrock(PLAIN)
    arn = bedrock.create(request(tags=[{"key": "a", "value": "b"}]), NOON)
    assert "tags" not in bedrock.get(arn, NOON)


def test_a_model_without_batch_inference_is_refused() -> None:
    assert (
        refusal(Bedrock(PLAIN, Faults(unsupported_models=(MODEL,))), request())
        == "ValidationException"
    )


@pytest.mark.parametrize("kind", REFUSALS)
def test_create_is_refused_whatever_the_job_as_long_as_the_account_is(kind: str) -> None:
    bedrock = Bedrock(PLAIN)
    bedrock.create(request("taken"), NOON)
    bedrock.faults = Faults(refuse_create=kind)
    assert (
        refusal(bedrock, request("new")) == refusal(bedrock, request("taken")) == REFUSALS[kind][0]
    )
    bedrock.faults = Faults()
    assert bedrock.create(request("new"), NOON)


def test_the_right_to_pass_the_role_is_looked_at_first_the_rest_after_the_form() -> None:
    malformed = request("a_b", roleArn="arn:aws:iam::000000000000:role/none")
    assert (
        refusal(Bedrock(PLAIN, Faults(refuse_create="pass-role")), malformed)
        == "AccessDeniedException"
    )
    assert (
        refusal(Bedrock(PLAIN, Faults(refuse_create="throttle")), malformed)
        == "ThrottlingException"
    )
    assert (
        refusal(Bedrock(PLAIN, Faults(refuse_create="not-found")), malformed)
        == "ValidationException"
    )


@pytest.mark.parametrize(
    "fault", [Faults(fail_validating="get-object"), Faults(fail_processing="invoke-model")]
)
def test_a_fault_of_our_role_fails_every_job_of_ours_and_leaves_no_output_until_it_is_mended(
    fault: Faults,
) -> None:
    bedrock = Bedrock(PLAIN, fault, write=lambda _: pytest.fail("it has no output"))
    arn = bedrock.create(request(), NOON)
    (theirs,) = bedrock.start_foreign(MODEL, 1, 1.0, NOON)
    _, now = run_until_quiet(bedrock)
    assert (bedrock.get(arn, now)["status"], bedrock.get(theirs, now)["status"]) == (
        "Failed",
        "Completed",
    )
    mended = Bedrock(PLAIN)
    mended.faults = fault
    arn = mended.create(request(), NOON)
    mended.faults = Faults()
    run_until_quiet(mended)
    assert mended.get(arn, now)["status"] == "Completed"


def test_a_job_whose_role_may_not_invoke_the_model_processes_nothing_meanwhile() -> None:
    bedrock = Bedrock(
        replace(PLAIN, job_seconds=(10.0, 10.0)), Faults(fail_processing="invoke-model")
    )
    arn = bedrock.create(request(), NOON)
    half = run_until(bedrock, "InProgress") + timedelta(seconds=5)
    assert bedrock.get(arn, half)["processedRecordCount"] == 0
    bedrock.stop(arn, half)
    run_until_quiet(bedrock)
    assert bedrock.get(arn, half)["processedRecordCount"] == 0


def test_get_and_stop_may_not_know_a_job_that_was_made_seconds_ago() -> None:
    bedrock = Bedrock(PLAIN, Faults(get_behind_seconds=5))
    arn = bedrock.create(request(), NOON)
    for ask in (bedrock.get, bedrock.stop):
        with pytest.raises(BedrockError, match="ResourceNotFoundException"):
            ask(arn, NOON + timedelta(seconds=4))
    assert bedrock.get(arn, NOON + timedelta(seconds=5))["jobArn"] == arn


def test_list_may_not_show_a_job_that_was_made_seconds_ago() -> None:
    bedrock = Bedrock(PLAIN)
    bedrock.create(request(), NOON)
    assert bedrock.list({}, NOON)["invocationJobSummaries"]
    bedrock.faults = Faults(list_behind_seconds=5)
    assert not bedrock.list({}, NOON + timedelta(seconds=4))["invocationJobSummaries"]
    assert bedrock.list({}, NOON + timedelta(seconds=5))["invocationJobSummaries"]


def test_a_fault_that_is_set_for_a_time_passes_and_may_be_renewed_meanwhile() -> None:
    bedrock = Bedrock(PLAIN, Faults(throttle=0.5))

    def faults_at(seconds: float) -> tuple[float, str | None]:
        bedrock.advance(NOON + timedelta(seconds=seconds))
        return bedrock.faults.throttle, bedrock.faults.refuse_create

    bedrock.disturb({"throttle": 1, "refuse_create": "account"}, 90, NOON)
    assert faults_at(0) == (1.0, "account")
    bedrock.disturb({"refuse_create": "legacy"}, 90, NOON + timedelta(seconds=60))
    assert faults_at(89) == (1.0, "legacy")
    assert faults_at(90) == (0.5, "legacy")
    assert faults_at(149) == (0.5, "legacy")
    assert faults_at(150) == (0.5, None)
    bedrock.disturb({"refuse_create": "account"}, 10, NOON + timedelta(seconds=150))
    bedrock.disturb({"refuse_create": "legacy"}, None, NOON + timedelta(seconds=155))
    assert faults_at(1000) == (0.5, "legacy")


@pytest.mark.parametrize(
    "identifier", ["job-1", "arn:aws:bedrock:us-east-1:1:model-invocation-job/abcdefghijkl", ""]
)
def test_a_job_is_not_found_by_its_name_or_a_broken_arn(identifier: str) -> None:
    bedrock = Bedrock(PLAIN)
    bedrock.create(request(), NOON)
    with pytest.raises(BedrockError, match="ValidationException"):
        bedrock.get(identifier, NOON)


def test_an_event_has_exactly_the_documented_fields() -> None:
    bedrock = Bedrock(PLAIN)
    arn = bedrock.create(request(), datetime(2024, 8, 28, 22, 47, 53, tzinfo=UTC))
    (change,) = bedrock.advance(datetime(2024, 8, 28, 22, 47, 53, tzinfo=UTC))
    entry = event_entry(change, PLAIN, "mine", Faults())
    assert (entry["Source"], entry["DetailType"]) == ("mine", "Batch Inference Job State Change")
    assert entry["Resources"] == [arn]
    assert json.loads(entry["Detail"]) == {
        "version": "0.0",
        "accountId": "000000000000",
        "batchJobName": "job-1",
        "batchJobArn": arn,
        "batchModelId": f"arn:aws:bedrock:us-east-1::foundation-model/{MODEL}",
        "status": "Submitted",
        "failureMessage": "",
        "creationTime": "Aug 28, 2024, 10:47:53 PM",
    }


PROFILE = f"us.{MODEL}"


@pytest.mark.parametrize(
    ("switch", "model", "named"),
    [
        ("arn", MODEL, f"arn:aws:bedrock:us-east-1::foundation-model/{MODEL}"),
        ("arn", PROFILE, f"arn:aws:bedrock:us-east-1:000000000000:inference-profile/{PROFILE}"),
        ("foundation-model", PROFILE, f"arn:aws:bedrock:us-east-1::foundation-model/{MODEL}"),
        ("as-given", PROFILE, PROFILE),
    ],
)
def test_an_event_names_the_model_in_each_of_the_ways_that_are_possible(
    switch: str, model: str, named: str
) -> None:
    bedrock = Bedrock(PLAIN)
    bedrock.create(request(modelId=model), NOON)
    (change,) = bedrock.advance(NOON)
    entry = event_entry(change, PLAIN, "mine", Faults(event_model_id=switch))
    assert json.loads(entry["Detail"])["batchModelId"] == named


def test_an_unknown_fault_is_refused_with_the_names_of_the_known_ones() -> None:
    with pytest.raises(UnknownFaultError, match=r"event_dorp.*event_drop"):
        changed(Faults(), {"event_dorp": 1})
    assert changed(Faults(), {"event_delay_seconds": [0, 2], "timeout_answer": 504}) == Faults(
        event_delay_seconds=(0.0, 2.0), timeout_answer="504"
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"event_drop": 2},
        {"event_drop": True},
        {"event_delay_seconds": [2, 1]},
        {"timeout_answer": "x"},
        {"refuse_create": "no"},
        {"event_statuses": ["Melted"]},
        {"get_behind_seconds": -1},
        {"get_without_counts": 1},
    ],
)
def test_a_fault_of_the_wrong_kind_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UnknownFaultError, match=next(iter(wrong))):
        changed(Faults(), wrong)


FAULTS = st.builds(
    Faults,
    job_failure=st.sampled_from([0.0, 0.5]),
    job_partial=st.sampled_from([0.0, 0.5]),
    job_expiry=st.sampled_from([0.0, 0.5]),
    fail_validating=st.sampled_from([None, "get-object"]),
    fail_processing=st.sampled_from([None, "invoke-model"]),
    stopped_output=st.sampled_from(["part", "none"]),
    quota_before_token=st.booleans(),
    forget_tokens=st.booleans(),
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("create"), st.integers(0, 9)),
        st.tuples(st.just("stop"), st.integers(0, 9)),
        st.tuples(st.just("foreign"), st.integers(0, 4)),
        st.tuples(st.just("end-foreign"), st.just(0)),
        st.tuples(st.just("wait"), st.integers(0, 3000)),
        st.tuples(st.just("answer"), st.integers(0, 9)),
    ),
    max_size=60,
)


def step(bedrock: Bedrock, what: str, number: int, now: datetime) -> None:
    jobs = list(bedrock.jobs.values())
    match what:
        case "create":
            bedrock.create(request(f"job-{number}"), now)
        case "stop" if jobs:
            bedrock.stop(jobs[number % len(jobs)].arn, now)
        case "foreign":
            bedrock.start_foreign(MODEL, number, None if number % 2 else 1.0, now)
        case "end-foreign":
            bedrock.end_foreign(now)
        case "answer" if jobs:
            bedrock.inspected(jobs[number % len(jobs)].id, Inspection(records=90 + number * 5), now)
            bedrock.written(jobs[number % len(jobs)].id, Tally(success=90), now)


@settings(max_examples=200)
@given(quota=st.integers(0, 4), faults=FAULTS, steps=STEPS, late=st.booleans())
def test_the_quota_is_never_exceeded_and_every_status_follows_legally(
    quota: int, faults: Faults, steps: list[tuple[str, int]], *, late: bool
) -> None:
    if late:
        bedrock = Bedrock(Settings(quota=quota), faults, lambda _: None, lambda _: None)
    else:
        bedrock = Bedrock(Settings(quota=quota), faults)
    now, last = NOON, dict[str, str]()
    for what, number in steps:
        now += timedelta(milliseconds=number if what == "wait" else 1)
        with suppress(BedrockError):
            step(bedrock, what, number, now)
        for change in bedrock.advance(now):
            before = last.get(change.job_id)
            assert change.previous == (before or "")
            assert change.status in (LEGAL_NEXT[before] if before else {"Submitted"})
            last[change.job_id] = change.status
        for job in bedrock.jobs.values():
            told = bedrock.get(job.arn, now)
            assert (
                told["processedRecordCount"]
                == told["successRecordCount"] + told["errorRecordCount"]
                <= told["totalRecordCount"]
            )
        unended = [job for job in bedrock.jobs.values() if job.status not in TERMINAL]
        assert len(unended) == bedrock.alive(MODEL) <= quota
    assert bedrock.largest_alive.get(MODEL, {"total": 0})["total"] <= quota
