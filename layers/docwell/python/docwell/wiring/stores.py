"""Factories of the stores that several functions share. The caller's settings say where these are."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from docwell.config import QuerySettings, StorageSettings

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from docwell.adapters.chroma import ChromaIndex
    from docwell.adapters.chroma_records import Quotas
    from docwell.adapters.dynamodb.ledger import DynamoLedger, DynamoState
    from docwell.adapters.s3 import S3ObjectStore
    from docwell.adapters.server_auth import AuthHeader, ServerAuth
    from docwell.adapters.sqs import SqsTaskQueue


@cache
def documents_of(settings: StorageSettings) -> S3ObjectStore:
    """Return the documents bucket."""
    from docwell.adapters.aws import client
    from docwell.adapters.s3 import S3ObjectStore

    return S3ObjectStore(client("s3"), settings.bucket)


@cache
def dynamodb(settings: StorageSettings) -> DynamoDBClient:
    """Return the client of every table. The query function's client gives up early: a user waits."""
    from docwell.adapters.aws import client

    tables: DynamoDBClient = client("dynamodb", quick=isinstance(settings, QuerySettings))
    return tables


def state_store(settings: StorageSettings) -> DynamoState:
    """Return the store of facts about the whole index."""
    from docwell.adapters.dynamodb.ledger import DynamoState

    return DynamoState(dynamodb(settings), settings.ledger_table)


def ledger_of(
    settings: StorageSettings, fingerprint: str, lease_s: float = 90.0, *, notes_outcomes: bool = False
) -> DynamoLedger:
    """Return the ledger of one pipeline."""
    from docwell.adapters.dynamodb.ledger import DynamoLedger

    return DynamoLedger(
        dynamodb(settings), settings.ledger_table, fingerprint, lease_s, notes_outcomes=notes_outcomes
    )


@cache
def index_of(settings: StorageSettings, fingerprint: str, shards: int) -> ChromaIndex:
    """Return the vector index of one fingerprint."""
    from docwell.adapters.chroma import ChromaIndex, ChromaServer
    from docwell.adapters.chroma_records import Layout

    server = ChromaServer(
        settings.chroma_url,
        tenant=settings.chroma_tenant,
        database=settings.chroma_database,
        auth=server_auth("chroma", settings.chroma_token, settings.chroma_header),
        timeout_s=settings.chroma_timeout_s,
        quotas=chroma_quotas(settings),
    )
    kept_passages = settings.kept_passages if isinstance(settings, QuerySettings) else 0
    return ChromaIndex(server, Layout(fingerprint, shards), kept_passages)


def chroma_quotas(settings: StorageSettings) -> Quotas:
    """Return the quotas of Chroma: only the hosted service uses X-Chroma-Token."""
    from docwell.adapters.chroma_records import HOSTED, UNLIMITED

    return HOSTED if settings.chroma_header == "X-Chroma-Token" else UNLIMITED


def server_auth(server: str, token: str | None, header: AuthHeader = "Authorization") -> ServerAuth | None:
    """Return the signer of requests to a server, from a token or its secret's ARN; None without either."""
    from docwell.adapters.aws import client
    from docwell.adapters.server_auth import Credential, ServerAuth, secret_reader

    if token is None:
        return None
    if not token.startswith("arn:"):
        return ServerAuth(lambda: Credential(token), header, server)
    return ServerAuth(secret_reader(client("secretsmanager", quick=True), token, server), header, server)


@cache
def task_queue(url: str) -> SqsTaskQueue:
    """Return a queue that ingest reads from."""
    from docwell.adapters.aws import client
    from docwell.adapters.sqs import SqsTaskQueue

    return SqsTaskQueue(client("sqs"), url)
