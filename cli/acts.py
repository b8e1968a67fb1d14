"""`bbq cancel`, `retry`, `priority`, `forget`, `pause`, `resume`: what an operator asks for, as
events.

Nothing is done here. Each act is one event, with who asked and why, appended on condition that the
job or model is still as it was decided on (`decisions.py`); the stream wakes the scheduler, which
carries it out. Asked for a second time it sends a hint instead, in case the first was lost; a hint
too many changes nothing.

IAM: dynamodb:Query and dynamodb:PutItem on the events table, dynamodb:GetItem on the projections
table for `--wait`, sqs:SendMessage on the hints queue.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, TypeVar

import typer

from bbq.cli import decisions, times
from bbq.cli import deployment as deployments
from bbq.cli.app import ON_JOBS, ON_MODELS, app, who
from bbq.cli.decisions import Act, Already, Decision, Refused
from bbq.cli.deployment import Deployment
from bbq.cli.faults import Exit, Failed
from bbq.cli.follow import Timeout, follow, seconds_of
from bbq.cli.job_ids import ids_of
from bbq.cli.output import answer, confirm, say
from bbq.cli.wording import counted
from bbq.shared.events import Event, UnknownEvent
from bbq.shared.job import IllegalEvent, Job, outcome
from bbq.shared.names import model_stream
from bbq.shared.store import Store, VersionTaken

MAX_TRIES = 10  # of one act, where others append to the same job or model
MAX_SHOWN = 10  # of the jobs that a question is about
MAX_WHY = 500  # characters

Answer = TypeVar("Answer", bound=Decision | None)

Jobs = Annotated[
    list[str],
    typer.Argument(
        help="Ids of jobs, or [bold]-[/bold] to read them from standard input.", metavar="JOB…"
    ),
]
Alias = Annotated[str, typer.Argument(help="Alias of the model.", metavar="MODEL")]
Why = Annotated[str, typer.Option(help="The reason, which the history shows.", metavar="TEXT")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@app.command(rich_help_panel=ON_JOBS)
def cancel(  # noqa: PLR0917 - typer passes each by its name
    context: typer.Context,
    jobs: Jobs,
    why: Why = "",
    yes: Yes = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Follow the jobs until they are Cancelled or Stopped.")
    ] = False,
    timeout: Timeout = None,
) -> None:
    """Take jobs out of the line, or stop them at Bedrock.

    A job that has not been sent to Bedrock becomes Cancelled; one that runs becomes Stopped, and
    what it has done is billed. Exit codes: 0 asked for (also before), 1 over already, 3 no such
    job, 8 with --wait: not over when the time was.

    Example: [bold]bbq jobs --status Queued --jsonl | jq -r .job | bbq cancel - --yes --why 'wrong
    prompt'[/bold]
    """
    limit = seconds_of(timeout)
    here = deployments.find(context.obj)
    done = _on_jobs(here, jobs, _asked(decisions.cancel, why), verb="Cancel", yes=yes)
    code = done.code
    if wait and done.asked:
        ends = follow(here, done.asked, limit)
        others = [job for job in ends if job.status not in {"Cancelled", "Stopped"}]
        for job in others:
            say(f"{job.id} was not cancelled in time: {outcome(job)}")
        code = code or (Exit.FAILED if others else Exit.OK)
    raise typer.Exit(code)


@app.command(rich_help_panel=ON_JOBS)
def retry(context: typer.Context, jobs: Jobs, why: Why = "", yes: Yes = False) -> None:
    """Run jobs again that have ended, whole: the next attempt buys every record of the file again.

    It reads the same staged copy, comes back to the job's old place in line, and writes beside the
    earlier attempt's output. Exit codes: 0 done (also before), 1 not possible in this state, 3 no
    such job.

    Example: [bold]bbq retry abcdefghijklmnopqrstuvwxyz --why 'model access was missing'[/bold]
    """
    here = deployments.find(context.obj)
    decide = _asked(decisions.retry, why, models=list(here.models))
    raise typer.Exit(_on_jobs(here, jobs, decide, verb="Retry", yes=yes).code)


@app.command(rich_help_panel=ON_JOBS)
def priority(
    context: typer.Context,
    jobs: Jobs,
    number: Annotated[
        int, typer.Argument(help="0 is served first, 9 last.", min=0, max=9, metavar="N")
    ],
    why: Why = "",
    yes: Yes = False,
) -> None:
    """Let jobs be served earlier or later.

    Exit codes: 0 done (also before), 1 over already, 3 no such job.

    Example: [bold]bbq priority abcdefghijklmnopqrstuvwxyz 0[/bold]
    """
    here = deployments.find(context.obj)
    decide, verb = _asked(decisions.priority, why, number=number), f"Give priority {number} to"
    raise typer.Exit(_on_jobs(here, jobs, decide, verb=verb, yes=yes).code)


@app.command(rich_help_panel=ON_JOBS)
def forget(
    context: typer.Context,
    jobs: Jobs,
    why: Annotated[str, typer.Option(help="The reason, for the history.", metavar="TEXT")],
    yes: Yes = False,
) -> None:
    """Give up jobs that Bedrock does not know any more although they were sent there.

    The scheduler asks Bedrock once more; only a job that it does not know ends as Failed, which
    frees its slot. Exit codes: 0 asked for (also before), 1 not possible in this state, 3 no such
    job.

    Example: [bold]bbq forget abcdefghijklmnopqrstuvwxyz --why 'support says that it is gone'[/bold]
    """
    here = deployments.find(context.obj)
    decide = _asked(decisions.forget, why)
    raise typer.Exit(_on_jobs(here, jobs, decide, verb="Forget", yes=yes).code)


@app.command(rich_help_panel=ON_MODELS)
def pause(context: typer.Context, model: Alias, why: Why = "") -> None:
    """Start nothing new on a model. What runs goes on, and uploads wait in line.

    Exit codes: 0 paused (also before, by whomever), 3 no such model.

    Example: [bold]bbq pause haiku --why 'the prompt is being mended'[/bold]
    """
    _on_model(deployments.find(context.obj), model, _asked(partial(decisions.pause, model), why))


@app.command(rich_help_panel=ON_MODELS)
def resume(context: typer.Context, model: Alias, why: Why = "") -> None:
    """Let a model start jobs again that is paused, or on hold.

    A hold goes by itself once Bedrock takes jobs, or a job gets further than those that failed;
    this takes it away at once. Exit codes: 0 resumed (also if it was not paused), 3 no such model.

    Example: [bold]bbq resume haiku[/bold]
    """
    here = deployments.find(context.obj)
    slots = here.store.slots(model)
    # rebuilt slots are paused, whatever the events say
    held = slots is not None and (slots.paused or bool(slots.holds))
    _on_model(here, model, _asked(partial(decisions.resume, model), why, on_hold=held))


def _asked(decision: Callable[..., Decision], why: str, **more: Any) -> Callable[..., Decision]:
    """One of `decisions`, asked for by this person, for this reason and at the time of asking."""
    reason = "".join(letter for letter in why if letter.isprintable())[:MAX_WHY]
    return lambda state: decision(state, **more, at=times.now(), by=who(), why=reason)


@dataclass(frozen=True)
class _Done:
    """What became of a command on jobs: those for which it was asked, now or before, and the exit
    code.
    """

    asked: tuple[str, ...]
    code: Exit


def _on_jobs(
    here: Deployment,
    named: Sequence[str],
    decide: Callable[[Job], Decision],
    *,
    verb: str,
    yes: bool,
) -> _Done:
    """Look at all, ask if there is more than one or something would be bought again, then act on
    one after the other.
    """
    store = here.store
    first = {job_id: _decided(store, job_id, decide) for job_id in ids_of(named)}
    acts = {job_id: decision for job_id, decision in first.items() if isinstance(decision, Act)}
    buys = sum(decision.buys for decision in acts.values())
    if len(acts) > 1 or buys:
        for job_id in list(acts)[:MAX_SHOWN]:
            say(f"  {job_id} {acts[job_id].sentence}")
        if len(acts) > MAX_SHOWN:
            say(f"  and {len(acts) - MAX_SHOWN:,} more")
        again = f" ({buys:,} records that succeeded will be bought again)" if buys else ""
        confirm(f"{verb} {counted(len(acts), 'job')}{again}?", yes=yes)
    asked: list[str] = []
    code = Exit.OK
    for job_id, seen in first.items():
        decision = _act_on_job(store, job_id, decide) if isinstance(seen, Act) else seen
        match decision:
            case None:
                say(f"{job_id}: there is no such job")
                code = Exit.NOT_FOUND
            case Refused(sentence):
                say(f"{job_id} {sentence}")
                code = code or Exit.FAILED
            case Already(sentence) | Act(_, sentence):
                if isinstance(decision, Already):
                    here.hints.wake_job(job_id)
                answer(f"{job_id} {sentence}")
                asked.append(job_id)
    return _Done(tuple(asked), code)


def _decided(store: Store, job_id: str, decide: Callable[[Job], Decision]) -> Decision | None:
    try:
        job = store.job(job_id)
    except (UnknownEvent, IllegalEvent) as error:  # the others must not wait for it
        return Refused(f"cannot be read: {error}")
    return decide(job) if job is not None else None


def _act_on_job(store: Store, job_id: str, decide: Callable[[Job], Decision]) -> Decision | None:
    def act() -> Decision | None:
        job = store.job(job_id)
        decision = decide(job) if job is not None else None
        if isinstance(decision, Act):
            store.append(job_id, job, decision.event)
        return decision

    return _again_if_others_were_faster(store, f"job {job_id}", act)


def _on_model(here: Deployment, alias: str, decide: Callable[[list[Event]], Decision]) -> None:
    here.must_have(alias)
    store = here.store

    def act() -> Decision:
        history = [recorded.event for recorded in store.load(model_stream(alias))]
        decision = decide(history)
        if isinstance(decision, Act):
            store.append_to_model(alias, len(history) + 1, decision.event)
        return decision

    decision = _again_if_others_were_faster(store, f"model {alias}", act)
    if not isinstance(decision, Act):
        here.hints.wake_model(alias)
    answer(f"{alias} {decision.sentence}")


def _again_if_others_were_faster(store: Store, what: str, act: Callable[[], Answer]) -> Answer:
    """Load, decide, append; and again if others appended meanwhile. Raises Failed."""
    for tries in range(MAX_TRIES):
        try:
            return act()
        except VersionTaken:
            store.pause(tries)
    raise Failed(f"{what} changed {MAX_TRIES} times while it was looked at: try again in a minute")
