"""A GGUF file in llama.cpp, which answers one conversation at a time."""

from __future__ import annotations

import asyncio
import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from hashlib import file_digest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NoReturn

import httpx
import xllamacpp

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

# llama.cpp notices a closed connection between two batches: 64 tokens take a 1.5B model about 1 s on 2 cores.
# Larger batches are not faster there (65 tokens/s; 60 with 128 and 41 with 512).
BATCH_TOKENS = 64
# Prompts alternate (an answer, the rewriting of a follow-up); the cache keeps their fixed parts. A token takes 28
# kB with a 1.5B model, so it holds about nine prompts of 1,000 tokens.
CACHE_MIB = 256
# The product's default `keep_alive`. llama.cpp loads the model again at the next request.
IDLE_S = 30 * 60
NANOSECONDS_A_MILLISECOND = 1_000_000


class ModelError(Exception):
    """An error for the client: an HTTP status, and a text that quotes no prompt."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of an answer. The last piece has `figures`: Ollama's durations (ns) and counts (tokens)."""

    text: str
    figures: dict[str, Any] = field(default_factory=dict)


class LanguageModel:
    """One loaded model. Requests queue; closing the iterator of `chat` stops the generation."""

    def __init__(self, path: Path, *, num_ctx: int, threads: int) -> None:
        """Load the model with a context of `num_ctx` tokens. Raises `ModelError`."""
        self._path = path
        self._threads = threads
        self._turn = asyncio.Lock()
        self._folder = TemporaryDirectory(prefix="docwell-")  # mode 0700: llama.cpp checks no caller
        self._socket = str(Path(self._folder.name) / "llama.sock")
        self._load(num_ctx)
        # Hashing takes about 1 s per GB, so start before a client asks for it.
        self._sha256 = ThreadPoolExecutor(1).submit(_sha256, path)

    def exit(self) -> NoReturn:
        """End the process at once: llama.cpp crashes when it is freed during an answer."""
        self._folder.cleanup()
        os._exit(0)

    async def sha256(self) -> str:
        """Return the SHA-256 of the file."""
        return await asyncio.wrap_future(self._sha256)

    async def chat(
        self, messages: list[dict[str, str]], num_ctx: int, sampling: dict[str, Any]
    ) -> AsyncGenerator[Piece, None]:
        """Yield the answer piece by piece. `sampling` has llama.cpp's names.

        Raises `ModelError`; 400 for a prompt that exceeds `num_ctx` tokens.
        """
        body = {"messages": messages, "stream": True, "stream_options": {"include_usage": True}, **sampling}
        async with self._turn:
            begun = time.perf_counter_ns()
            if num_ctx != self._num_ctx:
                self._load(num_ctx)
            loaded = time.perf_counter_ns()
            reason = "stop"
            async with aclosing(self._events(body)) as events:
                async for event in events:
                    if choices := event["choices"]:
                        reason = choices[0]["finish_reason"] or reason
                        if text := choices[0]["delta"].get("content"):
                            yield Piece(text)
                    else:
                        yield Piece("", _figures(event, reason, begun, loaded))

    async def _events(self, body: dict[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
        """Yield llama.cpp's server-sent events, which follow OpenAI's protocol."""
        # No read timeout: a long prompt gives no output for minutes, and the caller has a deadline. llama.cpp
        # closes idle connections without notice, so each request opens a new one.
        timeout = httpx.Timeout(10.0, read=None)
        try:
            async with (
                httpx.AsyncClient(timeout=timeout, transport=httpx.AsyncHTTPTransport(uds=self._socket)) as client,
                client.stream("POST", "http://llama/v1/chat/completions", json=body) as response,
            ):
                if response.status_code != httpx.codes.OK:
                    raise ModelError(response.status_code, _message(await response.aread()))
                async for line in response.aiter_lines():
                    name, _, data = line.partition(": ")
                    if name != "data" or data == "[DONE]":  # a blank line, or a comment that keeps the connection
                        continue
                    event = json.loads(data)
                    if "error" in event:
                        raise ModelError(500, _message(data.encode()))
                    yield event
        except (httpx.HTTPError, ValueError) as error:
            raise ModelError(500, f"the model failed ({type(error).__name__})") from None

    def _load(self, num_ctx: int) -> None:
        params = xllamacpp.CommonParams()
        params.model.path = str(self._path)
        params.n_ctx = num_ctx
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = self._threads
        params.n_batch = params.n_ubatch = BATCH_TOKENS
        params.n_parallel = 1
        params.n_gpu_layers = 0
        params.cache_ram_mib = CACHE_MIB
        params.sleep_idle_seconds = IDLE_S
        params.warmup = False
        params.verbosity = 0
        params.hostnames = [self._socket]
        params.ui = params.endpoint_slots = params.endpoint_props = False
        self._server: Any = None  # free the memory before the next load
        Path(self._socket).unlink(missing_ok=True)
        try:
            self._server = xllamacpp.Server(params)
        except RuntimeError as error:
            raise ModelError(500, f"the model could not be loaded: {error}") from None
        self._num_ctx = num_ctx
        with httpx.Client(timeout=60, transport=httpx.HTTPTransport(uds=self._socket)) as client:
            facts = client.get("http://llama/v1/models").json()
        # Tokens that the model was trained to read.
        self.context_length = int(facts["data"][0]["meta"]["n_ctx_train"])


def _figures(event: dict[str, Any], reason: str, begun: int, loaded: int) -> dict[str, Any]:
    usage, timings = event["usage"], event["timings"]
    return {
        "done_reason": reason,
        "total_duration": time.perf_counter_ns() - begun,
        "load_duration": loaded - begun,
        "prompt_eval_count": usage["prompt_tokens"],  # cached tokens included, as in Ollama
        "prompt_eval_duration": int(timings["prompt_ms"] * NANOSECONDS_A_MILLISECOND),
        "eval_count": usage["completion_tokens"],
        "eval_duration": int(timings["predicted_ms"] * NANOSECONDS_A_MILLISECOND),
    }


def _message(body: bytes) -> str:
    """Return llama.cpp's message, which names sizes and options but quotes no prompt."""
    with suppress(ValueError, KeyError, TypeError):
        return str(json.loads(body)["error"]["message"])
    return "the model failed"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
