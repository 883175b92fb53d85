"""The segments of a scan of the ledger, which the partitions of a reconcile pass read (moto, in process)."""

from __future__ import annotations

import boto3
import pytest
from moto import mock_aws

from docwell.adapters.aws import client
from docwell.adapters.dynamodb.ledger import DynamoLedger
from infra.local.names import LEDGER_SCHEMA

pytestmark = pytest.mark.integration


def test_segments_of_a_scan_have_each_row_once() -> None:
    keys = {f"{number}.pdf" for number in range(30)}
    found: list[str] = []
    with mock_aws():
        boto3.client("dynamodb").create_table(TableName="ledger", **LEDGER_SCHEMA)
        ledger = DynamoLedger(client("dynamodb"), "ledger", "f1")
        for key in keys:
            ledger.acquire(key, "one")
        for part in range(3):
            cursor: str | None = None
            while True:
                rows, cursor = ledger.scan(cursor, 4, (part, 3))
                found += [row.record.key for row in rows]
                if cursor is None:
                    break
    assert sorted(found) == sorted(keys)
