"""The authorizer function: API Gateway asks it who the caller of each request is."""

from __future__ import annotations

from typing import Any

from docwell.access.authorizer import allowed, denied, headers_of
from docwell.errors import Unauthenticated
from docwell.observability import logger, metrics, record_alone, tracer
from docwell.wiring import small_functions as wiring


@logger.inject_lambda_context(clear_state=True)
@tracer.capture_lambda_handler(capture_response=False)
@metrics.log_metrics(raise_on_empty_metrics=False)
def handler(event: dict[str, Any], _context: Any) -> dict[str, Any]:
    """Allow a request with a valid key or token, and deny every other one. An error denies it too."""
    try:
        address = event.get("requestContext", {}).get("identity", {}).get("sourceIp", "")
        caller = wiring.authorizer().identify(headers_of(event), address)
    except Unauthenticated:
        logger.info("denied")
        record_alone("Unauthenticated", 1)
        return denied(event["methodArn"])
    return allowed(event["methodArn"], caller, wiring.authorizer_settings().token_usage_key)
