"""Is a request to Bedrock well formed? botocore's own service model tells. And is it refused now?

botocore's client sends patterns, maxima and enums unchecked (it only checks required fields, types
and minima), the service refuses them. Reading the limits from the model keeps one copy of them: the
one that AWS publishes. Pure, apart from reading the model from botocore's files on first use.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from botocore.loaders import Loader
from botocore.model import ListShape, ServiceModel, Shape, StringShape, StructureShape

from local.bedrock_simulator.errors import REFUSALS, VALIDATION, BedrockError
from local.bedrock_simulator.models import base_model

if TYPE_CHECKING:
    from local.bedrock_simulator.faults import Faults
    from local.bedrock_simulator.jobs import Settings

# The published pattern of a job name, `[a-zA-Z0-9]{1,63}(-*[a-zA-Z0-9\+\-\.]){0,63}`, takes
# exponential time on a row of dashes. Within 63 characters this one accepts the same names in
# linear time.
_LINEAR_PATTERNS = {"ModelInvocationJobName": r"[a-zA-Z0-9][a-zA-Z0-9+.\-]*"}


@lru_cache(maxsize=1)
def _model() -> ServiceModel:
    return ServiceModel(Loader().load_service_model("bedrock", "service-2"), "bedrock")


@lru_cache(maxsize=16)
def _input_shape(operation: str) -> Shape:
    shape = _model().operation_model(operation).input_shape
    assert shape is not None, operation  # noqa: S101 - all four operations take input
    return shape


@lru_cache(maxsize=64)
def _pattern(shape_name: str, published: str) -> re.Pattern[str]:
    return re.compile(_LINEAR_PATTERNS.get(shape_name, published))


def check(operation: str, request: Mapping[str, Any]) -> None:
    """Raises BedrockError with all `problems`."""
    found = problems(operation, request)
    if found:
        text = f"{len(found)} validation error(s): {'; '.join(found)[:1800]}"
        raise BedrockError(VALIDATION, text)


def refusal(request: Mapping[str, Any], settings: Settings, faults: Faults) -> BedrockError | None:
    """Why this account, Region, role or model is refused now, whatever the job."""
    if faults.refuse_create is None:
        return None
    code, text = REFUSALS[faults.refuse_create]
    model = str(request.get("modelId", ""))
    said = text.format(
        caller=f"arn:aws:sts::{settings.account}:assumed-role/caller/session",
        role=request.get("roleArn", ""),
        region=settings.region,
        model=model,
        base=base_model(model),
    )
    return BedrockError(code, said)


def problems(operation: str, request: Mapping[str, Any]) -> list[str]:
    """Everything wrong with the request, one sentence each; empty when the service would read it.

    `operation` is a name of the API, like `CreateModelInvocationJob`. Timestamps are `datetime`s
    with a time zone.
    """
    return list(_walk(_input_shape(operation), request, ""))


def _walk(shape: Shape, value: object, path: str) -> Iterator[str]:
    if isinstance(shape, StructureShape):
        yield from _structure(shape, value, path)
    elif isinstance(shape, ListShape):
        yield from _list(shape, value, path)
    elif isinstance(shape, StringShape):
        yield from _string(shape, value, path)
    elif shape.type_name == "timestamp":
        if not isinstance(value, datetime) or value.tzinfo is None:
            yield f"{path} must be a timestamp with a time zone"
    elif not isinstance(value, int) or isinstance(value, bool):
        yield f"{path} must be a whole number"
    else:
        yield from _size(shape, value, path)


def _structure(shape: StructureShape, value: object, path: str) -> Iterator[str]:
    if not isinstance(value, Mapping):
        yield f"{path or 'the request'} must be an object"
        return
    given = {name: value[name] for name in shape.members if value.get(name) is not None}
    for name in shape.required_members:
        if name not in given:
            yield f"{_join(path, name)} is required"
    if shape.metadata.get("union") and len(given) != 1:
        yield f"{path} must have exactly one of: {', '.join(shape.members)}"
    for name, member in given.items():
        yield from _walk(shape.members[name], member, _join(path, name))


def _list(shape: ListShape, value: object, path: str) -> Iterator[str]:
    if not isinstance(value, list):
        yield f"{path} must be a list"
        return
    yield from _size(shape, len(value), path)
    for index, member in enumerate(value):
        yield from _walk(shape.member, member, f"{path}[{index}]")


def _string(shape: StringShape, value: object, path: str) -> Iterator[str]:
    if not isinstance(value, str):
        yield f"{path} must be a string"
        return
    too_long_or_short = list(_size(shape, len(value), path))
    yield from too_long_or_short
    if shape.enum and value not in shape.enum:
        yield f"{path} must be one of: {', '.join(shape.enum)}"
    published = shape.metadata.get("pattern")
    # The length first: it bounds the time that a pattern can take.
    if published and not too_long_or_short and not _pattern(shape.name, published).fullmatch(value):
        yield f"{path} must match the pattern {published}"


def _size(shape: Shape, size: int, path: str) -> Iterator[str]:
    if size < shape.metadata.get("min", size):
        yield f"{path} is below its minimum of {shape.metadata['min']}"
    if size > shape.metadata.get("max", size):
        yield f"{path} is above its maximum of {shape.metadata['max']}"


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
