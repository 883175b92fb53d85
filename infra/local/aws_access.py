"""The local AWS server's checks: signed with the stack's keys, for a service in use, not from a web page."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

from werkzeug.exceptions import HTTPException

from infra.local.signatures import BadSignature, SignedRequest, signed_service
from infra.local.upload_forms import as_put, is_form
from runtime.guard import READY_PATH, STATUS, refusal

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

# The services in use, with the beginning of their targets. S3 and API Gateway name what to do by method and path.
_SERVICES = {"s3": "", "apigateway": "", "sqs": "AmazonSQS.", "dynamodb": "DynamoDB_20120810."}


@dataclass(frozen=True)
class StackKeys:
    """The keys of a stack, and its id."""

    access_key: str
    secret_key: str
    api_key: str
    stack: str


class CheckedAccess:
    """A WSGI application that passes on requests of the stack's user."""

    def __init__(self, application: WSGIApplication, keys: StackKeys) -> None:
        self._application = application
        self._keys = keys

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        hosts = [one for one in environ.get("HTTP_HOST", "").split(",") if one]
        origins = [one for one in environ.get("HTTP_ORIGIN", "").split(",") if one]
        reason = refusal(hosts, origins)
        if reason is None and environ["PATH_INFO"] == READY_PATH:
            start_response("200 OK", [("Content-Length", str(len(self._keys.stack)))])
            return [self._keys.stack.encode()]
        if reason is None and is_form(environ):
            try:
                environ = as_put(environ, self._keys.access_key, self._keys.secret_key)
            except (BadSignature, HTTPException) as error:
                reason = str(error)
        elif reason is None:
            reason = self._denied(environ)
        if reason is None:
            return self._application(environ, _without_cors(start_response))
        content_type, body = _error(environ, reason)
        headers = [("Content-Type", content_type), ("Content-Length", str(len(body))), ("Connection", "close")]
        start_response(f"{STATUS} Forbidden", headers)
        return [body]

    def _denied(self, environ: WSGIEnvironment) -> str | None:
        path, _, query = environ["RAW_URI"].partition("?")
        headers = {
            name.removeprefix("HTTP_").replace("_", "-").lower(): value
            for name, value in environ.items()
            if name.startswith("HTTP_") or name in {"CONTENT_TYPE", "CONTENT_LENGTH"}
        }

        def body() -> bytes:
            content = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            environ["wsgi.input"] = BytesIO(content)
            return bytes(content)

        request = SignedRequest(environ["REQUEST_METHOD"], path, query, headers, body)
        try:
            service = signed_service(request, self._keys.access_key, self._keys.secret_key)
        except BadSignature as error:
            return str(error)
        target = environ.get("HTTP_X_AMZ_TARGET", "")
        prefix = _SERVICES.get(service)
        # moto serves its own pages under these paths for any service.
        internal = environ["PATH_INFO"].startswith(("/moto-api", "/latest/", "/favicon.ico", "/v20180820/"))
        if prefix is None or internal or not (target.startswith(prefix) if prefix else not target):
            return f"this stack does not use {service} {target}"
        return None


def _without_cors(start_response: StartResponse) -> StartResponse:
    """Drop moto's headers that let a page of any origin read the answer."""

    def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Callable[[bytes], object]:
        kept = [(name, value) for name, value in headers if not name.lower().startswith("access-control-")]
        return start_response(status, kept, *more)

    return start


def _error(environ: WSGIEnvironment, reason: str) -> tuple[str, bytes]:
    if "HTTP_X_AMZ_TARGET" in environ:
        return "application/x-amz-json-1.0", json.dumps(
            {"__type": "AccessDeniedException", "message": reason}
        ).encode()
    return (
        "application/xml",
        f"<Error><Code>AccessDenied</Code><Message>{escape(reason)}</Message></Error>".encode(),
    )
