"""DynamoDB's calls without botocore's models of requests and answers, in a quarter of the processor time.

A question takes about seven calls, and boto3 takes 0.9 ms for each.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.LowLevelAPI.html
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

from __future__ import annotations

import hmac
import json
import os
import select
import ssl
import time
from base64 import b64decode, b64encode
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from hashlib import sha256
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from urllib.parse import SplitResult, urlsplit
from zlib import crc32

import boto3
from botocore.awsrequest import AWSPreparedRequest, HeadersDict
from botocore.exceptions import ClientError
from botocore.httpsession import where
from botocore.utils import get_environ_proxies

if TYPE_CHECKING:
    from botocore.credentials import Credentials
    from mypy_boto3_dynamodb import DynamoDBClient

# The calls of each question and document; boto3 makes the others.
_OPERATIONS = {
    "get_item": "GetItem",
    "batch_get_item": "BatchGetItem",
    "put_item": "PutItem",
    "update_item": "UpdateItem",
    "query": "Query",
}
_CONTENT_TYPE = "application/x-amz-json-1.0"
_REFUSED = "ConditionalCheckFailedException"


def direct(client: DynamoDBClient) -> DynamoDBClient:
    """Return the client with direct calls; unchanged without credentials, and behind a proxy."""
    session = boto3.DEFAULT_SESSION
    keys = session.get_credentials() if session else None
    if keys is None or get_environ_proxies(client.meta.endpoint_url):
        return client
    certificates = os.environ.get("AWS_CA_BUNDLE") or where()
    return cast("DynamoDBClient", DirectClient(client, keys, certificates))


class DirectClient:
    """The methods of boto3's `client` that `Table` calls, for requests in DynamoDB's notation.

    A call succeeds here, or its condition does not hold. After any other result boto3 makes the call, with its own
    retries and errors. So there is one attempt more than with boto3 alone.
    """

    def __init__(self, client: DynamoDBClient, credentials: Credentials, certificates: str) -> None:
        """Connect at the first call, not here. `certificates` is the path of those to trust."""
        self._client, self._credentials, self._region = client, credentials, client.meta.region_name
        self._events: Any = client.meta.events  # Any: the stubs of botocore lack its event and its settings
        self._url = urlsplit(client.meta.endpoint_url)
        self._connections = _Connections(self._url, client.meta.config, certificates)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        call: Callable[..., Any] = getattr(self._client, name)
        operation = _OPERATIONS.get(name)
        return call if operation is None else partial(self._call, call, operation)

    def _call(self, again: Callable[..., Any], operation: str, **request: Any) -> Any:
        answer = self._answer(operation, json.dumps(request, default=_as_text, separators=(",", ":")).encode())
        if answer.status == HTTPStatus.BAD_REQUEST and _REFUSED.encode() in answer.body:
            raise ClientError({"Error": {"Code": _REFUSED}}, operation)
        if answer.status == HTTPStatus.OK and answer.is_whole:
            with suppress(ValueError):  # not JSON: cut short, or of another server
                return json.loads(answer.body, object_hook=_as_bytes if b'"B' in answer.body else None)
        return again(**request)

    def _answer(self, operation: str, body: bytes) -> _Answer:
        """Return DynamoDB's answer; status 0 for none."""
        headers = self._signed(f"DynamoDB_20120810.{operation}", body)
        # Tools that intercept boto3's requests answer to this event.
        kept: Any = HeadersDict(headers)
        request = AWSPreparedRequest("POST", f"{self._url.geturl().rstrip('/')}/", kept, body, stream_output=False)
        _, mocked = self._events.emit_until_response(f"before-send.dynamodb.{operation}", request=request)
        if mocked is not None:
            return _Answer(mocked.status_code, mocked.content)
        return self._connections.exchange(body, headers)

    def _signed(self, target: str, body: bytes) -> dict[str, str]:
        """Return the headers of a request, with its signature."""
        keys = self._credentials.get_frozen_credentials()
        moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        signed = {"content-type": _CONTENT_TYPE, "host": self._url.netloc}
        signed |= {"x-amz-date": moment, "x-amz-target": target}
        if keys.token:
            signed["x-amz-security-token"] = keys.token
        names = ";".join(sorted(signed))
        fields = (f"{name}:{signed[name]}" for name in sorted(signed))
        lines = ["POST", self._url.path or "/", "", *fields, "", names]
        canonical = "\n".join([*lines, sha256(body).hexdigest()])
        parts = (moment[:8], self._region, "dynamodb", "aws4_request")
        scope = "/".join(parts)
        text = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{sha256(canonical.encode()).hexdigest()}"
        key = f"AWS4{keys.secret_key}".encode()
        for part in (*parts, text):
            key = hmac.digest(key, part.encode(), "sha256")
        credential = f"Credential={keys.access_key}/{scope}, SignedHeaders={names}, Signature={key.hex()}"
        return {**signed, "authorization": f"AWS4-HMAC-SHA256 {credential}"}


class _Answer(NamedTuple):
    status: int
    body: bytes
    checksum: str | None = None

    @property
    def is_whole(self) -> bool:
        return self.checksum in {None, str(crc32(self.body))}


class _Connections:
    """Kept connections to one server. A call of `http.client` takes two thirds of urllib3's processor time."""

    def __init__(self, url: SplitResult, config: Any, certificates: str) -> None:
        self._connect_s, self._read_s, self._path = config.connect_timeout, config.read_timeout, url.path or "/"
        self._idle: deque[HTTPConnection] = deque()
        host, port = url.hostname or "", url.port
        self._new: Callable[[], HTTPConnection] = partial(HTTPConnection, host, port, timeout=self._connect_s)
        if url.scheme == "https":
            trusted = ssl.create_default_context(cafile=certificates)
            self._new = partial(HTTPSConnection, host, port, timeout=self._connect_s, context=trusted)

    def exchange(self, body: bytes, headers: Mapping[str, str]) -> _Answer:
        """Return the answer to a request; status 0 for none."""
        try:
            connection = self._kept() or self._opened()
        except OSError:
            return _Answer(0, b"")
        try:
            connection.request("POST", self._path, body, headers)
            response = connection.getresponse()
            answer = _Answer(response.status, response.read(), response.getheader("x-amz-crc32"))
        except (OSError, HTTPException):
            connection.close()
            return _Answer(0, b"")
        self._idle.append(connection)
        return answer

    def _opened(self) -> HTTPConnection:
        connection = self._new()
        connection.connect()
        connection.sock.settimeout(self._read_s)
        return connection

    def _kept(self) -> HTTPConnection | None:
        """Return a connection that the server has not closed. It sends nothing else without a request."""
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return None
            if connection.sock is not None:
                waiting = select.poll()
                waiting.register(connection.sock, select.POLLIN)
                if not waiting.poll(0):
                    return connection
            connection.close()


def _as_text(value: bytes) -> str:
    """Return bytes as DynamoDB's JSON has them. Raises `TypeError` for another value that JSON cannot have."""
    return b64encode(value).decode()


def _as_bytes(value: dict[str, Any]) -> Mapping[str, Any]:
    """Return a value with its bytes. An attribute or table with the name of a type has no text there."""
    if isinstance(value.get("B"), str):
        return {"B": b64decode(value["B"])}
    many = value.get("BS")
    if isinstance(many, list) and all(isinstance(one, str) for one in many):
        return {"BS": list(map(b64decode, many))}
    return value
