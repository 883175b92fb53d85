"""The builds are for Lambda's processor, reproducible, and free of build-only files."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import IO, cast

import pytest

from infra.container import packages, sam

pytestmark = pytest.mark.container

# In SAM's folder, on the same file system: a zip lists files in the file system's order.
AGAIN = sam.ROOT / "build" / "container" / "again"
SECOND_IMAGE = "docwell-ingest-built-again:latest"
# sam's packer, as in `sam deploy`.
ZIP = """
import hashlib, sys
from samcli.lib.package.utils import make_zip_with_lambda_permissions, zip_folder
with zip_folder(sys.argv[1], make_zip_with_lambda_permissions) as (path, _):
    print(hashlib.sha256(open(path, "rb").read()).hexdigest())
"""
AARCH64 = (
    183  # e_machine in the header of an ELF file: https://refspecs.linuxfoundation.org/elf/gabi4+/ch4.eheader.html
)
COMPILERS = {"cc", "gcc", "g++", "c++", "cc1", "clang", "ld", "make", "cargo", "rustc"}


def zip_hash(folder: Path) -> str:
    python = sam.SAM.with_name("python")
    return subprocess.check_output([python, "-c", ZIP, folder], text=True, env=sam.variables()).strip()


@contextmanager
def exported(image: str) -> Iterator[tarfile.TarFile]:
    """Stream the whole file system of an image."""
    name = subprocess.check_output(["docker", "create", image, "x"], text=True).strip()
    try:
        with subprocess.Popen(["docker", "export", name], stdout=subprocess.PIPE) as export:
            with tarfile.open(fileobj=cast("IO[bytes]", export.stdout), mode="r|") as tar:
                yield tar
            assert export.wait() == 0
    finally:
        subprocess.run(["docker", "rm", name], check=True, capture_output=True)


def files(image: str) -> dict[str, tuple[object, ...]]:
    """Mode, owner, link and content of each path of an image."""
    result: dict[str, tuple[object, ...]] = {}
    with exported(image) as tar:
        for member in tar:
            content = tar.extractfile(member) if member.isreg() else None
            digest = sha256(content.read()).hexdigest() if content else None
            result[member.name] = (member.mode, member.uid, member.gid, member.linkname, digest)
    return result


@pytest.fixture(scope="module")
def image() -> dict[str, tuple[object, ...]]:
    return files(sam.INGEST_IMAGE)


@pytest.mark.parametrize("name", packages.ZIPS)
def test_building_again_gives_the_same_zip(name: str) -> None:
    folder = AGAIN / name
    shutil.rmtree(folder, ignore_errors=True)
    packages.build_zip(name, folder)
    assert zip_hash(folder) == zip_hash(sam.artefact(name))
    shutil.rmtree(folder)


def test_building_again_gives_the_same_image(image: dict[str, tuple[object, ...]]) -> None:
    command = ["docker", "build", "--quiet", "--no-cache", "--file", "functions/ingest/Dockerfile"]
    command += ["--build-arg", f"BASE_IMAGE={sam.BASE_IMAGE}", "--tag", SECOND_IMAGE, "."]
    subprocess.run(command, cwd=sam.ROOT, check=True, capture_output=True)
    again = files(SECOND_IMAGE)
    subprocess.run(["docker", "rmi", SECOND_IMAGE], check=True, capture_output=True)
    assert "var/task/docwell/ingest/__pycache__/ingest.cpython-313.pyc" in image
    assert {path for path in image | again if image.get(path) != again.get(path)} == set()


def test_the_image_adds_to_its_base_what_the_function_runs_and_nothing_else(
    image: dict[str, tuple[object, ...]],
) -> None:
    base = files(sam.BASE_IMAGE)
    changed = {path for path in image if image[path] != base.get(path)}
    assert {path for path in changed if not path.startswith("var/task/")} == set()
    names = {path.rsplit("/", 1)[-1] for path in changed}
    assert not names & COMPILERS
    assert not {name for name in names if name.endswith((".whl", ".a", ".h", ".c", ".pyx", ".lock", ".pyi"))}


def test_the_image_names_a_user_without_rights() -> None:
    command = ["docker", "image", "inspect", "--format", "{{.Config.User}}", sam.INGEST_IMAGE]
    user = subprocess.check_output(command, text=True).strip()
    assert user.partition(":")[0].isdigit()
    assert user.partition(":")[0] != "0"


def test_the_embedder_layer_for_arm64_has_wheels_for_it_whatever_builds_it(tmp_path: Path) -> None:
    command = ["scripts/install-for-lambda", "layers/embedder/requirements.txt", str(tmp_path / "python")]
    subprocess.run(command, cwd=sam.ROOT, env=os.environ | {"DOCWELL_ARCH": "arm64"}, check=True)
    libraries = [path for path in tmp_path.rglob("*") if ".so" in path.suffixes and path.is_file()]
    assert {"onnxruntime", "numpy", "tokenizers"} <= {path.relative_to(tmp_path).parts[1] for path in libraries}
    for path in libraries:
        with path.open("rb") as file:
            magic, machine = struct.unpack("<4s14xH", file.read(20))
        assert (magic, machine) == (b"\x7fELF", AARCH64), path
