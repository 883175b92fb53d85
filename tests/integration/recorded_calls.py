"""Record a function's boto3 calls as IAM actions on the template's resources."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from docwell.adapters import aws

# (action, the logical id of the resource)
Call = tuple[str, str]

# Operations whose IAM names differ. HEAD is a read. A 404 for a missing key needs ListBucket, and the tag count
# needs GetObjectTagging.
ACTIONS = {
    "s3:HeadObject": ("s3:GetObject", "s3:ListBucket", "s3:GetObjectTagging"),
    "s3:ListObjectsV2": ("s3:ListBucket",),
    "s3:CreateBucket": ("s3:PutObject", "s3:PutObjectTagging"),  # botocore signs forms so
    "s3:ListObjectVersions": ("s3:ListBucketVersions",),
    "sqs:SendMessageBatch": ("sqs:SendMessage",),
}


def actions_of(service: str, operation: str, parameters: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the actions of a call."""
    if service == "s3" and operation.startswith("GetObject") and "VersionId" in parameters:
        return (f"s3:{operation.replace('GetObject', 'GetObjectVersion')}",)
    name = f"{service}:{operation}"
    return ACTIONS.get(name, (name,))


def resources_of(parameters: Mapping[str, Any], names: Mapping[str, str]) -> list[str]:
    """Return the logical ids of a call's resources. `names` maps the call's names to logical ids."""
    if "RequestItems" in parameters:
        return [names[table] for table in parameters["RequestItems"]]
    index = "/index" if "IndexName" in parameters else ""
    value = next(parameters[key] for key in ("TableName", "Bucket", "QueueUrl") if key in parameters)
    return [names[value] + index]


def record(patch: pytest.MonkeyPatch, names: Mapping[str, str]) -> set[Call]:
    """Record the calls of every new client. Signing a link counts as the call that it allows."""
    calls: set[Call] = set()
    make = aws.client

    def note(params: Mapping[str, Any], model: Any, **_: Any) -> None:
        actions = actions_of(model.service_model.service_name, model.name, params)
        calls.update((action, resource) for resource in resources_of(params, names) for action in actions)

    def client(service: Any, **options: Any) -> Any:
        made = make(service, **options)
        made.meta.events.register("before-parameter-build", note)
        return made

    patch.setattr(aws, "client", client)
    return calls
