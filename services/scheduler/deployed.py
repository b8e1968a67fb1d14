"""What a deployment asks for, by a direct call of the function: `{"wake": "all", "limits": {alias:
n}}`.

It waits while AWS does not know the rights of the function's role yet, as in the apply that makes
it.
"""

from contextlib import suppress
from typing import Any

from botocore.exceptions import ClientError
from pynamodb.exceptions import PynamoDBException

from bbq.services.scheduler.hints import ALL
from bbq.services.scheduler.wake import wake
from bbq.services.scheduler.world import World
from bbq.shared.telemetry import said

ROUND_SECONDS = 10.0  # no further round is begun with less time than this
MAX_LIMIT = 10_000  # terraform/variables.tf
LONGEST_PAUSE = 9  # of `Store.pause`, which is a second then
# What AWS answers while a role or its policy is young (recorded 2026-03-24,
# terraform-aws-control_tower_account_factory #614; IAM user guide, "Troubleshoot IAM": changes are
# not always immediately visible).
NO_RIGHTS_YET = {
    "AccessDenied",
    "AccessDeniedException",
    "KMSAccessDeniedException",
    "UnrecognizedClientException",
}


def deployed(world: World, event: dict[str, Any]) -> list[str]:
    """Set the limits and wake one model, or all: the aliases that were woken. Raises ValueError for
    what is no such call.
    """
    return _woken(world, *_asked(world, event))


def _woken(world: World, alias: str | None, limits: dict[str, int] | None) -> list[str]:
    """Wake one model, or all: what a deployment asks for. Raises what went wrong after every model
    had its turn.

    In the apply that makes the function's role its rights may not hold yet: then what failed for
    want of them is tried again, until the time of the invocation is nearly over.
    """
    aliases = [alias] if alias is not None else list(world.config.models)
    left, errors, failed = aliases, list[Exception](), list[str]()
    while left:
        again = []
        for each in left:
            try:
                wake(world, each, limits, ask=True)
            except Exception as error:  # noqa: BLE001 - raised below, after the others had their turn
                if _no_rights_yet(error) and world.seconds_left() > ROUND_SECONDS:
                    world.note("RightsNotThereYet", model=each, error=said(error))
                    again.append(each)
                else:
                    errors.extend(
                        error.exceptions if isinstance(error, ExceptionGroup) else [error]
                    )
                    failed.append(each)
        if again:
            world.store.pause(LONGEST_PAUSE)
        left = again
    if errors:
        # A timer of its hold may have met a model that was not configured; a person may wait long
        # before the next apply.
        for each in failed:
            with suppress(Exception):
                world.outbox.wake_model(each)
        raise ExceptionGroup("some models could not be looked after", errors)
    return aliases


def _no_rights_yet(error: BaseException) -> bool:
    match error:
        case ExceptionGroup():
            return all(map(_no_rights_yet, error.exceptions))
        case PynamoDBException():
            return error.cause_response_code in NO_RIGHTS_YET
        case ClientError():
            return error.response["Error"].get("Code") in NO_RIGHTS_YET
        case _:
            return False


def _asked(world: World, event: dict[str, Any]) -> tuple[str | None, dict[str, int] | None]:
    """The model to wake (None: all) and the limits of a direct call. Raises ValueError, which its
    caller is told.
    """
    alias, limits = event.get("wake"), event.get("limits")
    models, problem = world.config.models, ""
    if not isinstance(alias, str) or (alias != ALL and alias not in models):
        problem = f'say {{"wake": "all"}} or one of: {", ".join(models)}'
    elif limits is not None and not _are_limits(limits):
        problem = f"limits must be a whole number from 0 to {MAX_LIMIT} for each model"
    if problem:
        world.note("HintIgnored", reason="NoWake")
        raise ValueError(problem)
    return (None if alias == ALL else alias), limits


def _are_limits(limits: Any) -> bool:
    """They become events: what is not a limit would stop its model for good."""
    return isinstance(limits, dict) and all(
        isinstance(limit, int) and not isinstance(limit, bool) and 0 <= limit <= MAX_LIMIT
        for limit in limits.values()
    )
