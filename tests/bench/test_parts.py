"""Each part of the measurement that needs no emulator, run small, from the command line to its
file: it measures what it says, and what does not depend on the machine is as promised.
"""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench import charts, cold, pages, results, throughput
from local.settings import ROOT

ON_THE_EMULATOR = "refill"


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The envelope of each part. No page is touched, and no result that is kept."""
    before = {path: path.read_text() for path in (*pages.PAGES, results.RESULTS)}
    out = tmp_path_factory.mktemp("bench") / "results.json"
    parts = [name for name in results.PARTS if name != ON_THE_EMULATOR]
    command = [sys.executable, "-m", "bench", "--quick", "--out", str(out), *parts]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=1800)
    assert {path: path.read_text() for path in before} == before
    found: dict[str, Any] = results.read(out)["parts"]
    assert [(name, envelope["quick"]) for name, envelope in sorted(found.items())] == [
        (name, True) for name in parts
    ]
    return found


@pytest.fixture(scope="module")
def work(quick: dict[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = quick["work"]["result"]
    return result


def test_a_quick_run_measures_everything_the_pages_and_charts_show(
    quick: dict[str, Any], tmp_path: Path
) -> None:
    both = results.read()["parts"] | quick
    said = pages.generated(both)
    assert all(
        pages.with_generated(page.read_text(), said) != page.read_text() for page in pages.PAGES
    )
    charts.write(pages.drawn(both), tmp_path)
    assert {path.stem for path in tmp_path.iterdir()} == pages.drawn(both).keys()


def test_the_work_of_a_job_is_bounded_and_does_not_grow_with_history(work: dict[str, Any]) -> None:
    assert all(one["met"] for one in work["targets"]), work["targets"]
    per_job = work["by_history"]["100"]["per_job"]
    assert per_job["intake_invocations"] == per_job["s3_puts"] == 1


def test_the_poller_beside_it_grows_with_history(work: dict[str, Any]) -> None:
    small, large = (work["by_history"][history]["poller"] for history in ("100", "10000"))
    assert large["read_units"] > 20 * small["read_units"]
    assert large["bedrock_gets"] == small["bedrock_gets"] > 0


def test_an_idle_day_is_nothing_at_all(work: dict[str, Any]) -> None:
    assert set(work["idle_day"].values()) == {0}
    assert {"invocations", "dynamodb_requests", "sqs_requests", "timers_fired"} <= work[
        "idle_day"
    ].keys()


def test_the_bill_is_the_sum_of_its_rows(work: dict[str, Any]) -> None:
    assert (
        work["total_dollars_per_million_jobs"]
        == round(sum(work["dollars_per_million_jobs"].values()), 2)
        > 0
    )


def test_throughput_is_measured_of_files_that_are_fit(quick: dict[str, Any]) -> None:
    found = quick["throughput"]["result"]
    for name, each in found["inspection"].items():
        assert each["records"] * 0.99 < each["file_bytes"] / throughput.RECORD_BYTES.get(
            name, throughput.LONG_RECORD_BYTES
        )
        assert all(
            len(samples["seconds"]) == throughput.QUICK_ROUNDS
            for samples in each["samples"].values()
        )
    assert next(one for one in found["targets"] if one["name"].startswith("memory"))["met"]


def test_a_cold_start_is_compared_with_a_floor_of_the_same_clients(quick: dict[str, Any]) -> None:
    found = quick["cold"]["result"]
    assert found["clients"]["intake"] == ["dynamodb", "s3"]
    assert found["clients"]["scheduler"] == ["bedrock", "dynamodb", "s3", "scheduler", "sqs"]
    for service, samples in found["samples"].items():
        assert {len(each) for each in samples.values()} == {cold.QUICK_SAMPLES}
        # Modules and not milliseconds: a few samples say more of the machine than of the code.
        assert found["modules"][service][service] > found["modules"][service]["floor"] > 100
    assert all(one["value"] > 0 and one["at_most"] == cold.AT_MOST for one in found["targets"])
