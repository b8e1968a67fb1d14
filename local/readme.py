"""Write the parts of terraform/README.md and docs/events.md that could drift from the code: `python
-m local.readme` (tests/unit/test_readme.py and test_docs.py check).
"""

import inspect
import re
from collections.abc import Iterator
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from hcl2.api import loads

from bbq.shared.events import EVENTS, Event
from local.settings import ROOT

TERRAFORM = ROOT / "terraform"
TERRAFORM_PAGE = TERRAFORM / "README.md"
EVENTS_PAGE = ROOT / "docs" / "events.md"


def variables_table() -> str:
    """All variables of the Terraform module, from their own descriptions. Each setting of a model
    begins a line of its own.
    """
    rows = ["| variable | default | |", "|---|---|---|"]
    for name, settings in _blocks("variable", TERRAFORM / "variables.tf"):
        default = f"`{_text(settings['default'])}`" if "default" in settings else "required"
        rows.append(
            f"| `{name}` | {default} | "
            f"{re.sub(r'[.] (?=`)', '.<br>', _bare(settings['description']))} |"
        )
    return "\n".join(rows)


def outputs_table() -> str:
    """All outputs of the Terraform module, from their own descriptions."""
    rows = ["| output | |", "|---|---|"]
    for path in sorted(TERRAFORM.glob("*.tf")):
        rows += [
            f"| `{name}` | {_bare(settings['description'])} |"
            for name, settings in _blocks("output", path)
        ]
    return "\n".join(rows)


def events_table() -> str:
    """All events, from their own docstrings and fields."""
    rows = ["| event | means | data |", "|---|---|---|"]
    for name, event in EVENTS.items():
        meaning = " ".join((inspect.getdoc(event) or "").split())
        rows.append(f"| `{name}` | {meaning} | {', '.join(_fields(event)) or 'nothing'} |")
    return "\n".join(rows)


def with_tables(text: str) -> str:
    """A page with its generated parts as the code says now."""
    for name, table in (
        ("variables", variables_table),
        ("outputs", outputs_table),
        ("events", events_table),
    ):
        text = _with(text, name, table())
    return text


def _blocks(kind: str, path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(name, settings) of each `variable` or `output` of a file."""
    for block in loads(path.read_text()).get(kind, []):
        ((name, settings),) = block.items()
        yield _bare(name), settings


def _with(text: str, name: str, table: str) -> str:
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    return re.sub(f"{begin}.*?{end}", lambda _: f"{begin}\n{table}\n{end}", text, flags=re.DOTALL)


def _fields(event: type[Event]) -> list[str]:
    """A field that may be missing in data of an older writer has a question mark."""
    return [
        f"`{field.name}{'' if field.default is MISSING else '?'}`"
        for field in fields(event)
        if field.name != "at"
    ]


def _bare(text: object) -> str:
    return str(text).removeprefix('"').removesuffix('"').replace('\\"', '"')


def _text(value: object) -> str:
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else _bare(value)


if __name__ == "__main__":
    for page in (TERRAFORM_PAGE, EVENTS_PAGE):
        page.write_text(with_tables(page.read_text()))
