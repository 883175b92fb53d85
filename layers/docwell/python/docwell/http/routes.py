"""The routes of the HTTP API: questions, searches, receipts, documents, use, health and the OpenAPI page."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from functools import cache
from typing import Annotated, Any
from urllib.parse import unquote

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response, content_types
from aws_lambda_powertools.event_handler.api_gateway import ResponseBuilder
from aws_lambda_powertools.event_handler.exceptions import NotFoundError
from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError
from aws_lambda_powertools.event_handler.openapi.params import Body, Query
from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEvent

from docwell.answers import HostState
from docwell.audit import Action
from docwell.deadline import Deadline, run
from docwell.errors import BadInput, NotAllowed, NotFound, Unauthenticated, Unavailable
from docwell.http import answering, bodies, edges, mcp, openai, operations, shapes
from docwell.http.edges import app, caller, charge, request_id
from docwell.http.streaming import StreamedResponse
from docwell.identity import READING, Use
from docwell.models import FIRST_PAGE, KEY_BYTES, Attributes, Status
from docwell.observability import logger, record_alone
from docwell.query.documents import Listing, delete_document, list_documents, upload_forms
from docwell.query.readiness import OK
from docwell.query.receipts import quoted
from docwell.query.retrieval.scope import NO_DOCUMENT
from docwell.version import VERSION
from docwell.wiring import query as wiring

_DOCUMENTS = "/v1/documents"
_DOCUMENT_ROUTE = f"{_DOCUMENTS}/.+"  # a key holds slashes, which a <name> would not match
# API Gateway expects a stream from these routes, even of a whole answer.
_STREAMED_ROUTES = frozenset({("POST", "/v1/query"), ("POST", shapes.CHAT), ("POST", shapes.RESPONSES)})
_JSON = content_types.APPLICATION_JSON


def resolve(event: dict[str, Any], context: Any) -> dict[str, Any] | StreamedResponse:
    """Answer one proxy event. Read every body as JSON, whatever its content type: `curl -d` sends it as a form.

    Answers to questions are streams, even whole ones: API Gateway expects a stream from their routes.
    """
    headers = {
        name: {key: value for key, value in (event.get(name) or {}).items() if key.lower() != "content-type"}
        for name in ("headers", "multiValueHeaders")
    }
    headers["headers"]["content-type"] = _JSON
    headers["multiValueHeaders"]["content-type"] = [_JSON]
    id_ = str(uuid.uuid4())
    logger.append_keys(request_id=id_)
    from_client = {name.lower(): value for name, value in headers["headers"].items()}.get("x-request-id") or ""
    # Take the client's id if it is safe for logs and headers.
    if clients_id := from_client if re.fullmatch(bodies.REQUEST_ID, from_client) else None:
        logger.append_keys(client_request_id=clients_id)
    try:
        body_text = _json_object(event)
    except BadInput as error:
        problem = edges.problem_response(edges.record_error(edges.to_known_caller(event, error), event), id_)
        problem.headers["x-request-id"] = clients_id or id_
        answer = ResponseBuilder[APIGatewayProxyEvent](problem).build(APIGatewayProxyEvent(event))
    else:
        shown = {"request_id": id_, "shown_request_id": clients_id or id_}
        app.append_context(**shown)  # type: ignore[no-untyped-call] # Powertools ships it so
        answer = app.resolve({**event, **headers, "body": body_text, "isBase64Encoded": False}, context)
    path = str(event.get("path")).rstrip("/")  # Powertools and API Gateway ignore a slash at the end
    is_problem = answer["multiValueHeaders"].get("Content-Type") == [edges.PROBLEM_JSON]
    if is_problem and (shaped := shapes.error_at(path, json.loads(answer["body"]))):
        answer["multiValueHeaders"] |= {"Content-Type": [_JSON], "x-request-id": [clients_id or id_]}
        if path == shapes.MCP and answer["statusCode"] == Unauthenticated.status:
            answer["multiValueHeaders"]["WWW-Authenticate"] = [mcp.challenge(event)]
        answer["body"] = json.dumps(shaped)
    body, sent = answer["body"], {name: ", ".join(values) for name, values in answer["multiValueHeaders"].items()}
    if isinstance(body, StreamedResponse):
        return replace(body, headers=sent)
    if (event.get("httpMethod"), path) in _STREAMED_ROUTES:
        return StreamedResponse.of_text(answer["statusCode"], sent, body or "")
    return answer


def _json_object(event: Mapping[str, Any]) -> str | None:
    """Return the body of an event: a JSON object or nothing. Raises `BadInput`.

    Powertools would fail on bytes that are not text, and on JSON too deep for its parser.
    """
    body = event.get("body")
    if not body:
        return None
    try:
        text = base64.b64decode(body).decode() if event.get("isBase64Encoded") else str(body)
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise BadInput(shapes.NOT_JSON) from None
    if not isinstance(document, dict):
        raise BadInput("the body is not a JSON object")
    return text


def _with_request_id(app_: APIGatewayRestResolver, next_middleware: Callable[..., Response[Any]]) -> Response[Any]:
    """Put the client's request id, else docwell's, into every response's headers."""
    response = next_middleware(app_)
    response.headers["x-request-id"] = app.context["shown_request_id"]
    if isinstance(response, edges.AnswerResponse):
        response.body = response.content  # Powertools validates the content as JSON: set it last
    return response


app.use([_with_request_id])
app.include_router(openai.router)
app.include_router(mcp.router)
app.include_router(operations.router)


@app.post(
    "/v1/query",
    description="Ask a question; the answer cites pages. With `stream`, or `Accept: text/event-stream`, it comes "
    "as server-sent events: `passages`, `token`..., `answer` (the whole object), or `error` (a problem document). "
    "While model hosts sleep, `waking` events come until one answers.",
    responses=edges.answer_responses(bodies.QueryResponse),
)
def query(body: Annotated[bodies.QueryRequest, Body()]) -> Response[Any]:
    """Answer one question."""
    question = answering.QuestionRequest(body, request_id(), edges.admission(bodies.most_model_calls(body)))
    if body.stream or "text/event-stream" in (app.current_event.headers.get("accept") or ""):
        return edges.AnswerResponse(question.stream())
    return edges.AnswerResponse(question.answer())


@app.post(
    "/v1/search",
    description="The passages for a question, best first, without the language model. The ranking is that of "
    "`/v1/query`.",
)
def search(body: Annotated[bodies.SearchRequest, Body()]) -> bodies.SearchResponse:
    """Search for one question."""
    return answering.search(body)


@app.post(shapes.RETRIEVAL, description="`/v1/search` as Dify's External Knowledge API.")
def retrieval(body: Annotated[bodies.RetrievalRequest, Body()]) -> bodies.RetrievalResponse:
    """Search in one collection. A document that does not exist matches nothing, as in Dify's own filters."""
    try:
        request = _search_of(body)
    except BadInput:
        charge()
        raise
    try:
        passages = answering.search(request).passages or ()
    except NotFound as error:
        if error.detail != NO_DOCUMENT:
            raise
        passages = ()
    records = [
        bodies.RetrievalRecord(
            content=hit.text,
            score=hit.score,
            title=openai.title(hit),
            metadata=hit.model_dump(mode="json", exclude={"text", "score", "start", "end", "quote"}),
        )
        for hit in passages
        if hit.score >= (body.retrieval_setting.score_threshold or 0)
    ]
    return bodies.RetrievalResponse(records=records)


def _search_of(body: bodies.RetrievalRequest) -> bodies.SearchRequest:
    filter_ = dict[str, Any]()
    for condition in (body.metadata_condition and body.metadata_condition.conditions) or ():
        name, operator = "".join(condition.name), condition.comparison_operator
        field = edges.data_file("dify").get(f"{name} {operator}")
        part = filter_ if field else filter_.setdefault("metadata", {})
        if not (field or operator in {"is", "="}) or (field or name) in part:
            raise BadInput("docwell cannot filter by these conditions", "metadata_condition.conditions")
        part[field or name] = [condition.value] if field == "documents" else condition.value
    fields = {"question": body.query, "collection": body.knowledge_id, "top_k": body.retrieval_setting.top_k}
    return edges.validated(bodies.SearchRequest, fields | {"filter": filter_})


@app.post("/v1/feedback", description="Say whether an answer was good; stored in its receipt.")
def feedback(body: Annotated[bodies.FeedbackRequest, Body()]) -> bodies.FeedbackResponse:
    """Record one verdict."""
    principal = charge()
    if wiring.receipt_book().judge(principal, body.request_id, body.verdict, body.comment):
        record_alone("Feedback", float(body.verdict == "good"))  # the average is the share of good answers
    logger.info("feedback", extra={"principal": principal.id, "about": body.request_id, "verdict": body.verdict})
    return bodies.FeedbackResponse(request_id=body.request_id, verdict=body.verdict)


@app.get("/v1/receipts/<id_>", description="The stored receipt of an answer, for its caller.")
def receipt(id_: str) -> bodies.ReceiptBody:
    """Return one receipt."""
    principal = charge()
    stored = wiring.receipt_book().get(principal, id_, wiring.catalogue())
    answering.audit(principal, Action.READ, quoted(stored))
    return bodies.ReceiptBody.model_validate(stored, from_attributes=True)


@app.post("/v1/receipts/<id_>/replay", description="Ask the question of an answer again; shows what changed.")
def replay(id_: str) -> bodies.ReplayResponse:
    """Return the answer then and now."""
    return answering.replay(edges.admission(bodies.MOST_MODEL_CALLS), id_)


@app.get(_DOCUMENTS, description="The documents and where each stands; DELETED ones only when asked for.")
def documents(
    collection: Annotated[str | None, Query(min_length=1, max_length=KEY_BYTES)] = None,
    status: Annotated[Status | None, Query()] = None,
    cursor: Annotated[bodies.Cursor | None, Query()] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = bodies.PAGE_SIZE,
    prefix: Annotated[bodies.Key | None, Query(description="The beginning of their keys.")] = None,
) -> bodies.DocumentsResponse:
    """Return one page of documents."""
    listing = Listing(collection, prefix or "", status, cursor, limit)
    records, cursor = list_documents(wiring.catalogue(), charge(), listing)
    return bodies.DocumentsResponse(documents=list(map(bodies.document_body, records)), cursor=cursor)


@app.get(
    _DOCUMENT_ROUTE,
    description="One document by its key, percent-encoded. Its status is free; a link is charged and audited.",
)
def document(
    *, link: Annotated[bool, Query(description="Return a link to the version that answers.")] = False
) -> bodies.DocumentBody:
    """Return one document."""
    principal = charge() if link else caller()
    raw = _path_key()
    # Some gateways decode the path. Try the raw form too, for keys with a literal percent sign.
    body = bodies.document_body(answering.first_visible(principal, unquote(raw), raw))
    if link and body.live_version is not None:
        body.link = wiring.document_links().link(body.document, body.live_version, FIRST_PAGE, body.media_type)
        answering.audit(principal, Action.READ, frozenset({body.document}))
    return body


@app.delete(_DOCUMENT_ROUTE, description="Delete a document from the bucket; needs a grant to write.")
def delete() -> bodies.DeletionResponse:
    """Delete one document."""
    principal = charge()
    record = answering.first_visible(principal, unquote(_path_key()))  # the raw form may be another
    delete_document(wiring.document_links(), wiring.audit_trail(), principal, record)
    return bodies.DeletionResponse(document=record.key)


def _path_key() -> str:
    return app.current_event.path.split(f"{_DOCUMENTS}/", 1)[1]


@app.post("/v1/uploads", description="Get forms that upload files to the bucket; needs a grant to write.")
def upload(body: Annotated[bodies.UploadBody, Body()]) -> bodies.UploadResponse | bodies.UploadsResponse:
    """Return a form for each file; a file that is refused refuses its list."""
    principal, settings = charge(), wiring.query_settings()
    files = body.files if isinstance(body, bodies.UploadsRequest) else [body]
    if any(file.size > settings.max_upload_bytes for file in files):
        raise BadInput(f"size is over {settings.max_upload_bytes:,} bytes")
    sources = [file.attributes_of and answering.first_visible(principal, file.attributes_of) for file in files]
    sent = [
        (file.document, file.size, file.content_type, (source and source.live_attributes) or Attributes())
        for file, source in zip(files, sources, strict=True)
    ]
    wiring.principals().charge(principal, Use(), READING)
    signed = upload_forms(wiring.document_links(), wiring.audit_trail(), principal, sent)
    forms = [
        bodies.UploadResponse(document=file.document, expires_in=settings.link_s, **form._asdict())
        for file, form in zip(files, signed, strict=True)
    ]
    return bodies.UploadsResponse(forms=forms) if isinstance(body, bodies.UploadsRequest) else forms[0]


@app.get("/v1/usage", description="The caller's rights to write, its quotas and today's use. Charges nothing.")
def usage() -> bodies.UsageResponse:
    """Return the caller's use."""
    principal, settings = caller(), wiring.query_settings()
    writable = None if principal.writable is None else sorted(principal.writable)
    use = asdict(principal) | asdict(wiring.principals().use(principal)) | {"writable": writable}
    return bodies.UsageResponse(**use, max_upload_bytes=settings.max_upload_bytes, ocr=settings.ocr != "off")


@app.get("/v1/health", description="Whether the function runs; public, and calls no dependency.")
def health() -> bodies.HealthResponse:
    """Return `ok`."""
    return bodies.HealthResponse()


@app.get(
    "/v1/ready",
    description="Whether each dependency answers within 2 s, at most 5 s ago; `degraded` is an answer too: 200. "
    "Charges nothing.",
)
def ready() -> bodies.ReadyResponse:
    """Check the dependencies for a known caller."""
    # Return 200 in every state: a 5xx would count as a failed request, and could roll a deployment back.
    try:
        states = run(_dependencies(Deadline(wiring.query_settings().ready_timeout_s)))
    except Unavailable:  # the caller cannot be looked up
        return bodies.ReadyResponse(status="degraded", dependencies={})
    status = "ready" if set(states.values()) == {OK} else "degraded"
    return bodies.ReadyResponse(status=status, dependencies=dict(states))


@app.get("/v1/status", description="Whether the model's hosts are asleep, waking, awake or down. Charges nothing.")
def status() -> bodies.StatusResponse:
    """Return the state of the model hosts, for a known caller."""
    caller()
    state = run(wiring.sleeper().state(Deadline(wiring.query_settings().ready_timeout_s)))
    stopped = wiring.sleeper().stopped() if state is HostState.ASLEEP else None
    return bodies.StatusResponse(
        model=wiring.query_settings().model,
        demo_model=wiring.model().profile.demo,
        passage_tokens=wiring.query_settings().passage_tokens,
        model_host=state,
        asleep_until=stopped and stopped.until,
    )


async def _dependencies(deadline: Deadline) -> Mapping[str, str]:
    async with deadline.stage("principals"):
        await asyncio.to_thread(caller)
    return await wiring.readiness().dependencies(deadline)


@app.get("/v1/openapi.json", include_in_schema=False)
def openapi_page() -> Response[str]:
    """Return the OpenAPI page of this API."""
    return Response(200, _JSON, _openapi_text())


@cache
def _openapi_text() -> str:
    """Return Powertools' OpenAPI page with the key as a parameter, problems as errors, and the credentials.

    Cached: it takes 150 ms to make, and callers without a credential may request it.
    """
    schema: dict[str, Any] = json.loads(
        app.get_openapi_json_schema(
            title="docwell",
            version=VERSION,
            description="Ask questions of the documents in a bucket; every answer cites its places.",
        )
    )
    paths, schemas = schema["paths"], schema["components"]["schemas"]
    for route, name in ((_DOCUMENT_ROUTE, "key"), (openai.MODEL_ROUTE, "model")):
        item = paths.pop(route)
        parameter = {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for operation in item.values():
            operation["parameters"] = [parameter, *operation.get("parameters", ())]
        paths[route.replace(".+", f"{{{name}}}")] = item
    added = edges.data_file("openapi")
    for path, operation in ((path, operation) for path, item in paths.items() for operation in item.values()):
        name = "Error" if path.startswith(shapes.PATHS) else added["error_names"].get(path, "Problem")
        id_ = operation["operationId"].partition("_v1_")[0]
        operation["operationId"] = added["operation_ids"].get(id_, id_)
        operation["tags"] = [added["tags"][path.split("/")[2]]]
        del operation["responses"]["422"]
        for code in (*added["errors"], "default"):
            operation["responses"][code] = {"$ref": f"#/components/responses/{name}"}
    for path, type_, name in added["answers"]:
        answer = {"schema": {"$ref": f"#/components/schemas/{name}"}}
        paths[path]["post"]["responses"]["200"]["content"][type_] = answer
    paths[shapes.MCP]["post"]["responses"]["202"] = {"description": "A notification was accepted"}
    schemas = {name: model for name, model in schemas.items() if not name.endswith("ValidationError")}
    # Of requests, which alone say so about more fields. Some generators demand fields that have a default.
    for model in (model for model in schemas.values() if "additionalProperties" in model):
        for field in model["properties"].values():
            if default := field.pop("default", None):
                field["description"] = f"{field.get('description', '')} Default: {default}.".lstrip()
    for body in (edges.Problem, bodies.PassageBody):
        schemas[body.__name__] = body.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas[body.__name__].pop("$defs", None)  # the page has those of a passage, for the hits of a search
    schemas |= added["components"]["schemas"]
    schema["components"] |= added["components"] | {"schemas": schemas}
    schema["security"] = [{name: []} for name in schema["components"]["securitySchemes"]]
    paths["/v1/health"]["get"]["security"] = []
    return json.dumps(schema)


@app.exception_handler(RequestValidationError)  # type: ignore[untyped-decorator] # Powertools ships it so
def _invalid(error: RequestValidationError) -> Response[str]:
    detail, errors = edges.named_errors(error.errors())
    answer = edges.to_known_caller(app.current_event.raw_event, BadInput(detail))
    return edges.problem_response(answer, request_id(), errors if isinstance(answer, BadInput) else None)


@app.not_found
def _no_route(_error: NotFoundError) -> Response[str]:
    event = app.current_event
    methods = {
        method.upper()
        for template, item in json.loads(_openapi_text())["paths"].items()
        if re.fullmatch(re.sub("{(key|model)}", ".+", template.replace("{id_}", "[^/]+")), event.path)
        for method in item
    }
    if not methods or event.http_method in methods:
        return edges.problem_response(NotFound(shapes.NO_ROUTE), request_id())
    response = edges.problem_response(NotAllowed("see /v1/openapi.json for the methods"), request_id())
    response.headers["Allow"] = ", ".join(sorted(methods))
    return response


@app.exception_handler(Exception)  # type: ignore[untyped-decorator] # Powertools ships it so
def _failed(error: Exception) -> Response[str]:
    return edges.problem_response(edges.record_error(error), request_id())
