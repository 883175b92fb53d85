"""Only its user can use a local stack: every port that it opens, its keys and its files."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import httpx
import psutil
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from infra.local.keys import Keys
from infra.local.stack import Stack

from .local_parts import toy_stack

pytestmark = pytest.mark.integration
_PAGES = [
    {"Host": "evil.example"},
    {"Host": "evil.example:8080"},
    {"Host": "127.0.0.1.evil.example"},
    {"Origin": "http://evil.example"},
    {"Origin": "http://localhost:3000"},
    {"Origin": "null"},
]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    data = tmp_path_factory.mktemp("stack") / "data"
    with toy_stack(data) as (running, _):
        yield running


def listening(stack: Stack) -> set[tuple[str, int]]:
    """Return the address of every socket on which the stack listens."""
    result: set[tuple[str, int]] = set()
    for process in psutil.Process(stack.pid).children(recursive=True):
        try:
            sockets: list[Any] = [entry.laddr for entry in process.net_connections() if entry.status == "LISTEN"]
            result |= {(connection.ip, connection.port) for connection in sockets}
        except psutil.NoSuchProcess:
            continue
    return result


def test_the_stack_listens_on_loopback_addresses_alone(stack: Stack) -> None:
    result = listening(stack)
    assert len(result) >= 5  # gateway, AWS server, Chroma and its proxy, a function's runtime API
    assert all(address.startswith("127.") for address, _ in result)


@pytest.mark.parametrize("headers", _PAGES)
def test_every_port_refuses_web_pages(stack: Stack, headers: dict[str, str]) -> None:
    for address, port in listening(stack):
        if sys.platform == "linux" and address != "127.0.0.1":
            continue  # Chroma itself, on an address that no page can guess
        for method in ("GET", "POST", "OPTIONS"):
            answer = httpx.request(method, f"http://127.0.0.1:{port}/", headers=headers, trust_env=False)
            assert answer.status_code == 403, (port, method)
            assert not [name for name in answer.headers if name.startswith("access-control")]


def test_chroma_needs_the_token(stack: Stack) -> None:
    url = f"{stack.chroma}/api/v2/tenants/default_tenant/databases/default_database/collections"
    assert httpx.get(url, trust_env=False).status_code == 401
    assert httpx.get(url, headers={"Authorization": "Bearer x"}, trust_env=False).status_code == 401
    token = {"Authorization": f"Bearer {stack.chroma_token}"}
    assert httpx.get(url, headers=token, trust_env=False).json() == []


def test_chroma_does_not_listen_on_an_address_that_a_page_can_guess(stack: Stack) -> None:
    if sys.platform != "linux":
        pytest.skip("other systems have one loopback address")
    for address, port in listening(stack):
        if address == "127.0.0.1":
            answer = httpx.get(f"http://{address}:{port}/api/v2/heartbeat", trust_env=False)
            assert "nanosecond heartbeat" not in answer.text


def test_a_function_is_called_with_the_keys_of_the_stack_alone(stack: Stack) -> None:
    path = f"/2015-03-31/functions/{stack.reconcile_function}/invocations"
    assert httpx.post(f"{stack.gateway}{path}", json={}, trust_env=False).status_code == 403
    another: Any = boto3.Session("other", "other", region_name="us-east-1")
    once = Config(retries={"total_max_attempts": 1})
    with pytest.raises(ClientError, match="AccessDenied"):
        another.client("lambda", endpoint_url=stack.gateway, config=once).invoke(
            FunctionName=stack.reconcile_function
        )
    with pytest.raises(ClientError, match="ResourceNotFound"):
        stack.client("lambda").invoke(FunctionName="no-such-function")


def test_each_data_folder_has_its_own_keys_and_keeps_them(tmp_path: Path) -> None:
    entry, again, another = Keys.of(tmp_path / "a"), Keys.of(tmp_path / "a"), Keys.of(tmp_path / "b")
    assert entry == again
    assert not set(entry.__dict__.values()) & set(another.__dict__.values())
    assert all(len(value) >= 20 for value in entry.__dict__.values())


def test_a_folder_that_others_use_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "of others").touch()
    tmp_path.chmod(0o755)
    Keys.of(tmp_path)
    assert tmp_path.stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "keys.json").stat().st_mode & 0o777 == 0o600
    of_an_older_stack = tmp_path / "data"
    of_an_older_stack.mkdir(mode=0o755)
    (of_an_older_stack / "stack.lock").touch()
    Keys.of(of_an_older_stack)
    assert of_an_older_stack.stat().st_mode & 0o777 == 0o700


def test_the_data_are_the_users_alone(stack: Stack) -> None:
    stack.client("s3").put_object(Bucket=stack.bucket, Key="a.pdf", Body=b"x")
    data = Path(stack.data)
    assert data.stat().st_mode & 0o777 == 0o700
    shared = [path for path in data.rglob("*") if path.stat().st_mode & 0o077]
    assert shared == []
    assert (data / "aws" / "objects").is_dir()
    assert (data / "logs" / "aws.log").is_file()
