"""The mistakes that the simulation must catch, each of them one that was made, or one guard taken
away.

`R1` and so on are those of the races (docs/simulation.md); `B…` are bugs that the simulation found,
and a number is a seed that found one. How a mistake is written is in `mutation.py`; `hunt.py`
counts the seeds until each is caught.
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
    """`what` is the mistake, in words for the table of docs/simulation.md. `test` is what catches
    it if seeds do not.
    """

    what: str
    changes: tuple[Change, ...]
    test: str = ""


def _m(what: str, *changes: Change, test: str = "") -> Mutant:
    return Mutant(what, changes, test)


RACES = "tests/simulation/test_races.py"

_SECOND_CREATOR = before(
    "reconcile.reconcile",
    "_arm(...)",
    """
from bbq.services.scheduler.attempt import _request
if job.status == CLAIMED:
    world.bedrock.create(_request(world, job))
""",
)

MUTANTS: dict[str, Mutant] = {
    "R1": _m("an invocation that finds a job claimed calls Create", _SECOND_CREATOR),
    "R2": _m(
        "an invocation that finds a claimed job cancelled frees its slot",
        before(
            "reconcile.reconcile",
            "if isinstance(step, Rest): ...",
            """
if job.status == CLAIMED and seen.lease is not None and job.cancel is not None:
    from bbq.services.scheduler.cancel import cancel_claimed
    cancel_claimed(world, job, seen.lease)
    job = _read(world, job_id)
    continue
""",
        ),
    ),
    "R3": _m(
        "two creators, and a refusal frees the slot without the lease",
        _SECOND_CREATOR,
        expr("given_up", "_mine(...)", "SlotsRow.holders[holder].exists()"),
        expr("over_without_bedrock", "_mine(...)", "SlotsRow.pk.exists()"),
    ),
    "R4": _m(
        "after the lease, the attempt goes back to its place without looking its name up",
        instead("take_over", "look_up(...)", "ours, strangers = None, []"),
    ),
    "R5": _m(
        "after the lease, Create is repeated, trusting its token",
        before("take_over", "look_up(...)", "world.bedrock.create(_request(world, job))"),
        instead("take_over", "look_up(...)", "ours, strangers = None, []"),
    ),
    "R6": _m(
        "no answer is taken for a refusal",
        expr(
            "Bedrock.create",
            "Unknown(type(error).__name__)",
            "Refused(THROTTLED, type(error).__name__)",
        ),
    ),
    "R7": _m("holders are named by job", expr("names.holder", "attempt", '"1"')),
    "R8": _m(
        "timers are named by job",
        expr("Timers.arm_attempt", 'f"{job}-{attempt}"', 'f"{job}-1"'),
        expr("Timers.disarm_attempt", 'f"{job}-{attempt}"', 'f"{job}-1"'),
    ),
    "R9": _m("an end is matched by job alone", returned("_about", "report is not None")),
    "R10": _m(
        "a timer is armed again under its own name",
        expr("timers._name", "minute_number(...)", "IT * 0"),
    ),
    "R11": _m(
        "the timer is armed after the claim",
        drop("attempt._claim", "_arm(...)"),
        before("attempt._claim", "note(...)", "_arm(world, job.id, attempt, lease)"),
        instead("reconcile.reconcile", "_arm(...)", "if job.status != CLAIMED:\n    IT"),
    ),
    "R12": _m(
        "a hint that failed does not come back",
        drop("scheduler.handler._on_message", "hide(...)"),
        drop("scheduler.handler._on_message", "raise"),
    ),
    "R13": _m(
        "a stream record that failed is forgotten", drop("on_stream_record", "wake_job(...)")
    ),
    "R14": _m(
        "a fill that loses a race goes home",
        condition("fill._fill", "outcome in X", "IT or outcome is Outcome.LOST"),
    ),
    "R15": _m("a refusal does not hold its model", expr("given_up", "_set_hold(...)", "[]")),
    "R16": _m(
        "a refusal arms no timer for its hold",
        drop("give_up", "arm_hold(...)"),
        drop("_stop_at_hold", "arm_hold(...)"),
    ),
    "R17": _m(
        "an end between the refusal and the giving up is not seen",
        argument("give_up", "refused", "ends", "slots.ends"),
        test=f"{RACES}::test_R17_an_end_between_the_refusal_and_the_giving_up_is_seen",
    ),
    "R18": _m(
        "the limit comes from the environment",
        argument("wake.wake", "reconcile_model", 2, "world.config.models[name].limit"),
        test=f"{RACES}::test_R18_an_invocation_of_the_old_configuration_neither_sets_nor_uses_the_old_limit",
    ),
    "R19": _m(
        "a pause is read, then claimed",
        expr("_room", "And(X, SlotsRow.paused == False)", "X"),
        expr("_begun", "SlotsRow.model_version == slots.model_version", "SlotsRow.pk.exists()"),
        test=f"{RACES}::test_R19_a_pause_between_reading_and_claiming_holds",
    ),
    "R20": _m(
        "slots are rebuilt beside claims",
        drop("repair.rebuild", "_pause(...)"),
        condition("_look_at_slots", "state.model_version", "False"),
        condition("repair._repair", "seen.differences", "not seen.writes"),
        condition("repair._repair", "seen.until", "False"),
        before(
            "rebuilt_slots",
            "unchanged = X",
            "return [Put(p.slots_row(slots), SlotsRow.pk.exists())]",
        ),
        argument("slots_from_events", "replace", "paused", "state.paused"),
    ),
    "R21": _m(
        "an empty map of holders disappears",
        constant("SlotsRow.holders", "MapAttribute(null=True)"),
        argument("slots_row", "SlotsRow", "holders", "IT or None"),
    ),
    "R22": _m(
        "a claim leaves its place in line behind", without("projections.claimed", "_no_place(...)")
    ),
    "R23": _m("on hold only the head of the line is asked for", returned("Hold.place", "0")),
    "R24": _m(
        "a model that refuses is asked each minute",
        returned("next_probe", "grid_due(now, 1)"),
        test=f"{RACES}::test_R24_a_model_that_refuses_is_asked_less_and_less_often",
    ),
    "R25": _m(
        "the loser of an append decides again",
        instead(
            "record_submitted",
            "pause(...)",
            """
from bbq.services.scheduler.cancel import cancel_claimed
seen = world.store.slots(job.model)
if seen and (lease := seen.holders.get(holder(job.id, job.attempt))):
    cancel_claimed(world, world.store.job(job.id), lease)
return False
""",
        ),
    ),
    "R26": _m(
        "a fill gives up after a conflict and leaves no hint",
        constant("store.MAX_TRIES", "1"),
        instead(
            "fill._fill",
            "_serve(...)",
            "try:\n    outcome = IT\nexcept Contended:\n    return None",
        ),
    ),
    "R27": _m(
        "a probe is claimed whatever the limit and the pause say",
        expr(
            "projections.claimed",
            "_room(...)",
            "(SlotsRow.pk.exists() if slots.holds else _room())",
        ),
    ),
    "R28": _m(
        "giving up does not look for a newer event",
        instead("give_up", "pause(...)", "return Outcome.LOST"),
        test=f"{RACES}::test_R28_a_cancel_during_a_second_refusal_is_seen_by_the_owner",
    ),
    "R29": _m(
        "a job that is refused each time, and others are not, is not seen",
        returned("is_its_own", "False"),
        test="tests/unit/test_refusals.py::test_a_job_refused_as_invalid_after_each_of_three_acceptances_fails",
    ),
    "R30": _m(
        "job-submitted does not mark the lease",
        without("projections.submitted", "SlotsRow.holders[holder].set(...)"),
    ),
    "R31": _m(
        "a giving up that was done but looked failed is taken for not done",
        before("give_up", "pause(...)", "world.bedrock.create(_request(world, job))"),
    ),
    "R32": _m(
        "a claimed holder is not rebuilt where its lease is lost",
        before(
            "slots_from_events",
            "_lost_lease(...)",
            "if lease is None and job.status not in RUNNING:\n    continue",
        ),
        test=f"{RACES}::test_R32_a_rebuilt_claimed_holder_is_looked_up_before_anybody_creates",
    ),
    "R33": _m(
        "a Bedrock event for a claimed job is dropped",
        condition("decide.decide", "job.may_be_at_bedrock", "IT and job.status == QUEUED"),
    ),
    "R34": _m(
        "an older reading of the model's events overwrites a newer",
        expr("model_changed", "SlotsRow.model_version < X", "SlotsRow.pk.exists()"),
        test=f"{RACES}::test_R34_an_older_reading_of_the_models_events_changes_nothing",
    ),
    "R35": _m(
        "a timer may be armed for the minute that woke us",
        returned("due.lease_due", "at_minute(minute_number(until) + 1)"),
        test=f"{RACES}::test_R35_timers_that_fire_early_never_break_the_chain",
    ),
    "R36": _m("every newcomer asks a model on hold", returned("Slots.is_open", "self.has_room")),
    "R37": _m(
        "a job that cannot be read stops its model",
        expr("_readable", "UNREADABLE", "ZeroDivisionError"),
        test=f"{RACES}::test_R37_a_head_that_cannot_be_read_is_passed",
    ),
    "R38": _m(
        "an end does not open a hold",
        returned("Hold.is_open", "self.until <= now"),
        test=f"{RACES}::test_R38_a_probe_that_ends_before_its_answer_is_recorded_leaves_no_hold_behind",
    ),
    "R39": _m(
        "the right to probe before the time is carried by a hint",
        instead(
            "reconcile.reconcile",
            "fill(...)",
            """
from bbq.services.scheduler.fill import _stop_at_hold
seen = world.store.slots(job.model)
if seen is not None and any(hold.until > world.now() for hold in seen.holds):
    _stop_at_hold(world, seen)
else:
    IT
""",
        ),
        test=f"{RACES}::test_R39_a_newcomer_asks_if_quota_became_free_while_the_line_was_empty",
    ),
    "R40": _m(
        "a hold's timer is armed under the name that has just woken us",
        returned("due.hold_due", "until"),
        test=f"{RACES}::test_R40_a_timer_that_fires_before_the_hold_is_written_is_followed_by_another",
    ),
    "R41": _m(
        "a change of the model is no reason to ask",
        without("model_changed", "SlotsRow.ends.set(...)"),
        condition("model_changed", "resumed", "False"),
    ),
    "R42": _m(
        "a giving up removes its attempt's timer",
        before(
            "give_up",
            "if outcome is Outcome.OVER: ...",
            "world.timers.disarm_attempt(job.id, job.attempt, lease_due(lease.until, world.now()))",
        ),
        test=f"{RACES}::test_R42_giving_up_removes_no_timer_that_the_next_claim_counts_on",
    ),
    "R43": _m(
        "refusals under one reading of `taken` count each",
        expr("job._changes", "{event.taken}", "{job.version}"),
        expr("give_up", "{before.taken}", "{job.version}"),
    ),
    "R44": _m(
        "probes take the first and the second in line in turn",
        expr("Hold.place", "min(...)", "min(length, 2)"),
    ),
    "R45": _m(
        "an answer that never came holds nothing",
        argument("give_up", "given_up", "hold", "slots.refused if kind == UNANSWERED else IT"),
        test=f"{RACES}::test_R45_a_job_that_is_never_answered_does_not_stop_its_model",
    ),
    "R46": _m("each claim is another attempt", returned("Job.next_attempt", "self.attempt + 1")),
    "R47": _m(
        "a Bedrock event for a waiting job is dropped",
        condition("decide.decide", "job.may_be_at_bedrock", "IT and job.status != QUEUED"),
        test=f"{RACES}::test_R47_an_event_of_a_job_that_waits_again_is_adopted",
    ),
    "R48": _m(
        "a load reads all events",
        condition("load_job", "seen is not None", "False"),
        test=f"{RACES}::test_R24_R48_a_load_reads_no_more_events_after_many_probes_than_after_one",
    ),
    "R49": _m(
        "on hold after failures only the head of the line is tried",
        constant("WALKING", "IT - {FAILING}"),
        test=f"{RACES}::test_R49_R50_three_failures_in_a_row_hold_the_model_and_are_no_reason_to_try_on",
    ),
    "R50": _m(
        "the failure that sets a hold opens it",
        argument("record_end", "failed", "ends", "slots.ends"),
        argument("projections.ended", "failed", "ends", "slots.ends"),
        test=f"{RACES}::test_R49_R50_three_failures_in_a_row_hold_the_model_and_are_no_reason_to_try_on",
    ),
    # Bugs that the simulation found.
    "B1": _m(
        "an expired job whose model is not configured is never queued again",
        condition("decide._ended", "comes_back(...)", "job.model in config.models and IT"),
    ),
    "B2": _m(
        "a report is taken for one about the attempt as it is now",
        expr("decide._at_bedrock", "is_about(...)", "True"),
        test="tests/unit/test_scheduler.py::test_an_end_that_was_about_attempt_one_is_not_taken_for_attempt_two_in_the_same_visit",
    ),
    "B5": _m(
        "an event whose adoption another was faster to record is dropped",
        instead("adopt.adopt", "record_submitted(...)", "if not IT:\n    return False"),
    ),
    "B7": _m(
        "every hour's hint about a job that cannot be read comes back for twelve days",
        condition("on_hint", "not timer", "True"),
        test="tests/handlers/test_scheduler_handler.py::test_hints_about_a_job_that_cannot_be_read_do_not_pile_up",
    ),
    "B8": _m(
        "a name in use is a stranger's if List shows one that had it, even one that ended: back "
        "in line",
        before(
            "claim_and_create",
            "_name_in_use(...)",
            """
ours, strangers = look_up(world, job)
if ours is None and strangers:
    return give_up(world, job, lease, NAME_TAKEN, message, slots)
""",
        ),
        test=f"{RACES}::test_a_name_that_an_ended_stranger_had_says_nothing_while_list_is_behind",
    ),
    "B9": _m(
        "a cancel during an accepted Create is left to the timer where job-submitted was recorded "
        "unheard",
        condition("record_submitted", "tries", "False"),
        test=f"{RACES}::test_a_cancel_is_heeded_where_the_answer_to_job_submitted_was_lost",
    ),
    "B10": _m(
        "a job that others held each time a fill read it is a ghost, though it waits again",
        condition("_serve", "filling.left.get(job_id) == job.version", "job_id in filling.left"),
        test="tests/unit/test_promises.py::test_a_job_that_others_held_each_time_it_was_read_and_that_waits_again_is_no_ghost",
    ),
    "702987": _m(
        "a stranger that has our name fails the job at once",
        before(
            "claim_and_create",
            "_name_in_use(...)",
            """
ours, strangers = look_up(world, job)
if ours is None and strangers:
    end = e.JobEnded(at=world.now(), attempt=job.attempt, status="Failed", message=message, arn=None)
    world.store.commit(projections.over_without_bedrock(job, end, holder(job.id, job.attempt), lease))
    return Outcome.OVER
""",
        ),
    ),
    "703732": _m(
        "a fill comes before the end of a job that an event told of",
        after(
            "adopt.adopt",
            "record_submitted(...)",
            "from bbq.services.scheduler.fill import fill\nfill(world, job.model)",
        ),
        test=f"{RACES}::test_an_adopted_end_is_recorded_before_the_line_is_read",
    ),
    "703734": _m(
        "a fill comes before the end of a job that was taken over",
        after("reconcile._apply", "take_over(...)", "fill(world, job.model)"),
        test=f"{RACES}::test_a_taken_over_end_is_recorded_before_the_line_is_read",
    ),
    "702976": _m(
        "the last refusal of a job that is at fault itself keeps its model on hold",
        expr("over_without_bedrock", "_leaving(...)", "[SlotsRow.holders[holder].remove()]"),
        test=f"{RACES}::test_the_end_of_a_job_that_was_at_fault_itself_lets_a_newcomer_ask_at_once",
    ),
    # Conditions of the transactions.
    "limit-not-exceeded": _m(
        "<= for <", expr("_room", "X < SlotsRow.limit", "X < SlotsRow.limit + 1")
    ),
    "append-only": _m(
        "an event may overwrite another", argument("appends.append", "Put", 1, "None")
    ),
    "view-older": _m("an older reading overwrites the view", without("projected", "as_seen")),
    "take-over-as-read": _m(
        "a lease is taken over whatever became of it",
        argument("taken_over", "Update", 2, "path.exists()"),
        test="tests/unit/test_lookup.py::test_an_owner_that_was_late_but_alive_is_not_taken_over_twice",
    ),
    "release-mine": _m(
        "an attempt is cancelled under another's lease",
        expr("over_without_bedrock", "_mine(...)", "SlotsRow.pk.exists()"),
        test=f"{RACES}::test_whoever_gave_up_without_knowing_it_cancels_nothing_under_the_next_ones_lease",
    ),
    "give-up-mine": _m(
        "a slot is given up by an invocation that lost its lease",
        expr("given_up", "_mine(...)", "SlotsRow.holders[holder].exists()"),
        test=f"{RACES}::test_whoever_lost_its_lease_gives_nothing_up",
    ),
    "slot-given-back": _m(
        "an end leaves the holder in the map",
        without("_leaving", "SlotsRow.holders[holder].remove()"),
    ),
    "ends-counted": _m(
        "our own ends are not counted",
        without("_leaving", "SlotsRow.ends.set(...)"),
        test="tests/unit/test_refusals.py::test_an_end_of_the_model_opens_every_hold",
    ),
    # The hold.
    "probe-counts": _m(
        "the claim of a probe leaves the hold as it was",
        expr("projections.claimed", "probed(...)", "hold"),
    ),
    "hold-as-read": _m(
        "a probe does not look whether another has probed",
        without("projections.claimed", "_holds_as_read(...)"),
        test="tests/unit/test_refusals.py::test_of_two_who_would_probe_at_once_one_does",
    ),
    "hold-as-read-at-refusal": _m(
        "a refusal overwrites a hold that it has not read",
        without("given_up", "_hold_as_read(...)"),
        test="tests/unit/test_refusals.py::test_a_hold_that_another_changed_between_reading_and_writing_is_read_again",
    ),
    "hold-turn-as-read": _m(
        "a probe does not look whether it is another's turn by now",
        without("_hold_as_read", 'path["kind"] == hold.kind'),
        without("_hold_as_read", 'path["message"] == hold.message'),
        test=f"{RACES}::test_a_refusal_between_a_probes_look_and_its_claim_says_whose_turn_it_is",
    ),
    "hold-lifted": _m(
        "a job that Bedrock took leaves the hold",
        without("projections.submitted", "SlotsRow.refused.remove()"),
    ),
    "hold-timer-of-probe": _m(
        "a probe arms no timer for the next one",
        drop("attempt._claim", "arm_hold(...)"),
        drop("_stop_at_hold", "arm_hold(...)"),
        test=f"{RACES}::test_a_probe_that_dies_in_create_leaves_the_models_timer_behind",
    ),
    "taken-counted": _m(
        "what Bedrock took is not counted, so that no job is ever at fault",
        without("projections.submitted", "SlotsRow.taken.set(...)"),
        test="tests/unit/test_refusals.py::test_a_job_refused_as_invalid_after_each_of_three_acceptances_fails",
    ),
    "day-given-back": _m(
        "a refused claim has used up the day's ceiling",
        condition("given_up", "slots.day.date", "False"),
    ),
    "failing-hold": _m(
        "jobs that fail at once hold nothing",
        instead("hold.failed", "if failures < X: ...", "return hold"),
    ),
    "failures-as-read": _m(
        "two failures at once count as one",
        without("projections.ended", "same(...)"),
        test="tests/unit/test_failing.py::test_two_ends_at_once_count_both",
    ),
    "late-failure": _m(
        "a job that is InProgress ends a row of failures although one of them came later than that",
        condition("begun", "slots.failed_late", "not slots.failures"),
        without("begun", "SlotsRow.failed_late.does_not_exist()"),
        test="tests/unit/test_failing.py::test_inprogress_ends_no_row_in_which_one_failed_after_it",
    ),
    "comes-back-all-the-same": _m(
        "a line that cannot be read keeps a failed job from coming back",
        drop("reconcile._refilled", "_arm(...)"),
        test="tests/unit/test_coming_back.py::test_a_line_that_cannot_be_read_keeps_no_failed_job_from_coming_back",
    ),
    "comes-back": _m(
        "a job that failed before a record was processed stays Failed",
        condition("decide._ended", "comes_back(...)", "IT and job.status != 'Failed'"),
    ),
    "too-few-records": _m(
        "a job that Bedrock says has too few records comes back",
        expr("fails_for_its_own_reason", "TOO_FEW_RECORDS in job.reason", "False"),
        test="tests/unit/test_failing.py::test_too_few_records_are_the_jobs_own_reason_at_once_and_do_not_count",
    ),
    # The loop.
    "foreign-ends": _m(
        "others' ends are no reason to ask again",
        condition("reconcile_report", "report.status in ENDS", "False"),
        test="tests/unit/test_refusals.py::test_a_foreign_end_of_a_model_that_cannot_be_told_counts_too",
    ),
    "write-then-look": _m(
        "a newcomer looks for a slot before it is in line",
        condition("reconcile._read", "job.latest", "True"),
        after(
            "reconcile.reconcile",
            "decide(...)",
            """
loaded = world.store.load_job(job_id)
if job.latest in APPENDED_BY_OTHERS and (loaded.seen is None or loaded.seen.version < job.version):
    world.store.commit(projections.projected(loaded.seen, job))
""",
        ),
    ),
    "fill-after-end": _m("an end does not fill", drop("refill", "fill(...)")),
    "fill-when-queued": _m(
        "a newcomer does not look for a slot",
        expr("decide.decide", "Rest(fill=True) if X else Cancel()", "Rest() if X else Cancel()"),
    ),
    "check-in": _m(
        "a running attempt has no timer", expr("decide._at_bedrock", "check_in_due(...)", "None")
    ),
    "fill-after-cut-off": _m(
        "an end whose fill was cut off is not filled by the message that comes back",
        condition("decide._ended", "seen.refilled", "False"),
        test="tests/unit/test_scheduler.py::test_an_end_whose_fill_was_cut_off_is_filled_and_tallied_by_the_same_message",
    ),
    "timer-that-learned": _m(
        "a timer that learns of progress arms no other",
        expr("reconcile._is_armed", "visit.report is not None", "True"),
        test="tests/unit/test_scheduler.py::test_a_timer_that_learns_of_progress_arms_the_next_one",
    ),
    "ask-on-timer": _m("a timer does not ask Bedrock", expr("_gathered", "visit.look", "False")),
    "look-up-first": _m(
        "an attempt that was never answered is created again without looking its name up",
        condition("claim_and_create", "job.unanswered", "False"),
        test=f"{RACES}::test_R46_an_unanswered_attempt_keeps_its_name_and_is_looked_up_before_it_is_created_again",
    ),
    "look-up-error": _m(
        "an error of List is taken for not found",
        instead(
            "Bedrock.named",
            "arns = X",
            "try:\n    arns = X\nexcept (ClientError, BotoCoreError):\n    return []",
        ),
        test="tests/unit/test_bedrock_answers.py::test_a_look_up_that_fails_is_not_a_job_that_is_not_there",
    ),
    "look-up-behind": _m(
        "a job that List shows and Get does not know yet is taken for none",
        returned(
            "Bedrock.named", "[found for arn in arns if (found := self.get(arn)) is not None]"
        ),
    ),
    "event-ahead-of-get": _m(
        "an event of a job that Get does not know yet is taken for forged",
        drop("adopt.adopt", "bedrock.KNOWN_WITHIN"),
    ),
    "end-ahead-of-get": _m(
        "an end of a job that Get does not know yet says that something was bought",
        drop("adopt.asked", "bedrock.KNOWN_WITHIN"),
    ),
    "all-pages": _m(
        "only the first page of List is read",
        expr("Bedrock.named", "pages", "list(pages)[:1]"),
        test="tests/unit/test_bedrock_answers.py::test_a_look_up_reads_every_page_and_asks_get_for_each_of_exactly_this_name",
    ),
    "token-proves": _m(
        "a job of our name is adopted without our token",
        condition("adopt.look_up", "each.token == name", "True"),
    ),
    "get-confirms": _m(
        "an event's name is believed without Get",
        expr("adopt.adopt", "found is None or not is_ours(...)", "found is None"),
    ),
    "conflict-is-permanent": _m(
        "a name in use is a refusal",
        expr("bedrock.meaning", "NameInUse(...)", "Refused(INVALID, message)"),
    ),
    "5xx-is-refusal": _m(
        "a 5xx is taken for a refusal",
        constant("bedrock.REFUSED", '{**IT, "InternalServerException": THROTTLED}'),
    ),
    "same-token": _m(
        "each Create has a token of its own",
        argument(
            "Bedrock.create", "create_model_invocation_job", "clientRequestToken", 'IT + "-x"'
        ),
    ),
    "cancel-carried-out": _m(
        "a cancel during an accepted Create is left to the timer",
        drop("record_submitted", "if job.cancel is not None: ..."),
        test="tests/unit/test_scheduler.py::test_a_cancel_during_an_accepted_create_is_carried_out",
    ),
    "cancel-unanswered": _m(
        "a waiting job that was never answered is cancelled without looking its name up",
        condition("cancel_waiting", "job.unanswered", "False"),
        test=f"{RACES}::test_a_cancel_of_an_unanswered_job_that_bedrock_has_stops_it",
    ),
    "stop": _m(
        "a cancel of a running job stops nothing",
        condition("decide._at_bedrock", "seen.stopped", "False"),
        test=f"{RACES}::test_R25_the_loser_of_an_append_records_the_answer_all_the_same",
    ),
    "tally-once": _m(
        "an ended job is tallied with every hint",
        condition("decide._ended", "job.tally is not None", "IT and job.version >= 12"),
    ),
    "retry-policy": _m(
        "an expired job is queued again, also if something was bought",
        condition(
            "may_come_back",
            "job.arn is None",
            'job.status not in {"Failed", "Expired"} or job.arn is None',
        ),
        condition("may_come_back", "job.tally is not None", "False"),
    ),
    "counts-behind": _m(
        "what Get said at the end is believed, although its counts lag",
        condition("comes_back", "job.tally is None", "not may_come_back(job)"),
    ),
    "counts-too-soon": _m(
        "a job is tallied at once, although Get's counts lag",
        condition("decide._ended", "may_come_back(...)", "False"),
        test="tests/unit/test_promises.py::test_counts_of_an_expired_job_that_come_late_keep_it_from_being_bought_again",
    ),
    "rank": _m("a status may fall back", returned("job.news", "status != job.status")),
    "order": _m("the line is ordered by id", assigned("place_row", "sk", 'f"{priority}#{job.id}"')),
    "priority": _m(
        "the line knows no priority",
        assigned("place_row", "sk", 'f"{text_of(job.line_at)}#{job.id}"'),
    ),
    "old-places": _m(
        "a job that leaves the line leaves only the place of its newest priority",
        expr("_no_place", "sorted(...)", "[job.priority]"),
    ),
    "moved-in-line": _m(
        "a changed priority leaves the old place behind",
        expr("projections._line", "sorted(...)", "[]"),
    ),
    "counted-from-view": _m(
        "what an operator appended is counted as if the job were new",
        argument("projected", "moved", 0, "None"),
    ),
    "counted-once": _m(
        "a claim is not counted", expr("counts.moved", "(before, -1)", "(None, -1)")
    ),
    "lowered-limit": _m(
        "a lowered limit is not set",
        expr("_new_limit", "(state.limit, state.ceiling) == X", "state.limit <= limit"),
    ),
    "lease-long-enough": _m(
        "a lease is shorter than its owner lives", returned("Config.lease", "CREATE_TIMEOUT")
    ),
    "ceiling-is-a-condition": _m(
        "the ceiling is read, then used",
        drop("_begun", "SlotsRow.day_jobs < X"),
        drop("_begun", "SlotsRow.day_records < X"),
        test="tests/unit/test_ceiling.py::test_two_who_claim_at_once_do_not_pass_it_together",
    ),
    "ceiling-as-read": _m(
        "a claim passes a ceiling that was lowered since it was read",
        expr("_begun", "SlotsRow.model_version == slots.model_version", "SlotsRow.pk.exists()"),
        test="tests/contract/test_tables.py::test_a_ceiling_that_was_lowered_meanwhile_holds[memory-jobs]",
    ),
    "ceiling-in-the-slots": _m(
        "an invocation goes by the ceiling that it was deployed with",
        expr("may_begin", "slots.ceiling", "world.config.models[slots.model].ceiling"),
        test="tests/unit/test_ceiling.py::test_an_invocation_with_the_configuration_before_reads_the_raised_ceiling",
    ),
    "parked-is-woken": _m(
        "a line that has reached its ceiling has no timer", drop("ceiling.park", "arm_model(...)")
    ),
    "day-goes-on": _m(
        "an invocation with a slow clock begins yesterday again",
        expr("Day.at", "date <= self.date", "date == self.date"),
        expr("_begun", "SlotsRow.day.does_not_exist() | X", "SlotsRow.pk.exists()"),
    ),
    "view-is-an-event": _m(
        "a view that is ahead of its events is believed",
        condition("load_job", "last", "True"),
        test="tests/unit/test_load.py::test_a_view_that_is_ahead_of_its_events_is_not_believed",
    ),
    # The edges.
    "batch-failures": _m(
        "a failed message is reported done", drop("partial_failures", "append(...)")
    ),
    "stream-unblocked": _m(
        "a record that cannot be handled blocks its shard",
        instead("on_stream_record", "wake_job(...)", "raise"),
    ),
    "upcast": _m("an old event is not lifted", expr("from_stored", "UPCASTS[X, Y](data)", "data")),
    "unknown-event": _m(
        "an event of newer code is read as if it were ours",
        before(
            "from_stored",
            "cls is None",
            "if cls is None:\n    from bbq.shared.plain import moment_of\n    return JobCancelled(at=moment_of(at))",
        ),
        test="tests/unit/test_events.py::test_an_unknown_name_or_a_newer_version_is_said_to_be_unknown",
    ),
    "hostile-hint": _m(
        "what is not JSON raises",
        expr("hints.parse", "(ValueError, RecursionError)", "ZeroDivisionError"),
    ),
    "key-decoding": _m(
        "keys are taken as they are in the notification",
        expr("uploads._read", "unquote_plus(X)", "X"),
    ),
    "upload-identity": _m(
        "every notification is an upload of its own",
        expr(
            "take_in", "job_id(...)", 'job_id(upload.bucket, upload.key, "", str(world.now()), "")'
        ),
    ),
    "version-read": _m(
        "the newest version is read, not the one announced", returned("objects._version", "{}")
    ),
    "staged-first": _m(
        "a job is queued before its input is staged", drop("intake._decide", "copy(...)")
    ),
    "intake-failures": _m(
        "an upload that could not be taken in is reported done",
        drop("take_in_message", "failures[0]"),
    ),
    "lost-upload": _m(
        "an upload that is gone is tried for ever",
        expr("intake._decide", "Lost", "ZeroDivisionError"),
    ),
    # What is repaired.
    "rebuild-resumes": _m(
        "a rebuild resumes what a person has paused",
        expr("_is_own_pause", "X == {REBUILDING}", "bool(X)"),
        test="tests/unit/test_repair.py::test_a_model_that_a_person_has_paused_stays_paused",
    ),
    "rebuild-again": _m(
        "a rebuild does not know the pauses of one that was killed",
        drop("repair._pause", "_is_own_pause(...)"),
        test="tests/unit/test_repair.py::test_a_job_whose_repair_was_the_last_act_of_a_killed_run_is_woken_by_the_next",
    ),
    "rebuild-newer": _m(
        "a view is rebuilt beside an event that was not read",
        without("rebuilt_view", "_no_newer(...)"),
        test="tests/unit/test_repair.py::test_an_event_that_comes_beside_the_repair_of_a_view_is_not_overwritten",
    ),
    "rebuild-opened": _m(
        "slots are rebuilt from jobs that were read before a resume",
        condition("_look_at_slots", "state.model_version", "False"),
        test="tests/unit/test_repair.py::test_r20_r34_slots_that_were_opened_during_the_walk_are_left_for_another_run",
    ),
    "rebuild-counts": _m(
        "a row of counts is written although it counted something since the walk began",
        condition("_look_at_count", "changes(row) != X", "False"),
        test="tests/unit/test_repair.py::test_uploads_beside_a_rebuild_are_kept_and_their_counts_left_to_a_quiet_minute",
    ),
    # What is published.
    "publish-later": _m(
        "what SNS did not take is forgotten", drop("publish_record", "publish_later(...)")
    ),
    "publish-last": _m(
        "a batch is published before its jobs are looked at",
        drop("act_on", "publish_record(...)"),
        before(
            "act_on",
            "on_stream_record(...)",
            "published = partial_failures(records, lambda record: publish_record(world, record))",
        ),
        test="tests/handlers/test_publishing.py::test_all_jobs_of_a_batch_are_looked_at_before_the_first_message",
    ),
    "publish-ours": _m(
        "a hint publishes whatever event it names",
        condition("_publish_stored", "row is None", "row is None"),
        test="tests/handlers/test_publishing.py::test_a_forged_hint_changes_nothing_and_publishes_nothing",
    ),
    "publish-rest": _m(
        "a topic that hangs is called each time",
        condition("Topic.publish", "self._rests_until", "False"),
        test="tests/handlers/test_publishing.py::test_a_topic_that_hangs_is_left_alone_for_a_minute_and_one_that_refuses_is_not",
    ),
}
