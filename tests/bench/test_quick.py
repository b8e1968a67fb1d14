"""Each part of the measurement that needs no emulator, run small: it measures what it says, and what does not depend on the
machine is as promised.
"""

from functools import cache
from typing import Any

from bench import cold, throughput, work
from bench.samples import percentile, ratio_of_medians, summary, target


@cache
def worked() -> dict[str, Any]:
    return work.run(quick=True)


def test_the_work_of_a_job_is_bounded_and_does_not_grow_with_history() -> None:
    assert all(one["met"] for one in worked()["targets"]), worked()["targets"]
    per_job = worked()["by_history"][100]["per_job"]
    assert per_job["intake_invocations"] == per_job["s3_puts"] == 1


def test_the_poller_beside_it_grows_with_history() -> None:
    small, large = (worked()["by_history"][history]["poller"] for history in (100, 10_000))
    assert large["read_units"] > 20 * small["read_units"]
    assert large["bedrock_gets"] == small["bedrock_gets"] > 0


def test_an_idle_day_is_nothing_at_all() -> None:
    assert set(worked()["idle_day"].values()) == {0}
    assert {"invocations", "dynamodb_requests", "sqs_requests", "timers_fired"} <= worked()["idle_day"].keys()


def test_every_dollar_has_a_price_with_a_source() -> None:
    assert worked()["total_dollars_per_million_jobs"] == round(sum(worked()["dollars_per_million_jobs"].values()), 2) > 0
    assert all(price["source"] and price["unit"] for price in worked()["prices"].values())


def test_throughput_is_measured_of_files_that_are_fit() -> None:
    found = throughput.run(quick=True)
    for name, each in found["inspection"].items():
        assert each["records"] * 0.99 < each["file_bytes"] / throughput.RECORD_BYTES.get(name, throughput.LONG_RECORD_BYTES)
        assert all(len(samples["seconds"]) == throughput.QUICK_ROUNDS for samples in each["samples"].values())
    assert found["fold"]["events"] == 8 * throughput.QUICK_JOBS
    assert found["burst"]["jobs"] == throughput.QUICK_BURST
    assert next(one for one in found["targets"] if one["name"].startswith("memory"))["met"]


def test_a_cold_start_is_compared_with_a_floor_of_the_same_clients() -> None:
    found = cold.run(quick=True)
    assert found["clients"]["intake"] == ["dynamodb", "s3"]
    assert found["clients"]["scheduler"] == ["bedrock", "dynamodb", "s3", "scheduler", "sqs"]
    for service, samples in found["samples"].items():
        assert {len(each) for each in samples.values()} == {cold.QUICK_SAMPLES}
        assert "pynamodb" in found["imports"][service]
        # Modules and not milliseconds: a few samples say more of the machine than of the code.
        assert found["modules"][service][service] > found["modules"][service]["floor"] > 100
    assert all(one["value"] > 0 and one["at_most"] == cold.AT_MOST for one in found["targets"])


def test_percentiles_ratios_and_targets() -> None:
    assert [percentile([3, 1, 2, 4], percent) for percent in (0, 50, 100)] == [1, 2.5, 4]
    assert summary([1.0] * 10)["p99"] == 1.0
    assert ratio_of_medians([2, 4, 100], [1, 2, 3]) == 2
    assert target("x", 1.0, at_most=1.0)["met"]
    assert not target("x", float("nan"), at_most=1.0)["met"]
    assert not target("x", 0.8, at_least=0.9)["met"]
