"""The contract of the tables (tests/contract/test_tables.py), once more on the emulator's DynamoDB
over HTTP.
"""

from collections.abc import Iterator
from itertools import count

import boto3
import pytest

from bbq.shared.dynamodb import DynamoTables
from bbq.shared.tables import Tables
from local.settings import local_environment
from tests.contract.test_tables import *  # noqa: F403 - all its tests, and its fixture `store`
from tests.support.tables import REGION, create_tables

pytestmark = pytest.mark.e2e

_numbers = count()


@pytest.fixture  # type: ignore[no-redef] # instead of the one that came with the tests
def tables(local_stack: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tables]:
    """Tables of their own, beside the deployment's, gone afterwards."""
    for name, value in local_environment().items():
        monkeypatch.setenv(name, value)
    number = next(_numbers)
    names = {"events": f"contract-events-{number}", "projections": f"contract-projections-{number}"}
    client = boto3.client("dynamodb", region_name=REGION)
    create_tables(client, names["events"], names["projections"])
    yield DynamoTables(names, REGION)
    for name in names.values():
        client.delete_table(TableName=name)
