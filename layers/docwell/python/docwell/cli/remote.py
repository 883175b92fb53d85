"""The HTTP API, the documents bucket and AWS clients. They raise only `Failure`.

Functions import httpx and boto3: `docwell --help` needs neither, and each takes 0.15 s.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from docwell.cli.settings import ExitCode, Failure, Settings
from docwell.errors import Unavailable
from docwell.http import sse
from docwell.media_types import MEDIA_TYPES, UNKNOWN

if TYPE_CHECKING:
    import httpx
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

    from docwell.models import ObjectVersion, StoredObject

Json = dict[str, Any]
QUERY_PATH = "/v1/query"
# The metadata of an object that `docwell sync` put.
_MARK = "docwell-sync"
# The fields of every answer.
ANSWER = ("answer", "status", "citations")
# A model on processors answers within some minutes.
ANSWER_S = 180.0
_CONNECT_TIMEOUT_S = 10.0
# The pause for a busy server that states no time to retry.
_BUSY_S = 20.0
_GIVE_KEY = "give a key: --api-key, DOCWELL_API_KEY or api_key in docwell.toml; `docwell principals add` makes it"
# httpx reads these variables; a value can be no address, name a SOCKS proxy or a missing file.
_ENVIRONMENT = "check HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, SSL_CERT_FILE and SSL_CERT_DIR"


class Api:
    """The HTTP API. The settings, else `timeout_s`, limit the wait for each answer."""

    def __init__(self, settings: Settings, timeout_s: float = 30.0) -> None:
        import httpx

        self._timeout_s = timeout_s = settings.timeout_s or timeout_s
        self._endpoint = settings.need("endpoint").rstrip("/")
        try:
            url = httpx.URL(self._endpoint)
        except (httpx.InvalidURL, ValueError):
            url = httpx.URL()
        if url.scheme not in {"http", "https"} or not re.fullmatch(r"[\w.:-]+", url.host):
            message = f"{settings.endpoint!r} is no address of an API: give --endpoint https://..."
            raise Failure(message, ExitCode.USAGE)
        # httpx would quote such a key in its message.
        if not re.fullmatch(r"[!-~]*", settings.api_key or ""):
            raise Failure(f"no API key has a blank, a line end or a letter like é; {_GIVE_KEY}", ExitCode.USAGE)
        # Do not send the local stack's key to another stack's console.
        self.console = ((not settings.local and settings.console) or self._endpoint).rstrip("/")
        self._local = settings.local
        try:
            self._client = httpx.Client(
                headers={"x-api-key": settings.api_key} if settings.api_key else None,
                timeout=httpx.Timeout(timeout_s, connect=min(_CONNECT_TIMEOUT_S, timeout_s)),
                # Ignore proxies: they cannot reach a stack on this machine.
                trust_env=not settings.local,
            )
        except (httpx.InvalidURL, ImportError, OSError, ValueError) as error:
            raise Failure(f"{_ENVIRONMENT}: {str(error).split('. ')[0]}", ExitCode.USAGE) from None

    def get(self, path: str, *fields: str) -> Json | None:
        """Return the answer to a request, which must have these fields; None for HTTP 404."""
        response = self._request("GET", path)
        return None if response.status_code == HTTPStatus.NOT_FOUND else _content(response, *fields)

    def post(self, path: str, body: Json | None = None, *fields: str) -> Json:
        """Return the answer to a request, which must have these fields."""
        return _content(self._request("POST", path, json=body), *fields)

    def check(self) -> None:
        """Raise a `Failure` unless docwell answers at the endpoint, whatever the state of its dependencies."""
        _content(self._request("GET", "/v1/health"), "status")

    def has_console(self) -> bool:
        """Return whether the console's address serves a page."""
        with self._plain_failures():
            response = self._client.get(f"{self.console}/")
        return response.is_success and response.headers.get("content-type", "").startswith("text/html")

    def code(self) -> str | None:
        """Return a code that the console exchanges for the key once, within a minute; None if it takes none."""
        response = self._request("POST", "/-/code")
        return response.json().get("code") if response.is_success else None

    def document(self, key: str) -> Json | None:
        """Return the record of a document, or None where the API has none."""
        return self.get(f"/v1/documents/{quote(key, safe='')}", "document", "status")

    def documents(self, **filters: object) -> list[Json]:
        """Return the records of the documents that match, from all pages; each page is charged as a request.

        The API does not list deleted documents.
        """
        records: list[Json] = []
        params = {name: value for name, value in filters.items() if value}
        while True:
            response = self._request("GET", "/v1/documents", params=params)
            page = _content(response, "documents")
            records += [_checked(response, record, "document", "status") for record in page["documents"]]
            if not page.get("cursor"):
                return records
            params["cursor"] = page["cursor"]

    def stream_query(self, body: Json) -> Iterator[tuple[str, Json]]:
        """Yield the events of an answer: `passages`, each `token`, then `answer`; `waking` while no host runs.

        An API that does not stream gives the `answer` alone.
        """
        request = self._client.stream("POST", self._endpoint + QUERY_PATH, json=body | {"stream": True})
        with self._plain_failures(), request as response:
            if not response.headers.get("content-type", "").startswith(sse.CONTENT_TYPE):
                response.read()
                yield "answer", _content(response, *ANSWER)
                return
            for name, data in sse.read(self._in_time(response.iter_lines())):
                if name == "error":
                    raise _failure(response, data)
                yield name, _checked(response, data, *(ANSWER if name == "answer" else ()))
                if name == "answer":
                    return
        raise Failure(f"the answer of {self._endpoint} broke off; try again")

    def _request(self, method: str, path: str, **options: Any) -> httpx.Response:  # noqa: ANN401 - httpx's options
        with self._plain_failures():
            return self._client.request(method, self._endpoint + path, **options)

    def _in_time(self, lines: Iterator[str]) -> Iterator[str]:
        """Yield lines for at most `timeout_s`; the time restarts while a model host wakes.

        httpx's timeout never fires, because comments keep coming.
        """
        deadline = time.monotonic() + self._timeout_s
        for line in lines:
            if line == "event: waking":
                deadline = time.monotonic() + self._timeout_s
            if time.monotonic() > deadline:
                raise TimeoutError
            yield line

    @contextmanager
    def _plain_failures(self) -> Iterator[None]:
        """Turn the exceptions of httpx into `Failure`."""
        import httpx

        try:
            yield
        except (httpx.ConnectTimeout, httpx.ConnectError) as error:
            hint = "start the stack with `make up`" if self._local else "check --endpoint"
            raise Failure(f"cannot reach {self._endpoint}: {error}; {hint}") from None
        except (httpx.TimeoutException, TimeoutError):
            message = f"no answer from {self._endpoint} within {self._timeout_s:g} s; --timeout waits longer"
            raise Failure(message) from None
        except httpx.RemoteProtocolError as error:
            raise Failure(f"the answer of {self._endpoint} broke off: {error}; try again") from None
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError, ValueError) as error:
            raise Failure(f"cannot ask {self._endpoint}: {error}; check --endpoint") from None


def _content(response: httpx.Response, *fields: str) -> Json:
    """Return the JSON object of a response, which must have these fields. Raises `Failure`."""
    try:
        body = response.json()
    except ValueError:
        body = None
    if not response.is_success:
        raise _failure(response, body if isinstance(body, dict) else {})
    return _checked(response, body, *fields)


def _checked(response: httpx.Response, body: object, *fields: str) -> Json:
    """Return a JSON object of a response. Raises `Failure` unless it has these fields."""
    if not isinstance(body, dict) or not body or not body.keys() >= set(fields):
        raise Failure(f"{response.url} does not answer like docwell: check --endpoint")
    return body


def _failure(response: httpx.Response, body: Json) -> Failure:
    """Return the failure of a problem document (RFC 9457), or of a gateway's error."""
    headers = response.headers
    # An error inside a stream comes under HTTP 200 and has its real status in the body.
    status = body.get("status") if response.is_success else response.status_code
    parts = [str(body[name]) for name in ("title", "detail") if body.get(name)]
    message = ": ".join(parts) or str(body.get("message") or response.reason_phrase or "error")
    request_id = body.get("request_id") or headers.get("x-request-id") or headers.get("x-amzn-requestid")
    message += f" (HTTP {status}" + (f", request {request_id})" if request_id else ")")
    # docwell answers 401, and API Gateway 403 to an unknown key.
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        message += f"; {_GIVE_KEY}"
    if status == HTTPStatus.GATEWAY_TIMEOUT:
        is_answer = response.url.path.endswith((QUERY_PATH, "/replay"))
        message += f"; {'ask again, or use a faster model: docs/use/models.md' if is_answer else 'try again'}"
    after = headers.get("retry-after", "")
    if status == HTTPStatus.TOO_MANY_REQUESTS or (status == HTTPStatus.SERVICE_UNAVAILABLE and after):
        return Failure(message, retry_after=float(after) if after.isdigit() else _BUSY_S)
    return Failure(message)


@contextmanager
def plain_failures(prefix: str) -> Iterator[None]:
    """Turn the exceptions of boto3 and of docwell's adapters into a `Failure` whose text begins with `prefix`."""
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError, NoRegionError, ProfileNotFound

    try:
        yield
    except (NoRegionError, ProfileNotFound) as error:
        hint = "give --region or AWS_REGION, or check AWS_PROFILE (region, aws_profile in docwell.toml)"
        raise Failure(f"{prefix}: {error} {hint}", ExitCode.USAGE) from None
    except ClientError as error:
        request_id = error.response.get("ResponseMetadata", {}).get("RequestId")
        raise Failure(f"{prefix}: {error}" + (f" (request {request_id})" if request_id else "")) from None
    except (BotoCoreError, Boto3Error, Unavailable, OSError, ValueError) as error:
        raise Failure(f"{prefix}: {error}") from None


@plain_failures("cannot connect to AWS")
def aws_client(settings: Settings, service: str, **config: object) -> Any:  # noqa: ANN401 - boto3 makes its classes at run time
    """Return the client of an AWS service, or of its local replacement."""
    import boto3
    from botocore.config import Config

    session = boto3.Session(
        aws_access_key_id=settings.access_key,
        aws_secret_access_key=settings.secret_key,
        region_name=settings.region,
        profile_name=settings.aws_profile,
    )
    endpoint = settings.aws_endpoint
    if service == "lambda":
        endpoint = settings.functions_endpoint or endpoint
    options: dict[str, Any] = {
        "connect_timeout": _CONNECT_TIMEOUT_S,
        "read_timeout": settings.timeout_s or 60,
        "retries": {"mode": "standard", "total_max_attempts": 3},
        # No proxies: they cannot reach a stack on this machine.
        "proxies": {} if settings.local else None,
        **config,
    }
    make: Any = session.client  # its stubs want each service's name as a literal
    return make(
        service,
        endpoint_url=endpoint,
        region_name=session.region_name or ("us-east-1" if endpoint else None),
        config=Config(**options),
    )


def s3_client(settings: Settings, **config: object) -> S3Client:
    """Return an S3 client; local replacements have no wildcard DNS for bucket names, so use paths."""
    style = {"addressing_style": "path"} if settings.aws_endpoint else None
    client: S3Client = aws_client(settings, "s3", s3=style, **config)
    return client


def queue_url(sqs: SQSClient, queue: str) -> str:
    """Return the URL of a queue that is given by its name or URL."""
    return queue if "://" in queue else sqs.get_queue_url(QueueName=queue)["QueueUrl"]


class Bucket:
    """The documents bucket."""

    def __init__(self, settings: Settings) -> None:
        from docwell.adapters.s3 import S3ObjectStore

        self._name = settings.need("bucket")
        self._client = s3_client(settings)
        self._store = S3ObjectStore(self._client, self._name)

    def upload(self, path: Path, key: str, on_bytes: Callable[[int], None], mark: str = "") -> str:
        """Upload one file, a large file in parts; return its version as the ledger will name it."""
        with plain_failures(f"cannot upload {path}"):
            kind = MEDIA_TYPES.get(path.suffix.lower(), UNKNOWN)
            options: Json = {"ContentType": kind, "Metadata": {_MARK: mark} if mark else {}}
            self._client.upload_file(str(path), self._name, key, ExtraArgs=options, Callback=on_bytes)
        if version := self.version(key):
            return version
        raise Failure(f"{key} was removed from the bucket right after its upload; upload it again")

    def version(self, key: str) -> str | None:
        """Return the key's version as the ledger names it, or None where there is no such key."""
        return current.version if (current := self._current(key)) else None

    def mark(self, key: str) -> str:
        """Return the mark of a key's upload, "" without one."""
        return current.metadata.get(_MARK, "") if (current := self._current(key)) else ""

    def _current(self, key: str) -> ObjectVersion | None:
        with plain_failures(f"cannot read {key} in bucket {self._name}"):
            return self._store.head(key)

    def below(self, prefix: str) -> list[StoredObject]:
        """Return the objects whose keys begin with the prefix, by key."""
        from docwell.adapters.s3 import S3Listing

        with plain_failures(f"cannot list bucket {self._name}"):
            return list(S3Listing(self._client, self._name, prefix).objects())

    def delete(self, key: str) -> None:
        """Delete a key. In a bucket with versions its content can be restored."""
        with plain_failures(f"cannot delete {key}"):
            self._client.delete_object(Bucket=self._name, Key=key)
