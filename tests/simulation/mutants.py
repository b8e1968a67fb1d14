"""The mistakes that the simulation must catch, each of them one that was made, or one guard taken away.

`R1` and so on are those of the races (DECISIONS.md); `B…` are bugs that the simulation itself found. How a mistake is written is
in `mutation.py`; `hunt.py` counts the seeds until each is caught.
"""

from dataclasses import dataclass

from tests.simulation.mutation import (
    Change,
    after,
    argument,
    assigned,
    before,
    condition,
    constant,
    drop,
    expr,
    instead,
    returned,
    without,
)


@dataclass(frozen=True)
class Mutant:
    """`what` is the mistake, in words for the table of docs/simulation.md. `test` is what catches it if seeds do not."""

    what: str
    changes: tuple[Change, ...]
    test: str = ""


def _m(what: str, *changes: Change, test: str = "") -> Mutant:
    return Mutant(what, changes, test)


_SECOND_CREATOR = before(
    "_leased", "arm_attempt(...)",
    """
from services.scheduler.attempt import submit
known = world.store.slots(job.model)
submit(world, None, holder(job.id, job.attempt), lease, known.ends if known else 0)
""",
)  # fmt: skip

MUTANTS: dict[str, Mutant] = {
    "R1": _m("an invocation that finds a job claimed calls Create", _SECOND_CREATOR),
    "R2": _m(
        "an invocation that finds a claimed job cancelled frees its slot",
        condition("reconcile._claimed", "lease.submitted", "IT and job.cancel is None"),
        condition("reconcile._claimed", "refusal is None", "IT and job.cancel is None"),
        argument("attempt._release", "released", "refused", "False"),
    ),
    "R3": _m(
        "two creators, and a permanent refusal frees the slot without the lease",
        _SECOND_CREATOR,
        argument("attempt._record", "fail", "lease", "None"),
        argument("attempt._release", "released", "refused", "False"),
    ),
    "R4": _m(
        "after the lease, the attempt is created again without looking its name up",
        instead("take_over", "_look_up(...)", "ours, strangers = None, []"),
    ),
    "R5": _m(
        "after the lease, Create is repeated, trusting its token",
        instead(
            "take_over", "_look_up(...)",
            """
known = world.store.slots(job.model)
if job.model in world.config.models:
    submit(world, None, whose, lease, known.ends if known else 0)
ours, strangers = None, []
""",
        ),
    ),
    "R6": _m(
        "no answer is taken for a refusal",
        expr("Bedrock.create", "Unknown(type(error).__name__)", 'Refused("throttle", type(error).__name__)'),
    ),
    "R7": _m("holders are named by job", expr("names.holder", "attempt", '"1"')),
    "R8": _m(
        "timers are named by job",
        expr("Timers.arm_attempt", 'f"{job}-{attempt}"', 'f"{job}-1"'),
        expr("Timers.disarm_attempt", 'f"{job}-{attempt}"', 'f"{job}-1"'),
    ),
    "R9": _m("an end is matched by job alone", returned("_about", "report is not None")),
    "R10": _m("a timer is armed again under its own name", expr("timers._name", "minute_number(...)", "IT * 0")),
    "R11": _m(
        "the timer is armed after the claim",
        drop("fill._claim", "arm_for(...)"),
        before("fill._claimed", "note(...)", "arm_for(world, job.id, event.attempt, claim.lease)"),
        drop("_leased", "arm_attempt(...)"),
    ),
    "R12": _m(
        "a hint that failed does not come back",
        drop("scheduler.handler._on_message", "hide(...)"),
        drop("scheduler.handler._on_message", "raise"),
    ),
    "R13": _m("a stream record that failed is forgotten", drop("on_stream_record", "wake_job(...)")),
    "R14": _m("a fill that loses a race goes home", instead("_goes_on", "_wait_or_give_up(...)", "return False")),
    "R18": _m(
        "the limit comes from the environment",
        argument("reconcile.wake", "reconcile_model", 2, "world.config.models[name].limit"),
    ),
    "R19": _m("a pause is read, then claimed", expr("_room", "And(X, SlotsRow.paused == False)", "X")),
    "R20": _m(
        "slots are rebuilt beside claims",
        condition("_not_now", "model.state.paused", "False"),
        drop("_not_now", "paused_again(...)"),
        condition("_not_now", "met != X", "False"),
        condition("_not_now", "CLOCK_MARGIN", "False"),
        before("rebuilt_slots", "SlotsRow.paused == True", "return [Put(slots_row(slots), SlotsRow.pk.exists())]"),
        argument("slots_from_events", "replace", "paused", "state.paused"),
        drop("_rebuild_model", "model.differences"),
    ),
    "R21": _m(
        "an empty map of holders disappears",
        constant("SlotsRow.holders", "MapAttribute(null=True)"),
        argument("slots_row", "SlotsRow", "holders", "IT or None"),
    ),
    "R22": _m("a claim leaves its place in line behind", without("projections.claimed", "_no_place(...)")),
    "R25": _m(
        "the loser of an append decides again",
        instead(
            "record_submitted", "pause(...)",
            """
seen = world.store.slots(job.model)
if seen and (lease := seen.holders.get(holder(job.id, job.attempt))):
    _cancel(world, job.id, job.attempt, lease)
return False
""",
        ),
        condition("attempt._cancel", "_release(...)", "job.cancel is not None and IT"),
    ),
    "R26": _m(
        "a fill gives up after a conflict and leaves no hint",
        constant("store.MAX_TRIES", "1"),
        instead(
            "fill._fill", "_serve_next(...)",
            """
try:
    served = IT if slots is not None else None
except Contended:
    return None
""",
        ),
    ),
    "R30": _m("job-submitted does not mark the lease", without("projections.submitted", "SlotsRow.holders[holder].set(...)")),
    "R33": _m("a Bedrock event for a claimed job is dropped", condition("reconcile._claimed", "_adopt(...)", "False")),
    "R34": _m(
        "an older reading of the model's events overwrites a newer",
        expr("model_changed", "SlotsRow.model_version < X", "SlotsRow.pk.exists()"),
    ),
    "R35": _m("a timer may be armed for the minute that woke us", drop("on_hint", "arm_attempt(...)")),
    "R37": _m("a job that cannot be read stops its model", expr("_readable", "UNREADABLE", "ZeroDivisionError")),
    # Bugs that the simulation found.
    "B1": _m(
        "an expired job whose model is not configured is never queued again",
        condition("_ended", "may_retry(...)", "model is not None and may_retry(job, model.max_attempts)"),
    ),
    "B2": _m("what a report is about is remembered across attempts", expr("_said", "_about(...)", "visit.matched")),
    "B3": _m(
        "a timer that fires early leaves one behind only if its attempt needs it",
        before("on_hint", "config = X", 'world.__dict__["early"] = None'),
        instead("on_hint", "arm_attempt(...)", 'world.__dict__["early"] = due'),
        argument(
            "_leased", "arm_attempt", 2,
            'max(IT, at_minute(minute_number(early) + 1)) if (early := world.__dict__.get("early")) else IT',
        ),
    ),
    "B4": _m("a model's timer that fires early leaves none behind", drop("on_hint", "arm_model(...)")),
    "B5": _m(
        "an event whose adoption another was faster to record is dropped",
        instead("_adopt", "record_submitted(...)", "return IT"),
    ),
    "B7": _m(
        "every hour's hint about a job that cannot be read comes back for twelve days",
        condition("on_hint", "due is None", "True"),
    ),
    "B8": _m(
        "a name that is in use is a stranger's if List shows one that had it, even one that ended",
        condition("_name_in_use", "strangers", "strangers"),
    ),
    "B9": _m(
        "a cancel during an accepted Create is left to the timer where job-submitted was recorded unheard",
        condition("record_submitted", "tries", "False"),
    ),
    # Conditions of the transactions.
    "limit-not-exceeded": _m("<= for <", expr("_room", "held < SlotsRow.limit", "held < SlotsRow.limit + 1")),
    "append-only": _m("an event may overwrite another", argument("projections.append", "Put", 1, "None")),
    "view-older": _m("an older reading overwrites the view", without("projected", "as_seen")),
    "take-over-as-read": _m("a lease is taken over whatever became of it", argument("taken_over", "Update", 2, "path.exists()")),
    "release-mine": _m("an attempt is ended under somebody else's lease", drop("released", "_mine(...)")),
    "foreign-ends": _m(
        "others' ends are no reason to ask again",
        condition("reconcile_report", "report.status in ENDS", "False"),
    ),
    "slot-given-back": _m("an end leaves the holder in the map", without("_leaving", "SlotsRow.holders[holder].remove()")),
    # The loop.
    "write-then-look": _m(
        "a newcomer looks for a slot before it is in line",
        drop("reconcile._read", "_project(...)"),
        after(
            "reconcile.reconcile", "_step(...)",
            """
if job.latest in APPENDED_BY_OTHERS:
    events = [recorded.event for recorded in world.store.load(job_stream(job_id))]
    _project(world, job, events[: job.version])
""",
        ),
    ),
    "fill-after-end": _m("an end does not fill", drop("_refill", "fill(...)")),
    "fill-when-queued": _m("a newcomer does not look for a slot", drop("_step > if job.status == QUEUED", "fill(...)")),
    "check-in": _m("a running attempt has no timer", drop("_running", "arm_attempt(...)")),
    "other-alias-untold": _m("an end is not told to the other aliases of its model", drop("reconcile._end", "_tell(...)")),
    "fill-after-cut-off": _m(
        "an end whose fill was cut off is not filled by the message that comes back",
        condition("_ended", "visit.refilled", "False"),
        test="tests/unit/test_scheduler.py::test_an_end_whose_fill_was_cut_off_is_filled_and_tallied_by_the_same_message",
    ),
    "timer-that-learned": _m(
        "a timer that learns of progress arms no other",
        assigned("reconcile._record", "visit.kept", "job.status != SUBMITTED"),
        test="tests/unit/test_scheduler.py::test_a_timer_that_learns_of_progress_arms_the_next_one",
    ),
    "ask-on-timer": _m("a timer does not ask Bedrock", condition("_said", "visit.look", "False")),
    "look-up-error": _m(
        "an error of List is taken for not found",
        instead(
            "Bedrock.find", "return X",
            """
try:
    return X
except (ClientError, BotoCoreError):
    return []
""",
        ),
    ),
    "all-pages": _m("only the first page of List is read", expr("Bedrock.find", "pages", "list(pages)[:1]")),
    "token-proves": _m("a job of our name is adopted without our token", condition("_look_up", "job.token == name", "True")),
    "get-confirms": _m(
        "an event's name is believed without Get",
        condition("_adopt", "found is None", "found is None"),
    ),
    "conflict-is-permanent": _m(
        "a name in use is a permanent refusal",
        expr("bedrock.meaning", "NameInUse(...)", "Invalid(message)"),
    ),
    "5xx-is-refusal": _m(
        "a 5xx is taken for a refusal",
        constant("bedrock.REFUSED", '{**IT, "InternalServerException": "throttle"}'),
    ),
    "same-token": _m(
        "each Create has a token of its own",
        argument("Bedrock.create", "create_model_invocation_job", "clientRequestToken", 'IT + "-x"'),
    ),
    "cancel-carried-out": _m(
        "a cancel during an accepted Create is left to the timer",
        drop("record_submitted", "if job.cancel is not None: ..."),
    ),
    "stop": _m("a cancel of a running job stops nothing", condition("_running", "_stop(...)", "False")),
    "tally-once": _m(
        "an ended job is tallied with every hint",
        condition("_ended", "if job.tally is None: ...", "IT or job.version < 12"),
    ),
    "retry-policy": _m(
        "whatever Expired is tried again, also when something was bought",
        assigned("may_retry", "bought_nothing", "True"),
    ),
    "rank": _m("a status may fall back", returned("job.news", "status != job.status")),
    "order": _m("the line is ordered by id", assigned("_place", "sk", 'f"{priority}#{job.id}"')),
    "priority": _m("the line knows no priority", assigned("_place", "sk", 'f"{text_of(job.line_at)}#{job.id}"')),
    "old-places": _m(
        "a job that leaves the line leaves only the place of its newest priority",
        expr("_no_place", "sorted(...)", "[job.priority]"),
    ),
    "moved-in-line": _m("a changed priority leaves the old place behind", expr("_line", "sorted(...)", "[]")),
    "counted-from-view": _m(
        "what an operator appended is counted as if the job were new",
        argument("projected", "moved", 0, "None"),
    ),
    "counted-once": _m("a claim is not counted", expr("counts.moved", "(before, -1)", "(None, -1)")),
    "lowered-limit": _m("a lowered limit is not set", expr("reconcile_model", "state.limit != limit", "state.limit < limit")),
    "lease-long-enough": _m("a lease is shorter than its owner lives", returned("Config.lease", "CREATE_TIMEOUT")),
    "ceiling-is-a-condition": _m(
        "the ceiling is read, then used",
        drop("_begun", "SlotsRow.day_jobs < X"),
        drop("_begun", "SlotsRow.day_records < X"),
    ),
    "parked-is-woken": _m("a line that has reached its ceiling has no timer", drop("ceiling.park", "arm_model(...)")),
    "day-goes-on": _m(
        "an invocation with a slow clock begins yesterday again",
        expr("Day.at", "date <= self.date", "date == self.date"),
        expr("_begun", "SlotsRow.day.does_not_exist() | X", "SlotsRow.pk.exists()"),
    ),
    # The edges.
    "batch-failures": _m("a failed message is reported done", drop("partial_failures", "append(...)")),
    "stream-unblocked": _m(
        "a record that cannot be handled blocks its shard",
        instead("on_stream_record", "wake_job(...)", "raise"),
    ),
    "upcast": _m("an old event is not lifted", expr("from_stored", "UPCASTS[X, Y](data)", "data")),
    "unknown-event": _m(
        "an event of newer code is read as if it were ours",
        before("from_stored", "cls is None", "if cls is None:\n    return JobCancelled(at=moment_of(at))"),
    ),
    "hostile-hint": _m("what is not JSON raises", expr("hints.parse", "(ValueError, RecursionError)", "ZeroDivisionError")),
    "key-decoding": _m("keys are taken as they are in the notification", expr("uploads._read", "unquote_plus(X)", "X")),
    "upload-identity": _m(
        "every notification is an upload of its own",
        expr("take_in", "job_id(...)", 'job_id(upload.bucket, upload.key, "", str(world.now()), "")'),
    ),
    "version-read": _m("the newest version is read, not the one announced", returned("objects._version", "{}")),
    "staged-first": _m("a job is queued before its input is staged", drop("intake._decide", "copy(...)")),
    "intake-failures": _m("an upload that could not be taken in is reported done", drop("take_in_message", "failures[0]")),
    "lost-upload": _m("an upload that is gone is tried for ever", expr("intake._decide", "Lost", "ZeroDivisionError")),
    # What goes with the map of refused holders, suspects and the handing over of a slot.
    "R15": _m(
        "a refusal's own stream record is a reason to ask Bedrock again",
        argument("reconcile._claimed", "fill", "probe", "True", times=2),
        condition("give_up", "kind not in job.refusals", "True"),
    ),
    "R16": _m(
        "a refusal does not arm the model's timer",
        drop("give_up", "arm_model(...)"),
        drop("reconcile._claimed", "arm_model(...)"),
    ),
    "R17": _m("an end between the refusal and the giving up is not seen", condition("given_up", "ends is not None", "False")),
    "R23": _m("one refused job stops its model", condition("_goes_on", "_refusals(...)", "False")),
    "R24": _m("every refused probe is an event", condition("give_up", "kind not in job.refusals", "True")),
    "R27": _m("a refused holder is taken whatever the limit and the pause say", without("projections.taken", "_room(...)")),
    "R28": _m("giving up does not look for a newer event", without("given_up", "Check(...)")),
    "R29": _m(
        "beside two refused jobs nobody else is tried",
        expr("_serve_next", "slots.least_refused(tried)", "slots.oldest_refused(tried)"),
        assigned("_serve_next", "suspicious", "False"),
    ),
    "R31": _m(
        "a failed giving up is taken for not done",
        drop("submit", "whose in slots.refused"),
        drop("submit", "slots.holders.get(whose) != lease"),
    ),
    "R32": _m(
        "a claimed holder is rebuilt as refused: given up",
        before(
            "slots_from_events", "_lost_lease(...)",
            """
if lease is None and job.status not in RUNNING:
    refused[whose] = refusal or Refusal(kind="unknown", since=now, retry_at=now)
    continue
""",
        ),
    ),
    "R36": _m("every newcomer asks a full Bedrock again", expr("_serve_next", "not probe and X and Y", "False")),
    "B6": _m(
        "a fill ends with the second probe, even when it is taken",
        instead("_goes_on", "filling.suspect = None", "return False"),
    ),
    "B10": _m(
        "a fill whose job was taken leaves the free slots to a timer, where another's was refused meanwhile",
        drop("_goes_on", "filling.taking = X"),
    ),
    "give-up-mine": _m(
        "a slot is given up by whoever was refused",
        expr("given_up", "_mine(...)", "SlotsRow.holders[holder].exists()"),
    ),
    "release-refused": _m(
        "a refused job is cancelled although it was taken meanwhile",
        drop("released", "SlotsRow.refused[holder].exists()"),
    ),
    "still-refused": _m("a refused holder is taken twice", assigned("projections.taken", "still", "SlotsRow.pk.exists()")),
    "ends-counted": _m("our own ends are not counted", without("_leaving", "SlotsRow.ends.set(...)")),
    "handed-over-above-the-limit": _m(
        "a slot that a lowered limit takes away is handed over",
        expr("_room", "(SlotsRow.limit >= held) & X", "X"),
        without("Slots.passes_on", "len(self.holders) <= self.limit"),
    ),
    "end-only-with-a-claim": _m(
        "an end whose slot nobody can have at once is not recorded",
        before("reconcile._end", "commit(...)", "return Then.REST"),
    ),
    "end-waits-for-the-next": _m(
        "an end is not recorded while something is wrong with whoever would be next",
        expr("hand_over", "Exception", "ZeroDivisionError"),
    ),
    "newcomer-asks-for-all": _m(
        "a newcomer is a reason to ask for a refused job before its time",
        assigned("_serve_next", "tried", "frozenset(skip)"),
    ),
    "job-reloaded": _m("a refused job is created without reading it again", argument("_serve_refused", "submit", 1, "job")),
}  # fmt: skip
