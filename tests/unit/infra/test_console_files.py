"""The console's files as the local gateway serves them."""

from __future__ import annotations

import pytest
from starlette.requests import Request

from infra.console_page import POLICY
from infra.local.gateway import console_file


def request(path: str, method: str = "GET") -> Request:
    scope = {"type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": b""}
    return Request({**scope, "headers": [(b"host", b"127.0.0.1")], "scheme": "http", "server": ("127.0.0.1", 80)})


@pytest.mark.parametrize(
    ("path", "type_"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/app.js", "text/javascript; charset=utf-8"),
        ("/vendor/pdf.worker.min.mjs", "text/javascript; charset=utf-8"),
        ("/strings/en.json", "application/json"),
        ("/style.css", "text/css; charset=utf-8"),
    ],
)
def test_a_file_comes_with_its_type_and_the_policy(path: str, type_: str) -> None:
    response = console_file(request(path))
    assert response is not None
    assert response.headers["content-type"] == type_
    assert response.headers["content-security-policy"] == POLICY
    assert response.headers["x-content-type-options"] == "nosniff"
    assert len(response.body) > 100


@pytest.mark.parametrize(
    "path",
    ["/index.html/", "/../pyproject.toml", "/strings/../../README.md", "//etc/passwd", "/v1/query", "/vendor"],
)
def test_no_other_path_is_a_file(path: str) -> None:
    assert console_file(request(path)) is None
