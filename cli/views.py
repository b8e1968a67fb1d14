"""A job as its view says, which the scheduler writes (shared/rows.py)."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any

from bbq.shared.events import Json
from bbq.shared.job import OVER, REJECTED
from bbq.shared.names import INPUT_PREFIX
from bbq.shared.plain import moment_of
from bbq.shared.tables import ViewRow


@dataclass(frozen=True, kw_only=True)
class Object:
    """A job's source: one version of one S3 object."""

    bucket: str
    key: str
    version_id: str


@dataclass(frozen=True, kw_only=True)
class View:
    """A job as its view says. Absent numbers, times and texts are None. `outcome` is None until the
    job is over.
    """

    job: str
    model: str
    status: str
    outcome: str | None
    reason: str | None
    priority: int
    attempt: int
    records: int
    size_bytes: int
    processed_records: int | None
    succeeded_records: int | None
    failed_records: int | None
    input_tokens: int | None
    output_tokens: int | None
    queued_at: datetime
    claimed_at: datetime | None
    submitted_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    updated_at: datetime
    sources: tuple[Object, ...]
    input_uri: str | None
    output_uri: str | None
    model_id: str | None
    arn: str | None
    cancel_by: str | None
    labels: Mapping[str, str]
    problems: tuple[Json, ...] = ()
    warnings: tuple[str, ...] = ()
    version: int

    @property
    def file(self) -> str:
        """What was uploaded: the key without the prefix that all have."""
        first = self.sources[0].key.removeprefix(INPUT_PREFIX) if self.sources else ""
        return first if len(self.sources) < 2 else f"{first} (+{len(self.sources) - 1})"  # noqa: PLR2004 - one, or more

    @property
    def over(self) -> bool:
        """Whether nothing happens to it any more by itself."""
        return self.status in OVER

    @property
    def last_at(self) -> datetime:
        """When it ended, or changed last."""
        return self.ended_at or self.updated_at

    @property
    def word(self) -> str:
        """The status, or what became of it."""
        return self.outcome or self.status

    def waited(self, now: datetime) -> timedelta | None:
        """From its upload until Bedrock took it, it was over, or now. None for a file that was
        rejected: it never waited.
        """
        if self.status == REJECTED:
            return None
        return (self.submitted_at or self.ended_at or now) - self.queued_at

    def ran(self, now: datetime) -> timedelta | None:
        """From the moment when Bedrock took it until it was over, or now. None where Bedrock never
        had it.
        """
        return (self.ended_at or now) - self.submitted_at if self.submitted_at else None


def view_of(row: ViewRow) -> View:
    """A row, with its times as times and its numbers whole."""

    def read(name: str) -> Any:
        value = getattr(row, name)
        if name.endswith("_at"):
            return moment_of(value) if value else None
        return int(value) if isinstance(value, float) else value

    values = {field.name: read(field.name) for field in fields(View)}
    names = [field.name for field in fields(Object)]
    values["sources"] = tuple(
        Object(**{name: source[name] for name in names}) for source in map(_plain, row.sources)
    )
    values["labels"] = {label["name"]: label["value"] for label in map(_plain, row.labels or ())}
    values["problems"] = tuple(_plain(problem) for problem in row.problems or ())
    values["warnings"] = tuple(str(warning) for warning in row.warnings or ())
    return View(**values)


def _plain(value: Any) -> dict[str, Any]:
    return dict(value.as_dict() if hasattr(value, "as_dict") else value)
