"""What the simulator knows outlives its process: jobs, names, tokens, and faults that were set for
a time.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from local.bedrock_simulator.jobs import Settings, Tally
from local.bedrock_simulator.memory import Memory
from local.bedrock_simulator.rules import Bedrock
from tests.support.recorded import recorded

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
PLAIN = Settings(quota=1)


def test_a_job_that_waited_for_its_output_and_a_passing_fault_go_on_in_the_next_process(
    tmp_path: Path,
) -> None:
    request = {**recorded("create")["request"], "clientRequestToken": "token"}
    first = Bedrock(PLAIN, write=lambda _: None)
    memory = Memory(tmp_path / "state")
    arn = first.create(request, NOON)
    while (due := first.next_change_at()) is not None:
        first.advance(due)
        memory.keep(first)
    first.disturb({"refuse_create": "account"}, 90, NOON)
    memory.keep(first)
    assert first.get(arn, NOON)["status"] == "InProgress"

    second = Bedrock(
        replace(PLAIN, seed=7), write=lambda job: Tally(success=job.records_to_process)
    )
    Memory(tmp_path / "state").recall(second)
    assert second.get(arn, NOON)["status"] == "InProgress"
    assert (second.faults.refuse_create, second.alive(request["modelId"])) == ("account", 1)
    later = NOON + timedelta(seconds=90)
    second.advance(later)
    # the token is known, and the account is not refused any more
    assert second.create(request, later) == arn
    assert second.get(arn, later)["processedRecordCount"] == 100
    assert second.get(arn, later)["status"] == "Completed"
