"""The AWS stand-in: S3, SQS, DynamoDB and API keys by moto, in one process, with documents that outlive it.

``python -m infra.local.aws --port 4566 --data DIR``

On top of moto: objects, tables and API keys are mirrored in DIR and restored at the start, then each document
is announced once more, so that what was unfinished is finished; and the notifications that
moto leaves out (a delete marker, a version deleted by its id) are sent as S3 sends them.
"""

from __future__ import annotations

import argparse
import itertools
import json
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus

import boto3
from moto.apigateway.models import apigateway_backends
from moto.dynamodb.models import dynamodb_backends
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from moto.s3.models import s3_backends
from moto.sqs.models import sqs_backends
from werkzeug.serving import make_server

from infra.local.aws_mirror import ObjectMirror
from infra.local.aws_tables import ApiKeyMirror, LedgerMirror, PrincipalsMirror, TableMirror
from infra.local.names import (
    ACCESS_KEY_ID,
    ACCOUNT,
    BUCKET,
    DEAD_LETTER_QUEUE,
    ERROR,
    EXPIRES,
    HOST,
    INGEST_QUEUE,
    LEDGER_TABLE,
    MAX_RECEIVES,
    OCR_QUEUE,
    PRINCIPALS_TABLE,
    RECEIPTS_TABLE,
    REGION,
    RESTORE_PRINCIPAL,
    SECRET_ACCESS_KEY,
    TABLES,
)

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

    from werkzeug.serving import BaseWSGIServer

Application = Callable[["WSGIEnvironment", "StartResponse"], Iterable[bytes]]

CREATED = "ObjectCreated:Put"
DELETE_MARKER = "ObjectRemoved:DeleteMarkerCreated"

_sequence = itertools.count(time.time_ns())


def notification(name: str, key: str, principal: str = ACCOUNT) -> str:
    """The body of the SQS message that S3 would send. It has no size, eTag or version: events are hints."""
    record = {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": REGION,
        "eventTime": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "eventName": name,
        "userIdentity": {"principalId": principal},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "documents",
            "bucket": {"name": BUCKET, "arn": f"arn:aws:s3:::{BUCKET}"},
            "object": {"key": quote_plus(key, safe="/"), "sequencer": f"{next(_sequence):018X}"},
        },
    }
    return json.dumps({"Records": [record]})


def announce(name: str, keys: Iterable[str], principal: str = ACCOUNT) -> None:
    """Put one notification for each key on the ingest queue."""
    for key in keys:
        sqs_backends[ACCOUNT][REGION].send_message(INGEST_QUEUE, notification(name, key, principal))


class _Handler(MotoRequestHandler):
    protocol_version = "HTTP/1.1"
    # Without this, headers and body wait 40 ms for each other's acknowledgement.
    disable_nagle_algorithm = True

    def run_wsgi(self) -> None:
        """Keep connections to DynamoDB open, as the real one does: werkzeug closes each after its answer."""
        length = self.headers.get("Content-Length")
        if length is None or not self.headers.get("X-Amz-Target", "").startswith("DynamoDB"):
            super().run_wsgi()
            return
        environ = self.make_environ()
        environ["wsgi.input"] = BytesIO(self.rfile.read(int(length)))
        begun: list[tuple[str, list[tuple[str, str]]]] = []

        def start_response(status: str, headers: list[tuple[str, str]], _: object = None) -> Callable[..., object]:
            begun.append((status, headers))
            return print  # WSGI wants something to write by; nobody has used it since 2003

        content = b"".join(self.server.app(environ, start_response))
        status, headers = begun[-1]
        code, _, reason = status.partition(" ")
        self.send_response(int(code), reason)
        for name, value in headers:
            if name.lower() != "content-length":
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_request(self, code: Any = "-", size: Any = "-") -> None:  # noqa: ARG002 - the base's
        """Only what failed on our side is worth a line."""
        if str(code).startswith("5"):
            self.log("error", '"%s" %s', self.requestline, code)


def _serve(port: int, application: Application) -> BaseWSGIServer:
    return make_server(HOST, port, application, threaded=True, request_handler=_Handler)


class Mirrored:
    """moto's application with the disk behind it: an answer to a write is sent when the disk has it."""

    def __init__(
        self, moto: Application, objects: ObjectMirror, tables: Iterable[TableMirror], api_keys: ApiKeyMirror
    ) -> None:
        self._moto = moto
        self._objects = objects
        self._tables = tuple(tables)
        self._api_keys = api_keys
        self._one_at_a_time = threading.Lock()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """One request."""
        target = environ.get("HTTP_X_AMZ_TARGET", "")
        if target.startswith("DynamoDB"):
            return self._table_request(target, environ, start_response)
        answer = self._moto(environ, start_response)
        if "/apigateway/" in environ.get("HTTP_AUTHORIZATION", ""):  # the service that the request is signed for
            if environ["REQUEST_METHOD"] != "GET":
                self._api_keys.save()
        elif not target and self._may_change_objects(environ):
            self._update(environ)
        return answer

    def _table_request(
        self, target: str, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        if target.endswith((".GetItem", ".Query", ".Scan", ".BatchGetItem")):
            with self._one_at_a_time:
                return self._moto(environ, start_response)
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = BytesIO(body)
        # moto checks a condition and then writes without a lock: two workers could both get a lease.
        with self._one_at_a_time:
            answer = self._moto(environ, start_response)
        for table in self._tables:
            table.changed(body)
        return answer

    @staticmethod
    def _may_change_objects(environ: WSGIEnvironment) -> bool:
        uploads_a_part = "partNumber=" in environ.get("QUERY_STRING", "")
        return environ["REQUEST_METHOD"] in {"PUT", "POST", "DELETE"} and not uploads_a_part

    def _update(self, environ: WSGIEnvironment) -> None:
        changes = self._objects.update()
        announce(DELETE_MARKER, changes.removed)
        query = environ.get("QUERY_STRING", "").split("&")
        if "tagging" in query or "tagging=" in query:
            # Not left to moto, which would announce tags at every upload, be there some or none.
            name = "ObjectTagging:Delete" if environ["REQUEST_METHOD"] == "DELETE" else "ObjectTagging:Put"
            announce(name, self._objects.update_tags())
        if environ["REQUEST_METHOD"] == "DELETE" or "delete" in query or "delete=" in query:
            # The newest version was deleted by its id and an older one is current again.
            announce("ObjectRemoved:Delete", changes.written)


def _set_up(endpoint: str) -> None:
    """Make bucket, queues and tables, as template.yaml does."""
    session = boto3.Session(ACCESS_KEY_ID, SECRET_ACCESS_KEY, region_name=REGION)
    s3 = session.client("s3", endpoint_url=endpoint)
    s3.create_bucket(Bucket=BUCKET)
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    sqs = session.client("sqs", endpoint_url=endpoint)
    sqs.create_queue(QueueName=DEAD_LETTER_QUEUE, Attributes={"MessageRetentionPeriod": "1209600"})
    dead_letters = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{DEAD_LETTER_QUEUE}"
    redrive = {"deadLetterTargetArn": dead_letters, "maxReceiveCount": MAX_RECEIVES}
    for queue in (INGEST_QUEUE, OCR_QUEUE):
        sqs.create_queue(
            QueueName=queue, Attributes={"VisibilityTimeout": "900", "RedrivePolicy": json.dumps(redrive)}
        )
    dynamodb = session.client("dynamodb", endpoint_url=endpoint)
    for name, schema in TABLES.items():
        dynamodb.create_table(TableName=name, **schema)
    for name in (PRINCIPALS_TABLE, RECEIPTS_TABLE):
        dynamodb.update_time_to_live(
            TableName=name, TimeToLiveSpecification={"Enabled": True, "AttributeName": EXPIRES}
        )


def _notify_queue(endpoint: str) -> None:
    s3 = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id=ACCESS_KEY_ID,
        aws_secret_access_key=SECRET_ACCESS_KEY,
    )
    s3.put_bucket_notification_configuration(
        Bucket=BUCKET,
        NotificationConfiguration={
            "QueueConfigurations": [
                {
                    "Id": "documents",
                    "QueueArn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{INGEST_QUEUE}",
                    "Events": ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"],
                }
            ]
        },
    )


class AwsStandIn:
    """The server with its state restored. `serve` blocks; `stop` ends it from another thread."""

    def __init__(self, port: int, data: Path) -> None:
        """Port 0 takes a free one. Raises `OSError` when the port is taken."""
        moto: Application = DomainDispatcherApplication(create_backend_app)
        # Set up through a door of its own: who finds the real one open finds everything behind it.
        door = _serve(0, moto)
        threading.Thread(target=door.serve_forever, daemon=True).start()
        endpoint = f"http://{HOST}:{door.server_port}"
        _set_up(endpoint)
        objects = ObjectMirror(data / "objects", s3_backends[ACCOUNT]["aws"].get_bucket(BUCKET))
        table = dynamodb_backends[ACCOUNT][REGION].get_table
        ledger = LedgerMirror(data / "ledger.json", table(LEDGER_TABLE))
        others = (
            PrincipalsMirror(data / "principals.json", table(PRINCIPALS_TABLE)),
            TableMirror(data / "receipts.json", table(RECEIPTS_TABLE)),
        )
        api_keys = ApiKeyMirror(data / "api_keys.json", apigateway_backends[ACCOUNT][REGION].keys)
        stored = [one.key for one in objects.restore()]
        # The rows without a collection are facts of the whole index.
        known = {item["document"]["S"] for item in ledger.restore() if "collection" in item}
        for other in (*others, api_keys):
            other.restore()
        _notify_queue(endpoint)
        door.shutdown()
        announce(CREATED, stored, RESTORE_PRINCIPAL)
        announce(DELETE_MARKER, sorted(known - set(stored)), RESTORE_PRINCIPAL)
        self._tables = (ledger, *others)
        for mirror in self._tables:
            mirror.start()
        self._server = _serve(port, Mirrored(moto, objects, self._tables, api_keys))
        self.restored = len(stored)

    @property
    def endpoint(self) -> str:
        """The URL for --endpoint-url."""
        return f"http://{HOST}:{self._server.server_port}"

    def serve(self) -> None:
        """Answer requests until `stop`; then save."""
        try:
            self._server.serve_forever(poll_interval=0.1)
        finally:
            for mirror in self._tables:
                mirror.save()

    def stop(self) -> None:
        """End `serve`, from another thread."""
        self._server.shutdown()


def main() -> int:
    """Run until SIGTERM."""
    parser = argparse.ArgumentParser(description="S3, SQS, DynamoDB and API keys on this machine.")
    parser.add_argument("--port", type=int, default=4566)
    parser.add_argument("--data", type=Path, required=True)
    options = parser.parse_args()
    try:
        stand_in = AwsStandIn(options.port, options.data)
    except OSError as error:
        print(f"{ERROR}the AWS stand-in cannot start: {error}", flush=True)
        return 1
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: threading.Thread(target=stand_in.stop).start())
    print(f"S3, SQS and DynamoDB on {stand_in.endpoint}, {stand_in.restored} documents restored", flush=True)
    stand_in.serve()
    return 0


if __name__ == "__main__":
    sys.exit(main())
