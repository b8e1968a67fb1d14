"""Metrics as CloudWatch reads them: EMF, one value under each set of dimensions."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from bbq.shared.telemetry import Telemetry, said


@pytest.fixture
def telemetry(monkeypatch: pytest.MonkeyPatch) -> Telemetry:
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "BedrockBatchQueue")
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "bbq-scheduler")
    return Telemetry()


def written(telemetry: Telemetry, capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    telemetry.flush()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return [line for line in lines if "_aws" in line]


def test_what_happened_to_a_model_is_counted_for_the_service_and_for_the_model(
    telemetry: Telemetry, capsys: pytest.CaptureFixture[str]
) -> None:
    telemetry.note("SlotClaimed", job="j1", model="haiku")
    telemetry.note("SlotClaimed", job="j2", model="haiku")
    telemetry.note("HintIgnored", size=3)
    with_model, without = sorted(written(telemetry, capsys), key=lambda line: "model" not in line)
    (directive,) = with_model["_aws"]["CloudWatchMetrics"]
    assert directive["Namespace"] == "BedrockBatchQueue"
    assert directive["Dimensions"] == [["service"], ["service", "model"]]
    assert (with_model["service"], with_model["model"], with_model["SlotClaimed"]) == (
        "bbq-scheduler",
        "haiku",
        [1, 1],
    )
    assert without["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [["service"]]
    assert without["HintIgnored"] == [1]


def test_a_refusal_is_counted_by_its_reason_and_an_end_by_its_status(
    telemetry: Telemetry, capsys: pytest.CaptureFixture[str]
) -> None:
    telemetry.note(
        "SubmissionRefused",
        job="j",
        model="haiku",
        kind="quota",
        reason="ServiceQuotaExceededException: full",
    )
    telemetry.note("JobEnded", job="j", model="haiku", status="Failed")
    refused, over = written(telemetry, capsys)
    assert refused["_aws"]["CloudWatchMetrics"][0]["Dimensions"][-1] == [
        "service",
        "model",
        "reason",
    ]
    assert (refused["reason"], over["status"]) == ("quota", "Failed")
    assert over["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [
        ["service"],
        ["service", "model"],
        ["service", "model", "status"],
    ]


def test_a_measure_has_its_unit(telemetry: Telemetry, capsys: pytest.CaptureFixture[str]) -> None:
    telemetry.measure("haiku", RefillTime=12.5, SlotsHeld=3)
    (line,) = written(telemetry, capsys)
    assert line["_aws"]["CloudWatchMetrics"][0]["Metrics"] == [
        {"Name": "RefillTime", "Unit": "Milliseconds"},
        {"Name": "SlotsHeld", "Unit": "Count"},
    ]
    assert line["RefillTime"] == [12.5]


def test_a_measure_of_no_known_name_is_a_mistake_of_ours(telemetry: Telemetry) -> None:
    telemetry.measure("haiku", Slots=3)
    with pytest.raises(KeyError):
        telemetry.flush()


def test_what_was_written_is_not_written_again(
    telemetry: Telemetry, capsys: pytest.CaptureFixture[str]
) -> None:
    telemetry.note("SlotClaimed", model="haiku")
    assert len(written(telemetry, capsys)) == 1
    assert written(telemetry, capsys) == []


def test_an_error_is_said_without_the_bytes_it_was_about() -> None:
    with pytest.raises(UnicodeDecodeError) as raised:
        b"a secret \xff".decode()
    assert "secret" in repr(raised.value)
    assert said(raised.value).startswith("UnicodeDecodeError: 'utf-8' codec can't decode byte 0xff")
    assert "secret" not in said(raised.value)
    assert len(said(ValueError("x" * 10_000))) == 500
    group = ExceptionGroup(
        "some models", [ValueError("one"), ExceptionGroup("more", [KeyError("two")])]
    )
    assert "ValueError: one" in said(group)
    assert "KeyError: 'two'" in said(group)


@pytest.mark.parametrize(
    "text", ["a\nb", '"}\n{"level":"ERROR"', "\u2028", "\x1b[2J", "\ud800", "\x00", "a" * 1000]
)
def test_no_field_makes_a_second_line_of_a_log(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    # a logger of its own
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", f"bbq-{text.encode(errors='replace').hex()[:40]}")
    Telemetry().note("HintFailed", message=text, error=text)
    (line,) = capsys.readouterr().out.rstrip("\n").split("\n")
    written = json.loads(line)
    assert (written["message"], written["level"]) == ("HintFailed", "INFO")
    assert written["about"]["error"] == text


def test_nobody_logs_whole_events() -> None:
    """Powertools would, with its decorator and this variable: an event holds keys, and a test's
    event whatever it likes.
    """
    root = Path(__file__).resolve().parents[2]
    code = [
        path.read_text()
        for folder in ("services", "shared")
        for path in (root / folder).rglob("*.py")
    ]
    terraform = [path.read_text() for path in (root / "terraform").rglob("*.tf")]
    for text in (*code, *terraform):
        assert not re.search(
            r"inject_lambda_context|log_event|LOG_EVENT|POWERTOOLS_DEV|Tracer\b|capture_lambda_handler|print\(",
            text,
        )
