"""What packages weigh."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks.speed.installed import installed_megabytes
from infra.container.packages import MEGABYTE, packages_megabytes

DOCKERFILE = Path(__file__).parents[3] / "functions" / "ingest" / "Dockerfile"


def install(folder: Path, name: str, megabytes: int, *requires: str) -> None:
    """A package of one file, as pip leaves it."""
    module = name.replace("-", "_")
    information = folder / f"{module}-1.0.dist-info"
    information.mkdir(parents=True)
    (folder / f"{module}.py").write_bytes(bytes(megabytes * MEGABYTE))
    lines = "".join(f"Requires-Dist: {one}\n" for one in requires)
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{lines}")
    (information / "RECORD").write_text(f"{module}.py,,\n")


def test_a_package_weighs_what_it_needs_as_well_and_each_once(tmp_path: Path) -> None:
    install(
        tmp_path, "app", 1, "Lib_One>=1", "lib-two", "tests; extra == 'dev'", "winonly; sys_platform == 'win32'"
    )
    install(tmp_path, "lib-one", 2, "lib-two")
    install(tmp_path, "lib-two", 4, "app")
    install(tmp_path, "tests", 8)
    install(tmp_path, "winonly", 16)
    install(tmp_path, "unrelated", 32)
    assert installed_megabytes(tmp_path, ["app"]) == pytest.approx(1 + 2 + 4)


def test_what_is_not_installed_is_named(tmp_path: Path) -> None:
    with pytest.raises(LookupError, match="torch"):
        installed_megabytes(tmp_path, ["torch"])


def test_a_packages_record_and_libraries_count_to_it(tmp_path: Path) -> None:
    for name, size in {"numpy": 3, "numpy.libs": 2, "numpy-2.0.dist-info": 1, "onnx": 4}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_bytes(bytes(size * MEGABYTE))
    assert packages_megabytes([tmp_path]) == {"numpy": pytest.approx(6), "onnx": pytest.approx(4)}


def test_the_image_is_made_of_what_its_size_is_measured_of() -> None:
    """`build_image_folder` does without Docker what the Dockerfile does: change the two together."""
    text = DOCKERFILE.read_text()
    copied = {
        source for line in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE) for source in line.split()
    }
    assert copied == {
        "functions/ingest/requirements.txt",
        "functions/ingest/requirements-ocr.txt",  # installed only where it is asked for
        "functions/ingest/handler.py",
        "layers/docwell/python/docwell",
        "layers/embedder/model",
        "scripts/settle",
        "scripts/trim-packages",
    }
    commands = [
        " ".join(run.replace("\\\n", " ").split())
        for run in re.findall(r"^RUN ((?:.*\\\n)*.*)$", text, re.MULTILINE)
    ]
    programs = [re.sub(r"^(\w+=\S+ )*", "", part) for run in commands for part in run.split(" && ")]
    assert [" ".join(program.split()[:3]) for program in programs] == [
        "pip install --quiet",
        "python3 /build/trim-packages /packages",
        'case "$OCR" in',
        "python3 -m compileall",
        "python3 /build/settle /packages",
        "python3 -m compileall",
        "python3 /build/settle /code",
    ]
    assert "python3 /build/trim-packages /packages" in programs  # with no package named besides
