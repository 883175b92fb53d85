"""The bodies of OpenAI's models and chat completions: https://platform.openai.com/docs/api-reference/chat."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, StringConstraints

# The model of all that the caller may read; `docwell/NAME` is that of one collection.
MODEL = "docwell"
# Only the last turns are read.
_MAX_MESSAGES = 1000

_Text = Annotated[str, StringConstraints(min_length=0)]  # a constraint makes Pydantic reject lone surrogates


class ContentPart(BaseModel, extra="allow"):
    """A part of a message. Only `text` is read."""

    type: _Text
    text: _Text | None = None


class ChatMessage(BaseModel, extra="allow"):
    """One message. Those of the roles `system` and `developer` are ignored: docwell has its own prompt."""

    role: _Text = Field(description="`user`, `assistant`, `system` or `developer`.")
    content: _Text | Annotated[list[ContentPart], Field(fail_fast=True)] | None = None


class StreamOptions(BaseModel, extra="allow"):
    """Options of a stream."""

    include_usage: bool | None = None


class ChatRequest(BaseModel, extra="allow"):
    """A conversation whose last message is the question.

    Sampling parameters, such as `temperature`, are ignored: the deployment sets them. docwell never calls a tool
    of `tools`. Parameters that would change the form of the answer, such as `n` over 1 and a `tool_choice` that
    demands a call, are rejected.
    """

    model: _Text = Field(description="`docwell`, or `docwell/NAME` for one collection.")
    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=_MAX_MESSAGES, fail_fast=True)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None


class ModelBody(BaseModel):
    """One collection, or all of them, as a model."""

    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str = "docwell"


class ModelsResponse(BaseModel):
    """The models that the caller may use."""

    object: Literal["list"] = "list"
    data: list[ModelBody]


class UrlCitation(BaseModel):
    """A source: `start_index` to `end_index` is its first marker in the content, in characters."""

    start_index: int
    end_index: int
    title: str
    url: str


class Annotation(BaseModel):
    """A citation of the answer. `index` counts from 0, for clients that join pieces of lists by it."""

    index: int
    type: Literal["url_citation"] = "url_citation"
    url_citation: UrlCitation


class AnswerMessage(BaseModel):
    """The answer, with a list of its sources at the end."""

    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = Field(default=None, description="Always null: docwell's refusal is ordinary content.")
    annotations: list[Annotation]


class Choice(BaseModel):
    """The one answer."""

    index: Literal[0] = 0
    message: AnswerMessage
    finish_reason: Literal["stop", "length"]
    logprobs: None = None


class ChatUsage(BaseModel):
    """Tokens as the model host counts them."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class ChatCompletion(BaseModel):
    """A whole answer."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int = Field(description="Seconds since the epoch.")
    model: str
    choices: list[Choice]
    usage: ChatUsage


class ErrorBody(BaseModel):
    """An error. `code` is docwell's problem type, or OpenAI's name for it."""

    message: str
    type: str
    param: str | None
    code: str


class ErrorResponse(BaseModel):
    """An error in OpenAI's shape."""

    error: ErrorBody


# One message of a streamed answer: a chunk, an error, or `[DONE]`.
CHUNK_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["data"],
    "properties": {
        "data": {
            "type": "string",
            "description": "JSON: a `chat.completion.chunk` or an `error`; then `[DONE]`.",
        }
    },
}
