"""`python -m infra.local`: the check of settings, `down`, and the address of Ollama."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import httpx
import psutil
import pytest

from infra.local import __main__ as command
from infra.local.keys import private_folder, write_private
from infra.local.names import HOST, ROOT
from infra.local.stack import Stack, StackOptions, model_host, plan, wrong_settings
from infra.local.supervisor import locked, remove_temporary
from tests.unit.adapters.model_hosts import VLLM, Host, whole
from tests.unit.cases import rows

pytestmark = pytest.mark.usefixtures("no_settings")


def stack(tmp_path: Path) -> Stack:
    return plan(StackOptions(tmp_path, port=0), "http://ollama", Path)[0]


@pytest.mark.parametrize("arguments", [["up"], ["up", "--port"], ["demo"]])
def test_a_wrong_setting_or_a_taken_port_is_named_before_anything_is_started(
    tmp_path: Path, arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DOCWELL_MAX_TOP_K", "many")
    with socket.create_server((HOST, 0)) as server:
        port = str(server.getsockname()[1]) if arguments == ["up", "--port"] else None
        given = [*arguments, *([port] if port else []), "--data", str(tmp_path / "data")]
        monkeypatch.setattr(sys, "argv", ["local", *given])
        assert command.main() == 2
    errors = capsys.readouterr().err
    assert "DOCWELL_MAX_TOP_K: Input should be a valid integer" in errors
    assert (f"port {port} is taken" in errors) is bool(port)
    assert not (tmp_path / "data").exists()


def test_a_temporary_file_that_stays_keeps_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("temporary", "a"):
        (tmp_path / name).write_text(str(tmp_path))
    monkeypatch.setattr(os, "unlink", unlink := Mock(side_effect=[PermissionError, None]))
    remove_temporary(tmp_path)
    assert unlink.call_count == 2


NAMESPACE = """
import fcntl, os, socket, sys
from infra.local.chroma_server import hidden_address
if sys.argv[1] == "without":
    fcntl.ioctl = lambda *_: os.close(-1)  # raises OSError
with socket.create_server((hidden_address(), 0)) as server:
    socket.create_connection(server.getsockname(), 5).close()
"""


@pytest.mark.parametrize("loopback", ["with", "without"])
def test_chroma_is_reached_whether_or_not_a_namespace_has_a_loopback(loopback: str) -> None:
    assert subprocess.run([sys.executable, "-c", NAMESPACE, loopback], cwd=ROOT, check=False).returncode == 0


def test_down_stops_no_process_that_reuses_the_pid_of_a_dead_supervisor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with subprocess.Popen(["sleep", "60"]) as stranger:
        replace(stack(tmp_path), pid=stranger.pid).write()
        (temporary := tmp_path / "temporary").mkdir()
        write_private(private_folder(tmp_path / "logs") / "temporary", str(temporary))
        monkeypatch.setattr(sys, "argv", ["local", "down", "--data", str(tmp_path)])
        assert command.main() == 0
        assert "ended already" in capsys.readouterr().out
        assert not temporary.exists()
        assert stranger.poll() is None
        with locked(tmp_path):
            assert command.main() == 0
        assert not psutil.pid_exists(stranger.pid)


@pytest.mark.parametrize(("host", "expected"), rows(__file__, "model_hosts"))
def test_the_start_finds_a_host_at_the_address_that_people_paste_and_refuses_a_wrong_one(
    host: str, expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = {f"{expected}/models": '{"data": [{"id": "m"}]}', str(expected): "Ollama is running"}
    pages[f"{expected}/api/tags"] = '{"models": [{"name": "m"}]}'

    def get(url: str, **_: object) -> httpx.Response:
        text = pages.get(url)
        return httpx.Response(200 if text else 404, text=text or "", request=httpx.Request("GET", url))

    monkeypatch.setattr(httpx, "get", get)
    if expected:
        assert model_host(host, "m") == expected
    else:
        with pytest.raises(LookupError, match="no model host at"):
            model_host(host, "m")


@pytest.mark.parametrize("address", ["{}", "{}/v1"])
def test_a_host_of_openais_protocol_is_found_by_asking(address: str) -> None:
    host = Host(whole("200 OK", VLLM.card))
    assert model_host(address.format(host.url), "m") == f"{host.url}/v1"
    with pytest.raises(LookupError, match="it has m, other: choose with LLM=NAME"):
        model_host(address.format(host.url), "absent")
    host.close()
    none, refused = ("200 OK", "it has no model: choose"), ("401 Unauthorized", "set DOCWELL_OLLAMA_TOKEN")
    for status, message in (none, refused, ("500 Error", r"no model host at .* \(status 500\)")):
        host = Host(whole(status, {"data": None}))
        with pytest.raises(LookupError, match=message):
            model_host(address.format(host.url), "m")
        host.close()


def test_documents_are_deleted_only_after_a_yes(tmp_path: Path) -> None:
    documents = tmp_path / ".docwell" / "aws"
    documents.mkdir(parents=True)

    def fails(*arguments: str) -> int:
        make = ["make", "--file", str(ROOT / "Makefile"), *arguments]
        return subprocess.run(make, cwd=tmp_path, input="", text=True, capture_output=True, check=False).returncode

    assert not fails("clean")
    assert fails("clean-data")
    assert documents.exists()
    assert not fails("clean-data", "CONFIRM=1")
    assert not documents.exists()


@pytest.mark.parametrize("value", ["", "0", "2.5", "15s", "inf", "nan", "-5"])
def test_the_seconds_to_the_first_token_are_a_number(
    value: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DOCWELL_FIRST_TOKEN_S", value)
    wrong = wrong_settings(StackOptions(tmp_path, "smollm2:135m"))
    assert any("DOCWELL_FIRST_TOKEN_S" in problem for problem in wrong) is (value not in ("", "0", "2.5"))
