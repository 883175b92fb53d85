"""The console's files as the gateways serve them."""

from __future__ import annotations

import pytest
from starlette.requests import Request

from runtime.console_page import POLICY, console_file


def request(path: str, method: str = "GET") -> Request:
    scope = {"type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": b""}
    return Request({**scope, "headers": [(b"host", b"127.0.0.1")], "scheme": "http", "server": ("127.0.0.1", 80)})


@pytest.mark.parametrize(("path", "type_"), [("/", "text/html"), ("/vendor/pdf.min.mjs", "text/javascript")])
def test_a_file_comes_with_its_type_and_the_policy(path: str, type_: str) -> None:
    response, on_kubernetes = console_file(request(path)), console_file(request(path), "https://files.example")
    assert response is not None
    assert on_kubernetes is not None
    assert "connect-src 'self' https://files.example;" in on_kubernetes.headers["content-security-policy"]
    assert response.headers["content-type"] == f"{type_}; charset=utf-8"
    assert response.headers["content-security-policy"] == POLICY


@pytest.mark.parametrize(
    "path", ["/index.html/", "/../pyproject.toml", "/strings/../../README.md", "//etc/passwd", "/v1/query"]
)
def test_no_other_path_is_a_file(path: str) -> None:
    assert console_file(request(path)) is None
