"""OpenAI's protocol over docwell's questions: models, chat completions and responses.

Clients get only checked text, sentence by sentence: https://platform.openai.com/docs/api-reference.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal
from urllib.parse import quote as quote_url
from urllib.parse import unquote

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Body
from aws_lambda_powertools.event_handler.router import APIGatewayRouter
from pydantic import BaseModel, Field, StringConstraints

from docwell.answers import CORRECTION, NOT_SUPPORTED, PARTIAL, REFUSALS, SOURCES, Sentence, answer_in
from docwell.errors import BadInput, DocwellError, NotFound
from docwell.http import bodies, sse
from docwell.http.answering import Finished, QuestionRequest, Shown
from docwell.http.edges import (
    AnswerResponse,
    Problem,
    admission,
    answer_responses,
    charge,
    data_file,
    request_id,
    validated,
)
from docwell.http.shapes import CHAT, MODELS, NO_MODEL, RESPONSES, openai_error
from docwell.http.streaming import StreamedResponse
from docwell.identity import ORIGIN_HEADER
from docwell.models import KEY_BYTES, UnitKind
from docwell.query.ask import Checked, Passages, Waking
from docwell.query.checking.cleaning import clean_answer
from docwell.query.documents import list_collections
from docwell.query.retrieval.scope import NO_COLLECTION
from docwell.wiring import query as wiring

# The model over all that the caller may read; `docwell/NAME` answers from one collection.
MODEL = "docwell"
# Only the last turns are read.
_MAX_MESSAGES = 1000
MODEL_ROUTE = f"{MODELS}/.+"  # `docwell/NAME` holds a slash

router = APIGatewayRouter()  # type: ignore[no-untyped-call] # Powertools ships it so
# Prompts for titles and tags, of Open WebUI and LibreChat: a search would charge a question, and refuse it.
_SIDE_TASK = re.compile(
    r"### Task:\s.*<chat_history>"
    r"|(?:Please generate|Provide) a concise, 5-word-or-less title for the conversation"
    r"|Analyze this conversation and provide:\s+1\. The detected language",
    re.DOTALL,
)
SIDE_TASK = "docwell answers questions about documents: for titles, tags and other tasks, choose another model"
_IGNORED_ROLES = frozenset({"system", "developer"})
_TEXT_PARTS = frozenset({"text", "input_text", "output_text"})
# Characters that could end the text of a Markdown link, or begin HTML or code in it.
_MARKDOWN = re.compile(r"([\\\[\]<>`*])")
# Characters to leave unescaped in a link: no blank, bracket or parenthesis may end it.
_LINK = "%:/?#&=+,;@~!$'"
_Text = Annotated[str, StringConstraints(min_length=0)]  # a constraint makes Pydantic reject lone surrogates


class ContentPart(bodies.Body, extra="allow"):
    """A part of a message. Only `text` is read."""

    type: _Text
    text: _Text | None = None


class ChatMessage(bodies.Body, extra="allow"):
    """One message. docwell ignores the roles `system` and `developer`: it has a prompt already."""

    role: _Text = Field(description="`user`, `assistant`, `system` or `developer`.")
    content: _Text | Annotated[list[ContentPart], Field(fail_fast=True)] | None = None


class ResponseItem(ChatMessage):
    """One item of a conversation."""

    type: _Text = Field(default="message", description="docwell reads items of no other type.")
    role: _Text = Field(default="", description="Of a message, as in chat completions.")


class ModelRequest(bodies.Body, extra="allow"):
    """A request to a model.

    Sampling parameters, such as `temperature`, are ignored: the deployment sets them. Parameters that would change
    the form of the answer, such as `n` over 1 and a `tool_choice` that demands a call, are rejected. `collection`,
    `collections`, `document`, `filter`, `mode`, `top_k` and `fallback` are those of `/v1/query`.
    """

    model: _Text = Field(description="`docwell`, or `docwell/NAME` for one collection.")
    stream: bool | None = None
    stream_options: dict[str, Any] | None = Field(default=None, description="Only `include_usage` is read.")


class ChatRequest(ModelRequest):
    """A conversation whose last message is the question. docwell never calls a tool of `tools`."""

    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=_MAX_MESSAGES, fail_fast=True)]


class ResponseRequest(ModelRequest):
    """A question, or a conversation whose last message is the question. `instructions` are ignored.

    `previous_response_id` and `conversation` are rejected: docwell stores neither, so send all messages.
    """

    tools: Annotated[list[Any], Field(max_length=0)] | None = None
    input: _Text | Annotated[list[ResponseItem], Field(min_length=1, max_length=_MAX_MESSAGES, fail_fast=True)]


class ChatModelBody(bodies.Body):
    """One collection, or all of them, as a model."""

    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str = "docwell"


class ModelsResponse(bodies.Body):
    """The models that the caller may use."""

    object: Literal["list"] = "list"
    data: list[ChatModelBody]


class UrlCitation(bodies.Body):
    """A source: `start_index` to `end_index` is its first marker in the content, in characters."""

    type: Literal["url_citation"] = "url_citation"
    start_index: int
    end_index: int
    title: str
    url: str


class Annotation(bodies.Body):
    """A citation of the answer. `index` counts from 0, for clients that join pieces of lists by it."""

    index: int
    type: Literal["url_citation"] = "url_citation"
    url_citation: UrlCitation


class AnswerMessage(bodies.Body):
    """The answer, with a list of its sources at the end."""

    role: Literal["assistant"] = "assistant"
    content: str
    refusal: str | None = Field(description="Why docwell does not answer. `content` says it too.")
    annotations: list[Annotation]


class Choice(bodies.Body):
    """The only choice of a completion: the answer."""

    index: int = 0
    message: AnswerMessage
    finish_reason: Literal["stop", "length"]
    logprobs: None = None


class ChatUsage(bodies.Body):
    """Tokens as the model host counts them."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class ChatCompletion(bodies.Body):
    """A whole answer."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int = Field(description="Seconds since the epoch.")
    model: str
    choices: list[Choice]
    usage: ChatUsage


class OutputText(bodies.Body):
    """The answer, with a list of its sources at the end."""

    type: Literal["output_text"] = "output_text"
    text: str
    annotations: list[UrlCitation]


class OutputMessage(bodies.Body):
    """The only message of a response. `refusal` stands beside the text: some clients know no other content."""

    id: str
    type: Literal["message"] = "message"
    role: Literal["assistant"] = "assistant"
    status: Literal["in_progress", "completed", "incomplete"]
    content: list[OutputText]
    refusal: str | None = Field(default=None, description="Why docwell does not answer. The text says it too.")


class ResponseUsage(bodies.Body):
    """Tokens as the model host counts them."""

    input_tokens: int
    input_tokens_details: dict[str, int] = Field(default={"cached_tokens": 0})
    output_tokens: int
    output_tokens_details: dict[str, int] = Field(default={"reasoning_tokens": 0})
    total_tokens: int


class ModelResponse(bodies.Body):
    """A response: whole, or as far as it came."""

    id: str
    object: Literal["response"] = "response"
    created_at: int = Field(description="Seconds since the epoch.")
    status: Literal["in_progress", "completed", "incomplete"]
    model: str
    output: list[OutputMessage]
    usage: ResponseUsage | None = None
    incomplete_details: dict[str, str] | None = None
    parallel_tool_calls: Literal[False] = False
    tool_choice: Literal["none"] = "none"
    tools: list[Any] = Field(default=[])


def question_of(request: ChatRequest | ResponseRequest) -> bodies.QueryRequest:
    """Return the question of a conversation, with as many of the last turns as the settings allow.

    Raises:
        BadInput: it uses what docwell does not support, such as images, or has no question at its end.
        NotFound: it names a model that cannot be docwell's.
    """
    values = data_file("openai_neutral")  # these ask for nothing special
    extra = {name: value for name, value in (request.model_extra or {}).items() if value is not None}
    for name, value in extra.items():
        accepted = [(type(neutral), neutral) for neutral in values.get(name, (value,))]  # True is not 1
        if (type(value), value) not in accepted:
            raise BadInput(f"docwell does not support this value of {name}: leave it out", name)
    name = request.model.removeprefix(f"{MODEL}/")
    if request.model != MODEL and (name == request.model or not 0 < len(name.encode()) <= KEY_BYTES):
        raise NotFound(NO_MODEL)
    where = "messages" if isinstance(request, ChatRequest) else "input"
    messages = getattr(request, where)
    if isinstance(messages, str):
        messages = [ChatMessage(role="user", content=messages)]
    history, question = _conversation(messages, where)
    if _SIDE_TASK.match(question):
        raise BadInput(SIDE_TASK, where)
    fields = {"question": question, "history": _last_turns(history), "stream": bool(request.stream)}
    if request.model != MODEL:
        fields["collection"] = name
    extra = {name: value for name, value in extra.items() if name in bodies.QueryRequest.model_fields}
    if repeated := sorted(extra.keys() & fields.keys()):
        raise BadInput(f"the model or the messages say {repeated[0]}: leave it out", repeated[0])
    return validated(bodies.QueryRequest, fields | extra)


def content(response: bodies.QueryResponse) -> str:
    """Return an answer as text, with a list of its sources."""
    return "".join(_marked_pieces(response.answer, response.sentences)) + _ending(response)


def completion(response: bodies.QueryResponse, model: str, text: str | None = None) -> ChatCompletion:
    """Return an answer as a chat completion; `text` is the sent text of a stream."""
    text = content(response) if text is None else text
    read, written = response.usage.prompt_tokens, response.usage.completion_tokens
    places = enumerate(_places(text, response.citations))
    message = AnswerMessage(
        content=text,
        annotations=[Annotation(index=index, url_citation=place) for index, place in places],
        refusal=response.refusal and REFUSALS[response.refusal],
    )
    return ChatCompletion(
        id=f"chatcmpl-{response.request_id}",
        created=int(time.time()),
        model=model,
        choices=[Choice(message=message, finish_reason="length" if response.cut_short else "stop")],
        usage=ChatUsage(prompt_tokens=read, completion_tokens=written, total_tokens=read + written),
    )


def response_of(response: bodies.QueryResponse, model: str, text: str | None = None) -> ModelResponse:
    """Return an answer as a response; `text` is the sent text of a stream."""
    text = content(response) if text is None else text
    read, written = response.usage.prompt_tokens, response.usage.completion_tokens
    status: Literal["completed", "incomplete"] = "incomplete" if response.cut_short else "completed"
    message = OutputMessage(
        id=f"msg_{response.request_id}",
        status=status,
        content=[OutputText(text=text, annotations=_places(text, response.citations))],
        refusal=response.refusal and REFUSALS[response.refusal],
    )
    return ModelResponse(
        id=f"resp_{response.request_id}",
        created_at=int(time.time()),
        status=status,
        incomplete_details={"reason": "max_output_tokens"} if response.cut_short else None,
        model=model,
        output=[message],
        usage=ResponseUsage(input_tokens=read, output_tokens=written, total_tokens=read + written),
    )


@dataclass(slots=True)
class ChatStream:
    """A chat completion in chunks: each sentence once it is checked, then the sources, with links to `console`."""

    question: QuestionRequest
    model: str
    with_usage: bool
    console: str | None
    _sent: str = ""
    _sent_pieces: list[str] = field(default_factory=list)
    _created: int = field(default_factory=lambda: int(time.time()))
    _events: int = 0
    _begun: bool = False

    def body(self) -> StreamedResponse:
        """Return the chunks as server-sent events. Errors before the first chunk are raised here."""
        return self.question.streamed(self._encoded, self._failed)

    def _encoded(self, event: Shown) -> Iterator[bytes]:
        if not self._begun and isinstance(event, Passages | Waking | Finished):
            self._begun = True
            yield from self._begin()
        if isinstance(event, Checked) and (text := self._unsent(event.text, event.sentences)):
            yield self._content(text)
        if isinstance(event, Finished):
            yield from self._end(bodies.linked(event.response, self.console))

    def _end(self, response: bodies.QueryResponse) -> Iterator[bytes]:
        """Yield the rest of the answer, its sources, and the last events."""
        text = self._unsent(response.answer, response.sentences)
        if text is None:
            text = CORRECTION + "".join(_marked_pieces(response.answer, response.sentences))
        yield self._content(text + _ending(response))
        yield from self._last(response)

    def _unsent(self, text: str, sentences: Sequence[Sentence]) -> str | None:
        """Return the marked text that is not sent yet; None if the sent pieces are not the first ones."""
        pieces, count = [*_marked_pieces(text, sentences)], len(self._sent_pieces)
        if [*map(_spaced, pieces[:count])] != self._sent_pieces:
            return None
        self._sent_pieces += map(_spaced, pieces[count:])
        return "".join(pieces[count:])

    def _content(self, text: str) -> bytes:
        self._sent += text
        self.question.sent = answer_in(self._sent)
        return self._piece(text)

    def _begin(self) -> Iterator[bytes]:
        yield self._chunk({"role": "assistant", "content": ""})

    def _piece(self, text: str) -> bytes:
        return self._chunk({"content": text})

    def _last(self, response: bodies.QueryResponse) -> Iterator[bytes]:
        whole = completion(response, self.model, self._sent)
        (choice,) = whole.choices
        for name, value in choice.message.model_dump(include={"refusal", "annotations"}).items():
            if value:
                yield self._chunk({name: value})
        yield self._chunk({}, choice.finish_reason)
        if self.with_usage:
            yield self._chunk(usage=whole.usage.model_dump())
        yield b"data: [DONE]\n\n"

    def _failed(self, problem: Problem) -> dict[str, Any]:
        return openai_error(problem.model_dump())

    def _chunk(
        self,
        delta: Mapping[str, Any] | None = None,
        finish_reason: str | None = None,
        usage: Mapping[str, int] | None = None,
    ) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        chunk = {
            "id": f"chatcmpl-{self.question.request_id}",
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": self.model,
            "choices": [] if delta is None else [choice],
        }
        return sse.message(chunk | ({"usage": usage} if self.with_usage else {}))


class ResponseStream(ChatStream):
    """A response in events: https://platform.openai.com/docs/api-reference/responses-streaming."""

    def _begin(self) -> Iterator[bytes]:
        id_ = self.question.request_id
        response = ModelResponse(
            id=f"resp_{id_}", created_at=self._created, status="in_progress", model=self.model, output=[]
        )
        yield self._event("response.created", response=response)
        yield self._event("response.in_progress", response=response)
        message = OutputMessage(id=f"msg_{id_}", status="in_progress", content=[])
        yield self._event("response.output_item.added", item=message)
        yield self._event("response.content_part.added", part=OutputText(text="", annotations=[]))

    def _piece(self, text: str) -> bytes:
        return self._event("response.output_text.delta", delta=text, logprobs=[])

    def _last(self, response: bodies.QueryResponse) -> Iterator[bytes]:
        whole = response_of(response, self.model, self._sent)
        (message,) = whole.output
        (part,) = message.content
        for index, annotation in enumerate(part.annotations):
            yield self._event(
                "response.output_text.annotation.added", annotation_index=index, annotation=annotation
            )
        yield self._event("response.output_text.done", text=part.text, logprobs=[])
        yield self._event("response.content_part.done", part=part)
        yield self._event("response.output_item.done", item=message)
        yield self._event(f"response.{whole.status}", response=whole)

    def _failed(self, problem: Problem) -> dict[str, Any]:
        shaped = openai_error(problem.model_dump())  # some clients read `error`, some the fields beside it
        return {**shaped["error"], **shaped, "type": "error", "sequence_number": self._events}

    def _event(self, type_: str, **fields: BaseModel | str | int | list[str]) -> bytes:
        event: dict[str, Any] = {"type": type_, "sequence_number": self._events}
        if "response" not in fields:
            event |= {"item_id": f"msg_{self.question.request_id}", "output_index": 0, "content_index": 0}
        for name, value in fields.items():
            event[name] = value.model_dump() if isinstance(value, BaseModel) else value
        self._events += 1
        return sse.event(type_, event)


def _conversation(messages: Sequence[ChatMessage], where: str) -> tuple[list[bodies.TurnBody], str]:
    """Return the turns before the question, and the question. Raises `BadInput`."""
    turns: list[bodies.TurnBody] = []
    questions: list[str] = []
    for number, message in enumerate(messages):
        text = _text(message, f"{where}.{number}")
        if message.role == "user":
            questions += [text] if text.strip() else []
        elif message.role == "assistant":
            answer = answer_in(text)
            if questions and answer.strip():
                turns.append(bodies.TurnBody(question="\n".join(questions), answer=answer))
            questions = []
        elif message.role not in _IGNORED_ROLES:
            raise BadInput("docwell reads messages of users and assistants only", f"{where}.{number}.role")
    if not questions:
        raise BadInput("the last message is not a question of the user", where)
    return turns, "\n".join(questions)


def _text(message: ChatMessage, where: str) -> str:
    """Return the text of a message. Raises `BadInput` for images, files, sound and calls of tools."""
    for name in ("tool_calls", "function_call", "audio"):
        if (message.model_extra or {}).get(name):
            raise BadInput(f"docwell does not support {name}", f"{where}.{name}")
    if isinstance(message, ResponseItem) and message.type != "message":
        raise BadInput("docwell reads messages only, and stores none: send text (`store: false`)", f"{where}.type")
    if not isinstance(message.content, list):
        return message.content or ""
    for number, part in enumerate(message.content):
        if part.type not in _TEXT_PARTS or part.text is None:
            raise BadInput("docwell reads text only", f"{where}.content.{number}.type")
    return "\n".join(part.text or "" for part in message.content)


def _last_turns(turns: Sequence[bodies.TurnBody]) -> list[bodies.TurnBody]:
    """Return the last turns, as many as the settings allow for a question."""
    settings = wiring.query_settings()
    recent = [*turns[max(len(turns) - settings.max_history_turns, 0) :]]
    while sum(len(turn.question) + len(turn.answer) for turn in recent) > settings.max_history_characters:
        del recent[0]
    return recent


def _marked_pieces(text: str, sentences: Sequence[Sentence]) -> Iterator[str]:
    """Yield the text in pieces that end with a sentence; mark each unsupported sentence."""
    end = 0
    for sentence in sentences:
        # A row of a comparison is one line, but its sentences may contain line ends.
        pattern = r"\s+".join(map(re.escape, sentence.text.split()))
        match = re.compile(pattern).search(text, end)
        if match and match.end() > end:
            yield text[end : match.end()] + ("" if sentence.supported else NOT_SUPPORTED)
            end = match.end()
    if text[end:]:
        yield text[end:]


def _ending(response: bodies.QueryResponse) -> str:
    """Return the text after an answer: its sources as a Markdown list, whose numbers are the markers.

    A note follows if some documents were not searched.
    """
    lines = []
    for citation in response.citations:
        place, quote = (_MARKDOWN.sub(r"\\\1", text) for text in (title(citation), citation.display_quote))
        name = f"[{place}]({quote_url(citation.link, _LINK)})" if citation.link else place
        lines.append(f"{citation.marker}. {name}: “{quote}”")
    sources = SOURCES + "\n".join(("", *lines)) if lines else ""
    return sources + (PARTIAL if response.partial else "")


def _places(text: str, citations: Sequence[bodies.CitationBody]) -> list[UrlCitation]:
    """Return the citations that have a link, each at its first marker in the answer that counts."""
    places: list[UrlCitation] = []
    for citation in citations:
        marker = f"[{citation.marker}]"
        start = text.find(marker, max(text.rfind(CORRECTION), 0))
        if citation.link and start >= 0:
            end, name = start + len(marker), title(citation)
            places.append(UrlCitation(start_index=start, end_index=end, title=name, url=citation.link))
    return places


def title(citation: bodies.QuoteBody) -> str:
    """Return the document and the place on one line, without markup: a key may hold any text."""
    name = clean_answer(citation.document, [citation.document])[0]
    if citation.unit.kind is not UnitKind.PAGE:
        return _spaced(f"{name}, {citation.unit.label}")
    label = citation.page_label
    printed = f" (printed {label})" if label not in {None, str(citation.page)} else ""
    return _spaced(f"{name}, page {citation.page}{printed}")


def _spaced(text: str) -> str:
    return " ".join(text.split())


@router.get(MODELS, description="The collections that the caller may read, as OpenAI's models.")
def models() -> ModelsResponse:
    """List the models."""
    collections = list_collections(wiring.catalogue(), charge())
    names = [MODEL, *(f"{MODEL}/{collection}" for collection in collections)]
    return ModelsResponse(data=[ChatModelBody(id=name) for name in names])


@router.get(MODEL_ROUTE, description="One of the models.")
def model() -> ChatModelBody:
    """Return the model that the path names. Raises `NotFound`."""
    id_ = unquote(router.current_event.path.split(f"{MODELS}/", 1)[1])
    for entry in models().data:
        if entry.id == id_:
            return entry
    raise NotFound(NO_MODEL)


@router.post(
    CHAT,
    description="OpenAI's chat completions. The answer is checked before it is sent, and lists its sources. A "
    "streamed answer comes sentence by sentence.",
    responses=answer_responses(ChatCompletion),
)
def complete(body: Annotated[ChatRequest, Body()]) -> Response[Any]:
    """Answer the question of one conversation."""
    return _answer(body, ChatStream, completion)


@router.post(
    RESPONSES,
    description="OpenAI's responses: those of chat completions in another shape. docwell stores none.",
    responses=answer_responses(ModelResponse),
)
def respond(body: Annotated[ResponseRequest, Body()]) -> Response[Any]:
    """Answer the question of one conversation."""
    return _answer(body, ResponseStream, response_of)


def _answer(
    body: ChatRequest | ResponseRequest,
    stream: type[ChatStream],
    body_of: Callable[[bodies.QueryResponse, str], BaseModel],
) -> Response[Any]:
    try:
        query = question_of(body)
    except DocwellError:
        charge()
        raise
    calls = bodies.most_model_calls(query)
    question = QuestionRequest(query, request_id(), admission(calls), by_sentence=bool(body.stream))
    console = bodies.origin_of(router.current_event.headers.get(ORIGIN_HEADER, ""))
    try:
        if body.stream:
            with_usage = bool((body.stream_options or {}).get("include_usage"))
            return AnswerResponse(stream(question, body.model, with_usage, console).body())
        return AnswerResponse(question.answer(lambda answer: body_of(bodies.linked(answer, console), body.model)))
    except NotFound as error:
        is_of_model = body.model != MODEL and error.detail == NO_COLLECTION
        raise NotFound(NO_MODEL) if is_of_model else error from None
