"""Why nothing, or nothing but a probe (shared/hold.py), is sent to Bedrock for a model, as people
read it. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from bbq.cli.times import duration
from bbq.cli.wording import counted
from bbq.shared.hold import (
    ACCESS,
    FAILING,
    INVALID,
    NAME_TAKEN,
    NOT_FOUND,
    QUOTA,
    THROTTLED,
    UNANSWERED,
)
from bbq.shared.slots import Slots

# kind -> (what is wrong, what to do)
KINDS: Mapping[str, tuple[str, str]] = {
    QUOTA: (
        "Bedrock's quota of jobs is full",
        "nothing: the next end makes room; a limit above the quota only asks in vain",
    ),
    THROTTLED: ("Bedrock throttles", "nothing: it is asked less often"),
    ACCESS: (
        "Bedrock denies access",
        (
            "check the scheduler's rights, iam:PassRole on Bedrock's role, and the account's "
            "access to the model"
        ),
    ),
    INVALID: (
        "Bedrock refuses the jobs",
        "check that the model can run batch jobs in this Region, and the account may",
    ),
    NOT_FOUND: ("Bedrock does not know the model", "check model_id in the deployment's variables"),
    NAME_TAKEN: (
        "another job has the name of one of ours",
        "find out in Bedrock's console who made it, or cancel our job",
    ),
    UNANSWERED: (
        "Bedrock does not answer",
        "check Bedrock's health in this Region; what is unsure is looked up first",
    ),
    FAILING: (
        "jobs are taken, and fail before a record is processed",
        "check what Bedrock's role may: read staged/*, write processed/*, invoke the model",
    ),
}


@dataclass(frozen=True, kw_only=True)
class Held:
    """One reason for a model's hold: its kind, Bedrock's words, since when, how often it was asked,
    and when it is asked next.
    """

    kind: str
    message: str
    since: datetime
    asked: int
    next_try: datetime


def holds(slots: Slots | None) -> tuple[Held, ...]:
    """Why a model is on hold; empty if it is not."""
    return tuple(
        Held(
            kind=hold.kind,
            message=hold.message,
            since=hold.since,
            asked=hold.count,
            next_try=hold.until,
        )
        for hold in (slots.holds if slots is not None else ())
    )


def paused_by(slots: Slots | None) -> str:
    """`paused by ada`, or `paused` if the slots do not say by whom; empty if it is not paused."""
    if slots is None or not slots.paused:
        return ""
    return f"paused by {slots.pause.by}" if slots.pause else "paused"


def what_is_wrong(held: Held) -> str:
    """In our words, then in Bedrock's."""
    what = KINDS.get(held.kind, (held.kind, ""))[0]
    return f"{what}: {held.message}" if held.message else what


def next_try(held: Held, now: datetime, *, paused_model: str | None) -> str:
    """When Bedrock is asked again by itself, at the latest."""
    if paused_model is not None:
        return f"asked again when {paused_model} is resumed"
    when = f"within {duration(held.next_try - now)}" if held.next_try > now else "any moment"
    return f"asked {counted(held.asked, 'time')}, next {when} or after the next end"


def what_to_do(held: Held, model: str) -> str:
    """A sentence for an operator."""
    todo = KINDS.get(held.kind, ("", ""))[1]
    lifted = f"bbq resume {model}" if held.kind == FAILING else f"bbq wake {model}"
    return f"{todo}; once it is mended: {lifted}" if held.kind not in {QUOTA, THROTTLED} else todo
