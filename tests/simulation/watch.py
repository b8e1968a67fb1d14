"""The safety invariants, checked at every write, every Create and every change at Bedrock: the
moments when they could break.

Written against the words of docs/simulation.md (S1-S15), not with the production rules: the shadow
of a job here is folded by this file's own table of legal transitions, and Bedrock's truth is what
the simulator's rules hold.
"""

import json
from bisect import bisect_left, insort
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from bbq.shared.memory import Item
from bbq.shared.models import MAX_ATTEMPTS
from bbq.shared.names import parse_attempt_name
from bbq.shared.slots import Ceiling
from local.bedrock_simulator.jobs import StatusChange
from tests.simulation.kernel import Invocation, Kernel

if TYPE_CHECKING:
    from local.bedrock_simulator.rules import Bedrock

# Of an item: its table and key, and what it was before and is after.
Change = tuple[tuple[str, str, str | int], Item | None, Item | None]
DEPLOYMENT = "bbq"
RANKS = ("Submitted", "Validating", "Scheduled", "InProgress", "Stopping")
ENDS = ("Completed", "PartiallyCompleted", "Failed", "Stopped", "Expired")
SKEW_SECONDS = 20.0  # an invocation's clock may differ from the true time by so much
MIDNIGHT_SECONDS = 90.0  # until a timer of midnight has fired, and its hint was handled
BY_OTHERS = frozenset(
    {  # events that the scheduler projects, not their author
        "job-queued",
        "job-rejected",
        "upload-unreadable",
        "cancel-requested",
        "forget-requested",
        "job-requeued",
        "priority-changed",
    }
)
MAX_CREATES_FOR_A_REASON = 2  # a hint comes inline, and by the stream
# so often others were taken, or did well, between the times that a job was turned down, or failed
MOST_OTHERS = 3
MOST_FAILURES, MOST_FAILING = 10, timedelta(days=7)
MOST_IN_A_ROW = 3
READ_SECONDS = 120.0  # an invocation may decide on what it read so long ago
MOST_WALKED = 12  # ten, and what came or was passed meanwhile
WALKING = {"invalid", "not found", "name taken", "unanswered", "failing"}
INVARIANTS = {
    "S1": "what lives at Bedrock holds a slot, and is never more than the limit",
    "S2": "one Bedrock job for one attempt",
    "S3": "no Bedrock job without a slot-claimed before it",
    "S4": "one upload, one stream",
    "S5": "holders are the attempts between claim and end; added only below the limit; Create only "
    "under a lease, not in vain",
    "S6": "only the holder gives its slot back",
    "S7": "ended is final, transitions are legal and true",
    "S8": "versions are dense",
    "S9": "the projections are the fold",
    "S10": "a hint delivered again changes nothing",
    "S11": "a lowered limit and a pause claim nothing; a raised limit is used without an outside "
    "event",
    "S12": "within a priority the line's order",
    "S13": "foreign, forged and malformed hints change nothing and raise nothing",
    "S14": "on no day begins more of a model than its ceiling; what began is counted; nobody is "
    "parked without need",
    "S15": "on hold one probe asks for each reason; what is refused is not at Bedrock; a hold is "
    "lifted by what it waits for",
    "L1": "every job ends, or is rejected, or waits with a reason; a handled event is recorded; a "
    "cancel is carried out",
    "L2": "no free slot beside somebody in line, longer than its bound",
    "L3": "whatever holds a slot, and a line whose model is on hold, has a hint to come",
    "L4": "with the dead letters redriven, the end is the fault-free one",
    "L5": "few invocations; Bedrock is asked again only for a reason",
    "L6": "what people want to hear of is published, as it was appended, and nothing else",
}


class Violation(BaseException):
    """An invariant does not hold. Not an Exception: no production code may swallow it."""

    def __init__(self, invariant: str, text: str) -> None:
        self.invariant = invariant
        super().__init__(f"{invariant} ({INVARIANTS[invariant]}): {text}")


@dataclass
class Shadow:
    """A job, as this file understands its events."""

    model: str = ""
    state: str = ""  # unreadable, queued, claimed, running, ended, cancelled, rejected
    status: str = ""
    unreadable: str = ""  # why intake could not read it
    attempt: int = 0
    taken: bool = False  # Bedrock has had this attempt
    found: bool = False  # it was found there: maybe taken long before it was recorded
    arn: str | None = None
    cancel: bool = False
    tallied: bool = False
    processed: int | None = None
    statuses: list[str] = field(default_factory=list)  # by version, from 1
    settled: list[bool] = field(default_factory=list)  # by version: whether no tally is to come
    priority: int = 0
    line_at: str = ""
    priorities: list[int] = field(default_factory=list)  # by version, from 1
    poisoned: bool = False
    turned_down: set[int] = field(
        default_factory=set
    )  # others taken by then, each time it was refused as if it were its own fault
    claimed_on: str = ""
    started: bool = False
    failures: list[tuple[str, int]] = field(
        default_factory=list
    )  # before a record: when, and how many others had done well by then
    records: int = 0
    cancel_at: float = 0.0
    cancelled_by: int = 0  # number of the write

    @property
    def lives(self) -> bool:
        """Whether its attempt is between claim and end."""
        return self.state in {"claimed", "running"}

    @property
    def passed_by(self) -> bool:
        """Whether a fill leaves it to its own hint: cancelled, and its attempt may be at Bedrock,
        so it is looked up first.
        """
        return self.cancel and self.attempt > 0 and not self.taken

    def note_version(self) -> None:
        """Remember what it is after one event more."""
        self.statuses.append(self.status)
        self.priorities.append(self.priority)
        self.settled.append(self.state != "ended" or self.arn is None or self.tallied)


class Watch:
    """Looks at everything. `bedrock` is set by the simulation once there is one."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.bedrock: Bedrock
        self.evaluated: Counter[str] = Counter()
        self.jobs: dict[str, Shadow] = {}
        self.models: dict[str, list[tuple[int, bool]]] = {}  # limit, paused by version
        self.slots: dict[str, Item] = {}
        # model -> job -> place -> number of the write that put it there
        self.lines: dict[str, dict[str, dict[str, int]]] = {}
        self.orders: dict[str, list[str]] = {}  # model -> places, sorted
        self.views: dict[str, Item] = {}
        # (key, version id) -> job, as the simulation accepted them
        self.uploads: dict[tuple[str, str], str] = {}
        self.never: dict[str, str] = {}  # attempt names that ended without Bedrock, and how
        self.creates: Counter[str] = Counter()
        self.deployed: dict[str, int] = {}  # limits, as the deployment says
        # to ask Bedrock again: ends, timers, wakes, by model
        self.reasons: Counter[str] = Counter()
        self.waiting: dict[str, dict[str, Shadow]] = {}  # model -> job, of those in line
        self.to_cancel: dict[str, Shadow] = {}  # cancelled by an operator, and not over
        self.ceilings: dict[str, Ceiling] = {}  # as the slots say
        self.began: Counter[tuple[str, str, str]] = Counter()  # (model, day, "jobs" or "records")
        self.damaged: set[str] = set()  # models whose slots item was damaged, and is to be rebuilt
        self.writes = 0
        self.at = 0  # changes at Bedrock
        self.limit_changes: dict[str, list[tuple[float, int]]] = {}
        self.claimed_at: dict[str, float] = {}
        self.added: dict[str, int] = {}  # holder -> number of the write that last gave it a slot
        self.made: Counter[str] = Counter()  # Bedrock jobs of ours, by name
        # model -> name -> holder, of those that have not ended
        self.alive: dict[str, dict[str, str]] = {}
        # by model: when a refusal last took back what its claim had counted
        self.given_back: dict[str, float] = {}
        self.asked = 0  # writes that only say that Bedrock may be asked again
        # by model: the last write that sent a probe that need not be the head
        self.walks: dict[str, int] = {}
        # model -> holder -> job, of attempts between claim and end
        self.live: dict[str, dict[str, Shadow]] = {}

    def check(self, invariant: str, holds: bool, text: str) -> None:
        """Count an evaluation; stop the run where it fails."""
        self.evaluated[invariant] += 1
        if not holds:
            self.kernel.say("WATCH", f"{invariant} broken: {text}")
            raise Violation(invariant, text)

    # What the clients tell.

    def line_read(self, invocation: Invocation | None, partition: str, line: list[str]) -> None:
        """An invocation reads the head of a line."""
        if invocation is not None:
            invocation.notes[partition] = self.writes
            invocation.notes[f"read in {partition}"] = {
                place.rpartition("#")[2]: place for place in line
            }
            if line:
                invocation.notes[f"next in {partition}"] = line[0]

    def slots_read(self, invocation: Invocation | None, partition: str) -> None:
        """An invocation looks for a slot: whatever it saw in line before, it decides anew."""
        if invocation is not None:
            invocation.notes.pop(f"next in line#{partition.partition('#')[2]}", None)

    def hinted(self, invocation: Invocation | None, body: str) -> None:
        """An invocation has left a hint in the queue: whoever is woken by it decides for that model
        in its stead.
        """
        if invocation is not None:
            invocation.notes.pop(f"next in line#{json.loads(body).get('wake')}", None)

    def create_called(self, invocation: Invocation | None, request: dict[str, Any]) -> None:
        """Create arrives at Bedrock."""
        name = request["jobName"]
        self.creates[name] += 1
        parsed = parse_attempt_name(DEPLOYMENT, name)
        self.check(
            "S3",
            parsed is not None and request["clientRequestToken"] == name,
            f"{name} is no name of ours",
        )
        assert parsed
        job_id, attempt = parsed
        job = self.jobs.get(job_id, Shadow())
        holder = f"{job_id}#{attempt}"
        self.check("S3", job.attempt >= attempt, f"Create for {name} before its slot-claimed")
        self.check("S2", not self._known(name), f"Create for {name}, which Bedrock has already")
        self.check(
            "S2",
            job.attempt == attempt and job.lives,
            f"Create for {name}, which is {job.state} in attempt {job.attempt}",
        )
        lease = _map(self.slots.get(job.model), "holders").get(holder)
        mine = (
            lease is not None and not _value(lease, "submitted") and self._mine(lease, invocation)
        )
        self.check("S5", mine, f"Create for {name} without its lease: {lease}")
        in_vain = job.cancel and job.cancelled_by < self.added.get(holder, 0)
        self.check(
            "S5", not in_vain, f"Create for {name}, which was cancelled before it got its slot"
        )
        assert lease
        until = datetime.fromisoformat(_value(lease, "until"))
        allowed = MAX_CREATES_FOR_A_REASON * (self.reasons[job.model] + self.reasons[""] + 1)
        self.check(
            "L5",
            self.creates[name] <= allowed,
            f"{self.creates[name]} Creates of {name} for {allowed} reasons",
        )
        self.check(
            "S5",
            until > self.kernel.now - timedelta(seconds=SKEW_SECONDS),
            f"Create for {name} after its lease",
        )

    def at_bedrock(self, change: StatusChange) -> None:
        """A job at Bedrock is in another status; the first one is Submitted."""
        self.at += 1
        if change.status in ENDS:
            self.reasons[""] += 1
        parsed = parse_attempt_name(DEPLOYMENT, change.name)
        if change.foreign or parsed is None:
            return
        job_id, attempt = parsed
        job = self.jobs.get(job_id, Shadow())
        alive = self.alive.setdefault(job.model, {})
        if change.status in ENDS:
            alive.pop(change.name, None)
        if change.status != "Submitted":
            return
        self.made[change.name] += 1
        alive[change.name] = f"{job_id}#{attempt}"
        self.check("S3", job.attempt >= attempt > 0, f"{change.name} lives without slot-claimed")
        self.check(
            "S2",
            self.made[change.name] == 1,
            f"{self.made[change.name]} Bedrock jobs for {change.name}",
        )
        self.check(
            "S2", change.name not in self.never, f"{change.name} was {self.never.get(change.name)}"
        )
        self._alive_hold_slots(job.model)

    def written(self, invocation: Invocation | None, changes: list[Change]) -> None:
        """A write, or a transaction, was made."""
        self.writes += 1
        jobs: dict[str, str] = {}
        slots: list[Change] = []
        left: dict[str, str] = {}  # job -> its place in line, which it has left
        views: list[tuple[str, Item | None, Item]] = []
        told: Counter[str] = Counter()  # what the counts say
        for change in changes:
            (table, partition, place), before, after = change
            kind, _, name = partition.partition("#")
            if table == "events":
                assert after
                self._event(kind, name, before, after)
                if kind == "job":
                    jobs[name] = after["name"]["S"]
            elif kind == "slots":
                slots.append(change)
            elif kind == "line":
                self._line(name, str(place), before, after, left)
            elif kind == "counts":
                told.update(_counted(name, str(place), after))
                told.subtract(_counted(name, str(place), before))
            else:
                assert after
                views.append((name, before, after))
                self.views[name] = after
                jobs.setdefault(name, "")
        if invocation is None or invocation.name != "operator":  # a repair is judged by its end
            moved = Counter(
                count for name, _, after in views for count in self._counts(name, after)
            )
            moved.subtract(
                count for name, before, _ in views for count in self._counts(name, before)
            )
            self.check(
                "S9", +moved == +told and -moved == -told, f"views moved {moved}, counts {told}"
            )
        if len(changes) == 1 and slots and _only_ends(*slots[0][1:]):
            self.asked += 1
        for (_, partition, _), before, after in slots:
            assert after
            self._slots(invocation, partition.partition("#")[2], before, after, jobs)
        for name, event in jobs.items():
            self._view(name, event)
            job = self.jobs[name]
            if event == "slot-claimed":
                self._order(invocation, name, job, left.get(name, ""))
            if event in {
                "slot-claimed",
                "job-ended",
                "job-cancelled",
                "job-submitted",
                "submission-refused",
            }:
                self._holders(job.model)
        for (_, partition, _), _, _ in slots:
            self._holders(partition.partition("#")[2])

    # Events.

    def _event(self, kind: str, name: str, before: Item | None, after: Item) -> None:
        self.check(
            "S8", before is None, f"event {after['version']['N']} of {kind}#{name} was overwritten"
        )
        version, event = int(after["version"]["N"]), after["name"]["S"]
        data = json.loads(after["data"]["S"])
        # the old shape of job-progressed that the simulation makes up (versions.py)
        if "state" in data:
            data["status"] = data["state"]
        if kind == "model":
            states = self.models.setdefault(name, [(0, False)])
            self.check(
                "S8",
                version == len(states),
                f"version {version} of model {name} after {len(states) - 1}",
            )
            limit, paused = states[-1]
            if event == "limit-set":
                self.check(
                    "S11",
                    data["limit"] == self.deployed[name],
                    f"{name} got limit {data['limit']}, deployed is {self.deployed[name]}",
                )
            states.append(
                (
                    data.get("limit", limit),
                    {"model-paused": True, "model-resumed": False}.get(event, paused),
                )
            )
            return
        job = self.jobs.setdefault(name, Shadow())
        self.check(
            "S8",
            version == len(job.statuses) + 1,
            f"version {version} of job {name} after {len(job.statuses)}",
        )
        if event.endswith("from-the-future"):
            job.poisoned = True
            self._wait(name, job)
            job.note_version()
            return
        was, holder = (job.state, job.status, job.attempt, job.arn), f"{name}#{job.attempt}"
        legal = self._apply(name, job, event, after["at"]["S"], data)
        self.check("S7", legal, f"{event} {data} of {name} after {was}")
        job.note_version()
        if event in {"job-ended", "job-cancelled"}:
            self.reasons[job.model] += 1
        self._wait(name, job)
        live = self.live.setdefault(job.model, {})
        live.pop(holder, None)
        if job.lives:
            live[f"{name}#{job.attempt}"] = job

    def _wait(self, name: str, job: Shadow) -> None:
        waiting = self.waiting.setdefault(job.model, {})
        waiting.pop(name, None)
        self.to_cancel.pop(name, None)
        if job.state == "queued" and not job.poisoned:
            waiting[name] = job
        if job.cancel and job.state in {"queued", "claimed", "running"} and not job.poisoned:
            self.to_cancel[name] = job

    def _apply(self, name: str, job: Shadow, event: str, at: str, data: dict[str, Any]) -> bool:  # noqa: PLR0915 - a table
        """Whether the event may follow; the shadow after it."""
        state, attempt, was_taken = job.state, data.get("attempt"), job.taken
        if event in {"job-queued", "job-rejected"}:
            source = data["sources"][0]
            known = self.uploads.get((source["key"], source["version_id"]))
            self.check(
                "S4",
                known == name,
                f"{name} is the stream of no upload, or of one that has another: {known}",
            )
            job.model, job.priority, job.line_at = (
                data["model"] or "",
                data.get("priority", 0),
                data.get("line_at") or at,
            )
            job.records = data.get("record_count", 0)
            job.state, job.status = (
                ("queued", "Queued") if event == "job-queued" else ("rejected", "Rejected")
            )
            return state in {"", "unreadable"}
        if event == "upload-unreadable":
            job.state, job.status = "unreadable", "Unreadable"
            new = data["reason"] != job.unreadable
            job.unreadable = data["reason"]
            # once for each reason, however often it is tried
            return state in {"", "unreadable"} and new
        if event == "cancel-requested":
            # it may come back
            open_still = (
                job.status in {"Failed", "Expired"} and job.arn is not None and job.processed == 0
            )
            job.cancel = (
                job.cancel
                or state not in {"ended", "cancelled", "rejected"}
                or (state == "ended" and open_still)
            )
            job.cancel_at, job.cancelled_by = self.kernel.time, self.writes
            return state != ""
        if event == "priority-changed":
            if state not in {"ended", "cancelled", "rejected", "unreadable"}:
                job.priority = data["priority"]
            return state != ""
        if event == "slot-claimed":
            due = job.attempt + 1 if job.taken or not job.attempt else job.attempt
            job.turned_down = job.turned_down if due == job.attempt else set()
            job.state, job.status, job.attempt, job.arn, job.taken = (
                "claimed",
                "Claimed",
                due,
                None,
                False,
            )
            job.tallied, job.processed, job.started, job.claimed_on = False, None, False, at[:10]
            self.claimed_at[f"{name}#{job.attempt}"] = self.kernel.time
            self.never.pop(f"{DEPLOYMENT}-{name}-{due}", None)  # a person has asked for it again
            return (
                state == "queued"
                and attempt == due
                and data["job_name"] == f"{DEPLOYMENT}-{name}-{attempt}"
            )
        if event == "job-cancelled":
            job.state, job.status = "cancelled", "Cancelled"
            early = state in {"unreadable", "queued", "claimed"}
            return early and job.cancel and self._never_was(name, job, "cancelled")
        if event == "forget-requested":
            return state != ""
        if attempt != job.attempt:
            return False
        if event == "submission-refused":
            job.state, job.status = "queued", "Queued"
            self.check(
                "S15",
                not self._known(f"{DEPLOYMENT}-{name}-{attempt}"),
                f"{name} is turned down, and Bedrock has it",
            )
            if data["kind"] in {"invalid", "name taken"}:
                job.turned_down.add(data["taken"])
            return state == "claimed"
        if event == "job-submitted":
            job.state, job.status, job.arn, job.taken, job.found = (
                "running",
                "Submitted",
                data["arn"],
                True,
                data["found"],
            )
            made = self.bedrock.jobs.get(data["arn"][-12:])
            may = state == "claimed" or (state == "queued" and not was_taken)
            return (
                may
                and made is not None
                and made.token == made.name == f"{DEPLOYMENT}-{name}-{attempt}"
            )
        if event == "job-progressed":
            rises = state == "running" and RANKS.index(data["status"]) > RANKS.index(job.status)
            job.status = data["status"]
            job.started = job.started or job.status == "InProgress"
            return rises
        if event == "job-ended":
            return self._ended(name, job, data)
        if event == "job-tallied":
            first, job.tallied, job.processed = not job.tallied, True, data["processed_records"]
            made = self.bedrock.jobs.get((job.arn or "")[-12:])
            truth = (
                made.tally
                if made is not None
                and not (made.tally and made.tally.problem and made.status == "Stopped")
                else None
            )
            true = (
                data["succeeded_records"] is None
                or truth is None
                or data["succeeded_records"] == truth.success
            )
            return state == "ended" and first and job.arn is not None and true
        if event == "job-requeued":
            free = data["by"] != "policy" or (job.tallied and self.comes_back(job))
            made = self.bedrock.jobs.get((job.arn or "")[-12:])
            if data["by"] == "policy" and made is not None and made.tally is not None:
                bought = made.tally.success + made.tally.errors
                self.check(
                    "S7",
                    not bought,
                    f"{name} is queued again by policy, and has bought {bought} records",
                )
            job.state, job.status, job.cancel = "queued", "Queued", False
            if data["by"] != "policy":
                job.failures = []
            return state == "ended" and free
        return False

    def comes_back(self, job: Shadow) -> bool:
        """Whether an ended job is to be queued again without anybody asking: nothing of it was
        bought.
        """
        if job.cancel or job.arn is None or job.processed != 0:
            return False
        if job.status == "Failed":
            first, last = (
                datetime.fromisoformat(when) for when, _ in (job.failures[0], job.failures[-1])
            )
            for_long = len(
                job.failures
            ) >= MOST_FAILURES and last - first > MOST_FAILING - timedelta(seconds=2 * SKEW_SECONDS)
            return len({others for _, others in job.failures}) <= MOST_OTHERS and not for_long
        return job.status == "Expired" and job.attempt - len(job.failures) < MAX_ATTEMPTS

    def _ended(self, name: str, job: Shadow, data: dict[str, Any]) -> bool:
        state, status, arn = job.state, data["status"], data["arn"]
        job.state, job.status = "ended", status
        if status not in ENDS:
            return False
        if arn is None:
            tried = len(job.turned_down) >= MOST_OTHERS  # and once more now
            return (
                state == "claimed"
                and status == "Failed"
                and tried
                and self._never_was(name, job, "failed")
            )
        made = self.bedrock.jobs.get(arn[-12:])
        job.processed = data["processed_records"]
        if status == "Failed" and job.processed == 0:
            job.failures.append((self.kernel.now.isoformat(), data["good_ends"]))
        if made is None or (
            job.processed is not None and made.tally is not None and not made.tally.problem
        ):
            truth = (
                made.tally.success + made.tally.errors
                if made is not None and made.tally is not None
                else -1
            )
            self.check(
                "S7",
                job.processed is None or job.processed <= truth,
                f"{name} processed {job.processed}, not {truth}",
            )
        return state == "running" and arn == job.arn and made is not None and made.status == status

    def _never_was(self, name: str, job: Shadow, how: str) -> bool:
        """An attempt is over that Bedrock must not have, now or ever."""
        if job.taken or not job.attempt:
            return True
        attempt = f"{DEPLOYMENT}-{name}-{job.attempt}"
        self.never[attempt] = how
        self.check("S2", not self._known(attempt), f"{attempt} is {how}, but Bedrock has it")
        return True

    # Slots.

    def _slots(
        self,
        invocation: Invocation | None,
        model: str,
        before: Item | None,
        after: Item,
        events: dict[str, str],
    ) -> None:
        self.slots[model] = after
        self.ceilings[model] = Ceiling(
            jobs=_number(after, "max_jobs_per_day"), records=_number(after, "max_records_per_day")
        )
        if invocation is not None and invocation.name == "operator":
            self.check(
                "S9",
                bool(after["paused"]["BOOL"]),
                f"the slots of {model} were rebuilt while the model was open",
            )
            if before is not None and before["limit"] != after["limit"]:
                self.limit_changes.setdefault(model, []).append(
                    (self.kernel.time, int(after["limit"]["N"]))
                )
            if _map(after, "holders") != _map(before, "holders"):
                self.damaged.discard(model)
            self._alive_hold_slots(model)
            return
        if before is None:
            self.limit_changes[model] = [(self.kernel.time, int(after["limit"]["N"]))]
            return
        self._day(model, before, after, events)
        if any(
            name in before and _value(before[name], "kind") in WALKING
            for name in ("refused", "failing")
        ):
            self.walks[model] = self.writes
        version = int(after["model_version"]["N"])
        limit, paused = self.models[model][version]
        self.check(
            "S9",
            (int(after["limit"]["N"]), after["paused"]["BOOL"]) == (limit, paused),
            f"limit of {model} at {version}: {after}",
        )
        self.check(
            "S9",
            version >= int(before["model_version"]["N"]),
            f"{model} went back to version {version}",
        )
        if int(before["limit"]["N"]) != limit:
            self.limit_changes.setdefault(model, []).append((self.kernel.time, limit))
        if model in self.damaged:
            return
        self.check(
            "S6", int(after["ends"]["N"]) >= int(before["ends"]["N"]), f"ends of {model} went back"
        )
        old, new = _map(before, "holders"), _map(after, "holders")
        stay = len(old.keys() & new.keys())
        for holder in new.keys() - old.keys():
            self._added(invocation, holder, before, events, new[holder], stay=stay)
        for holder in old.keys() - new.keys():
            self._removed(invocation, holder, old[holder], events)
        for holder in old.keys() & new.keys():
            if old[holder] != new[holder]:
                self._changed(invocation, holder, old[holder], new[holder], events)
        self._held(model, before, after, events)
        self._alive_hold_slots(model)

    def _held(self, model: str, before: Item, after: Item, events: dict[str, str]) -> None:
        """The holds: set by what turned a job down or let it fail, moved on by one probe for each
        reason, and lifted by what they wait for.
        """
        told = {
            "job-found" if event == "job-submitted" and self.jobs[name].found else event
            for name, event in events.items()
        }
        changed = int(after["model_version"]["N"]) > int(before["model_version"]["N"])
        claims = (
            _map(after, "holders").keys() - _map(before, "holders").keys()
            if "slot-claimed" in told
            else set()
        )
        late = (self.kernel.now + timedelta(seconds=SKEW_SECONDS)).isoformat()
        for name, sets, lifts in (
            ("refused", {"submission-refused"}, {"job-submitted"}),
            ("failing", {"job-ended"}, {"job-ended", "job-progressed"}),
        ):
            was, now = before.get(name), after.get(name)
            if was is None or now is None:
                seen = name == "failing" and now is None and self._goes_well(model)
                allowed = (
                    told & (sets if was is None else lifts)
                    or (changed and now is None)
                    or (not told - {"job-tallied"} and seen)
                )
                self.check(
                    "S15",
                    was == now or bool(allowed),
                    f"{name} of {model} was {was}, is {now}, with {told}",
                )
            if was is not None and claims:
                ends = _value(was, "ends") != before["ends"]["N"]
                over = _value(was, "until").replace("Z", "+00:00") <= late
                self.check(
                    "S15",
                    ends or over,
                    f"{claims} probes {model}, which is on hold: {was}, ends {before['ends']}",
                )
                moved = (
                    now is not None and int(_value(now, "count")) == int(_value(was, "count")) + 1
                )
                self.check(
                    "S15",
                    moved,
                    f"the probe {claims} left the hold of {model} as it was: {was}, {now}",
                )
            elif was is not None and now is not None:
                stays = all(_value(was, each) == _value(now, each) for each in ("count", "until"))
                back = int(_value(now, "ends")) < int(_value(was, "ends"))
                self.check(
                    "S15", stays and not back, f"no probe moved the hold of {model}: {was}, {now}"
                )
        if "job-submitted" in told:
            self.check(
                "S15",
                "refused" not in after,
                f"{model} is on hold for refusals, and Bedrock has just taken a job",
            )
        failures = int(after["failures"]["N"]) if "failures" in after else 0
        if "failing" in after or failures:
            right = ("failing" in after) == (failures >= MOST_IN_A_ROW)
            self.check(
                "S15", right, f"{model} after {failures} failures in a row: {after.get('failing')}"
            )

    def _goes_well(self, model: str) -> bool:
        """Whether a job of ours has a record processed, by Bedrock's truth."""
        ours = {job.arn for job in self.jobs.values() if job.model == model and job.arn}
        made = [self.bedrock.jobs[arn[-12:]] for arn in ours if arn[-12:] in self.bedrock.jobs]
        return any(
            job.status in {"InProgress", "Stopping"} or (job.tally and job.tally.success)
            for job in made
        )

    def _day(self, model: str, before: Item, after: Item, events: dict[str, str]) -> None:
        """What begins is counted on the day it is, whoever's clock says so, and is never more than
        the ceiling.
        """
        new = _map(after, "holders").keys() - _map(before, "holders").keys()
        claimed = [
            self.jobs[h.partition("#")[0]]
            for h in new
            if events.get(h.partition("#")[0]) == "slot-claimed"
        ]
        day = after.get("day", {}).get("S", "")
        if claimed:
            near = {
                (self.kernel.now + timedelta(seconds=s)).date().isoformat()
                for s in (-SKEW_SECONDS, 0, SKEW_SECONDS)
            }
            self.check("S14", day in near, f"a claim of {model} was counted on {day}")
        self.began[model, day, "jobs"] += len(claimed)
        self.began[model, day, "records"] += sum(job.records for job in claimed)
        for holder in _map(before, "holders").keys() - _map(after, "holders").keys():
            name = holder.partition("#")[0]
            # nothing began
            if events.get(name) == "submission-refused" and self.jobs[name].claimed_on == day:
                self.given_back[model] = self.kernel.time
                self.began[model, day, "jobs"] -= 1
                self.began[model, day, "records"] -= self.jobs[name].records
        jobs, records = self.began[model, day, "jobs"], self.began[model, day, "records"]
        said = tuple(int(after.get(name, {"N": "0"})["N"]) for name in ("day_jobs", "day_records"))
        self.check(
            "S14",
            said == (jobs, records),
            f"{jobs} jobs and {records} records of {model} began on {day}, not {said}",
        )
        ceiling = self.ceilings[model]
        if claimed:
            for what, most, count in (
                ("jobs", ceiling.jobs, jobs),
                ("records", ceiling.records, records),
            ):
                self.check(
                    "S14",
                    most is None or count <= most,
                    f"{count} {what} of {model} began on {day}, ceiling {most}",
                )

    def parked(self, **said: Any) -> None:
        """An invocation leaves a line alone because of the day's ceiling, as it has read it."""
        jobs, records = (
            self.began[said["model"], said["day"], what] for what in ("jobs", "records")
        )
        full = said["max_jobs"] is not None and jobs >= said["max_jobs"]
        wide = (
            said["max_records"] is not None and records + said["next_records"] > said["max_records"]
        )
        before = (
            self.kernel.time - self.given_back.get(said["model"], -1e9) < READ_SECONDS
        )  # it may have read before a claim was undone
        self.check(
            "S14",
            full or wide or before,
            f"{said['model']} was parked with {jobs} jobs and {records} records: {said}",
        )

    def is_parked(self, model: str, job: Shadow) -> bool:
        """Whether the ceiling keeps this job from beginning: today's, or yesterday's until the
        timer of midnight has come.
        """
        ceiling = self.ceilings.get(model)
        if ceiling is None:
            return False
        for day in {
            (self.kernel.now - timedelta(seconds=s)).date().isoformat()
            for s in (0.0, MIDNIGHT_SECONDS)
        }:
            jobs, records = (self.began[model, day, what] for what in ("jobs", "records"))
            if (ceiling.jobs is not None and jobs >= ceiling.jobs) or (
                ceiling.records is not None and records + job.records > ceiling.records
            ):
                return True
        return False

    def _added(
        self,
        invocation: Invocation | None,
        holder: str,
        before: Item,
        events: dict[str, str],
        lease: Item,
        *,
        stay: int,
    ) -> None:
        job = holder.partition("#")[0]
        if events.get(job) == "job-submitted":  # refused by mistake: what lives at Bedrock counts
            self.check(
                "S6",
                bool(_value(lease, "submitted")),
                f"{holder} came back without being submitted",
            )
            return
        limit = int(before["limit"]["N"])
        # one that leaves makes room
        self.check("S5", stay < limit, f"{holder} was added to {stay} holders at limit {limit}")
        self.check("S11", not before["paused"]["BOOL"], f"{holder} was added to a paused model")
        self.check("S5", self._mine(lease, invocation), f"{holder} was added for somebody else")
        self.added[holder] = self.writes

    def _removed(
        self, invocation: Invocation | None, holder: str, lease: Item, events: dict[str, str]
    ) -> None:
        job = self.jobs[holder.partition("#")[0]]
        event = events.get(holder.partition("#")[0])
        self.check("S6", not self._lives(holder), f"{holder} lost its slot without an end")
        if event == "job-ended" and job.arn is not None:
            return
        owns = self._mine(lease, invocation) and not _value(lease, "submitted")
        self.check(
            "S6",
            owns,
            f"{holder} was given up with {event} by {invocation}, not by the owner of {lease}",
        )

    def _changed(
        self,
        invocation: Invocation | None,
        holder: str,
        old: Item,
        new: Item,
        events: dict[str, str],
    ) -> None:
        if _value(old, "submitted"):
            self.check(
                "S6", bool(_value(new, "submitted")), f"{holder} was submitted and is no more"
            )
        elif _value(new, "submitted"):
            event = events.get(holder.partition("#")[0])
            self.check("S6", event == "job-submitted", f"{holder} is marked submitted with {event}")
        else:
            over = datetime.fromisoformat(_value(old, "until")) <= self.kernel.now + timedelta(
                seconds=SKEW_SECONDS
            )
            self.check(
                "S6",
                over and self._mine(new, invocation),
                f"the lease of {holder} was taken while it ran: {old}",
            )

    def _holders(self, model: str) -> None:
        """Holders are the attempts between claim and end; what was submitted is marked so."""
        if model in self.damaged:
            return
        holders = _map(self.slots.get(model), "holders")
        live = self.live.get(model, {})
        self.check(
            "S5",
            holders.keys() == live.keys(),
            f"{model}: {sorted(holders)} are not {sorted(live)}",
        )
        for holder, job in live.items():
            marked = bool(_value(holders[holder], "submitted"))
            self.check(
                "S5",
                marked == (job.state == "running"),
                f"{holder} is {job.state}, and marked submitted: {marked}",
            )

    def _alive_hold_slots(self, model: str) -> None:
        if model in self.damaged:
            return
        holders = _map(self.slots.get(model), "holders")
        ours = set(self.alive.get(model, {}).values())
        self.check(
            "S1",
            ours <= holders.keys(),
            f"alive without a slot at {model}: {sorted(ours - holders.keys())}",
        )
        since = min((self.claimed_at[holder] for holder in ours), default=self.kernel.time)
        changes = self.limit_changes.get(model, [])
        before = [limit for at, limit in changes if at <= since][-1:]
        highest = max([*before, *(limit for at, limit in changes if at > since)], default=0)
        self.check("S1", len(ours) <= highest, f"{len(ours)} alive at {model}, limit {highest}")

    # Views and lines.

    def _line(
        self, model: str, place: str, before: Item | None, after: Item | None, left: dict[str, str]
    ) -> None:
        line, order = self.lines.setdefault(model, {}), self.orders.setdefault(model, [])
        if after is not None and before is None:
            name = after["job"]["S"]
            expected = [self.jobs[name].line_at, name]
            self.check(
                "S12", place.split("#")[1:] == expected, f"{place} is not the place of {expected}"
            )
            line.setdefault(name, {})[place] = self.writes
            insort(order, place)
        elif after is None and before is not None:
            name = before["job"]["S"]
            left[name] = place
            order.pop(bisect_left(order, place))
            del line[name][place]
            if not line[name]:
                del line[name]

    def _view(self, name: str, event: str) -> None:
        job, view = self.jobs[name], self.views.get(name)
        if view is None or job.poisoned:
            return
        version = int(view["version"]["N"])
        if event and event not in BY_OTHERS:
            self.check(
                "S9", version == len(job.statuses), f"{event} of {name} left its view at {version}"
            )
        self.check(
            "S9",
            0 < version <= len(job.statuses),
            f"the view of {name} has seen {version} of {len(job.statuses)} events",
        )
        status = job.statuses[version - 1]
        self.check(
            "S9",
            view["status"]["S"] == status,
            f"the view of {name} says {view['status']['S']}, not {status}",
        )
        priority = job.priorities[version - 1]
        self.check(
            "S9",
            int(view["priority"]["N"]) == priority,
            f"the view of {name} says {view['priority']}, not {priority}",
        )
        places = [place.partition("#")[0] for place in self.lines.get(job.model, {}).get(name, {})]
        due = [str(priority)] if status == "Queued" else []
        self.check(
            "S9",
            places == due,
            f"{name} is {status} at priority {priority}, and in line at {places}",
        )

    def _order(self, invocation: Invocation | None, name: str, job: Shadow, place: str) -> None:
        """Nobody was passed who was in line when the line was read."""
        notes = invocation.notes if invocation is not None else {}
        read, unreadable = (
            notes.get(f"line#{job.model}", self.writes),
            notes.get("unreadable", set()),
        )
        model = job.model
        line, order = self.lines.get(model, {}), self.orders.get(model, [])
        # it may have been moved since
        place = min(place, notes.get(f"read in line#{job.model}", {}).get(name, place))
        ahead = [(other.rpartition("#")[2], other) for other in order[: bisect_left(order, place)]]
        # a probe, and not of the head: it may be the head's own fault
        if self.walks.get(model) == self.writes:
            self.check(
                "S12", len(ahead) < MOST_WALKED, f"{name} is at place {len(ahead)}, and probes"
            )
            return
        ahead = [(other, where) for other, where in ahead if not self.jobs[other].passed_by]
        passed = [
            other
            for other, where in ahead
            if line[other][where] <= read and other not in unreadable
        ]
        self.check("S12", not passed, f"{name} passed {passed}")

    # Bits.

    def _known(self, name: str) -> bool:
        return self.made[name] > 0

    def _lives(self, holder: str) -> bool:
        name, _, attempt = holder.partition("#")
        job = self.jobs[name]
        return job.lives and job.attempt == int(attempt)

    def _counts(self, name: str, view: Item | None) -> list[str]:
        """What a view counts for: among those that wait, or, once tallied, on the day it was over,
        in a word.
        """
        if view is None or not self.jobs[name].settled[int(view["version"]["N"]) - 1]:
            return []
        model, status = view["model"]["S"], view["status"]["S"]
        if status == "Queued":
            return [f"{model} waiting jobs"]
        return (
            [f"{model} {view['ended_at']['S'][:10]} {view['outcome']['S']}"]
            if "outcome" in view
            else []
        )

    @staticmethod
    def _mine(lease: Item, invocation: Invocation | None) -> bool:
        return invocation is not None and str(_value(lease, "owner")).startswith(f"{invocation}/")


def _counted(model: str, place: str, counts: Item | None) -> dict[str, int]:
    """What a row of counts says of jobs; what they add up to is compared at the end."""
    what = place.partition("#")[0]
    numbers = {
        name: int(value["N"])
        for name, value in (counts or {}).items()
        if name == "jobs" or name[:1].isupper()
    }
    return {f"{model} {what} {name}": number for name, number in numbers.items()}


def _only_ends(before: Item | None, after: Item | None) -> bool:
    """Whether a write of the slots only counted a reason to ask, while they are on hold."""
    if before is None or after is None or not ("refused" in before or "failing" in before):
        return False
    return {**before, "ends": after["ends"]} == after


def _map(item: Item | None, name: str) -> Item:
    found: Item = item.get(name, {}).get("M", {}) if item is not None else {}
    return found


def _number(item: Item, name: str) -> int | None:
    return int(item[name]["N"]) if name in item else None


def _value(entry: Item, name: str) -> Any:
    """The plain value of a field of a map in wire form."""
    return next(iter(entry["M"][name].values()))
