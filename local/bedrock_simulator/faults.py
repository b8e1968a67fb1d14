"""What can be made to go wrong, and how the simulator answers where neither a recording nor the
documentation of AWS tells.

One frozen object: the rules read the switches, the driver and the server roll the dice. Rates are
0-1, ranges are `[lowest, highest]` in seconds. The defaults are a well-behaved Bedrock, as it was
recorded.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from local.bedrock_simulator.errors import (
    CONFLICT,
    PROCESSING_FAILURES,
    REFUSALS,
    VALIDATING_FAILURES,
    VALIDATION,
)
from local.bedrock_simulator.jobs import STATUSES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

CALLS = ("Create", "Get", "List", "Stop")


class UnknownFaultError(ValueError):
    """The message is a sentence for the person who sent the fault."""


@dataclass(frozen=True, kw_only=True)
class Faults:
    # State-change events: lost, sent twice, late, overtaken by later ones.
    event_drop: float = 0.0
    event_duplicate: float = 0.0
    event_delay: float = 0.0
    event_delay_seconds: tuple[float, float] = (1.0, 5.0)
    event_reorder: float = 0.0
    event_reorder_seconds: tuple[float, float] = (0.05, 1.0)
    # Answers that do nothing. `fault_calls` says which calls throttle and fail; deny is Create
    # only.
    throttle: float = 0.0
    fail: float = 0.0
    deny: float = 0.0
    fault_calls: tuple[str, ...] = CALLS
    # Create makes the job (before or after the wait) and the caller never learns of it.
    accept_then_timeout: float = 0.0
    timeout_seconds: float = 1.0
    timeout_answer: str = "close"
    timeout_makes_job: str = "before"
    # Faults of the account, the Region, the role or a model. They strike every job that is not
    # `foreign`, whatever is in it.
    refuse_create: str | None = None
    fail_validating: str | None = None
    fail_processing: str | None = None
    unsupported_models: tuple[str, ...] = ()
    # Answers that are behind: a job made within so many seconds is not there yet. Of Get (and
    # Stop): terraform-provider-aws PR #49877 retries NotFound for 5 minutes after Create. List was
    # recorded to show a job within a second.
    get_behind_seconds: float = 0.0
    list_behind_seconds: float = 0.0
    # Records and jobs. A job's lot is drawn when it is created.
    record_error: float = 0.0
    job_failure: float = 0.0
    job_partial: float = 0.0
    job_expiry: float = 0.0
    # What a repeated token answers, and for how long it is known.
    forget_tokens: bool = False
    token_memory_seconds: float | None = None
    token_ends_with_job: bool = False
    token_mismatch_error: str | None = None
    quota_before_token: bool = False
    name_before_token: bool = False
    # Which error says that a name is in use, and whether an ended job keeps its name.
    name_in_use_error: str = VALIDATION
    names_stay_taken: bool = False
    # Stop of an ended job: recorded is a validation error, documented a conflict as well. Of a
    # Stopping one nothing is known.
    stop_ended_error: str = VALIDATION
    stop_twice_error: str | None = None
    # How an event names the model ("arn" as Get does; a foundation model's ARN is documented), and
    # which statuses are sent.
    event_model_id: str = "arn"
    event_statuses: tuple[str, ...] = STATUSES
    # An SDK of before April 2026 does not show Get's record counts.
    get_without_counts: bool = False
    # What a job leaves in S3 that was stopped InProgress, or failed (`job_failure`): the records
    # that were processed, or nothing.
    stopped_output: str = "part"
    failed_output: str = "none"
    # An object that may be written into the output place to try its permissions. The first is
    # documented for customization of models; the second is hearsay.
    permission_check_object: str | None = None


_CHOICES: dict[str, tuple[str | None, ...]] = {
    "timeout_answer": ("close", "500", "504"),
    "timeout_makes_job": ("before", "after"),
    "refuse_create": (None, *REFUSALS),
    "fail_validating": (None, *VALIDATING_FAILURES),
    "fail_processing": (None, *PROCESSING_FAILURES),
    "name_in_use_error": (VALIDATION, CONFLICT),
    "stop_ended_error": (VALIDATION, CONFLICT),
    "stop_twice_error": (None, VALIDATION, CONFLICT),
    "token_mismatch_error": (None, VALIDATION, CONFLICT),
    "event_model_id": ("arn", "as-given", "foundation-model"),
    "stopped_output": ("part", "none"),
    "failed_output": ("none", "part"),
    "permission_check_object": (
        None,
        ".write_access_check_file.tmp",
        "amazon-bedrock-permission-check",
    ),
}
_LISTS: dict[str, tuple[str, ...]] = {"fault_calls": CALLS, "event_statuses": STATUSES}


def changed(faults: Faults, wanted: Mapping[str, object]) -> Faults:
    """The faults with those in `wanted` (name to JSON value) replaced.

    Raises UnknownFaultError with one sentence for an unknown name or a value of the wrong kind;
    then nothing changes.
    """
    readers = {field.name: _reader(field.name, str(field.type)) for field in fields(Faults)}
    unknown = sorted(set(wanted) - set(readers))
    if unknown:
        raise UnknownFaultError(
            f"Unknown fault: {', '.join(unknown)}. The known ones are: "
            f"{', '.join(sorted(readers))}."
        )
    values: dict[str, Any] = {name: readers[name](value) for name, value in wanted.items()}
    return replace(faults, **values)


def _reader(name: str, kind: str) -> Callable[[object], object]:
    if name in _CHOICES:
        return lambda value: _choice(name, value)
    if name in _LISTS:
        return lambda value: tuple(
            _one_of(name, _LISTS[name], item) for item in _strings(name, value)
        )
    if name.endswith("_seconds"):
        return (
            (lambda value: _range(name, value))
            if "tuple" in kind
            else lambda value: _seconds(name, kind, value)
        )
    if kind == "bool":
        return lambda value: _boolean(name, value)
    if kind.startswith("tuple"):
        return lambda value: _strings(name, value)
    return lambda value: _rate(name, value)


def _choice(name: str, value: object) -> Any:
    return _one_of(name, _CHOICES[name], str(value) if isinstance(value, int) else value)


def _one_of(name: str, known: tuple[str | None, ...], value: object) -> Any:
    if value not in known:
        raise UnknownFaultError(
            f"{name} must be one of: {', '.join(str(choice) for choice in known)}."
        )
    return value


def _rate(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise UnknownFaultError(f"{name} must be a rate from 0 to 1.")
    return float(value)


def _seconds(name: str, kind: str, value: object) -> float | None:
    if value is None and "None" in kind:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise UnknownFaultError(f"{name} must be a number of seconds.")
    return float(value)


def _range(name: str, value: object) -> tuple[float, float]:
    match value:
        case [int() | float() as low, int() | float() as high] if 0 <= low <= high:
            return float(low), float(high)
    raise UnknownFaultError(
        f"{name} must be a list of two numbers of seconds, the lower one first."
    )


def _boolean(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise UnknownFaultError(f"{name} must be true or false.")
    return value


def _strings(name: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise UnknownFaultError(f"{name} must be a list of strings.")
    return tuple(value)
