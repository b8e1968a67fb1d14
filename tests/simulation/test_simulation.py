"""The simulation itself: enough seeds, small worlds as far as time allows, one run for one seed, no fault that never strikes."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation import campaign
from tests.simulation.aws import Bus, Stream
from tests.simulation.explore import SITUATIONS, Explorer, Situation
from tests.simulation.mutants import MUTANTS
from tests.simulation.mutation import ROOT
from tests.simulation.simulation import FUNCTION_TIMEOUT, HINT_RECEIVES, INTAKE_TIMEOUT, UPLOAD_RECEIVES
from tests.simulation.watch import INVARIANTS
from tests.simulation.weather import GENTLE, RATES, SPELLS

SEEDS = 1000
FEWEST_STEPS = 300  # of the smallest run; the mean is far above 500
MEAN_STEPS = 500
EXPLORE_RUNS = 150  # for each situation


def test_every_invariant_holds_in_a_thousand_seeds_and_every_fault_strikes() -> None:
    total = campaign.Tally()
    for tally in campaign.run(range(SEEDS)):
        total.add(tally)
    assert total.failures == []
    assert total.never_fired == []
    assert set(total.evaluated) == set(INVARIANTS)
    assert total.fewest_steps >= FEWEST_STEPS
    assert total.steps / total.seeds >= MEAN_STEPS


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
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout

    first = steps("1")
    assert "every invariant held" in first
    assert steps("2") == first


def test_a_failing_seed_is_made_small_and_shown_as_a_timeline() -> None:
    command = [sys.executable, "-m", "tests.simulation", "--mutant", "R30", "--seed", "0"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert "broken: S5" in run.stdout
    assert re.search(r"^ +\d+:\d\d:\d\d\.\d{3} +scheduler-\d+ +Create bbq-job-1-1", run.stdout, re.MULTILINE)
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


@pytest.mark.parametrize("name", MUTANTS)
def test_every_mutant_still_fits_the_code(name: str) -> None:
    changed: dict[str, str] = {}
    for path, old, new in MUTANTS[name].changes:
        text = changed.get(path) or (ROOT / path).read_text()
        assert text.count(old) == 1, path
        changed[path] = text.replace(old, new)
    for path, text in changed.items():
        compile(text, path, "exec")  # or it would be caught for its grammar


def test_there_is_a_mutant_for_every_race() -> None:
    assert {f"R{number}" for number in range(1, 38)} <= MUTANTS.keys()
    races = Path(__file__).with_name("test_races.py").read_text()
    tested = {name for names in re.findall(r"^def test_((?:R\d+_)+)", races, re.MULTILINE) for name in names.split("_") if name}
    assert tested == {f"R{number}" for number in range(1, 38)}


def test_the_stream_passes_on_what_terraform_lets_through() -> None:
    text = (ROOT / "terraform" / "scheduler.tf").read_text()
    (ignored,) = re.findall(r"events_that_leave_nothing_to_do = \[(.*?)\]", text)
    assert set(re.findall(r'"([a-z-]+)"', ignored)) == Stream.IGNORED


def test_the_bus_passes_on_what_terraform_lets_through() -> None:
    text = (ROOT / "terraform" / "hints.tf").read_text()
    (ignored,) = re.findall(r'"anything-but" = \[(.*?)\]', text)
    assert set(re.findall(r'"(\w+)"', ignored)) == Bus.IGNORED
