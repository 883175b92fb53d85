"""One loaded model: llama.cpp in a process of its own, and the handle on it.

A process, because `xllamacpp` holds the interpreter's lock while it loads (1.5 to 7 s for 1.1 GB), because
unloading is then a kill that cannot hang, and because a crash of llama.cpp takes no server with it.
The process ends when its standard input closes, so it never outlives the server.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

# A closed connection is noticed between two batches: 64 tokens are about 1 s of a 1.5B model on 2 cores.
# Larger batches read a prompt no faster there (65 tokens/s against 60 with 128 and 41 with 512).
BATCH_TOKENS = 64
_LOAD_TIMEOUT_S = 300.0
# Threads that wait sleep instead of spinning. Spinning answers a third faster on an idle machine (26
# tokens/s against 19) but never ends on a busy one: on 2 cores at a load of 7 a prompt of 450 tokens took
# 25 s like this and over 40 s with spinning. OMP_WAIT_POLICY=active in the environment wins.
_PATIENT = {"OMP_WAIT_POLICY": "passive"}


class RunnerError(Exception):
    """The model could not be loaded, or its process failed. The text holds nothing of a prompt."""


class RunnerGoneError(RunnerError):
    """The model's process has ended, or talks nonsense: it is of no more use."""


@dataclass(frozen=True, slots=True)
class RunnerSettings:
    """What a model is loaded with: another value of any field is another load."""

    path: str
    num_ctx: int
    shift: bool
    threads: int
    prompt_cache: bool


class Runner:
    """The handle on a loaded model. Made by `start`; `stop` frees its memory."""

    def __init__(self, process: asyncio.subprocess.Process, client: httpx.AsyncClient) -> None:
        self._process = process
        self._client = client

    @classmethod
    async def start(cls, settings: RunnerSettings) -> Runner:
        """Load a model. Raises `RunnerError`; when cancelled, the load is broken off."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "infra.local.ollama_runner",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            env=_PATIENT | os.environ,
            start_new_session=True,  # Ctrl-C in a terminal is for the server, which then stops this
        )  # fmt: skip
        try:
            key = secrets.token_hex(16)
            url = await asyncio.wait_for(_hand_over(process, settings, key), _LOAD_TIMEOUT_S)
            client = httpx.AsyncClient(
                base_url=url,
                headers={"Authorization": f"Bearer {key}"},
                # No limit on reading: a long prompt is silent for minutes, and the caller has a deadline.
                timeout=httpx.Timeout(10.0, read=None),
                trust_env=False,
            )
        except TimeoutError:
            await _kill(process)
            raise RunnerError(f"the model did not load within {_LOAD_TIMEOUT_S:.0f} s") from None
        except BaseException:
            await _kill(process)
            raise
        return cls(process, client)

    @property
    def alive(self) -> bool:
        """False once the process has ended."""
        return self._process.returncode is None

    async def render(self, messages: Sequence[dict[str, str]]) -> str:
        """Messages as one prompt, by the model's own template. Raises `RunnerError`."""
        answer = await self._post("/apply-template", {"messages": list(messages)})
        return str(answer["prompt"])

    async def tokenize(self, text: str) -> list[int]:
        """The token ids of a prompt, special tokens included. Raises `RunnerError`."""
        body = {"content": text, "add_special": True, "parse_special": True}
        return list((await self._post("/tokenize", body))["tokens"])

    async def complete(self, body: dict[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
        """llama.cpp's pieces of an answer, the last with `stop` true. Closing the iterator stops it."""
        try:
            async with self._client.stream("POST", "/completion", json=body | {"stream": True}) as response:
                if response.status_code != httpx.codes.OK:
                    raise RunnerError(_error_text(await response.aread()))
                async for line in response.aiter_lines():
                    if line.startswith("data: "):
                        piece = json.loads(line.removeprefix("data: "))
                        if "error" in piece:
                            raise RunnerError(_error_text(line.removeprefix("data: ").encode()))
                        yield piece
        except (httpx.HTTPError, ValueError) as error:
            raise RunnerGoneError(f"the model's process failed ({type(error).__name__})") from None

    async def stop(self) -> None:
        """Free the model's memory."""
        await _kill(self._process)
        await self._client.aclose()

    async def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        try:
            response = await self._client.post(path, json=body)
            if response.status_code != httpx.codes.OK:
                raise RunnerError(_error_text(response.content))
            answer: dict[str, Any] = response.json()
        except (httpx.HTTPError, ValueError) as error:
            raise RunnerGoneError(f"the model's process failed ({type(error).__name__})") from None
        return answer


async def _hand_over(process: asyncio.subprocess.Process, settings: RunnerSettings, key: str) -> str:
    """Give the process its settings; gives the address it listens on."""
    if process.stdin is None or process.stdout is None:
        raise RunnerError("the model's process has no pipes")
    process.stdin.write(json.dumps(asdict(settings) | {"key": key}).encode() + b"\n")
    with suppress(ConnectionError):
        await process.stdin.drain()
    async for line in process.stdout:
        with suppress(ValueError):
            said = json.loads(line)
            if isinstance(said, dict) and "url" in said:
                return str(said["url"])
    raise RunnerError("the model could not be loaded")


async def _kill(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.kill()
    # Shielded: a cancelled request must not leave a process that nobody waits for.
    await asyncio.shield(process.wait())


def _error_text(body: bytes) -> str:
    """llama.cpp's message, which names sizes and options but quotes no prompt."""
    with suppress(ValueError, KeyError, TypeError):
        return str(json.loads(body)["error"]["message"])
    return "the model's process gave an error"


def main() -> None:
    """The process: reads its settings from standard input, loads, serves until the input closes."""
    settings = json.loads(sys.stdin.readline())

    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = settings["path"]
    params.n_ctx = settings["num_ctx"]
    params.ctx_shift = settings["shift"]
    params.cache_prompt = settings["prompt_cache"]
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = settings["threads"]
    params.n_batch = params.n_ubatch = BATCH_TOKENS
    params.n_parallel = 1
    params.n_gpu_layers = 0
    params.cache_ram_mib = 0  # one conversation's cache, the slot's own, and no store of older ones
    params.warmup = False
    params.verbosity = 0
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [settings["key"]]
    params.ui = params.endpoint_slots = params.endpoint_props = False
    server = xllamacpp.Server(params)
    print(json.dumps({"url": server.listening_address}), flush=True)
    sys.stdin.read()
    del server


if __name__ == "__main__":
    main()
