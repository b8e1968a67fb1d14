"""What can go wrong, how often in this run, and how often it did.

Each seed draws its own weather: some are calm, some suffer one thing much, most suffer a dozen
things a little. `strike` draws whether a fault hits now, and counts it: a fault that never hit in a
whole campaign proves nothing, and fails it.
"""

import random
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

# fault -> the highest rate at which it may be drawn, for each chance it has to strike
RATES = {
    # hints: SQS messages, stream records, Bedrock's events, timers
    "hint-duplicated": 0.5,
    "hint-delayed": 0.3,  # ms to hours
    "hint-deletion-lost": 0.1,  # handled, and delivered again
    "bedrock-event-dropped": 0.3,
    "bedrock-event-reordered": 0.5,
    "event-retries-exhausted": 0.05,  # EventBridge gives up: its dead-letter queue has it
    "timer-early": 0.3,
    "timer-twice": 0.3,
    "timer-late": 0.2,
    "timer-dead-lettered": 0.05,
    "stream-lag": 0.3,
    "stream-batch-split": 0.5,
    "stream-retries-exhausted": 0.02,
    "lambda-throttled": 0.1,
    "async-retries-exhausted": 0.5,  # an operator's asynchronous wake: three tries, then lost
    # invocations
    "killed-before-a-call": 0.01,
    "killed-after-a-call": 0.01,
    "stalled": 0.02,  # up to half a minute inside a call
    "storm": 0.5,  # eight schedulers at once
    "old-code": 0.4,  # an invocation of the version before
    # DynamoDB
    "write-contended": 0.1,
    "write-done-but-contended": 0.1,  # TransactionInProgress of the first try; the next meets it
    "write-done-but-failed": 0.2,  # the answer was lost, the SDK's own repeat met its first try
    "write-done-but-error": 0.02,
    # of these three: the SDK waits up to ten seconds before it tries again
    "lost-answer-slow": 0.9,
    "write-error": 0.02,
    "read-error": 0.01,
    # one item, or its partition, is throttled for seconds to hours, whoever asks
    "row-stuck": 0.02,
    # Bedrock
    "create-done-then-timeout": 0.2,
    "create-timeout-then-done": 0.1,
    "create-done-then-500": 0.1,
    # Bedrock's own front end tried twice: the job is made, and its name said to be in use
    "create-done-then-conflict": 0.3,
    "create-timeout": 0.2,
    "create-500": 0.1,
    "bedrock-throttled": 0.1,
    "bedrock-call-error": 0.05,
    "create-slow": 0.9,  # seconds
    "list-behind": 0.3,
    "list-error": 0.6,
    "get-behind": 0.8,
    "counts-behind": 0.7,
    # Scheduler, SQS, S3, SNS
    "publish-error": 0.2,
    "publish-done-but-error": 0.1,
    "publish-unanswered": 0.05,
    "timer-call-error": 0.03,
    "timer-call-done-but-error": 0.03,
    "send-error": 0.3,
    "s3-error": 0.03,
    # people
    "notification-duplicated": 0.5,
    "upload-overwritten": 0.15,
    "upload-deleted": 0.1,
    "upload-hostile": 0.2,
    "cancelled": 0.2,
    "stopped-by-a-human": 0.1,
    "requeued-by-an-operator": 0.1,
    "priority-changed": 0.3,
    "meddled": 0.3,  # an operator or another team acts just while an invocation decides
    "others-end-just-then": 0.9,  # while Bedrock's refusal is on its way
    "ours-end-just-then": 0.6,  # then, too
    "woken-just-then": 0.5,  # then, too, or while a write that was done is not answered
    # while an answer of Bedrock's is on its way, or a write that was done is not answered
    "cancelled-just-then": 0.6,
    # a job that was not answered, three times: their names begin as ours
    "copied-in-the-console": 0.5,
    # a claimed holder disappears after its Create was not answered; an operator rebuilds
    "slots-lost-with-an-answer": 0.9,
    "rebuilt-by-an-operator": 0.8,  # pause, damage, rebuild, resume
    "poison-record": 0.1,
    "forged-hint": 0.2,
    "malformed-hint": 0.2,
}
# fault -> the chance that a run with any faults has it at all
SPELLS = {
    "every-event-dropped": 0.07,
    "others-take-the-quota": 0.7,
    "quota-below-limit": 0.2,
    "tokens-forgotten": 0.2,
    "token-ends-with-job": 0.1,
    "quota-before-token": 0.2,
    "names-conflict": 0.2,
    "names-stay-taken": 0.3,
    "events-name-no-model": 0.2,
    "events-of-ends-only": 0.2,  # which changes of status have an event is not documented
    "jobs-expire": 0.35,
    "jobs-expire-half-done": 0.2,
    "jobs-partly-complete": 0.2,
    "jobs-fail": 0.2,
    "input-refused-while-validating": 0.15,
    "clock-skew": 0.3,
    "equal-timestamps": 0.2,
    "limit-lowered": 0.25,
    "limit-raised": 0.3,
    "model-paused": 0.25,
    "model-removed": 0.4,
    "bedrock-down": 0.15,
    "everybody-refused": 0.2,
    "everybody-fails-validating": 0.15,
    "everybody-fails-in-progress": 0.15,
    "swizzle": 0.2,
    "job-refused-for-its-own-reason": 0.15,
    "name-squatted": 0.15,
    "model-id-invalid": 0.07,
    "uploads-unreadable": 0.15,  # intake lacks a right for a while
}
# Faults that lose and delay no hint: with these alone a free slot is refilled as fast as without
# any.
GENTLE = frozenset(
    {
        "cancelled",
        "cancelled-just-then",
        "create-slow",
        "equal-timestamps",
        "events-name-no-model",
        "events-of-ends-only",
        "forged-hint",
        "hint-duplicated",
        "jobs-expire",
        "jobs-expire-half-done",
        "jobs-partly-complete",
        "limit-lowered",
        "limit-raised",
        "malformed-hint",
        "meddled",
        "model-paused",
        "names-conflict",
        "names-stay-taken",
        "notification-duplicated",
        "others-end-just-then",
        "others-take-the-quota",
        "ours-end-just-then",
        "priority-changed",
        "publish-done-but-error",
        "publish-error",
        "publish-unanswered",
        "quota-before-token",
        "quota-below-limit",
        "requeued-by-an-operator",
        "storm",
        "stream-batch-split",
        "timer-twice",
        "token-ends-with-job",
        "tokens-forgotten",
        "upload-deleted",
        "upload-hostile",
        "upload-overwritten",
        "woken-just-then",
        "write-contended",
        "write-done-but-contended",
        "write-done-but-failed",
    }
)

# Faults that are worst together. Drawn one by one they would hardly ever meet: a part of the seeds
# has all of one row, often.
TOGETHER = (
    # a lost answer, nobody who tells of the job, and a look-up that does not show it at once
    ("create-done-then-timeout", "every-event-dropped", "list-error", "copied-in-the-console"),
    # the queue gives up an attempt that Bedrock never got, and is not told that it did
    (
        "create-timeout",
        "write-done-but-failed",
        "write-done-but-contended",
        "lost-answer-slow",
        "woken-just-then",
        "cancelled-just-then",
        "create-slow",
    ),
    # a full Bedrock that takes its time to say so
    ("quota-below-limit", "create-slow", "ours-end-just-then", "woken-just-then"),
    ("others-take-the-quota", "create-slow", "others-end-just-then", "cancelled-just-then"),
    # a job that is taken and cancelled at once, and no event that tells of it
    ("create-slow", "cancelled-just-then", "events-of-ends-only"),
    # whose name is it?
    ("name-squatted", "create-done-then-conflict", "list-behind"),
    # refused jobs whose timers cannot be trusted
    ("others-take-the-quota", "quota-below-limit", "timer-early"),
    # an attempt that may be tried again, while its model is not there
    ("jobs-expire", "model-removed"),
)
TOGETHER_SHARE = 0.4

# With this among gentle ones a free slot waits only as long as Bedrock's last answer was no.
PATIENT = "job-refused-for-its-own-reason"

# Up to which share of the seeds: no faults; gentle, and PATIENT; gentle; few; then many.
CALM_SHARE, PATIENT_SHARE, GENTLE_SHARE, MILD_SHARE = 0.07, 0.12, 0.3, 0.6
MILD, ROUGH = 0.15, 0.4  # the share of all faults that such a seed has


class Weather:
    """The faults of one run. `without` takes some away; every fault has dice of its own, so that
    the others fall as before.
    """

    def __init__(self, seed: int | str, without: frozenset[str] = frozenset()) -> None:
        self._seed = seed
        self._dice: dict[str, random.Random] = {}
        self.fired: Counter[str] = Counter()
        self.rates: dict[str, float] = {}
        self.spells: set[str] = set()
        self.struck: Callable[[str], None] = lambda _: None  # hears each fault that strikes
        chance = random.Random(f"{seed}/weather")
        kind = chance.random()
        share = 0.0 if kind < CALM_SHARE else MILD if GENTLE_SHARE < kind < MILD_SHARE else ROUGH
        if CALM_SHARE < kind < PATIENT_SHARE and PATIENT not in without:
            self.spells.add(PATIENT)
        if kind < GENTLE_SHARE:
            without |= {*RATES, *SPELLS} - GENTLE
        for fault, highest in RATES.items():
            strikes, rate = chance.random() < share, highest * chance.random()
            if strikes and fault not in without:
                self.rates[fault] = rate
        for fault, likely in SPELLS.items():
            if chance.random() < likely * share * 2.5 and fault not in without:
                self.spells.add(fault)
        if share and chance.random() < TOGETHER_SHARE:
            for fault in set(chance.choice(TOGETHER)) - without:
                if fault in SPELLS:
                    self.spells.add(fault)
                else:
                    self.rates[fault] = RATES[fault] * 0.8

    @property
    def clear(self) -> bool:
        """Whether nothing can go wrong."""
        return not self.rates and not self.spells

    @property
    def gentle(self) -> bool:
        """Whether no hint is lost or late."""
        return GENTLE.issuperset(self.faults)

    @property
    def patient(self) -> bool:
        """Whether no hint is lost or late, but some jobs are refused for a reason of their own."""
        return (GENTLE | {PATIENT}).issuperset(self.faults)

    @property
    def faults(self) -> list[str]:
        """The faults this run may have."""
        return sorted({*self.rates, *self.spells})

    def strike(self, fault: str) -> bool:
        """Whether this fault hits now."""
        rate = self.rates.get(fault)
        if rate is None:
            return False
        if fault not in self._dice:
            self._dice[fault] = random.Random(f"{self._seed}/{fault}")
        if self._dice[fault].random() >= rate:
            return False
        self.fired[fault] += 1
        self.struck(fault)
        return True

    def spell(self, fault: str) -> bool:
        """Whether this run has this fault at all; the caller makes it felt, and counts it then."""
        return fault in self.spells

    def felt(self, fault: str) -> None:
        """A spell made itself felt."""
        self.fired[fault] += 1

    def calm(self) -> None:
        """From now on nothing goes wrong."""
        self.rates, self.spells = {}, set()
