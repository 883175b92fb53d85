"""The canary's AWS adapters: the bucket with its document, the query function, and CodeDeploy."""

from __future__ import annotations

import json
from collections.abc import Collection
from contextlib import suppress
from hashlib import sha256
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from docwell.adapters.aws import vendor_errors
from docwell.errors import Corrupt, StillIndexing, Unavailable
from docwell.identity import CANARY

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# Without the right to list the bucket, HEAD of a missing key gives 403 instead of 404.
_ABSENT = ("404", "403")
_DIGEST = "docwell-sha256"
# The bytes between the head of a streamed answer and its body: docwell.http.streaming.
_DELIMITER = bytes(8)


def keep_object(client: S3Client, bucket: str, key: str, content: bytes) -> None:
    """Store the content unless the key's metadata names its digest. Raises `Unavailable`."""
    digest = sha256(content).hexdigest()
    with suppress(ClientError), vendor_errors("s3", *_ABSENT):
        if client.head_object(Bucket=bucket, Key=key)["Metadata"].get(_DIGEST) == digest:
            return
    with vendor_errors("s3"):
        client.put_object(
            Bucket=bucket, Key=key, Body=content, ContentType="application/pdf", Metadata={_DIGEST: digest}
        )


def cited_by(client: Any, version: str, question: str) -> Collection[tuple[str, int]] | None:
    """Ask a version of the query function as API Gateway would; return (document, page) of each citation.

    An answer with a client error has none. Return None where nothing is indexed. API Gateway never names the
    canary as the caller: only a role that may invoke the function can use it.

    Raises:
        Unavailable: the function does not run, fails, or answers with a server error.
        Corrupt: its answer is not one of docwell.
    """
    event = {
        "httpMethod": "POST",
        "path": "/v1/query",
        "requestContext": {"authorizer": {"principalId": CANARY.id}, "stage": "live"},
        "body": json.dumps({"question": question, "mode": "passages"}),
    }
    with vendor_errors("lambda"):
        answer = client.invoke(FunctionName=version, Payload=json.dumps(event).encode())
        payload = answer["Payload"].read()
    if answer.get("FunctionError"):
        raise Unavailable("lambda", f"the function failed: {answer['FunctionError']}")
    try:
        head, _, content = payload.partition(_DELIMITER)
        status, body = int(json.loads(head)["statusCode"]), json.loads(content)
        if status == StillIndexing.status or dict(body).get("refusal") == "nothing_indexed":
            return None
        citations = body["citations"] if status == HTTPStatus.OK else ()
        cited = {(str(citation["document"]), int(citation["page"])) for citation in citations}
    except (ValueError, LookupError, TypeError) as error:
        raise Corrupt("the function's answer is not one of docwell") from error
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise Unavailable("lambda", f"the function answered with status {status}")
    return cited


def report_hook(client: Any, deployment: str, execution: str, status: str) -> None:
    """Report to CodeDeploy, which goes on after `Succeeded` and not after `Failed`. Raises `Unavailable`."""
    with vendor_errors("codedeploy"):
        client.put_lifecycle_event_hook_execution_status(
            deploymentId=deployment, lifecycleEventHookExecutionId=execution, status=status
        )
