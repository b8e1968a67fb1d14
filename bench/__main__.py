"""`make bench`: every measurement, or the parts that are named; then the pages and charts that
quote them.

A part is a module of this folder with two functions: `run(*, quick)` measures, and its result (a
dictionary with `targets`) goes into bench/results.json under the module's name; `report(result)`
gives what is said of it, tables and sentences by name. The pages show those they have a mark for. A
part with `charts(result)` has its charts drawn, too.
"""

import argparse
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from rich.console import Console

from bench import results
from bench.table import printed, target_table

console = Console(highlight=False, soft_wrap=True)


def main(arguments: list[str]) -> int:
    """The exit code. A target that is missed is a result, not a failure."""
    parser = argparse.ArgumentParser(
        prog="make bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "parts",
        nargs="*",
        metavar="part",
        help=f"which parts (default: all): {', '.join(results.PARTS)}",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="tiny versions, to see that they work; results go elsewhere",
    )
    parser.add_argument("--out", type=Path, help="where the results go (then no page is written)")
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.parts) - set(results.PARTS))
    if unknown:
        parser.error(
            f"no part is called {', '.join(unknown)}; there are {', '.join(results.PARTS)}"
        )
    path = options.out or (results.QUICK_RESULTS if options.quick else results.RESULTS)
    for name in options.parts or results.PARTS:
        console.rule(name)
        envelope = results.measure(name, quick=options.quick)
        found = results.read(path)
        found["parts"][name] = envelope
        results.write(found, path)  # after each part: a later one may fail
        _show(name, results.read(path)["parts"][name])
    if path == results.RESULTS:
        # only here: a Python without Matplotlib can measure, too
        import_module("bench.pages").write(results.read()["parts"])
    return 0


def _show(name: str, envelope: dict[str, Any]) -> None:
    for each in (
        *results.part(name).report(envelope["result"]).values(),
        target_table({name: envelope}),
    ):
        if isinstance(each, str):
            console.print(f"{each}\n", markup=False)
        elif each.rows:
            console.print(f"{each.title}\n{printed(each)}\n", markup=False)
    console.print(f"{name}: {envelope['seconds']:.0f} s")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
