"""The language model on a server of OpenAI's protocol: vLLM, llama.cpp, TGI, LiteLLM and others.

Such a server refuses a prompt that is too long, instead of cutting it. Only its usage shows the cost, or that a
prompt was cut after all, so an answer without usage is an error. OpenAI's own client is too large for the
function's package, and has its own timeouts and retries.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx
from pydantic import BaseModel

from docwell.adapters.model_server import CHECK_TIMEOUT_S, ModelServer, failed, refused
from docwell.answers import Completion, Message
from docwell.deadline import Deadline
from docwell.errors import DocwellError, ModelMissing, Unavailable

if TYPE_CHECKING:
    from docwell.adapters.server_auth import ServerAuth

_NAME = "openai"
_DONE = "[DONE]"


class _Delta(BaseModel):
    content: str | None = None


class _Choice(BaseModel):
    delta: _Delta
    finish_reason: str | None = None


class _Usage(BaseModel):
    prompt_tokens: int
    completion_tokens: int


class _Event(BaseModel):
    choices: list[_Choice] = []
    usage: _Usage | None = None
    error: Any = None


class _Card(BaseModel):
    id: str
    max_model_len: int | None = None  # vLLM
    meta: dict[str, Any] | None = None  # llama.cpp


class _Cards(BaseModel):
    data: list[_Card]


class OpenAiModel(ModelServer):
    """`docwell.ports.LanguageModel` on a server of OpenAI's protocol, at an address that ends with `/v1`."""

    limit_name = "max_tokens"

    def __init__(
        self, url: str, model: str, *, num_predict: int, sleeps: bool = False, auth: ServerAuth | None = None
    ) -> None:
        super().__init__(model, {"max_tokens": num_predict}, sleeps=sleeps, auth=auth)
        self._url = url

    async def chat(self, messages: Sequence[Message], timeout_s: float) -> AsyncGenerator[str | Completion]:
        """Yield pieces of the answer and last its completion, within `timeout_s` seconds.

        Closing it, or cancelling its task, closes the connection, and the server stops generating.

        Raises:
            ModelMissing: the server has no such model.
            ModelWaking: all hosts sleep.
            DeadlineExceeded: `timeout_s` is over.
            Unavailable: no connection, an error of the server, a broken answer, or one without usage.
        """
        texts: list[str] = []
        reason = usage = None
        async with aclosing(Deadline(timeout_s).limit_each(_NAME, self._events(messages))) as events:
            async for event in events:
                for choice in event.choices:
                    reason = choice.finish_reason or reason
                    if text := choice.delta.content:
                        texts.append(text)
                        yield text
                usage = event.usage or usage
        if reason is None:
            raise Unavailable(_NAME, "the model host ended its answer early")
        if usage is None:
            detail = "the model host does not say how many tokens it used (stream_options.include_usage)"
            raise Unavailable(_NAME, detail, retry_after=None)
        yield Completion("".join(texts), usage.prompt_tokens, usage.completion_tokens, reason)

    async def digest(self) -> str | None:
        """Return None: the protocol has no digest of weights."""
        return None

    async def stated_length(self) -> object:
        """Return the context length in the list of models, as vLLM and llama.cpp state it."""
        async with Deadline(CHECK_TIMEOUT_S).stage(_NAME), self._client() as client:
            response = await client.get("models")
            self._judge(response)
            cards = {card.id: card for card in _Cards.model_validate_json(response.content).data}
        if self.name not in cards:
            raise self._missing()
        card = cards[self.name]
        return card.max_model_len or (card.meta or {}).get("n_ctx_train")

    async def _events(self, messages: Sequence[Message]) -> AsyncGenerator[_Event]:
        """Yield the events of a streamed answer until its end."""
        body = {
            "model": self.name,
            "messages": [{"role": message.role, "content": message.content} for message in messages],
            "stream": True,
            "stream_options": {"include_usage": True},
            **self.options,
        }
        async with self._client() as client, client.stream("POST", "chat/completions", json=body) as response:
            self._judge(response)
            async for line in response.aiter_lines():
                name, _, data = line.partition(":")
                if name != "data":  # a blank line, or a comment that keeps the connection
                    continue
                if data.strip() == _DONE:
                    return
                event = _Event.model_validate_json(data)
                if event.error is not None:
                    raise Unavailable(_NAME, "the model host broke off with an error")
                yield event

    @asynccontextmanager
    async def _client(self) -> AsyncGenerator[httpx.AsyncClient]:
        """Yield a client for one exchange. Drop the text of errors: it may quote an answer."""
        try:
            async with httpx.AsyncClient(base_url=self._url, **self.connection) as client:
                yield client
        except Exception as error:  # noqa: BLE001 - a broken answer breaks anywhere
            raise failed(_NAME, error, "OpenAI") from None

    def _judge(self, response: httpx.Response) -> None:
        """Raise the error of a response whose status is no success."""
        if response.status_code == httpx.codes.NOT_FOUND:
            raise self._missing()
        if not response.is_success:
            raise refused(_NAME, response.status_code)

    def _missing(self) -> DocwellError:
        return ModelMissing(_NAME, f"the model host has no model {self.name!r}: GET /v1/models lists those it has")
