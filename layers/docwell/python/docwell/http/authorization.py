"""The authorizer's event of a REST API, and its answer."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from docwell.access.authorizer import Caller


def headers_of(event: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the headers (name, value) of an event, repeated ones too."""
    for name, values in (event.get("multiValueHeaders") or {}).items():
        for value in values:
            yield name, value


def context_of(caller: Caller) -> dict[str, str]:
    """Return what the function's event has of the caller in `requestContext.authorizer`."""
    return {"principalId": caller.identity.id, "groups": json.dumps(caller.identity.groups)}


def allowed(method_arn: str, caller: Caller, token_usage_key: str | None) -> dict[str, Any]:
    """Return the answer that lets the caller in. `token_usage_key` counts a caller with a token in a usage plan.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-lambda-authorizer-output.html
    """
    context = context_of(caller)
    return {
        **_answer(context.pop("principalId"), "Allow", method_arn),
        "context": context,
        "usageIdentifierKey": caller.usage_key or token_usage_key,
    }


def denied(method_arn: str) -> dict[str, Any]:
    """Return the answer that denies the request. The template gives it the status 401."""
    return _answer("unknown", "Deny", method_arn)


def _answer(principal: str, effect: str, method_arn: str) -> dict[str, Any]:
    """Return a policy for the whole stage: one for a single method would be wrong in a cache."""
    api, stage, *_ = method_arn.split("/")
    statement = {"Effect": effect, "Action": "execute-api:Invoke", "Resource": f"{api}/{stage}/*"}
    return {"principalId": principal, "policyDocument": {"Version": "2012-10-17", "Statement": [statement]}}
