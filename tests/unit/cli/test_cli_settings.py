"""The sources of the settings and their order."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from docwell.cli.settings import Failure, find_settings
from tests.unit.cli.conftest import Run
from tests.unit.cli.fake_api import FakeApi


def stack_file(folder: Path, pid: int) -> dict[str, Any]:
    stack = {
        "pid": pid,
        "gateway": "http://127.0.0.1:1",
        "aws_endpoint": "http://127.0.0.1:2",
        "bucket": "local-bucket",
        "region": "eu-west-1",
        "access_key": "local",
        "secret_key": "local-secret",
        "chroma": "http://127.0.0.1:3",
        "ollama": "http://127.0.0.1:4",
        "model": "m",
    }
    (folder / ".docwell").mkdir()
    (folder / ".docwell" / "stack.json").write_text(json.dumps(stack))
    return stack


def test_a_flag_wins_over_the_environment_and_that_over_the_file(
    run: Run, api: FakeApi, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def key_sent(*arguments: str) -> str | None:
        assert run("ask", "why?", "--endpoint", api.endpoint, *arguments).exit_code == 0
        _, _, _, api_key = api.requests[-1]
        return api_key

    (tmp_path / "work" / "docwell.toml").write_text('api_key = "file"\n[profiles.other]\napi_key = "profile"')
    assert key_sent() == "file"
    assert key_sent("--profile", "other") == "profile"
    monkeypatch.setenv("DOCWELL_API_KEY", "environment")
    assert key_sent() == "environment"
    assert key_sent("--api-key", "flag") == "flag"


@pytest.mark.parametrize(
    ("name", "value"),
    [("ALL_PROXY", "socks5://127.0.0.1:1"), ("HTTPS_PROXY", "a:b"), ("SSL_CERT_FILE", "/missing.pem")],
)
def test_a_proxy_or_certificates_that_cannot_be_used_are_named(
    run: Run, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    result = run("ask", "why?", "--endpoint", "https://api.example")
    assert result.exit_code == 2
    assert name in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_settings_file_may_begin_with_a_byte_order_mark() -> None:
    Path("docwell.toml").write_text('endpoint = "https://api.example"\n', encoding="utf-8-sig")
    assert find_settings().endpoint == "https://api.example"


def test_a_stack_on_this_machine_brings_its_own_key_along(tmp_path: Path) -> None:
    stack = stack_file(tmp_path, os.getpid())
    assert find_settings().api_key is None  # the stack of an older docwell
    path = tmp_path / ".docwell" / "stack.json"
    path.write_text(json.dumps(stack | {"api_key": "local-key", "principals_table": "t"}))
    found = find_settings()
    assert (found.api_key, found.principals_table) == ("local-key", "t")
    assert find_settings(api_key="mine").api_key == "mine"


def test_the_stack_file_of_another_user_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stack_file(tmp_path, os.getpid())
    monkeypatch.setattr(os, "getuid", lambda: os.geteuid() + 1)
    assert find_settings().bucket is None


def test_the_file_of_the_folder_hides_the_one_of_the_home(tmp_path: Path) -> None:
    home = tmp_path / ".config" / "docwell"
    home.mkdir(parents=True)
    (home / "config.toml").write_text('bucket = "of-home"\nendpoint = "http://home"')
    assert find_settings().bucket == "of-home"
    (tmp_path / "work" / "docwell.toml").write_text('bucket = "of-folder"\nendpoint = "http://folder"')
    assert find_settings().bucket == "of-folder"


def test_a_running_local_stack_is_found_from_a_folder_below_it(tmp_path: Path) -> None:
    stack_file(tmp_path, os.getpid())
    found = find_settings()
    assert (found.endpoint, found.bucket, found.access_key) == ("http://127.0.0.1:1", "local-bucket", "local")
    assert found.local


def test_the_local_stack_lends_nothing_to_a_named_endpoint(tmp_path: Path) -> None:
    stack_file(tmp_path, os.getpid())
    found = find_settings(endpoint="https://deployed")
    assert (found.bucket, found.aws_endpoint, found.access_key, found.local) == (None, None, None, False)


def test_a_stack_that_has_stopped_is_an_error(run: Run, tmp_path: Path) -> None:
    # No system has process ids as high as this.
    stack_file(tmp_path, 2**31 - 2)
    result = run("ask", "why?")
    assert result.exit_code == 1
    assert "no longer runs" in result.stderr
    assert "make up" in result.stderr


def test_without_any_settings_the_error_says_what_to_do(run: Run) -> None:
    result = run("ask", "why?")
    assert result.exit_code == 2
    assert "make up" in result.stderr
    assert "--endpoint" in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("content", ["endpoint = 3", "endpont = 'x'", "not toml", "profiles = 3"])
def test_a_wrong_settings_file_is_named(content: str, tmp_path: Path) -> None:
    (tmp_path / "work" / "docwell.toml").write_text(content)
    with pytest.raises(Failure, match=r"docwell\.toml"):
        find_settings(profile="p" if "profiles" in content else None)


@pytest.mark.parametrize(
    ("arguments", "environment", "says"),
    [
        (["ask", "why?", "--endpoint", "docwell.example"], {}, "--endpoint"),
        (["ask", "why?", "--endpoint", "ftp://docwell.example"], {}, "--endpoint"),
        (["ask", "why?", "--endpoint", "http://[::1"], {}, "--endpoint"),
        (["status", "--endpoint", "docwell.example"], {}, "--endpoint"),
        (["ask", "why?"], {"DOCWELL_DATA": "no-stack-runs-here"}, "DOCWELL_DATA"),
        (["audit"], {"DOCWELL_AUDIT_TABLE": "t"}, "--region"),
        (["put", "a.pdf", "--no-wait", "--bucket", "b"], {"AWS_PROFILE": "none"}, "AWS_PROFILE"),
        (["prompts", "show", "./nope"], {}, "./nope"),
    ],
)
def test_wrong_settings_end_with_2_and_name_what_to_give(
    run: Run, monkeypatch: pytest.MonkeyPatch, arguments: list[str], environment: dict[str, str], says: str
) -> None:
    Path("a.pdf").write_bytes(b"%PDF-1.7")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert says in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("key", ["secret\r", "secret\n", "sec ret", "secr\u00e9t"])
@pytest.mark.parametrize("arguments", [("ask", "why?"), ("status",), ("put", "a.pdf")], ids=" ".join)
def test_a_key_that_no_header_can_have_is_refused_and_not_shown(
    run: Run, api: FakeApi, credentials: None, arguments: tuple[str, ...], key: str
) -> None:
    Path("a.pdf").write_bytes(b"%PDF-1.7")
    Path("docwell.toml").write_text(f"api_key = {json.dumps(key)}" if key.isascii() else "")
    flags = () if key.isascii() else ("--api-key", key)
    result = run(*arguments, *flags, api=api)
    assert result.exit_code == 2, result.output
    assert "DOCWELL_API_KEY" in result.stderr
    assert "sec" not in result.stderr
    assert api.requests == []


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["ask", "caf\udce9?"], "question"),
        (["search", "why?", "--document", "ok", "--document", "\udce9"], "document"),
        (["status", "\udce9"], "key"),
        (["replay", "\udce9"], "request-id"),
        (["rm", "a", "\udce9"], "keys"),
        (["put", "a.pdf", "--key", "\udce9"], "key"),
        (["principals", "revoke", "\udce9"], "id"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_an_argument_in_another_encoding_is_named_before_anything_is_asked(
    run: Run, api: FakeApi, arguments: list[str], name: str
) -> None:
    Path("a.pdf").write_bytes(b"%PDF-1.7")
    result = run(*arguments, api=api)
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith(f"docwell: {name} is not UTF-8")
    assert api.requests == []
