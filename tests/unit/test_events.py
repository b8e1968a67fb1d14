"""Events are stored for ever: every version ever written can still be read."""

import json
from pathlib import Path

import pytest

from bbq.shared import events as e
from bbq.shared.plain import text_of
from tests.support.samples import ARN, at, queued, source

HISTORY = Path(__file__).parent.parent / "history"

EVERY = [
    queued(),
    e.JobRejected(
        at=at(1),
        model=None,
        sources=(source(),),
        problems=(e.Problem(line=None, text="empty"),),
        problem_count=1,
        size_bytes=0,
    ),
    e.UploadUnreadable(at=at(1), sources=(source(),), reason="kms:Decrypt is missing"),
    e.SlotClaimed(at=at(2), attempt=1, model_id="m", job_name="bbq-x-1"),
    e.SubmissionRefused(at=at(3), attempt=1, kind="quota", message="full", taken=7),
    e.JobSubmitted(at=at(4), attempt=1, arn=ARN, found=True),
    e.JobProgressed(at=at(5), attempt=1, status="InProgress"),
    e.JobEnded(at=at(6), attempt=1, status="Completed", message="", arn=ARN),
    e.JobTallied(at=at(7), attempt=1, total_records=100, input_tokens=5),
    e.JobRequeued(at=at(8), attempt=1, by="policy", why="expired"),
    e.CancelRequested(at=at(9), by="ann", why="wrong file"),
    e.JobCancelled(at=at(10)),
    e.LimitSet(at=at(11), limit=0),
    e.ModelPaused(at=at(12), by="ann", why="maintenance"),
    e.ModelResumed(at=at(13), by="ann", why=""),
    e.PriorityChanged(at=at(14), priority=0, by="ann", why="urgent"),
    e.ForgetRequested(at=at(15), by="ann", why="Bedrock does not know it"),
]


def test_there_is_a_sample_of_every_event() -> None:
    assert {type(event) for event in EVERY} == set(e.EVENTS.values())


@pytest.mark.parametrize("event", EVERY, ids=lambda event: event.NAME)
def test_an_event_survives_being_stored(event: e.Event) -> None:
    stored = json.loads(json.dumps(e.to_stored(event)))
    assert e.from_stored(event.NAME, event.VERSION, text_of(event.at), stored) == event


def samples() -> list[Path]:
    return sorted(HISTORY.glob("*.json"))


@pytest.mark.parametrize("path", samples(), ids=lambda path: path.stem)
def test_every_version_ever_written_can_be_read(path: Path) -> None:
    row = json.loads(path.read_text())
    event = e.from_stored(row["name"], row["schema"], row["at"], row["data"])
    assert row["name"] == event.NAME


def test_the_current_version_of_every_event_has_a_sample_that_is_what_is_written_today() -> None:
    for event in EVERY:
        row = json.loads((HISTORY / f"{event.NAME}.v{event.VERSION}.json").read_text())
        assert row["data"].keys() == json.loads(json.dumps(e.to_stored(event))).keys()


def test_an_unknown_name_or_a_newer_version_is_said_to_be_unknown() -> None:
    for name, version in (("job-teleported", 1), ("job-queued", 99)):
        with pytest.raises(e.UnknownEvent):
            e.from_stored(name, version, text_of(at(0)), {})


def test_a_field_of_a_newer_writer_is_left_out() -> None:
    data = e.to_stored(e.LimitSet(at=at(0), limit=3)) | {"reason": "new"}
    assert e.from_stored("limit-set", 1, text_of(at(0)), data) == e.LimitSet(at=at(0), limit=3)


@pytest.mark.parametrize("data", [{}, {"limit": 1, "at": "yesterday"}, [], None, "x"])
def test_data_that_does_not_fit_is_an_unknown_event_and_nothing_worse(data: object) -> None:
    with pytest.raises(e.UnknownEvent):
        e.from_stored("job-queued", 1, "yesterday", data)  # type: ignore[arg-type] # damaged on purpose


def test_stored_times_sort_as_time_does() -> None:
    texts = [text_of(at(seconds)) for seconds in (0, 0.000001, 0.5, 1, 61, 86_400)]
    assert texts == sorted(texts)
    assert len({len(text) for text in texts}) == 1
