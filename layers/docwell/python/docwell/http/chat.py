"""OpenAI's chat completions over docwell's questions. Clients see checked text alone, sentence by sentence."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote as quote_url

from docwell.answers import Sentence
from docwell.citation_units import UnitKind
from docwell.errors import BadInput, NotFound, QuotaExceeded, TooManyInFlight, Unauthenticated
from docwell.http import bodies, sse
from docwell.http import chat_bodies as chat
from docwell.http.answering import Finished, QuestionRequest
from docwell.http.console_links import linked
from docwell.http.problems import Problem
from docwell.http.streaming import ResponseBody
from docwell.models import KEY_BYTES
from docwell.query.ask import Checked, Passages, Waking
from docwell.query.checking.cleaning import clean_answer
from docwell.wiring import query as wiring

NO_MODEL = "the model does not exist, or you may not use it: GET /v1/models lists yours"
NOT_SUPPORTED = " (not supported by the documents)"
CORRECTION = "\n\nThe check of the whole answer has changed it. The answer is:\n\n"
_SOURCES = "\n\nSources:\n"
_PARTIAL = "\n\nPart of the index did not answer: some documents were not searched."
# The values that ask for nothing special. Any other value of these parameters is rejected.
_NEUTRAL: Mapping[str, Sequence[object]] = {
    "n": (1,),
    # `tools` and `functions` themselves are an offer: a model may answer without a call, and docwell always does.
    "tool_choice": ("none", "auto"),
    "function_call": ("none", "auto"),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "logit_bias": ({},),
    "response_format": ({"type": "text"},),
    "modalities": (["text"],),
    "stop": ([],),
    "audio": (),
    "prediction": (),
    "web_search_options": (),
}
# Beginnings of prompts by which Open WebUI (open_webui/config.py) and LibreChat (agents/src/utils/title.ts) ask
# for a title, tags or next questions. Searching for them would charge a question, and show its refusal as a title.
_SIDE_TASK = re.compile(
    r"### Task:\s.*<chat_history>"
    r"|(?:Please generate|Provide) a concise, 5-word-or-less title for the conversation"
    r"|Analyze this conversation and provide:\s+1\. The detected language",
    re.DOTALL,
)
SIDE_TASK = "docwell answers questions about documents: for titles, tags and other tasks, choose another model"
_IGNORED_ROLES = frozenset({"system", "developer"})
# Characters that could end the text of a Markdown link, or begin HTML or code in it.
_MARKDOWN = re.compile(r"([\\\[\]<>`*])")
# Characters that stay in a link: no blank, bracket or parenthesis ends it.
_LINK = "%:/?#&=+,;@~!$'"
_OPENAI_CODES = {
    Unauthenticated.problem: "invalid_api_key",
    QuotaExceeded.problem: "insufficient_quota",
    TooManyInFlight.problem: "rate_limit_exceeded",
    NotFound.problem: "unknown_url",  # except for `NO_MODEL`
}
_TOO_MANY, _SERVER_ERRORS = 429, 500


def question(request: chat.ChatRequest) -> bodies.QueryRequest:
    """Return the question of a conversation, with as many of the last turns as the settings allow.

    Raises:
        BadInput: it uses what docwell does not support, such as images, or has no question at its end.
        NotFound: it names a model that cannot be docwell's.
    """
    for name, value in (request.model_extra or {}).items():
        if value is not None and name in _NEUTRAL and not _is_one_of(value, _NEUTRAL[name]):
            raise BadInput(f"docwell does not support this value of {name}: leave it out", name)
    name = request.model.removeprefix(f"{chat.MODEL}/")
    if request.model != chat.MODEL and (name == request.model or not 0 < len(name.encode()) <= KEY_BYTES):
        raise NotFound(NO_MODEL)
    history, asked = _conversation(request.messages)
    if _SIDE_TASK.match(asked):
        raise BadInput(SIDE_TASK, "messages")
    return bodies.QueryRequest(
        question=asked,
        collection=None if request.model == chat.MODEL else name,
        history=_last(history),
        stream=bool(request.stream),
    )


def content(response: bodies.QueryResponse) -> str:
    """Return an answer as text, with a list of its sources."""
    return "".join(_pieces(response.answer, response.sentences)) + _ending(response)


def completion(response: bodies.QueryResponse, model: str) -> chat.ChatCompletion:
    """Return an answer as a chat completion."""
    text = content(response)
    message = chat.AnswerMessage(content=text, annotations=_annotations(text, response.citations))
    return chat.ChatCompletion(
        id=f"chatcmpl-{response.request_id}",
        created=int(time.time()),
        model=model,
        choices=[chat.Choice(message=message, finish_reason="length" if response.cut_short else "stop")],
        usage=_usage(response),
    )


def openai_error(problem: Problem) -> dict[str, Any]:
    """Return a problem document as an error in OpenAI's shape."""
    kind = problem.type.rpartition(":")[2]
    code = "model_not_found" if problem.detail == NO_MODEL else _OPENAI_CODES.get(kind, kind)
    type_ = "server_error" if problem.status >= _SERVER_ERRORS else "invalid_request_error"
    where = problem.errors[0]["where"] if problem.errors else None
    return chat.ErrorResponse(
        error=chat.ErrorBody(
            message=problem.detail,
            type=code if problem.status == _TOO_MANY else type_,
            param=where and where.removeprefix("body."),
            code=code,
        )
    ).model_dump()


@dataclass(slots=True)
class ChatStream:
    """A chat completion in chunks: each sentence once it is checked, then the sources, with links to `console`."""

    asked: QuestionRequest
    model: str
    with_usage: bool
    console: str | None
    _sent: str = ""
    _shown: list[str] = field(default_factory=list)
    _created: int = field(default_factory=lambda: int(time.time()))

    def body(self) -> ResponseBody:
        """Return the chunks as server-sent events. Errors before the first chunk are raised here."""
        return self.asked.streamed(self._encoded(), openai_error)

    async def _encoded(self) -> AsyncGenerator[bytes]:
        begun = False
        async with aclosing(self.asked.events()) as events:
            async for event in events:
                if not begun and isinstance(event, Passages | Waking | Finished):
                    begun = True
                    yield self._chunk({"role": "assistant", "content": ""})
                if isinstance(event, Checked) and (text := self._added([*_pieces(event.text, event.sentences)])):
                    yield self._content(text)
                if isinstance(event, Finished):
                    for chunk in self._end(linked(event.response, self.console)):
                        yield chunk

    def _end(self, response: bodies.QueryResponse) -> Iterator[bytes]:
        """Yield the rest of the answer, its sources, why it ended, and its usage."""
        pieces = [*_pieces(response.answer, response.sentences)]
        text = self._added(pieces) if self._continues(pieces) else CORRECTION + "".join(pieces)
        yield self._content(text + _ending(response))
        if annotations := _annotations(self._sent, response.citations):
            yield self._chunk({"annotations": [one.model_dump() for one in annotations]})
        yield self._chunk({}, "length" if response.cut_short else "stop")
        if self.with_usage:
            yield sse.message(self._fields([]) | {"usage": _usage(response).model_dump()})
        yield b"data: [DONE]\n\n"

    def _added(self, pieces: Sequence[str]) -> str:
        """Return the text that is not sent yet, empty if the sent pieces are not the first ones."""
        if not self._continues(pieces):
            return ""
        new = pieces[len(self._shown) :]
        self._shown += map(_spaced, new)
        return "".join(new)

    def _continues(self, pieces: Sequence[str]) -> bool:
        return [*map(_spaced, pieces[: len(self._shown)])] == self._shown

    def _content(self, text: str) -> bytes:
        self._sent += text
        self.asked.sent = _answer_in(self._sent)
        return self._chunk({"content": text})

    def _chunk(self, delta: Mapping[str, Any], finish_reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return sse.message(self._fields([choice]) | ({"usage": None} if self.with_usage else {}))

    def _fields(self, choices: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        return {
            "id": f"chatcmpl-{self.asked.request_id}",
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": self.model,
            "choices": choices,
        }


def _is_one_of(value: object, accepted: Sequence[object]) -> bool:
    """Whether a value equals one of the accepted ones and has its type: True is not 1."""
    return any(value == one and type(value) is type(one) for one in accepted)


def _conversation(messages: Sequence[chat.ChatMessage]) -> tuple[list[bodies.TurnBody], str]:
    """Return the turns before the question, and the question. Raises `BadInput`."""
    turns: list[bodies.TurnBody] = []
    asked: list[str] = []
    for number, message in enumerate(messages):
        text = _text(message, f"messages.{number}")
        if message.role == "user":
            asked += [text] if text.strip() else []
        elif message.role == "assistant":
            said = _answer_in(text)
            if asked and said.strip():
                turns.append(bodies.TurnBody(question="\n".join(asked), answer=said))
            asked = []
        elif message.role not in _IGNORED_ROLES:
            raise BadInput("docwell reads messages of users and assistants only", f"messages.{number}.role")
    if not asked:
        raise BadInput("the last message is not a question of the user", "messages")
    return turns, "\n".join(asked)


def _answer_in(text: str) -> str:
    """Return the answer in a message, without what docwell added to it. An erasure finds it by its text."""
    said = text.partition(_SOURCES)[0].partition(_PARTIAL)[0]
    return said.rpartition(CORRECTION)[2].replace(NOT_SUPPORTED, "")


def _text(message: chat.ChatMessage, where: str) -> str:
    """Return the text of a message. Raises `BadInput` for images, files, sound and calls of tools."""
    for name in ("tool_calls", "function_call", "audio"):
        if (message.model_extra or {}).get(name):
            raise BadInput(f"docwell does not support {name}", f"{where}.{name}")
    if not isinstance(message.content, list):
        return message.content or ""
    for number, part in enumerate(message.content):
        if part.type != "text" or part.text is None:
            raise BadInput("docwell reads text only", f"{where}.content.{number}.type")
    return "\n".join(part.text or "" for part in message.content)


def _last(turns: Sequence[bodies.TurnBody]) -> list[bodies.TurnBody]:
    """Return the last turns, as many as a question may bring."""
    settings = wiring.query_settings()
    kept: list[bodies.TurnBody] = []
    room = settings.max_history_characters
    for turn in reversed(turns[max(len(turns) - settings.max_history_turns, 0) :]):
        room -= len(turn.question) + len(turn.answer)
        if room < 0:
            break
        kept.insert(0, turn)
    return kept


def _pieces(text: str, sentences: Sequence[Sentence | bodies.SentenceBody]) -> Iterator[str]:
    """Yield the text in pieces that end with a sentence; the unsupported ones say so."""
    end = 0
    for one in sentences:
        # The rows of a comparison are on one line each, and their sentences may not be.
        found = re.compile(r"\s+".join(map(re.escape, one.text.split()))).search(text, end)
        if found and found.end() > end:
            yield text[end : found.end()] + ("" if one.supported else NOT_SUPPORTED)
            end = found.end()
    if text[end:]:
        yield text[end:]


def _ending(response: bodies.QueryResponse) -> str:
    """Return what follows an answer: its sources, and whether documents were not searched."""
    return _sources(response.citations) + (_PARTIAL if response.partial else "")


def _sources(citations: Sequence[bodies.CitationBody]) -> str:
    """Return the sources as a Markdown list, whose numbers are the markers."""
    lines = []
    for one in citations:
        title, quote = (_MARKDOWN.sub(r"\\\1", text) for text in (_title(one), one.display_quote))
        named = f"[{title}]({quote_url(one.link, _LINK)})" if one.link else title
        lines.append(f"{one.marker}. {named}: “{quote}”")
    return _SOURCES + "\n".join(("", *lines)) if lines else ""


def _annotations(text: str, citations: Sequence[bodies.CitationBody]) -> list[chat.Annotation]:
    """Return the citations that have a link, each at its first marker."""
    found: list[chat.Annotation] = []
    for one in citations:
        marker = f"[{one.marker}]"
        start = text.find(marker)
        if one.link and start >= 0:
            place = chat.UrlCitation(
                start_index=start, end_index=start + len(marker), title=_title(one), url=one.link
            )
            found.append(chat.Annotation(index=len(found), url_citation=place))
    return found


def _title(citation: bodies.CitationBody) -> str:
    """Return the document and the place on one line, without markup: a key may hold any text."""
    name = clean_answer(citation.document, [citation.document])[0]
    if citation.unit.kind is not UnitKind.PAGE:
        return _spaced(f"{name}, {citation.unit.label}")
    label = citation.page_label
    printed = f" (printed {label})" if label not in {None, str(citation.page)} else ""
    return _spaced(f"{name}, page {citation.page}{printed}")


def _usage(response: bodies.QueryResponse) -> chat.ChatUsage:
    read, written = response.usage.prompt_tokens, response.usage.completion_tokens
    return chat.ChatUsage(prompt_tokens=read, completion_tokens=written, total_tokens=read + written)


def _spaced(text: str) -> str:
    return " ".join(text.split())
