"""What things are called on the local stack, and the marks that parts put on the lines they print."""

from __future__ import annotations

from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]

HOST = "127.0.0.1"
REGION = "us-east-1"
# The account that moto answers for when the credentials name none.
ACCOUNT = "123456789012"
ACCESS_KEY_ID = "test"
SECRET_ACCESS_KEY = "test"  # noqa: S105 - moto takes anything; this is what people expect to type

BUCKET = "docwell-documents"
LEDGER_TABLE = "docwell-ledger"
# As in template.yaml.
LEDGER_SCHEMA: dict[str, Any] = {
    "BillingMode": "PAY_PER_REQUEST",
    "KeySchema": [
        {"AttributeName": "document", "KeyType": "HASH"},
        {"AttributeName": "pipeline", "KeyType": "RANGE"},
    ],
    "AttributeDefinitions": [
        {"AttributeName": name, "AttributeType": "S"} for name in ("document", "pipeline", "collection")
    ],
    "GlobalSecondaryIndexes": [
        {
            "IndexName": "by_collection",
            "KeySchema": [
                {"AttributeName": "collection", "KeyType": "HASH"},
                {"AttributeName": "document", "KeyType": "RANGE"},
            ],
            "Projection": {"ProjectionType": "ALL"},
        }
    ],
}
PRINCIPALS_TABLE = "docwell-principals"
RECEIPTS_TABLE = "docwell-receipts"


def _own_rows(item: str) -> dict[str, Any]:
    return {
        "BillingMode": "PAY_PER_REQUEST",
        "KeySchema": [
            {"AttributeName": "principal", "KeyType": "HASH"},
            {"AttributeName": item, "KeyType": "RANGE"},
        ],
        "AttributeDefinitions": [{"AttributeName": name, "AttributeType": "S"} for name in ("principal", item)],
    }


PRINCIPALS_SCHEMA = _own_rows("item")
RECEIPTS_SCHEMA = _own_rows("request_id")
TABLES = {
    LEDGER_TABLE: LEDGER_SCHEMA,
    PRINCIPALS_TABLE: PRINCIPALS_SCHEMA,
    RECEIPTS_TABLE: RECEIPTS_SCHEMA,
}
# The attribute of these tables' time to live.
EXPIRES = "expires_at"

# The API key that each local stack has, and its id: it sees every collection.
LOCAL_API_KEY = "docwell-local-development-key"
LOCAL_API_KEY_ID = "local"

INGEST_QUEUE = "docwell-ingest"
OCR_QUEUE = "docwell-ocr"
DEAD_LETTER_QUEUE = "docwell-ingest-dlq"
RECONCILE_FUNCTION = "docwell-reconcile"
# As in template.yaml and `docwell.config.IngestSettings.max_receives`.
MAX_RECEIVES = 5

# A line that starts with this is for the user's eyes, however quiet the stack is.
NOTICE = "NOTICE "
WARNING = "WARNING "
ERROR = "ERROR "

# The principal of the notifications that the AWS stand-in writes for restored documents.
RESTORE_PRINCIPAL = "docwell-local-restart"
