"""The routes of the HTTP API (DESIGN: `/v1/query`, `/v1/documents`, `/v1/health`, `/v1/openapi.json`)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated, Any
from urllib.parse import unquote

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response, content_types
from aws_lambda_powertools.event_handler.exceptions import NotFoundError
from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError
from aws_lambda_powertools.event_handler.openapi.params import Body, Query

from docwell import api, observability, wiring
from docwell.config import SettingsError
from docwell.errors import BadInput, DocwellError, NotFound
from docwell.models import Status
from docwell.query import Question

logger = observability.logger

API_VERSION = "1.0.0"
_DOCUMENTS = "/v1/documents"
_DOCUMENT_ROUTE = f"{_DOCUMENTS}/.+"  # a key holds slashes, which a <name> would not match
_PAGE_SIZE = 100
_NAME = re.compile(r"\w{1,40}")

app = APIGatewayRestResolver(enable_validation=True)


def resolve(event: dict[str, Any], context: Any) -> dict[str, Any]:  # noqa: ANN401 - Lambda's own class
    """Answer one proxy event. Every body is read as JSON, whatever its type says: `curl -d` calls it a form."""
    headers = {
        name: {key: value for key, value in (event.get(name) or {}).items() if key.lower() != "content-type"}
        for name in ("headers", "multiValueHeaders")
    }
    headers["headers"]["content-type"] = content_types.APPLICATION_JSON
    headers["multiValueHeaders"]["content-type"] = [content_types.APPLICATION_JSON]
    return app.resolve({**event, **headers}, context)


def request_id() -> str:
    """The id of the request at hand, from the client or the gateway."""
    event = app.current_event
    return api.request_id_of(event.headers.get("x-request-id"), event.request_context.request_id or "unknown")


def _with_request_id(app_: APIGatewayRestResolver, next_middleware: Callable[..., Response[Any]]) -> Response[Any]:
    """The request id goes into every log line and every answer's headers."""
    logger.append_keys(request_id=request_id())
    response = next_middleware(app_)
    response.headers["x-request-id"] = request_id()
    return response


app.use([_with_request_id])


@app.post("/v1/query", description="Ask a question; the answer cites pages.")
def query(body: Annotated[api.QueryRequest, Body()]) -> api.QueryResponse:
    """One question, one answer."""
    settings = wiring.query_settings()
    if len(body.question) > settings.max_question_characters:
        raise BadInput(f"the question is over {settings.max_question_characters:,} characters")
    top_k = body.top_k or settings.top_k
    if top_k > settings.max_top_k:
        raise BadInput(f"top_k is over {settings.max_top_k}")
    question = Question(body.question, api.chosen_collections(body), body.document, top_k)
    report = wiring.query().ask(question)
    observability.record_query(report, request_id())
    answer = report.answer
    logger.info(
        "answered",
        extra={
            "outcome": answer.status.value,
            "citations": len(answer.citations),
            "timings_ms": asdict(answer.timings_ms),
        },
    )
    return api.answer_body(answer, request_id())


@app.get(_DOCUMENTS, description="The documents and where each stands; DELETED ones only when asked for.")
def documents(
    collection: Annotated[str | None, Query(max_length=1024)] = None,
    status: Annotated[Status | None, Query()] = None,
    cursor: Annotated[str | None, Query(max_length=8192)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = _PAGE_SIZE,
) -> api.DocumentsResponse:
    """One page of documents."""
    records, following = wiring.catalogue().page(collection, status, cursor, limit)
    return api.DocumentsResponse(documents=[api.document_body(record) for record in records], cursor=following)


@app.get(_DOCUMENT_ROUTE, description="One document by its key, percent-encoded.")
def document() -> api.DocumentBody:
    """One document."""
    raw = app.current_event.path.split(f"{_DOCUMENTS}/", 1)[1]
    # Gateways differ in whether they decode the path; a key with a literal percent sign is found either way.
    for key in dict.fromkeys((unquote(raw), raw)):
        record = wiring.catalogue().get(key)
        if record is not None:
            return api.document_body(record)
    raise NotFound("no document has this key")


@app.get("/v1/health", description="Whether every dependency answers. 503 when one does not.")
def health() -> Response[api.HealthResponse]:
    """Ask each dependency."""
    use_case = wiring.query()
    checks: dict[str, Callable[[], object]] = {
        "ledger": lambda: wiring.catalogue().get("health"),
        "chroma": use_case.index.collections,
        "ollama": use_case.model.check,
    }
    found: dict[str, str] = {}
    for name, check in checks.items():
        try:
            check()
            found[name] = "ok"
        except DocwellError as error:
            found[name] = error.detail
    well = all(state == "ok" for state in found.values())
    body = api.HealthResponse(status="ok" if well else "degraded", dependencies=found, model=use_case.model.name)
    return Response(200 if well else 503, content_types.APPLICATION_JSON, body)


@app.get("/v1/openapi.json", include_in_schema=False)
def openapi() -> Response[str]:
    """This API as an OpenAPI page."""
    return Response(200, content_types.APPLICATION_JSON, json.dumps(openapi_page()))


def openapi_page() -> dict[str, Any]:
    """The OpenAPI page: Powertools' own, with the key as a parameter and problems as the only errors."""
    schema: dict[str, Any] = json.loads(
        app.get_openapi_json_schema(
            title="docwell",
            version=API_VERSION,
            description="Ask questions of the PDFs in a bucket; every answer cites pages.",
        )
    )
    paths = schema["paths"]
    item = paths.pop(_DOCUMENT_ROUTE)
    key = {"name": "key", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
    item["get"]["parameters"] = [key]
    paths[f"{_DOCUMENTS}/{{key}}"] = item
    schema["components"]["schemas"]["Problem"] = api.Problem.model_json_schema()
    problem = {"$ref": "#/components/schemas/Problem"}
    for operation in (operation for path in paths.values() for operation in path.values()):
        operation["responses"].pop("422", None)
        operation["responses"]["default"] = {
            "description": "A problem document",
            "content": {api.PROBLEM_JSON: {"schema": problem}},
        }
    for unused in ("HTTPValidationError", "ValidationError"):
        schema["components"]["schemas"].pop(unused, None)
    return schema


@app.exception_handler(DocwellError)  # type: ignore[untyped-decorator] # Powertools ships it so
def _docwell_error(error: DocwellError) -> Response[str]:
    level = logger.warning if error.status >= 500 else logger.info  # noqa: PLR2004 - 5xx
    level("problem", extra={"problem": error.problem, "detail": error.detail})
    return api.problem(error, request_id())


@app.exception_handler(RequestValidationError)  # type: ignore[untyped-decorator] # Powertools ships it so
def _invalid(error: RequestValidationError) -> Response[str]:
    # Only where and what: the input itself may be a question, and so may a name that is none of ours.
    errors = [
        {
            "where": ".".join(str(part) if _NAME.fullmatch(str(part)) else "?" for part in item["loc"]),
            "what": item["msg"],
        }
        for item in error.errors()
    ]
    detail = "; ".join(f"{item['where']}: {item['what']}" for item in errors)
    return api.problem_response(400, "bad-input", BadInput.title, detail, request_id(), errors)


@app.not_found
def _no_route(_error: NotFoundError) -> Response[str]:
    return api.problem(NotFound("no such route: see /v1/openapi.json"), request_id())


@app.exception_handler(Exception)  # type: ignore[untyped-decorator] # Powertools ships it so
def _bug(error: Exception) -> Response[str]:
    # The type and the place, not the message: it may hold what a document or a user said.
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = f"{place.tb_frame.f_code.co_filename}:{place.tb_lineno}" if place else "unknown"
    what = str(error) if isinstance(error, SettingsError) else None  # it names variables and nothing else
    logger.error("bug", extra={"exception": type(error).__name__, "where": where, "detail": what})
    return api.problem(DocwellError("an error in docwell itself; its log has the request id"), request_id())
