"""The language model on an Ollama host, or on a server of OpenAI's protocol (vLLM, llama.cpp, TGI, LiteLLM...).

Ollama's client has no timeout, and takes a stream without its last line for a whole answer. OpenAI's protocol is
two requests. Errors quote no question and no answer. Ollama cuts a long prompt silently: compare
`Completion.prompt_tokens` with an estimate. The others refuse it. Only usage shows the cost, or that a prompt was
cut after all: it is never missing.
"""

from __future__ import annotations

import json
import sys
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager
from copy import copy
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Self, cast

import httpx
from ollama import AsyncClient, ChatResponse, ResponseError
from pydantic import BaseModel

from docwell.answers import Completion, Message
from docwell.deadline import Deadline
from docwell.errors import Corrupt, DocwellError, ModelMissing, ModelWaking, Unavailable

if TYPE_CHECKING:
    from docwell.adapters.server_auth import ServerAuth

# httpcore loads these at the first request, which takes 30 ms; load them now.
for _module in ("anyio._backends._asyncio", "httpcore._backends.anyio"):
    import_module(_module)
# httpcore tries to import sniffio nine times a request. If it is not installed, the failed searches take 1.4 ms.
if find_spec("sniffio") is None:
    sys.modules["sniffio"] = None  # type: ignore[assignment] # Python's mark of a module that is not there

# Only the deadline limits reading: the host sends nothing while it processes a long prompt.
_TIMEOUT = httpx.Timeout(None, connect=3.0)
CHECK_TIMEOUT_S = 5.0


class ModelServer(ABC):
    """`docwell.ports.LanguageModel` on one host. Each call is one attempt.

    Every request sends `options` under the host's names. Answers are greedy with a fixed seed, so that they are
    comparable. With `sleeps`, a load balancer without hosts raises `ModelWaking`.
    """

    # The dependency's name in errors.
    dependency: str
    # The host's name of the option that limits an answer, in tokens.
    limit_name: str
    # What an operator does where the host lacks the model, whose name fits in.
    missing_hint: str

    def __init__(
        self, url: str, model: str, options: dict[str, Any], *, sleeps: bool, auth: ServerAuth | None
    ) -> None:
        self.name = model
        self._context_length: int | None = None
        self.options = options | {"temperature": 0.0, "seed": 7}
        self._url = url
        self._connection: dict[str, Any] = {
            "verify": auth.tls if auth else httpx.create_ssl_context(),  # takes 10 ms to create: share one
            "auth": auth,
            "timeout": _TIMEOUT,
            "follow_redirects": False,  # send a question only to the configured host
            "event_hooks": {"response": [_raise_without_host] if sleeps else []},
        }

    async def chat(self, messages: Sequence[Message], timeout_s: float) -> AsyncGenerator[str | Completion]:
        """Yield pieces of the answer and last its completion, within `timeout_s` seconds.

        Closing it, or cancelling its task, closes the connection, and the host stops generating.

        Raises:
            ModelMissing: the host has no such model.
            ModelWaking: all hosts sleep.
            DeadlineExceeded: `timeout_s` is over.
            Unavailable: no connection, an error of the host, or a broken answer, such as one without usage.
        """
        texts: list[str] = []
        turns = [{"role": message.role, "content": message.content} for message in messages]
        with self._plain_errors():
            async with aclosing(Deadline(timeout_s).limit_each(self.dependency, self._pieces(turns))) as pieces:
                async for piece in pieces:
                    if isinstance(piece, Completion):
                        yield replace(piece, text="".join(texts))
                        return
                    texts.append(piece)
                    yield piece
        # A host also ends early when the model repeats one token.
        raise Unavailable(self.dependency, "the model host ended its answer early")

    async def check(self) -> None:
        """Return once the host answers, within 5 s, and has the model. Raises as `chat` does."""
        await self.stated_length()

    async def context_length(self) -> int:
        """Return the tokens that the model can read. Raises as `chat` does, and `Corrupt` if unstated."""
        if self._context_length is None:
            length = await self.stated_length()
            if not isinstance(length, int):
                raise Corrupt(f"the model host does not say the context length of {self.name!r}")
            self._context_length = length
        return self._context_length

    @abstractmethod
    async def stated_length(self) -> object:
        """Return the context length that the host states for the model. Raises as `chat` does."""

    @abstractmethod
    async def digest(self) -> str | None:
        """Return the digest of the model's weights; None where the host states none. Raises as `chat` does."""

    def writing_at_most(self, num_predict: int) -> Self:
        """Return the same model with another limit of answer tokens, which does not reload it."""
        limited = copy(self)
        limited.options = self.options | {self.limit_name: num_predict}
        return limited

    @abstractmethod
    def _pieces(self, turns: list[dict[str, str]]) -> AsyncGenerator[str | Completion]:
        """Yield the texts of the answer, and its figures in a completion without text."""

    @contextmanager
    def _plain_errors(self) -> Iterator[None]:
        """Translate all errors, and drop their text: it may quote an answer."""
        try:
            yield
        except DocwellError:
            raise
        except (httpx.TransportError, OSError) as error:
            detail = f"no answer from the model host ({type(error).__name__})"
            raise Unavailable(self.dependency, detail) from None
        except Exception as error:  # noqa: BLE001 - a broken answer breaks anywhere
            detail = f"the model host does not speak the protocol of {self.dependency} ({type(error).__name__})"
            raise Unavailable(self.dependency, detail) from None

    def _refused(self, status: int) -> DocwellError:
        """Return the error for a status that is no success. Only one of the server may be retried."""
        if status == httpx.codes.NOT_FOUND:
            return self._missing()
        may_retry = status >= httpx.codes.INTERNAL_SERVER_ERROR or status == httpx.codes.TOO_MANY_REQUESTS
        detail = f"the model host answered with status {status}"
        return Unavailable(self.dependency, detail, **({} if may_retry else {"retry_after": None}))

    def _missing(self) -> ModelMissing:
        hint = self.missing_hint.format(self.name)
        return ModelMissing(self.dependency, f"the model host has no model {self.name!r}{hint}")

    def _broken_off(self) -> Unavailable:
        return Unavailable(self.dependency, "the model host broke off with an error")


async def _raise_without_host(response: httpx.Response) -> None:
    """Raise `ModelWaking` for a 503 page in HTML, which the load balancer sends; a model host's 503 is JSON."""
    is_json = "json" in response.headers.get("content-type", "")
    if response.status_code == httpx.codes.SERVICE_UNAVAILABLE and not is_json:
        raise ModelWaking("ollama", "no model host is running: a question starts one")


class OllamaModel(ModelServer):
    """A model on Ollama. Requests also send `keep_alive`: another `num_ctx` would reload the model."""

    dependency, limit_name, missing_hint = "ollama", "num_predict", "; there, run: ollama pull {}"

    def __init__(
        self,
        host: str,
        model: str,
        *,
        num_ctx: int,
        num_predict: int,
        keep_alive: str = "30m",
        sleeps: bool = False,
        auth: ServerAuth | None = None,
    ) -> None:
        super().__init__(host, model, {"num_ctx": num_ctx, "num_predict": num_predict}, sleeps=sleeps, auth=auth)
        self._keep_alive = keep_alive
        self._digests: list[str | None] = []  # read once

    async def digest(self) -> str | None:
        """Return the model's digest from the host's list; None when the host lists none. Raises as `chat` does."""
        if not self._digests:
            with self._plain_errors():
                async with Deadline(CHECK_TIMEOUT_S).stage(self.dependency), self._client() as client:
                    listed = (await client.list()).models
            names = {self.name, f"{self.name}:latest"}
            self._digests = [entry.digest for entry in listed if entry.model in names] or [None]
        return self._digests[0] or None

    async def stated_length(self) -> object:
        """Return the context length in the answer to `/api/show`."""
        with self._plain_errors():
            async with Deadline(CHECK_TIMEOUT_S).stage(self.dependency), self._client() as client:
                info = (await client.show(self.name)).modelinfo or {}
        return info.get(f"{info.get('general.architecture')}.context_length")

    async def _pieces(self, turns: list[dict[str, str]]) -> AsyncGenerator[str | Completion]:
        async with self._client() as client:
            reply = await client.chat(
                self.name, turns, stream=True, options=self.options, keep_alive=self._keep_alive
            )
            async with aclosing(cast("AsyncGenerator[ChatResponse]", reply)) as parts:
                async for part in parts:
                    if part.message.content:
                        yield part.message.content
                    if part.done:
                        # The host omits figures of zero.
                        tokens = part.prompt_eval_count or 0, part.eval_count or 0
                        yield Completion("", *tokens, part.done_reason or "stop")
                        return

    @asynccontextmanager
    async def _client(self) -> AsyncGenerator[AsyncClient]:
        """Yield a client for one exchange."""
        try:
            async with AsyncClient(self._url, **self._connection) as client:
                yield client
        except ResponseError as error:
            # The client's status of an error line under HTTP 200 is negative.
            raise (self._refused(error.status_code) if error.status_code > 0 else self._broken_off()) from None


class _Text(BaseModel):
    content: str | None = None


class _Choice(BaseModel):
    delta: _Text
    finish_reason: str | None = None


class _Usage(BaseModel):
    prompt_tokens: int
    completion_tokens: int


class _Event(BaseModel):
    choices: list[_Choice] = []
    usage: _Usage | None = None
    error: Any = None


class OpenAiModel(ModelServer):
    """A model on a server of OpenAI's protocol, at an address that ends with `/v1`."""

    dependency, limit_name, missing_hint = "openai", "max_tokens", ": GET /v1/models lists those it has"

    def __init__(
        self, url: str, model: str, *, num_predict: int, sleeps: bool = False, auth: ServerAuth | None = None
    ) -> None:
        super().__init__(url, model, {"max_tokens": num_predict}, sleeps=sleeps, auth=auth)

    async def digest(self) -> str | None:
        """Return None: the protocol has no digest of weights."""
        return None

    async def stated_length(self) -> object:
        """Return the context length in the list of models, as vLLM and llama.cpp state it."""
        with self._plain_errors():
            stage = Deadline(CHECK_TIMEOUT_S).stage(self.dependency)
            async with stage, self._exchange("GET", "models") as response:
                cards = {card["id"]: card for card in json.loads(await response.aread())["data"]}
            if self.name not in cards:
                raise self._missing()
            card = cards[self.name]
            # The names of vLLM and of llama.cpp.
            return card.get("max_model_len") or (card.get("meta") or {}).get("n_ctx_train")

    async def _pieces(self, turns: list[dict[str, str]]) -> AsyncGenerator[str | Completion]:
        body = {
            "model": self.name,
            "messages": turns,
            "stream": True,
            "stream_options": {"include_usage": True},
            **self.options,
        }
        reason = usage = None
        async with self._exchange("POST", "chat/completions", body) as response:
            async for line in response.aiter_lines():
                name, _, data = line.partition(":")
                if data.strip() == "[DONE]":
                    break
                if name != "data":  # a blank line, or a comment that keeps the connection
                    continue
                event = _Event.model_validate_json(data)
                if event.error is not None:
                    raise self._broken_off()
                for choice in event.choices:
                    reason = choice.finish_reason or reason
                    if choice.delta.content:
                        yield choice.delta.content
                usage = event.usage or usage
        if reason is None:
            return
        if usage is None:
            detail = "the model host does not say how many tokens it used (stream_options.include_usage)"
            raise Unavailable(self.dependency, detail, retry_after=None)
        yield Completion("", usage.prompt_tokens, usage.completion_tokens, reason)

    @asynccontextmanager
    async def _exchange(self, method: str, path: str, body: object = None) -> AsyncGenerator[httpx.Response]:
        """Yield the response of one exchange. Raises the error of a status that is no success."""
        async with (
            httpx.AsyncClient(base_url=self._url, **self._connection) as client,
            client.stream(method, path, json=body) as response,
        ):
            if not response.is_success:
                raise self._refused(response.status_code)
            yield response
