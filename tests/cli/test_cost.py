"""What jobs have used and what it costs, with nothing invented."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from bbq.cli.cost import Sum, added, of_attempts
from bbq.shared import events as e
from tests.cli.conftest import NOW, Deployed, Result

Bbq = Callable[..., Result]
PRICES = 'currency = "USD"\n[models.haiku]\ninput_per_1000 = 0.001\noutput_per_1000 = 0.01\n'


@pytest.fixture
def prices(tmp_path: Path) -> str:
    path = tmp_path / "prices.toml"
    path.write_text(PRICES)
    return str(path)


def test_groups_are_added_exactly() -> None:
    jobs = [
        Sum(group="b", jobs=1, input_tokens=1, output_tokens=1, cost=Decimal("0.000011")),
        Sum(group="a", jobs=1, jobs_with_unknown_tokens=1),
        Sum(group="b", jobs=1, jobs_without_price=1, input_tokens=2, cost=Decimal("0.1")),
    ]
    a, b = added(jobs)
    assert a == jobs[1]
    assert b == Sum(
        group="b",
        jobs=2,
        jobs_without_price=1,
        input_tokens=3,
        output_tokens=1,
        cost=Decimal("0.100011"),
    )


def test_attempts_are_all_counted_and_a_missing_count_is_known_to_be_missing() -> None:
    def took(attempt: int) -> e.JobSubmitted:
        return e.JobSubmitted(at=NOW, attempt=attempt, arn=f"arn:{attempt}")

    def used(attempt: int, tokens: int | None) -> e.JobTallied:
        return e.JobTallied(at=NOW, attempt=attempt, input_tokens=tokens, output_tokens=tokens)

    assert of_attempts([took(1), used(1, 5), took(2), used(2, 7)]) == (True, 12, 12)
    assert of_attempts([took(1), took(2), used(2, 7)]) == (False, 7, 7)
    assert of_attempts([took(1), used(1, None), took(2), used(2, 7)]) == (False, 7, 7)
    assert of_attempts([]) == (True, 0, 0)  # Bedrock never had it


def test_tokens_are_those_of_the_manifests(deployed: Deployed, bbq: Bbq, prices: str) -> None:
    for number in range(2):
        deployed.complete(deployed.upload(f"haiku/{number}.jsonl"))
    deployed.complete(deployed.upload("nova/a.jsonl", "nova"), succeeded=10)
    result = bbq("cost", "--prices", prices, "--json")
    assert result.code == 0
    haiku, nova = result.json["groups"]
    assert (haiku["model"], haiku["jobs"], haiku["input_tokens"], haiku["output_tokens"]) == (
        "haiku",
        2,
        180_000,
        20_000,
    )
    assert Decimal(haiku["cost"]) == Decimal("0.38")
    assert (nova["input_tokens"], nova["cost"], nova["jobs_without_price"]) == (9_000, "0", 1)
    words = bbq("cost", "--prices", prices)
    assert "0.3800 USD" in words.out
    assert "1 job ran on models that the price table does not name" in words.err


def test_without_a_table_there_is_no_cost(
    deployed: Deployed, bbq: Bbq, prices: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployed.complete(deployed.upload("haiku/a.jsonl"))
    result = bbq("cost")
    assert "90,000" in result.out
    assert "USD" not in result.out
    assert "no cost: say --prices FILE or set BBQ_PRICES" in result.err
    assert bbq("cost", "--json").json["groups"][0]["cost"] is None
    monkeypatch.setenv("BBQ_PRICES", prices)
    assert "0.1900 USD" in bbq("cost").out


def test_jobs_whose_counts_nobody_knows_are_told(deployed: Deployed, bbq: Bbq) -> None:
    deployed.report(deployed.upload("haiku/a.jsonl"), "Stopped")  # no manifest
    deployed.complete(deployed.upload("haiku/b.jsonl"))
    result = bbq("cost")
    assert "1 job with unknown token counts" in result.err
    assert bbq("cost", "--json").json["groups"][0]["jobs_with_unknown_tokens"] == 1


def test_a_job_that_was_tried_again_counts_with_all_attempts(deployed: Deployed, bbq: Bbq) -> None:
    job = deployed.upload("haiku/a.jsonl")
    deployed.complete(job, succeeded=90, failed=10)
    assert bbq("retry", job, "--yes").code == 0
    deployed.wake(job)
    deployed.complete(job)
    [group] = bbq("cost", "--json").json["groups"]
    assert (group["jobs"], group["input_tokens"], group["output_tokens"]) == (1, 171_000, 19_000)


def test_groups_are_models_folders_or_days(deployed: Deployed, bbq: Bbq) -> None:
    deployed.time = NOW - timedelta(days=1)
    deployed.complete(deployed.upload("team-a/2026/x.jsonl"))
    deployed.time = NOW
    deployed.complete(deployed.upload("team-b/y.jsonl"))
    deployed.complete(deployed.upload("z.jsonl", "nova"))

    def groups(by: str, *more: str) -> list[str]:
        return [group[by] for group in bbq("cost", "--by", by, "--json", *more).json["groups"]]

    assert groups("model") == ["haiku", "nova"]
    assert groups("prefix") == ["(none)", "team-a/", "team-b/"]
    assert groups("day") == ["2026-11-23", "2026-11-24"]
    assert groups("day", "--since", "2h") == ["2026-11-24"]
    assert "all" in bbq("cost", "--by", "day").out


def test_what_never_ran_costs_nothing(deployed: Deployed, bbq: Bbq) -> None:
    deployed.reject("haiku/a.jsonl", e.Problem(line=1, text="is not JSON"))
    deployed.upload("haiku/b.jsonl")
    result = bbq("cost")
    assert result.code == 0
    assert "no job ended since" in result.err


def test_a_table_that_cannot_be_used_ends_the_command(
    deployed: Deployed, bbq: Bbq, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.toml"
    bad.write_text("[models.haiku]\ninput_per_1000 = 1")
    result = bbq("cost", "--prices", str(bad))
    assert result.code == 2
    assert "currency is missing" in result.err
    assert "output_per_1000" in result.err
