"""The parts of the plugins for LocalStack that need no LocalStack: moto's improved transactions,
and the Runtime API.
"""

import json
import urllib.request
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws
from moto.dynamodb.models import DynamoDBBackend, dynamodb_backends
from moto.dynamodb.models.table import Table

from bbq.shared.dynamodb import DynamoTables
from local.localstack.bbq_localstack import transactions
from local.localstack.bbq_localstack.runtime_api import Answer, RuntimeApi
from tests.contract.test_tables import *  # noqa: F403 - the whole contract, on improved tables, and its fixture `store`
from tests.support.tables import REGION, create_tables

NAME = "projections"


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for kind, name in ((DynamoDBBackend, "transact_write_items"), (Table, "query")):
        monkeypatch.setattr(kind, name, getattr(kind, name))  # put back afterwards
    with mock_aws():
        transactions.improve()
        made = boto3.client("dynamodb", region_name=REGION)
        create_tables(made)
        stream: Any = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
        made.update_table(TableName=NAME, StreamSpecification=stream)
        yield made


@pytest.fixture  # type: ignore[no-redef] # instead of the one that came with the tests
def tables(client: Any) -> DynamoTables:
    return DynamoTables({"events": "events", "projections": NAME}, REGION)


def item(number: int, **more: Any) -> dict[str, Any]:
    return {"pk": {"S": "a"}, "sk": {"S": f"{number:03d}"}, **more}


def put(number: int, **more: Any) -> dict[str, Any]:
    return {"Put": {"TableName": NAME, "Item": item(number, **more)}}


def table() -> Any:
    (found,) = [
        table
        for name, table in dynamodb_backends["123456789012"][REGION].tables.items()
        if name == NAME
    ]
    return found


def test_a_condition_that_fails_writes_nothing_and_tells_no_stream(client: Any) -> None:
    client.put_item(TableName=NAME, Item=item(1))
    shard = table().stream_shard
    new = {
        "Put": {
            "TableName": NAME,
            "Item": item(1),
            "ConditionExpression": "attribute_not_exists(pk)",
        }
    }
    with pytest.raises(ClientError) as refused:
        client.transact_write_items(TransactItems=[put(2), new, put(3)])
    codes = [reason["Code"] for reason in refused.value.response["CancellationReasons"]]
    assert codes == ["None", "ConditionalCheckFailed", "None"]
    assert client.scan(TableName=NAME)["Items"] == [item(1)]
    assert table().stream_shard is shard
    assert len(shard.items) == 1


def test_a_write_that_fails_after_its_condition_held_undoes_those_before_it(client: Any) -> None:
    client.put_item(TableName=NAME, Item=item(1, n={"S": "old"}))
    bad = {
        "Update": {
            "TableName": NAME,
            "Key": item(3),
            "UpdateExpression": "SET n = m + :one",
            "ExpressionAttributeValues": {":one": {"N": "1"}},
        }
    }
    with pytest.raises(ClientError):
        client.transact_write_items(TransactItems=[put(1, n={"S": "new"}), put(2), bad])
    assert client.scan(TableName=NAME)["Items"] == [item(1, n={"S": "old"})]
    assert len(table().stream_shard.items) == 1


def test_the_same_item_twice_is_refused(client: Any) -> None:
    with pytest.raises(ClientError, match="multiple operations on one item"):
        client.transact_write_items(TransactItems=[put(1), put(1)])


def test_a_query_reads_its_own_partition_in_order_and_by_pages(client: Any) -> None:
    for number in (3, 1, 2):
        client.put_item(TableName=NAME, Item=item(number))
        client.put_item(TableName=NAME, Item=item(number) | {"pk": {"S": "b"}})
    asked: dict[str, Any] = {
        "TableName": NAME,
        "KeyConditionExpression": "pk = :pk",
        "ExpressionAttributeValues": {":pk": {"S": "a"}},
    }
    first = client.query(**asked, Limit=2)
    assert first["Items"] == [item(1), item(2)]
    assert client.query(**asked, ExclusiveStartKey=first["LastEvaluatedKey"])["Items"] == [item(3)]
    assert client.query(**asked, ScanIndexForward=False)["Items"] == [item(3), item(2), item(1)]
    nobody = asked | {"ExpressionAttributeValues": {":pk": {"S": "c"}}}
    assert client.query(**nobody)["Items"] == []


@pytest.fixture
def api() -> Iterator[RuntimeApi]:
    made = RuntimeApi()
    yield made
    made.close()


def test_an_invocation_is_asked_for_and_answered(api: RuntimeApi) -> None:
    payload = {
        "invoke-id": "i-1",
        "payload": '{"hello": 1}',
        "invoked-function-arn": "arn:f",
        "trace-id": "Root=1",
    }
    api.give(payload, 4711)
    with urllib.request.urlopen(
        f"http://{api.address}/2018-06-01/runtime/invocation/next", timeout=5
    ) as answer:
        assert json.load(answer) == {"hello": 1}
        assert answer.headers["Lambda-Runtime-Aws-Request-Id"] == "i-1"
        assert answer.headers["Lambda-Runtime-Deadline-Ms"] == "4711"
    assert api.asked.is_set()
    for what in ("response", "error"):
        tell(api, f"invocation/i-1/{what}", b'"said"')
    assert api.answers.get_nowait() == Answer(request="i-1", is_error=False, body=b'"said"')
    assert api.answers.get_nowait() == Answer(request="i-1", is_error=True, body=b'"said"')


def test_why_a_function_did_not_start_is_kept(api: RuntimeApi) -> None:
    tell(api, "init/error", b'{"errorType": "ImportModuleError"}')
    assert api.init_error == b'{"errorType": "ImportModuleError"}'
    assert not api.asked.is_set()


def test_a_body_in_chunks_is_put_together(api: RuntimeApi) -> None:
    tell(api, "invocation/i-1/response", iter([b"one ", b"two"]))
    assert api.answers.get_nowait().body == b"one two"


def tell(api: RuntimeApi, path: str, body: Any) -> None:
    request = urllib.request.Request(
        f"http://{api.address}/2018-06-01/runtime/{path}", data=body, method="POST"
    )
    with urllib.request.urlopen(request, timeout=5) as answer:
        assert answer.status == 202
