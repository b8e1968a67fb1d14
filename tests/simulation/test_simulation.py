"""The simulation itself: enough seeds, small worlds as far as time allows, one run for one seed, no
fault that never strikes.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation import campaign
from tests.simulation.aws import Bus, Stream
from tests.simulation.explore import SITUATIONS, Explorer, Situation
from tests.simulation.hunt import DOCS, rows
from tests.simulation.mutants import MUTANTS
from tests.simulation.mutation import ROOT
from tests.simulation.simulation import (
    FUNCTION_TIMEOUT,
    HINT_RECEIVES,
    INTAKE_TIMEOUT,
    UPLOAD_RECEIVES,
)
from tests.simulation.watch import INVARIANTS
from tests.simulation.weather import GENTLE, RATES, SPELLS

DRAWN = 500  # seeds drawn from the commit, beside the fixed ones
NO_COMMIT = "no commit: git is not here, or these files are in no repository of it"
FEWEST_STEPS = 300  # of the smallest run; the mean is far above 500
MEAN_STEPS = 500
EXPLORE_RUNS = 150  # for each situation


def test_every_invariant_holds_in_a_thousand_seeds_and_every_fault_strikes() -> None:
    total = run(campaign.FIXED)
    assert not total.failed, total.failed
    assert total.never_fired == []
    assert set(total.evaluated) == set(INVARIANTS)
    assert total.fewest_steps >= FEWEST_STEPS
    assert total.steps / total.seeds >= MEAN_STEPS


def test_every_invariant_holds_in_seeds_drawn_from_the_commit() -> None:
    commit = commit_id()
    first = campaign.first_seed_of(commit)
    total = run(range(first, first + DRAWN))
    assert not total.failed, (
        f"first seed {first}, drawn from {commit}; all of them again: make simulate SEEDS={DRAWN} "
        f"FIRST={first}\n{total.failed}"
    )


def test_a_draw_is_the_same_for_the_same_text_and_never_a_fixed_seed() -> None:
    texts = [f"commit {number}" for number in range(200)]
    drawn = [campaign.first_seed_of(text) for text in texts]
    assert drawn == [campaign.first_seed_of(text) for text in texts]
    assert len({*drawn, *(campaign.first_seed() for _ in texts)}) == 2 * len(texts)
    assert min(drawn) > max(campaign.FIXED)


def test_without_a_repository_the_draw_is_a_fixed_one(tmp_path: Path) -> None:
    assert commit_id(tmp_path) == NO_COMMIT


def run(seeds: range) -> campaign.Tally:
    """All of them, on all cores."""
    total = campaign.Tally()
    for tally in campaign.run(seeds):
        total.add(tally)
    return total


def commit_id(root: Path = ROOT) -> str:
    """Of the commit that is checked out; NO_COMMIT if unknown."""
    try:
        found = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=False
        )
    except OSError:
        return NO_COMMIT
    return found.stdout.strip() or NO_COMMIT


def test_a_burst_of_uploads_runs_to_the_end_with_slots_full_and_few_invocations() -> None:
    sim = campaign.burst(300)
    assert {job.status for job in sim.watch.jobs.values()} == {"Completed"}
    assert sim.kernel.started.total() <= 12 * len(sim.watch.jobs)


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda situation: situation.name)
def test_small_worlds_hold_under_the_first_schedules(situation: Situation) -> None:
    """One preemption and one fault at every place; `make explore` does two of each, to the end."""
    explorer = Explorer(situation, preemptions=1, faults=1)
    explorer.explore(runs=EXPLORE_RUNS)
    assert explorer.states > 10


def test_a_seed_is_the_same_run_in_every_process() -> None:
    def steps(hash_seed: str) -> str:
        command = [sys.executable, "-m", "tests.simulation", "--seed", "1"]
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "COLUMNS": "200"}
        return subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True
        ).stdout

    first = steps("1")
    assert "every invariant held" in first
    assert steps("2") == first


def test_a_process_that_hurries_runs_every_seed_as_one_that_takes_its_time() -> None:
    seeds = range(12)
    (hurried,) = campaign.run(seeds, processes=1)
    slow = campaign.Tally()
    for seed in seeds:
        slow.add(campaign.run_seed(seed))
    assert hurried == slow


def test_a_failing_seed_is_made_small_and_shown_as_a_timeline() -> None:
    command = [sys.executable, "-m", "tests.simulation", "--mutant", "R30", "--seed", "0"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert "broken: S5" in run.stdout
    assert re.search(
        r"^ +\d+:\d\d:\d\d\.\d{3} +scheduler-\d+ +Create bbq-job-1-1", run.stdout, re.MULTILINE
    )
    assert "seed 0: 1 uploads" in run.stdout


def test_the_models_of_aws_have_the_numbers_of_the_terraform_files() -> None:
    text = "".join(path.read_text() for path in sorted((ROOT / "terraform").glob("*.tf")))
    assert f"scheduler_timeout_seconds = {FUNCTION_TIMEOUT:.0f}" in text
    assert f"intake_timeout_seconds = {INTAKE_TIMEOUT:.0f}" in text
    receives = {int(number) for number in re.findall(r"max_receive_count += (\d+)", text)}
    assert receives == {HINT_RECEIVES, UPLOAD_RECEIVES}


def test_every_fault_has_one_name_and_the_gentle_ones_are_among_them() -> None:
    assert not RATES.keys() & SPELLS.keys()
    assert set(RATES) | set(SPELLS) >= GENTLE


def test_every_mutant_has_its_row_in_the_page_and_every_row_its_mutant() -> None:
    page = rows(DOCS.read_text())
    assert [*page] == [*MUTANTS]
    for name, row in page.items():
        mutant = MUTANTS[name]
        what, seeds, by = row.strip("| ").split(" | ")[1:]
        assert what == mutant.what
        assert seeds == "a test" if mutant.test else seeds.isdecimal(), f"{name}: {seeds}"
        assert by == mutant.test.rpartition("::")[2] if mutant.test else by in INVARIANTS


def test_there_is_a_mutant_for_every_race() -> None:
    assert {f"R{number}" for number in range(1, 51)} <= MUTANTS.keys()
    races = Path(__file__).with_name("test_races.py").read_text()
    tested = {
        name
        for names in re.findall(r"^def test_((?:R\d+_)+)", races, re.MULTILINE)
        for name in names.split("_")
        if name
    }
    assert tested == {f"R{number}" for number in range(1, 51)}


def test_the_stream_passes_on_what_terraform_lets_through() -> None:
    text = (ROOT / "terraform" / "scheduler.tf").read_text()
    (ignored,) = re.findall(r"events_that_leave_nothing_to_do = \[(.*?)\]", text)
    assert set(re.findall(r'"([a-z-]+)"', ignored)) == Stream.IGNORED


def test_the_bus_passes_on_what_terraform_lets_through() -> None:
    text = (ROOT / "terraform" / "hints.tf").read_text()
    (ignored,) = re.findall(r'"anything-but" = \[(.*?)\]', text)
    assert set(re.findall(r'"(\w+)"', ignored)) == Bus.IGNORED
