"""What people and strangers do during a run, drawn from its seed: uploads, operators' acts,
deployments, others, forgeries.
"""

import json
from typing import Any

from bbq.cli.redrive import wake_unfinished
from bbq.cli.repair import rebuild
from bbq.cli.unreadable import notification
from bbq.services.scheduler.hints import ALL
from bbq.shared import events as e
from bbq.shared.names import attempt_name, job_stream
from bbq.shared.tables import SlotsRow, Update
from local.bedrock_simulator.errors import BedrockError
from local.bedrock_simulator.faults import Faults
from local.bedrock_simulator.jobs import Plan
from tests.simulation.aws import HOUR
from tests.simulation.simulation import MODELS, Simulation, Upload
from tests.simulation.watch import DEPLOYMENT, Shadow
from tests.support.samples import LINE

TWO = LINE + LINE.replace(b"01", b"02")
HOSTILE = [
    b"",
    b"\n\n",
    b"not json\n",
    b'{"recordId": "A"}\n',
    b"[]\n" * 3,
    b'{"recordId": 7, "modelInput": {}}\n',
    b"\xff\xfe\n",
    LINE + LINE,
    b'{"recordId": "CALL0000001", "modelInput": ' + b"[" * 2000 + b"]" * 2000 + b"}\n",
    LINE * 101,
    b"\x00" * 50,
]
KEYS = [
    "a.jsonl",
    "with space.jsonl",
    "a+b.jsonl",
    "%2B%25.jsonl",
    "ünïcödé.jsonl",
    "../../etc.jsonl",
    "x//y.jsonl",
    "\u202egnp.jsonl",
    "staged/x.jsonl",
    "bbq-aaaaaaaaaaaaaaaaaaaaaaaaaa-1.jsonl",
    "{}'\"`$(x).jsonl",
]
MOST_STORM = 8
# in a run: what people do makes invocations read, and each reading makes people do something
MOST_MEDDLED = 150
REFUSALS = (
    ("AccessDeniedException", "is not authorized to perform: iam:PassRole"),
    ("ValidationException", "Batch inference is not supported for the requested model."),
    (
        "ValidationException",
        "Your account is not authorized to perform this action. Please create a support case",
    ),
    ("ResourceNotFoundException", "This Model is marked by provider as Legacy"),
    ("ThrottlingException", "Too many requests"),
    (
        "ServiceQuotaExceededException",
        "reached the quota for number of concurrent invoke-model jobs in progress",
    ),
)


def live(sim: Simulation, *, at_once: bool = False) -> float:
    """Everything that will be done while faults are on, put on the clock. How many seconds it
    takes.
    """
    chance, kernel = sim.chance, sim.kernel
    span = chance.choice((600.0, HOUR, 6 * HOUR))
    burst = at_once or chance.random() < 0.4
    for number in range(sim.job_count):
        at = chance.uniform(1, 3) if burst else chance.uniform(1, span / 2)
        kernel.after(at, lambda number=number: _upload(sim, number))  # type: ignore[misc] # a lambda with a default
    if sim.weather.clear:
        return span
    for act, fault, rounds in ACTS:
        for _ in range(rounds):
            kernel.after(
                chance.uniform(5, span * 0.9),
                lambda act=act, fault=fault: _maybe(sim, act, fault),  # type: ignore[misc] # as above  # type: ignore[misc] # as above
            )
    for spell, begin, end in WINDOWS:
        if sim.weather.spell(spell):
            start = chance.uniform(0, span * 0.5)
            kernel.after(start, lambda begin=begin, spell=spell: _begin(sim, begin, spell))  # type: ignore[misc] # as above
            kernel.after(
                start + chance.uniform(60, span),
                lambda end=end: None if sim.calm else end(sim),  # type: ignore[misc] # as above
            )
    return span


def bring_to_calm(sim: Simulation) -> None:
    """From now on nothing goes wrong; an operator redrives what was set aside, and the rest is up
    to the queue.
    """
    kernel = sim.kernel
    kernel.say("WEATHER", "calm from here on")
    healing, patient = not sim.weather.clear, sim.weather.patient
    sim.rules.faults = Faults()
    if sim.chance.random() < 0.5 and not sim.weather.patient:  # nobody tells of that either
        sim.bedrock.cursed.clear()
    kernel.after(48 * HOUR, lambda: _cancel_the_cursed(sim))
    sim.weather.calm()
    sim.calm = True
    for _, _, end in WINDOWS:
        end(sim)
    for alias, model in sim.model_ids.items():
        # nobody tells of more quota: the refused find out in their time
        if healing and not patient:
            sim.rules.set_quota(model, 100)
        stays_paused = sim.chance.random() >= 0.9  # then its jobs wait, and the line shows why
        if (
            alias in sim.limits
            and alias not in sim.drilled
            and not stays_paused
            and is_paused(sim, alias)
        ):
            sim.resume(alias)
    sim.rules.end_foreign(kernel.now)
    sim.pump()
    if healing:
        _redrive(sim)
        # What was still under way when the weather turned may yet become a dead letter.
        kernel.after(5 * HOUR, lambda: _redrive(sim))


def _cancel_the_cursed(sim: Simulation) -> None:
    """In the end somebody reads why a job waits, and that it is refused whatever becomes of
    others.
    """
    for name in sim.bedrock.cursed:
        if sim.watch.jobs.get(name, Shadow()).state == "queued":
            sim.cancel(name)


def is_paused(sim: Simulation, alias: str) -> bool:
    """By its events."""
    return sim.watch.models.get(alias, [(0, False)])[-1][1]


def _redrive(sim: Simulation) -> None:
    """Dead letters go back to their queue; where the stream gave up, the operator's own tool wakes
    what is unfinished.
    """
    sim.hints.redrive()
    sim.notifications.redrive()
    failed, sim.stream.failed = sim.stream.failed, []
    if failed:
        sim.kernel.start("operator", lambda: _wake_unfinished(sim), HOUR)


def _wake_unfinished(sim: Simulation) -> int:
    """`bbq wake --all`."""
    woken = wake_unfinished(sim.repair_context())
    sim.repair_context().hints.wake_model(ALL)
    return woken


def _maybe(sim: Simulation, act: Any, fault: str) -> None:
    if not sim.calm and sim.weather.strike(fault):
        act(sim)


def _begin(sim: Simulation, begin: Any, spell: str) -> None:
    if not sim.calm and begin(sim) is not False:
        sim.weather.felt(spell)


# Uploads.


def _upload(sim: Simulation, number: int) -> None:
    chance, strike = sim.chance, sim.weather.strike
    alias = chance.choice(list(sim.limits))
    key = (
        f"to-process/{alias}/{number}-{chance.choice(KEYS) if chance.random() < 0.3 else 'a.jsonl'}"
    )
    priority = chance.choice((0, 5, 9)) if chance.random() < 0.3 else None
    if strike("upload-hostile"):
        sim.upload(key, chance.choice(HOSTILE), fit=False, priority=priority)
        return
    upload = sim.upload(key, chance.choice((LINE, TWO)), fit=True, priority=priority)
    if sim.weather.spell("job-refused-for-its-own-reason") and chance.random() < 0.3:
        sim.bedrock.cursed.add(upload.job)
        sim.touched.add(upload.job)
    if sim.weather.spell("name-squatted") and chance.random() < 0.3:
        sim.weather.felt("name-squatted")
        sim.touched.add(upload.job)
        for _ in range(3):  # more than a page of List
            squat(sim, upload)
    if strike("upload-overwritten"):
        sim.upload(key, LINE, fit=True, priority=priority)
    elif strike("upload-deleted"):
        sim.touched.add(upload.job)
        sim.kernel.after(chance.uniform(0, 1), lambda: sim.s3.delete_version(key, upload.version))


def _some_upload(sim: Simulation) -> Upload | None:
    return sim.chance.choice(sim.uploads) if sim.uploads else None


# Operators.


def _cancel(sim: Simulation) -> None:
    if upload := _some_upload(sim):
        sim.cancel(upload.job)


def _reprioritise(sim: Simulation) -> None:
    """An operator serves a job earlier or later."""
    if (
        (upload := _some_upload(sim))
        and (job := sim.watch.jobs.get(upload.job))
        and not job.poisoned
    ):
        priority = sim.chance.choice((0, 4, 5, 9))
        sim.append(
            job_stream(upload.job),
            e.PriorityChanged(at=sim.kernel.now, priority=priority, by="ops", why="later"),
        )


def _requeue(sim: Simulation) -> None:
    """An operator retries a job that ended."""
    ended = [
        name
        for name, job in sim.watch.jobs.items()
        if job.state == "ended" and not job.poisoned and (job.tallied or not job.arn)
    ]
    if ended:
        name = sim.chance.choice(ended)
        sim.touched.add(name)
        job = sim.watch.jobs[name]
        sim.append(
            job_stream(name),
            e.JobRequeued(at=sim.kernel.now, attempt=job.attempt, by="ops", why="again"),
        )


def _stop_at_bedrock(sim: Simulation) -> None:
    """Somebody stops a job in the console."""
    alive = [job for job in sim.rules.jobs.values() if not job.ended and not job.foreign]
    if alive:
        job = sim.chance.choice(alive)
        sim.touched.update(name for name in sim.watch.jobs if name in job.name)
        try:
            sim.rules.stop(job.arn, sim.kernel.now)
        except BedrockError:
            return
        sim.pump()


def _storm(sim: Simulation) -> None:
    """Eight schedulers at once."""
    for _ in range(MOST_STORM):
        sim.wake()


def _async_wake(sim: Simulation, tries: int = 3) -> None:
    """An operator's asynchronous wake: each of its three tries is killed on its way, and then it is
    lost.
    """

    def over(answer: Any) -> None:
        if answer is None and tries > 1:
            sim.kernel.after(60, lambda: _async_wake(sim, tries - 1))

    invocation = sim.wake(done=over)
    sim.kernel.after(sim.chance.uniform(0.0, 0.3), lambda: sim.kernel.kill(invocation, "crash"))


def _poison(sim: Simulation) -> None:
    """A record that nobody can read: by a newer deployment, or of a stream that is nobody's."""
    upload = _some_upload(sim)
    if (
        upload
        and sim.chance.random() < 0.7
        and (job := sim.watch.jobs.get(upload.job))
        and job.state == "queued"
    ):
        sim.touched.add(upload.job)
        sim.append(job_stream(upload.job), _future(sim))
        return
    sim.stream.put(
        sim.chance.choice(("job#", "nobody", "job#unknown", "model#nobody")), 1, "job-queued"
    )


def _future(sim: Simulation) -> e.Event:
    class FromTheFuture(e.CancelRequested):
        NAME = "job-from-the-future"

    return FromTheFuture(at=sim.kernel.now, by="x", why="y")


# Deployments.


def _lower(sim: Simulation) -> None:
    _deploy(sim, -1)


def _raise(sim: Simulation) -> None:
    _deploy(sim, +1)


def _deploy(sim: Simulation, by: int) -> None:
    alias = sim.chance.choice(list(sim.limits))
    if by < 0 and sim.limits[alias] == 0:
        return
    sim.deploy({alias: sim.limits[alias] + by}, higher_ceilings=by > 0)


def _deployed_again(sim: Simulation) -> None:
    """The limits must let work go on at the end."""
    wrong = {alias: 1 for alias, limit in sim.limits.items() if limit == 0}
    missing = [alias for alias in sim.limits if alias not in sim.models]
    if wrong or missing:
        sim.deploy(wrong, added=missing)


def _remove_model(sim: Simulation) -> bool:
    if len(sim.models) < 2 or "nova" not in sim.models:
        return False
    del sim.models["nova"]
    sim.deploy({})
    return True


def _pause(sim: Simulation) -> None:
    sim.pause(sim.chance.choice(list(sim.limits)))


def _resume_all(sim: Simulation) -> None:
    for alias in sim.limits:
        if alias not in sim.drilled and is_paused(sim, alias):
            sim.resume(alias)


def _stay_as_they_are(_: Simulation) -> None:
    """`bring_to_calm` looks after it."""


# Bedrock.


def _down(sim: Simulation) -> None:
    sim.bedrock.down = True


def _up(sim: Simulation) -> None:
    sim.bedrock.down = False


def _deny(sim: Simulation) -> None:
    """Bedrock refuses everybody, for a reason of the account, the Region, the role or the model (as
    recorded).
    """
    sim.bedrock.refusal = sim.chance.choice(REFUSALS)


def _allow(sim: Simulation) -> None:
    sim.bedrock.refusal = None


def _fail_validating(sim: Simulation) -> None:
    """Bedrock's role may not read the bucket: jobs are taken, and fail a minute later."""
    sim.fail_validating = True


def _fail_in_progress(sim: Simulation) -> None:
    """Bedrock's role may not invoke the model: that shows when the first record is to be
    processed.
    """
    sim.fail_in_progress = True


def _role_mended(sim: Simulation) -> None:
    sim.fail_validating = sim.fail_in_progress = False


def _others(sim: Simulation) -> None:
    """Others take all the quota there is, for a while each."""
    for alias in sim.limits:
        sim.rules.set_quota(sim.model_ids[alias], max(1, sim.limits[alias]))
        for _ in range(5):
            sim.rules.start_foreign(
                sim.model_ids[alias], 1, sim.chance.uniform(5, HOUR), sim.kernel.now
            )
    sim.pump()


def _others_again(sim: Simulation) -> None:
    if not sim.calm:
        _others(sim)


def end_one_of_ours(sim: Simulation, model: str) -> None:
    """A job of ours that is being processed is done at this moment."""
    running = [
        job
        for job in sim.rules.jobs.values()
        if job.status == "InProgress" and job.model == model and not job.foreign
    ]
    if running:
        job = sim.chance.choice(running)
        job.due = sim.kernel.now
        sim.rules._resume(job, sim.kernel.now)
        sim.pump()


def _invalid_model(sim: Simulation) -> None:
    alias = sim.chance.choice(list(sim.limits))
    sim.rules.faults = Faults(unsupported_models=(sim.model_ids[alias],))


def _valid_model(sim: Simulation) -> None:
    sim.rules.faults = Faults()


# S3 and the rights to read it.


def _hide_uploads(sim: Simulation) -> None:
    sim.s3.denied = True


def _show_uploads(sim: Simulation) -> None:
    """Somebody grants the right, and wakes what was in vain so far (`bbq wake`)."""
    if sim.s3.denied:
        sim.s3.denied = False
        for upload in sim.uploads:
            if sim.watch.jobs.get(upload.job, Shadow()).state == "unreadable":
                (first, *_) = sim.people.load(job_stream(upload.job))
                assert isinstance(first.event, e.UploadUnreadable)
                sim.notifications.send(notification(first.event.sources[0]))


# The swizzle: every source stopped one by one, then restored in another order.


def _swizzle(sim: Simulation) -> None:
    sources = [sim.stream, sim.hints, sim.notifications, sim.schedules.source]
    sim.chance.shuffle(sources)
    for number, source in enumerate(sources):
        sim.kernel.after(60.0 * number, lambda source=source: None if sim.calm else source.stop())  # type: ignore[misc] # a lambda with a default
    sim.chance.shuffle(sources)
    for number, source in enumerate(sources):
        sim.kernel.after(900.0 + 120.0 * number, source.restore)


def _restore(sim: Simulation) -> None:
    for source in (sim.stream, sim.hints, sim.notifications, sim.schedules.source):
        source.restore()


# The worst has happened: a part of the slots is lost, and an operator rebuilds them.


def drill(sim: Simulation, alias: str | None = None) -> None:
    """A person pauses, a part of the slots is lost, is rebuilt, and the person resumes. The rebuild
    pauses the other models.
    """
    alias = alias or sim.chance.choice(list(sim.limits))
    if alias in sim.drilled or alias not in sim.watch.slots:
        return
    sim.drilled.add(alias)
    sim.pause(alias)
    sim.kernel.after(sim.chance.uniform(1, 200), lambda: _damage(sim, alias))
    sim.kernel.after(sim.chance.uniform(300, 900), lambda: _rebuild(sim, alias))


def _damage(sim: Simulation, alias: str) -> None:
    """A holder is gone."""
    row = sim.watch.slots[alias]
    entries = list(row["holders"]["M"])
    if not row["paused"]["BOOL"] or not entries:
        return
    unanswered = [
        holder
        for holder, lease in row["holders"]["M"].items()
        if not lease["M"]["submitted"]["BOOL"]
    ]
    holder = sim.chance.choice(unanswered or entries)
    sim.kernel.say("fate", f"{holder} is gone from the holders of {alias}")
    sim.watch.damaged.add(alias)
    gone = [SlotsRow.holders[holder].remove()]
    sim.tables.write(
        [Update(SlotsRow(pk=f"slots#{alias}", sk="slots"), gone, SlotsRow.pk.exists())]
    )
    sim.watch.slots[alias] = sim.tables.peek("projections", f"slots#{alias}", "slots") or {}


def _rebuild(sim: Simulation, alias: str) -> None:
    """As often as it takes: it may be killed, or told to wait."""

    def done(rebuilt: Any) -> None:
        if rebuilt is None or any(pk.startswith("slots#") for pk, _ in rebuilt.left):
            sim.half_rebuilt.add(alias)
            sim.kernel.after(400, lambda: _rebuild(sim, alias))
            return
        sim.drilled.discard(alias)
        sim.half_rebuilt.discard(alias)
        sim.resume(alias)

    sim.kernel.start("operator", lambda: rebuild(sim.repair_context()), 10 * HOUR, done)


# While an invocation decides.


def meddle(sim: Simulation, alias: str) -> None:
    """Within the next tenth of a second, somebody pauses, deploys, cancels, reorders, or others'
    jobs come or go.
    """
    if sim.calm or sim.kernel.current is None or sim.weather.fired["meddled"] > MOST_MEDDLED:
        return
    acts = (
        _pause_for_a_moment,
        _limit_for_a_moment,
        _cancel_one,
        _move_the_first,
        _others_for_a_moment,
        _others_for_a_moment,
    )
    act = sim.chance.choice(acts)
    sim.kernel.after(sim.chance.uniform(0, 0.15), lambda: None if sim.calm else act(sim, alias))


def _pause_for_a_moment(sim: Simulation, alias: str) -> None:
    if alias not in sim.drilled and not is_paused(sim, alias):
        sim.pause(alias)
        sim.kernel.after(
            sim.chance.uniform(0.1, 60), lambda: None if alias in sim.drilled else sim.resume(alias)
        )


def _limit_for_a_moment(sim: Simulation, alias: str) -> None:
    limit = sim.limits[alias]
    if limit > 0 and not sim.deploying:
        sim.deploy({alias: limit - 1})
        sim.kernel.after(sim.chance.uniform(0.1, 60), lambda: sim.deploy({alias: limit}))


def _move_the_first(sim: Simulation, alias: str) -> None:
    """Whoever is about to be served gets another priority, and then a third one."""
    first = next((place.rpartition("#")[2] for place in sim.watch.orders.get(alias, [])), None)
    if first is not None and not sim.watch.jobs[first].poisoned:
        for priority in (0, 9):
            sim.append(
                job_stream(first),
                e.PriorityChanged(at=sim.kernel.now, priority=priority, by="ops", why="no, last"),
            )


def _cancel_one(sim: Simulation, alias: str) -> None:
    jobs = [
        name
        for name, job in sim.watch.jobs.items()
        if job.model == alias and job.state in {"claimed", "queued"}
    ]
    if jobs:
        sim.cancel(sim.chance.choice(jobs))


def _others_for_a_moment(sim: Simulation, alias: str) -> None:
    """Others take what is free, for moments."""
    model = sim.model_ids[alias]
    if sim.weather.spell("others-take-the-quota"):
        sim.rules.set_quota(model, max(1, sim.limits[alias]))
        sim.rules.start_foreign(
            model, sim.limits[alias], sim.chance.choice((0.05, 0.1, 0.3, 20.0)), sim.kernel.now
        )
        sim.pump()


# Strangers.


def _forge(sim: Simulation) -> None:
    sim.hints.send(forged(sim))


def _garbage(sim: Simulation) -> None:
    sim.hints.send(malformed(sim))


def forged(sim: Simulation) -> str:
    """A Bedrock event that is not one, about jobs that may be ours."""
    chance = sim.chance
    names = [name for name in sim.watch.made if name] or ["bbq-aaaaaaaaaaaaaaaaaaaaaaaaaa-1"]
    arn = f"arn:aws:bedrock:us-east-1:000000000000:model-invocation-job/{'z' * 12}"
    detail = {
        "batchJobName": chance.choice(names),
        "batchJobArn": arn,
        "batchModelId": chance.choice([*MODELS.values(), "x"]),
        "status": chance.choice(("Completed", "Failed", "Stopped", "InProgress", "Sleeping")),
        "failureMessage": "",
    }
    event: dict[str, Any] = {
        "version": "0",
        "id": "x",
        "detail-type": "Batch Inference Job State Change",
        "source": "aws.bedrock",
        "account": "000000000000",
        "region": "us-east-1",
        "detail": detail,
    }
    match chance.randrange(6):
        case 0:
            event["source"] = "my.bedrock"
        case 1:
            detail["batchJobArn"] = arn.replace("000000000000", "999999999999")
        case 2:
            detail["batchJobArn"] = arn.replace("us-east-1", "eu-west-1")
        case 3:
            detail["batchJobName"] = "other-" + detail["batchJobName"]
        case 4:
            detail["batchJobName"] = detail["batchJobName"].rpartition("-")[0] + "-99"
        case _:
            pass  # everything right but the ARN
    return json.dumps(event)


def malformed(sim: Simulation) -> str:
    """Anything at all."""
    return sim.chance.choice(
        (
            "",
            "null",
            "[]",
            "{}",
            '"x"',
            "{" * 5000,
            '{"job": 7}',
            '{"job": "../../x"}',
            '{"wake": "nobody"}',
            '{"wake": ["all"]}',
            '{"job": "aaaaaaaaaaaaaaaaaaaaaaaaaa", "due": "yesterday"}',
            '{"detail-type": "x"}',
            (
                '{"detail-type": "Batch Inference Job State Change", "source": "aws.bedrock", '
                '"detail": {"status": ["Completed"]}}'
            ),
            "\u0000" * 100,
            "9" * 5000,
            "x" * 300_000,
        )
    )


def squat(sim: Simulation, upload: Upload, attempt: int = 1) -> None:
    """A stranger's job has our attempt's name, with a token of its own."""
    _stranger(sim, attempt_name(DEPLOYMENT, upload.job, attempt), sim.chance.choice((5.0, 600.0)))


def copy(sim: Simulation, job: str) -> None:
    """Somebody makes copies of our job in the console. Their names begin as ours, and List shows
    them first: a page of them.
    """
    name = attempt_name(DEPLOYMENT, job, sim.watch.jobs[job].attempt)
    for number in range(3):
        _stranger(sim, f"{name}-copy-{number}")


def _stranger(sim: Simulation, name: str, seconds: float = 600.0) -> None:
    rules = sim.rules
    request = {
        "jobName": name,
        "clientRequestToken": "stranger",
        "modelId": MODELS["haiku"],
        "roleArn": "arn:aws:iam::000000000000:role/other",
        "inputDataConfig": {"s3InputDataConfig": {"s3Uri": "s3://other/x.jsonl"}},
        "outputDataConfig": {"s3OutputDataConfig": {"s3Uri": "s3://other/"}},
    }
    rules._start(request, sim.kernel.now, foreign=True, plan=Plan({"InProgress": seconds}))
    sim.pump()


ACTS = (
    (_cancel, "cancelled", 8),
    (_requeue, "requeued-by-an-operator", 6),
    (_reprioritise, "priority-changed", 8),
    (_stop_at_bedrock, "stopped-by-a-human", 6),
    (_storm, "storm", 3),
    (_async_wake, "async-retries-exhausted", 1),
    (drill, "rebuilt-by-an-operator", 3),
    (_poison, "poison-record", 4),
    (_forge, "forged-hint", 6),
    (_garbage, "malformed-hint", 6),
)
WINDOWS = (
    ("limit-lowered", _lower, _stay_as_they_are),
    ("limit-raised", _raise, _stay_as_they_are),
    ("model-paused", _pause, _resume_all),
    ("model-removed", _remove_model, _deployed_again),
    ("bedrock-down", _down, _up),
    ("everybody-refused", _deny, _allow),
    ("everybody-fails-validating", _fail_validating, _role_mended),
    ("everybody-fails-in-progress", _fail_in_progress, _role_mended),
    ("others-take-the-quota", _others, _others_again),
    ("model-id-invalid", _invalid_model, _valid_model),
    ("swizzle", _swizzle, _restore),
    ("uploads-unreadable", _hide_uploads, _show_uploads),
)
