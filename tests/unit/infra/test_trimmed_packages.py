"""Parts that scripts/trim-packages removes from packages: no module that stays imports them."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import botocore
import chromadb
import httpx
import pytest
from botocore.regions import EndpointResolver

DATA = Path(botocore.__file__).parent / "data"
SCRIPT = Path(__file__).parents[3] / "scripts" / "trim-packages"
# Imports of removed modules that docwell does not reach: pydantic's, for classes of its version 1.
UNREACHED = {"pydantic._internal._generate_schema"}


def imports(path: Path, name: str) -> Iterator[str]:
    """Yield the names of modules, and of what may be modules, that a module imports anywhere."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = name.split(".")[: -node.level] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from (base, *(f"{base}.{alias.name}" for alias in node.names))


@pytest.mark.parametrize("package", ["aws_lambda_powertools", "dateutil", "pydantic"])
def test_no_module_that_stays_imports_a_removed_one(package: str) -> None:
    spec = find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    folder = Path(spec.origin).parent
    patterns = re.findall(rf'^    "{package}/(.+)",$', SCRIPT.read_text(encoding="utf-8"), re.MULTILINE)
    removed = {path for pattern in patterns for path in folder.glob(pattern)}
    names = {".".join([package, *path.relative_to(folder).parts]).split(".cpython")[0] for path in removed}
    names = {name.removesuffix(".py") for name in names}
    result = set()
    for path in folder.rglob("*.py"):
        if not removed & {path, *path.parents}:
            name = ".".join([package, *path.relative_to(folder).with_suffix("").parts])
            if any(port in names or port.rpartition(".")[0] in names for port in imports(path, name)):
                result.add(name)
    assert result <= UNREACHED


@pytest.fixture(scope="module")
def trimmed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with chromadb, httpx and three services of botocore, trimmed."""
    folder = tmp_path_factory.mktemp("trimmed")
    for package in (chromadb, httpx):
        source = Path(str(package.__file__)).parent
        shutil.copytree(source, folder / source.name, ignore=shutil.ignore_patterns("test*"))
    retained = folder / "botocore" / "data"
    for name in ("s3", "sqs", "iam"):
        shutil.copytree(DATA / name, retained / name)
    shutil.copy(DATA / "endpoints.json", retained)
    subprocess.run([sys.executable, SCRIPT, folder], check=True)
    return folder


@pytest.mark.parametrize("region", ["eu-central-1", "us-gov-west-1", "cn-north-1", "eu-south-2", "xx-new-1"])
def test_a_service_keeps_its_endpoints_in_every_region(trimmed: Path, region: str) -> None:
    before, after = (
        EndpointResolver(json.loads((data / "endpoints.json").read_bytes()))
        for data in (DATA, trimmed / "botocore" / "data")
    )
    for service in ("s3", "sqs", "dynamodb", "sts", "secretsmanager"):
        assert after.construct_endpoint(service, region) == before.construct_endpoint(service, region)


def test_chromadbs_client_needs_only_the_version_of_its_package_and_no_command_line(trimmed: Path) -> None:
    code = (
        "import sys; from docwell.adapters.chroma import ChromaServer; import chromadb;"
        "ChromaServer('http://127.0.0.1:9');"
        "print(chromadb.__version__, sys.modules.keys() & {'chromadb.api.async_client', 'click'} or '')"
    )
    path = os.pathsep.join(map(str, (trimmed, *filter(None, sys.path))))
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": path}, text=True, capture_output=True, check=True
    )
    assert done.stdout.split() == [chromadb.__version__]
