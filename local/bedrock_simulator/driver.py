"""Runs the rules on the wall clock: one lock, one thread that sleeps exactly until the next change,
a pool for S3.

What is slow stays outside the lock: S3 is read and written by the pool, events are sent by their
own threads. A job is in its final status only after its output exists, because the rules wait for
`written`.
"""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from local.bedrock_simulator import files
from local.bedrock_simulator.jobs import Inspection, Job, Settings, Tally
from local.bedrock_simulator.models import base_model
from local.bedrock_simulator.rules import Bedrock

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_s3 import S3Client

    from local.bedrock_simulator.events import Events
    from local.bedrock_simulator.faults import Faults
    from local.bedrock_simulator.memory import Memory

S3_THREADS = 8

Result = TypeVar("Result")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Now:
    """What a call to the driver works on, while the lock is held."""

    bedrock: Bedrock
    time: datetime


class Driver:
    """With a `memory`, every change is kept before anybody hears of it: what was answered survives
    a SIGKILL.
    """

    def __init__(
        self,
        settings: Settings,
        faults: Faults,
        s3_for_role: Callable[[str], S3Client],
        events: Events,
        memory: Memory | None = None,
    ) -> None:
        self._bedrock = Bedrock(settings, faults, self._begin_inspection, self._begin_writing)
        self._s3_for_role, self._events = s3_for_role, events
        self._wake = threading.Condition()
        self._closed = False
        self._pool = ThreadPoolExecutor(S3_THREADS, thread_name_prefix="s3")
        self._memory = memory
        if memory:
            with self._wake:  # the pool answers what is asked for again only when all is restored
                memory.recall(self._bedrock)
        self._clock = threading.Thread(target=self._run, daemon=True, name="clock")
        self._clock.start()

    def call(self, act: Callable[[Now], Result]) -> Result:
        """Do something to the rules at this instant; what is due goes first, and its events are on
        their way after.
        """
        with self._wake:
            now = Now(self._bedrock, datetime.now(UTC))
            self._advance(now.time)
            planned = self._bedrock.next_change_at()
            try:
                return act(now)
            finally:
                self._advance(now.time)
                if self._bedrock.next_change_at() != planned:
                    self._wake.notify()

    def close(self) -> None:
        with self._wake:
            self._closed = True
            self._wake.notify()
        self._clock.join()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _run(self) -> None:
        with self._wake:
            while not self._closed:
                self._advance(datetime.now(UTC))
                due = self._bedrock.next_change_at()
                self._wake.wait(
                    max(0.0, (due - datetime.now(UTC)).total_seconds()) if due else None
                )

    def _advance(self, now: datetime) -> None:
        changes = self._bedrock.advance(now)
        if self._memory:
            self._memory.keep(self._bedrock)
        for change in changes:
            self._events.put(change, self._bedrock.faults)

    # Called by the rules under the lock: they only hand the work to the pool.

    def _begin_inspection(self, job: Job) -> None:
        self._submit(self._inspect, job)

    def _begin_writing(self, job: Job) -> None:
        self._submit(self._write, job)

    def _submit(self, act: Callable[[files.Work, str], None], job: Job) -> None:
        if not self._closed:
            self._pool.submit(act, self._work(job), job.role)

    def _work(self, job: Job) -> files.Work:
        return files.Work(
            job_id=job.id,
            input_uri=job.input_uri,
            output_uri=job.output_uri,
            model=base_model(job.model),
            converse=job.request.get("modelInvocationType") == "Converse",
            total_records=job.inspection.records if job.inspection else 0,
            records=job.records_to_process,
            record_error=self._bedrock.faults.record_error,
            check_object=self._bedrock.faults.permission_check_object,
            seed=f"{self._bedrock.settings.seed}/{job.sequence}/output",
        )

    # Run by the pool, outside the lock.

    def _inspect(self, work: files.Work, role: str) -> None:
        try:
            inspection = files.inspect(self._s3_for_role(role), work)
        except Exception as error:  # noqa: BLE001 - see _reason
            inspection = Inspection(problem=_reason(error))
        self.call(lambda now: now.bedrock.inspected(work.job_id, inspection, now.time))

    def _write(self, work: files.Work, role: str) -> None:
        try:
            tally = files.write(self._s3_for_role(role), work)
        except Exception as error:  # noqa: BLE001 - see _reason
            tally = Tally(problem=_reason(error))
        self.call(lambda now: now.bedrock.written(work.job_id, tally, now.time))


def _reason(error: Exception) -> str:
    """Whatever went wrong, a job must not wait for ever: it fails and says why."""
    if isinstance(error, ClientError | BotoCoreError):
        return f"The role could not be assumed: {error}"[:2048]
    log.error("a job's files could not be handled", exc_info=error)
    return f"The simulator could not handle the job's files: {type(error).__name__}."
