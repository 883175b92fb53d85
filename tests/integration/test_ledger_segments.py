"""The segments of a scan of the ledger, which the partitions of a reconcile pass read (moto, in process)."""

from __future__ import annotations

import boto3
import pytest
from moto import mock_aws

from docwell.adapters.aws import client
from docwell.adapters.dynamodb.ledger import DynamoLedger, DynamoState
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


def test_a_scan_has_the_rows_of_its_pipeline_and_sees_which_others_have_rows() -> None:
    with mock_aws():
        boto3.client("dynamodb").create_table(TableName="ledger", **LEDGER_SCHEMA)
        ledgers = {name: DynamoLedger(client("dynamodb"), "ledger", name) for name in ("f1", "f2")}
        DynamoState(client("dynamodb"), "ledger").write("a fact", {"of": "the index"})
        for name, ledger in ledgers.items():
            ledger.acquire(f"{name}.pdf", "one")
        for name, other in (("f1", {"f2"}), ("f2", {"f1"})):
            rows, _ = ledgers[name].scan(None, 100)
            assert [row.record.key for row in rows] == [f"{name}.pdf"]
            assert ledgers[name].others == other
        ledgers["f2"].forget(["f2.pdf"])
        ledgers["f1"].scan(None, 100)
        assert ledgers["f1"].others == set()
