"""The local model server, by its command and with Ollama's client, on a small real model."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import ollama
import psutil
import pytest

from docwell.adapters.model_hosts import OllamaModel
from docwell.adapters.server_auth import Credential, ServerAuth
from docwell.answers import Completion, Message
from docwell.deadline import run
from docwell.errors import DeadlineExceeded, DocwellError, ModelMissing
from docwell.query.model_host import whole
from layers.embedder.download.fetch import fetch

from .waiting import until

pytestmark = pytest.mark.integration

Soon = Callable[[], AbstractContextManager[None]]

MODEL = "smollm2:135m"
CONTEXT = 512
ASK = [{"role": "user", "content": "Name three colours."}]
SHORT = {"num_ctx": CONTEXT, "num_predict": 8, "temperature": 0, "seed": 1}
# At temperature 0 the model tells this story for thousands of tokens.
LONG_STORY = [{"role": "user", "content": "Tell me a very long story about a tree."}]
ENDLESS = {"num_ctx": 4096, "num_predict": 4000, "temperature": 0}
# Seconds of the server's processor time, which other work on the machine does not change. A stopped answer costs
# under 2; a prompt of 900 words, read to its end, 42 on a slow processor.
SOON = 6
# Seconds to wait: a busy machine can stand still for most of them.
WAIT = 60
TOKEN = {"Authorization": "Bearer token"}
AUTH = ServerAuth(lambda: Credential("token"))


@pytest.fixture(scope="session")
def gguf() -> Path:
    """The small model: from DOCWELL_TEST_GGUF, else from the catalogue."""
    if given := os.environ.get("DOCWELL_TEST_GGUF"):
        return Path(given)
    try:
        return next(path for name, path in fetch(MODEL).items() if name.endswith(".gguf"))
    except DocwellError as error:
        pytest.skip(f"no model file: {error}")


@contextmanager
def running(gguf: Path, log: Path, context: int = CONTEXT) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the server by its command; yield the process and its address."""
    command = [
        sys.executable, "-m", "infra.local.ollama_server", "--model", f"{MODEL}={gguf}",
        "--port", "0", "--num-ctx", str(context), "--threads", "1",
    ]  # fmt: skip
    environment = {**os.environ, "DOCWELL_OLLAMA_TOKEN": "token"}
    with log.open("w") as errors, subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline().split()[-1]
        finally:
            process.terminate()
            process.wait(10)


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ollama") / "server.log"


@pytest.fixture(scope="module")
def server(gguf: Path, log: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    with running(gguf, log) as served:
        yield served


@pytest.fixture(scope="module")
def url(server: tuple[subprocess.Popen[str], str]) -> str:
    return server[1]


@pytest.fixture
def client(url: str) -> ollama.Client:
    return ollama.Client(url, timeout=WAIT, headers=TOKEN)


@pytest.fixture
def soon(server: tuple[subprocess.Popen[str], str]) -> Soon:
    """Check that the block costs the server less than `SOON`."""
    process = psutil.Process(server[0].pid)

    def spent() -> float:
        times = process.cpu_times()
        return times.user + times.system

    @contextmanager
    def limit() -> Iterator[None]:
        begun = spent()
        yield
        assert spent() - begun < SOON

    return limit


def opened(url: str, messages: list[dict[str, str]], options: dict[str, Any]) -> http.client.HTTPConnection:
    """A connection that has sent a chat and read nothing."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=WAIT)
    body = {"model": MODEL, "messages": messages, "options": options}
    connection.request("POST", "/api/chat", json.dumps(body), TOKEN)
    return connection


def started(url: str) -> http.client.HTTPConnection:
    """A connection on which an endless answer has begun."""
    connection = opened(url, LONG_STORY, ENDLESS)
    assert json.loads(connection.getresponse().readline())["done"] is False
    return connection


def words(count: int) -> str:
    return " ".join(f"apple{number}" for number in range(count))


def test_a_streamed_chat_comes_in_pieces_and_ends_with_figures(client: ollama.Client) -> None:
    *pieces, last = client.chat(MODEL, ASK, stream=True, options=SHORT, keep_alive="30m")
    assert len(pieces) > 1
    assert all(not piece.done and piece.message.content for piece in pieces)
    assert last.done
    assert last.done_reason == "length"
    assert last.prompt_eval_count is not None
    assert last.prompt_eval_count > 10
    assert last.eval_count == SHORT["num_predict"]
    assert last.total_duration is not None
    assert last.total_duration > (last.eval_duration or 0) > 1_000_000


def test_an_answer_follows_a_json_schema(client: ollama.Client) -> None:
    schema = {"type": "object", "properties": {"colour": {"enum": ["red", "blue"]}}, "required": ["colour"]}
    pieces = client.chat(MODEL, ASK, stream=True, options=SHORT | {"num_predict": 40}, format=schema)
    assert json.loads("".join(piece.message.content or "" for piece in pieces))["colour"] in {"red", "blue"}


def test_a_missing_model_is_404(client: ollama.Client) -> None:
    for call in (client.show, lambda name: client.chat(name, ASK)):
        with pytest.raises(ollama.ResponseError, match="model 'absent' not found") as caught:
            call("absent")
        assert caught.value.status_code == 404


def test_a_prompt_that_exceeds_the_context_is_400(client: ollama.Client) -> None:
    with pytest.raises(ollama.ResponseError, match=r"exceeds the available context size \(512 tokens\)") as caught:
        client.chat(MODEL, [{"role": "user", "content": words(400)}], options=SHORT)
    assert caught.value.status_code == 400


@pytest.mark.parametrize("waits", [False, True], ids=["answering", "behind one that leaves"])
def test_a_closed_connection_stops_the_answer_and_frees_its_place(
    url: str, client: ollama.Client, soon: Soon, *, waits: bool
) -> None:
    busy, answers = started(url), list[bool | None]()
    if waits:
        opened(url, LONG_STORY, ENDLESS).close()
    waiting = threading.Thread(
        target=lambda: answers.extend(piece.done for piece in client.chat(MODEL, ASK, stream=True, options=SHORT)),
        daemon=True,
    )
    waiting.start()
    time.sleep(0.3)
    assert not answers
    with soon():
        busy.close()
        waiting.join(WAIT)
    assert answers[-1] is True


def test_the_adapter_answers_and_lets_the_server_go_at_its_deadline(url: str, log: Path) -> None:
    question = [Message("user", "Tell me a very long story about a tree.")]
    short = OllamaModel(url, MODEL, num_ctx=CONTEXT, num_predict=8, auth=AUTH)
    assert run(short.facts()).context_length == 8192

    async def pieces() -> list[str | Completion]:
        return [piece async for piece in short.chat(question, 60)]

    *seen, completion = run(pieces())
    assert isinstance(completion, Completion)
    assert completion.text == "".join(str(piece) for piece in seen)
    assert completion.done_reason == "length"
    long = OllamaModel(url, MODEL, num_ctx=4096, num_predict=4000, auth=AUTH)
    closed = log.read_text().count("closed by the client")
    with pytest.raises(DeadlineExceeded):
        run(whole(long.chat(question, 1.0)))
    assert run(whole(short.chat(question, WAIT))).text
    until(lambda: log.read_text().count("closed by the client") > closed, WAIT)
    with pytest.raises(ModelMissing):
        run(OllamaModel(url, "absent", num_ctx=CONTEXT, num_predict=8, auth=AUTH).check())


def test_sigterm_ends_it_with_status_0_even_in_the_middle_of_an_answer(gguf: Path, tmp_path: Path) -> None:
    with running(gguf, tmp_path / "log") as (process, address):
        connection = started(address)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        connection.close()
