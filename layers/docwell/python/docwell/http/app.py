"""The HTTP application of the query function, and the caller and id of the current request."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response, content_types
from aws_lambda_powertools.event_handler.openapi.types import OpenAPIResponse
from pydantic import BaseModel

from docwell.deadline import Deadline, run
from docwell.http import admission as admissions
from docwell.http import sse
from docwell.http.admission import RequestAdmission
from docwell.http.streaming import ResponseBody
from docwell.identity import SAM_LOCAL, Identity, Principal, identity_of
from docwell.wiring import pipelines
from docwell.wiring import query as wiring

app = APIGatewayRestResolver(enable_validation=True)


class AnswerResponse(Response[Any]):
    """An answer to a question, which carries its own stream and its follow-up work."""

    def __init__(self, content_type: str, content: ResponseBody) -> None:
        super().__init__(
            200, content_type, headers=dict(sse.HEADERS) if content_type == sse.CONTENT_TYPE else None
        )
        self.content = content

    def is_json(self) -> bool:
        """Return False, so that Powertools passes the body through as it is."""
        return False


def answer_responses(model: type[BaseModel], event_schema: dict[str, Any]) -> dict[int, OpenAPIResponse]:
    """Describe an answer for the OpenAPI page: whole as `model`, streamed as events of `event_schema`."""
    return {
        200: {
            "description": "An answer with its sources",
            "content": {
                content_types.APPLICATION_JSON: {"model": model},
                sse.CONTENT_TYPE: {"schema": event_schema},
            },
        }
    }


def request_id() -> str:
    """Return the id of the current request, which no client can choose: receipts are stored under it."""
    return str(app.context["request_id"])


def _identity() -> Identity:
    """Return the caller that the gateway names. Raises `Unauthenticated`."""
    return SAM_LOCAL if pipelines.runtime_settings().sam_local else identity_of(app.current_event.raw_event)


def admission(model_calls: int = 0) -> RequestAdmission:
    """Return the admission of the current request. Raises `Unauthenticated` when it has no identity."""
    settings = wiring.query_settings()
    # A call of the model reads and writes at most its context.
    tokens = (model_calls + settings.model_stages) * settings.num_ctx if model_calls else 0
    return RequestAdmission(_identity(), wiring.principals(), Deadline(settings.deadline_s), tokens)


def charged() -> Principal:
    """Return the caller, and charge the request. Raises `Unauthenticated`, `QuotaExceeded`, `Unavailable`."""
    return run(admission().admitted()).principal


def known() -> Principal:
    """Return the caller, without a charge. Raises `Unauthenticated`, `Unavailable`."""
    return admissions.known(_identity(), wiring.principals())
