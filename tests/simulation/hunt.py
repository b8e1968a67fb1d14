"""`make mutants`: put each mistake of `mutants.py` back alone, and count the seeds until the
simulation sees it.

`--write` writes the table of docs/simulation.md, row by row; `--races` runs the named tests of the
races instead of the seeds.
"""

import argparse
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass

from tests.simulation.mutants import MUTANTS
from tests.simulation.mutation import ROOT

SEEDS = 2000  # within so many, each must be caught
DOCS = ROOT / "docs" / "simulation.md"
RACES = "tests/simulation/test_races.py"
BEGIN, END = "<!-- mutants -->\n", "<!-- /mutants -->"


@dataclass(frozen=True)
class Catch:
    """How a mutant was caught: by how many seeds (None if it survived) and which invariant, or by
    which test.
    """

    name: str
    seeds: int | None
    by: str
    seconds: float


def hunt(name: str, seeds: int) -> Catch:
    """Run seeds with the mutant until one fails, or the test that stands for them."""
    began = time.monotonic()
    if test := MUTANTS[name].test:
        caught = failed_tests(name, [test])
        return Catch(
            name, 0 if caught else None, test.rpartition("::")[2], time.monotonic() - began
        )
    command = [
        sys.executable,
        "-m",
        "tests.simulation",
        "--stop",
        "--seeds",
        str(seeds),
        "--mutant",
        name,
    ]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    line = (run.stdout.strip().splitlines() or [""])[-1]
    seconds = time.monotonic() - began
    if line == "survived":
        return Catch(name, None, "", seconds)
    seed, _, rest = line.partition("\t")
    if not seed.isdecimal():
        raise RuntimeError(f"mutant {name} does not run: {run.stderr[-2000:]}")
    return Catch(name, int(seed) + 1, rest.partition("\t")[0], seconds)


def hunt_all(names: list[str], seeds: int) -> Iterator[Catch]:
    """All of them, as many at once as there are cores; each as it is done."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for hunted in as_completed([pool.submit(hunt, name, seeds) for name in names]):
            yield hunted.result()


def failed_tests(name: str, tests: list[str]) -> int:
    """How many of these tests (arguments of pytest) fail with the mutant. Raises RuntimeError if
    none of them runs.
    """
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests]
    environment = {**os.environ, "BBQ_MUTANT": name}  # tests/conftest.py
    run = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    found: dict[str, int] = {
        word: int(count) for count, word in re.findall(r"(\d+) (passed|failed)", run.stdout)
    }
    if not found:
        raise RuntimeError(
            f"mutant {name}: {' '.join(tests)} does not run: "
            f"{run.stdout[-2000:]}{run.stderr[-2000:]}"
        )
    return found.get("failed", 0)


def write(catch: Catch) -> None:
    """Into the table of docs/simulation.md; the rows of the others stay as they are, and a row
    without a mutant goes.
    """
    text = DOCS.read_text()
    seeds = (
        "survived"
        if catch.seeds is None
        else "a test"
        if MUTANTS[catch.name].test
        else str(catch.seeds)
    )
    known = {
        **rows(text),
        catch.name: f"| {catch.name} | {MUTANTS[catch.name].what} | {seeds} | {catch.by} |",
    }
    DOCS.write_text(with_rows(text, [known[name] for name in MUTANTS if name in known]))


def rows(text: str) -> dict[str, str]:
    """The rows of the table in the page's text, by mutant."""
    table = text.partition(BEGIN)[2].partition(END)[0]
    return {row.split(" | ")[0].removeprefix("| "): row for row in table.splitlines()[2:]}


def with_rows(text: str, lines: list[str]) -> str:
    """The page's text with these rows in the table."""
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    table = ["| mutant | the mistake | seeds | caught by |", "|---|---|---|---|", *lines]
    return before + BEGIN + "\n".join(table) + "\n" + END + after


def main() -> int:
    """The exit code: 1 where a mutant survives."""
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    parser.add_argument("names", nargs="*", help="only these")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument(
        "--races", action="store_true", help="run the named test of each race instead of the seeds"
    )
    parser.add_argument(
        "--write", action="store_true", help="write the table into docs/simulation.md"
    )
    options = parser.parse_args()
    names = options.names or list(MUTANTS)
    if options.races:
        return _races([name for name in names if re.fullmatch(r"R\d+", name)])
    catches = []
    for catch in hunt_all(names, options.seeds):
        catches.append(catch)
        if options.write:
            write(catch)
        caught = (
            f"seed {catch.seeds:>4}  {catch.by[:4]:4}"
            if catch.seeds is not None
            else "SURVIVED        "
        )
        print(  # noqa: T201 - a program for a terminal
            f"{catch.name:22} {caught}  {catch.seconds:5.0f} s  {MUTANTS[catch.name].what}",
            flush=True,
        )
    survivors = [catch.name for catch in catches if catch.seeds is None]
    print(f"{len(catches)} mutants, {len(survivors)} survived {' '.join(survivors)}")  # noqa: T201 - as above
    return bool(survivors)


def _races(names: list[str]) -> int:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        outcomes = [
            *zip(
                names,
                pool.map(lambda name: failed_tests(name, [RACES, "-k", f"{name}_"]), names),
                strict=True,
            )
        ]
    for name, failed in outcomes:
        print(f"{name:5} {failed} failed  {MUTANTS[name].what}")  # noqa: T201 - a program for a terminal
    return not all(failed for _, failed in outcomes)


if __name__ == "__main__":
    sys.exit(main())
