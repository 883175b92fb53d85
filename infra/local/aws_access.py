"""Check requests to the local AWS server: they must be signed with the stack's keys, for a service in use.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-HTTPPOSTConstructPolicy.html
"""

from __future__ import annotations

import base64
import hmac
import json
import re
from asyncio import CancelledError
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode
from xml.sax.saxutils import escape

from anyio import CapacityLimiter, to_thread
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from werkzeug.test import EnvironBuilder, run_wsgi_app

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

    from starlette.types import Receive, Scope, Send

# The services in use, with the prefix of their request targets. S3 and API Gateway use methods and paths instead.
_SERVICES = {"s3": "", "apigateway": "", "sqs": "AmazonSQS.", "dynamodb": "DynamoDB_20120810."}
# moto serves its own pages under these paths for any service.
_MOTO_PAGES = ("/moto-api", "/latest/", "/favicon.ico", "/v20180820/")
# The fields of a form that need no condition:
# https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-post-example.html
_UNCONDITIONAL = {"policy", "x-amz-signature"}
# The time for a signed request, and the most that its date may be ahead, as at AWS.
_REQUEST_S = 900
# Each poller of a queue blocks a thread while it waits for messages.
_THREADS = 64
# Method, path with query, headers and body of a request.
_Parts = tuple[str, str, Mapping[str, str], bytes]


class BadSignature(Exception):
    """The request is unsigned, expired, or signed with other keys."""


@dataclass(frozen=True)
class AccessKey:
    """The access key of a stack."""

    id: str
    secret: str

    def signer(self, kind: type[SigV4Auth], credential: str) -> tuple[SigV4Auth, str]:
        """Return botocore's signer for a credential scope, and its service. Raises `BadSignature`."""
        try:
            key_id, _date, region, service, _end = credential.split("/")
        except ValueError:
            raise BadSignature("the request has no credential scope") from None
        if key_id != self.id:
            raise BadSignature("the request is not signed with the keys of this stack")
        if service != "s3":
            kind = SigV4Auth
        return kind(Credentials(self.id, self.secret), service, region), service


def _compare(expected: str, signature: str) -> None:
    if not hmac.compare_digest(expected.encode(), signature.encode()):
        raise BadSignature("the request is not signed with the keys of this stack")


def signed_service(request: Request, body: bytes, key: AccessKey) -> str:
    """Return the AWS service that a request is signed for. Raises `BadSignature`."""
    authorization = request.headers.get("authorization")
    query: str = request.scope["query_string"].decode("latin-1")
    try:
        if authorization is None:
            fields = {name.removeprefix("X-Amz-"): value for name, value in request.query_params.items()}
            moment, seconds = fields["Date"], int(fields["Expires"])
            signer, service = key.signer(S3SigV4QueryAuth, fields["Credential"])
            query = "&".join(pair for pair in query.split("&") if not pair.startswith("X-Amz-Signature="))
        else:
            fields = dict(re.findall(r"(\w+)=([^,\s]+)", authorization))
            moment, seconds = request.headers["x-amz-date"], _REQUEST_S
            signer, service = key.signer(S3SigV4Auth, fields["Credential"])
        names, signature = fields["SignedHeaders"].split(";"), fields["Signature"]
        _check_age(datetime.strptime(moment, "%Y%m%dT%H%M%S%z"), seconds)
    except (KeyError, ValueError):
        raise BadSignature("the request is not signed") from None
    path: str = request.scope["raw_path"].decode("latin-1")
    headers = {name: request.headers.get(name, "") for name in names}
    signed: Any = AWSRequest(request.method, f"http://stack{path}?{query}", headers, body)
    signed.context["timestamp"] = moment
    text = signer.string_to_sign(signed, signer.canonical_request(signed))
    _compare(signer.signature(text, signed), signature)
    return service


def _check_age(moment: datetime, most_s: float, least_s: float = -_REQUEST_S) -> None:
    if not least_s <= (datetime.now(UTC) - moment).total_seconds() <= most_s:
        raise BadSignature("the request has expired or has a future date: sign it again")


class CheckedAccess:
    """An ASGI application over moto's WSGI application, for requests of the stack's user."""

    def __init__(self, application: WSGIApplication, key: AccessKey) -> None:
        self._application = application
        self._key = key
        self._threads = CapacityLimiter(_THREADS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        try:
            is_multipart = request.headers.get("content-type", "").lower().startswith("multipart/form-data")
            is_form = is_multipart and request.method == "POST" and request.url.path.count("/") == 1
            parts = await (self._uploaded(request) if is_form else self._checked(request))
            response = await to_thread.run_sync(self._answer, *parts, limiter=self._threads)
        except (BadSignature, HTTPException, CancelledError) as error:  # a server that stops cancels long polls
            response = _denied(request, str(error))
        await response(scope, receive, send)

    async def _checked(self, request: Request) -> _Parts:
        """Return the parts of a signed request for a service in use. Raises `BadSignature`."""
        if self._key.id not in (request.headers.get("authorization") or request.url.query):
            raise BadSignature("the request is not signed with the keys of this stack")  # before its body
        body = await request.body()
        service = signed_service(request, body, self._key)
        target = request.headers.get("x-amz-target", "")
        prefix = _SERVICES.get(service)
        is_page = request.url.path.startswith(_MOTO_PAGES)
        if prefix is None or is_page or not (target.startswith(prefix) if prefix else not target):
            raise BadSignature(f"this stack does not use {service} {target}")
        headers = {name: value for name, value in request.headers.items() if name != "transfer-encoding"}
        query = request.scope["query_string"].decode("latin-1")
        path = request.scope["raw_path"].decode("latin-1") + (f"?{query}" if query else "")
        return request.method, path, headers | {"content-length": str(len(body))}, body

    async def _uploaded(self, request: Request) -> _Parts:
        """Return the request that stores a form's file. moto would accept the form without a check."""
        async with request.form(max_files=1) as form:
            fields = {name.lower(): value for name, value in form.items() if isinstance(value, str)}
            file = form.get("file")
            if not isinstance(file, UploadFile) or "key" not in fields:
                raise BadSignature("the form has no key or no file")
            content = await file.read()
        bucket = request.url.path.strip("/")
        self._check_form(fields | {"bucket": bucket}, len(content))
        tags = re.findall("<Key>(.*?)</Key><Value>(.*?)</Value>", fields.get("tagging", ""))  # no tag has a < or &
        headers = {
            "host": request.headers["host"],
            # Without this header, moto treats the request as anonymous, which may not replace an object.
            "authorization": f"AWS4-HMAC-SHA256 Credential={fields['x-amz-credential']}",
            "content-type": fields.get("content-type", "application/octet-stream"),
            "content-length": str(len(content)),
            "x-amz-tagging": urlencode(tags),
            **{name: value for name, value in fields.items() if name.startswith("x-amz-meta-")},
        }
        return "PUT", quote(f"/{bucket}/{fields['key']}"), headers, content

    def _check_form(self, form: Mapping[str, str], size: int) -> None:
        """Raise `BadSignature` unless the policy is signed, has not expired, and allows fields and size."""
        try:
            signer, _ = self._key.signer(SigV4Auth, form["x-amz-credential"])
            signed: Any = AWSRequest()
            signed.context["timestamp"] = form["x-amz-date"]
            _compare(signer.signature(form["policy"], signed), form["x-amz-signature"])
            policy = json.loads(base64.b64decode(form["policy"]))
            _check_age(datetime.fromisoformat(policy["expiration"]), 0, float("-inf"))
            fixed = [condition for condition in policy["conditions"] if isinstance(condition, dict)]
            ((_, smallest, largest),) = (condition for condition in policy["conditions"] if condition not in fixed)
        except (KeyError, ValueError):
            raise BadSignature("the form is incomplete") from None
        expected = {name.lower(): value for condition in fixed for name, value in condition.items()}
        if not smallest <= size <= largest:
            raise BadSignature("the file has another size than the form allows")
        if {name: value for name, value in form.items() if name not in _UNCONDITIONAL} != expected:
            raise BadSignature("the form does not allow these fields")

    def _answer(self, method: str, path: str, sent: Mapping[str, str], body: bytes) -> Response:
        base = f"http://{sent['host']}/"
        builder = EnvironBuilder(path, base, method=method, headers=[*sent.items()], input_stream=BytesIO(body))
        content, status, headers = run_wsgi_app(self._application, builder.get_environ(), buffered=True)
        response = Response(b"".join(content), int(status.split(" ")[0]))
        # Remove the CORS headers: moto lets a page of any origin read the answer.
        response.raw_headers = [
            (name.lower().encode("latin-1"), value.encode("latin-1"))
            for name, value in headers.items()
            if not name.lower().startswith("access-control-")
        ]
        return response


def _denied(request: Request, reason: str) -> Response:
    if "x-amz-target" in request.headers:
        error = json.dumps({"__type": "AccessDeniedException", "message": reason})
        return Response(error, 403, media_type="application/x-amz-json-1.0")
    error = f"<Error><Code>AccessDenied</Code><Message>{escape(reason)}</Message></Error>"
    return Response(error, 403, media_type="application/xml")
