"""The routes of OpenAI's protocol: models and chat completions."""

from __future__ import annotations

import json
from typing import Annotated, Any

from aws_lambda_powertools.event_handler import Response, content_types
from aws_lambda_powertools.event_handler.openapi.params import Body
from aws_lambda_powertools.event_handler.router import APIGatewayRouter

from docwell.errors import DocwellError, NotFound
from docwell.http import answering, bodies, chat, chat_bodies, problems, sse
from docwell.http.app import AnswerResponse, admission, answer_responses, charged, request_id
from docwell.http.console_links import console_of, linked
from docwell.query.listing import list_collections
from docwell.wiring import query as wiring

CHAT = "/v1/chat/completions"
_MODELS = "/v1/models"
# Beginnings of paths of OpenAI's API, of which docwell has two. Some clients show no other form of an error.
PATHS = (CHAT, _MODELS, "/v1/responses", "/v1/completions", "/v1/embeddings")

router = APIGatewayRouter()  # type: ignore[no-untyped-call] # Powertools ships it so


@router.get(_MODELS, description="The collections that the caller may read, as OpenAI's models.")
def models() -> chat_bodies.ModelsResponse:
    """List the models."""
    names = list_collections(wiring.catalogue(), charged())
    ids = [chat_bodies.MODEL, *(f"{chat_bodies.MODEL}/{name}" for name in names)]
    return chat_bodies.ModelsResponse(data=[chat_bodies.ModelBody(id=id_) for id_ in ids])


@router.post(
    CHAT,
    description="OpenAI's chat completions. The answer is checked before it is sent, and lists its sources. A "
    "streamed answer comes sentence by sentence.",
    responses=answer_responses(chat_bodies.ChatCompletion, chat_bodies.CHUNK_SCHEMA),
)
def complete(body: Annotated[chat_bodies.ChatRequest, Body()]) -> Response[Any]:
    """Answer the question of one conversation."""
    try:
        asked = chat.question(body)
    except DocwellError:
        charged()
        raise
    question = answering.QuestionRequest(
        asked, request_id(), admission(bodies.most_model_calls(asked)), by_sentence=bool(body.stream)
    )
    console = console_of(router.current_event.headers)
    try:
        if body.stream:
            with_usage = bool(body.stream_options and body.stream_options.include_usage)
            stream = chat.ChatStream(question, body.model, with_usage, console)
            return AnswerResponse(sse.CONTENT_TYPE, stream.body())
        return AnswerResponse(
            content_types.APPLICATION_JSON,
            question.answer(lambda answer: chat.completion(linked(answer, console), body.model)),
        )
    except NotFound:  # of the collection
        raise NotFound(chat.NO_MODEL) from None


def in_openai_shape(answer: dict[str, Any]) -> dict[str, Any]:
    """Return the answer of a problem document as an error of OpenAI's API, whose clients show the request id."""
    problem = problems.Problem.model_validate_json(answer["body"])
    headers = {
        "x-request-id": [problem.request_id],
        **answer["multiValueHeaders"],
        "Content-Type": [content_types.APPLICATION_JSON],
    }
    return {**answer, "multiValueHeaders": headers, "body": json.dumps(chat.openai_error(problem))}
