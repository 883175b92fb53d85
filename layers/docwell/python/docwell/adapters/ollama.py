"""The language model on an Ollama host, through Ollama's own client.

That client has no timeout, and a busy host does not answer, so the deadline here is the only one. The client also
accepts a stream without its last line as a whole answer; here that is an error. Ollama cuts a long prompt
silently: compare `Completion.prompt_tokens` with an estimate.

Importing this costs 0.08 s over httpx and pydantic, which the functions load anyway.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, cast

import httpx
from ollama import AsyncClient, ChatResponse, ResponseError

from docwell.adapters.model_server import CHECK_TIMEOUT_S, ModelServer, failed, refused
from docwell.answers import Completion, Message
from docwell.deadline import Deadline
from docwell.errors import DocwellError, ModelMissing, Unavailable

if TYPE_CHECKING:
    from docwell.adapters.server_auth import ServerAuth

_NAME = "ollama"


class OllamaModel(ModelServer):
    """`docwell.ports.LanguageModel` on Ollama.

    Requests also send `keep_alive`: another `num_ctx` would reload the model.
    """

    limit_name = "num_predict"

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
        super().__init__(model, {"num_ctx": num_ctx, "num_predict": num_predict}, sleeps=sleeps, auth=auth)
        self._host, self._keep_alive = host, keep_alive
        self._digests: list[str | None] = []  # read once

    async def chat(self, messages: Sequence[Message], timeout_s: float) -> AsyncGenerator[str | Completion]:
        """Yield pieces of the answer and last its completion, within `timeout_s` seconds.

        Closing it, or cancelling its task, closes the connection, and the host stops generating.

        Raises:
            ModelMissing: the host has no such model.
            ModelWaking: all hosts sleep.
            DeadlineExceeded: `timeout_s` is over.
            Unavailable: no connection, an error of the host, or a broken answer.
        """
        texts: list[str] = []
        async with aclosing(Deadline(timeout_s).limit_each(_NAME, self._parts(messages))) as parts:
            async for part in parts:
                if text := part.message.content:
                    texts.append(text)
                    yield text
                if part.done:
                    # The host omits figures of zero.
                    prompt_tokens, completion_tokens = part.prompt_eval_count or 0, part.eval_count or 0
                    yield Completion("".join(texts), prompt_tokens, completion_tokens, part.done_reason or "stop")
                    return
        # A host also ends early when the model repeats one token.
        raise Unavailable(_NAME, "the model host ended its answer early")

    async def digest(self) -> str | None:
        """Return the model's digest from the host's list; None when the host lists none. Raises as `chat` does."""
        if not self._digests:
            async with Deadline(CHECK_TIMEOUT_S).stage(_NAME), self._client() as client:
                listed = (await client.list()).models
            names = {self.name, f"{self.name}:latest"}
            self._digests = [entry.digest for entry in listed if entry.model in names] or [None]
        return self._digests[0] or None

    async def stated_length(self) -> object:
        """Return the context length in the answer to `/api/show`."""
        async with Deadline(CHECK_TIMEOUT_S).stage(_NAME), self._client() as client:
            info = (await client.show(self.name)).modelinfo or {}
        return info.get(f"{info.get('general.architecture')}.context_length")

    async def _parts(self, messages: Sequence[Message]) -> AsyncGenerator[ChatResponse]:
        turns = [{"role": message.role, "content": message.content} for message in messages]
        async with self._client() as client:
            reply = await client.chat(
                self.name, turns, stream=True, options=self.options, keep_alive=self._keep_alive
            )
            async with aclosing(cast("AsyncGenerator[ChatResponse]", reply)) as parts:
                async for part in parts:
                    yield part

    @asynccontextmanager
    async def _client(self) -> AsyncGenerator[AsyncClient]:
        """Yield a client for one exchange. Drop the text of the client's errors: it may quote an answer."""
        client = AsyncClient(self._host, **self.connection)
        try:
            async with client:
                yield client
        except ResponseError as error:
            raise self._refused(error.status_code) from None
        except Exception as error:  # noqa: BLE001 - a broken answer breaks anywhere in the client
            raise failed(_NAME, error, "Ollama") from None

    def _refused(self, status: int) -> DocwellError:
        if status == httpx.codes.NOT_FOUND:
            hint = f"ollama pull {self.name}"
            return ModelMissing(_NAME, f"the model host has no model {self.name!r}; there, run: {hint}")
        if status < 0:  # the client's code for an error line under HTTP 200
            return Unavailable(_NAME, "the model host broke off with an error")
        return refused(_NAME, status)
