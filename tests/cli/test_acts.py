"""What an operator asks for is an event, and the production scheduler carries it out."""

import io
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import pytest

from bbq.cli import acts
from bbq.shared import events as e
from bbq.shared.hold import INVALID
from bbq.shared.names import job_stream, model_stream
from bbq.shared.store import Store, VersionTaken
from tests.cli.conftest import Deployed, Result

Bbq = Callable[..., Result]
NOBODY = "a" * 26


@pytest.fixture(autouse=True)
def ada(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BBQ_USER", "ada")


def names(deployed: Deployed, job: str) -> list[str]:
    return [recorded.event.NAME for recorded in deployed.store.load(job_stream(job))]


def last(deployed: Deployed, job: str) -> e.Event:
    return deployed.store.load(job_stream(job))[-1].event


def put_raw(deployed: Deployed, job: str, name: str, data: str) -> None:
    """An event as nobody of ours could write it."""
    deployed.deployment.tables._connection.put_item(
        deployed.deployment.events_table,
        f"job#{job}",
        "1",
        attributes={
            "name": {"S": name},
            "schema": {"N": "1"},
            "at": {"S": "2026-11-24T00:00:00.000000Z"},
            "data": {"S": data},
        },
    )


def hints(deployed: Deployed) -> list[str]:
    sqs, url = boto3.client("sqs"), deployed.deployment.hints_queue_url
    return [
        message["Body"]
        for message in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
    ]


def terminal(monkeypatch: pytest.MonkeyPatch, answer: str) -> list[str]:
    """A person who answers; the questions."""
    asked: list[str] = []

    def confirm(question: str, **_: Any) -> bool:
        asked.append(question)
        return answer == "y"

    monkeypatch.setattr("bbq.cli.output.interactive", lambda: True)
    monkeypatch.setattr("typer.confirm", confirm)
    return asked


# --- cancel


def test_a_waiting_job_leaves_the_line(deployed: Deployed, bbq: Bbq) -> None:
    deployed.upload("haiku/a.jsonl"), deployed.upload("haiku/b.jsonl")
    waiting = deployed.upload("haiku/c.jsonl")
    result = bbq("cancel", waiting, "--why", "a wrong prompt")
    assert (result.code, result.out) == (0, f"{waiting} will leave the line\n")
    assert last(deployed, waiting) == e.CancelRequested(
        at=deployed.time, by="ada", why="a wrong prompt"
    )
    deployed.wake(waiting)
    assert deployed.job(waiting).status == "Cancelled"
    assert deployed.store.line("haiku", 10) == []


def test_a_running_job_is_stopped_at_bedrock(deployed: Deployed, bbq: Bbq) -> None:
    running = deployed.upload("haiku/a.jsonl")
    assert bbq("cancel", running).code == 0
    deployed.wake(running)
    assert deployed.bedrock.stopped == [deployed.job(running).arn]
    deployed.report(running, "Stopped")
    assert deployed.job(running).status == "Stopped"


def test_a_refused_job_is_cancelled(deployed: Deployed, bbq: Bbq) -> None:
    deployed.refuse_next()
    held = deployed.upload("haiku/a.jsonl")
    assert deployed.history(held)[-1] == "submission-refused"
    assert bbq("cancel", held).code == 0
    deployed.wake(held)
    assert deployed.job(held).status == "Cancelled"


def test_a_job_that_bedrock_forgot_is_ended_by_an_operator_and_one_that_it_knows_is_not(
    deployed: Deployed, bbq: Bbq
) -> None:
    gone, known = deployed.upload("haiku/a.jsonl"), deployed.upload("haiku/b.jsonl")
    del deployed.bedrock.jobs[deployed.job(gone).arn or ""]
    deployed.wait(minutes=11)  # so long Get may not know a job yet
    assert bbq("forget", gone, known, "--why", "support says so", "--yes").code == 0
    for job in (gone, known):
        deployed.wake(job)
    assert (deployed.job(gone).status, deployed.job(known).status) == ("Failed", "Submitted")
    assert "forgotten by" in deployed.job(gone).reason
    assert "support says so" in deployed.job(gone).reason
    assert bbq("forget", gone, "--why", "again").code == 1


def test_a_resume_takes_the_hold_away_on_a_model_that_is_not_paused(
    deployed: Deployed, bbq: Bbq
) -> None:
    deployed.refuse_next(INVALID, "not supported")
    job = deployed.upload("haiku/a.jsonl")
    answer = bbq("resume", "haiku")
    assert (answer.code, "is on hold no more" in answer.out) == (0, True)
    deployed.wake_model("haiku")
    assert deployed.job(job).status == "Submitted"


def test_who_cancels_again_hears_who_asked_and_wakes_the_scheduler(
    deployed: Deployed, bbq: Bbq
) -> None:
    running = deployed.upload("haiku/a.jsonl")
    bbq("cancel", running)
    before = names(deployed, running)
    assert hints(deployed) == []
    result = bbq("cancel", running)
    assert result.code == 0
    assert "ada asked for it at 2026-11-24 12:00 UTC" in result.out
    assert names(deployed, running) == before
    assert hints(deployed) == [f'{{"job": "{running}"}}']


def test_a_job_that_is_over_is_not_cancelled(deployed: Deployed, bbq: Bbq) -> None:
    job = deployed.upload("haiku/a.jsonl")
    deployed.complete(job)
    result = bbq("cancel", job)
    assert (result.code, result.err) == (1, f"{job} is over: Completed\n")
    assert "cancel-requested" not in names(deployed, job)


@pytest.mark.parametrize(
    "command", ["cancel", "retry", "forget", "priority", "show", "download", "wake"]
)
def test_a_job_that_is_not_there_ends_every_command_with_3(
    deployed: Deployed, bbq: Bbq, tmp_path: Path, command: str
) -> None:
    more = {"forget": ["--why", "x"], "priority": ["0"], "download": [str(tmp_path)]}.get(
        command, []
    )
    for nobody in (NOBODY, "NOSUCH"):
        result = bbq(command, nobody, *more)
        assert (result.code, result.out) == (3, "")
        assert nobody in result.err


def test_what_is_no_id_stops_the_command_before_anything_is_done(
    deployed: Deployed, bbq: Bbq
) -> None:
    job = deployed.upload("haiku/a.jsonl")
    result = bbq("cancel", job, "reviews.jsonl", "--yes")
    assert result.code == 3
    assert "'reviews.jsonl' is not a job's id" in result.err
    assert "cancel-requested" not in names(deployed, job)


def test_more_than_one_is_asked_for_first(
    deployed: Deployed, bbq: Bbq, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [deployed.upload(f"haiku/{n}.jsonl") for n in "abc"]
    refused = bbq("cancel", *jobs)
    assert refused.code == 2
    assert "Cancel 3 jobs? Say --yes" in refused.err
    asked = terminal(monkeypatch, "n")
    assert bbq("cancel", *jobs).code == 2
    assert asked == ["Cancel 3 jobs?"]
    assert all("cancel-requested" not in names(deployed, job) for job in jobs)
    terminal(monkeypatch, "y")
    assert bbq("cancel", *jobs).code == 0
    assert all("cancel-requested" in names(deployed, job) for job in jobs)


def test_ids_come_from_standard_input_each_once(
    deployed: Deployed, bbq: Bbq, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [deployed.upload(f"haiku/{n}.jsonl") for n in "ab"]
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join([*jobs, *jobs, ""])))
    result = bbq("cancel", "-", "--yes")
    assert result.code == 0
    assert [line.split()[0] for line in result.out.splitlines()] == jobs
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    assert bbq("cancel", "-", "--yes").code == 2


def test_one_that_cannot_be_cancelled_does_not_keep_the_others(
    deployed: Deployed, bbq: Bbq
) -> None:
    over = deployed.upload("haiku/a.jsonl")
    deployed.complete(over)
    unreadable, illegal = "b" * 26, "c" * 26
    put_raw(deployed, unreadable, "job-doubled", "{}")
    put_raw(deployed, illegal, "job-cancelled", "{}")  # which no job begins with
    running = deployed.upload("haiku/b.jsonl")
    result = bbq("cancel", over, unreadable, illegal, running, "--yes")
    assert result.code == 1
    assert f"{unreadable} cannot be read" in result.err
    assert f"{illegal} cannot be read" in result.err
    assert last(deployed, running).NAME == "cancel-requested"
    assert bbq("cancel", over, NOBODY, "--yes").code == 3


def test_an_event_that_was_faster_is_seen(
    deployed: Deployed, bbq: Bbq, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job ends between the reading and the append: the cancel is not appended behind its
    end.
    """
    running = deployed.upload("haiku/a.jsonl")
    real = Store.append
    done: list[bool] = []

    def append(self: Store, job_id: str, job: Any, event: e.Event) -> None:
        if not done:
            done.append(True)
            deployed.complete(running)
        real(self, job_id, job, event)

    monkeypatch.setattr(Store, "append", append)
    result = bbq("cancel", running)
    assert (result.code, result.err) == (1, f"{running} is over: Completed\n")
    assert "cancel-requested" not in names(deployed, running)


def test_a_job_that_never_stands_still_is_given_up(
    deployed: Deployed, bbq: Bbq, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = deployed.upload("haiku/a.jsonl")
    tries = []

    def append(self: Store, job_id: str, job: Any, event: e.Event) -> None:
        tries.append(event)
        raise VersionTaken

    monkeypatch.setattr(Store, "append", append)
    monkeypatch.setattr(Store, "pause", lambda self, attempt: None)
    result = bbq("cancel", running)
    assert (result.code, len(tries)) == (1, acts.MAX_TRIES)
    assert "try again in a minute" in result.err


def test_a_cancel_is_followed_until_the_job_is_stopped(
    deployed: Deployed, bbq: Bbq, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = deployed.upload("haiku/a.jsonl")
    steps = iter([partial(deployed.wake, running), partial(deployed.report, running, "Stopped")])
    monkeypatch.setattr(time, "sleep", lambda _: next(steps)())
    result = bbq("cancel", running, "--wait")
    assert result.code == 0
    assert [line.split()[-1] for line in result.err.splitlines()] == [
        "Submitted",
        "Stopping",
        "Stopped",
    ]


def test_a_cancel_that_comes_too_late_fails(
    deployed: Deployed, bbq: Bbq, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = deployed.upload("haiku/a.jsonl")
    monkeypatch.setattr(time, "sleep", lambda _: deployed.complete(running))
    result = bbq("cancel", running, "--wait")
    assert result.code == 1
    assert "was not cancelled in time: Completed" in result.err


def test_waiting_for_a_cancel_ends_with_its_time(
    deployed: Deployed, bbq: Bbq, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = deployed.upload("haiku/a.jsonl")
    result = bbq("cancel", running, "--wait", "--timeout", "0")
    assert result.code == 8
    assert f"{running} is Submitted" in result.err
    assert bbq("cancel", running, "--wait", "--timeout", "soon").code == 2


# --- retry


def test_a_failed_job_runs_again(deployed: Deployed, bbq: Bbq) -> None:
    job = deployed.upload("haiku/a.jsonl")
    deployed.report(job, "Failed", message="no access to the bucket")
    result = bbq("retry", job, "--why", "access was given")
    assert (result.code, result.out) == (0, f"{job} will run again, as attempt 2\n")
    assert last(deployed, job) == e.JobRequeued(
        at=deployed.time, attempt=1, by="ada", why="access was given"
    )
    deployed.wake(job)
    assert (deployed.job(job).status, deployed.job(job).attempt) == ("Submitted", 2)


def test_buying_records_again_is_asked_for(deployed: Deployed, bbq: Bbq) -> None:
    job = deployed.upload("haiku/a.jsonl")
    deployed.complete(job, succeeded=90, failed=10)
    result = bbq("retry", job)
    assert result.code == 2
    assert "Retry 1 job (90 records that succeeded will be bought again)?" in result.err
    assert names(deployed, job)[-1] == "job-tallied"
    assert bbq("retry", job, "--yes").code == 0
    assert names(deployed, job)[-1] == "job-requeued"


def test_a_job_that_is_not_over_is_not_retried(deployed: Deployed, bbq: Bbq) -> None:
    job = deployed.upload("haiku/a.jsonl")
    result = bbq("retry", job)
    assert result.code == 1
    assert "is Submitted: wait for its end, or cancel it first" in result.err


# --- priority


def test_a_waiting_job_moves_in_line(deployed: Deployed, bbq: Bbq) -> None:
    deployed.upload("haiku/a.jsonl"), deployed.upload("haiku/b.jsonl")
    first = deployed.upload("haiku/c.jsonl")
    deployed.wait(seconds=1)
    second = deployed.upload("haiku/d.jsonl")
    assert deployed.store.line("haiku", 10) == [first, second]
    result = bbq("priority", second, "0", "--why", "the boss asks")
    assert (result.code, result.out) == (0, f"{second} priority 5 becomes 0; moves in line\n")
    deployed.wake(second)
    assert deployed.store.line("haiku", 10) == [second, first]
    assert bbq("priority", second, "10").code == 2


# --- pause, resume


def test_a_paused_model_starts_nothing_until_it_is_resumed(deployed: Deployed, bbq: Bbq) -> None:
    paused = bbq("pause", "haiku", "--why", "the prompt is mended")
    assert (paused.code, paused.out) == (0, "haiku starts nothing new; what runs goes on\n")
    deployed.wake_model("haiku")
    job = deployed.upload("haiku/a.jsonl")
    assert deployed.job(job).status == "Queued"
    again = bbq("pause", "haiku")
    assert (again.code, again.out) == (
        0,
        "haiku was paused already by ada at 2026-11-24 12:00 UTC: the prompt is mended\n",
    )
    assert hints(deployed) == ['{"wake": "haiku"}']
    assert bbq("resume", "haiku").out == "haiku starts jobs again\n"
    deployed.wake_model("haiku")
    assert deployed.job(job).status == "Submitted"
    assert "is not paused: ada resumed it" in bbq("resume", "haiku").out
    events = [recorded.event.NAME for recorded in deployed.store.load(model_stream("haiku"))]
    assert events == ["limit-set", "model-paused", "model-resumed"]


def test_a_model_that_is_not_there_is_not_paused(deployed: Deployed, bbq: Bbq) -> None:
    for command in ("pause", "resume"):
        result = bbq(command, "opus")
        assert result.code == 3
        assert "no model 'opus': the models are haiku, nova" in result.err
    assert deployed.store.load(model_stream("opus")) == []


def test_a_model_event_that_was_faster_is_seen(
    deployed: Deployed, bbq: Bbq, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Store.append_to_model
    done: list[bool] = []

    def append(self: Store, model: str, version: int, event: e.Event) -> None:
        if not done:
            done.append(True)
            real(self, model, version, e.ModelPaused(at=deployed.time, by="bob", why=""))
        real(self, model, version, event)

    monkeypatch.setattr(Store, "append_to_model", append)
    assert "was paused already by bob" in bbq("pause", "haiku").out
    assert [r.event.NAME for r in deployed.store.load(model_stream("haiku"))] == [
        "limit-set",
        "model-paused",
    ]
