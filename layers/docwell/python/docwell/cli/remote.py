"""The two things at the other end: the HTTP API and the documents bucket. Both raise only `Failure`."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx

from docwell.cli.failure import Failure
from docwell.http import sse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from docwell.cli.settings import Settings

Json = dict[str, Any]

_QUERY = "/v1/query"
_CONNECT_TIMEOUT_S = 10.0
# What is said beside an answer that nobody was let in: docwell's own, or API Gateway's, which has no key.
_SHUT_OUT = {401, 403}
_WHO = (
    "give an API key: --api-key, DOCWELL_API_KEY or api_key in docwell.toml (`docwell principals add` makes one)"
)
_NOT_FOUND = 404
_UNAVAILABLE = 503


class Api:
    """The HTTP API. `timeout_s` bounds the wait for each answer."""

    def __init__(self, settings: Settings, timeout_s: float) -> None:
        self._endpoint = settings.need("endpoint").rstrip("/")
        self._timeout_s = timeout_s
        self._local = settings.local
        self._client = httpx.Client(
            headers={"x-api-key": settings.api_key} if settings.api_key else None,
            timeout=httpx.Timeout(timeout_s, connect=min(_CONNECT_TIMEOUT_S, timeout_s)),
            # A proxy for the outside world cannot reach a stack on this machine.
            trust_env=not settings.local,
        )

    def check(self) -> None:
        """Returns when docwell answers at the endpoint, be it that a dependency of it is down."""
        try:
            self._send("GET", "/v1/health")
        except Failure as failure:
            if failure.status != _UNAVAILABLE:
                raise

    def query(self, body: Json) -> Json:
        """The answer to a question, as the API gives it."""
        return self._send("POST", _QUERY, json=body)

    def stream_query(self, body: Json) -> Iterator[tuple[str, Json]]:
        """The events of an answer as they come: `passages`, `token` after `token`, and at the end `answer`.

        Where the API sends no stream, that is the answer alone.
        """
        request = self._client.stream("POST", self._endpoint + _QUERY, json=body | {"stream": True})
        with self._plain_failures(), request as response:
            if not response.headers.get("content-type", "").startswith(sse.CONTENT_TYPE):
                response.read()
                yield "answer", self._content(response)
                return
            for name, data in sse.read(self._in_time(response.iter_lines())):
                if name == "error":
                    raise Failure(_problem(response, data), status=data.get("status"))
                yield name, data
                if name == "answer":
                    return
        raise Failure(f"the answer of {self._endpoint} broke off")

    def document(self, key: str) -> Json | None:
        """What the API knows of a key, or None."""
        try:
            return self._send("GET", f"/v1/documents/{quote(key, safe='')}")
        except Failure as failure:
            if failure.status == _NOT_FOUND:
                return None
            raise

    def documents(self, collection: str | None, status: str | None) -> list[Json]:
        """All documents that match, page after page."""
        found: list[Json] = []
        wanted = {"collection": collection, "status": status, "cursor": None}
        while True:
            parameters = {name: value for name, value in wanted.items() if value}
            page = self._send("GET", "/v1/documents", params=parameters)
            found += page.get("documents", [])
            wanted["cursor"] = page.get("cursor")
            if not wanted["cursor"]:
                return found

    def replay(self, request_id: str) -> Json:
        """A kept question asked again: the answer of then and of now, and what changed."""
        return self._send("POST", f"/v1/receipts/{quote(request_id, safe='')}/replay")

    def feedback(self, request_id: str, verdict: str) -> Json:
        """Attach a verdict to an answer."""
        return self._send("POST", "/v1/feedback", json={"request_id": request_id, "verdict": verdict})

    def _send(self, method: str, path: str, **options: Any) -> Json:  # noqa: ANN401 - httpx's own
        with self._plain_failures():
            response = self._client.request(method, self._endpoint + path, **options)
        return self._content(response)

    def _content(self, response: httpx.Response) -> Json:
        body = _json(response)
        if not response.is_success:
            raise Failure(_problem(response, body), status=response.status_code)
        if body is None:
            raise Failure(f"{response.url} does not answer like docwell: is the endpoint right?")
        return body

    def _in_time(self, lines: Iterator[str]) -> Iterator[str]:
        """The lines of a stream, for `timeout_s` at most: it is never silent long enough for httpx to end it."""
        deadline = time.monotonic() + self._timeout_s
        for line in lines:
            if time.monotonic() > deadline:
                raise Failure(self._too_late())
            yield line

    def _too_late(self) -> str:
        return f"no answer from {self._endpoint} within {self._timeout_s:g} s"

    @contextmanager
    def _plain_failures(self) -> Iterator[None]:
        try:
            yield
        except httpx.ConnectTimeout:
            raise Failure(f"cannot reach {self._endpoint}: no connection in time") from None
        except httpx.TimeoutException:
            raise Failure(self._too_late()) from None
        except httpx.ConnectError as error:
            hint = "does the stack run? (`make up`)" if self._local else "is the address right?"
            raise Failure(f"cannot reach {self._endpoint}: {error}; {hint}") from None
        except httpx.RemoteProtocolError as error:
            raise Failure(f"the answer of {self._endpoint} broke off: {error}") from None
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError, ValueError) as error:
            raise Failure(f"cannot ask {self._endpoint}: {error}") from None


def _json(response: httpx.Response) -> Json | None:
    try:
        body = response.json()
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def _problem(response: httpx.Response, body: Json | None) -> str:
    """One line from a problem document (RFC 9457), or from whatever a gateway puts in its place."""
    body = body or {}
    headers = response.headers
    status = body.get("status") if response.is_success else response.status_code  # of a stream, once it has begun
    parts = [str(body[name]) for name in ("title", "detail") if body.get(name)]
    said = ": ".join(parts) or str(body.get("message") or response.reason_phrase or "error")
    request_id = body.get("request_id") or headers.get("x-request-id") or headers.get("x-amzn-requestid")
    hint = f"; {_WHO}" if status in _SHUT_OUT else ""
    return f"{said} (HTTP {status}" + (f", request {request_id})" if request_id else ")") + hint


def aws_client(settings: Settings, service: str, endpoint: str | None, **config: Any) -> Any:  # noqa: ANN401 - boto3
    """A client of one of AWS's services, or of what stands in for it at `endpoint`."""
    # Imported here: boto3 takes 0.15 s, which `docwell ask` need not wait for.
    import boto3
    from botocore.config import Config

    session = boto3.Session(
        aws_access_key_id=settings.access_key,
        aws_secret_access_key=settings.secret_key,
        region_name=settings.region,
        profile_name=settings.aws_profile,
    )
    make: Any = session.client  # its stubs know each service's name by itself
    options = {
        "connect_timeout": _CONNECT_TIMEOUT_S,
        "read_timeout": 60,
        "retries": {"mode": "standard", "total_max_attempts": 3},
        # No proxy leads to this machine.
        "proxies": {} if settings.local else None,
        **config,
    }
    return make(
        service,
        endpoint_url=endpoint,
        region_name=session.region_name or ("us-east-1" if endpoint else None),
        config=Config(**options),
    )


class Bucket:
    """The documents bucket."""

    def __init__(self, settings: Settings) -> None:
        self._name = settings.need("bucket")
        # An S3 stand-in has no wildcard DNS.
        style = {"addressing_style": "path"} if settings.aws_endpoint else None
        with plain_failures(f"cannot use bucket {self._name}"):
            self._client = aws_client(settings, "s3", settings.aws_endpoint, s3=style)

    def upload(self, path: Path, key: str, on_bytes: Callable[[int], None]) -> str:
        """Send one file, in parts where it is large; gives the version that the ledger will speak of."""
        with plain_failures(f"cannot upload {path}"):
            self._client.upload_file(
                str(path), self._name, key, ExtraArgs={"ContentType": "application/pdf"}, Callback=on_bytes
            )
        version = self.version(key)
        if version is None:
            raise Failure(f"{key} was removed from the bucket right after its upload")
        return version

    def version(self, key: str) -> str | None:
        """The key's VersionId (ETag where the bucket has no versions), or None where there is no such key."""
        from botocore.exceptions import ClientError

        with plain_failures(f"cannot look at {key} in bucket {self._name}"):
            try:
                head = self._client.head_object(Bucket=self._name, Key=key)
            except ClientError as error:
                if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == _NOT_FOUND:
                    return None
                raise
        version = head.get("VersionId")
        # "null" names the one version of a bucket whose versioning is off; ingest takes the ETag then.
        return bare_version(head["ETag"] if version in (None, "null") else version)

    def delete(self, key: str) -> None:
        """Remove a key; where the bucket has versions its content stays recoverable there."""
        with plain_failures(f"cannot delete {key}"):
            self._client.delete_object(Bucket=self._name, Key=key)


def bare_version(version: str | None) -> str | None:
    """A version without the quotation marks that S3 puts around an ETag."""
    return version.strip('"') if version else None


@contextmanager
def plain_failures(what: str) -> Iterator[None]:
    """Turn what boto3 raises into `Failure`."""
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        request_id = error.response.get("ResponseMetadata", {}).get("RequestId")
        raise Failure(f"{what}: {error}" + (f" (request {request_id})" if request_id else "")) from None
    except (BotoCoreError, Boto3Error, OSError, ValueError) as error:
        raise Failure(f"{what}: {error}") from None
