"""`make invoke-…` and `make start-api` when something is missing, and the forwarder for containers."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from threading import Thread

import pytest

from infra.container import forwarder, machine_template, on_stack, sam

ELSEWHERE = "127.0.0.2"  # another address of this machine, like the bridge's


def test_without_a_stack_it_says_to_run_make_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert on_stack.main(["invoke", "query", "health", "--data", str(tmp_path)]) == 1
    assert "make up" in capsys.readouterr().err


def test_an_unknown_event_is_answered_with_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert on_stack.main(["invoke", "query", "nope"]) == 1
    assert "health" in capsys.readouterr().err


def test_an_event_can_be_a_file_of_ones_own(tmp_path: Path) -> None:
    own = tmp_path / "own.json"
    own.write_text("{}")
    assert on_stack.event_file(str(own)) == own
    assert on_stack.event_file("put") == on_stack.EVENTS / "put.json"


def test_a_whole_exchange_passes_through_the_forwarder() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def echo_until_the_end() -> None:
            connection, _ = server.accept()
            with connection, connection.makefile("rb") as file:
                connection.sendall(file.read()[::-1])

        Thread(target=echo_until_the_end, daemon=True).start()
        with (
            forwarder.forwarded(ELSEWHERE, [port]),
            socket.create_connection((ELSEWHERE, port), timeout=10) as client,
        ):
            named = f"Host: {ELSEWHERE}:{port}\r\n"
            for method in ("PUT", "POST"):  # two requests on one connection
                head = f"{method} / HTTP/1.1\r\n{named}Content-Length: 300000\r\n\r\n"
                client.sendall(head.encode() + b"abc" * 100_000)
            client.shutdown(socket.SHUT_WR)  # the answer still arrives
            with client.makefile("rb") as file:
                seen = file.read()[::-1]
    renamed = f"Host: 127.0.0.1:{port}\r\nx-forwarded-host: {ELSEWHERE}:{port}\r\n"
    assert seen.decode() == "".join(
        f"{method} / HTTP/1.1\r\n{renamed}Content-Length: 300000\r\n\r\n{'abc' * 100_000}"
        for method in ("PUT", "POST")
    )


def test_a_web_page_that_rebinds_its_name_gets_nothing_through_the_forwarder() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)
        port = server.getsockname()[1]
        with (
            forwarder.forwarded(ELSEWHERE, [port]),
            socket.create_connection((ELSEWHERE, port), timeout=10) as client,
        ):
            client.sendall(f"GET / HTTP/1.1\r\nHost: evil.example:{port}\r\n\r\n".encode())
            connection, _ = server.accept()
            with connection:
                assert connection.recv(1) == b""


def test_a_forwarder_whose_block_has_ended_listens_no_more() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with forwarder.forwarded(ELSEWHERE, [port]):
            socket.create_connection((ELSEWHERE, port), timeout=10).close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((ELSEWHERE, port), timeout=10)


def test_an_address_that_is_not_this_machines_is_refused_with_what_to_do() -> None:
    with pytest.raises(sam.StepError, match="--address"), forwarder.forwarded("192.0.2.1", [4566]):
        pass


def test_the_template_of_this_machine_takes_variables_that_the_real_one_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = {"Fn::If": ["HasModel", {"Ref": "Model"}, {"Ref": "AWS::NoValue"}]}
    left_out = {"Fn::If": ["HasModel", {"Ref": "AWS::NoValue"}, "unknown"]}
    variables: dict[str, object] = {"KEPT": "1", "GIVEN": chosen, "ABSENT": left_out}
    properties = {"Timeout": 29, "CodeUri": "QueryFunction", "Environment": {"Variables": variables}}
    function = {"Type": "AWS::Serverless::Function", "Properties": properties}
    nested = {
        "Parameters": {"Model": {"Type": "String"}},
        "Conditions": {"HasModel": {"Fn::Not": [{"Fn::Equals": [{"Ref": "Model"}, ""]}]}},
        "Globals": {"Function": {"VpcConfig": {}}},
        "Resources": {machine_template.QUERY: function},
    }
    stack = {"TemplateURL": "QueryStack/template.yaml", "Parameters": {"Model": {"Ref": "ModelName"}}}
    built = {
        "Parameters": {"ModelName": {"Type": "String", "Default": "m"}},
        "Resources": {"QueryStack": {"Type": "AWS::CloudFormation::Stack", "Properties": stack}},
    }
    (tmp_path / "QueryStack").mkdir()
    (tmp_path / "QueryStack" / "template.yaml").write_text(json.dumps(nested))
    monkeypatch.setattr(sam, "BUILD", tmp_path)
    monkeypatch.setattr(sam, "BUILT_TEMPLATE", tmp_path / "template.yaml")
    sam.BUILT_TEMPLATE.write_text(json.dumps(built))
    path = machine_template.write({machine_template.QUERY: {"AWS_ENDPOINT_URL": "http://x"}}, timeout_s=180)
    text = path.read_text()
    assert "AWS_ENDPOINT_URL: http://x" in text
    assert "KEPT: '1'" in text
    assert "Timeout: 180" in text
    assert "Ref: ModelName" in text
    assert "ABSENT" not in text
    assert f"CodeUri: {tmp_path}/QueryStack/QueryFunction" in text
    assert "VpcConfig" not in text
