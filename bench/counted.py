"""A deployment in fair weather, in simulation, that counts what its functions do: invocations,
requests to each service, and units of the tables.
"""

from collections import Counter
from dataclasses import replace
from typing import Any

from bench.units import CountingTables
from tests.simulation.kernel import Invocation, Kernel
from tests.simulation.run import Run
from tests.simulation.weather import RATES, SPELLS, Weather

# the turnaround of small jobs that users report: 9 to 25 minutes
STAGE_SECONDS, JOB_SECONDS = (10.0, 60.0), (600.0, 1500.0)
GAUGE_SECONDS = 30.0  # as services/scheduler/wiring.py, were there one container
# Seconds of one way of a call, by its first word: a few milliseconds to DynamoDB, a quarter of a
# second for Create and back. Guesses (UNVERIFIED); they decide how often two invocations of one job
# meet, and so a part of the requests.
ONE_WAY_SECONDS = {"get": 0.002, "query": 0.002, "write": 0.004, "Create": 0.12}
OTHER_CALL_SECONDS = 0.01
# Which of the kernel's calls is a request to whom. Those of the tables are counted by
# CountingTables.
SERVICES = {
    "Create": "bedrock",
    "Get": "bedrock",
    "List": "bedrock",
    "Stop": "bedrock",
    "arm": "scheduler",
    "disarm": "scheduler",
    "send": "sqs",
    "hide": "sqs",
    "publish": "sns",
    "GetObject": "s3_get",
    "CopyObject": "s3_put",
}
SQS_REQUESTS_OF_A_MESSAGE = 3  # sent, received, deleted


class CountingKernel(Kernel):
    """Counts the calls that invocations make."""

    def __init__(self, seed: int | str) -> None:
        super().__init__(seed)
        self.calls: Counter[str] = Counter()

    def start(self, name: str, *arguments: Any, **options: Any) -> Invocation:
        """See Kernel. By a short name, so that a lease's owner is as long as in production
        (services/scheduler/wiring.py).
        """
        invocation = super().start(name, *arguments, **options)
        invocation.name = name[0]
        return invocation

    def call(self, what: str, effect: Any) -> Any:
        """See Kernel."""
        if self.current is not None and (service := SERVICES.get(what.split(maxsplit=1)[0])):
            self.calls[service] += 1
            self.calls[what.split(maxsplit=1)[0]] += 1
        return super().call(what, effect)


class CountedRun(Run):
    """A deployment of one model in fair weather, on tables that count what the functions do."""

    def __init__(self, limit: int) -> None:
        self.counting = CountingKernel("work")
        super().__init__(
            "work", kernel=self.counting, weather=Weather("work", frozenset({*RATES, *SPELLS}))
        )
        self.rules.settings = replace(
            self.settings, stage_seconds=STAGE_SECONDS, job_seconds=JOB_SECONDS
        )
        self.limits, self.models = {"haiku": limit}, {"haiku": self.model("haiku", limit)}
        self.gauges_due = self._once_in_a_while
        self.watch.line_read = lambda *_: None  # type: ignore[method-assign] # a gauge looks at the line and leaves: it fills nothing
        self.kernel.latency = lambda what: (
            ONE_WAY_SECONDS.get(what.split()[0], OTHER_CALL_SECONDS) * self.chance.uniform(0.7, 1.5)
        )
        self._measured = -GAUGE_SECONDS
        self.deploy({})
        self.until(60)

    def _wire(self) -> None:
        super()._wire()
        self.counted = CountingTables(self.tables)
        self.sim_tables._tables = self.counted

    def _once_in_a_while(self, _: str) -> bool:
        due = self.kernel.time - self._measured >= GAUGE_SECONDS
        if due:
            self._measured = self.kernel.time
        return due

    def until(self, seconds: float) -> None:
        """Let the clock run so far."""
        self._run_until(seconds)

    def totals(self) -> Counter[str]:
        """Everything counted since the beginning."""
        kernel, tables = self.counting, self.counted
        delivered = len(self.hints.delivered) + len(self.notifications.delivered)
        return Counter(
            {
                "invocations": kernel.started.total(),
                "intake_invocations": kernel.started["intake"],
                "scheduler_invocations": kernel.started["scheduler"],
                "dynamodb_requests": tables.requests.total(),
                "read_units": tables.units["read"],
                "write_units": tables.units["write"] + tables.units["index"],
                "index_write_units": tables.units["index"],
                "bedrock_requests": kernel.calls["bedrock"],
                "scheduler_requests": kernel.calls["scheduler"],
                "timers_fired": len(self.schedules.fired),
                "s3_gets": kernel.calls["s3_get"],
                "s3_puts": kernel.calls["s3_put"],
                "sns_requests": kernel.calls["sns"],
                "sqs_requests": kernel.calls["sqs"]
                + SQS_REQUESTS_OF_A_MESSAGE * delivered
                - kernel.calls["send"],
            }
        )
