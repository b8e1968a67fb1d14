"""`make simulate`: SEEDS of them on all cores, from another first one each time (or FIRST), or one
SEED as a timeline.
"""

import argparse
import sys
import time

from rich.console import Console
from rich.table import Table

from tests.simulation.mutants import MUTANTS
from tests.simulation.mutation import install

PROGRESS = 1000  # seeds from one line to the next
ENOUGH = 1000  # seeds in which every fault should have struck


def main() -> int:
    """The exit code: 1 if an invariant broke, or a fault never struck in many seeds."""
    parser = argparse.ArgumentParser(prog="make simulate", description=__doc__)
    parser.add_argument(
        "--seed",
        type=int,
        help="run this one and print its timeline (made small first, if it fails)",
    )
    parser.add_argument("--seeds", type=int, default=1000, help="how many")
    parser.add_argument(
        "--first", type=int, help="the first of them; another one each time unless given"
    )
    parser.add_argument(
        "--burst", type=int, help="so many uploads at once instead, nothing going wrong"
    )
    parser.add_argument(
        "--mutant", help="with this mistake put into the production code (see mutants.py)"
    )
    parser.add_argument(
        "--stop",
        action="store_true",
        help="one process, up to the first failure: prints its seed and invariant",
    )
    options = parser.parse_args()
    if options.mutant:
        install(MUTANTS[options.mutant].changes)  # before anything of production code is imported
    from tests.simulation import campaign  # noqa: PLC0415 - see above

    console = Console()
    if options.stop:
        first = options.first or 0  # the same ones for every mutant
        found = campaign.run_chunk(range(first, first + options.seeds), stop=True)
        print("\t".join(map(str, found.failures[0])) if found.failures else "survived")  # noqa: T201 - what mutants.py reads
        return bool(found.failures)
    if options.burst:
        began = time.monotonic()
        sim = campaign.burst(options.burst)
        jobs, invocations = len(sim.watch.jobs), sim.kernel.started.total()
        console.print(
            f"{jobs:,} jobs, {invocations / jobs:.2f} invocations a job, {sim.kernel.steps:,} "
            "steps; a slot stood free beside "
            f"somebody in line for at most {max(sim.longest_idle.values()):.1f} s; "
            f"{sim.kernel.time / 3600:.1f} simulated hours "
            f"in {time.monotonic() - began:.0f} s",
            soft_wrap=True,
        )
        return 0
    if options.seed is not None:
        return _one(console, options.seed)
    first = options.first if options.first is not None else campaign.first_seed()
    return _many(console, range(first, first + options.seeds))


def _one(console: Console, seed: int) -> int:
    from tests.simulation import campaign  # noqa: PLC0415 - see main
    from tests.simulation.weather import Weather  # noqa: PLC0415 - see main

    found = campaign.attempt(seed, trace=True)
    if isinstance(found, campaign.Failure):
        small = campaign.shrink(found)
        again = campaign.attempt(small.seed, small.jobs, small.without, trace=True)
        assert isinstance(again, campaign.Failure)
        found = again
    sim = found.simulation if isinstance(found, campaign.Failure) else found
    for line in campaign.timeline(sim):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    faults = Weather(
        seed, found.without if isinstance(found, campaign.Failure) else frozenset()
    ).faults
    console.print(
        f"\nseed {seed}: {len(sim.uploads)} uploads, {sim.kernel.steps} steps; faults: "
        f"{', '.join(faults) or 'none'}",
        markup=False,
    )
    if isinstance(found, campaign.Failure):
        console.print(f"[bold red]broken[/]: {found.violation}", soft_wrap=True)
        return 1
    console.print("[bold green]every invariant held[/]")
    return 0


def _many(console: Console, seeds: range) -> int:
    from tests.simulation import campaign  # noqa: PLC0415 - see main
    from tests.simulation.watch import INVARIANTS  # noqa: PLC0415 - see main

    again = f"make simulate SEEDS={len(seeds)} FIRST={seeds.start}"
    console.print(
        f"first seed {seeds.start}; the same seeds again: {again}", highlight=False, soft_wrap=True
    )
    began, total = time.monotonic(), campaign.Tally()
    for tally in campaign.run(seeds):
        total.add(tally)
        if tally.failures:
            console.print(tally.failed, style="red", markup=False, highlight=False, soft_wrap=True)
        if total.seeds % PROGRESS == 0:
            console.print(
                f"{total.seeds:,} of {len(seeds):,} seeds, {total.steps:,} steps, "
                f"{len(total.failures)} failed"
            )
    seconds = time.monotonic() - began
    table = Table(title="faults, by how often they struck")
    columns = 3
    for _ in range(columns):
        table.add_column("fault")
        table.add_column("times", justify="right")
    cells = [(fault, f"{count:,}") for fault, count in total.fired.most_common()]
    for start in range(0, len(cells), columns):
        table.add_row(*(text for cell in cells[start : start + columns] for text in cell))
    console.print(table)
    table = Table(title="invariants, by how often they were evaluated")
    table.add_column("")
    table.add_column("invariant")
    table.add_column("times", justify="right")
    for name in sorted(total.evaluated, key=lambda name: (name[0] != "S", int(name[1:]))):
        table.add_row(name, INVARIANTS[name], f"{total.evaluated[name]:,}")
    console.print(table)
    console.print(
        f"{total.seeds:,} seeds, {total.steps:,} steps (fewest {total.fewest_steps}), "
        f"{total.invocations:,} invocations, "
        f"{total.jobs:,} jobs in {seconds:.0f} s; a slot stood free beside somebody in line for at "
        "most "
        f"{total.longest_idle_calm:.1f} s without faults, {total.longest_idle_healed / 60:.0f} "
        "min after faults",
        soft_wrap=True,
    )
    if total.failures:
        console.print(
            f"[bold red]{len(total.failures)} seeds failed[/]: "
            f"{', '.join(str(seed) for seed, _, _ in total.failures)}"
        )
    else:
        console.print(
            f"[bold green]every invariant held[/] in seeds {seeds.start} to {seeds.stop - 1}",
            highlight=False,
        )
    lacking = total.never_fired if total.seeds >= ENOUGH else []  # of few seeds it says nothing
    if total.never_fired:
        console.print(
            f"never struck: {', '.join(total.never_fired)}", style="red" if lacking else None
        )
    return bool(total.failures or lacking)


if __name__ == "__main__":
    sys.exit(main())
