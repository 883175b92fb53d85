"""`python -m infra.local`: the check of settings, and the hints once the stack is up."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import httpx
import psutil
import pytest
import yaml  # type: ignore[import-untyped] # ships no types

from docwell.cli.failure import Failure
from docwell.cli.settings import find_settings
from docwell.query.costs import cost, load_prices
from infra.local import __main__ as command
from infra.local import prometheus
from infra.local.names import HOST, ROOT
from infra.local.stack import Stack, StackOptions, outside_ollama, plan, wrong_settings
from infra.local.supervisor import held
from layers.embedder.download.environment import is_current, mark_current


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("DOCWELL_")]:
        monkeypatch.delenv(name)


def stack(tmp_path: Path) -> Stack:
    return plan(StackOptions(tmp_path, port=0), "http://ollama", Path)[0]


@pytest.mark.parametrize("arguments", [["up"], ["up", "--no-follow"], ["demo"]])
def test_a_wrong_setting_is_named_before_anything_is_started(
    tmp_path: Path, arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DOCWELL_MAX_TOP_K", "many")
    monkeypatch.setattr(sys, "argv", ["local", *arguments, "--data", str(tmp_path / "data")])
    assert command.main() == 2
    assert "DOCWELL_MAX_TOP_K: Input should be a valid integer" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


def test_settings_of_every_function_are_looked_at_and_each_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("DOCWELL_CHUNK_TOKENS", "DOCWELL_MAX_RECEIVES", "DOCWELL_MIN_SUPPORT", "DOCWELL_BEGIN_BELOW")
    for name in names:
        monkeypatch.setenv(name, "-7")
    assert sorted(problem.partition(":")[0] for problem in wrong_settings(StackOptions(tmp_path))) == sorted(names)


def test_what_the_stack_sets_itself_may_be_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DOCWELL_CHROMA_URL", "DOCWELL_OLLAMA_URL", "DOCWELL_DEADLINE_S"):
        monkeypatch.setenv(name, "nonsense")
    monkeypatch.setenv("DOCWELL_TOP_K", "7")
    assert wrong_settings(StackOptions(tmp_path)) == []


def test_a_webhook_has_its_part_and_needs_a_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def names() -> set[str]:
        return {part.name for part in plan(StackOptions(tmp_path, port=0), "http://ollama", Path)[1]}

    assert "events" not in names()
    monkeypatch.setenv("DOCWELL_WEBHOOK_URL", "https://example.org/hook")
    assert "events" in names()
    (problem,) = wrong_settings(StackOptions(tmp_path))
    assert problem.startswith("DOCWELL_WEBHOOK_SECRET: ")


@pytest.mark.parametrize("on_path", [False, True])
def test_the_activation_is_shown_when_docwell_is_not_on_the_path(
    tmp_path: Path,
    on_path: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    (programs / "docwell").touch(mode=0o755)
    monkeypatch.setattr(sys, "executable", str(programs / "python"))
    monkeypatch.setenv("PATH", str(programs) if on_path else "")
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.chdir(tmp_path)
    one = stack(tmp_path)
    command._addresses(one)
    said = capsys.readouterr().out
    assert said.count("\n  source .venv/bin/activate\n") == (0 if on_path else 1)
    assert "\n  docwell put FILE.pdf\n" in said
    assert f"x-api-key: {one.api_key}" in said
    assert f"\n  {one.gateway}/#key={one.api_key}\n" in said
    assert "\n  docwell ask " in said


def test_the_commands_that_are_printed_for_another_data_folder_find_its_stack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "with a space"
    one = stack(data)
    one.write()
    command._addresses(one)
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "DOCWELL_DATA" in line]
    name, _, value = shlex.split(line)[1].partition("=")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert find_settings().endpoint is None
    monkeypatch.setenv(name, value)
    found = find_settings()
    assert (found.endpoint, found.api_key, found.local) == (one.gateway, one.api_key, True)
    monkeypatch.setenv(name, str(tmp_path))
    with pytest.raises(Failure, match="no local stack"):
        find_settings()


def test_the_commands_that_are_printed_are_whole_for_folders_with_any_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "it's a $HOME of é"
    monkeypatch.setattr(sys, "executable", str(folder / "bin" / "python"))
    assert shlex.split(str(command._activation())) == ["source", str(folder / "bin" / "activate")]
    stopping = "python -m infra.local down"
    assert shlex.split(command._stopping(folder)) == [*stopping.split(), "--data", str(folder)]
    assert command._stopping(command.DEFAULT_DATA) == stopping


@pytest.mark.parametrize("arguments", [["up"], ["up", "--no-follow"], ["down"]])
def test_a_data_folder_that_cannot_be_used_is_named(
    tmp_path: Path, arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    data = tmp_path / "file" / "data"
    monkeypatch.setattr(sys, "argv", ["local", *arguments, "--data", str(data)])
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    assert command.main() == (0 if arguments == ["down"] else 1)
    said = capsys.readouterr()
    assert str(data) in said.out + said.err


def make(folder: Path, *arguments: str) -> int:
    command = ["make", "--file", str(ROOT / "Makefile"), *arguments]
    return subprocess.run(command, cwd=folder, input="", text=True, capture_output=True, check=False).returncode


def test_a_first_start_installs_before_it_builds_also_with_several_jobs_and_a_blank_in_the_path(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "with a blank"
    scripts = folder / "scripts"
    scripts.mkdir(parents=True)
    (scripts / "install-programs").write_text("#!/bin/sh\n")
    python = "mkdir -p .venv/bin && echo '#!/bin/sh' > .venv/bin/python && chmod +x .venv/bin/python"
    (scripts / "setup").write_text(f"#!/bin/sh\nsleep 0.3\n{python}\n")
    for script in scripts.iterdir():
        script.chmod(0o755)
    for target in ("test", "infra", "up"):
        assert make(folder, "-j4", target) == 0
        shutil.rmtree(folder / ".venv")


def test_the_processes_keep_their_bytecode_where_the_shell_forbids_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    (tmp_path / "scripts").mkdir()
    setup = tmp_path / "scripts" / "setup"
    setup.write_text("#!/bin/sh\nenv > variables\n")
    setup.chmod(0o755)
    assert make(tmp_path, "dev") == 0
    assert "PYTHONDONTWRITEBYTECODE" not in (tmp_path / "variables").read_text()


def test_a_clone_that_was_moved_or_copied_gets_an_environment_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / "python"
    programs = "for name in python uv; do echo '#!/bin/sh' > .venv/bin/$name; chmod +x .venv/bin/$name; done"
    python.write_text(f'#!/bin/sh\n[ "$2" != venv ] || {{ mkdir -p .venv/bin && {programs}; }}\n')
    python.chmod(0o755)
    monkeypatch.setenv("PYTHON", str(python))
    first, copy, beside = (tmp_path / f"a {name}" for name in ("first", "copy", "worktree"))
    for name in ("scripts", "requirements"):
        shutil.copytree(ROOT / name, first / name)
    shutil.copy(ROOT / "pyproject.toml", first)

    def setup(folder: Path) -> bool:
        """Whether it made an environment."""
        command = [str(folder / "scripts" / "setup"), "local"]
        return "making .venv" in subprocess.run(command, capture_output=True, text=True, check=True).stdout

    shutil.copytree(first, beside)
    assert (setup(first), setup(first)) == (True, False)
    shutil.copytree(first, copy)
    assert (setup(copy), setup(copy), setup(first)) == (True, False, False)
    (beside / ".venv").symlink_to(first / ".venv")
    assert not setup(beside)
    first.rename(tmp_path / "moved")
    assert setup(tmp_path / "moved")


def test_an_environment_of_a_moved_clone_is_not_current(tmp_path: Path) -> None:
    lock, first, moved = tmp_path / "lock.txt", tmp_path / "first", tmp_path / "moved"
    lock.write_text("a==1")
    first.mkdir()
    assert not is_current(first, lock)
    mark_current(first, lock)
    assert is_current(first, lock)
    first.rename(moved)
    assert not is_current(moved, lock)
    mark_current(moved, lock)
    lock.write_text("a==2")
    assert not is_current(moved, lock)


def test_documents_are_deleted_after_a_yes_alone(tmp_path: Path) -> None:
    documents = tmp_path / ".docwell" / "aws"
    documents.mkdir(parents=True)
    (tmp_path / "build").mkdir()
    assert make(tmp_path, "clean") == 0
    assert not (tmp_path / "build").exists()
    assert documents.exists()
    assert make(tmp_path, "clean-data") != 0
    assert documents.exists()
    assert make(tmp_path, "clean-data", "CONFIRM=1") == 0
    assert not documents.exists()


def test_down_leaves_alone_a_process_that_has_the_number_of_a_dead_supervisor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with subprocess.Popen(["sleep", "60"]) as stranger:
        replace(stack(tmp_path), pid=stranger.pid).write()
        monkeypatch.setattr(sys, "argv", ["local", "down", "--data", str(tmp_path)])
        assert command.main() == 0
        assert "ended already" in capsys.readouterr().out
        assert stranger.poll() is None
        with held(tmp_path):
            assert command.main() == 0
        assert not psutil.pid_exists(stranger.pid)


def test_a_commit_is_checked_as_make_pr_checks() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    assert [(hook["entry"], hook["pass_filenames"]) for hook in hooks] == [("make lint", False)]
    assert re.search(r"^pr: lint", (ROOT / "Makefile").read_text(), re.MULTILINE)


def gateway_environment(tmp_path: Path, ollama: str | None) -> Mapping[str, str]:
    _, parts = plan(StackOptions(tmp_path, port=0), ollama, lambda: tmp_path / "model.gguf")
    return next(part.environment for part in parts if part.name == "gateway")


def test_the_model_on_this_machine_gets_short_prompts_and_costs_nothing(tmp_path: Path) -> None:
    environment = gateway_environment(tmp_path, None)
    assert environment["DOCWELL_PASSAGE_TOKENS"] == "350"
    prices = load_prices(Path(environment["DOCWELL_PRICES"]))
    assert cost(prices, model_host_s=20.0, function_s=21.0).amount == 0


def test_an_outside_model_host_gets_the_whole_budget_and_has_a_price(tmp_path: Path) -> None:
    environment = gateway_environment(tmp_path, "http://gpu-host:11434")
    assert not {"DOCWELL_PASSAGE_TOKENS", "DOCWELL_PRICES"} & set(environment)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("gpu", "http://gpu:11434"),
        ("gpu:9", "http://gpu:9"),
        ("http://gpu/", "http://gpu:11434"),
        ("0.0.0.0:9", f"http://{HOST}:9"),
        ("[::1]", "http://[::1]:11434"),
        ("http://gpu/ollama", "http://gpu:11434/ollama"),
        ("https://gpu", "https://gpu"),
        ("https://gpu/ollama", "https://gpu/ollama"),
        ("", None),
        ("gpu:port", None),
        ("http://[::1", None),
        ("http://gpu\n", "http://gpu:11434"),
    ],
)
def test_a_host_of_ollama_is_asked_at_its_address_and_never_ends_the_start(
    host: str, expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def get(url: str, **_: object) -> httpx.Response:
        request = httpx.Request("GET", url)
        return httpx.Response(200, json={"models": [{"name": "m"}]}, request=request)

    monkeypatch.setattr(httpx, "get", get)
    monkeypatch.setenv("OLLAMA_HOST", host)
    assert outside_ollama("m") == expected


class Listing(BaseHTTPRequestHandler):
    """A host of Ollama and an S3 that know one name each."""

    def do_GET(self) -> None:
        body = b'{"models": [{"name": "m"}]}'
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_the_users_proxy_is_not_asked_for_what_is_on_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for one in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(one, raising=False)
    monkeypatch.setenv(name, f"http://{HOST}:9")  # nothing listens there
    with ThreadingHTTPServer((HOST, 0), Listing) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://{HOST}:{server.server_address[1]}"
        monkeypatch.setenv("OLLAMA_HOST", url)
        assert outside_ollama("m") == url
        here = replace(stack(tmp_path), aws_endpoint=url, gateway=url)
        assert here.client("s3").get_object(Bucket="b", Key="k")["Body"].read().startswith(b'{"models"')
        assert here.http(5).get("/").status_code == 200
        server.shutdown()


def test_the_user_may_set_the_length_of_prompts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCWELL_PASSAGE_TOKENS", "800")
    assert gateway_environment(tmp_path, None)["DOCWELL_PASSAGE_TOKENS"] == "800"


def test_observe_needs_prometheus_before_anything_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(prometheus, "installed", lambda: False)
    monkeypatch.setattr(sys, "argv", ["local", "up", "--observe", "--data", str(tmp_path / "data")])
    assert command.main() == 2
    assert "apt-get install prometheus" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


def test_prometheus_is_a_part_only_when_asked_for(tmp_path: Path) -> None:
    stack, parts = plan(StackOptions(tmp_path, port=0), "http://ollama", Path, "http://127.0.0.1:1")
    assert (stack.metrics, stack.prometheus) == ("http://127.0.0.1:1", "")
    assert "prometheus" not in {part.name for part in parts}
    stack, parts = plan(StackOptions(tmp_path, port=0, observe=True), "http://ollama", Path, stack.metrics)
    (part,) = (part for part in parts if part.name == "prometheus")
    assert part.url == f"{stack.prometheus}/-/ready"
    assert f"--web.listen-address={stack.prometheus.removeprefix('http://')}" in part.command
