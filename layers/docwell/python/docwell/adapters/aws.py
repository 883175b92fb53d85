"""boto3 clients with bounds, and the one place where AWS's errors become docwell's."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from docwell.errors import Unavailable

# One attempt may take 3 + 10 s; "standard" retries throttling and resets with jitter, three attempts in all.
_BOUNDS = Config(connect_timeout=3, read_timeout=10, retries={"mode": "standard", "max_attempts": 3})
# For a function that somebody waits for: two attempts of 1 + 2 s.
_QUICK = Config(connect_timeout=1, read_timeout=2, retries={"mode": "standard", "max_attempts": 2})
# Left to itself boto3 signs links in some regions the old way, which S3 refuses for what KMS has encrypted.
_S3_BOUNDS = _BOUNDS.merge(Config(signature_version="s3v4"))

# Before what a batch left over is asked for again; twice as long each time.
_PAUSE_S = 0.05


def client(service: Literal["s3", "dynamodb", "sqs"], *, quick: bool = False) -> Any:
    """A bounded boto3 client, `quick` for who cannot wait. Region, credentials, endpoint: AWS's own variables."""
    if service != "s3":
        return boto3.client(service, config=_QUICK if quick else _BOUNDS)
    made: Any = boto3.client(service, config=_S3_BOUNDS)
    made.meta.events.register_first("before-endpoint-resolution.s3", _sign_for_the_region)
    return made


def _sign_for_the_region(context: dict[str, Any], **_: object) -> None:
    """Links name the bucket's own region: for hours, S3 sends a new bucket's worldwide name on, signature lost."""
    context["use_global_endpoint"] = False


def error_code(error: ClientError) -> str:
    """AWS's own name of an error, such as `NoSuchKey` or `404`."""
    return str(error.response.get("Error", {}).get("Code", ""))


@contextmanager
def vendor_errors(dependency: str) -> Iterator[None]:
    """Turn whatever botocore raises into `Unavailable`, naming the operation and AWS's code."""
    try:
        yield
    except ClientError as error:
        code = error_code(error)
        raise Unavailable(dependency, f"{dependency}: {error.operation_name} answered {code}") from error
    except BotoCoreError as error:
        raise Unavailable(dependency, f"{dependency} does not answer: {type(error).__name__}") from error


def until_processed(
    dependency: str, call: Callable[..., dict[str, Any]], request: dict[str, Any], left: str, attempts: int = 4
) -> Iterator[dict[str, Any]]:
    """The answers to a batch request of DynamoDB, whose part that was not processed is asked again.

    `left` is what its answer calls that part. Raises `Unavailable` where some is left after `attempts`.
    """
    for attempt in range(attempts):
        if attempt:
            time.sleep(_PAUSE_S * 2 ** (attempt - 1))
        with vendor_errors(dependency):
            answer = call(RequestItems=request)
        yield answer
        request = answer.get(left) or {}
        if not request:
            return
    raise Unavailable(dependency, f"{dependency}: {call.__name__} is throttled")
