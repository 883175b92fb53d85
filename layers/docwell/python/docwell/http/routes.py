"""The routes of the HTTP API: questions, feedback, receipts, documents, health and the OpenAPI page."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Generator, Mapping, Sequence
from contextvars import ContextVar
from typing import Annotated, Any
from urllib.parse import unquote

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response, content_types
from aws_lambda_powertools.event_handler.exceptions import NotFoundError
from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError
from aws_lambda_powertools.event_handler.openapi.params import Body, Query

from docwell import observability
from docwell.deadline import Deadline, Pending
from docwell.errors import BadInput, DocwellError, NotFound, Unauthenticated
from docwell.http import answering, bodies, metrics, problems, sse
from docwell.http.streaming import StreamedResponse
from docwell.identity import SAM_LOCAL, Principal, identity_of
from docwell.models import Status, collection_of
from docwell.ports import Catalogue
from docwell.query.retrieval.scope import NO_COLLECTION, NO_DOCUMENT
from docwell.wiring import pipelines
from docwell.wiring import query as wiring

logger = observability.logger

API_VERSION = "1.0.0"
_DOCUMENTS = "/v1/documents"
_DOCUMENT_ROUTE = f"{_DOCUMENTS}/.+"  # a key holds slashes, which a <name> would not match
_PAGE_SIZE = 100
# In the cloud API Gateway takes its answer as a stream, also when it is a whole one.
_STREAMED_ROUTE = ("POST", "/v1/query")
# Of a request's time, what finding out who asks may take.
_PRINCIPALS_SHARE = 0.2
_NAME = re.compile(r"\w{1,40}")

app = APIGatewayRestResolver(enable_validation=True)


# A cursor is a key and its collection, packed and in base64: of 1,024 bytes each at most, under 3,000 characters.
_CURSOR_CHARACTERS = 4096

# The body of the answer at hand, where that is streamed: Powertools knows whole answers alone.
_stream: ContextVar[Generator[bytes] | None] = ContextVar("stream", default=None)
# What is left to do when it has been sent.
_afterwards: ContextVar[Callable[[], None]] = ContextVar("afterwards", default=lambda: None)


def resolve(event: dict[str, Any], context: Any) -> dict[str, Any] | StreamedResponse:
    """Answer one proxy event. Every body is read as JSON, whatever its type says: `curl -d` calls it a form.

    Questions are streamed where the runtime can: their route is one that API Gateway expects a stream of.
    """
    headers = {
        name: {key: value for key, value in (event.get(name) or {}).items() if key.lower() != "content-type"}
        for name in ("headers", "multiValueHeaders")
    }
    headers["headers"]["content-type"] = content_types.APPLICATION_JSON
    headers["multiValueHeaders"]["content-type"] = [content_types.APPLICATION_JSON]
    _stream.set(None)
    _afterwards.set(lambda: None)
    try:
        body_text = _json_object(event)
    except BadInput as error:
        answer = _as_event_answer(problems.problem(metrics.record_problem(error), request_id_of(event)))
    else:
        answer = app.resolve({**event, **headers, "body": body_text, "isBase64Encoded": False}, context)
    body = _stream.get()
    can_stream = pipelines.runtime_settings().can_stream
    if body is None and not (can_stream and (event.get("httpMethod"), event.get("path")) == _STREAMED_ROUTE):
        _afterwards.get()()
        return answer
    whole = (piece for piece in ((answer["body"] or "").encode(),))
    names = {name: ", ".join(values) for name, values in answer["multiValueHeaders"].items()}
    response = StreamedResponse(answer["statusCode"], names, body or whole, _afterwards.get())
    return response if can_stream else response.buffered()


def _json_object(event: Mapping[str, Any]) -> str | None:
    """The body of an event, which is a JSON object or nothing. Raises `BadInput`.

    Checked before Powertools reads it: bytes that are no text, and JSON too deep for a parser, are its bugs.
    """
    body = event.get("body")
    if not body:
        return None
    try:
        text = base64.b64decode(body).decode() if event.get("isBase64Encoded") else str(body)
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise BadInput("the body is not JSON, or is too deep") from None
    if not isinstance(document, dict):
        raise BadInput("the body is not a JSON object")
    return text


def _as_event_answer(response: Response[str]) -> dict[str, Any]:
    headers = {name: str(value) for name, value in response.headers.items()}
    headers["Content-Type"] = str(response.content_type)
    return {
        "statusCode": response.status_code,
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "body": response.body,
        "isBase64Encoded": False,
    }


def request_id_of(event: Mapping[str, Any]) -> str:
    """The id of a request, from the client or the gateway."""
    headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
    context = event.get("requestContext") or {}
    return bodies.request_id_of(headers.get("x-request-id"), context.get("requestId") or "unknown")


def request_id() -> str:
    """The id of the request at hand."""
    return request_id_of(app.current_event.raw_event)


def _charged(deadline: Deadline | None = None) -> Principal:
    """Who asks, with this request counted. Raises `Unauthenticated`, `QuotaExceeded`, `Unavailable`."""
    asker, charge = _being_charged(deadline or Deadline(wiring.query_settings().deadline_s))
    charge.result()
    return asker()


def _being_charged(deadline: Deadline) -> tuple[Callable[[], Principal], Pending[None]]:
    """Who asks, once that is known, and this request's being counted, which may not be left behind.

    The first raises `Unauthenticated` and `Unavailable`, the second those and `QuotaExceeded`.
    """
    identity = SAM_LOCAL if pipelines.runtime_settings().sam_local else identity_of(app.current_event.raw_event)

    def known() -> Principal:
        principal = wiring.principals().find(identity.id, identity.groups)
        if principal is None:
            raise Unauthenticated("this key or token has no rights here: docwell principals add gives it some")
        logger.append_keys(principal=principal.id)
        return principal

    found = deadline.begin("principals", _PRINCIPALS_SHARE, known)
    charge = deadline.begin(
        "principals", 2 * _PRINCIPALS_SHARE, lambda: wiring.principals().charge(found.result(), requests=1)
    )
    return found.result, charge


def _with_request_id(app_: APIGatewayRestResolver, next_middleware: Callable[..., Response[Any]]) -> Response[Any]:
    """The request id goes into every log line and every answer's headers."""
    logger.append_keys(request_id=request_id())
    response = next_middleware(app_)
    response.headers["x-request-id"] = request_id()
    return response


app.use([_with_request_id])


@app.post(
    "/v1/query",
    description="Ask a question; the answer cites pages. With `stream`, or `Accept: text/event-stream`, it comes "
    "as server-sent events: `passages`, `token`..., `answer` (the whole object), or `error` (a problem document).",
    responses={
        200: {
            "description": "An answer with its sources",
            "content": {
                content_types.APPLICATION_JSON: {"model": bodies.QueryResponse},
                sse.CONTENT_TYPE: {"schema": bodies.EVENT_SCHEMA},
            },
        }
    },
)
def query(body: Annotated[bodies.QueryRequest, Body()]) -> Response[Any]:
    """One question, one answer."""
    deadline = Deadline(wiring.query_settings().deadline_s)
    asker, charge = _being_charged(deadline)
    # Embedding may go on while the asker is looked up and the request counted; searching may not.
    with charge:
        if body.stream or "text/event-stream" in (app.current_event.headers.get("accept") or ""):
            pieces, afterwards = answering.stream(asker, body, request_id(), deadline, charge.result)
            _stream.set(pieces)
            _afterwards.set(afterwards)
            return Response(200, sse.CONTENT_TYPE)
        answered = answering.answer(asker, body, request_id(), deadline, admitted=charge.result)
    _afterwards.set(lambda: answering.finish(answered))
    return Response(200, content_types.APPLICATION_JSON, answered.response)


@app.post("/v1/feedback", description="Say whether an answer was good; kept where answers are.")
def feedback(body: Annotated[bodies.FeedbackRequest, Body()]) -> bodies.FeedbackResponse:
    """One verdict."""
    principal = _charged()
    kept = wiring.receipt_book().judge(principal, body.request_id, body.verdict)
    metrics.record_feedback(body.verdict)
    logger.info("feedback", extra={"principal": principal.id, "about": body.request_id, "verdict": body.verdict})
    return bodies.FeedbackResponse(request_id=body.request_id, kept=kept)


@app.get("/v1/receipts/<id_>", description="What was kept of an answer, for whoever asked.")
def receipt(id_: str) -> bodies.ReceiptBody:
    """One receipt."""
    return bodies.receipt_body(wiring.receipt_book().get(_charged(), id_))


@app.post("/v1/receipts/<id_>/replay", description="Ask the question of an answer again; shows what changed.")
def replay(id_: str) -> bodies.ReplayResponse:
    """The answer then and now."""
    deadline = Deadline(wiring.query_settings().deadline_s)
    return answering.replay(_charged(deadline), id_, request_id(), deadline)


@app.get(_DOCUMENTS, description="The documents and where each stands; DELETED ones only when asked for.")
def documents(
    collection: Annotated[str | None, Query(min_length=1, max_length=1024)] = None,
    status: Annotated[Status | None, Query()] = None,
    cursor: Annotated[str | None, Query(max_length=_CURSOR_CHARACTERS, pattern="^[A-Za-z0-9_=-]*$")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = _PAGE_SIZE,
    prefix: Annotated[bodies.Key | None, Query(description="How their keys begin.")] = None,
) -> bodies.DocumentsResponse:
    """One page of documents."""
    principal, catalogue = _charged(), wiring.catalogue()
    readable = None if principal.collections is None else sorted(principal.collections)
    if collection is not None:
        # Another's collection has no documents for this caller: then it ends as one that has none at all.
        readable = [collection] if principal.may_read(collection) else []
    within = readable
    if prefix is not None and "/" in prefix:  # then all of them are in one collection
        home = collection_of(prefix)
        within = [home] if readable is None or home in readable else []
    records, following = catalogue.page(within, status, cursor, limit, prefix or "")
    if collection is not None and not records and following is None and _is_empty(catalogue, readable):
        raise NotFound(NO_COLLECTION)
    return bodies.DocumentsResponse(
        documents=[bodies.document_body(record) for record in records], cursor=following
    )


def _is_empty(catalogue: Catalogue, collections: Sequence[str] | None) -> bool:
    """Whether no document stands in any of them."""
    records, following = catalogue.page(collections, None, None, 1)
    return not records and following is None


@app.get(_DOCUMENT_ROUTE, description="One document by its key, percent-encoded.")
def document() -> bodies.DocumentBody:
    """One document."""
    principal = _charged()
    raw = app.current_event.path.split(f"{_DOCUMENTS}/", 1)[1]
    catalogue = wiring.catalogue()
    # Gateways differ in whether they decode the path; a key with a literal percent sign is found either way.
    for key in dict.fromkeys((unquote(raw), raw)):
        record = catalogue.get(key) if principal.may_read(collection_of(key)) else None
        if record is not None:
            return bodies.document_body(record)
    raise NotFound(NO_DOCUMENT)


@app.get("/v1/health", description="Whether every dependency answers. 503 when one does not.")
def health() -> Response[bodies.HealthResponse]:
    """Ask each dependency."""
    checks: dict[str, Callable[[], object]] = {
        "ledger": lambda: wiring.catalogue().get("health"),
        "chroma": wiring.index().collections,
        "ollama": wiring.model().check,
    }
    found: dict[str, str] = {}
    for name, check in checks.items():
        try:
            check()
            found[name] = "ok"
        except DocwellError as error:
            found[name] = error.detail
    well = all(state == "ok" for state in found.values())
    body = bodies.HealthResponse(
        status="ok" if well else "degraded", dependencies=found, model=wiring.model().name
    )
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
    schema["components"]["schemas"]["Problem"] = problems.Problem.model_json_schema()
    problem = {"$ref": "#/components/schemas/Problem"}
    for operation in (operation for path in paths.values() for operation in path.values()):
        operation["responses"].pop("422", None)
        operation["responses"]["default"] = {
            "description": "A problem document",
            "content": {problems.PROBLEM_JSON: {"schema": problem}},
        }
    for unused in ("HTTPValidationError", "ValidationError"):
        schema["components"]["schemas"].pop(unused, None)
    return schema


@app.exception_handler(DocwellError)  # type: ignore[untyped-decorator] # Powertools ships it so
def _docwell_error(error: DocwellError) -> Response[str]:
    metrics.record_problem(error)
    return problems.problem(error, request_id())


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
    return problems.problem(BadInput(detail), request_id(), errors)


@app.not_found
def _no_route(_error: NotFoundError) -> Response[str]:
    return problems.problem(NotFound("no such route: see /v1/openapi.json"), request_id())


@app.exception_handler(Exception)  # type: ignore[untyped-decorator] # Powertools ships it so
def _bug(error: Exception) -> Response[str]:
    return problems.problem(metrics.record_bug(error), request_id())
