"""Names of the local stack's resources, and the marks that its parts put on the lines they print."""

from __future__ import annotations

from typing import Any

from runtime.names import ACCOUNT, HOST, MAX_DEAD_RECEIVES, REGION, ROOT

__all__ = ["ACCOUNT", "HOST", "MAX_DEAD_RECEIVES", "REGION", "ROOT"]

BUCKET = "docwell-documents"
LEDGER_TABLE = "docwell-ledger"
PRINCIPALS_TABLE = "docwell-principals"
USAGE_TABLE = "docwell-usage"
RECEIPTS_TABLE = "docwell-receipts"
AUDIT_TABLE = "docwell-audit"


def _keys(partition: str, sort: str) -> list[dict[str, str]]:
    return [{"AttributeName": partition, "KeyType": "HASH"}, {"AttributeName": sort, "KeyType": "RANGE"}]


def _table(partition: str, sort: str, *index_keys: str) -> dict[str, Any]:
    attributes = [{"AttributeName": name, "AttributeType": "S"} for name in (partition, sort, *index_keys)]
    keys = _keys(partition, sort)
    return {"BillingMode": "PAY_PER_REQUEST", "KeySchema": keys, "AttributeDefinitions": attributes}


# As in infra/tables.yaml.
_BY_COLLECTION = {
    "IndexName": "by_collection",
    "KeySchema": _keys("collection", "document"),
    "Projection": {"ProjectionType": "ALL"},
}
LEDGER_SCHEMA = _table("document", "pipeline", "collection") | {"GlobalSecondaryIndexes": [_BY_COLLECTION]}
PRINCIPALS_SCHEMA = _table("principal", "item")
USAGE_SCHEMA = _table("principal", "day")
RECEIPTS_SCHEMA = _table("principal", "request_id")
AUDIT_SCHEMA = _table("actor", "event")
TABLES = {
    LEDGER_TABLE: LEDGER_SCHEMA,
    PRINCIPALS_TABLE: PRINCIPALS_SCHEMA,
    USAGE_TABLE: USAGE_SCHEMA,
    RECEIPTS_TABLE: RECEIPTS_SCHEMA,
    AUDIT_TABLE: AUDIT_SCHEMA,
}
# The time-to-live attribute of usage and receipts.
EXPIRES = "expires_at"

# The gateway forwards this path to the local AWS server: links to documents, and upload forms.
STORAGE_PATH = "/-/s3"

# The id of each local stack's API key, which reads every collection.
LOCAL_API_KEY_ID = "local"
LOCAL_PRINCIPAL = f"key:{LOCAL_API_KEY_ID}"

INGEST_QUEUE = "docwell-ingest"
OCR_QUEUE = "docwell-ocr"
DEAD_LETTER_QUEUE = "docwell-ingest-dlq"
PARKED_QUEUE = "docwell-parked"
RECONCILE_FUNCTION = "docwell-reconcile"
# As in template.yaml and `docwell.config.IngestSettings.max_receives`.
MAX_RECEIVES = 5

# The principal of the notifications for restored documents.
RESTORE_PRINCIPAL = "docwell-local-restart"

# The console shows lines with these prefixes in quiet mode too.
NOTICE = "NOTICE "
WARNING = "WARNING "
ERROR = "ERROR "
