"""A job's whole state beside what people query of it, so that no history is read again from its
beginning.

Pure. A probe appends two events, so a job that is refused for days has thousands, and each load
would be longer than the one before (R48). So a job is loaded as its view and the events after it
(`Store.load_job`). `folded` is what no column of the view holds. A job that is over has none,
unless it may come back. A view without it, of another schema, with fields that only newer code
knows, or damaged, is not believed; then all events are read.
"""

from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from typing import Any

from bbq.shared.job import OVER, Job, may_come_back
from bbq.shared.plain import reader, to_plain
from bbq.shared.tables import ViewRow

# rises whenever a state is computed otherwise than before: then views of before are not believed
SCHEMA = 1
# field of Job -> column of the view, for what the columns hold as it is
COLUMNS: Mapping[str, str] = {
    "id": "job",
    "version": "version",
    "status": "status",
    "model": "model",
    "priority": "priority",
    "attempt": "attempt",
    "model_id": "model_id",
    "arn": "arn",
    "input_uri": "input_uri",
    "output_uri": "output_uri",
    "reason": "reason",
    "queued_at": "queued_at",
    "claimed_at": "claimed_at",
    "submitted_at": "submitted_at",
    "started_at": "started_at",
    "updated_at": "updated_at",
    "record_count": "records",
    "size_bytes": "size_bytes",
}
# a key may be long, and what is beyond a KB is paid for twice
OF_SOURCE = frozenset({"bucket", "key", "version_id"})


def folded(job: Job) -> dict[str, Any] | None:
    """What the view of a job holds beside its columns; None if it is over, and will not come
    back.
    """
    if job.status in OVER and not may_come_back(job):
        return None
    here = {
        name: getattr(job, name) for name in _defaults() if name not in COLUMNS and name != "labels"
    }
    state = {name: to_plain(value) for name, value in here.items() if value != _defaults()[name]}
    sources = [
        {name: value for name, value in source.items() if name not in OF_SOURCE}
        for source in state["sources"]
    ]
    return {"schema": SCHEMA, **state, "sources": sources}


def unfolded(row: ViewRow) -> Job | None:
    """The job as it was when its view was written; None if this view does not say, or not in words
    of ours.
    """
    state = row.fold
    if not isinstance(state, dict) or state.get("schema") != SCHEMA:
        return None
    try:
        columns = {name: getattr(row, column) for name, column in COLUMNS.items()}
        values = {name: _number(value) for name, value in columns.items() if value is not None}
        if not state.keys() <= {"schema", *_defaults()}:
            return None  # newer code knows more of the job: its events say whether we know enough
        values["labels"] = [_plain(label) for label in row.labels or ()]
        sources = [
            {**_plain(column), **rest}
            for column, rest in zip(row.sources, state["sources"], strict=True)
        ]
        job = reader(Job)({**state, **values, "sources": sources})
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    return job if isinstance(job, Job) else None


def _plain(stored: Any) -> dict[str, Any]:
    return stored if isinstance(stored, dict) else stored.as_dict()


@cache
def _defaults() -> dict[str, Any]:
    """Every field of a job, with its default (dataclasses.MISSING if it has none)."""
    return {field.name: field.default for field in fields(Job)}


def _number(value: Any) -> Any:
    return int(value) if isinstance(value, float) else value
