from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
import uvicorn

from docwell.http.console_links import ORIGIN_HEADER
from infra.local.gateway import Gateway
from runtime.functions import FunctionPool, FunctionSpec
from runtime.gateway import MAX_BODY_BYTES

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    environment = {"PYTHONPATH": str(Path(__file__).parent)}
    spec = FunctionSpec("toy_functions.proxy", environment, timeout_s=3, on_line=lambda _: None)
    pool = FunctionPool(spec, concurrency=1, max_waiting=1)
    server = uvicorn.Server(uvicorn.Config(Gateway(pool).app, log_level="warning"))
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=server.run, args=([door],))
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{door.getsockname()[1]}"
        server.should_exit = True
        thread.join()
    pool.close()


def test_the_function_gets_a_rest_proxy_event(url: str) -> None:
    answer = httpx.post(
        f"{url}/v1/query?a=1&a=2&b=x%20y", json={"question": "é"}, headers=[("X-Two", "1"), ("X-Two", "2")]
    )
    event = answer.json()
    assert (event["httpMethod"], event["path"], event["resource"]) == ("POST", "/v1/query", "/{proxy+}")
    assert event["pathParameters"] == {"proxy": "v1/query"}
    assert event["queryStringParameters"] == {"a": "2", "b": "x y"}
    assert event["multiValueQueryStringParameters"] == {"a": ["1", "2"], "b": ["x y"]}
    assert event["multiValueHeaders"]["X-Two"] == ["1", "2"]
    assert event["headers"]["X-Two"] == "2"
    assert event["body"] == '{"question":"é"}'
    assert event["isBase64Encoded"] is False
    assert event["requestContext"]["identity"]["sourceIp"] == "127.0.0.1"
    assert event["requestContext"]["requestId"] == answer.headers["x-amzn-requestid"]


def test_the_function_learns_the_consoles_address_from_the_gateway_alone(url: str) -> None:
    event = httpx.get(f"{url}/v1/usage", headers={ORIGIN_HEADER: "https://evil.example"}).json()
    assert (event["headers"]["X-Docwell-Origin"], event["multiValueHeaders"]["X-Docwell-Origin"]) == (url, [url])


def test_an_encoded_path_arrives_as_it_was_sent(url: str) -> None:
    path = "/v1/documents/a%2Fb%20%25%C3%A9+c.pdf"
    event = httpx.get(url + path).json()
    assert event["path"] == path
    assert event["pathParameters"] == {"proxy": path[1:]}
    assert event["queryStringParameters"] is None


def test_status_headers_and_cookies_come_back(url: str) -> None:
    answer = httpx.get(f"{url}/x")
    assert (answer.status_code, answer.headers["x-one"]) == (201, "1")
    assert answer.headers.get_list("set-cookie") == ["a=1", "b=2"]


def test_a_binary_answer_and_a_binary_body_are_base64_on_the_way(url: str) -> None:
    assert httpx.get(f"{url}/binary").content == b"\x00\x01\xff"
    event = httpx.post(f"{url}/x", content=b"\xff\xfe").json()
    assert (event["body"], event["isBase64Encoded"]) == ("//4=", True)


def test_a_malformed_answer_of_the_function_is_a_502_problem(url: str) -> None:
    answer = httpx.get(f"{url}/malformed")
    assert answer.status_code == 502
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_function_over_its_time_is_a_504_problem(url: str) -> None:
    answer = httpx.get(f"{url}/slow", timeout=20)
    assert answer.status_code == 504
    assert answer.json()["status"] == 504


@pytest.mark.parametrize("size", [MAX_BODY_BYTES + 1, 1_000_000, 30_000_000])
def test_a_body_over_the_firewalls_limit_is_a_413_problem(url: str, size: int) -> None:
    assert httpx.post(f"{url}/x", content=b"x" * size).status_code == 413


def test_each_request_of_the_api_counts_and_a_file_of_the_console_does_not(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in ("/v1/health", "/malformed", "/index.html"):
        httpx.get(f"{url}{path}")
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    lines = [one["message"] for one in printed if one.get("level") == "INFO"]
    assert [line.split(" in ")[0] for line in lines] == [
        "GET /v1/health 201",
        "GET /malformed 502",
        "GET /index.html 200",
    ]
    good, bad = (one for one in printed if "_aws" in one)
    assert (good["Count"], good["4XXError"], good["5XXError"]) == (1, 0, 0)
    assert (bad["Count"], bad["4XXError"], bad["5XXError"]) == (1, 0, 1)
    assert good["Latency"] > 0


def test_more_callers_than_may_wait_are_told_429_with_retry_after(url: str) -> None:
    httpx.get(f"{url}/warm")
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda _: httpx.get(f"{url}/busy", timeout=20), range(4)))
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses == [201, 201, 429, 429]
    assert all(answer.headers["retry-after"] == "5" for answer in answers if answer.status_code == 429)
