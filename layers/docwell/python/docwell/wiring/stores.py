"""Factories of the stores that several functions share. The caller's settings say where these are."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from docwell.config import QuerySettings, StorageSettings

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from docwell.adapters.chroma import ChromaIndex
    from docwell.adapters.dynamodb.ledger import DynamoLedger, DynamoState
    from docwell.adapters.sqs import SqsTaskQueue


def state_store(settings: StorageSettings) -> DynamoState:
    """Return the store of facts about the whole index."""
    from docwell.adapters.dynamodb.ledger import DynamoState

    return DynamoState(dynamodb(quick=isinstance(settings, QuerySettings)), settings.ledger_table)


@cache
def dynamodb(*, quick: bool) -> DynamoDBClient:
    """Return the client of every table; `quick` has short timeouts, for requests that a user waits for."""
    from docwell.adapters.aws import client

    made: DynamoDBClient = client("dynamodb", quick=quick)
    return made


def ledger_of(settings: StorageSettings, fingerprint: str, lease_s: float = 90.0) -> DynamoLedger:
    """Return the ledger of one pipeline."""
    from docwell.adapters.dynamodb.ledger import DynamoLedger

    return DynamoLedger(
        dynamodb(quick=isinstance(settings, QuerySettings)), settings.ledger_table, fingerprint, lease_s
    )


@cache
def vectors_of(settings: StorageSettings, fingerprint: str) -> ChromaIndex:
    """Return the vector index of one pipeline."""
    from docwell.adapters.chroma import ChromaIndex

    return ChromaIndex(
        str(settings.chroma_url),
        fingerprint,
        tenant=settings.chroma_tenant,
        database=settings.chroma_database,
        token=settings.chroma_token,
        timeout_s=settings.chroma_timeout_s,
        kept_passages=settings.kept_passages if isinstance(settings, QuerySettings) else 0,
    )


@cache
def task_queue(url: str) -> SqsTaskQueue:
    """Return a queue that ingest reads from."""
    from docwell.adapters.aws import client
    from docwell.adapters.sqs import SqsTaskQueue

    return SqsTaskQueue(client("sqs"), url)
