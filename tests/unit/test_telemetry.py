"""Metrics as CloudWatch reads them: EMF, one value under each set of dimensions."""

import json
from typing import Any

import pytest

from shared.telemetry import Telemetry


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
) -> None:  # fmt: skip
    telemetry.note("SlotClaimed", job="j1", model="haiku")
    telemetry.note("SlotClaimed", job="j2", model="haiku")
    telemetry.note("HintIgnored", size=3)
    with_model, without = sorted(written(telemetry, capsys), key=lambda line: "model" not in line)
    (directive,) = with_model["_aws"]["CloudWatchMetrics"]
    assert directive["Namespace"] == "BedrockBatchQueue"
    assert directive["Dimensions"] == [["service"], ["service", "model"]]
    assert (with_model["service"], with_model["model"], with_model["SlotClaimed"]) == ("bbq-scheduler", "haiku", [1, 1])
    assert without["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [["service"]]
    assert without["HintIgnored"] == [1]


def test_a_refusal_is_counted_by_its_reason_and_an_end_by_its_status(
    telemetry: Telemetry, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    telemetry.note("SubmissionRefused", job="j", model="haiku", kind="quota", reason="ServiceQuotaExceededException: full")
    telemetry.note("JobEnded", job="j", model="haiku", status="Failed")
    refused, over = written(telemetry, capsys)
    assert refused["_aws"]["CloudWatchMetrics"][0]["Dimensions"][-1] == ["service", "model", "reason"]
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
        {"Name": "RefillTime", "Unit": "Milliseconds"}, {"Name": "SlotsHeld", "Unit": "Count"},
    ]  # fmt: skip
    assert line["RefillTime"] == [12.5]


def test_a_measure_of_no_known_name_is_a_mistake_of_ours(telemetry: Telemetry) -> None:
    telemetry.measure("haiku", Slots=3)
    with pytest.raises(KeyError):
        telemetry.flush()


def test_what_was_written_is_not_written_again(telemetry: Telemetry, capsys: pytest.CaptureFixture[str]) -> None:
    telemetry.note("SlotClaimed", model="haiku")
    assert len(written(telemetry, capsys)) == 1
    assert written(telemetry, capsys) == []
