"""Pages of ListModelInvocationJobs, cut by the number of the job: jobs created meanwhile neither
repeat nor hide others. Pure.
"""

from __future__ import annotations

import base64
import binascii
import itertools
from typing import TYPE_CHECKING, Any

from local.bedrock_simulator.answers import summary
from local.bedrock_simulator.errors import VALIDATION, BedrockError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from local.bedrock_simulator.jobs import Job, Settings


def page(
    request: Mapping[str, Any], jobs: dict[str, Job], newest: datetime, settings: Settings
) -> dict[str, Any]:
    """The answer to a valid request: of `jobs`, oldest first, those submitted until `newest`.
    Raises BedrockError.
    """
    page_size = request.get("maxResults") or 100
    found = [*itertools.islice(_matching(request, jobs, newest), page_size + 1)]
    answer: dict[str, Any] = {
        "invocationJobSummaries": [summary(job, settings) for job in found[:page_size]]
    }
    if len(found) > page_size:
        last = b"%d" % found[page_size - 1].sequence
        answer["nextToken"] = base64.urlsafe_b64encode(last).decode()
    return answer


def _matching(
    request: Mapping[str, Any], all_jobs: dict[str, Job], newest: datetime
) -> Iterable[Job]:
    ascending = request.get("sortOrder") == "Ascending"
    jobs: Iterable[Job] = all_jobs.values() if ascending else reversed(all_jobs.values())
    after, before = request.get("submitTimeAfter"), request.get("submitTimeBefore")
    last = _sequence(request.get("nextToken"))
    for job in jobs:
        seen = last is not None and (job.sequence <= last if ascending else job.sequence >= last)
        wanted = (
            request.get("statusEquals") in (None, job.status)
            and (request.get("nameContains") or "") in job.name
        )
        in_time = (after is None or job.submit_time > after) and (
            before is None or job.submit_time < before
        )
        if wanted and in_time and not seen and job.submit_time <= newest:
            yield job


def _sequence(next_token: str | None) -> int | None:
    if next_token is None:
        return None
    try:
        return int(base64.urlsafe_b64decode(next_token))
    except (ValueError, binascii.Error) as error:
        raise BedrockError(VALIDATION, "nextToken is not one that this service gave.") from error
