"""`make bench`: every measurement, or the parts that are named; then the pages and charts that quote them.

A part is a module of this folder with a function `run(*, quick)`, whose result (a dictionary with `targets`) goes into
bench/results.json under the module's name.
"""

import argparse
import sys
from importlib import import_module
from pathlib import Path

from bench import results
from bench.samples import console


def main(arguments: list[str]) -> int:
    """The exit code. A target that is missed is a result, not a failure."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="part", help=f"which parts (default: all): {', '.join(results.parts())}")
    parser.add_argument("--quick", action="store_true", help="tiny versions, to see that they work; results go elsewhere")
    parser.add_argument("--out", type=Path, help="where the results go (then no page is written)")
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.parts) - set(results.parts()))
    if unknown:
        parser.error(f"no part is called {', '.join(unknown)}; there are {', '.join(results.parts())}")
    path = options.out or (results.QUICK_RESULTS if options.quick else results.RESULTS)
    for name in options.parts or results.parts():
        console.rule(name)
        envelope = results.measure(name, import_module(f"bench.{name}").run, quick=options.quick)
        found = results.read(path)
        found["parts"][name] = envelope
        results.write(found, path)  # after each part: a later one may fail
        console.print(f"{name}: {envelope['seconds']:.0f} s", highlight=False)
    if path == results.RESULTS:
        found = results.read()
        for name in ("charts", "pages"):  # only here: a Python without Matplotlib can measure, too
            import_module(f"bench.{name}").write(found["parts"])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
