"""boto3 clients with bounds, and the one place where AWS's errors become docwell's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from docwell.errors import Unavailable

# One attempt may take 3 + 10 s; "standard" retries throttling and resets with jitter, three attempts in all.
_BOUNDS = Config(connect_timeout=3, read_timeout=10, retries={"mode": "standard", "max_attempts": 3})


def client(service: Literal["s3", "dynamodb", "sqs"]) -> Any:  # noqa: ANN401 - boto3 makes its classes at run time
    """A bounded boto3 client. Region, credentials and endpoint come from AWS's own variables."""
    return boto3.client(service, config=_BOUNDS)


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
