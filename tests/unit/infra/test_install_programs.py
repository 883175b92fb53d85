"""`scripts/install-programs`, with stand-ins for the commands that it finds."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from infra.container.sam import ROOT


def run(folder: Path, *names: str, **commands: str) -> subprocess.CompletedProcess[str]:
    """Run the script with `commands` as the only programs on the PATH."""
    for name, script in commands.items():
        command = folder / name.replace("_", "-")
        command.write_text(f"#!/bin/sh\n{script}\n")
        command.chmod(0o755)
    # It looks in /usr/sbin too, where this machine may have nginx.
    text = (ROOT / "scripts" / "install-programs").read_text().replace("/usr/sbin", str(folder))
    (folder / "script").write_text(text)
    bash = shutil.which("bash") or "/bin/bash"
    environ = {"PATH": str(folder), "TMPDIR": str(folder)}
    command_line = [bash, str(folder / "script"), *names]
    return subprocess.run(command_line, env=environ, check=False, capture_output=True, text=True)


@pytest.mark.parametrize("browser", ["chromium", "google_chrome"])
def test_a_program_that_is_there_is_not_installed(tmp_path: Path, browser: str) -> None:
    commands = {browser: "", "apt_get": "exit 1", "id": "echo 0", "promtool": ""}
    done = run(tmp_path, "chromium", "prometheus", **commands)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    "commands", [{"id": "echo 0"}, {"id": "echo 1000", "apt_get": ""}], ids=["system", "user"]
)
def test_what_cannot_be_installed_is_named(tmp_path: Path, commands: dict[str, str]) -> None:
    done = run(tmp_path, "nginx", "prometheus", "chromium", **commands, nginx="")
    assert done.returncode == 1
    assert "prometheus chromium: not found" in done.stderr


def test_a_server_that_is_installed_is_not_started(tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"
    asks = f'echo "$@" >>{tmp_path}/asked; [ "$2" = update ] || {{ {policy}; echo $? >{tmp_path}/started; }}'
    done = run(tmp_path, "nginx", id="echo 0", apt_get=asks, rm='/bin/rm "$@"', chmod='/bin/chmod "$@"')
    assert done.returncode == 0, done.stderr
    assert (
        (tmp_path / "asked").read_text().splitlines()[1].endswith("install -y --no-install-recommends nginx-light")
    )
    assert (tmp_path / "started").read_text() == "101\n"  # the action is forbidden
    assert not policy.exists()


def test_a_failed_installation_says_why(tmp_path: Path) -> None:
    commands = {"rm": '/bin/rm "$@"', "chmod": '/bin/chmod "$@"', "tail": '/usr/bin/tail "$@"'}
    done = run(tmp_path, "prometheus", id="echo 0", apt_get="echo no such mirror; exit 100", **commands)
    assert done.returncode == 1
    assert "no such mirror" in done.stderr


@pytest.mark.parametrize(("ci", "status"), [("true", 2), ("", 0)])
def test_a_program_that_cannot_be_installed_ends_ci_alone(tmp_path: Path, ci: str, status: int) -> None:
    script = tmp_path / "scripts" / "install-programs"
    script.parent.mkdir()
    script.write_text("#!/bin/sh\nexit 1\n")
    script.chmod(0o755)
    command = ["make", "--file", str(ROOT / "Makefile"), "programs"]
    done = subprocess.run(command, cwd=tmp_path, env=os.environ | {"CI": ci}, check=False, capture_output=True)
    assert done.returncode == status
