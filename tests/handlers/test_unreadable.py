"""An upload that intake may not read is a fault of the deployment (P9): seen at once, tried again,
not rejected, queued once.
"""

import re
from dataclasses import replace

import pytest

from bbq.services.intake import handler as h
from bbq.services.intake.objects import Objects, what_is_missing
from bbq.services.scheduler.reconcile import Visit, reconcile
from bbq.shared import events as e
from bbq.shared.job import Job
from bbq.shared.names import job_stream
from bbq.shared.rows import VIEW_KEY, view_pk
from bbq.shared.tables import ViewRow
from local.settings import ROOT
from tests.handlers.test_intake_handler import (
    BUCKET,
    Bench,
    bench,
    failing,
    job_of,
    reasons,
    upload_of,
)
from tests.support.payloads import sqs_event
from tests.support.samples import queued, source
from tests.support.world import Bench as Scheduler

__all__ = ["bench"]  # the fixture

KEY = "arn:aws:kms:eu-west-2:111122223333:key/b997e702-260d-456b-95c4-270624f53307"
USER = (
    "User: arn:aws:sts::111122223333:assumed-role/bbq-us-east-1-intake/bbq-intake is not "
    "authorized to perform: "
)
# As S3 answered elsewhere: ministryofjustice/modernisation-platform PR #11726 and issue #3468,
# cisagov/XFD PR #1371; KMS's own addition: trussworks/terraform-aws-s3-anti-virus PR #48; the other
# policies: S3 user guide, "Troubleshoot access denied".
NO_DECRYPT = (
    f"{USER}kms:Decrypt on resource: {KEY} because no identity-based policy allows the kms:Decrypt "
    "action"
)
DENIED = (
    f"{USER}kms:GenerateDataKey on resource: {KEY} with an explicit deny in a service control "
    "policy"
)
NO_SESSION = (
    f'{USER}s3:GetObject on "arn:aws:s3:::b/to-process/my secret.jsonl" because no session policy '
    "allows it"
)
NO_NAME = (
    "The ciphertext refers to a customer master key that does not exist, does not exist in this "
    "region, or you are not allowed"
)
OF_KMS = (
    "(Service: AWSKMS; Status Code: 400; Error Code: AccessDeniedException; Request ID: b28b1b5a; "
    "Proxy: null)"
)
SAID = {  # code, message and operation -> what is said before "(S3 answers"
    (
        "AccessDenied",
        NO_DECRYPT,
        "GetObject",
    ): f"kms:Decrypt is missing on {KEY}: no identity-based policy",
    (
        "KMS.AccessDeniedException",
        f"{NO_DECRYPT} {OF_KMS}",
        "GetObject",
    ): f"kms:Decrypt is missing on {KEY}: no identity-based policy",
    ("AccessDenied", DENIED, "CopyObject"): (
        f"kms:GenerateDataKey is missing on {KEY}: an explicit deny in a service control policy"
    ),
    ("AccessDenied", NO_SESSION, "GetObject"): "s3:GetObject is missing: no session policy",
    ("AccessDenied", f"{NO_NAME} to access.", "GetObject"): (
        "a right is missing: s3:GetObject and s3:GetObjectVersion on to-process/, or kms:Decrypt "
        "on the object's key"
    ),
    ("AccessDenied", "Access Denied", "CopyObject"): (
        "a right is missing: s3:PutObject on staged/, or kms:GenerateDataKey on the bucket's key"
    ),
    ("KMS.DisabledException", f"{KEY} is disabled.", "GetObject"): f"the KMS key {KEY} is disabled",
    (
        "KMS.NotFoundException",
        "Invalid keyId",
        "GetObject",
    ): "the KMS key of the object does not exist",
    ("KMS.KMSInvalidStateException", f"{KEY} is pending deletion.", "GetObject"): (
        f"the KMS key {KEY} cannot be used in its state (it may be pending deletion)"
    ),
}
REASON = (
    f"kms:Decrypt is missing on {KEY}: no identity-based policy (S3 answers AccessDenied to "
    "GetObject)"
)


@pytest.mark.parametrize("answer", SAID, ids=lambda answer: " ".join(answer)[:40])
def test_what_is_missing_is_said_with_the_keys_name_where_aws_names_it(
    answer: tuple[str, str, str],
) -> None:
    code, message, operation = answer
    said = what_is_missing(code, message, operation)
    assert said == f"{SAID[answer]} (S3 answers {code} to {operation})"
    assert "secret" not in said


def history(bench: Bench, message: str) -> list[e.Event]:
    return [recorded.event for recorded in bench.store.load(job_stream(job_of(upload_of(message))))]


def names(bench: Bench, message: str) -> list[str]:
    return [event.NAME for event in history(bench, message)]


def readable(bench: Bench) -> None:
    """Somebody granted the right."""
    bench.world = replace(bench.world, objects=Objects(bench.s3))


@pytest.mark.parametrize("when", ["open", "copy"])
@pytest.mark.parametrize(
    "code",
    [
        "AccessDenied",
        "403",
        "AllAccessDisabled",
        "KMS.AccessDeniedException",
        "KMS.DisabledException",
    ],
)
def test_the_first_try_says_so_and_the_upload_comes_back(
    bench: Bench, when: str, code: str
) -> None:
    message = bench.put("to-process/haiku/a.jsonl")
    failing(bench, when, code, NO_DECRYPT)
    assert len(bench.run(message)) == 1
    (event,) = history(bench, message)
    assert isinstance(event, e.UploadUnreadable)
    assert KEY in event.reason
    assert event.sources[0].key == "to-process/haiku/a.jsonl"
    assert event.sources[0].version_id == upload_of(message).version_id
    assert [name for name, _ in bench.notes] == ["UploadUnreadable", "MessageFailed"]
    assert [seconds for _, seconds in bench.hidden] == [30]  # its visibility, and not half an hour
    readable(bench)
    assert bench.run(message) == []
    assert names(bench, message) == ["upload-unreadable", "job-queued"]


@pytest.mark.parametrize(
    "code", ["KMS.ThrottlingException", "KMS.KMSInternalException", "SlowDown", "InternalError"]
)
def test_what_passes_by_itself_is_tried_again_without_a_word(bench: Bench, code: str) -> None:
    message = bench.put("to-process/a.jsonl")
    failing(bench, "open", code)
    assert len(bench.run(message)) == 1
    assert history(bench, message) == []


def test_nine_hours_of_tries_are_one_event_and_then_it_is_a_dead_letter_and_no_rejection(
    bench: Bench,
) -> None:
    (most,) = re.findall(
        r"max_receive_count += (\d+)", (ROOT / "terraform" / "intake.tf").read_text()
    )
    message = bench.put("to-process/a.jsonl")
    failing(bench, "open", "AccessDenied", NO_DECRYPT)
    for receives in range(1, int(most) + 1):
        assert h.take_in_batch(bench.world, sqs_event(message, receives=receives))[
            "batchItemFailures"
        ]
    assert names(bench, message) == ["upload-unreadable"]
    assert sum(seconds for _, seconds in bench.hidden) > 9 * 3600
    # the alarm stays, as long as it is tried
    assert [name for name, _ in bench.notes].count("UploadUnreadable") == int(most)
    readable(bench)
    assert bench.run(message) == []  # as `bbq wake` or `bbq redrive uploads` send it
    assert names(bench, message) == ["upload-unreadable", "job-queued"]


def test_another_reason_is_said_and_the_same_one_is_not_said_twice(bench: Bench) -> None:
    message = bench.put("to-process/a.jsonl")
    for when, said in (
        ("open", NO_DECRYPT),
        ("open", NO_DECRYPT),
        ("copy", "Access Denied"),
        ("copy", "Access Denied"),
    ):
        failing(bench, when, "AccessDenied", said)
        bench.run(message)
    assert [
        event.reason for event in history(bench, message) if isinstance(event, e.UploadUnreadable)
    ] == [
        REASON,
        what_is_missing("AccessDenied", "Access Denied", "CopyObject"),
    ]
    job = bench.store.job(job_of(upload_of(message)))
    assert job is not None
    assert (job.status, job.version, "CopyObject" in job.reason) == ("Unreadable", 2, True)


def test_an_upload_that_was_unreadable_may_be_rejected_for_what_it_is(bench: Bench) -> None:
    unfit, deleted = (
        bench.put("to-process/a.jsonl", b"not json\n" * 2),
        bench.put("to-process/b.jsonl"),
    )
    failing(bench, "open", "AccessDenied", NO_DECRYPT)
    assert len(bench.run(unfit, deleted)) == 2
    readable(bench)
    bench.s3.delete_object(
        Bucket=BUCKET, Key="to-process/b.jsonl", VersionId=upload_of(deleted).version_id
    )
    assert bench.run(unfit, deleted) == []
    assert names(bench, unfit) == names(bench, deleted) == ["upload-unreadable", "job-rejected"]
    assert reasons(history(bench, deleted)[1]) == ["the object was deleted before it was taken in"]


def meanwhile(bench: Bench, message: str, *others: str) -> None:
    """Just before the first append of `message`'s delivery, other deliveries of it are handled:
    each may read ("may") or not.
    """
    append, world = bench.store.append, bench.world

    def first(job_id: str, job: Job | None, event: e.Event) -> None:
        bench.store.append = append  # type: ignore[method-assign] # from now on as it is
        for other in others:
            if other == "may":
                readable(bench)
            else:
                failing(bench, "open", "AccessDenied", NO_DECRYPT)
            bench.run(message)
        bench.world = world
        append(job_id, job, event)

    bench.store.append = first  # type: ignore[method-assign] # the hook


@pytest.mark.parametrize(
    ("mine", "others", "events", "failed"),
    [
        ("may", ["may not"], ["upload-unreadable", "job-queued"], 0),
        ("may", ["may"], ["job-queued"], 0),
        ("may not", ["may"], ["job-queued"], 0),
        ("may not", ["may not"], ["upload-unreadable"], 1),
        ("may", ["may not", "may"], ["upload-unreadable", "job-queued"], 0),
        ("may not", ["may not", "may"], ["upload-unreadable", "job-queued"], 0),
    ],
)
def test_deliveries_that_race_queue_an_upload_once(  # P2
    bench: Bench, mine: str, others: list[str], events: list[str], failed: int
) -> None:
    message = bench.put("to-process/a.jsonl")
    if mine == "may not":
        failing(bench, "open", "AccessDenied", NO_DECRYPT)
    meanwhile(bench, message, *others)
    assert len(bench.run(message)) == failed
    assert names(bench, message) == events
    readable(bench)
    assert bench.run(message) == []
    assert names(bench, message).count("job-queued") == 1


def test_what_an_operator_cancelled_is_not_taken_in(bench: Bench) -> None:
    message = bench.put("to-process/a.jsonl")
    failing(bench, "open", "AccessDenied", NO_DECRYPT)
    bench.run(message)
    job = job_of(upload_of(message))
    bench.store.append(
        job,
        bench.store.job(job),
        e.CancelRequested(at=bench.world.now(), by="ann", why="not needed"),
    )
    readable(bench)
    assert bench.run(message) == []
    assert names(bench, message) == ["upload-unreadable", "cancel-requested"]


# What the scheduler makes of it.


def unreadable(bench: Scheduler, reason: str = REASON) -> str:
    bench.store.append(
        bench.upload_id("v1"),
        None,
        e.UploadUnreadable(at=bench.time, sources=(source(),), reason=reason),
    )
    reconcile(bench.world(), bench.upload_id("v1"), Visit())
    return bench.upload_id("v1")


def view(bench: Scheduler, job: str) -> ViewRow:
    row = bench.tables.get(ViewRow, view_pk(job), VIEW_KEY)
    assert row is not None
    return row


def test_its_view_says_what_is_missing_and_moves_on_once_it_is_queued() -> None:
    bench = Scheduler(limit=1)
    job = unreadable(bench)
    row = view(bench, job)
    assert (row.status, row.status_key, row.reason, row.model) == (
        "Unreadable",
        "#Unreadable",
        REASON,
        "",
    )
    assert bench.bedrock.creates == []
    bench.wait(hours=20)
    bench.append(job, queued())
    reconcile(bench.world(), job, Visit())
    assert bench.history(job) == [
        "upload-unreadable",
        "job-queued",
        "slot-claimed",
        "job-submitted",
    ]
    assert (view(bench, job).status, view(bench, job).model) == ("Submitted", "haiku")
    assert view(bench, job).reason is None
    assert bench.job(job).queued_version == 2


def test_it_waits_in_line_and_is_counted_like_any_other() -> None:
    bench = Scheduler(limit=0)
    job = unreadable(bench)
    assert bench.store.waiting("haiku") == {}
    bench.append(job, queued())
    reconcile(bench.world(), job, Visit())
    assert bench.store.line("haiku", 9) == [job]
    assert bench.store.waiting("haiku") == {"jobs": 1, "records": 100}


def test_it_can_be_cancelled_and_nothing_else() -> None:
    bench = Scheduler(limit=1)
    job = unreadable(bench)
    bench.append(job, e.PriorityChanged(at=bench.time, priority=1, by="ann", why=""))
    assert bench.job(job).priority == 0
    bench.append(job, e.CancelRequested(at=bench.time, by="ann", why="not needed"))
    reconcile(bench.world(), job, Visit())
    reconcile(bench.world(), job, Visit())
    assert bench.history(job)[-2:] == ["cancel-requested", "job-cancelled"]
    assert (view(bench, job).status, view(bench, job).reason) == (
        "Cancelled",
        "cancelled by ann: not needed",
    )
    assert not {"ModelNotConfigured"} & {name for name, _ in bench.notes}
    assert bench.store.day("", "2026-11-23") == {"Cancelled": 1}
