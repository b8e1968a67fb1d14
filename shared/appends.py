"""An event as the row that is appended, if its version is free. Pure."""

from dataclasses import replace

from bbq.shared import events as e
from bbq.shared.job import Job, may_come_back, outcome
from bbq.shared.names import job_stream, model_stream
from bbq.shared.plain import text_of
from bbq.shared.tables import EventRow, Put


def append(job: Job, event: e.Event) -> Put:
    """The event that made the job what it is, as the version that it is, if that version is
    free.
    """
    row = _event_row(job_stream(job.id), job.version, event, job.model)
    row.job, row.status, row.outcome, row.owner = job.id, job.status, _told(job, event), job.owner
    row.key = job.sources[0].key if job.sources else ""
    return Put(row, EventRow.stream.does_not_exist())


def _told(job: Job, event: e.Event) -> str:
    """The outcome that subscribers are told with this event: none while the job may come back, and
    of what did not complete only once, by its end, unless its counts have decided it.
    """
    if job.status == "Failed" and may_come_back(job):
        return ""
    if isinstance(event, e.CancelRequested):
        ends = job.cancel == event and may_come_back(replace(job, cancel=None))
        return outcome(job) if ends and job.status == "Failed" else ""
    open_before = job.status == "Failed" and may_come_back(replace(job, tally=None))
    if isinstance(event, e.JobTallied) and job.status != "Completed" and not open_before:
        return ""
    return outcome(job)


def append_to_model(model: str, version: int, event: e.Event) -> Put:
    """The event as version `version` of the model's stream, if that version is free."""
    return Put(
        _event_row(model_stream(model), version, event, model), EventRow.stream.does_not_exist()
    )


def _event_row(stream: str, version: int, event: e.Event, model: str) -> EventRow:
    return EventRow(
        stream=stream,
        version=version,
        name=event.NAME,
        schema=event.VERSION,
        at=text_of(event.at),
        data=e.to_stored(event),
        model=model,
    )
