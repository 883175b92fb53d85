"""The embedded model server, by its own command and with Ollama's own client, on a small real model."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import ollama
import psutil
import pytest

from docwell.adapters.ollama import OllamaModel
from docwell.answers import Completion, Message
from docwell.deadline import run
from docwell.errors import DeadlineExceeded, DocwellError, ModelMissing
from docwell.query.model_host import whole
from layers.embedder.download.fetch import fetch

from .waiting import until

pytestmark = pytest.mark.integration

MODEL = "smollm2:135m"
CONTEXT = 512
QUEUE = 1
ASK = [{"role": "user", "content": "Name three colours."}]
SHORT = {"num_ctx": CONTEXT, "num_predict": 8, "temperature": 0, "seed": 1}
# At temperature 0 the model counts on and on: only a closed connection ends it within a test.
COUNT = "1, 2, 3, 4, 5, 6, 7, 8,"
ENDLESS = {"num_ctx": CONTEXT, "num_predict": 5000, "temperature": 0}
# s; a stopped answer frees the server in about 0.1, far more on a busy machine.
SOON = 10
# Model processes that ran before this module's tests.
ELSEWHERE: set[int] = set()


@pytest.fixture(scope="session")
def gguf() -> Path:
    """The small model: from DOCWELL_TEST_GGUF, else from its catalogue."""
    if given := os.environ.get("DOCWELL_TEST_GGUF"):
        return Path(given)
    try:
        return next(path for name, path in fetch(MODEL).items() if name.endswith(".gguf"))
    except DocwellError as error:
        pytest.skip(f"no model file: {error}")


@contextmanager
def running(gguf: Path, log: Path, *flags: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The server by its command; gives the process and its address."""
    command = [
        sys.executable, "-m", "infra.local.ollama_server", "--model", f"{MODEL}={gguf}",
        "--port", "0", "--queue", str(QUEUE), "--num-ctx", str(CONTEXT),
        "--threads", "1", *flags,
    ]  # fmt: skip
    with log.open("w") as errors, subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=errors, text=True
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
def url(gguf: Path, log: Path) -> Iterator[str]:
    # Without the cache an answer can be compared with another to the same question.
    with running(gguf, log, "--no-prompt-cache") as (_, address):
        yield address


@pytest.fixture
def client(url: str) -> ollama.Client:
    return ollama.Client(url, timeout=60)


def opened(url: str, options: dict[str, Any]) -> http.client.HTTPConnection:
    """A connection on which text has been asked for and nothing has been read."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=60)
    body = {"model": MODEL, "prompt": COUNT, "raw": True, "options": options}
    connection.request("POST", "/api/generate", json.dumps(body))
    return connection


def started(url: str) -> http.client.HTTPConnection:
    """A connection on which an endless answer has begun."""
    connection = opened(url, ENDLESS)
    assert b'"done":false' in connection.getresponse().readline()
    return connection


def words(count: int) -> str:
    return " ".join(f"apple{number}" for number in range(count))


def test_the_root_says_that_it_runs(url: str) -> None:
    assert httpx.get(url).text == "Ollama is running"
    assert httpx.head(url).status_code == 200
    assert httpx.get(f"{url}/api/version").json()["version"]


def test_tags_names_the_model_its_size_and_its_checksum(client: ollama.Client, gguf: Path) -> None:
    (model,) = client.list().models
    assert model.model == MODEL
    assert model.size == gguf.stat().st_size
    assert model.digest is not None
    assert len(model.digest) == 64


def test_show_gives_what_the_model_was_trained_for(client: ollama.Client) -> None:
    card = client.show(MODEL)
    assert card.modelinfo is not None
    assert card.modelinfo["llama.context_length"] == 8192
    assert card.modelinfo["general.parameter_count"] == 134_515_008
    assert card.capabilities == ["completion"]
    assert card.details is not None
    assert card.details.quantization_level == "Q4_1"


def test_a_streamed_chat_comes_in_pieces_and_ends_with_figures(client: ollama.Client) -> None:
    *pieces, last = client.chat(MODEL, ASK, stream=True, options=SHORT)
    assert len(pieces) > 1
    assert all(not piece.done and piece.message.content for piece in pieces)
    assert last.done
    assert last.prompt_eval_count is not None
    assert last.prompt_eval_count > 10
    assert last.eval_count == SHORT["num_predict"]
    assert last.total_duration is not None
    assert last.total_duration > (last.eval_duration or 0) > 1_000_000


def test_a_whole_chat_says_what_the_stream_says(client: ollama.Client) -> None:
    streamed = client.chat(MODEL, ASK, stream=True, options=SHORT)
    whole = client.chat(MODEL, ASK, options=SHORT)
    assert whole.message.content == "".join(piece.message.content or "" for piece in streamed)
    assert whole.done_reason == "length"


def test_generate_answers_a_prompt_and_stops_at_a_stop_word(client: ollama.Client) -> None:
    prompt = "one, two, three, four, five, six,"
    whole = client.generate(MODEL, prompt, raw=True, options=SHORT).response or ""
    assert "," in whole
    cut = client.generate(MODEL, prompt, raw=True, options=SHORT | {"stop": [","]})
    assert cut.response == whole.partition(",")[0]
    assert cut.done_reason == "stop"


def test_json_format_gives_json(client: ollama.Client) -> None:
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {"n": {"type": "boolean"}},
        "required": ["n"],
        "additionalProperties": False,
    }
    answer = client.chat(MODEL, ASK, format=schema, options=SHORT | {"num_predict": 40})
    assert isinstance(json.loads(answer.message.content or "")["n"], bool)


def test_a_missing_model_is_404(client: ollama.Client) -> None:
    for call in (client.show, lambda name: client.chat(name, ASK), lambda name: client.generate(name, "x")):
        with pytest.raises(ollama.ResponseError, match="model 'absent' not found") as caught:
            call("absent")
        assert caught.value.status_code == 404


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("", "missing request body"),
        ("{", "invalid JSON"),
        ('{"messages": []}', "model is required"),
        (json.dumps({"model": MODEL, "messages": "hello"}), "messages must be of type list"),
        (json.dumps({"model": MODEL, "options": {"num_ctx": "8"}}), '"num_ctx" must be of type integer'),
        (json.dumps({"model": MODEL, "keep_alive": "soon"}), "invalid duration"),
    ],
)
def test_a_bad_body_is_400(url: str, body: str, error: str) -> None:
    answer = httpx.post(f"{url}/api/chat", content=body)
    assert answer.status_code == 400
    assert error in answer.json()["error"]


def test_embeddings_are_refused_in_clear_words(client: ollama.Client) -> None:
    with pytest.raises(ollama.ResponseError, match="does not support embeddings") as caught:
        client.embed(MODEL, "text")
    assert caught.value.status_code == 501


def test_of_too_long_a_conversation_the_oldest_messages_go_and_the_system_message_stays(
    client: ollama.Client,
) -> None:
    system = {"role": "system", "content": "Be brief."}
    kept = client.chat(MODEL, [system, *ASK], options=SHORT)
    old = {"role": "user", "content": words(400)}
    answer = client.chat(MODEL, [system, old, *ASK], options=SHORT)
    assert answer.prompt_eval_count == kept.prompt_eval_count
    assert answer.message.content == kept.message.content


def test_one_message_that_is_too_long_is_cut_to_half_of_the_context(client: ollama.Client) -> None:
    long = [{"role": "user", "content": words(400)}]
    assert client.chat(MODEL, long, options=SHORT).prompt_eval_count == CONTEXT - (CONTEXT - 4) // 2


def test_a_prompt_that_may_not_be_cut_is_400(url: str) -> None:
    long = [{"role": "user", "content": words(400)}]
    body = {"model": MODEL, "messages": long, "options": SHORT, "truncate": False}
    answer = httpx.post(f"{url}/api/chat", json=body, timeout=60)
    assert answer.status_code == 400
    assert "exceeds the available context size (512 tokens)" in answer.json()["error"]


def test_another_context_length_loads_the_model_anew(client: ollama.Client) -> None:
    client.chat(MODEL, ASK, options=SHORT)
    assert not (client.chat(MODEL, ASK, options=SHORT).load_duration or 0) > 50_000_000
    client.chat(MODEL, ASK, options=SHORT | {"num_ctx": 1024})
    assert client.ps().models[0].context_length == 1024


def test_keep_alive_says_how_long_the_model_stays(client: ollama.Client) -> None:
    client.chat(MODEL, ASK, options=SHORT, keep_alive="10m")
    (loaded,) = client.ps().models
    assert loaded.model == MODEL
    assert loaded.expires_at is not None
    assert timedelta(minutes=9) < loaded.expires_at - datetime.now(UTC) <= timedelta(minutes=10)
    client.chat(MODEL, ASK, options=SHORT, keep_alive=-1)
    kept = client.ps().models[0].expires_at
    assert kept is not None
    assert kept.year > 2200


def test_keep_alive_0_unloads_after_the_answer(client: ollama.Client) -> None:
    assert client.chat(MODEL, ASK, options=SHORT, keep_alive=0).message.content
    assert client.ps().models == []
    until(lambda: not runners(), SOON)


def test_a_model_goes_when_its_time_is_over(client: ollama.Client) -> None:
    client.chat(MODEL, ASK, options=SHORT, keep_alive="300ms")
    until(lambda: not runners(), SOON)


def test_no_messages_load_and_unload(client: ollama.Client) -> None:
    assert client.chat(MODEL, [], keep_alive="1m").done_reason == "load"
    assert len(client.ps().models) == 1
    assert client.chat(MODEL, [], keep_alive=0).done_reason == "unload"
    assert client.ps().models == []
    until(lambda: not runners(), SOON)


def runners() -> list[psutil.Process]:
    """The model processes of this module's servers: another module's whole stack may run beside them."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if "infra.local.ollama_runner" in process.cmdline() and process.pid not in ELSEWHERE:
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found


@pytest.fixture(scope="module", autouse=True)
def elsewhere() -> None:
    ELSEWHERE.update(process.pid for process in runners())


def test_more_than_the_queue_holds_is_503(url: str, client: ollama.Client) -> None:
    busy = started(url)
    waiting = opened(url, SHORT)
    time.sleep(0.3)
    with pytest.raises(ollama.ResponseError, match="server busy, please try again") as caught:
        client.chat(MODEL, ASK, options=SHORT)
    assert caught.value.status_code == 503
    busy.close()
    assert waiting.getresponse().read().rstrip().endswith(b"}")


def test_a_closed_connection_stops_the_answer_and_frees_the_server(url: str, client: ollama.Client) -> None:
    started(url).close()
    begun = time.monotonic()
    assert client.chat(MODEL, ASK, options=SHORT).done
    assert time.monotonic() - begun < SOON


def test_who_leaves_the_queue_frees_the_place(url: str, client: ollama.Client) -> None:
    busy = started(url)
    opened(url, ENDLESS).close()
    time.sleep(0.3)
    answers: list[bool | None] = []
    waiting = threading.Thread(
        target=lambda: answers.append(client.chat(MODEL, ASK, options=SHORT).done), daemon=True
    )
    waiting.start()
    time.sleep(0.3)
    busy.close()
    waiting.join(SOON)
    assert answers == [True]


def test_a_connection_closed_while_the_prompt_is_read_frees_the_server(url: str, client: ollama.Client) -> None:
    options = {"num_ctx": 4096, "num_predict": 500}
    client.chat(MODEL, [], options=options)
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=60)
    body = {"model": MODEL, "messages": [{"role": "user", "content": words(900)}], "options": options}
    connection.request("POST", "/api/chat", json.dumps(body))
    time.sleep(0.5)
    connection.close()
    begun = time.monotonic()
    assert client.chat(MODEL, ASK, options=options | {"num_predict": 2}).done
    assert time.monotonic() - begun < SOON


def test_the_adapter_answers_and_lets_the_server_go_at_its_deadline(url: str, log: Path) -> None:
    question = [Message("user", "Tell me a very long story about a tree.")]
    short = OllamaModel(url, MODEL, num_ctx=CONTEXT, num_predict=8)
    assert run(short.context_length()) == 8192

    async def pieces() -> list[str | Completion]:
        return [piece async for piece in short.chat(question, 60)]

    *seen, completion = run(pieces())
    assert isinstance(completion, Completion)
    assert completion.text == "".join(str(piece) for piece in seen)
    assert completion.done_reason == "length"
    long = OllamaModel(url, MODEL, num_ctx=CONTEXT, num_predict=5000)
    closed = log.read_text().count("closed by the client")
    with pytest.raises(DeadlineExceeded):
        run(whole(long.chat(question, 1.0)))
    assert run(whole(short.chat(question, SOON))).text
    # Its line may come after that of the request that took its place.
    until(lambda: log.read_text().count("closed by the client") > closed, SOON)
    with pytest.raises(ModelMissing):
        run(OllamaModel(url, "absent", num_ctx=CONTEXT, num_predict=8).check())


def test_a_killed_model_process_is_an_error_line_and_the_next_request_loads_anew(
    url: str, client: ollama.Client
) -> None:
    stream = client.generate(MODEL, COUNT, raw=True, options=ENDLESS, stream=True)
    next(iter(stream))
    runners()[0].kill()
    with pytest.raises(ollama.ResponseError, match="the model's process") as caught:
        list(stream)
    assert caught.value.status_code == -1
    assert client.chat(MODEL, ASK, options=SHORT).done


def test_the_log_has_a_line_for_each_request_and_no_text(url: str, client: ollama.Client, log: Path) -> None:
    client.chat(MODEL, [{"role": "user", "content": "Where is Xanadu?"}], options=SHORT)
    client.generate(MODEL, "Where is Xanadu?", options=SHORT)
    lines = log.read_text()
    assert f"/api/generate {MODEL} 200" in lines
    assert "Xanadu" not in lines


def test_a_prompt_that_was_read_before_is_not_read_again_and_still_counts(gguf: Path, tmp_path: Path) -> None:
    with running(gguf, tmp_path / "log") as (_, address):
        long = [{"role": "user", "content": words(60)}]
        first, second = (ollama.Client(address).chat(MODEL, long, options=SHORT) for _ in range(2))
    assert first.prompt_eval_count == second.prompt_eval_count
    assert (second.prompt_eval_duration or 0) < (first.prompt_eval_duration or 0) / 3


def test_sigterm_ends_it_with_status_0_even_in_the_middle_of_an_answer(gguf: Path, tmp_path: Path) -> None:
    with running(gguf, tmp_path / "log") as (process, address):
        connection = started(address)
        assert any(child.ppid() == process.pid for child in runners())
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        connection.close()
        left = [child for child in runners() if child.ppid() == process.pid]
    assert left == []


def test_a_file_that_is_no_model_is_refused_at_start(tmp_path: Path) -> None:
    path = tmp_path / "x.gguf"
    path.write_bytes(b"not a model")
    command = [sys.executable, "-m", "infra.local.ollama_server", "--model", f"x={path}", "--port", "0"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert result.returncode == 1
    assert "not a GGUF file" in result.stderr
