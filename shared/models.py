"""The models an operator configured: alias, Bedrock model id, limits.

Comes to the functions as one JSON text (`BBQ_MODELS`), written by Terraform, which has validated it
already; checked here again because a wrong limit costs money.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from math import log

from bbq.shared.bodies import Bodies
from bbq.shared.slots import Ceiling

INVOCATION_TYPES = ("InvokeModel", "Converse")  # CreateModelInvocationJob
FIFO, LARGEST_FIRST = ORDERS = ("fifo", "largest-first")
# nobody is overtaken by a job that was uploaded later than this after his
LARGEST_FIRST_WINDOW = timedelta(hours=24)
TIMEOUT_HOURS = range(24, 169)  # CreateModelInvocationJob
MAX_ATTEMPTS = 3  # of a job, unless its model says otherwise


@dataclass(frozen=True, kw_only=True)
class Model:
    """One model. Record limits are Bedrock's quotas (AWS General Reference); `max_attempts` counts
    the first try too; the ceilings of a day (UTC) are None where there is none; without
    `check_bodies` a body may be any JSON object.
    """

    alias: str
    model_id: str
    limit: int
    invocation_type: str = "InvokeModel"
    timeout_hours: int = 24
    min_records: int = 100
    max_records: int = 100_000
    max_bytes: int = 1024**3
    max_attempts: int = MAX_ATTEMPTS
    order: str = FIFO
    max_jobs_per_day: int | None = None
    max_records_per_day: int | None = None
    check_bodies: bool = True

    @property
    def ceiling(self) -> Ceiling:
        """How much may begin in a day."""
        return Ceiling(jobs=self.max_jobs_per_day, records=self.max_records_per_day)

    @property
    def bodies(self) -> Bodies | None:
        """The rules for its records' bodies; None if they are not checked."""
        return Bodies.of(self.model_id, self.invocation_type) if self.check_bodies else None

    def line_at(self, queued_at: datetime, record_count: int) -> datetime | None:
        """When a job counts as queued: None for when it was. With largest-first, earlier the larger
        it is, LARGEST_FIRST_WINDOW at most. Long jobs that begin last are what a batch waits for;
        the bound keeps a small one from waiting for ever.

        By the logarithm, so that twice the records count for the same among small jobs as among
        large ones.
        """
        if self.order != LARGEST_FIRST or self.max_records <= self.min_records:
            return None
        share = log(max(record_count, 1) / self.min_records) / log(
            self.max_records / self.min_records
        )
        return queued_at - LARGEST_FIRST_WINDOW * min(max(share, 0), 1)


def parse_models(text: str) -> dict[str, Model]:
    """alias -> Model. Raises ValueError with every problem in one message."""
    try:
        raw = json.loads(text)
    except ValueError as error:
        raise ValueError("the models are not JSON") from error
    if not isinstance(raw, dict) or not raw:
        raise ValueError("the models must be a JSON object with at least one alias")
    problems: list[str] = []
    models = {
        alias: model
        for alias, settings in raw.items()
        if (model := _parse(alias, settings, problems))
    }
    aliases: dict[str, str] = {}
    for alias, model in models.items():
        if (other := aliases.setdefault(resource(model.model_id), alias)) != alias:
            problems.append(f"models {other!r} and {alias!r} have the same model_id: use one alias")
    if problems:
        raise ValueError("; ".join(problems))
    return models


def resource(model_id: str) -> str:
    """What a model id, a profile id and an ARN of either have in common: the last part."""
    return model_id.rpartition("/")[2]


def _parse(alias: str, settings: object, problems: list[str]) -> Model | None:
    if not isinstance(settings, Mapping) or not isinstance(settings.get("model_id"), str):
        problems.append(f"model {alias!r} needs a model_id")
        return None
    known = {
        field.name: settings[field.name]
        for field in fields(Model)
        if settings.get(field.name) is not None
    }
    try:
        model = Model(**{**known, "alias": alias})
    except TypeError:
        problems.append(f"model {alias!r} needs a limit")
        return None
    problems.extend(f"model {alias!r}: {problem}" for problem in _problems(model))
    return model


def _problems(model: Model) -> list[str]:
    found = [
        f"{name} must be a whole number of at least {least}"
        for name, least in (
            ("limit", 0),
            ("min_records", 1),
            ("max_records", 1),
            ("max_bytes", 1),
            ("max_attempts", 1),
        )
        if not isinstance(getattr(model, name), int) or getattr(model, name) < least
    ]
    found += [
        f"{name} must be a whole number of at least 1; a limit of 0 stops a model"
        for name in ("max_jobs_per_day", "max_records_per_day")
        if (ceiling := getattr(model, name)) is not None
        and (not isinstance(ceiling, int) or ceiling < 1)
    ]
    if (
        not found
        and model.max_records_per_day is not None
        and model.max_records_per_day < model.max_records
    ):
        found.append(
            "max_records_per_day must not be below max_records: a job of that size could never "
            "begin"
        )
    if model.invocation_type not in INVOCATION_TYPES:
        found.append(f"invocation_type must be one of {', '.join(INVOCATION_TYPES)}")
    if model.order not in ORDERS:
        found.append(f"order must be one of {', '.join(ORDERS)}")
    if not isinstance(model.check_bodies, bool):
        found.append("check_bodies must be true or false")
    if model.timeout_hours not in TIMEOUT_HOURS:
        found.append(f"timeout_hours must be from {TIMEOUT_HOURS[0]} to {TIMEOUT_HOURS[-1]}")
    return found
