"""Whatever happens to a job, in whatever order, it is what a plain reading of its events says.

The plain reading is `Plain`, written from the table of statuses in docs/concepts.md and the diagram
in `shared/job.py`. It walks beside the real thing through lives that nobody would design:
duplicates, statuses out of order, ends and tallies of earlier attempts, cancels and requeues at any
moment. Every step is also written to the tables, as the scheduler would.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bbq.shared import events as e
from bbq.shared import projections as p
from bbq.shared import rows
from bbq.shared.hold import QUOTA, Hold
from bbq.shared.job import Job, comes_back, evolve, fold, news, outcome
from bbq.shared.memory import MemoryTables
from bbq.shared.names import holder
from bbq.shared.plain import text_of
from bbq.shared.slots import Lease, Slots
from bbq.shared.store import Store
from bbq.shared.tables import LineRow, ViewRow, Write
from tests.support.samples import ARN, MODEL, at, id_of, life, queued, slot_claimed

# in Bedrock's own order
AT_BEDROCK = ["Submitted", "Validating", "Scheduled", "InProgress", "Stopping"]
ENDED = ["Completed", "PartiallyCompleted", "Failed", "Stopped", "Expired"]
NEITHER = ["", "Melted", "Queued", "Cancelled"]
LEASE = Lease(owner="me", until=at(60))
JOB = id_of()
COUNTS = st.sampled_from([None, 0, 0, 1, 2])
OPEN_HOLD = Hold(kind=QUOTA, message="full", since=at(0), until=at(0), ends=0)


@dataclass
class Plain:
    """What a reader of docs/concepts.md would say of the job."""

    events: int = 1
    status: str = "Queued"
    attempt: int = 0
    priority: int = 5
    arn: str | None = None
    cancel_by: str | None = None
    reason: str = ""
    taken: bool = False  # whether Bedrock has, or had, this attempt
    processed: int | None = None  # what Get said at its end
    began: bool = False  # to process any
    refused_under: frozenset[int] = frozenset()
    failed_under: frozenset[int] = frozenset()
    failures: int = 0
    first_failed: float | None = None
    tally: dict[str, int | None] | None = None
    # of this attempt: claimed, submitted, started, ended
    times: dict[str, float] = field(default_factory=dict)

    @property
    def may_still_run(self) -> bool:
        """Not ended, not cancelled."""
        return self.status not in {*ENDED, "Cancelled"}

    @property
    def outcome(self) -> str:
        """`Completed` is shown as what it is; everything else as Bedrock or we called it."""
        good = self.tally["succeeded_records"] if self.tally else None
        if self.may_still_run or self.status != "Completed" or good is None or self.tally is None:
            return "" if self.may_still_run else self.status
        return (
            "NoRecordSucceeded"
            if good == 0
            else "CompletedWithErrors"
            if self.tally["failed_records"]
            else "Completed"
        )

    @property
    def may_come_back(self) -> bool:
        """What bought nothing, as far as is known, and nobody cancelled; what failed each time
        others did well is at fault.
        """
        if (
            self.cancel_by
            or self.arn is None
            or self.processed != 0
            or self.status not in {"Failed", "Expired"}
        ):
            return False
        if self.tally is not None and self.tally["processed_records"] != 0:
            return False
        for_a_week = (
            self.first_failed is not None and self.times["ended"] - self.first_failed >= 7 * 86_400
        )
        return self.status == "Expired" or (
            len(self.failed_under) <= 3 and not (self.failures >= 10 and for_a_week)
        )

    def comes_back(self, most: int) -> bool:
        """Only what certainly bought nothing. A failure that was no fault of the upload is none of
        its attempts.
        """
        if self.tally is None or not self.may_come_back:
            return False
        return self.status == "Failed" or self.attempt - self.failures < most

    def is_news(self, status: str) -> bool:
        """An end, or further along than what is known."""
        return status in ENDED or status in AT_BEDROCK[AT_BEDROCK.index(self.status) + 1 :]


class AnyLife(RuleBasedStateMachine):
    """One job, one slot, and everything that can be said of them."""

    def __init__(self) -> None:
        super().__init__()
        self.tables = MemoryTables()
        self.store = Store(self.tables, sleep=lambda _: None)
        self.plain = Plain()
        self.clock = 0.0
        # events, attempt, rank: as they were one step ago
        self.past: tuple[int, int, int] = (0, 0, 0)

    @initialize(
        lives=st.integers(0, 2),
        begun=st.booleans(),
        status=st.sampled_from(ENDED),
        processed=COUNTS,
        late=st.booleans(),
    )
    def uploaded_and_perhaps_run_before(
        self, lives: int, begun: bool, status: str, processed: int | None, late: bool
    ) -> None:
        # whether what people ask for, and does not change the status, is projected with the next
        # event only
        self.late = late
        self.store.commit(
            p.model_changed(None, Slots(model=MODEL, limit=1, model_version=1), resumed=False)
        )
        self.events: list[e.Event] = [queued()]
        self.store.append(JOB, None, self.events[0])
        self.job = evolve(JOB, None, self.events[0])
        self.store.commit(p.projected(None, self.job))
        self.seen = self.job
        for _ in range(lives):
            self.a_slot_is_claimed()
            self.bedrock_refuses("invalid", 0)
            self.a_slot_is_claimed()
            self.bedrock_takes_it_or_took_it_long_ago(ARN)
            self.a_status_comes_early_late_or_twice("InProgress")
            self.it_ends_perhaps_again_perhaps_for_an_earlier_attempt(
                status, None, 0, processed, began=False, good=0
            )
            self.somebody_counts(processed, processed, 1, 0)
            self.it_is_wanted_again("ann")
        if begun:
            self.a_slot_is_claimed()
            self.bedrock_takes_it_or_took_it_long_ago(ARN)

    @precondition(lambda self: self.plain.status == "Queued")
    @rule()
    def a_slot_is_claimed(self) -> None:
        # an attempt keeps its number until Bedrock has taken it
        if self.plain.taken or not self.plain.attempt:
            self.plain.attempt, self.plain.refused_under = self.plain.attempt + 1, frozenset()
        self.plain.status, self.plain.reason, self.plain.taken = "Claimed", "", False
        event = slot_claimed(JOB, self.plain.attempt, self._tick("claimed"))
        self._happens(event, lambda job: p.claimed(job, event, self._holder, LEASE, self._slots))

    @precondition(lambda self: self.plain.status == "Claimed")
    @rule(
        kind=st.sampled_from(["quota", "throttled", "access", "invalid", "name taken"]),
        taken=st.integers(0, 3),
    )
    def bedrock_refuses(self, kind: str, taken: int) -> None:
        self.plain.status, self.plain.reason = "Queued", f"full: {kind}"
        if kind in {"invalid", "name taken"}:
            self.plain.refused_under |= {taken}
        now = at(self._tick())
        event = e.SubmissionRefused(
            at=now, attempt=self.plain.attempt, kind=kind, message=f"full: {kind}", taken=taken
        )
        slots = self._slots
        self._happens(
            event,
            lambda job: p.given_up(
                job, event, self._holder, LEASE, slots, hold=slots.refused or OPEN_HOLD
            ),
        )

    @precondition(lambda self: self.plain.attempt > 0)
    @rule(arn=st.sampled_from([ARN, ARN[:-1] + "2"]))
    def bedrock_takes_it_or_took_it_long_ago(self, arn: str) -> None:
        now = self._tick()
        event = e.JobSubmitted(at=at(now), attempt=self.plain.attempt, arn=arn)
        if self.plain.status in {"Claimed", "Queued"} and not self.plain.taken:
            self.plain.status, self.plain.arn, self.plain.reason, self.plain.taken = (
                "Submitted",
                arn,
                "",
                True,
            )
            self.plain.times["submitted"] = now
            self._happens(event, lambda job: p.submitted(job, event, self._holder))
        else:
            self._happens(event)

    @precondition(lambda self: self.plain.attempt > 0)
    @rule(status=st.sampled_from([*AT_BEDROCK, *AT_BEDROCK, *ENDED, *NEITHER]))
    def a_status_comes_early_late_or_twice(self, status: str) -> None:
        now = self._tick()
        known = self.plain.status
        if known in AT_BEDROCK and status in AT_BEDROCK[AT_BEDROCK.index(known) + 1 :]:
            self.plain.status = status
            if status == "InProgress":
                self.plain.times["started"] = now
        self._happens(e.JobProgressed(at=at(now), attempt=self.plain.attempt, status=status))

    @precondition(lambda self: self.plain.status != "Queued")
    @rule(
        status=st.sampled_from([*ENDED, "Failed", "Expired"]),
        arn=st.sampled_from([None, ARN]),
        behind=st.integers(0, 2),
        processed=COUNTS,
        began=st.booleans(),
        good=st.integers(0, 5),
    )
    def it_ends_perhaps_again_perhaps_for_an_earlier_attempt(  # noqa: PLR0917 - Hypothesis names them
        self,
        status: str,
        arn: str | None,
        behind: int,
        processed: int | None,
        began: bool,
        good: int,
    ) -> None:
        live = self.plain.may_still_run
        now = self._tick()
        attempt = self.plain.attempt if live else max(self.plain.attempt - behind, 1)
        event = e.JobEnded(
            at=at(now),
            attempt=attempt,
            status=status,
            message=f"ended {status}",
            arn=arn,
            processed_records=processed,
            started=began,
            good_ends=good,
        )
        if live:
            claimed = self.plain.status == "Claimed"
            self.plain.status, self.plain.reason, self.plain.arn = (
                status,
                f"ended {status}",
                arn or self.plain.arn,
            )
            self.plain.processed, self.plain.began = processed, began
            if status == "Failed" and processed == 0:
                self.plain.failures, self.plain.failed_under = (
                    self.plain.failures + 1,
                    self.plain.failed_under | {good},
                )
                self.plain.first_failed = (
                    now if self.plain.first_failed is None else self.plain.first_failed
                )
            self.plain.times["ended"] = now
            self._happens(
                event,
                lambda job: (
                    p.over_without_bedrock(job, event, self._holder, LEASE)
                    if claimed
                    else p.ended(job, event, self._holder, self._slots)
                ),
            )
        else:
            self._happens(event)

    @precondition(lambda self: self.plain.attempt > 0 and self.plain.status != "Queued")
    @rule(processed=COUNTS, good=COUNTS, bad=COUNTS, behind=st.integers(-1, 1))
    def somebody_counts(
        self, processed: int | None, good: int | None, bad: int | None, behind: int
    ) -> None:
        counts = {"processed_records": processed, "succeeded_records": good, "failed_records": bad}
        # of this attempt: only when it has ended
        behind = behind if self.plain.status in ENDED else behind or 1
        if behind == 0:
            self.plain.tally = counts
        self._happens(
            e.JobTallied(at=at(self._tick()), attempt=self.plain.attempt - behind, **counts)
        )

    @rule(by=st.sampled_from(["policy", "ann"]))
    def it_is_wanted_again(self, by: str) -> None:
        if self.plain.status in ENDED:
            kept = self.plain
            self.plain = Plain(
                events=kept.events,
                attempt=kept.attempt,
                priority=kept.priority,
                reason="once more",
                taken=kept.taken,
            )
            if by == "policy":
                self.plain.failures, self.plain.failed_under = kept.failures, kept.failed_under
                self.plain.first_failed = kept.first_failed
        self._happens(
            e.JobRequeued(at=at(self._tick()), attempt=self.plain.attempt, by=by, why="once more")
        )

    @rule(priority=st.sampled_from([0, 1, 5, 9, 10, -1]))
    def somebody_wants_it_sooner_or_later(self, priority: int) -> None:
        if self.plain.may_still_run and 0 <= priority <= 9:
            self.plain.priority = priority
        self._happens(
            e.PriorityChanged(at=at(self._tick()), priority=priority, by="ann", why="urgent")
        )

    @rule(by=st.sampled_from(["ann", "bob"]))
    def somebody_wants_it_gone(self, by: str) -> None:
        if self.plain.may_still_run or self.plain.may_come_back:
            self.plain.cancel_by = by
        self._happens(e.CancelRequested(at=at(self._tick()), by=by, why="wrong file"))

    @precondition(
        lambda self: (
            self.plain.status not in AT_BEDROCK
            and (self.plain.cancel_by or not self.plain.may_still_run)
        )
    )
    @rule()
    def it_is_cancelled_perhaps_when_it_is_over(self) -> None:
        known = self.plain.status
        event = e.JobCancelled(at=at(self._tick()))
        if self.plain.may_still_run:
            self.plain.status, self.plain.times["ended"] = "Cancelled", self.clock
            self.plain.reason = f"cancelled by {self.plain.cancel_by}: wrong file"
        if known == "Queued":
            self._happens(event, lambda job: p.left_line(job, event))
        elif known == "Claimed":
            self._happens(
                event, lambda job: p.over_without_bedrock(job, event, self._holder, LEASE)
            )
        else:
            self._happens(event)

    @invariant()
    def the_job_is_what_the_plain_reading_says(self) -> None:
        job, plain = self.job, self.plain
        assert (job.status, job.attempt, job.arn, job.reason) == (
            plain.status,
            plain.attempt,
            plain.arn,
            plain.reason,
        )
        assert (job.version, job.latest) == (plain.events, self.events[-1].NAME)
        assert (job.cancel.by if job.cancel else None, job.refused_under) == (
            plain.cancel_by,
            plain.refused_under,
        )
        assert (job.failures, job.failed_under) == (plain.failures, plain.failed_under)
        assert job.may_be_at_bedrock == (
            plain.attempt > 0 and not plain.taken and plain.status in {"Queued", "Claimed"}
        )
        times = {
            "claimed": job.claimed_at,
            "submitted": job.submitted_at,
            "started": job.started_at,
            "ended": job.ended_at,
        }
        assert {name: moment for name, moment in times.items() if moment} == {
            n: at(s) for n, s in plain.times.items()
        }
        assert (job.queued_at, job.model, job.sources) == (at(0), MODEL, queued().sources)
        assert outcome(job) == plain.outcome
        assert [comes_back(job, most) for most in range(5)] == [
            plain.comes_back(most) for most in range(5)
        ]
        if plain.status in AT_BEDROCK:
            said = [*AT_BEDROCK, *ENDED, *NEITHER]
            assert [news(job, status) for status in said] == [
                plain.is_news(status) for status in said
            ]

    @invariant()
    def versions_count_events_attempts_only_rise_and_statuses_only_rise_within_one(self) -> None:
        events, attempt, rank = self.past
        order = ["Queued", "Claimed", *AT_BEDROCK, "over"]
        now = order.index(self.job.status if self.job.status in order else "over")
        self.past = (len(self.events), self.job.attempt, now)
        assert self.job.version == len(self.events) >= events
        assert self.job.attempt >= attempt
        requeued = (
            isinstance(self.events[-1], e.JobRequeued)
            and rank == order.index("over")
            and self.job.status == "Queued"
        )
        refused = (
            isinstance(self.events[-1], e.SubmissionRefused)
            and rank == order.index("Claimed")
            and self.job.status == "Queued"
        )
        assert now >= rank or requeued or refused

    @invariant()
    def folding_the_stream_again_gives_the_same_job(self) -> None:
        assert fold(JOB, self.events) == self.job == self.store.job(JOB)

    @invariant()
    def the_view_the_line_and_the_slots_say_the_same(self) -> None:
        plain = self.plain
        view = self.tables.get(ViewRow, f"job#{JOB}", "view")
        assert view
        assert view.to_dynamodb_dict() == rows.view_row(self.seen).to_dynamodb_dict()
        if self.seen is not self.job:
            return
        day = f"#{text_of(at(plain.times['ended']))[:10]}" if not plain.may_still_run else ""
        has_slot = plain.status in {
            "Claimed",
            "Submitted",
            "Validating",
            "Scheduled",
            "InProgress",
            "Stopping",
        }
        where = "InSlot" if has_slot else plain.status
        assert view.status_key == f"{MODEL}#{where}{day}"
        assert (view.status, view.version, view.attempt) == (
            plain.status,
            plain.events,
            plain.attempt,
        )
        assert (view.outcome or "", view.arn, view.cancel_by) == (
            plain.outcome,
            plain.arn,
            plain.cancel_by,
        )
        assert (view.processed_records, view.updated_at) == (
            (plain.tally or {}).get("processed_records"),
            text_of(at(self.clock)),
        )
        places = [(row.sk, row.job) for row in self.tables.query(LineRow, f"line#{MODEL}")]
        assert places == (
            [(f"{plain.priority}#{text_of(at(0))}#{JOB}", JOB)] if plain.status == "Queued" else []
        )
        assert self.store.waiting(MODEL) == (
            {"jobs": 1, "records": 100} if plain.status == "Queued" else {}
        )
        slots = self.store.slots(MODEL)
        assert slots
        assert list(slots.holders) == (
            [self._holder] if plain.status in {"Claimed", *AT_BEDROCK} else []
        )

    @invariant()
    def the_days_count_it_once_and_only_while_it_is_over(self) -> None:
        days = {text_of(at(seconds))[:10] for seconds in range(0, int(self.clock) + 86_400, 86_400)}
        found = {day: numbers for day in sorted(days) if (numbers := self.store.day(MODEL, day))}
        # its tally
        to_come = (
            self.plain.arn is not None
            and self.plain.tally is None
            and self.plain.status != "Cancelled"
        )
        if self.seen.status not in {*ENDED, "Cancelled"} or to_come:
            assert found == {}
            return
        tally, times = self.plain.tally or {}, self.plain.times
        expected = {self.plain.outcome: 1, "records": 100} | {
            name: tally.get(name) or 0
            for name in ("succeeded_records", "failed_records")
            if tally.get(name)
        }
        if "submitted" in times and self.plain.status != "Cancelled":
            expected |= {"slot_ends": 1, "slot_seconds": int(times["ended"] - times["submitted"])}
        assert found == {text_of(at(times["ended"]))[:10]: expected}

    @property
    def _holder(self) -> str:
        return holder(JOB, self.plain.attempt)

    @property
    def _slots(self) -> Slots:
        slots = self.store.slots(MODEL)
        assert slots
        return slots

    def _tick(self, what: str = "") -> float:
        """Time passes: a few steps are a day, because the index keeps days apart."""
        self.clock += 30_000.25
        if what:
            self.plain.times[what] = self.clock
        return self.clock

    def _happens(self, event: e.Event, writes: Any = None) -> None:
        """Append and project, as whoever appends this event does it."""
        self.plain.events += 1
        self.events.append(event)
        before, self.job = self.job, evolve(JOB, self.job, event)
        # by people, who project nothing
        if isinstance(event, e.JobRequeued | e.CancelRequested | e.PriorityChanged):
            self.store.append(JOB, before, event)
            if not self.late or self.job.status != before.status:
                self.store.commit(p.projected(self.seen, self.job))
                self.seen = self.job
            return
        made: list[Write] = writes(before) if writes else p.appended(before, event)
        self.store.commit(made)
        self.seen = self.job


AnyLife.TestCase.settings = settings(max_examples=60, stateful_step_count=35)
TestAnyLife = AnyLife.TestCase


@given(
    st.sampled_from(ENDED),
    COUNTS,
    st.booleans(),
    st.none()
    | st.fixed_dictionaries(
        {f"{what}_records": COUNTS for what in ("processed", "succeeded", "failed")}
    ),
    st.sampled_from([None, "ann"]),
    st.lists(st.integers(0, 9), min_size=1, max_size=6),
)
def test_coming_back_and_an_outcome_rest_on_what_the_last_attempt_did(  # noqa: PLR0917 - Hypothesis gives them
    status: str,
    processed: int | None,
    began: bool,
    counts: dict[str, int | None] | None,
    by: str | None,
    good: list[int],
) -> None:
    """`good`: how many others had ended well at the end of each attempt. All but the last one
    failed with nothing processed.
    """
    events: list[e.Event] = [queued()]
    for attempt, others in enumerate(good, 1):
        again = e.JobRequeued(at=at(9), attempt=attempt - 1, by="policy", why="")
        end = e.JobEnded(
            at=at(9),
            attempt=attempt,
            status="Failed",
            message="",
            arn=ARN,
            processed_records=0,
            good_ends=others,
        )
        if attempt == len(good):
            end = replace(end, status=status, processed_records=processed, started=began)
        cancel = [e.CancelRequested(at=at(8), by=by, why="")] if by and attempt == len(good) else []
        submit = e.JobSubmitted(at=at(7), attempt=attempt, arn=ARN)
        events += [
            *([again] if attempt > 1 else []),
            slot_claimed(JOB, attempt),
            submit,
            *cancel,
            end,
        ]
    if counts is not None:
        events.append(e.JobTallied(at=at(9), attempt=len(good), **counts))
    under = good if status == "Failed" and processed == 0 else good[:-1]
    plain = Plain(
        status=status,
        attempt=len(good),
        cancel_by=by,
        tally=counts,
        arn=ARN,
        processed=processed,
        began=began,
        failed_under=frozenset(under),
        failures=len(under),
    )
    job = fold(JOB, events)
    assert job
    assert outcome(job) == plain.outcome
    assert [comes_back(job, most) for most in range(8)] == [
        plain.comes_back(most) for most in range(8)
    ]


@given(st.lists(st.sampled_from([*AT_BEDROCK, *NEITHER]), max_size=8))
def test_a_running_job_has_the_furthest_status_ever_heard_of(heard: list[str]) -> None:
    events = [
        e.JobProgressed(at=at(number), attempt=1, status=status)
        for number, status in enumerate(heard)
    ]
    known = ["Submitted", *(status for status in heard if status in AT_BEDROCK)]
    job = life(slot_claimed(JOB), e.JobSubmitted(at=at(0), attempt=1, arn=ARN), *events)
    assert job.status == max(known, key=AT_BEDROCK.index)
    assert (job.started_at is None) == (
        "InProgress" not in heard or "Stopping" in heard[: heard.index("InProgress")]
    )


LATER = st.one_of(
    st.builds(e.JobSubmitted, at=st.just(at(1)), attempt=st.integers(0, 2), arn=st.just(ARN)),
    st.builds(
        e.JobProgressed,
        at=st.just(at(1)),
        attempt=st.integers(0, 2),
        status=st.sampled_from(AT_BEDROCK),
    ),
    st.builds(
        e.JobEnded,
        at=st.just(at(1)),
        attempt=st.integers(0, 2),
        status=st.sampled_from(ENDED),
        message=st.just("x"),
        arn=st.none(),
    ),
    st.builds(
        e.JobRequeued,
        at=st.just(at(1)),
        attempt=st.integers(0, 2),
        by=st.just("ann"),
        why=st.just(""),
    ),
    st.builds(e.CancelRequested, at=st.just(at(1)), by=st.just("ann"), why=st.just("")),
    st.just(e.JobCancelled(at=at(1))),
)


@given(st.lists(LATER, max_size=8), st.text(max_size=9), st.integers(1, 3))
def test_a_rejected_job_stays_rejected_for_its_own_reason_whatever_is_said_of_it(
    later: list[e.Event], text: str, count: int
) -> None:
    problems = (e.Problem(line=1, text=text),)
    rejected = e.JobRejected(
        at=at(0), model=None, sources=(), problems=problems, problem_count=count, size_bytes=0
    )
    job = fold(JOB, [rejected, *later])
    assert job
    reason = text if count == 1 else f"{text} (and {count - 1} more)"
    assert (job.status, job.reason, job.version, job.ended_at) == (
        "Rejected",
        reason,
        1 + len(later),
        at(0),
    )
    assert (outcome(job), comes_back(job, 9), job.attempt, job.cancel) == (
        "Rejected",
        False,
        0,
        None,
    )


CLAIM, SECOND = slot_claimed(JOB), slot_claimed(JOB, 2)
SUBMIT = e.JobSubmitted(at=at(2), attempt=1, arn=ARN)
EXPIRED = e.JobEnded(at=at(3), attempt=1, status="Expired", message="", arn=ARN)
TALLY = e.JobTallied(at=at(4), attempt=1, processed_records=0)
AGAIN = e.JobRequeued(at=at(5), attempt=1, by="ann", why="")
REFUSED = e.SubmissionRefused(at=at(6), attempt=1, kind="invalid", message="full", taken=3)
SECOND_SUBMIT = e.JobSubmitted(at=at(7), attempt=2, arn=ARN)


@pytest.mark.parametrize(
    ("life_so_far", "late"),
    [
        pytest.param([CLAIM, SUBMIT, EXPIRED], CLAIM, id="a claim after the end"),
        pytest.param([CLAIM, SUBMIT], CLAIM, id="a claim of what is at Bedrock"),
        pytest.param([CLAIM, SUBMIT, EXPIRED], REFUSED, id="a refusal after the end"),
        pytest.param([CLAIM, SUBMIT], REFUSED, id="a refusal of what is at Bedrock"),
        pytest.param([], REFUSED, id="a refusal of what is in line"),
        pytest.param(
            [CLAIM, SUBMIT, EXPIRED, AGAIN], EXPIRED, id="an end of the attempt before, in line"
        ),
        pytest.param(
            [CLAIM, SUBMIT, EXPIRED, AGAIN, SECOND],
            EXPIRED,
            id="an end of the attempt before, claimed",
        ),
        pytest.param(
            [CLAIM, SUBMIT, EXPIRED, AGAIN, SECOND], SUBMIT, id="the attempt before was taken"
        ),
        pytest.param(
            [CLAIM, SUBMIT, EXPIRED, AGAIN], TALLY, id="a tally of the attempt before, in line"
        ),
        pytest.param(
            [CLAIM, SUBMIT],
            e.JobCancelled(at=at(9)),
            id="cancelled as never at Bedrock, but it is there",
        ),
        pytest.param(
            [CLAIM, SUBMIT, EXPIRED, AGAIN, SECOND, SECOND_SUBMIT],
            e.JobProgressed(at=at(9), attempt=1, status="Stopping"),
            id="a status of the attempt before",
        ),
    ],
)
def test_an_event_that_comes_too_late_for_the_state_it_meets_changes_nothing(
    life_so_far: list[e.Event], late: e.Event
) -> None:
    def told(job: Job) -> Job:
        return replace(job, version=0, updated_at=at(0), latest="")

    job = life(*life_so_far)
    assert told(evolve(job.id, job, late)) == told(job)
