"""The language model on an Ollama host, or on a server of OpenAI's protocol (vLLM, llama.cpp, LM Studio).

A prompt that is too long is refused. An old Ollama cuts it: compare `Completion.prompt_tokens` with an estimate.
Thinking is counted and never shown. An error has the host's reason for a refusal, without words of the prompt.
"""

from __future__ import annotations

import json
import re
import ssl
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from copy import copy
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import httpx

from docwell.adapters.model_profiles import Protocol, host_words, profile_of
from docwell.adapters.thinking import AnswerText
from docwell.answers import Completion, Message
from docwell.deadline import Deadline
from docwell.errors import DocwellError, ModelMissing, ModelWaking, NoAnswer, PromptTooLong, Unavailable
from docwell.ports import ModelFacts
from docwell.text.tokens import bound_of_messages

if TYPE_CHECKING:
    from docwell.adapters.server_auth import ServerAuth

# httpcore loads these at the first request, which takes 30 ms; load them now.
for _module in ("anyio._backends._asyncio", "httpcore._backends.anyio"):
    import_module(_module)
# httpcore tries to import sniffio nine times a request. If it is not installed, the failed searches take 1.4 ms.
if find_spec("sniffio") is None:
    sys.modules["sniffio"] = None  # type: ignore[assignment] # Python's mark of a module that is not there

CHECK_TIMEOUT_S = 5.0
_NO_HOST = "no model host is running: a question starts one"
# A host that ignores the limit of tokens is cut at this many characters for each. English has 4 for a token.
TOKEN_CHARACTERS = 10
_MOST_RETRY_AFTER_S = 300.0  # the longest wait that a host may ask for
_BAD_REQUEST = {httpx.codes.BAD_REQUEST, httpx.codes.UNPROCESSABLE_ENTITY}
# The host's reason for a refusal: so many characters are read, and so many shown, without any three words that the
# prompt has too.
_READ_CHARACTERS, _REASON_CHARACTERS, _QUOTED_WORDS = 4000, 300, 3
# A chunk of 200 of the embedding model's tokens has about this many of a language model's.
_PASSAGE_TOKENS = 250
_LINE_END = re.compile(rb"[\r\n]+")  # not `str.splitlines`, as of httpx: JSON may hold U+2028 and U+0085
_NO_VALUE = re.compile(r"(data|error):|(event|id|retry|):.*")  # of a server-sent event; a comment has no name
_TEXT = re.compile(r'"(?:[^"\\]|\\.)*+"?')  # of JSON: it ends on its line
# The longest value, line or error that is read, with the pings before it. A gateway's list of 400 models has 1 MB.
MOST_BYTES = 4 * 1024 * 1024


class _Part(NamedTuple):
    """One value of an answer, with the tokens read and written. A `reason` means that the model has ended."""

    text: str = ""
    thinks: bool = False
    reason: str | None = None
    read: int = 0
    written: int = 0
    is_last: bool = False
    error: object = None  # in place of a text
    is_whole: bool = False  # the text may begin with the answer so far, which some hosts repeat

    def after(self, *texts: str) -> _Part:
        """Return the part without a text so far that it repeats, with its thinking or without."""
        repeat = next(filter(self.text.strip().startswith, map(str.strip, texts)), "")
        return self._replace(text=self.text.strip()[len(repeat) :]) if self.is_whole and repeat else self


class ModelServer(ABC):
    """`docwell.ports.LanguageModel` on one host. Each call is one attempt.

    Every request sends `options` under the host's names, and what switches thinking off (`Profile`). Answers are
    greedy with a fixed seed, so that they are comparable. With `sleeps`, no host behind the address, or behind its
    load balancer, raises `ModelWaking`. `room` are tokens for thinking beside those of an answer; `length` is the
    context that the host states.
    """

    # The protocol, which is the dependency's name in errors.
    dependency: Protocol
    chat_path: str
    # The path of the list of models, its key in the answer, and the key of a model's name.
    list_path: tuple[str, str, str]
    unknown_room = 2048  # for thinking of a model without a profile that cannot switch it off

    def __init__(
        self,
        url: str,
        model: str,
        *,
        num_predict: int,
        thinking_tokens: int = 0,
        think: str = "auto",
        sleeps: bool = False,
        auth: ServerAuth | None = None,
    ) -> None:
        self.name, self.profile, self._think, self.room = model, profile_of(model), think, thinking_tokens
        # The host's name of the option that limits an answer, in tokens.
        self._limit = "num_predict" if self.dependency == "ollama" else self.profile.limit
        self.options: dict[str, Any] = {self._limit: num_predict + thinking_tokens}
        if self.profile.sampling:
            self.options |= {"temperature": 0.0, "seed": 7}
        self._card: Mapping[str, Any] = {}
        self.length: int | None = None
        self._entry: Mapping[str, Any] | None = None
        self._url, self._sleeps = url, sleeps
        # The fields that the host has refused, and the names to send in their place; an empty one drops the field.
        self._renamed: dict[str, str] = {}
        self._connection: dict[str, Any] = {
            "verify": auth.tls if auth else httpx.create_ssl_context(),  # takes 10 ms to create: share one
            "auth": auth,
            # Only the deadline limits reading: the host sends nothing while it processes a long prompt.
            "timeout": httpx.Timeout(None, connect=3.0),
            "mounts": dict.fromkeys(("all://localhost", "all://127.0.0.1", "all://[::1]")),  # without a proxy
            "follow_redirects": False,  # send a question only to the configured host
        }

    async def chat(self, messages: Sequence[Message], timeout_s: float) -> AsyncGenerator[str | Completion]:
        """Yield pieces of the answer and last its completion, within `timeout_s` seconds.

        A token of thinking is an empty piece. The tokens of a host that states none are estimated. Closing the
        generator, or cancelling its task, closes the connection, and the host stops generating. Raises
        `ModelMissing`, `ModelWaking`, `DeadlineExceeded`, `NoAnswer` or `Unavailable`.
        """
        with self._plain_errors():
            parts = self._answer(messages)
            async with aclosing(Deadline(timeout_s).limit_each(self.dependency, parts)) as pieces:
                async for piece in pieces:
                    yield piece

    async def _answer(self, messages: Sequence[Message]) -> AsyncGenerator[str | Completion]:
        answer, pieces, streamed = AnswerText(begins_thinking=self.profile.begins_thinking), 0, ""
        turns = [{"role": message.role, "content": message.content} for message in messages]
        body = {"model": self.name, "messages": turns, "stream": True, **await self._fields()}
        read, written, reason, room = 0, 0, None, TOKEN_CHARACTERS * self.options[self._limit]
        async with self._exchange("POST", self.chat_path, body) as values:
            async for value in values:
                part = self._part(value) if value is not None else _Part(reason="stop", is_last=True)
                part = part.after(streamed, answer.text)
                streamed, room = streamed + part.text, room - len(part.text)
                if room < 0:
                    part = part._replace(text=part.text[:room], reason="length", is_last=True)
                if part.error:  # before the text begins, it quotes none
                    quotes = pieces and part.error not in host_words()["broken"]
                    raise self._failure("broke off with an error", "" if quotes else _stated(part.error), turns)
                if part.thinks or part.text:
                    pieces += 1
                    text = answer.feed(part.text, thinks=part.thinks)
                    if text or part.thinks or answer.hides:
                        yield text
                reason, read, written = reason or part.reason, part.read or read, part.written or written
                if part.is_last:
                    break
        if not reason:  # a host also ends early when the model repeats one token
            raise Unavailable(self.dependency, "the model host ended its answer early")
        if text := answer.finish(cut=reason == "length"):
            yield text
        read, written = read or bound_of_messages(messages).expected, written or pieces
        if failure := self._no_answer(answer, reason, written):
            raise NoAnswer(self.dependency, failure, read, written)
        yield Completion(answer.text, read, written, reason, thought=answer.thought)

    def _no_answer(self, answer: AnswerText, reason: str, written: int) -> str:
        """Return why a text that has ended is no answer, and what to set; nothing if it is one."""
        if reason == "content_filter":
            return f"the filter of the model host stopped the answer after {written} tokens ({reason})"
        if answer.text.strip() and not (answer.thought and reason == "length"):
            return ""
        cause = "thought and wrote too little" if answer.thought else "wrote no text"
        advice = f"set DOCWELL_THINK (now {self._think}), or raise DOCWELL_THINKING_TOKENS (now {self.room})"
        return f"the model {self.name!r} {cause} in {written} tokens ({reason}): {advice}"

    async def check(self, entry: Mapping[str, Any] | None = None) -> None:
        """Return once the host answers, within 5 s, and has the model. `entry`: its row of the list, if read."""
        with self._plain_errors():
            self._card, length = await self._read_card(entry)
            self.length = length if isinstance(length, int) else None

    async def facts(self) -> ModelFacts:
        """Return the facts, read once. Raises as `chat` does."""
        if not self._card:
            await self.check()
        if self._entry is None and self.dependency == "ollama":  # only its list has digests
            with suppress(DocwellError):
                self._entry = await self._list_entry()
        return ModelFacts(self.length, (self._entry or {}).get("digest"))

    async def listed(self) -> dict[str, Mapping[str, Any]]:
        """Return what the host's list says about each model, by name. Raises as `chat` does."""
        path, key, name = self.list_path
        with self._plain_errors():
            answer = await self._get(path)
            models = answer if isinstance(answer, list) else answer.get(key)  # Together AI has no object
            return {entry[name]: entry for entry in models or ()}

    async def _list_entry(self) -> Mapping[str, Any]:
        """Return what the host's list says about the model; nothing if it lacks it. Raises as `chat` does."""
        models = await self.listed()
        return models.get(self.name) or models.get(f"{self.name}:latest") or {}

    def writing_at_most(self, num_predict: int) -> Self:
        """Return the same model with another limit of answer tokens, which does not reload it."""
        limited = copy(self)
        limited.options = self.options | {self._limit: num_predict + self.room}
        return limited

    async def measure(
        self, turns: Sequence[Message], first_token_s: float, top_k: int, timeout_s: float
    ) -> tuple[float, int | None]:
        """Return the tokens that the host reads a second, and the room for passages that it reads in time.

        The room is that of one passage at least, and None for `top_k` of them. `turns` are the fixed part of each
        prompt. Raises as `chat` does.
        """
        # The first request loads the model. The second begins with the time, so that no host has it in its cache.
        for text in ("Hello", f"{time.time()} {turns[0].content} {turns[1].content}"):
            messages, begun = (Message("user", text),), time.perf_counter()
            async with aclosing(self.chat(messages, timeout_s)) as pieces:
                await anext(pieces)
        speed = bound_of_messages(messages).expected / (time.perf_counter() - begun)
        room = int(speed * first_token_s) - bound_of_messages(turns).expected
        return speed, max(room, _PASSAGE_TOKENS) if room < top_k * _PASSAGE_TOKENS else None

    @abstractmethod
    async def _fields(self) -> Mapping[str, Any]:
        """Return the fields of a request beside the model and the messages."""

    @abstractmethod
    def _part(self, value: Any) -> _Part:
        """Return the meaning of one value of an answer. A value of another protocol raises any error."""

    @abstractmethod
    async def _read_card(self, entry: Mapping[str, Any] | None) -> tuple[Mapping[str, Any], object]:
        """Return what the host says about the model, and the context length within it. May raise any error."""

    async def _get(self, path: str, body: object = None) -> Any:
        """Return the JSON of a small request within 5 s. May raise any error."""
        stage = Deadline(CHECK_TIMEOUT_S).stage(self.dependency)
        async with stage, self._exchange("POST" if body else "GET", path, body) as values:
            return await anext(values, None)

    @asynccontextmanager
    async def _exchange(self, method: str, path: str, body: Any = None) -> AsyncGenerator[AsyncGenerator[Any]]:
        """Yield the values of one response. Raises the error of a status that is no success."""
        while True:
            fields = {self._renamed.get(name, name): value for name, value in (body or {}).items()}
            fields.pop("", None)
            async with (
                httpx.AsyncClient(base_url=self._url, **self._connection) as client,
                client.stream(method, path, json=fields or None) as response,
                aclosing(_values(response)) as values,
            ):
                if response.is_success and "html" not in response.headers.get("content-type", ""):
                    yield values
                    return
                problem = None
                with suppress(ValueError):
                    problem = await anext(values, None)
                error = self._refused(response, problem, fields)
            if error is not None:
                is_refused = response.status_code in _BAD_REQUEST and type(error) is Unavailable
                if is_refused and "messages" in fields and self.name in error.detail:
                    with suppress(DocwellError):
                        error = error if await self._list_entry() else self._missing()
                raise error

    @contextmanager
    def _plain_errors(self) -> Iterator[None]:
        """Translate all errors, and drop their text: it may quote an answer."""
        try:
            yield
        except DocwellError:
            raise
        except (httpx.TransportError, OSError) as error:
            is_unreachable = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
            inner = error.__cause__ and error.__cause__.__context__
            cause = inner if isinstance(inner, ssl.SSLError) else error
            if self._sleeps and is_unreachable and cause is error:
                raise ModelWaking("ollama", _NO_HOST) from None
            raise Unavailable(self.dependency, f"no answer from the model host ({type(cause).__name__})") from None
        except Exception as error:  # noqa: BLE001 - a broken answer breaks anywhere
            detail = f"the model host does not speak the protocol of {self.dependency} ({type(error).__name__})"
            raise Unavailable(self.dependency, detail) from None

    def _refused(self, response: httpx.Response, problem: object, fields: dict[str, Any]) -> DocwellError | None:
        """Return the error of a response; None if it refuses a field by name, which the next request lacks."""
        status, stated, kind = response.status_code, _stated(problem), response.headers.get("content-type", "")
        if self._sleeps and status == httpx.codes.SERVICE_UNAVAILABLE and "json" not in kind:
            return ModelWaking("ollama", _NO_HOST)  # a page of the load balancer; a model host's 503 is JSON
        if status == httpx.codes.NOT_FOUND and "model" in str(problem).lower():
            return self._missing()
        advice = "set DOCWELL_OLLAMA_TOKEN" if status in {401, 403} else ""
        if response.is_success or response.has_redirect_location or status == httpx.codes.NOT_FOUND:
            advice = "set DOCWELL_OLLAMA_URL to a model host; OpenAI's protocol ends with /v1"
        stated = f"{stated.rstrip('.')}; {advice}" if stated and advice else stated or advice
        error = self._failure(f"answered with status {status}", stated, fields.get("messages"))
        if status in _BAD_REQUEST and not isinstance(error, PromptTooLong):
            reason = _masked(stated, fields.get("messages"))  # a quoted prompt may have a field's name
            replaced = host_words()["replaced"]
            sent = replaced.keys() & fields  # vLLM may name chat_template alone
            refused = {name for name in sent if re.search(rf"\b{name.removesuffix('_kwargs')}", reason)}
            if refused - self._renamed.keys():
                self._renamed |= {name: replaced[name] for name in refused}
                return None
        # Only an error of the server may be retried.
        if status < httpx.codes.INTERNAL_SERVER_ERROR and status != httpx.codes.TOO_MANY_REQUESTS:
            error.retry_after = None
        elif (seconds := response.headers.get("retry-after", "")).isdecimal():
            error.retry_after = min(float(seconds), _MOST_RETRY_AFTER_S)
        return error

    def _missing(self) -> ModelMissing:
        hint = f"; there, run: ollama pull {self.name}" if self.dependency == "ollama" else ": see its /v1/models"
        return ModelMissing(self.dependency, f"the model host has no model {self.name!r}{hint}")

    def _failure(self, event: str, stated: str, messages: object) -> Unavailable:
        reason = _masked(stated[:_REASON_CHARACTERS], messages)
        detail = f"the model host {event}{reason and f': {reason}'}"
        if re.search(host_words()["too_long"], stated):
            return PromptTooLong(self.dependency, detail, retry_after=None)
        return Unavailable(self.dependency, detail)


async def _values(response: httpx.Response) -> AsyncGenerator[Any]:
    """Yield JSON values, on any lines, None for the end mark, and an error's plain lines. Raises `ValueError`."""
    begun, depth, room = "", 0, MOST_BYTES
    async for line in _lines(response):
        room -= len(line) + 1
        text = line[match.end() :] if (match := _NO_VALUE.match(line)) else line
        if text.strip() == "[DONE]":
            yield json.loads(begun or "null")
        elif begun or text.lstrip()[:1] in {"{", "["}:  # others are pings, or unknown fields
            begun += text
            brackets = _TEXT.sub("", text)
            depth += sum(map(brackets.count, "{[")) - sum(map(brackets.count, "}]"))
            if depth <= 0:
                value, begun, depth, room = json.loads(begun), "", 0, MOST_BYTES
                yield value
        elif response.is_error and not text.isspace() and text[:1] not in {"", "<"}:
            yield text
        if room < 0:
            raise ValueError("no value ends")
    json.loads(begun or "null")


async def _lines(response: httpx.Response) -> AsyncGenerator[str]:
    rest = bytearray()
    async for data in response.aiter_bytes():
        rest += data
        if _LINE_END.search(data):
            *lines, last = _LINE_END.split(rest)
            rest = bytearray(last)
            for line in lines:
                yield line.decode("utf-8-sig", "replace")
        elif len(rest) > MOST_BYTES:
            raise ValueError("a line without end")
    yield rest.decode("utf-8-sig", "replace")


def _stated(value: object) -> str:
    """Return the reason in an error's body; nothing if there is none."""
    while isinstance(value, dict | list):
        fields = value if isinstance(value, dict) else {"error": next(iter(value), None)}
        loc = fields.get("loc") or "request"  # in FastAPI's list of wrong fields
        wrong = f"{'.'.join(map(str, loc)) if isinstance(loc, list) else loc}: {fields.get('msg')}"
        reasons = map(fields.get, ("error", "errors", "message", "detail", "title"))
        value = next(filter(None, reasons), "msg" in fields and wrong)
    return value[:_READ_CHARACTERS] if isinstance(value, str) else ""


def _masked(text: str, messages: object) -> str:
    """Return the text without runs of words of the messages."""
    pieces = re.split(r"(\w+)", text)  # each second piece is a word
    body = json.dumps(messages, ensure_ascii=False).replace("\\n", " ")  # an escape would join the next word
    sent = " ".join(["", *re.findall(r"\w+", body.casefold()), ""])
    quoted = set[int]()
    for first in range(1, len(pieces) - 2 * _QUOTED_WORDS + 1, 2):
        run = range(first, first + 2 * _QUOTED_WORDS, 2)
        if f" {' '.join(pieces[place].casefold() for place in run)} " in sent:
            quoted |= {*run}
    text = "".join("…" if place in quoted else piece for place, piece in enumerate(pieces))
    return " ".join(re.sub(r"…(\W*…)+", "…", text).split())


class OllamaModel(ModelServer):
    """A model on Ollama. Requests also send `num_ctx`, always the same, as another would reload the model."""

    dependency, chat_path, list_path = "ollama", "api/chat", ("api/tags", "models", "model")

    def __init__(self, url: str, model: str, *, num_ctx: int, keep_alive: str = "-1", **settings: Any) -> None:
        super().__init__(url, model, **settings)
        self.options |= {"num_ctx": num_ctx}
        self._least: str | bool = False  # the lowest level of a model whose card allows only levels
        # Ollama takes seconds as a number, and rejects them as a text without a unit.
        self._keep_alive = int(keep_alive) if keep_alive.lstrip("-").isdecimal() else keep_alive

    async def _fields(self) -> Mapping[str, Any]:
        is_unknown = self._think == "auto" and not self.profile.names
        if is_unknown and not self._card:
            with suppress(DocwellError):  # the chat reports an error
                await self.check()
        thinking = {"think": self._least} if is_unknown else self.profile.thinking("ollama", self._think)
        return {"options": self.options, "keep_alive": self._keep_alive, "truncate": False, **thinking}

    def _part(self, value: Any) -> _Part:
        message, done = value.get("message") or {}, value.get("done", False)
        tokens = int(value.get("prompt_eval_count") or 0), int(value.get("eval_count") or 0)  # 0 is omitted
        reason = (value.get("done_reason") or "stop") if done else None
        thinks, is_other = bool((message.get("thinking") or "").strip()), "choices" in value
        error = value.get("error") or (is_other and "OpenAI's protocol has an address that ends with /v1")
        return _Part(message.get("content") or "", thinks, reason, *tokens, done, error)

    async def _read_card(self, _: Mapping[str, Any] | None) -> tuple[Mapping[str, Any], object]:
        card = await self._get("api/show", {"model": self.name})
        info = card.get("model_info") or {}
        levels = (card.get("thinking") or {}).get("values") or [False]
        self._least = next((level for level in levels if isinstance(level, str) and False not in levels), False)
        if self._least and not (self.profile.names or self.room):
            self.room = self.unknown_room
            self.options[self._limit] += self.room
        return card, info.get(f"{info.get('general.architecture')}.context_length")


class OpenAiModel(ModelServer):
    """A model on a server of OpenAI's protocol, at an address that ends with `/v1`."""

    dependency, chat_path, list_path = "openai", "chat/completions", ("models", "data", "id")

    async def _fields(self) -> Mapping[str, Any]:
        thinking = self.profile.thinking(self.dependency, self._think)
        return {**self.options, "stream_options": {"include_usage": True}, **thinking}

    def _part(self, value: Any) -> _Part:
        part, words = _Part(), host_words()
        thinking = tuple(words["thinking"])
        for choice in (value.get("choices") or [])[:1]:
            delta = choice.get("delta") or choice.get("message") or {}
            thinks = any(str(text or "").strip() and field.startswith(thinking) for field, text in delta.items())
            text, ended = delta.get("content") or delta.get("refusal") or "", choice.get("finish_reason")
            if isinstance(text, list):  # parts, as of Mistral and Databricks
                shown = [piece for piece in text if not str(piece.get("type")).startswith(thinking)]
                thinks, text = thinks or shown != text, "".join(piece.get("text") or "" for piece in shown)
            error, is_whole = choice.get("error") or (ended in words["broken"] and ended), not choice.get("delta")
            names = (name for name, forms in words["reasons"].items() if str(ended).lower() in forms)
            part = _Part(text, thinks, next(names, ended), error=error, is_whole=is_whole)
        is_error = "choices" not in value and value.keys() & {"code", "detail"}
        usage, error = value.get("usage") or {}, value.get("error") or part.error or (is_error and _stated(value))
        read, written = (int(usage.get(name) or 0) for name in ("prompt_tokens", "completion_tokens"))
        return part._replace(read=read, written=written, error=error)

    async def _read_card(self, entry: Mapping[str, Any] | None) -> tuple[Mapping[str, Any], object]:
        if not (card := entry or await self._list_entry()):
            raise self._missing()
        stated = {**card, **(card.get("meta") or {})}  # llama.cpp has it in `meta`
        return card, next(filter(None, map(stated.get, host_words()["lengths"])), None)


def model_server(url: str, model: str, *, num_ctx: int, keep_alive: str, **settings: Any) -> ModelServer:
    """Return a model on a host: one of OpenAI's protocol if its address ends with `/v1`, otherwise Ollama."""
    if url.rstrip("/").endswith("/v1"):
        return OpenAiModel(url, model, **settings)
    return OllamaModel(url, model, num_ctx=num_ctx, keep_alive=keep_alive, **settings)
