"""The places of collections in the ledger, on moto."""

from __future__ import annotations

from collections.abc import Iterator

import boto3
import pytest
from moto import mock_aws

from docwell.adapters.dynamodb.ledger import DynamoState
from docwell.adapters.placed_index import Placement
from docwell.config import SettingsError, StorageSettings
from infra.local.names import LEDGER_SCHEMA, ROOT
from tests.unit.infra.templates import content

pytestmark = pytest.mark.integration


@pytest.fixture
def state() -> Iterator[DynamoState]:
    with mock_aws():
        client = boto3.client("dynamodb", "us-east-1")
        client.create_table(TableName="ledger", **LEDGER_SCHEMA)
        yield DynamoState(client, "ledger")


def test_ingest_may_place_a_collection(state: DynamoState) -> None:
    calls: list[str] = []
    state._table._client.meta.events.register(
        "before-parameter-build.dynamodb", lambda model, **_: calls.append(f"dynamodb:{model.name}")
    )
    for url in ("http://a/", "http://b/"):
        Placement(state, "f", [url]).place("c", lambda: False)
    policies = content(ROOT / "infra" / "roles.yaml")["Resources"]["IngestRole"]["Properties"]["Policies"]
    statements = [one for policy in policies for one in policy["PolicyDocument"]["Statement"]]
    allowed = {one for statement in statements if "Action" in statement for one in statement["Action"]}
    assert set(calls) == {"dynamodb:GetItem", "dynamodb:UpdateItem"}
    assert set(calls) <= allowed
    assert state.read("chroma/f/c") == {"server": "http://b/"}


def test_a_fact_is_claimed_once_and_changed_only_from_what_was_read(state: DynamoState) -> None:
    assert state.claim("chroma/f/a", {"server": "one"}, {})
    assert not state.claim("chroma/f/a", {"server": "two"}, {})
    assert not state.claim("chroma/f/a", {"server": "two"}, {"server": "three"})
    assert state.read("chroma/f/a") == {"server": "one"}
    assert state.claim("chroma/f/a", {"server": "two"}, {"server": "one"})
    assert state.read("chroma/f/a") == {"server": "two"}


@pytest.mark.parametrize("urls", ["http://a:1,http://a:1/", "http://a:1,", "http://a:1,ftp://b", "a"])
def test_a_wrong_list_of_servers_is_refused_by_name(urls: str) -> None:
    with pytest.raises(SettingsError, match="DOCWELL_CHROMA_URL"):
        StorageSettings.read(bucket="b", chroma_url=urls)


def test_a_list_of_servers_is_normalised() -> None:
    settings = StorageSettings.read(bucket="b", chroma_url="http://a:1, https://b")
    assert settings.chroma_url == "http://a:1/,https://b/"
