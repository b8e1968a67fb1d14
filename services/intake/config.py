"""Intake's configuration: one frozen object, read once from the environment, which Terraform
writes.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from bbq.shared.models import Model, parse_models


@dataclass(frozen=True, kw_only=True)
class Config:
    """Everything intake is told."""

    bucket: str
    events_table: str
    uploads_queue_url: str
    region: str
    models: Mapping[str, Model]
    default_model: str


_REQUIRED = {
    "bucket": "BBQ_BUCKET",
    "events_table": "BBQ_EVENTS_TABLE",
    "uploads_queue_url": "BBQ_UPLOADS_QUEUE_URL",
    "region": "AWS_REGION",
    "default_model": "BBQ_DEFAULT_MODEL",
}


def read_config(environment: Mapping[str, str]) -> Config:
    """Raises ValueError that names everything missing or wrong at once."""
    problems = [f"{name} is not set" for name in _REQUIRED.values() if not environment.get(name)]
    models: Mapping[str, Model] = {}
    try:
        models = parse_models(environment.get("BBQ_MODELS", ""))
        if environment.get("BBQ_DEFAULT_MODEL") not in models:
            problems.append(f"BBQ_DEFAULT_MODEL must be one of {', '.join(models)}")
    except ValueError as error:
        problems.append(f"BBQ_MODELS: {error}")
    if problems:
        raise ValueError("intake's configuration is not complete: " + "; ".join(problems))
    return Config(**{field: environment[name] for field, name in _REQUIRED.items()}, models=models)
