"""Write the parts of README.md that could drift from the code: `python -m local.readme` (tests/unit/test_readme.py checks)."""

import re

from hcl2.api import loads

from local.settings import ROOT

README = ROOT / "README.md"
BEGIN, END = "<!-- variables -->", "<!-- /variables -->"


def variables_table() -> str:
    """All variables of the Terraform module, from their own descriptions."""
    found = loads((ROOT / "terraform" / "variables.tf").read_text())["variable"]
    rows = ["| variable | default | |", "|---|---|---|"]
    for variable in found:
        ((name, settings),) = variable.items()
        default = f"`{_text(settings['default'])}`" if "default" in settings else "required"
        rows.append(f"| `{_bare(name)}` | {default} | {_bare(settings['description'])} |")
    return "\n".join(rows)


def with_tables(text: str) -> str:
    """The README with its generated parts written anew."""
    return re.sub(f"{BEGIN}.*?{END}", lambda _: f"{BEGIN}\n{variables_table()}\n{END}", text, flags=re.DOTALL)


def _bare(text: object) -> str:
    return str(text).removeprefix('"').removesuffix('"').replace('\\"', '"')


def _text(value: object) -> str:
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else _bare(value)


if __name__ == "__main__":
    README.write_text(with_tables(README.read_text()))
