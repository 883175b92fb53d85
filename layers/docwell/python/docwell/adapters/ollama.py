"""The language model on an Ollama host, over Ollama's own client.

That client waits without limit and a loaded model never says that it is busy, so the deadline here is
the only one. It also takes a stream that ends without its last line for a whole answer; here that is an
error. That Ollama cut a prompt cannot be seen here: compare `Completion.prompt_tokens` with an own count.

Importing this costs 0.08 s over httpx and pydantic, which the functions load anyway.
"""

from __future__ import annotations

import queue
import socket
import threading
import time
from contextlib import closing, suppress
from copy import copy
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

import httpx
from ollama import Client, ResponseError

from docwell.answers import Completion
from docwell.errors import Cancelled, Corrupt, DeadlineExceeded, DocwellError, ModelMissing, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
    from threading import Event

    from ollama import ChatResponse

    from docwell.answers import Message

_NAME = "ollama"
_CONNECT_TIMEOUT_S = 3.0
_CHECK_TIMEOUT_S = 5.0
# `chat` promises to notice within 0.5 s that it is cancelled.
_LOOK_S = 0.1

_Item = TypeVar("_Item")


class OllamaModel:
    """`docwell.ports.LanguageModel` and `ModelFacts` for one model of one host. Each call is one attempt.

    `num_ctx` and `keep_alive` are sent with each request: another `num_ctx` would reload the model.
    Answers are greedy with a fixed seed, so that they can be compared. Safe for threads.
    """

    def __init__(
        self, host: str, model: str, *, num_ctx: int, num_predict: int, keep_alive: str = "30m", seed: int = 7
    ) -> None:
        self._host = host
        self._name = model
        self._keep_alive = keep_alive
        self._options = {"num_ctx": num_ctx, "num_predict": num_predict, "temperature": 0.0, "seed": seed}
        self._tls = httpx.create_ssl_context()  # 10 ms: once, not for each request
        self._facts: dict[str, Any] = {}

    @property
    def name(self) -> str:
        """The model's name on its host."""
        return self._name

    @property
    def options(self) -> Mapping[str, int | float]:
        """What is sent with each request, in Ollama's words."""
        return MappingProxyType(self._options)

    def writing_at_most(self, num_predict: int) -> OllamaModel:
        """The same model with another limit to its answers, in tokens; that does not reload it."""
        other = copy(self)
        other._options = self._options | {"num_predict": num_predict}  # noqa: SLF001 - one of this class
        return other

    def chat(
        self,
        messages: Sequence[Message],
        timeout_s: float,
        on_token: Callable[[str], None] | None = None,
        cancel: Event | None = None,
    ) -> Completion:
        """One answer within `timeout_s` seconds.

        When this raises, be it from `on_token`, the connection is closed and the host stops generating.

        Raises:
            ModelMissing: the host has no such model.
            DeadlineExceeded: `timeout_s` is over.
            Cancelled: `cancel` was set.
            Unavailable: no connection, an error of the host, or a broken answer.
        """
        answer = _Answer(timeout_s, on_token)
        turns = [{"role": message.role, "content": message.content} for message in messages]

        def call(client: Client) -> Iterable[ChatResponse]:
            return client.chat(self._name, turns, stream=True, options=self._options, keep_alive=self._keep_alive)

        with closing(self._exchange(call, answer.deadline, cancel)) as parts:
            for part in parts:
                answer.take(part.message.content or "")
                if part.done:
                    return answer.completion(part)
        # A host also does this when the model says one token over and over.
        raise Unavailable(_NAME, "the model host ended its answer early")

    def check(self) -> None:
        """Returns when the host answers, within 5 s, and has the model. Raises as `chat` does."""
        self._ask(lambda client: client.show(self._name))

    def context_length(self) -> int:
        """Tokens that the model was trained to read. Raises as `chat` does; `Corrupt` when it is not said."""
        if "context_length" not in self._facts:
            info = self._ask(lambda client: client.show(self._name)).modelinfo or {}
            self._facts["context_length"] = info.get(f"{info.get('general.architecture')}.context_length")
        length = self._facts["context_length"]
        if not isinstance(length, int):
            raise Corrupt(f"the model host does not say the context length of {self._name!r}")
        return length

    def digest(self) -> str | None:
        """The digest of the model as its host lists it, None when it lists none. Raises as `chat` does."""
        if "digest" not in self._facts:
            listed = self._ask(lambda client: client.list()).models
            wanted = {self._name, f"{self._name}:latest"}
            found = next((model.digest for model in listed if model.model in wanted), None)
            self._facts["digest"] = found or None
        digest: str | None = self._facts["digest"]
        return digest

    def _ask(self, call: Callable[[Client], _Item]) -> _Item:
        deadline = time.monotonic() + _CHECK_TIMEOUT_S
        with closing(self._exchange(lambda client: [call(client)], deadline)) as replies:
            return next(replies)

    def _exchange(
        self, call: Callable[[Client], Iterable[_Item]], deadline: float, cancel: Event | None = None
    ) -> Generator[_Item, None, None]:
        """What a call of the client gives, until `deadline`; closing it closes the connection.

        The call runs in a thread of its own: no timeout of a socket covers name lookup, several
        addresses, and a host that sends a byte now and then.
        """
        connection = _Connection(self._host, self._tls, deadline)
        if cancel is None or not cancel.is_set():
            threading.Thread(target=connection.run, args=(call,), name="ollama", daemon=True).start()
        try:
            while True:
                item = connection.wait(cancel)
                if isinstance(item, _End):
                    if item.error is not None:
                        raise self._translated(item.error)
                    return
                yield item
        finally:
            connection.cut()

    def _translated(self, error: Exception) -> DocwellError:
        """The error of docwell for what the client raised, without its text: that may quote an answer."""
        if isinstance(error, ResponseError):
            return self._refused(error.status_code)
        kind = type(error).__name__
        if isinstance(error, httpx.TransportError | OSError):
            return Unavailable(_NAME, f"no answer from the model host ({kind})")
        return Unavailable(_NAME, f"the model host sent what is not Ollama's protocol ({kind})")

    def _refused(self, status: int) -> DocwellError:
        if status == httpx.codes.NOT_FOUND:
            hint = f"ollama pull {self._name}"
            return ModelMissing(_NAME, f"the model host has no model {self._name!r}; there, run: {hint}")
        if status < 0:  # the client's sign for an error line under HTTP 200
            return Unavailable(_NAME, "the model host broke off with an error")
        detail = f"the model host answered with status {status}"
        if status >= httpx.codes.INTERNAL_SERVER_ERROR or status == httpx.codes.TOO_MANY_REQUESTS:
            return Unavailable(_NAME, detail)
        return Unavailable(_NAME, detail, retry_after=None)


class _Answer:
    """An answer as it grows."""

    def __init__(self, timeout_s: float, on_token: Callable[[str], None] | None) -> None:
        self._start = time.monotonic()
        self.deadline = self._start + timeout_s
        self._on_token = on_token
        self._texts: list[str] = []
        self._first_token_ms: float | None = None

    def take(self, text: str) -> None:
        """One more piece."""
        if not text:
            return
        if self._first_token_ms is None:
            self._first_token_ms = self._elapsed_ms()
        self._texts.append(text)
        if self._on_token is not None:
            self._on_token(text)

    def completion(self, last: ChatResponse) -> Completion:
        """The whole answer, with the figures of the last part."""
        return Completion(
            text="".join(self._texts),
            prompt_tokens=last.prompt_eval_count or 0,  # figures of zero are left out
            completion_tokens=last.eval_count or 0,
            done_reason=last.done_reason or "stop",
            first_token_ms=self._elapsed_ms() if self._first_token_ms is None else self._first_token_ms,
        )

    def _elapsed_ms(self) -> float:
        return (time.monotonic() - self._start) * 1000


class _End:
    """The end of an exchange, with what went wrong."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error


class _Connection:
    """One exchange with the host over a connection of its own, which another thread can cut."""

    def __init__(self, host: str, tls: Any, deadline: float) -> None:
        self._items: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._host = host
        self._tls = tls
        self._deadline = deadline
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._is_cut = False

    def run(self, call: Callable[[Client], Iterable[Any]]) -> None:
        """Keep what the call gives for `wait`, and an `_End` last. Raises nothing."""
        # The thread that waits keeps the deadline; this one ends a little later if it cannot be cut.
        left = max(self._deadline - time.monotonic(), 0.0) + 1.0
        try:
            with Client(
                self._host,
                verify=self._tls,
                timeout=httpx.Timeout(left, connect=min(_CONNECT_TIMEOUT_S, left)),
                event_hooks={"request": [self._watch]},
                follow_redirects=False,  # a question goes to the host that was named, and nowhere else
            ) as client:
                for item in call(client):
                    self._items.put(item)
        except Exception as error:  # noqa: BLE001 - handed to the thread that waits
            self._items.put(_End(error))
        else:
            self._items.put(_End())

    def wait(self, cancel: Event | None) -> Any:
        """The next item, `_End` after the last. Raises `DeadlineExceeded`, `Cancelled`."""
        while True:
            if cancel is not None and cancel.is_set():
                raise Cancelled("the question was given up while the model answered")
            left = self._deadline - time.monotonic()
            if left <= 0:
                raise DeadlineExceeded(_NAME, "the model host did not answer in time")
            with suppress(queue.Empty):
                return self._items.get(timeout=left if cancel is None else min(left, _LOOK_S))

    def cut(self) -> None:
        """Close the connection, now or as soon as there is one. The host then stops generating."""
        with self._lock:
            self._is_cut = True
            self._shut()

    def _watch(self, request: httpx.Request) -> None:
        request.extensions["trace"] = self._trace

    def _trace(self, event: str, info: dict[str, Any]) -> None:
        # httpcore's own hook: it shows the connection before anything is sent, plain first, then with TLS.
        if event in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            with self._lock:
                self._socket = info["return_value"].get_extra_info("socket")
                if self._is_cut:
                    self._shut()

    def _shut(self) -> None:
        if self._socket is not None:
            with suppress(OSError):
                # Not a TLS socket's own shutdown, which may not be called while another thread reads.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
