"""Cached factories of what the functions share: the table and the vector server.

They are told where these are by the settings of the function that asks.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from docwell.config import QuerySettings, StorageSettings

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from docwell.adapters.chroma import ChromaIndex
    from docwell.adapters.dynamodb.ledger import DynamoLedger
    from docwell.adapters.dynamodb.state import DynamoState
    from docwell.adapters.sqs import SqsTaskQueue


def state_store(settings: StorageSettings) -> DynamoState:
    """Small facts of the whole index."""
    from docwell.adapters.dynamodb.state import DynamoState

    return DynamoState(dynamodb(quick=isinstance(settings, QuerySettings)), settings.ledger_table)


@cache
def dynamodb(*, quick: bool) -> DynamoDBClient:
    """The client of every table; `quick` where somebody waits for an answer."""
    from docwell.adapters.aws import client

    return client("dynamodb", quick=quick)


def ledger_of(settings: StorageSettings, fingerprint: str, lease_s: float = 90.0) -> DynamoLedger:
    """The ledger of one pipeline."""
    from docwell.adapters.dynamodb.ledger import DynamoLedger

    return DynamoLedger(
        dynamodb(quick=isinstance(settings, QuerySettings)), settings.ledger_table, fingerprint, lease_s
    )


@cache
def vectors_of(settings: StorageSettings, fingerprint: str) -> ChromaIndex:
    """The vectors of one pipeline."""
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
    """A queue that ingest reads from."""
    from docwell.adapters.aws import client
    from docwell.adapters.sqs import SqsTaskQueue

    return SqsTaskQueue(client("sqs"), url)
