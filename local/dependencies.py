"""docs/dependencies.md: what requirements.lock installs, with its licence, as each package says of
itself.

`python -m local.dependencies` rewrites the page. Names and versions come from the lock, licences
from the installed packages' metadata; a package that the lock has for another platform only is
listed without one.
"""

import re
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from local.build import PACKAGES
from local.settings import ROOT

LOCK = ROOT / "requirements.lock"
PAGE = ROOT / "docs" / "dependencies.md"
ELSEWHERE = "(not installed on this platform)"
MAX_LICENCE = 60  # older packages put the whole text in the field
_LINE = re.compile(r"^([A-Za-z0-9._-]+)==(\S+?)(?: ; .*?)?(?: \\)?$", re.MULTILINE)


def locked(lock: str) -> dict[str, str]:
    """name -> version."""
    return dict(_LINE.findall(lock))


def licence(name: str) -> str:
    """The package's licence expression, else its classifiers, else its licence field; says so where
    it is not installed.
    """
    try:
        about = distribution(name).metadata
    except PackageNotFoundError:
        return ELSEWHERE
    if expression := about.get_all("License-Expression"):
        return str(expression[0])
    classified = [
        line.rsplit(" :: ", 1)[-1]
        for line in about.get_all("Classifier", [])
        if line.startswith("License :: ")
    ]
    specific = [one for one in classified if one != "OSI Approved"]
    said = str((about.get_all("License") or [""])[0]).strip().splitlines()
    return ", ".join(specific) or (said[0][:MAX_LICENCE] if said else "(not stated)")


def page(versions: Mapping[str, str]) -> str:
    """The whole page."""
    rows = "\n".join(
        f"| {name} | {version} | {licence(name)} |" for name, version in sorted(versions.items())
    )
    return (
        "# Dependencies and their licences\n\n"
        "What `requirements.lock` installs, as each package says of itself. Written by `python -m "
        "local.dependencies`; a test\n"
        "keeps it current. "
        f"The functions' zips hold {', '.join(PACKAGES[:-1])} and {PACKAGES[-1]};\n"
        "everything else is for `bbq`, the tests and the emulator. Known vulnerabilities: `make "
        "audit`.\n\n"
        f"| package | version | licence |\n|---|---|---|\n{rows}\n"
    )


def main(path: Path = PAGE) -> None:
    """Rewrite the page."""
    path.write_text(page(locked(LOCK.read_text())))


if __name__ == "__main__":
    main()
