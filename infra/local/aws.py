"""A local AWS server: S3, SQS, DynamoDB and API keys by moto. All but the keys survive a restart.

``python -m infra.local.aws --port 4566 --data DIR --stack ID``, with the stack's keys in AWS_ACCESS_KEY_ID,
AWS_SECRET_ACCESS_KEY and DOCWELL_API_KEY.

It keeps a copy of objects and tables in DIR. At the start it restores them and announces each document,
so that unfinished work continues. It also sends the S3 notifications.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from functools import cache, partial
from http import HTTPStatus
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote, quote_plus

import boto3
from moto import backends
from moto.core.responses import ActionResult
from moto.dynamodb.models import dynamodb_backends
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.s3.models import s3_backends
from moto.s3.responses import S3Response
from moto.sqs.models import Message, Queue, sqs_backends

from infra.local import names
from infra.local.aws_access import AccessKey, CheckedAccess
from infra.local.aws_mirror import LedgerMirror, ObjectMirror, PrincipalsMirror, TableMirror
from infra.local.emf import every_minute
from runtime.emf import metric_line, print_line
from runtime.guard import Guarded
from runtime.http_server import HttpServer
from runtime.process import end_with_any_thread

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

_services = backends.list_of_moto_modules
_delete_from_queue, _serialized = Queue.delete_message, S3Response.serialized
Application = Callable[["WSGIEnvironment", "StartResponse"], Iterable[bytes]]

CREATED = "ObjectCreated:Put"
DELETE_MARKER = "ObjectRemoved:DeleteMarkerCreated"

_sequence = itertools.count(time.time_ns())


def notification(name: str, key: str, principal: str = names.ACCOUNT) -> str:
    """Return the body of S3's SQS message for the newest version, without size and eTag."""
    newest = s3_backends[names.ACCOUNT]["aws"].get_bucket(names.BUCKET).keys.get(key)
    version, sequencer = getattr(newest, "version_id", None), f"{next(_sequence):018X}"
    record = {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": names.REGION,
        "eventTime": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "eventName": name,
        "userIdentity": {"principalId": principal},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "documents",
            "bucket": {"name": names.BUCKET, "arn": f"arn:aws:s3:::{names.BUCKET}"},
            "object": {"key": quote_plus(key, safe="/"), "versionId": version, "sequencer": sequencer},
        },
    }
    return json.dumps({"Records": [record]})


def announce(name: str, keys: Iterable[str], principal: str = names.ACCOUNT) -> None:
    """Send one notification for each key to the ingest queue."""
    for key in keys:
        sqs_backends[names.ACCOUNT][names.REGION].send_message(
            names.INGEST_QUEUE, notification(name, key, principal)
        )


def patch_moto() -> None:
    """Change moto in this process.

    A receive then reads only the messages that it takes, and no message costs a count of all. A delete loses no
    message that arrives at the same time. A listing of versions takes any key.
    """
    queue, response = cast("Any", Queue), cast("Any", S3Response)
    queue.messages = property(partial(_Messages, lambda row: row.visible and not row.delayed))
    queue.approximate_number_of_messages = queue.messages
    queue.approximate_number_of_messages_delayed = property(partial(_Messages, lambda row: row.delayed))
    queue.approximate_number_of_messages_not_visible = property(partial(_Messages, lambda row: not row.visible))
    queue.delete_message = _delete_locked
    response.serialized = _serialized_encoded


def _serialized_encoded(response: S3Response, answer: ActionResult) -> Any:
    """Serialize a listing of versions as S3 does: XML has no place for a control character in a key."""
    result: Any = answer.result
    if isinstance(result, dict) and "DeleteMarkers" in result:
        for row in (result, *result["Versions"], *result["DeleteMarkers"]):
            row |= {
                name: quote(row[name]) for name in ("Key", "Prefix", "KeyMarker", "NextKeyMarker") if row.get(name)
            }
        result["EncodingType"] = "url"
    return _serialized(response, answer)


class _Messages(Iterable[Message]):
    """The messages of a queue that meet a condition; as a text, their number."""

    def __init__(self, condition: Callable[[Message], bool], queue: Any) -> None:
        self._condition, self._queue = condition, queue

    def __iter__(self) -> Iterator[Message]:
        # A message that moves to the dead letters meanwhile may hide another one, which the next receive gets.
        return filter(self._condition, self._queue._messages)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __str__(self) -> str:
        return f"{len(self)}"


def _delete_locked(queue: Queue, receipt_handle: str) -> None:
    with queue._messages_lock:
        _delete_from_queue(queue, receipt_handle)


def publish_queues() -> None:
    """Print what SQS publishes about the queues of ingest."""
    for name in (names.INGEST_QUEUE, names.OCR_QUEUE, names.DEAD_LETTER_QUEUE):
        queue: Any = sqs_backends[names.ACCOUNT][names.REGION].queues[name]
        visible, hidden = queue.messages, queue.approximate_number_of_messages_not_visible
        sent = [int(message.sent_timestamp or 0) / 1000 for message in (*visible, *hidden)]
        values = {
            "ApproximateNumberOfMessagesVisible": len(visible),
            "ApproximateNumberOfMessagesNotVisible": len(hidden),
            "ApproximateAgeOfOldestMessage": max((time.time() - moment for moment in sent), default=0.0),
        }
        print_line(metric_line("AWS/SQS", {"QueueName": name}, values))


class Mirrored:
    """moto's application with a copy on disk. The answer to an upload waits until the disk has the document."""

    def __init__(self, moto: Application, objects: ObjectMirror, tables: Iterable[TableMirror]) -> None:
        self._moto = moto
        self._objects = objects
        self._tables = tuple(tables)
        self._one_at_a_time = threading.Lock()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        target = environ.get("HTTP_X_AMZ_TARGET", "")
        if target.startswith("DynamoDB"):
            return self._table_request(target, environ, start_response)
        answer = self._moto(environ, start_response)
        try:
            is_s3 = "/apigateway/" not in environ.get("HTTP_AUTHORIZATION", "")  # the signature names the service
            if is_s3 and not target and environ["REQUEST_METHOD"] in {"PUT", "POST", "DELETE"}:
                self._update(environ)
        except OSError as error:
            return _disk_error(error, start_response)
        return answer

    def _table_request(
        self, target: str, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        if target.endswith((".GetItem", ".Query", ".Scan", ".BatchGetItem")):
            with self._one_at_a_time:
                return self._moto(environ, start_response)
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = BytesIO(body)
        # Lock: moto checks a condition and writes without a lock, so two workers could both get a lease.
        with self._one_at_a_time:
            answer = self._moto(environ, start_response)
        for table in self._tables:
            table.changed(body)
        return answer

    def _update(self, environ: WSGIEnvironment) -> None:
        """Write a request's changes to disk and announce them. moto would announce only some, and too early."""
        method, query = environ["REQUEST_METHOD"], environ.get("QUERY_STRING", "").split("&")
        path = environ["PATH_INFO"].encode("latin-1").decode("utf-8", "replace")
        written, removed = self._objects.update(
            path.removeprefix(f"/{names.BUCKET}/") if method == "PUT" else None
        )
        announce(DELETE_MARKER, removed)
        if "tagging" in query or "tagging=" in query:
            announce(f"ObjectTagging:{method.title()}", self._objects.update_tags())
        # After a delete of the newest version by its id, an older version is current again.
        is_delete = method == "DELETE" or "delete" in query or "delete=" in query
        announce("ObjectRemoved:Delete" if is_delete else CREATED, written)
        if is_delete:
            self._objects.forget()


def _disk_error(error: OSError, start_response: StartResponse) -> Iterable[bytes]:
    """Return the error in place of moto. AWS's clients do not retry a request with this status."""
    print_line(f"{names.ERROR}the disk does not take a change: {error}")
    text = f"the disk of the local stack: {error.strerror}"
    body = f"<Error><Code>InsufficientStorage</Code><Message>{text}</Message></Error>".encode()
    status = HTTPStatus.INSUFFICIENT_STORAGE
    headers = [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))]
    start_response(f"{status} {status.phrase}", headers)
    return [body]


def _set_up(session: boto3.Session, endpoint: str) -> None:
    """Create bucket, queues and tables as infra/data.yaml and infra/tables.yaml do."""
    patch_moto()
    # Cache it: moto lists the folders of its services at each request.
    backends.list_of_moto_modules = cache(lambda: [*_services()])
    s3 = session.client("s3", endpoint_url=endpoint)
    s3.create_bucket(Bucket=names.BUCKET)
    s3.put_bucket_versioning(Bucket=names.BUCKET, VersioningConfiguration={"Status": "Enabled"})
    sqs = session.client("sqs", endpoint_url=endpoint)
    for queue, following, receives in (
        (names.PARKED_QUEUE, None, 0),
        (names.DEAD_LETTER_QUEUE, names.PARKED_QUEUE, names.MAX_DEAD_RECEIVES),
        (names.INGEST_QUEUE, names.DEAD_LETTER_QUEUE, names.MAX_RECEIVES),
        (names.OCR_QUEUE, names.DEAD_LETTER_QUEUE, names.MAX_RECEIVES),
    ):
        attributes: Any = {"VisibilityTimeout": "900", "MessageRetentionPeriod": "1209600"}
        if following is not None:
            target = f"arn:aws:sqs:{names.REGION}:{names.ACCOUNT}:{following}"
            attributes["RedrivePolicy"] = json.dumps({"deadLetterTargetArn": target, "maxReceiveCount": receives})
        sqs.create_queue(QueueName=queue, Attributes=attributes)
    dynamodb = session.client("dynamodb", endpoint_url=endpoint)
    for name, schema in names.TABLES.items():
        dynamodb.create_table(TableName=name, **schema)
    for name in (names.USAGE_TABLE, names.RECEIPTS_TABLE):
        dynamodb.update_time_to_live(
            TableName=name, TimeToLiveSpecification={"Enabled": True, "AttributeName": names.EXPIRES}
        )


def _restored(data: Path, key: AccessKey, api_key: str) -> tuple[CheckedAccess, tuple[TableMirror, ...]]:
    """Return the application with the state of the data folder, and its tables. Raises `OSError`."""
    moto: Application = DomainDispatcherApplication(create_backend_app)
    # Set up through a temporary port, so that the real one opens with everything in place.
    temporary = HttpServer(CheckedAccess(moto, key), names.HOST, 0)
    temporary.start()
    endpoint = f"http://{names.HOST}:{temporary.port}"
    session = boto3.Session(key.id, key.secret, region_name=names.REGION)
    _set_up(session, endpoint)
    objects = ObjectMirror(data / "objects", s3_backends[names.ACCOUNT]["aws"].get_bucket(names.BUCKET))
    table = dynamodb_backends[names.ACCOUNT][names.REGION].get_table
    ledger = LedgerMirror(data / "ledger.json", table(names.LEDGER_TABLE))
    principals = PrincipalsMirror(data / "principals.json", table(names.PRINCIPALS_TABLE), api_key)
    others = {"usage": names.USAGE_TABLE, "receipts": names.RECEIPTS_TABLE, "audit": names.AUDIT_TABLE}
    mirrors = (principals, *(TableMirror(data / f"{name}.json", table(full)) for name, full in others.items()))
    stored = [item.key for item in objects.restore()]
    # Rows without a collection describe the whole index.
    documents = {row["document"]["S"] for row in ledger.restore() if "collection" in row}
    for mirror in mirrors:
        mirror.restore()
    temporary.stop()
    announce(CREATED, stored, names.RESTORE_PRINCIPAL)
    announce(DELETE_MARKER, sorted(documents - set(stored)), names.RESTORE_PRINCIPAL)
    tables = (ledger, *mirrors)
    for mirrored in tables:
        mirrored.start()
    print_line(f"{len(stored)} documents restored")
    return CheckedAccess(Mirrored(moto, objects, tables), key), tables


def main() -> int:
    """Run until SIGTERM, then save."""
    threading.excepthook = end_with_any_thread
    parser = argparse.ArgumentParser(description="S3, SQS, DynamoDB and API keys on this machine.")
    parser.add_argument("--port", type=int, default=4566)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--stack", default="")
    options = parser.parse_args()
    key = AccessKey(os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"])
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    try:
        application, tables = _restored(options.data, key, os.environ["DOCWELL_API_KEY"])
        server = HttpServer(Guarded(application, options.stack), names.HOST, options.port)
    except OSError as error:
        print_line(f"{names.ERROR}the local AWS server cannot start: {error}")
        return 1
    server.start()
    every_minute(publish_queues)
    stopped.wait()
    server.stop()
    saved = [table.saved() for table in tables]
    return 0 if all(saved) else 1


if __name__ == "__main__":
    sys.exit(main())
