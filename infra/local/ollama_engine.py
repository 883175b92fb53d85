"""Which model is loaded, whose turn it is, and one answer from it.

One model is loaded and one request runs at a time; a bounded number wait. Who goes away while waiting,
loading or generating frees the place at once.
"""

from __future__ import annotations

import asyncio
import math
import time
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import file_digest
from typing import TYPE_CHECKING, Any

from infra.local.ollama_gguf import ModelCard, read_card
from infra.local.ollama_protocol import BUSY, RequestError, expiry, full_name
from infra.local.ollama_runner import Runner, RunnerError, RunnerGoneError, RunnerSettings

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Mapping
    from pathlib import Path

    from infra.local.ollama_protocol import Generation, Options

_KEEP_ALIVE_S = 300.0  # Ollama's default
_REPEATS = 30  # Ollama gives up on an answer that says one token more often than this
_NANOSECONDS = 1_000_000


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of an answer; `last` is set on the final one: its reason and figures (ns, tokens)."""

    text: str
    last: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Model:
    """A model that is served: its file and what that says of itself."""

    name: str
    path: Path
    card: ModelCard
    modified_at: datetime


@dataclass(slots=True)
class _Loaded:
    model: Model
    settings: RunnerSettings
    runner: Runner
    keep_alive: float = _KEEP_ALIVE_S
    ends: float = math.inf  # on the event loop's clock


class Engine:
    """The models of a server. `num_ctx` is for requests that name none; `queue` is how many may wait."""

    def __init__(
        self, paths: Mapping[str, Path], *, num_ctx: int, threads: int, queue: int, prompt_cache: bool
    ) -> None:
        self.models = {full_name(name): _model(full_name(name), path) for name, path in paths.items()}
        self._num_ctx = num_ctx
        self._threads = threads
        self._queue = queue
        self._prompt_cache = prompt_cache
        self._lock = asyncio.Lock()
        self._waiting = 0
        self._loaded: _Loaded | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._digests: dict[str, str] = {}

    def find(self, name: str) -> Model:
        """The model of that name, `:latest` implied. Raises `RequestError` 404."""
        try:
            return self.models[full_name(name)]
        except KeyError:
            raise RequestError(404, f"model '{name}' not found") from None

    async def digest(self, model: Model) -> str:
        """SHA-256 of the file; about 1 s a GB the first time."""
        if model.name not in self._digests:
            self._digests[model.name] = await asyncio.to_thread(_sha256, model.path)
        return self._digests[model.name]

    def running(self) -> tuple[Model, int, datetime] | None:
        """The loaded model, its context length and when it goes; None when none is loaded."""
        loaded, now = self._loaded, asyncio.get_running_loop().time()
        if loaded is None or not loaded.runner.alive:
            return None
        left = loaded.keep_alive if self._lock.locked() else loaded.ends - now
        if left <= 0 and not self._lock.locked():
            return None
        return loaded.model, loaded.settings.num_ctx, expiry(datetime.now(UTC), max(left, 0.0))

    async def answer(self, generation: Generation) -> AsyncGenerator[Piece, None]:
        """The pieces of an answer as they come. Raises `RequestError`; closing the iterator stops it.

        An answer that repeats one token ends without a final piece, as Ollama's does.
        """
        model = self.find(generation.model)
        if generation.empty and generation.keep_alive == 0:
            self._let_go(model)
            yield Piece("", {"done_reason": "unload"})
            return
        begun = time.perf_counter_ns()
        async with self._turn(), self._in_use(model, generation) as loaded:
            if generation.empty:
                yield Piece("", {"done_reason": "load"})
                return
            load_ns = time.perf_counter_ns() - begun
            try:
                async with aclosing(_generate(loaded, generation)) as pieces:
                    async for piece in pieces:
                        if piece.last is not None:
                            total = time.perf_counter_ns() - begun
                            piece.last.update(total_duration=total, load_duration=load_ns)
                        yield piece
            except RunnerError as error:
                if isinstance(error, RunnerGoneError):
                    await self._unload()
                raise RequestError(500, str(error)) from None

    async def close(self) -> None:
        """Unload, and stop what runs in the background."""
        for task in list(self._tasks):
            task.cancel()
        await self._unload()

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        if self._lock.locked() and self._waiting >= self._queue:
            raise RequestError(503, BUSY)
        self._waiting += 1
        try:
            await self._lock.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._lock.release()

    @asynccontextmanager
    async def _in_use(self, model: Model, generation: Generation) -> AsyncIterator[_Loaded]:
        """The model, loaded as the request wants it; its time to stay starts again afterwards."""
        wanted = generation.options.num_ctx or self._num_ctx
        settings = RunnerSettings(
            path=str(model.path),
            num_ctx=max(4, min(wanted, model.card.context_length or wanted)),
            shift=generation.shift,
            threads=self._threads,
            prompt_cache=self._prompt_cache,
        )
        loaded = self._loaded
        if loaded is None or loaded.settings != settings or not loaded.runner.alive:
            await self._unload()
            try:
                loaded = _Loaded(model, settings, await Runner.start(settings))
            except RunnerError as error:
                raise RequestError(500, str(error)) from None
            self._loaded = loaded
        if generation.keep_alive is not None:
            loaded.keep_alive = generation.keep_alive
        try:
            yield loaded
        finally:
            if loaded is self._loaded:
                self._rest(loaded)

    def _rest(self, loaded: _Loaded) -> None:
        loop = asyncio.get_running_loop()
        loaded.ends = loop.time() + loaded.keep_alive
        if self._timer is not None:
            self._timer.cancel()
        # The event loop takes no delay longer than a day on some systems; it is looked at again then.
        self._timer = loop.call_later(min(loaded.keep_alive, 86_400.0), self._look)

    def _look(self) -> None:
        task = asyncio.get_running_loop().create_task(self._expire())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _expire(self) -> None:
        async with self._lock:
            loaded, loop = self._loaded, asyncio.get_running_loop()
            if loaded is None:
                return
            left = loaded.ends - loop.time()
            if left <= 0.01:  # noqa: PLR2004 - s: a timer may come a tick early
                await self._unload()
            elif left < math.inf:
                self._timer = loop.call_later(min(left, 86_400.0), self._look)

    def _let_go(self, model: Model) -> None:
        loaded = self._loaded
        if loaded is not None and loaded.model == model:
            loaded.keep_alive = 0.0  # a request in progress ends first
            if not self._lock.locked():
                self._rest(loaded)

    async def _unload(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        loaded, self._loaded = self._loaded, None
        if loaded is not None:
            await loaded.runner.stop()


def _model(name: str, path: Path) -> Model:
    modified = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    return Model(name, path.resolve(), read_card(path), modified)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


async def _generate(loaded: _Loaded, generation: Generation) -> AsyncGenerator[Piece, None]:
    tokens = await _prompt(loaded.runner, generation, loaded.settings.num_ctx)
    body = _completion_body(generation, tokens, loaded.settings)
    previous, repeats = "", 0
    async with aclosing(loaded.runner.complete(body)) as pieces:
        async for piece in pieces:
            text = str(piece.get("content", ""))
            repeats = repeats + 1 if text.strip() == previous else 0
            previous = text.strip()
            if repeats > _REPEATS:
                return
            if piece.get("stop"):
                yield Piece(text, _figures(piece))
                return
            if text:
                yield Piece(text)
    raise RunnerError("the model's process ended the answer early")


async def _prompt(runner: Runner, generation: Generation, num_ctx: int) -> list[int]:
    """The prompt's tokens, made to fit as Ollama does it: silently, unless `truncate` is false.

    The oldest messages go first, never the system's nor the last. If it is still too long, tokens after
    `num_keep` are cut so that about half of the context is left for the answer.
    """
    tokens = await _tokens(runner, generation, generation.messages)
    if generation.truncate:
        for first in range(1, len(generation.messages)):
            if len(tokens) <= num_ctx:
                break
            system = tuple(item for item in generation.messages[:first] if item["role"] == "system")
            tokens = await _tokens(runner, generation, system + generation.messages[first:])
    if len(tokens) < num_ctx:
        return tokens
    if not generation.truncate or not generation.shift:
        raise RequestError(
            400,
            f"request ({len(tokens)} tokens) exceeds the available context size ({num_ctx} tokens), "
            "try increasing it",
        )
    keep = max(0, min(generation.options.num_keep, num_ctx - 1))
    limit = num_ctx - max((num_ctx - keep) // 2, 1)
    return tokens[:keep] + tokens[len(tokens) - limit + keep :]


async def _tokens(runner: Runner, generation: Generation, messages: tuple[dict[str, str], ...]) -> list[int]:
    text = generation.prompt if generation.prompt is not None else await runner.render(messages)
    return await runner.tokenize(text)


def _completion_body(generation: Generation, tokens: list[int], settings: RunnerSettings) -> dict[str, Any]:
    options: Options = generation.options
    # Ollama's guard against endless answers: ten times the context.
    most = 10 * settings.num_ctx
    body: dict[str, Any] = {
        "prompt": tokens,
        "n_predict": most if options.num_predict < 0 else min(options.num_predict, most),
        "n_keep": options.num_keep,
        "seed": options.seed,
        "stop": list(options.stop),
        "cache_prompt": settings.prompt_cache,
    }
    for name in ("temperature", "top_k", "top_p", "min_p", "repeat_penalty", "repeat_last_n",
                 "presence_penalty", "frequency_penalty"):  # fmt: skip
        body[name] = getattr(options, name)
    if generation.format is not None:
        body["json_schema"] = {"type": "object"} if generation.format == "json" else generation.format
    return body


def _figures(piece: dict[str, Any]) -> dict[str, Any]:
    timings = piece.get("timings", {})
    return {
        "done_reason": "length" if piece.get("stop_type") == "limit" else "stop",
        # tokens_evaluated is the whole prompt, cached tokens included.
        "prompt_eval_count": piece.get("tokens_evaluated", 0),
        "prompt_eval_duration": int(timings.get("prompt_ms", 0) * _NANOSECONDS),
        "eval_count": piece.get("tokens_predicted", 0),
        "eval_duration": int(timings.get("predicted_ms", 0) * _NANOSECONDS),
    }
