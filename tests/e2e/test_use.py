"""Every fenced `bash` block of the README and of docs/use, as a reader runs it, on the local stack."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import Doors
from tests.e2e.test_documents import pdf

pytestmark = pytest.mark.e2e
ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs" / "use").glob("*.md"))]
# The commands that do not run here, and why. tests/unit/test_docs.py checks their targets and options.
NOT_RUN = {
    "make": "it builds, starts or deploys a stack",
    "source": "the environment is active",
    "ollama": "it needs Ollama",
    "pip": "it installs a package",
    "python": "it needs an MLflow server",
}
# `models check` needs other hosts, `ocr` an installation. Status 4: the small model refuses. 5: too few are right.
SHELL = r"""
set -euo pipefail
docwell() { [[ "$*" =~ ^(models.check|ocr) ]] || command docwell "$@" <<< y || (( $? == 4 || $? == 5 )); }
curl() { command curl --fail-with-body --max-time 150 "$@"; }
"""
ANSWER = "The diesel fuel on site lasts for 72 hours. Invoice 7 is due on 2026-05-01."


@pytest.fixture(scope="module")
def reader(doors: Doors, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """Return a folder with the files that the pages name, and the values for their placeholders."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / ".docwell").symlink_to(doors.stack.data)
    (folder / "examples").symlink_to(ROOT / "examples")
    (folder / "infra" / "parameters").mkdir(parents=True)
    for name in ("papers/new.pdf", "papers/old.pdf", "report.pdf"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(pdf(ANSWER))
    for key in ("reports/site.pdf", "reports/report.pdf", "handbooks/mlops-llmops-handbook.pdf"):
        assert doors.settled(key, doors.put(key, pdf(ANSWER)))["status"] == "INDEXED"
    doors.s3.create_bucket(Bucket="kendra-source")
    doors.s3.put_object(Bucket="kendra-source", Key="handbooks/travel.pdf", Body=pdf("HR signs the travel form."))
    request_id = doors.ask("How long does the diesel fuel on site last?").json()["request_id"]
    values = {"KEY": doors.stack.api_key, "BUCKET": doors.stack.bucket, "REQUEST_ID": request_id}
    return folder, values | {"KENDRA-SOURCE": "kendra-source", "http://127.0.0.1:8080": doors.stack.gateway}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_of_a_page_runs(page: Path, doors: Doors, reader: tuple[Path, dict[str, str]]) -> None:
    folder, values = reader
    fences = re.findall(r"^```(\w*)\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    for text in (text for kind, text in fences if not kind):  # as the page that measures answers has
        (folder / "questions.csv").write_text(text)
    stubs = "".join(f"{name}() {{ :; }}\n" for name in NOT_RUN)
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(folder),
        "BROWSER": "true",
        "DOCWELL_API_KEY": doors.stack.api_key,
        "AWS_ACCESS_KEY_ID": doors.stack.access_key,
        "AWS_SECRET_ACCESS_KEY": doors.stack.secret_key,
        "AWS_DEFAULT_REGION": doors.stack.region,
        "AWS_ENDPOINT_URL": doors.stack.aws_endpoint,
    }
    for block in (text for kind, text in fences if kind == "bash"):
        script = block
        for placeholder, value in values.items():
            script = re.sub(rf"(?<!\w){placeholder}(?!\w)", value, script)
        command = ["bash", "-c", SHELL + stubs + script]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{block}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
