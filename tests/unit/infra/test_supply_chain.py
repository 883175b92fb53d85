"""Nothing is built or deployed from what others can replace: actions, packages and images are named by content."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped] # ships no types

from infra.release import contents, pins
from tests.unit.cases import rows
from tests.unit.infra.templates import TEMPLATES

ROOT = Path(__file__).parents[3]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
EACH_WORKFLOW = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
WITHOUT_HASHES = {"layers/embedder/download/environment.py", "layers/embedder/parity/make_golden.py"}
INSTALL = re.compile(r"""\b(?:pip3?|uv|uvx|pipx)["',]*\s+["']?(?:pip\s+)?install\b|\buvx\b|\bpipx\b|\buv tool\b""")
HASHED = re.compile(r"--require-hashes\b")
WHEELS = re.compile(r"--only-binary\W+:all:|--no-build\b(?!-)|\$no_build\b")
ITSELF = "--no-deps --no-build-isolation --editable ."


def jobs() -> dict[str, dict[str, Any]]:
    """Every job by its workflow and name, with the permissions that it has."""
    result = {}
    for path in WORKFLOWS:
        workflow = yaml.safe_load(path.read_text())
        for name, job in workflow["jobs"].items():
            result[f"{path.name}: {name}"] = {"permissions": workflow["permissions"]} | job
    return result


def commands() -> list[tuple[str, str]]:
    """(file, command) of every command that installs packages, in the files of the repository."""
    names = subprocess.check_output(["git", "ls-files"], cwd=ROOT, text=True).split()
    scripts = [
        name
        for name in names
        if name.startswith((".ci/", ".github/", "scripts/", "functions/", "layers/", "infra/"))
        or name.rsplit("/", 1)[-1] == "Makefile"
    ]
    result = []
    for name in scripts:
        if name.endswith((".pdf", ".npz", ".json")) or not (ROOT / name).is_file():
            continue
        text = re.sub(r"\\\n\s*", " ", (ROOT / name).read_text())
        # A list of Python: the rest of the command follows in the next lines.
        result += [
            (name, text[entry.start() : entry.start() + 250].split("\n\n")[0]) for entry in INSTALL.finditer(text)
        ]
    return result


@EACH_WORKFLOW
def test_every_action_is_a_commit_with_its_version_beside(path: Path) -> None:
    uses = re.findall(r"uses:\s*(\S.*)", path.read_text())
    assert uses
    for entry in uses:
        assert entry.startswith("./.github/") or re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", entry), (
            entry
        )


@EACH_WORKFLOW
def test_a_workflow_grants_nothing_that_a_job_does_not_name(path: Path) -> None:
    assert yaml.safe_load(path.read_text())["permissions"] == {}


def test_a_job_that_builds_has_no_credentials_and_one_with_credentials_runs_no_code_of_a_build() -> None:
    for name, job in jobs().items():
        if any(re.search(r"\bmake\b", step.get("run", "")) for step in job.get("steps", [])):
            assert job["permissions"] == {"contents": "read"}, name
    trusted = {name: job for name, job in jobs().items() if "id-token" in job["permissions"] and "steps" in job}
    assert set(trusted) == {"deploy.yml: provenance", "deploy-stage.yml: deploy"}
    for name, job in trusted.items():
        used = [step.get("uses", "").partition("@")[0] for step in job["steps"]]
        run = " ".join(step.get("run", "") for step in job["steps"])
        assert not re.search(r"\bmake\b|scripts/|sam build|curl[^|]*\|", run), name
        if "actions/checkout" in used:  # all that runs is of the commit: of the build, AWS gets the rest
            assert re.findall(r"tar --extract.*?tar (.*?\.tar)", run) == [".aws-sam ingest-image.tar"]
            assert used.index("actions/checkout") < used.index("actions/download-artifact")


def test_the_deployed_build_is_the_attested_one() -> None:
    steps = jobs()["deploy-stage.yml: deploy"]["steps"]
    order = [step.get("run", step.get("uses", "")).split(" ")[0:3] for step in steps]
    verified = order.index(["gh", "attestation", "verify"])
    assert verified < order.index(["tar", "--extract", "--file"])
    # Packages are installed before the job has credentials.
    names = [step.get("uses", "").partition("@")[0] for step in steps]
    installs = next(index for index, step in enumerate(steps) if "pip install" in step.get("run", ""))
    assert installs < names.index("aws-actions/configure-aws-credentials")


@pytest.mark.parametrize(("deployments", "status", "refused"), rows(__file__, "deployed_commits"))
def test_no_commit_is_deployed_over_a_newer_one(
    tmp_path: Path, deployments: str, status: str, *, refused: int
) -> None:
    (gh := tmp_path / "gh").write_text(f"#!/bin/sh\n[ $2 = graphql ] && echo '{deployments}' || {status}\n")
    gh.chmod(0o755)
    job = jobs()["deploy-stage.yml: deploy"]
    assert job["concurrency"]["queue"] == "max"  # a job that waits is not cancelled by another one
    names = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "GITHUB_REPOSITORY": "o/n",
        "STAGE": "s",
        "GITHUB_SHA": "1",
    }
    script = ["bash", "-e", "-o", "pipefail", "-c", job["steps"][0]["run"]]
    assert subprocess.run(script, env=names, check=False).returncode == refused


def test_every_install_checks_hashes_and_builds_no_package() -> None:
    result = commands()
    files = {"scripts/setup", "scripts/install-for-lambda", "scripts/stand-in.Dockerfile", "Makefile"}
    files |= {"functions/ingest/Dockerfile", "infra/container/sam.py", ".github/workflows/deploy-stage.yml"}
    assert files <= {name for name, _ in result}
    for name, command in result:
        if name in WITHOUT_HASHES or ITSELF in command:
            continue
        assert HASHED.search(command), f"{name}: {command}"
        assert WHEELS.search(command), f"{name}: {command}"


def test_every_image_is_a_parameter_that_a_release_checks() -> None:
    result = (path for folder in ("functions", "runtime") for path in (ROOT / folder).rglob("Dockerfile"))
    dockerfiles = [path.read_text() for path in result]
    assert {entry for text in dockerfiles for entry in re.findall(r"(?m)^FROM (\S+)", text)} == {"${BASE_IMAGE}"}
    assert all(re.findall(r"(?m)^ARG BASE_IMAGE.*", text) == ["ARG BASE_IMAGE"] for text in dockerfiles)
    for path in TEMPLATES:
        named = set(re.findall(r"\b[\w.-]+\.(?:io|aws|com)/[\w./-]+:[\w.-]*\d[\w.@:-]*", path.read_text()))
        assert named <= set(pins.images(ROOT).values()), path.name
        assert "AWS::EC2::Image::Id" not in path.read_text(), path.name
    assert len(pins.images(ROOT)) == 3
    assert len(pins.machine_images(ROOT)) == 2


def test_the_notice_names_every_package_of_the_locks_with_a_licence() -> None:
    locked = {pin for lock in contents.LOCKS.values() for pin in contents.packages(ROOT / lock)}
    stated = re.findall(r"(?m)^([a-z0-9-]+) (\d\S*): (\S.*)$", (ROOT / "NOTICE").read_text())
    assert {(name, version) for name, version, _ in stated} == locked
    assert len(locked) > 50
