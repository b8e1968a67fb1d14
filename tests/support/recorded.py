"""What real AWS was recorded to answer: the files of tests/recorded.

Each says where it is from, when it was recorded, and how certain it is. Names, ids, accounts and
buckets are placeholders; keys, their order, types, times and texts are as recorded. None was
recorded by this project.
"""

import json
import re
from pathlib import Path
from typing import Any

FILES = Path(__file__).parents[1] / "recorded"
ARN = "arn:aws:bedrock:us-east-1:111122223333:model-invocation-job/abc123def456"
_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def recorded(name: str) -> Any:
    """The content of a file, by its name without `.json`."""
    return json.loads((FILES / f"{name}.json").read_text())


def row(name: str, kind: str) -> Any:
    """One row of a file that has rows."""
    (found,) = (row for row in recorded(name)["rows"] if row["kind"] == kind)
    return found


def shape(value: object) -> object:
    """Keys in their order and the types of what they hold, as far as JSON and the API tell them
    apart.
    """
    if isinstance(value, dict):
        return [(name, shape(inner)) for name, inner in value.items()]
    if isinstance(value, list):
        return [shape(inner) for inner in value]
    if isinstance(value, str) and _TIMESTAMP.fullmatch(value):
        return "timestamp"
    return type(value).__name__
