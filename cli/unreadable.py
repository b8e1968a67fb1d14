"""Uploads that intake may not read, sent to it again: what `bbq wake` does for them.

A message in the uploads queue is tried for nine hours, then it is a dead letter, and dead letters
live for two weeks. The event `upload-unreadable` lives for ever and holds all that S3 said of the
upload, so the notification can be written again at any time. A copy too many is harmless: the
second delivery finds the upload taken in, or unreadable for the same reason.

IAM: dynamodb:Query on the projections table's index and on the events table, sqs:SendMessage on the
uploads queue.
"""

import json
from collections.abc import Iterator
from urllib.parse import quote_plus

from bbq.cli import queries
from bbq.cli.deployment import Deployment
from bbq.services.intake.uploads import CREATED
from bbq.shared.events import Source, UnknownEvent
from bbq.shared.job import UNREADABLE, IllegalEvent

MAX_UPLOADS = 10_000  # of one command


def send_again(here: Deployment) -> int:
    """Send every upload that is Unreadable, and not cancelled, to intake once more. Answers how
    many, MAX_UPLOADS at most.
    """
    queue = here.queue(here.uploads_queue_url)
    count = 0
    for source in _sources(here):
        queue.send(notification(source))
        count += 1
    return count


def notification(source: Source) -> str:
    """The body of a message as S3 would send it about this upload: the parts that intake reads,
    keys encoded as S3 does (S3 user guide, "Event message structure").
    """
    about = {
        "key": quote_plus(source.key),
        "size": source.size_bytes,
        "eTag": source.etag,
        "sequencer": source.sequencer,
    }
    if source.version_id:
        about["versionId"] = source.version_id
    record = {
        "eventName": f"{CREATED}Put",
        "s3": {"bucket": {"name": source.bucket}, "object": about},
    }
    return json.dumps({"Records": [record]})


def _sources(here: Deployment) -> Iterator[Source]:
    """The index may be behind: what counts are the events."""
    for view in queries.live_views(here, [queries.NO_MODEL], {UNREADABLE}, limit=MAX_UPLOADS):
        try:
            job = here.store.job(view.job)
        except (UnknownEvent, IllegalEvent):
            continue  # `bbq verify` names it
        if job is not None and job.status == UNREADABLE and job.cancel is None:
            yield from job.sources
