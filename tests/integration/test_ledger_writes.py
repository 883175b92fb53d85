"""The fields that a write of the ledger names (moto, in process)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import boto3
import pytest
from moto import mock_aws

from docwell.adapters.aws import client
from docwell.adapters.dynamodb.ledger import DynamoLedger
from docwell.adapters.dynamodb.table import Table
from docwell.models import DocumentRecord
from infra.local.names import LEDGER_SCHEMA

pytestmark = pytest.mark.integration
KEY = "a.pdf"


@mock_aws()
def test_a_write_names_only_the_fields_that_change(monkeypatch: pytest.MonkeyPatch) -> None:
    boto3.client("dynamodb").create_table(TableName="ledger", **LEDGER_SCHEMA)
    ledger = DynamoLedger(client("dynamodb"), "ledger", "f1", clock=lambda: 5.0)
    lease = ledger.acquire(KEY, "one")
    assert lease is not None
    lease = ledger.write(lease, DocumentRecord(KEY, etag='"e"', title="T", author="A"), fresh=True)
    expressions: list[str] = []
    update = Table.update

    def watched(table: Table, key: Any, expression: str, *rest: Any, **more: Any) -> Any:
        expressions.append(expression)
        return update(table, key, expression, *rest, **more)

    monkeypatch.setattr(Table, "update", watched)
    lease = ledger.write(lease, replace(lease.record, title="U", author=None))
    assert expressions == ["SET #title = :title, lease_expires = :expires REMOVE #author"]
    assert (lease.record.etag, lease.record.title, lease.record.author) == ('"e"', "U", None)
    assert ledger.get(KEY) == lease.record
