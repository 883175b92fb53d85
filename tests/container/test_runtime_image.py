"""The image of `runtime/` runs its three commands as Kubernetes would: no rights, a read-only root, /tmp."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from benchmarks.scale_out import RANGE_PAGES, new_site
from benchmarks.speed import index
from infra.container import sam
from infra.local.ports import answers, free_port
from infra.local.stack import Part, Stack
from tests.container.test_containers import PAGES
from tests.e2e.test_documents import pdf

pytestmark = pytest.mark.container

Site = tuple[Stack, Part]
IMAGE = "docwell-runtime-test"
# The limits that the chart sets.
LIMITS = ["--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]


@pytest.fixture(scope="module")
def image() -> Iterator[str]:
    command = ["docker", "build", "--quiet", "--file", "runtime/Dockerfile", "--tag", IMAGE]
    done = subprocess.run(
        [*command, "--build-arg", f"BASE_IMAGE={sam.BASE_IMAGE}", "."],
        cwd=sam.ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    yield IMAGE
    subprocess.run(["docker", "rmi", "--force", IMAGE], check=False, capture_output=True)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with new_site(0, RANGE_PAGES) as (stack, part, _):
        yield stack, part


def options(variables: dict[str, str]) -> list[str]:
    """Return the options of `docker run`. The servers listen on loopback addresses only, as on one machine."""
    values = [part for name, value in variables.items() for part in ("--env", f"{name}={value}")]
    return [*LIMITS, "--network", "host", *values]


def settings(site: Site, **more: str) -> dict[str, str]:
    """Return the variables of the local stack's worker, without this machine's paths."""
    local = {name: value for name, value in site[1].environment.items() if name.startswith(("DOCWELL_", "AWS_"))}
    del local["DOCWELL_MODEL_DIR"]
    return local | more


@contextmanager
def running(image: str, variables: dict[str, str], command: str) -> Iterator[str]:
    """Run a command until the end of the block; yield the container's id. It must end with 0 after SIGTERM."""
    health = f"http://127.0.0.1:{variables['DOCWELL_HEALTH_PORT']}/readyz"
    arguments = ["docker", "run", "--detach", *options(variables), image, command]
    id_ = subprocess.check_output(arguments, text=True).strip()
    try:
        deadline = time.monotonic() + 60
        while not answers(health):
            assert time.monotonic() < deadline, logs(id_)
            time.sleep(0.2)
        yield id_
        subprocess.run(["docker", "stop", "--time", "30", id_], check=True, capture_output=True)
        status = ["docker", "inspect", "--format", "{{.State.ExitCode}}", id_]
        assert subprocess.check_output(status, text=True).strip() == "0", logs(id_)
    finally:
        subprocess.run(["docker", "rm", "--force", id_], check=False, capture_output=True)


def logs(id_: str) -> str:
    done = subprocess.run(["docker", "logs", id_], check=False, text=True, stdout=-1, stderr=subprocess.STDOUT)
    return str(done.stdout)


def test_the_worker_indexes_an_upload_and_reconcile_finds_nothing_to_do(image: str, site: Site) -> None:
    with running(image, settings(site, DOCWELL_HEALTH_PORT=str(free_port())), "ingest") as id_:
        indexed = index(site[0], {"house/boiler.pdf": pdf(*PAGES)}, 120)
        assert indexed.not_indexed == [], logs(id_)
    command = ["docker", "run", "--rm", *options(settings(site)), image, "reconcile"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"complete": true' in done.stdout


def test_the_server_answers_and_refuses_a_caller_without_a_key(image: str, site: Site) -> None:
    port = free_port()
    ports = {"DOCWELL_PORT": str(port), "DOCWELL_HEALTH_PORT": str(free_port())}
    with running(image, settings(site, **ports), "query") as id_:
        url = f"http://127.0.0.1:{port}"
        assert httpx.get(f"{url}/v1/health", timeout=60).status_code == 200, logs(id_)
        answer = httpx.post(f"{url}/v1/query", json={"question": "What freezes?"}, timeout=60)
        assert answer.status_code == 401, logs(id_)
