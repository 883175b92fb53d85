"""boto3 clients with timeouts, and the translation of AWS's errors to docwell's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from docwell.errors import DocwellError, Unavailable

# One attempt takes at most 3 + 10 s; "standard" retries throttling and resets with jitter, three attempts in all.
_BOUNDS = Config(connect_timeout=3, read_timeout=10, retries={"mode": "standard", "max_attempts": 3})
# For a function whose caller waits: two attempts of 1 + 2 s, and only AWS validates the parameters.
_QUICK = Config(
    connect_timeout=1,
    read_timeout=2,
    retries={"mode": "standard", "total_max_attempts": 2},
    parameter_validation=False,
)
# For calls of the query function, which answers within 28 s of its start. A retry would be a second call.
_CALL = Config(connect_timeout=3, read_timeout=40, retries={"total_max_attempts": 1})
# By default boto3 signs links in some regions with version 2, which S3 rejects for objects encrypted by KMS.
_S3_BOUNDS = _BOUNDS.merge(Config(signature_version="s3v4"))
Translation = Callable[[str], DocwellError]  # of AWS's code


def client(
    service: Literal["s3", "dynamodb", "sqs", "secretsmanager", "lambda", "codedeploy", "events"],
    *,
    quick: bool = False,
) -> Any:
    """Return a boto3 client with timeouts, short ones with `quick` (not for S3 and Lambda).

    Region, credentials and endpoint come from AWS's own environment variables.
    """
    if service == "lambda":
        return boto3.client(service, config=_CALL)
    if service != "s3":
        return boto3.client(service, config=_QUICK if quick else _BOUNDS)
    s3 = boto3.client(service, config=_S3_BOUNDS)
    # Sign links for the region: S3 redirects a new bucket's global name for hours, and the signature is lost.
    s3.meta.events.register_first(
        "before-endpoint-resolution.s3", lambda context, **_: context.update(use_global_endpoint=False)
    )
    return s3


def error_code(error: ClientError) -> str:
    """Return AWS's code for an error, such as `NoSuchKey` or `404`."""
    return str(error.response.get("Error", {}).get("Code", ""))


@contextmanager
def vendor_errors(dependency: str, *expected: str, becomes: Translation | None = None) -> Iterator[None]:
    """Translate botocore's errors to `Unavailable`, which names the operation and AWS's code.

    A `ClientError` with one of the `expected` codes passes, or `becomes` another error.
    """
    try:
        yield
    except ClientError as error:
        code = error_code(error)
        if code in expected:
            raise (becomes(code) if becomes else error) from None
        raise Unavailable(dependency, f"{dependency}: {error.operation_name} answered {code}") from error
    except BotoCoreError as error:
        raise Unavailable(dependency, f"{dependency} does not answer: {type(error).__name__}") from error
