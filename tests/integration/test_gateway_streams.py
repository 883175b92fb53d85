"""Streams through the local API gateway, over HTTP."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import uvicorn

from docwell.http import sse
from infra.local.gateway import Gateway
from runtime.functions import FunctionPool, FunctionSpec
from tests.integration.waiting import until

pytestmark = pytest.mark.integration


class Door:
    """The gateway's address, and the toy's notes."""

    def __init__(self, url: str, log: Path) -> None:
        self.url = f"{url}/v1/query"
        self._log = log

    def notes(self) -> list[str]:
        text = self._log.read_text() if self._log.exists() else ""
        return [line.partition(" ")[2] for line in text.splitlines()]


def printed(capsys: pytest.CaptureFixture[str], what: str) -> str:
    """Wait until the gateway has printed this text, which can happen after the client has the whole answer."""
    text, deadline = "", time.monotonic() + 2
    while what not in text:
        assert time.monotonic() < deadline, text
        time.sleep(0.02)
        text += capsys.readouterr().out
    return text


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    environment = {"PYTHONPATH": str(Path(__file__).parent), "DOCWELL_TOY_LOG": str(tmp_path / "notes")}
    spec = FunctionSpec(
        "toy_functions.streams",
        environment,
        timeout_s=8,
        on_line=lambda _: None,
        runtime="docwell.http.streaming_runtime",
    )
    pool = FunctionPool(spec, concurrency=1, max_waiting=2)
    pool.warm()
    config = uvicorn.Config(Gateway(pool).app, log_level="critical", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield Door(f"http://127.0.0.1:{listener.getsockname()[1]}", tmp_path / "notes")
        server.should_exit = True
        thread.join()
    pool.close()


def test_a_stream_arrives_piece_by_piece(door: Door, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "0").touch()
    arrived = []
    with httpx.stream("POST", door.url, json={"pieces": 3, "gates": str(tmp_path)}, timeout=20) as answer:
        assert (answer.status_code, answer.headers["content-type"]) == (200, sse.CONTENT_TYPE)
        assert answer.headers["x-amzn-requestid"]
        for _, data in sse.read(answer.iter_lines()):
            arrived.append(data["text"])
            time.sleep(0.2)
            (tmp_path / str(len(arrived))).touch()  # the toy makes each piece after the previous one has arrived
    assert arrived == ["0", "1", "2"]
    line = printed(capsys, "POST /v1/query 200 in ").partition("POST /v1/query 200 in ")[2]
    # The first byte came before both later pauses, except for rounding.
    assert int(line.partition("first byte after ")[2].split()[0]) < int(line.split()[0]) - 390


def test_status_and_headers_of_an_answer_that_is_no_stream_come_back(door: Door) -> None:
    answer = httpx.post(door.url, json={"proxy": True})
    assert (answer.status_code, answer.content) == (201, "é\0".encode())
    assert answer.headers.get_list("x-two") == ["1", "2"]


def test_a_client_that_leaves_between_pieces_ends_the_function(door: Door) -> None:
    with httpx.stream("POST", door.url, json={"pieces": 100, "pause": 0.5}) as answer:
        next(answer.iter_raw())
    until(lambda: "closed" in door.notes())
    assert httpx.post(door.url, json={"proxy": True}).status_code == 201


def test_a_client_that_leaves_in_a_long_silence_is_noticed_all_the_same(
    door: Door, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "0").touch()
    with httpx.stream("POST", door.url, json={"pieces": 2, "gates": str(tmp_path)}) as answer:
        next(answer.iter_raw())
    printed(capsys, "incomplete")  # there is no other piece, and the function's time is not over


def test_a_client_that_leaves_before_the_first_byte_ends_the_function_at_its_first_pieces(
    door: Door, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(door.url, json={"thinks": 1, "pieces": 100, "pause": 0.3}, timeout=0.3)
    until(lambda: "closed" in door.notes())
    made = [text for text in door.notes() if text.startswith("made")]
    assert len(made) <= 3
    printed(capsys, "POST /v1/query 499 in ")


def test_a_stream_that_fails_half_way_is_broken_off(door: Door) -> None:
    with httpx.stream("POST", door.url, json={"pieces": 2, "fails": True}) as answer:
        assert answer.status_code == 200
        with pytest.raises(httpx.RemoteProtocolError):
            answer.read()


def test_a_stream_over_the_functions_time_is_broken_off(door: Door) -> None:
    started = time.monotonic()
    request = httpx.stream("POST", door.url, json={"pieces": 100, "pause": 0.2}, timeout=20)
    with request as answer, pytest.raises(httpx.RemoteProtocolError):
        answer.read()
    assert 7 < time.monotonic() - started < 18


def test_a_stream_whose_status_is_none_is_a_502_problem(door: Door) -> None:
    answer = httpx.post(door.url, json={"status": "fine"})
    assert answer.status_code == 502
    assert httpx.post(door.url, json={"proxy": True}).status_code == 201


def test_a_client_that_reads_slowly_holds_no_environment(door: Door) -> None:
    with httpx.stream("POST", door.url, json={"megabytes": 40}) as answer:
        pieces = answer.iter_raw()
        read = len(next(pieces))
        assert httpx.post(door.url, json={"proxy": True}, timeout=5).status_code == 201
        assert read + sum(len(piece) for piece in pieces) == 40 * 1024 * 1024


def test_a_client_that_leaves_in_the_middle_of_much_data_frees_the_environment(door: Door) -> None:
    for _ in range(20):
        with httpx.stream("POST", door.url, json={"megabytes": 40}) as answer:
            next(answer.iter_raw())
        assert httpx.post(door.url, json={"proxy": True}, timeout=5).status_code == 201
