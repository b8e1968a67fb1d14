"""Mistakes, each put back into the production code by a few words: the simulation must catch every one.

`R1` to `R37` are those of the races (DECISIONS.md); `B…` are bugs that the simulation itself found; the others take one guard
away. `python -m tests.simulation.mutants` runs them all and writes the table in `docs/simulation.md`.
"""

import argparse
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass

from tests.simulation.mutation import ROOT

SEEDS = 2000  # within so many, each must be caught
DOCS = ROOT / "docs" / "simulation.md"

ATTEMPT, FILL, RECONCILE = (f"services/scheduler/{name}.py" for name in ("attempt", "fill", "reconcile"))
HANDLER, HINTS, TIMERS, BEDROCK = (f"services/scheduler/{name}.py" for name in ("handler", "hints", "timers", "bedrock"))
PROJECTIONS, SLOTS, JOB, EVENTS, NAMES, TABLES = (
    f"shared/{name}.py" for name in ("projections", "slots", "job", "events", "names", "tables")
)
INTAKE, UPLOADS, OBJECTS, INTAKE_HANDLER = (f"services/intake/{name}.py" for name in ("intake", "uploads", "objects", "handler"))
BATCH, COUNTS = "shared/batch.py", "shared/counts.py"
CEILING = "services/scheduler/ceiling.py"
REBUILD, REPAIR = "shared/rebuild.py", "cli/repair.py"


@dataclass(frozen=True)
class Mutant:
    """`what` is the mistake; each change is (file, old text that occurs once, new text)."""

    what: str
    changes: tuple[tuple[str, str, str], ...]


def _m(what: str, *changes: tuple[str, str, str]) -> Mutant:
    return Mutant(what, changes)


_SECOND_CREATOR = (
    RECONCILE,
    "    if lease.until > world.now():\n",
    "    if lease.until > world.now():\n        from services.scheduler.attempt import submit\n\n"
    "        known = world.store.slots(job.model)\n"
    "        submit(world, None, holder(job.id, job.attempt), lease, known.ends if known else 0)\n",
)

MUTANTS: dict[str, Mutant] = {
    "R1": _m("whoever finds a job claimed calls Create", _SECOND_CREATOR),
    "R2": _m(
        "whoever finds a claimed job cancelled frees its slot",
        (RECONCILE, "    if lease is not None and not lease.submitted:\n", "    if lease is not None and not lease.submitted and job.cancel is None:\n"),
        (RECONCILE, "    if refusal is None:\n        return Then.READ  #", "    if refusal is None and job.cancel is None:\n        return Then.READ  #"),
        (ATTEMPT, "lease=lease, refused=lease is None))", "lease=lease))"),
    ),
    "R3": _m(
        "two creators, and a permanent refusal frees the slot without the lease",
        _SECOND_CREATOR,
        (ATTEMPT, "            fail(world, job.id, job.attempt, message, lease=lease)\n            return Outcome.OVER\n        case bedrock.NameInUse",
         "            fail(world, job.id, job.attempt, message, lease=None)\n            return Outcome.OVER\n        case bedrock.NameInUse"),
        (ATTEMPT, "lease=lease, refused=lease is None))", "lease=lease))"),
    ),
    "R4": _m(
        "after the lease, the attempt is created again without looking its name up",
        (ATTEMPT, "    ours, strangers = _look_up(world, attempt_name(world.config.deployment, job.id, job.attempt))\n    if ours is not None:\n        return record",
         "    ours, strangers = None, []\n    if ours is not None:\n        return record"),
    ),
    "R5": _m(
        "after the lease, Create is repeated, trusting its token",
        (ATTEMPT, "    ours, strangers = _look_up(world, attempt_name(world.config.deployment, job.id, job.attempt))\n    if ours is not None:\n        return record",
         "    known = world.store.slots(job.model)\n    if job.model in world.config.models:\n        submit(world, None, whose, lease, known.ends if known else 0)\n    ours, strangers = None, []\n    if ours is not None:\n        return record"),
    ),
    "R6": _m(
        "no answer is taken for a refusal",
        (BEDROCK, "            return Unknown(type(error).__name__)", '            return Refused("throttle", type(error).__name__)'),
    ),
    "R7": _m("holders are named by job", (NAMES, '    return f"{job}#{attempt}"', '    return f"{job}#1"')),
    "R8": _m(
        "timers are named by job",
        (TIMERS, '        self._arm(_name(f"{job}-{attempt}", due), due', '        self._arm(_name(f"{job}-1", due), due'),
        (TIMERS, 'Name=_name(f"{job}-{attempt}", due))', 'Name=_name(f"{job}-1", due))'),
    ),
    "R9": _m(
        "an end is matched by job alone",
        (RECONCILE, "    return report is not None and report.attempt == job.attempt and report.arn == job.arn\n", "    return report is not None\n"),
    ),
    "R10": _m(
        "a timer is armed again under its own name",
        (TIMERS, '    return f"{whose}-{minute_number(due)}"', '    return f"{whose}-{minute_number(due) * 0}"'),
    ),
    "R11": _m(
        "the timer is armed after the claim",
        (FILL, "    arm_for(world, job.id, attempt, lease)\n    event = e.SlotClaimed(", "    event = e.SlotClaimed("),
        (FILL, '    world.note("SlotClaimed", job=job.id', '    arm_for(world, job.id, event.attempt, claim.lease)\n    world.note("SlotClaimed", job=job.id'),
        (RECONCILE, "        world.timers.arm_attempt(job.id, job.attempt, lease_due(lease.until, world.now()))\n", ""),
    ),
    "R12": _m(
        "a hint that failed does not come back",
        (HANDLER, "        world.outbox.hide(record[\"receiptHandle\"], retry_seconds(receives, LONGEST_RETRY_SECONDS))\n        raise\n", ""),
    ),
    "R13": _m(
        "a stream record that failed is forgotten",
        (HANDLER, "        world.outbox.wake_job(name) if kind == \"job\" else world.outbox.wake_model(name)\n", ""),
    ),
    "R14": _m(
        "a fill that loses a race goes home",
        (FILL, "        _wait_or_give_up(world, alias, filling.lost)\n", "        return False\n"),
    ),
    "R15": _m(
        "a refusal's own stream record is a reason to ask Bedrock again",
        (RECONCILE, "        world.timers.arm_model(job.model, refusal.retry_at)\n    fill(world, job.model, probe=False)\n    return Then.REST\n",
         "        world.timers.arm_model(job.model, refusal.retry_at)\n    fill(world, job.model, probe=True)\n    return Then.REST\n"),
        (ATTEMPT, "    if kind not in job.refusals:", "    if True:"),
    ),
    "R16": _m(
        "a refusal does not arm the model's timer",
        (ATTEMPT, "    world.timers.arm_model(job.model, refusal.retry_at)\n", ""),
        (RECONCILE, "    if refusal.retry_at > world.now():\n        world.timers.arm_model(job.model, refusal.retry_at)\n", ""),
    ),
    "R17": _m("an end between the refusal and the giving up is not seen", (PROJECTIONS, "    if ends is not None:\n", "    if False:\n")),
    "R18": _m(
        "the limit comes from the environment",
        (RECONCILE, "reconcile_model(world, name, (limits or {}).get(name))", "reconcile_model(world, name, world.config.models[name].limit)"),
    ),
    "R19": _m(
        "a pause is read, then claimed",
        (PROJECTIONS, "    return And(SlotsRow.pk.exists() & room, SlotsRow.paused == False)", "    return SlotsRow.pk.exists() & room"),
    ),
    "R20": _m(
        "slots are rebuilt beside claims",
        (REPAIR, "    if not model.state.paused:\n        return _slots_left(alias, f\"model {alias} is not paused", "    if False:\n        return _slots_left(alias, f\"model {alias} is not paused"),
        (REPAIR, "    if not row.paused:\n        desk.store.commit(projections.paused_again(row, model.state))\n    if not row.paused or met", "    if False and met"),
        (PROJECTIONS, "    unchanged: Condition = SlotsRow.paused == True", "    return [Put(slots_row(slots), SlotsRow.pk.exists())]\n    unchanged: Condition = SlotsRow.paused == True"),
        (REBUILD, "    return replace(state, paused=True, ends", "    return replace(state, ends"),
        (REPAIR, "        if not model.differences:\n            return False\n        try:\n            left", "        try:\n            left"),
        (REPAIR, "    if until is not None and until + CLOCK_MARGIN > desk.now():", "    if False:"),
    ),
    "R21": _m(
        "an empty map of holders disappears",
        (TABLES, "    holders: MapAttribute[str, Any] = MapAttribute()", "    holders: MapAttribute[str, Any] = MapAttribute(null=True)"),
        (PROJECTIONS, "ends=slots.ends, holders={h: _lease_map(lease) for h, lease in slots.holders.items()},",
         "ends=slots.ends, holders={h: _lease_map(lease) for h, lease in slots.holders.items()} or None,"),
    ),
    "R22": _m("a claim leaves its place in line behind", (PROJECTIONS, "    writes = [*appended(before, event, _known_to_wait(before)), *_no_place(before)]", "    writes = appended(before, event, _known_to_wait(before))")),
    "R23": _m(
        "one refused job stops its model",
        (FILL, "    elif outcome is Outcome.REFUSED and filling.suspect is None and", "    elif False and"),
    ),
    "R24": _m("every refused probe is an event", (ATTEMPT, "    if kind not in job.refusals:", "    if True:")),
    "R25": _m(
        "the loser of an append decides afresh",
        (ATTEMPT, "            world.store.commit(projections.submitted(job, event, holder(job.id, job.attempt)))\n        except ConditionFailed:\n            world.store.pause(tries)\n            job = world.store.job(known.id)\n            continue\n",
         "            world.store.commit(projections.submitted(job, event, holder(job.id, job.attempt)))\n        except ConditionFailed:\n            seen = world.store.slots(job.model)\n            if seen and (lease := seen.holders.get(holder(job.id, job.attempt))):\n                _cancel(world, job.id, job.attempt, lease)\n            return False\n"),
        (ATTEMPT, "        if _release(world, job, e.JobCancelled(at=world.now()), lease):", "        if job.cancel is not None and _release(world, job, e.JobCancelled(at=world.now()), lease):"),
    ),
    "R26": _m(
        "a fill gives up after a conflict and leaves no hint",
        ("shared/store.py", "MAX_TRIES = 10", "MAX_TRIES = 1"),
        (FILL, "            served = _serve_next(world, slots, filling, probe=probe) if slots is not None else None\n",
         "            try:\n                served = _serve_next(world, slots, filling, probe=probe) if slots is not None else None\n            except Contended:\n                return None\n"),
    ),
    "R27": _m(
        "a refused holder is taken whatever the limit and the pause say",
        (PROJECTIONS, "    return [Update(_slots_key(model), actions, _room() & still)]", "    return [Update(_slots_key(model), actions, still)]"),
    ),
    "R28": _m(
        "giving up does not look for a newer event",
        (PROJECTIONS, "    return [Check(next_event, EventRow.stream.does_not_exist()), update]", "    return [update]"),
    ),
    "R29": _m(
        "beside two refused jobs nobody else is tried",
        (FILL, "slots.oldest_refused(tried) if beside is None else slots.least_refused(tried)", "slots.oldest_refused(tried)"),
        (FILL, "    suspicious = beside is not None and whose is not None and slots.refused[whose].count >= slots.suspect_from\n", "    suspicious = False\n"),
    ),
    "R30": _m("job-submitted does not mark the lease", (PROJECTIONS, "        SlotsRow.holders[holder].set(_lease_map(AT_BEDROCK)), SlotsRow.refused", "        SlotsRow.refused")),
    "R31": _m(
        "a failed giving up is taken for not done",
        (ATTEMPT, "        if slots is None or whose in slots.refused:\n            return Outcome.REFUSED\n        if slots.holders.get(whose) != lease:\n            return Outcome.LOST\n        ends, job",
         "        ends, job"),
    ),
    "R32": _m(
        "a claimed holder is rebuilt as refused: given up",
        (REBUILD, "        else:\n            kept = lease if lease is not None and not lease.submitted else _lost_lease(job, refusal, longest_lease, now)\n            holders[whose]",
         "        elif lease is None and job.status not in RUNNING:\n            refused[whose] = refusal or Refusal(kind=\"unknown\", since=now, retry_at=now)\n        else:\n            kept = lease if lease is not None and not lease.submitted else _lost_lease(job, refusal, longest_lease, now)\n            holders[whose]"),
    ),
    "R33": _m(
        "a Bedrock event for a claimed job is dropped",
        (RECONCILE, "    if visit.report is not None and visit.report.attempt == job.attempt and _adopt(", "    if False and _adopt("),
    ),
    "R34": _m(
        "an older reading of the model's events overwrites a newer",
        (PROJECTIONS, "    return [Update(_slots_key(changed.model), actions, SlotsRow.model_version < changed.model_version)]",
         "    return [Update(_slots_key(changed.model), actions, SlotsRow.pk.exists())]"),
    ),
    "R35": _m(
        "a timer may be armed for the minute that woke us",
        (HANDLER, "                world.timers.arm_attempt(job, attempt, again)\n", "                pass\n"),
    ),
    "R36": _m("every newcomer asks a full Bedrock again", (FILL, "(not probe and not filling.taking and slots.held_back(world.now()))", "False")),
    "R37": _m("a job that cannot be read stops its model", (FILL, "    except UNREADABLE:\n", "    except ZeroDivisionError:\n")),
    # Bugs that the simulation found.
    "B1": _m(
        "an expired job whose model is not configured is never queued again",
        (RECONCILE, "    if may_retry(job, model.max_attempts if model is not None else MAX_ATTEMPTS):", "    if model is not None and may_retry(job, model.max_attempts):"),
    ),
    "B2": _m(
        "what a report is about is remembered across attempts",
        (RECONCILE, "    if visit.report is not None and _about(visit.report, job):", "    if visit.report is not None and visit.matched:"),
    ),
    "B3": _m(
        "a timer that fires early leaves one behind only if its attempt needs it",
        (HANDLER, "                world.timers.arm_attempt(job, attempt, again)\n", "                visit.due = due\n"),
        (HANDLER, "        case hints.JobHint(job=job, attempt=attempt, due=due):\n", "        case hints.JobHint(job=job, attempt=attempt, due=due):\n            visit = Visit(look=True)\n"),
        (HANDLER, "                reconcile(world, job, Visit(look=True, timer=due is not None))\n", "                reconcile(world, job, visit)\n"),
        (RECONCILE, "    matched: bool = False\n", "    matched: bool = False\n    due: object = None\n"),
        (RECONCILE, "        return _leased(world, job, lease)\n", "        return _leased(world, job, lease, visit)\n"),
        (RECONCILE, "def _leased(world: World, job: Job, lease: Lease) -> Next:\n", "def _leased(world: World, job: Job, lease: Lease, visit: Visit) -> Next:\n"),
        (RECONCILE, "        world.timers.arm_attempt(job.id, job.attempt, lease_due(lease.until, world.now()))\n",
         "        due = lease_due(lease.until, world.now())\n        world.timers.arm_attempt(job.id, job.attempt, max(due, at_minute(minute_number(visit.due) + 1)) if visit.due else due)\n"),
    ),
    "B4": _m(
        "a model's timer that fires early leaves none behind",
        (HANDLER, "                world.timers.arm_model(alias, again)\n", "                pass\n"),
    ),
    "B5": _m(
        "an event whose adoption another was faster to record is dropped",
        (RECONCILE, "    record_submitted(world, job, report.arn, found=True)\n    return True\n",
         "    return record_submitted(world, job, report.arn, found=True)\n"),
    ),
    "B6": _m(
        "a fill ends with the second probe, even when it is taken",
        (FILL, "        _passed(world, alias, filling.suspect)\n        filling.suspect = None\n", "        _passed(world, alias, filling.suspect)\n        return False\n"),
    ),
    "B7": _m(
        "every hour's hint about a job that cannot be read comes back for twelve days",
        (HANDLER, "                if attempt or due is None:\n", "                if True:\n"),
    ),
    "B8": _m(
        "a name that is in use is a stranger's wherever List shows one who had it, even if he ended",
        (ATTEMPT, "    if any(job.status not in ENDS for job in strangers):", "    if strangers:"),
    ),
    "B9": _m(
        "a cancel during an accepted Create is left to the timer where job-submitted was recorded unheard",
        (ATTEMPT, "            if tries and job is not None and job.cancel is not None:", "            if False:"),
    ),
    "B10": _m(
        "a fill whose job was taken leaves the free slots to a timer, where another's was refused meanwhile",
        (FILL, "    filling.taking = filling.taking or outcome is Outcome.ACCEPTED\n", ""),
    ),
    # Conditions of the transactions.
    "limit-not-exceeded": _m("<= for <", (PROJECTIONS, "held < SlotsRow.limit if left is None", "held < SlotsRow.limit + 1 if left is None")),
    "append-only": _m(
        "an event may overwrite another",
        (PROJECTIONS, "    return Put(row, EventRow.stream.does_not_exist())", "    return Put(row, None)"),
    ),
    "view-older": _m(
        "an older reading overwrites the view",
        (PROJECTIONS, "    return [Put(view_row(job), as_seen), *_line(job), *moved(seen, job)]", "    return [Put(view_row(job)), *_line(job), *moved(seen, job)]"),
    ),
    "take-over-as-read": _m(
        "a lease is taken over whatever became of it",
        (PROJECTIONS, "    return [Update(_slots_key(model), [path.set(_lease_map(new))], same)]\n\n\ndef submitted",
         "    return [Update(_slots_key(model), [path.set(_lease_map(new))], path.exists())]\n\n\ndef submitted"),
    ),
    "give-up-mine": _m(
        "a slot is given up by whoever was refused",
        (PROJECTIONS, "    condition = _mine(holder, lease)\n    if ends", "    condition = SlotsRow.holders[holder].exists()\n    if ends"),
    ),
    "release-mine": _m(
        "an attempt is ended under somebody else's lease",
        (PROJECTIONS, "    if lease is not None:\n        condition &= _mine(holder, lease)\n", ""),
    ),
    "release-refused": _m(
        "a refused job is cancelled although it was taken meanwhile",
        (PROJECTIONS, "    if refused:\n        condition &= SlotsRow.refused[holder].exists()\n", ""),
    ),
    "still-refused": _m(
        "a refused holder is taken twice",
        (PROJECTIONS, "    still = SlotsRow.refused[holder].exists() & SlotsRow.holders[holder].does_not_exist()", "    still = SlotsRow.pk.exists()"),
    ),
    "ends-counted": _m(
        "our own ends are not counted",
        (PROJECTIONS, "SlotsRow.refused[holder].remove(), SlotsRow.ends.set(SlotsRow.ends + 1)]", "SlotsRow.refused[holder].remove()]"),
    ),
    "foreign-ends": _m(
        "others' ends are no reason to ask again",
        (RECONCILE, "    if not visit.matched and report.status in ENDS:\n", "    if False:\n"),
    ),
    "slot-given-back": _m(
        "an end leaves the holder in the map",
        (PROJECTIONS, "    return [SlotsRow.holders[holder].remove(), SlotsRow.refused[holder].remove(), SlotsRow.ends", "    return [SlotsRow.refused[holder].remove(), SlotsRow.ends"),
    ),
    # The loop.
    "write-then-look": _m(
        "a newcomer looks for a slot before he is in line",
        (RECONCILE, "    if job is not None and job.latest in APPENDED_BY_OTHERS:\n        _project(world, job, events)\n    return job\n", "    return job\n"),
        (RECONCILE, "        after = _step(world, job, visit)\n",
         "        after = _step(world, job, visit)\n        if job.latest in APPENDED_BY_OTHERS:\n            events = [recorded.event for recorded in world.store.load(job_stream(job_id))]\n            _project(world, job, events[: job.version])\n"),
    ),
    "fill-after-end": _m("an end does not fill", (RECONCILE, "    fill(world, job.model, probe=True, freed_at=ended_at, claim=claim)\n", "")),
    "fill-when-queued": _m("a newcomer does not look for a slot", (RECONCILE, "        fill(world, job.model, probe=False)\n        return Then.REST\n    if job.status in LEASED:", "        return Then.REST\n    if job.status in LEASED:")),
    "check-in": _m("a running attempt has no timer", (RECONCILE, "        world.timers.arm_attempt(job.id, job.attempt, due)\n", "        pass\n")),
    "handed-over-above-the-limit": _m(
        "a slot that a lowered limit takes away is handed over",
        (PROJECTIONS, "(SlotsRow.limit >= held) & SlotsRow.holders[left].exists()", "SlotsRow.holders[left].exists()"),
        (SLOTS, " and len(self.holders) <= self.limit", ""),
    ),
    "end-only-with-a-claim": _m(
        "an end whose slot nobody can have at once is not recorded",
        (RECONCILE, "    if claim is None:\n        try:\n", "    if claim is None:\n        return Then.REST\n        try:\n"),
    ),
    "other-alias-untold": _m(
        "an end is not told to the other aliases of its model",
        (RECONCILE, "        _tell(world, sharers)\n", ""),
    ),
    "end-waits-for-the-next": _m(
        "an end is not recorded while something is wrong with whoever would be next",
        (FILL, "    except Exception as error:  # noqa: BLE001 - the fill after the end meets it again, and lets it rise\n", "    except ZeroDivisionError as error:\n"),
    ),
    "fill-after-cut-off": _m(
        "an end whose fill was cut off is not filled by the message that comes back",
        (RECONCILE, "    if job.tally is None and visit.refilled != job.attempt:\n", "    if False:\n"),
    ),
    "newcomer-asks-for-all": _m(
        "a newcomer is a reason to ask for a refused job before its time",
        (FILL, "    tried = frozenset(skip) if probe else slots.not_due(world.now()) | skip\n", "    tried = frozenset(skip)\n"),
    ),
    "timer-that-learned": _m(
        "a timer that learns of progress arms no other",
        (RECONCILE, "    visit.kept = visit.report is not None and job.status != SUBMITTED\n", "    visit.kept = job.status != SUBMITTED\n"),
    ),
    "ask-on-timer": _m("a timer does not ask Bedrock", (RECONCILE, "    if visit.look and job.arn is not None:", "    if False:")),
    "look-up-error": _m(
        "an error of List is taken for not found",
        (BEDROCK, "        return [_found(job) for page in pages for job in page.get(\"invocationJobSummaries\", []) if job.get(\"jobName\") == name]",
         "        try:\n            return [_found(job) for page in pages for job in page.get(\"invocationJobSummaries\", []) if job.get(\"jobName\") == name]\n        except (ClientError, BotoCoreError):\n            return []"),
    ),
    "all-pages": _m(
        "only the first page of List is read",
        (BEDROCK, "for page in pages for job in page.get(", "for page in list(pages)[:1] for job in page.get("),
    ),
    "token-proves": _m(
        "a job of our name is adopted whosever it is",
        (ATTEMPT, "    ours = next((job.arn for job in found if job.token == name), None)", "    ours = next((job.arn for job in found), None)"),
    ),
    "get-confirms": _m(
        "an event's name is believed without Get",
        (RECONCILE, "    if found is None or found.token != name or found.name != name:", "    if found is None:"),
    ),
    "conflict-is-permanent": _m(
        "a name in use is a permanent refusal",
        (BEDROCK, "    if code == \"ConflictException\" or NAME_IN_USE in message:\n        return NameInUse(message)\n", "    if code == \"ConflictException\" or NAME_IN_USE in message:\n        return Invalid(message)\n"),
    ),
    "5xx-is-refusal": _m("a 5xx is taken for a refusal", (BEDROCK, "    \"ExpiredTokenException\": \"access\",\n", "    \"ExpiredTokenException\": \"access\",\n    \"InternalServerException\": \"throttle\",\n")),
    "same-token": _m("each Create has a token of its own", (BEDROCK, "clientRequestToken=request.name,", "clientRequestToken=request.name + \"-x\",")),
    "job-reloaded": _m(
        "a refused job is created without reading it again",
        (FILL, "    return submit(world, None, whose, lease, slots.ends)\n", "    return submit(world, job, whose, lease, slots.ends)\n"),
    ),
    "cancel-carried-out": _m(
        "a cancel during an accepted Create is left to the timer",
        (ATTEMPT, "        if job.cancel is not None:  # its own hint met our lease and left\n            world.outbox.wake_job(job.id)\n", ""),
    ),
    "stop": _m("a cancel of a running job stops nothing", (RECONCILE, "    if job.cancel is not None and job.status != \"Stopping\" and (after := _stop(world, job, visit)) is not Then.REST:\n        return after\n", "")),
    "tally-once": _m("an ended job is tallied with every hint", (RECONCILE, "    if job.tally is None:\n", "    if job.tally is None or job.version < 12:\n")),
    "retry-policy": _m("whatever Expired is tried again, also when something was bought", (JOB, "    bought_nothing = job.tally is not None and job.tally.processed_records == 0\n", "    bought_nothing = True\n")),
    "rank": _m("a status may fall back", (JOB, "    return status in ENDS or RANK.get(status, 0) > RANK.get(job.status, 0)\n", "    return status != job.status\n")),
    "order": _m("the line is ordered by id", (PROJECTIONS, "sk = f\"{priority}#{text_of(job.line_at)}#{job.id}\"", "sk = f\"{priority}#{job.id}\"")),
    "priority": _m("the line knows no priority", (PROJECTIONS, "sk = f\"{priority}#{text_of(job.line_at)}#{job.id}\"", "sk = f\"{text_of(job.line_at)}#{job.id}\"")),
    "old-places": _m(
        "whoever leaves the line leaves only the place of his newest priority",
        (PROJECTIONS, "for priority in sorted({job.priority, *job.left_places})]", "for priority in [job.priority]]"),
    ),
    "moved-in-line": _m(
        "a changed priority leaves the old place behind",
        (PROJECTIONS, "    return [Put(line_row(job)), *(Delete(_place(job, priority)) for priority in sorted(job.left_places))]", "    return [Put(line_row(job))]"),
    ),
    "counted-from-view": _m(
        "what an operator appended is counted as if the job were new",
        (PROJECTIONS, "    return [Put(view_row(job), as_seen), *_line(job), *moved(seen, job)]", "    return [Put(view_row(job), as_seen), *_line(job), *moved(None, job)]"),
    ),
    "counted-once": _m("a claim is not counted", (COUNTS, "    for job, sign in ((before, -1), (after, 1)):", "    for job, sign in ((None, -1), (after, 1)):")),
    "lowered-limit": _m("a lowered limit is not set", (RECONCILE, "    if limit is not None and (not events or state.limit != limit):", "    if limit is not None and (not events or state.limit < limit):")),
    "lease-long-enough": _m("a lease is shorter than its owner lives", ("services/scheduler/config.py", "        return self.function_timeout + CREATE_TIMEOUT + LEASE_MARGIN", "        return CREATE_TIMEOUT")),
    "ceiling-is-a-condition": _m(
        "the ceiling is read, then used",
        (PROJECTIONS, "        below &= SlotsRow.day_jobs < ceiling.jobs\n", "        pass\n"),
        (PROJECTIONS, "        below &= SlotsRow.day_records < ceiling.records - records + 1\n", "        pass\n"),
    ),
    "parked-is-woken": _m(
        "a line that has reached its ceiling has no timer",
        (CEILING, "    world.timers.arm_model(slots.model, next_day_due(day, world.now()))\n", ""),
    ),
    "day-goes-on": _m(
        "whose clock is behind begins yesterday again",
        (SLOTS, "        return self if date <= self.date else Day(date=date)\n", "        return self if date == self.date else Day(date=date)\n"),
        (PROJECTIONS, "SlotsRow.day.does_not_exist() | (SlotsRow.day < day.date)", "SlotsRow.pk.exists()"),
    ),
    # The edges.
    "batch-failures": _m("a failed message is reported done", (BATCH, "            failed.append(record)\n", "            pass\n")),
    "stream-unblocked": _m(
        "a record that cannot be handled blocks its shard",
        (HANDLER, "        world.outbox.wake_job(name) if kind == \"job\" else world.outbox.wake_model(name)\n", "        raise\n"),
    ),
    "upcast": _m("an old event is not lifted", (EVENTS, "        for step in range(version, cls.VERSION):\n            data = UPCASTS[name, step](data)\n", "")),
    "unknown-event": _m("an event of newer code is read as if it were ours", (EVENTS, "    if cls is None or not 0 < version <= cls.VERSION:", "    if cls is None:\n        return JobCancelled(at=moment_of(at))\n    if version > cls.VERSION:")),
    "hostile-hint": _m("what is not JSON raises", (HINTS, "    except (ValueError, RecursionError):\n        return None\n    if not isinstance(message, dict):", "    except ZeroDivisionError:\n        return None\n    if not isinstance(message, dict):")),
    "key-decoding": _m("keys are taken as they are in the notification", (UPLOADS, "key=unquote_plus(thing[\"key\"]),", "key=thing[\"key\"],")),
    "upload-identity": _m("every notification is an upload of its own", (INTAKE, "    job = job_id(upload.bucket, upload.key, upload.version_id, upload.sequencer, upload.etag)\n", "    job = job_id(upload.bucket, upload.key, upload.version_id, upload.sequencer, str(world.now()))\n    job = job_id(upload.bucket, upload.key, \"\", str(world.now()), \"\")\n")),
    "version-read": _m("the newest version is read, not the one announced", (OBJECTS, "    return {\"VersionId\": upload.version_id} if upload.version_id else {}", "    return {}")),
    "staged-first": _m("a job is queued before its input is staged", (INTAKE, "        world.objects.copy(upload, etag, key)\n", "")),
    "intake-failures": _m("an upload that could not be taken in is reported done", (INTAKE_HANDLER, "    if failures:\n        raise failures[0]\n", "")),
    "lost-upload": _m("an upload that is gone is tried for ever", (INTAKE, "    except Lost as error:\n        nothing", "    except ZeroDivisionError as error:\n        nothing")),
}  # fmt: skip


@dataclass(frozen=True)
class Catch:
    """How a mutant was caught: by which seed, counted from 1, and which invariant; None where it survived."""

    name: str
    seed: int | None
    invariant: str
    seconds: float


def hunt(name: str, seeds: int) -> Catch:
    """Run seeds with the mutant until one fails."""
    began = time.monotonic()
    command = [sys.executable, "-m", "tests.simulation", "--stop", "--seeds", str(seeds), "--mutant", name]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    line = (run.stdout.strip().splitlines() or [""])[-1]
    seconds = time.monotonic() - began
    if line == "survived":
        return Catch(name, None, "", seconds)
    seed, _, rest = line.partition("\t")
    if not seed.isdecimal():
        raise RuntimeError(f"mutant {name} does not run: {run.stderr[-2000:]}")
    return Catch(name, int(seed) + 1, rest.partition("\t")[0], seconds)


def hunt_all(names: list[str], seeds: int) -> Iterator[Catch]:
    """All of them, as many at once as there are cores; each as it is done."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for hunted in as_completed([pool.submit(hunt, name, seeds) for name in names]):
            yield hunted.result()


def race(name: str) -> tuple[str, int]:
    """The tests of a race with its mistake put back: (name, how many failed)."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/simulation/test_races.py", "-k", f"{name}_"]
    environment = {**os.environ, "BBQ_MUTANT": name}
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    found = re.search(r"(\d+) failed", run.stdout)
    return name, int(found[1]) if found else 0


def write(catch: Catch) -> None:
    """Into the table of docs/simulation.md; the rows of the others stay as they are."""
    text = DOCS.read_text()
    before, rest = text.split("<!-- mutants -->\n")
    rows, after = rest.split("<!-- /mutants -->")
    known = {row.split(" | ")[0].removeprefix("| "): row for row in rows.splitlines()[2:]}
    seeds = "survived" if catch.seed is None else str(catch.seed)
    known[catch.name] = f"| {catch.name} | {MUTANTS[catch.name].what} | {seeds} | {catch.invariant} |"
    lines = [
        "| mutant | the mistake | seeds | caught by |",
        "|---|---|---|---|",
        *(known[name] for name in MUTANTS if name in known),
    ]
    DOCS.write_text(before + "<!-- mutants -->\n" + "\n".join(lines) + "\n<!-- /mutants -->" + after)


def main() -> int:
    """The exit code: 1 where a mutant survives."""
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    parser.add_argument("names", nargs="*", help="only these")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--races", action="store_true", help="run the named test of each race instead of the seeds")
    parser.add_argument("--write", action="store_true", help="write the table into docs/simulation.md")
    options = parser.parse_args()
    names = options.names or list(MUTANTS)
    if options.races:
        return _races([name for name in names if re.fullmatch(r"R\d+", name)])
    catches = []
    for catch in hunt_all(names, options.seeds):
        catches.append(catch)
        if options.write:
            write(catch)
        caught = f"seed {catch.seed:>4}  {catch.invariant:4}" if catch.seed is not None else "SURVIVED        "
        print(f"{catch.name:22} {caught}  {catch.seconds:5.0f} s  {MUTANTS[catch.name].what}", flush=True)  # noqa: T201 - a program for a terminal
    survivors = [catch.name for catch in catches if catch.seed is None]
    print(f"{len(catches)} mutants, {len(survivors)} survived {' '.join(survivors)}")  # noqa: T201 - as above
    return bool(survivors)


def _races(names: list[str]) -> int:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        outcomes = list(pool.map(race, names))
    for name, failed in outcomes:
        print(f"{name:5} {failed} failed  {MUTANTS[name].what}")  # noqa: T201 - a program for a terminal
    return not all(failed for _, failed in outcomes)


if __name__ == "__main__":
    sys.exit(main())
