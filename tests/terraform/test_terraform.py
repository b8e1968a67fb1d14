"""The Terraform configuration: its form, its own tests (terraform/tests), and what must hold of
every resource it deploys.

`terraform test` runs with a mocked provider, so no test here reaches AWS. The state of its run
"defaults" is read back and held against what the code expects: environment, tables, prefixes, event
names. What can drift is compared.
"""

import json
import os
import re
import shutil
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import typer.main

from bbq.cli.deployment import PATH, read
from bbq.cli.main import app
from bbq.services.intake import handler as intake_handler
from bbq.services.scheduler import handler as scheduler_handler
from bbq.services.scheduler.config import read_config
from bbq.services.scheduler.publish import PUBLISHED
from bbq.shared import events, names, tables
from bbq.shared.batch import retry_seconds
from bbq.shared.telemetry import METRICS
from local.terraform_plugins import plugin_directory

ROOT = Path(__file__).resolve().parents[2]
TERRAFORM = ROOT / "terraform"
FILES = sorted(TERRAFORM.rglob("*.tf"))
MAX_VARIABLES = 16
LAMBDA_ENVIRONMENT_BYTES = 4096
COMMANDS = typer.main.get_group(app).commands.keys()

# Actions that IAM cannot tie to a resource (service authorization reference).
UNBOUND = {
    "bedrock:ListModelInvocationJobs",
    "dynamodb:ListStreams",
    "xray:PutTelemetryRecords",
    "xray:PutTraceSegments",
}

LOGS_KEY_ACTIONS = {
    "kms:Decrypt",
    "kms:DescribeKey",
    "kms:Encrypt",
    "kms:GenerateDataKey",
    "kms:ReEncryptFrom",
    "kms:ReEncryptTo",
}
KEY = "arn:aws:kms:eu-west-1:111122223333:key/11111111-2222-3333-4444-555555555555"

Resource = dict[str, Any]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An initialised copy of the configuration, with two empty zips beside it."""
    if not shutil.which("terraform"):
        _absent("terraform is not installed")
    directory = tmp_path_factory.mktemp("terraform")
    copy = directory / "terraform"
    shutil.copytree(
        TERRAFORM, copy, ignore=shutil.ignore_patterns(".terraform*", "terraform.tfstate*")
    )
    (directory / ".build").mkdir()
    for service in ("intake", "scheduler"):
        with zipfile.ZipFile(directory / ".build" / f"{service}.zip", "w") as archive:
            archive.writestr("empty.py", "")
    mirror = plugin_directory(os.environ)
    init = _terraform(
        copy,
        "init",
        "-backend=false",
        "-input=false",
        *([f"-plugin-dir={mirror}"] if mirror else []),
    )
    if init.returncode:
        _absent(
            f"terraform init found neither a provider mirror nor a registry: {init.stderr[-500:]}"
        )
    return copy


@pytest.fixture(scope="module")
def messages(copy: Path) -> list[dict[str, Any]]:
    """What `terraform test` had to say."""
    run = _terraform(copy, "test", "-json", "-verbose")
    return [_message(line) for line in run.stdout.splitlines() if line.startswith("{")]


def _message(line: str) -> dict[str, Any]:
    """Without the provider's schemas, which each plan and state repeats: gigabytes in all."""
    message: dict[str, Any] = json.loads(line)
    for what in ("test_plan", "test_state"):
        message.get(what, {}).pop("provider_schemas", None)
    return message


@pytest.fixture(scope="module")
def deployed(messages: list[dict[str, Any]]) -> dict[str, Resource]:
    """address -> values, of every resource and every policy document of the run "defaults"."""
    return _state(messages, "defaults")


def test_files_are_formatted() -> None:
    if not shutil.which("terraform"):
        _absent("terraform is not installed")
    run = _terraform(TERRAFORM, "fmt", "-check", "-recursive")
    assert run.returncode == 0, run.stdout


def test_the_configuration_is_valid(copy: Path) -> None:
    run = _terraform(copy, "validate", "-json")
    answer = json.loads(run.stdout)
    assert answer["valid"], answer["diagnostics"]
    assert answer["warning_count"] == 0, answer["diagnostics"]


def test_terraforms_own_tests_pass(messages: list[dict[str, Any]]) -> None:
    problems = [
        f"{message.get('@testrun')}: {message['diagnostic']['summary']}: "
        f"{message['diagnostic'].get('detail')}"
        for message in messages
        if message["type"] == "diagnostic" and message["diagnostic"]["severity"] == "error"
    ]
    summary = next(
        message["test_summary"] for message in messages if message["type"] == "test_summary"
    )
    assert summary["status"] == "pass", "\n".join(problems)
    assert summary["passed"] >= 20


def test_every_example_is_planned(messages: list[dict[str, Any]]) -> None:
    sources = re.findall(
        r'"\./examples/([a-z-]+)"', (TERRAFORM / "tests" / "examples.tftest.hcl").read_text()
    )
    assert sorted(sources) == sorted(path.name for path in (TERRAFORM / "examples").iterdir())
    planned = {message["@testrun"] for message in messages if message["type"] == "test_plan"}
    assert {name.replace("-", "_") for name in sources} <= planned


def test_there_are_few_variables_and_each_is_described() -> None:
    blocks = re.findall(
        r'^variable "(\w+)" \{\n(.*?)^\}',
        (TERRAFORM / "variables.tf").read_text(),
        re.MULTILINE | re.DOTALL,
    )
    assert 0 < len(blocks) <= MAX_VARIABLES
    assert [
        name
        for name, block in blocks
        if not re.search(r'^  description = "[A-Z][^"]+\."$', block, re.MULTILINE)
    ] == []
    others = [path for path in TERRAFORM.glob("*.tf") if path.name != "variables.tf"]
    assert not any(re.search(r"^variable ", path.read_text(), re.MULTILINE) for path in others)


@pytest.mark.parametrize("pattern", [r"\brate\(", r"\bcron\(", r"=\s*any\b", r'^provider "'])
def test_what_must_not_be_there(pattern: str) -> None:
    assert [path.name for path in FILES if re.search(pattern, path.read_text(), re.MULTILINE)] == []


def test_no_role_has_an_action_with_a_wildcard_or_a_resource_it_need_not_have(
    deployed: dict[str, Resource],
) -> None:
    allowed = [
        statement
        for address, statement in _addressed_statements(deployed)
        # no role's: a key's own policy
        if statement["effect"] != "Deny" and address != "data.aws_iam_policy_document.key"
    ]
    assert len(allowed) > 20
    assert [
        action for statement in allowed for action in statement["actions"] if "*" in action
    ] == []
    assert {
        action
        for statement in allowed
        if "*" in (statement["resources"] or ())
        for action in statement["actions"]
    } == UNBOUND


def test_the_matrix_has_every_right_and_no_other(deployed: dict[str, Resource]) -> None:
    """docs/rights.md is written by `make rights`; here it is held against what Terraform says
    now.
    """
    page = (
        (ROOT / "docs" / "rights.md")
        .read_text()
        .partition("<!-- matrix -->")[2]
        .partition("<!-- /matrix -->")[0]
    )
    tried = {
        tuple(row)
        for row in re.findall(r"^\| (\w+) \| (\w+) \| `(\w+:\w+)` \|", page, re.MULTILINE)
    }
    documents = {
        who: [f"data.aws_iam_policy_document.{who}"]
        for who in ("bedrock", "timers", "viewer", "operator")
    }
    for who in ("intake", "scheduler"):
        documents[who] = [
            f"data.aws_iam_policy_document.{who}",
            f"module.{who}.data.aws_iam_policy_document.basics",
        ]
    there = {
        (who, statement["sid"], action)
        for who, addresses in documents.items()
        for address in addresses
        for statement in deployed[address]["statement"]
        for action in statement["actions"]
    }
    assert tried == there | {("bedrock", "InvokeThroughProfiles", "bedrock:InvokeModel")}, (
        "run `make rights`"
    )
    assert "**nothing**" not in page


def test_only_people_may_scan(deployed: dict[str, Resource]) -> None:
    scanners = [
        address
        for address, statement in _addressed_statements(deployed)
        if "dynamodb:Scan" in statement["actions"]
    ]
    assert scanners == ["data.aws_iam_policy_document.operator"]
    # the operators' policy is nobody's role's
    assert not _of_type(deployed, "aws_iam_role_policy_attachment")


def test_a_policy_fits_the_size_that_iam_allows(deployed: dict[str, Resource]) -> None:
    """6,144 characters without white space; the longest names add to each resource."""
    longest = 24 - len("bbq") + len("ap-southeast-4") - len("eu-west-1") + 63 - len("bbq-bucket")
    sizes = {}
    for who in ("viewer", "operator"):
        statements = list(deployed[f"data.aws_iam_policy_document.{who}"]["statement"])
        sizes[who] = sum(
            len(json.dumps(_bare(statement), separators=(",", ":"))) + 30
            for statement in statements
        )
        sizes[who] += longest * sum(len(statement["resources"]) for statement in statements)
    key = 2 * 350  # the two statements about a KMS key
    assert sizes["viewer"] + sizes["operator"] + key < 6144, sizes


def test_a_role_is_passed_to_one_named_service(deployed: dict[str, Resource]) -> None:
    passes = [
        statement for statement in _statements(deployed) if "iam:PassRole" in statement["actions"]
    ]
    assert len(passes) == 2
    assert all(
        [condition["variable"] for condition in statement["condition"]] == ["iam:PassedToService"]
        for statement in passes
    )
    assert all("*" not in resource for statement in passes for resource in statement["resources"])


def test_a_service_acts_for_this_deployments_resources_only(deployed: dict[str, Resource]) -> None:
    for_services = {
        (principal["identifiers"][0], action): {
            condition["variable"] for condition in statement["condition"]
        }
        for statement in _statements(deployed)
        for principal in statement["principals"]
        if principal["type"] == "Service"
        for action in statement["actions"]
    }
    assert for_services == {
        ("lambda.amazonaws.com", "sts:AssumeRole"): set(),
        ("bedrock.amazonaws.com", "sts:AssumeRole"): {"aws:SourceAccount", "aws:SourceArn"},
        ("scheduler.amazonaws.com", "sts:AssumeRole"): {"aws:SourceAccount", "aws:SourceArn"},
        ("s3.amazonaws.com", "sqs:SendMessage"): {"aws:SourceAccount", "aws:SourceArn"},
        # EventBridge gives no account here
        ("events.amazonaws.com", "sqs:SendMessage"): {"aws:SourceArn"},
        **{
            (f"{service}.amazonaws.com", action): {"aws:SourceAccount", "aws:SourceArn"}
            for service in ("events", "s3")
            for action in ("kms:Decrypt", "kms:GenerateDataKey")
        },
        **{
            ("logs.eu-west-1.amazonaws.com", action): {"kms:EncryptionContext:aws:logs:arn"}
            for action in LOGS_KEY_ACTIONS
        },
    }


def test_who_may_send_to_which_queue(deployed: dict[str, Resource]) -> None:
    sends = {
        (resource.rpartition(":")[2], value)
        for statement in _statements(deployed)
        if statement["principals"] and "sqs:SendMessage" in statement["actions"]
        for resource in statement["resources"]
        for condition in statement["condition"]
        if condition["variable"] == "aws:SourceArn"
        for value in condition["values"]
    }
    assert sends == {
        ("bbq-uploads", "arn:aws:s3:::bbq-bucket"),
        ("bbq-hints", "arn:aws:events:eu-west-1:111122223333:rule/bbq-bedrock"),
        ("bbq-hints-dead", "arn:aws:events:eu-west-1:111122223333:rule/bbq-bedrock"),
    }


def test_every_queue_is_encrypted_keeps_two_weeks_and_refuses_plain_http(
    deployed: dict[str, Resource],
) -> None:
    queues = _of_type(deployed, "aws_sqs_queue")
    refusals = {
        resource.rpartition(":")[2]
        for statement in _statements(deployed)
        if statement["effect"] == "Deny" and set(statement["actions"]) == {"sqs:*"}
        for resource in statement["resources"]
        if statement["condition"]
        == [{"test": "Bool", "values": ["false"], "variable": "aws:SecureTransport"}]
    }
    assert {queue["name"] for queue in queues} == refusals
    assert all(queue["sqs_managed_sse_enabled"] and queue["policy"] for queue in queues)
    assert {queue["message_retention_seconds"] for queue in queues} == {14 * 24 * 3600}


def test_with_a_key_everything_that_is_kept_is_encrypted_with_it(
    messages: list[dict[str, Any]],
) -> None:
    deployed = _state(messages, "encrypted_with_a_given_key")
    keys: dict[str, Callable[[Resource], Any]] = {
        "aws_cloudwatch_log_group": lambda group: group["kms_key_id"],
        "aws_dynamodb_table": lambda table: table["server_side_encryption"][0]["kms_key_arn"],
        "aws_s3_bucket_server_side_encryption_configuration": lambda bucket: bucket["rule"][0][
            "apply_server_side_encryption_by_default"
        ][0]["kms_master_key_id"],
        "aws_sns_topic": lambda topic: topic["kms_master_key_id"],
        "aws_sqs_queue": lambda queue: queue["kms_master_key_id"],
    }
    used = {
        kind: [key(resource) for resource in _of_type(deployed, kind)] for kind, key in keys.items()
    }
    assert {kind: len(found) for kind, found in used.items()} == {
        "aws_cloudwatch_log_group": 2,
        "aws_dynamodb_table": 2,
        "aws_s3_bucket_server_side_encryption_configuration": 1,
        "aws_sns_topic": 1,
        "aws_sqs_queue": 5,
    }
    assert {key for found in used.values() for key in found} == {KEY}
    assert not any(
        queue["sqs_managed_sse_enabled"] for queue in _of_type(deployed, "aws_sqs_queue")
    )
    environment = deployed["module.scheduler.aws_lambda_function.this"]["environment"][0][
        "variables"
    ]
    assert environment["BBQ_KMS_KEY_ARN"] == KEY, "Bedrock is told the key of its output"


def test_what_is_handed_on_without_an_answer_has_somewhere_to_fail_to(
    deployed: dict[str, Resource],
) -> None:
    """Queues, the rule's target, the stream's reader; the timers' dead-letter queue is the
    scheduler's to name.
    """
    dead = {
        "uploads": json.loads(deployed["module.uploads.aws_sqs_queue.this"]["redrive_policy"])[
            "deadLetterTargetArn"
        ],
        "hints": json.loads(deployed["module.hints.aws_sqs_queue.this"]["redrive_policy"])[
            "deadLetterTargetArn"
        ],
        "rule": deployed["aws_cloudwatch_event_target.hints"]["dead_letter_config"][0]["arn"],
        "stream": deployed["aws_lambda_event_source_mapping.events"]["destination_config"][0][
            "on_failure"
        ][0]["destination_arn"],
        "timers": deployed["module.scheduler.aws_lambda_function.this"]["environment"][0][
            "variables"
        ]["BBQ_HINTS_DLQ_ARN"],
    }
    queues = {queue["arn"]: queue["name"] for queue in _of_type(deployed, "aws_sqs_queue")}
    assert {edge: queues[arn] for edge, arn in dead.items()} == {
        "uploads": "bbq-uploads-dead",
        "hints": "bbq-hints-dead",
        "rule": "bbq-hints-dead",
        "timers": "bbq-hints-dead",
        "stream": "bbq-stream-failures",
    }
    read = {
        mapping["event_source_arn"]
        for mapping in _of_type(deployed, "aws_lambda_event_source_mapping")
    }
    assert len(read) == 3, "another edge needs a place to fail to"


def test_every_queue_that_a_function_reads_has_a_dead_letter_queue_and_hides_messages_long_enough(
    deployed: dict[str, Resource],
) -> None:
    timeouts = {
        function["arn"]: function["timeout"]
        for function in _of_type(deployed, "aws_lambda_function")
    }
    queues = {queue["arn"]: queue for queue in _of_type(deployed, "aws_sqs_queue")}
    readers = {
        mapping["event_source_arn"]: timeouts[mapping["function_name"]]
        for mapping in _of_type(deployed, "aws_lambda_event_source_mapping")
        if mapping["event_source_arn"] in queues
    }
    assert {queues[arn]["name"] for arn in readers} == {"bbq-uploads", "bbq-hints"}
    for arn, timeout in readers.items():
        assert queues[arn]["visibility_timeout_seconds"] >= 6 * timeout
        assert json.loads(queues[arn]["redrive_policy"])["deadLetterTargetArn"] == f"{arn}-dead"


def test_a_dead_letter_lives_as_long_as_its_alarm_says(deployed: dict[str, Resource]) -> None:
    """A message that moves keeps its age (SQS developer guide, "Dead-letter queues"): its receives
    take their part of 14 days.
    """
    functions = {
        function["function_name"]: function
        for function in _of_type(deployed, "aws_lambda_function")
    }
    for queue, longest, function in (
        ("uploads", intake_handler.LONGEST_RETRY_SECONDS, "bbq-intake"),
        ("hints", scheduler_handler.LONGEST_RETRY_SECONDS, "bbq-scheduler"),
    ):
        source = deployed[f"module.{queue}.aws_sqs_queue.this"]
        receives = json.loads(source["redrive_policy"])["maxReceiveCount"]
        cut_off = receives * source["visibility_timeout_seconds"]
        failing = sum(
            retry_seconds(n, longest) + functions[function]["timeout"]
            for n in range(1, receives + 1)
        )
        alarm = deployed[f'aws_cloudwatch_metric_alarm.this["{queue}-dead-letters"]']
        (days,) = re.findall(r"for (\d+) days from now", alarm["alarm_description"])
        left = source["message_retention_seconds"] - max(cut_off, failing)
        assert int(days) == left // 86_400, f"{queue}: {left / 86_400:.1f} days"


def test_functions_run_on_arm_with_python_3_13_traced_and_with_logs_that_end(
    deployed: dict[str, Resource],
) -> None:
    functions = _of_type(deployed, "aws_lambda_function")
    assert {function["handler"] for function in functions} == {
        f"bbq.services.{name}.handler.handler" for name in ("intake", "scheduler")
    }
    for function in functions:
        assert (function["architectures"], function["runtime"]) == (["arm64"], "python3.13")
        assert function["tracing_config"] == [{"mode": "Active"}]
    retention = {
        group["name"]: group["retention_in_days"]
        for group in _of_type(deployed, "aws_cloudwatch_log_group")
    }
    assert retention == {f"/aws/lambda/{function['function_name']}": 30 for function in functions}


def test_everything_is_tagged_with_the_deployment(deployed: dict[str, Resource]) -> None:
    taggable = {
        address: values["tags"]
        for address, values in deployed.items()
        if "tags" in values and "data." not in address
    }
    assert len(taggable) > 15
    assert {
        address for address, tags in taggable.items() if tags != {"bbq-deployment": "bbq"}
    } == set()


def test_the_scheduler_can_read_its_configuration(deployed: dict[str, Resource]) -> None:
    environment = deployed["module.scheduler.aws_lambda_function.this"]["environment"][0][
        "variables"
    ]
    config = read_config({**environment, "AWS_REGION": "eu-west-1"})
    assert config.models["haiku"].limit == 2
    assert config.function_timeout == timedelta(
        seconds=deployed["module.scheduler.aws_lambda_function.this"]["timeout"]
    )
    assert config.timer_role_arn == deployed["aws_iam_role.timers"]["arn"]


def test_the_largest_models_and_the_longest_names_fit_the_environment(
    deployed: dict[str, Resource],
) -> None:
    environment: dict[str, str] = deployed["module.scheduler.aws_lambda_function.this"][
        "environment"
    ][0]["variables"]
    longest = 24 - len("bbq")  # characters that a name may have more than the one here
    others = sum(
        len(name) + len(value) + longest
        for name, value in environment.items()
        if name != "BBQ_MODELS"
    )
    key = len("BBQ_KMS_KEY_ARN") + 80
    limit = re.search(r"models_json_max_bytes = (\d+)", (TERRAFORM / "models.tf").read_text())
    assert limit is not None
    assert others + key + len("BBQ_MODELS") + int(limit[1]) <= LAMBDA_ENVIRONMENT_BYTES


def test_the_stream_delivers_every_event_but_those_that_leave_nothing_to_do(
    deployed: dict[str, Resource],
) -> None:
    criteria = deployed["aws_lambda_event_source_mapping.events"]["filter_criteria"]
    pattern = json.loads(criteria[0]["filter"][0]["pattern"])
    assert pattern["eventName"] == ["INSERT"]
    (names,) = pattern["dynamodb"]["NewImage"]["name"]["S"]
    quiet = {"slot-claimed", "job-submitted", "job-progressed"}
    assert set(names["anything-but"]) == quiet <= set(events.EVENTS)
    assert not quiet & PUBLISHED


def test_the_tables_have_the_keys_that_the_code_uses(deployed: dict[str, Resource]) -> None:
    stored, projections = (
        deployed["aws_dynamodb_table.events"],
        deployed["aws_dynamodb_table.projections"],
    )
    assert {attribute["name"]: attribute["type"] for attribute in stored["attribute"]} == {
        "stream": "S",
        "version": "N",
    }
    assert (stored["hash_key"], stored["range_key"]) == ("stream", "version")
    assert (projections["hash_key"], projections["range_key"]) == ("pk", "sk")
    index = projections["global_secondary_index"][0]
    assert (index["name"], index["hash_key"], index["range_key"], index["projection_type"]) == (
        tables.STATUS_INDEX,
        "status_key",
        "queued_at",
        "ALL",
    )


def test_bbq_can_read_what_the_deployment_says_of_itself(deployed: dict[str, Resource]) -> None:
    parameter = deployed["aws_ssm_parameter.deployment"]
    assert parameter["name"] == f"{PATH}bbq"
    found = read(parameter["value"])
    environment = deployed["module.scheduler.aws_lambda_function.this"]["environment"][0][
        "variables"
    ]
    config = read_config({**environment, "AWS_REGION": "eu-west-1"})
    assert (found.name, found.region, found.account_id) == ("bbq", "eu-west-1", "111122223333")
    assert (found.models, found.lease) == (config.models, config.lease)
    intake = deployed["module.intake.aws_lambda_function.this"]["environment"][0]["variables"]
    assert (found.default_model, found.bucket) == (
        intake["BBQ_DEFAULT_MODEL"],
        intake["BBQ_BUCKET"],
    )
    assert found.events_table == environment["BBQ_EVENTS_TABLE"]
    assert found.projections_table == environment["BBQ_PROJECTIONS_TABLE"]
    assert (found.uploads_queue_url, found.hints_queue_url) == (
        "https://sqs/bbq-uploads",
        environment["BBQ_HINTS_QUEUE_URL"],
    )
    assert set(found.dead_letter_queue_urls) == {"uploads", "hints", "stream"}
    assert found.events_topic_arn == deployed["aws_sns_topic.events"]["arn"]


def test_alarms_and_dashboard_wait_for_nothing_that_is_made(deployed: dict[str, Resource]) -> None:
    """They watch by name: so the names are compared with what is there."""
    for page in ("alarms.tf", "dashboard.tf"):
        words = re.sub(r"#.*", "", (TERRAFORM / page).read_text())
        made = set(re.findall(r"\bmodule\.\w+|(?<!\w)(?:data\.)?aws_\w+\.\w+", words))
        assert made <= {"aws_cloudwatch_metric_alarm.this"}, page
    names = re.findall(
        r"^ +(?:intake|scheduler)_name += (.*)$",
        (TERRAFORM / "versions.tf").read_text(),
        re.MULTILINE,
    )
    assert names == ['"${var.name}-intake"', '"${var.name}-scheduler"']
    there = {
        "QueueName": {queue["name"] for queue in _of_type(deployed, "aws_sqs_queue")},
        "FunctionName": {
            function["function_name"] for function in _of_type(deployed, "aws_lambda_function")
        },
        "ScheduleGroup": {
            group["name"] for group in _of_type(deployed, "aws_scheduler_schedule_group")
        },
        "service": {
            function["environment"][0]["variables"]["POWERTOOLS_SERVICE_NAME"]
            for function in _of_type(deployed, "aws_lambda_function")
        },
    }
    watched = [
        pair
        for alarm in _alarms(deployed)
        for pair in alarm["dimensions"].items()
        if pair[0] != "model"
    ]
    assert len(watched) > 10
    assert [(name, value) for name, value in watched if value not in there[name]] == []


def test_the_provider_may_be_of_version_5_or_6() -> None:
    """Here is one of version 5 only; what version 6 calls deprecated is not used."""
    text = "".join(path.read_text() for path in FILES)
    assert re.search(r'version = ">= 5.100, < 7"', text)
    assert "aws_region.current.name" not in text


def test_the_dashboard_is_one_without_gaps_or_overlaps(deployed: dict[str, Resource]) -> None:
    widgets = _dashboard(deployed)["widgets"]
    assert [widget["type"] for widget in widgets[:2]] == ["text", "alarm"]
    assert {widget["type"] for widget in widgets[2:]} == {"metric"}
    taken = [
        (x, y)
        for widget in widgets
        for x in range(widget["x"], widget["x"] + widget["width"])
        for y in range(widget["y"], widget["y"] + widget["height"])
    ]
    assert len(taken) == len(set(taken)) == 24 * (1 + max(y for _, y in taken))
    assert max(x for x, _ in taken) == 23
    assert (
        len(widgets[1]["properties"]["alarms"])
        == len(_of_type(deployed, "aws_cloudwatch_metric_alarm"))
        <= 100
    )


def test_a_dashboard_of_many_models_searches_for_their_series(
    messages: list[dict[str, Any]],
) -> None:
    few, many = (_dashboard(_state(messages, run)) for run in ("defaults", "many_models"))
    graphs = [
        {widget["properties"]["title"]: widget["properties"] for widget in board["widgets"][2:]}
        for board in (few, many)
    ]
    assert graphs[0].keys() == graphs[1].keys()
    listed, searched = (graph["Jobs in line"]["metrics"] for graph in graphs)
    assert listed == [
        [
            "BedrockBatchQueue",
            "JobsWaiting",
            "service",
            "bbq-scheduler",
            "model",
            "haiku",
            listed[0][-1],
        ]
    ]
    assert [one[0]["expression"] for one in searched] == [
        (
            'SEARCH(\'{BedrockBatchQueue,service,model} MetricName="JobsWaiting" '
            "service=\"bbq-scheduler\"', 'Maximum', 300)"
        )
    ]
    assert len(many["widgets"][1]["properties"]["alarms"]) <= 100


def test_every_metric_that_somebody_looks_at_is_one_that_is_written(
    deployed: dict[str, Resource],
) -> None:
    shown = set(_shown(_dashboard(deployed)))
    alarmed = {
        alarm["metric_name"]
        for alarm in _alarms(deployed)
        if alarm["namespace"] == "BedrockBatchQueue"
    }
    assert len(shown) > 15
    assert alarmed | shown <= METRICS.keys()
    assert alarmed <= shown, "whoever gets an alarm looks for it on the dashboard"


def test_the_pages_name_every_alarm_with_its_metric(deployed: dict[str, Resource]) -> None:
    metrics, operating = (
        (ROOT / "docs" / page).read_text() for page in ("metrics.md", "operating.md")
    )
    described = set(
        re.findall(
            r"`([a-z<>-]+)`", "\n".join(re.findall(r"^\|([^|]+)\|", operating, re.MULTILINE))
        )
    )
    for alarm in _alarms(deployed):
        name = alarm["alarm_name"].removeprefix("bbq-").replace("haiku", "<model>")
        (row,) = [line for line in metrics.splitlines() if f"`{name}`" in line]
        assert f"`{alarm['metric_name']}`" in row
        assert name in described


def test_every_alarm_says_what_to_run(deployed: dict[str, Resource]) -> None:
    for alarm in _alarms(deployed):
        named = set(re.findall(r"`bbq ([a-z]+)", alarm["alarm_description"]))
        assert named, alarm["alarm_name"]
        assert named <= COMMANDS
        assert len(alarm["alarm_description"]) < 1024 - 200, (
            "CloudWatch's limit, with room for long names"
        )


def test_the_dashboard_names_commands_that_exist(deployed: dict[str, Resource]) -> None:
    text = _dashboard(deployed)["widgets"][0]["properties"]["markdown"]
    assert len(set(re.findall(r"`bbq ([a-z]+)", text))) > 5
    assert set(re.findall(r"`bbq ([a-z]+)", text)) <= COMMANDS


def test_the_bucket_has_the_prefixes_that_the_code_uses(deployed: dict[str, Resource]) -> None:
    queue = deployed["aws_s3_bucket_notification.uploads"]["queue"][0]
    # what other tools name is rejected
    assert (queue["filter_prefix"], queue["filter_suffix"]) == (names.INPUT_PREFIX, None)
    resources = {
        resource for statement in _statements(deployed) for resource in statement["resources"] or ()
    }
    prefixes = (f"{names.INPUT_PREFIX}*", f"{names.STAGED_PREFIX}*", f"{names.OUTPUT_PREFIX}*")
    assert {f"arn:aws:s3:::bbq-bucket/{prefix}" for prefix in prefixes} <= resources


def _terraform(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Never the caller's AWS credentials, data directory or command-line settings."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "TF_"))
    }
    command = [
        "terraform",
        f"-chdir={directory}",
        arguments[0],
        *(() if arguments[0] == "fmt" else ("-no-color",)),
        *arguments[1:],
    ]
    return subprocess.run(
        command, env=kept, capture_output=True, text=True, check=False, timeout=600
    )


def _absent(reason: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def _resources(module: dict[str, Any]) -> Iterator[tuple[str, Resource]]:
    for resource in module.get("resources", []):
        yield resource["address"], resource["values"]
    for child in module.get("child_modules", []):
        yield from _resources(child)


def _state(messages: list[dict[str, Any]], run: str) -> dict[str, Resource]:
    state = next(
        message["test_state"]
        for message in messages
        if message["type"] == "test_state" and message["@testrun"] == run
    )
    return dict(_resources(state["root_module"]))


def _dashboard(deployed: dict[str, Resource]) -> dict[str, Any]:
    return dict(json.loads(deployed["aws_cloudwatch_dashboard.this"]["dashboard_body"]))


def _shown(dashboard: dict[str, Any]) -> Iterator[str]:
    """Our metrics in a dashboard's graphs, listed and searched."""
    for widget in dashboard["widgets"][2:]:
        for metric in widget["properties"]["metrics"]:
            if metric[0] == "BedrockBatchQueue":
                yield metric[1]
            elif isinstance(metric[0], dict):
                yield from re.findall(r'MetricName="(\w+)"', metric[0]["expression"])


def _alarms(deployed: dict[str, Resource]) -> list[Resource]:
    return _of_type(deployed, "aws_cloudwatch_metric_alarm")


def _bare(statement: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in statement.items() if value}


def _of_type(deployed: dict[str, Resource], kind: str) -> list[Resource]:
    return [values for address, values in deployed.items() if f"{kind}." in address]


def _statements(deployed: dict[str, Resource]) -> Iterator[dict[str, Any]]:
    yield from (statement for _, statement in _addressed_statements(deployed))


def _addressed_statements(deployed: dict[str, Resource]) -> Iterator[tuple[str, dict[str, Any]]]:
    for address, values in deployed.items():
        if "data.aws_iam_policy_document." in address:
            yield from ((address, statement) for statement in values["statement"])
