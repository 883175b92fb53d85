"""The sizes of packages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from infra.container.packages import MEGABYTE, packages_megabytes, record_megabytes

DOCKERFILE = Path(__file__).parents[3] / "functions" / "ingest" / "Dockerfile"


def test_a_packages_record_and_libraries_count_to_it(tmp_path: Path) -> None:
    for name, size in {"numpy": 3, "numpy.libs": 2, "numpy-2.0.dist-info": 1, "onnx": 4}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_bytes(bytes(size * MEGABYTE))
    assert packages_megabytes([tmp_path]) == {"numpy": pytest.approx(6), "onnx": pytest.approx(4)}


def test_the_image_is_made_of_what_its_size_is_measured_of() -> None:
    """`build_image_folder` repeats the Dockerfile without Docker: change the two together."""
    text = DOCKERFILE.read_text()
    copied = {
        source for line in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE) for source in line.split()
    }
    assert copied == {
        "functions/ingest/requirements.txt",
        "functions/ingest/requirements-ocr.txt",  # OCR is optional
        "functions/ingest/handler.py",
        "functions/ingest/start.py",
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
        "rm -f /code/model/questions.onnx",
        "python3 -m compileall",
        "python3 /build/settle /code",
    ]
    assert "python3 /build/trim-packages /packages" in programs  # no other package is named


def test_a_packages_folders_are_those_that_its_record_names(tmp_path: Path) -> None:
    for name in ("PIL", "pillow.libs", "numpy", "pillow-13.0.dist-info"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_bytes(bytes(MEGABYTE))
    record = "PIL/file,sha256=x,1\npillow.libs/file,,\n../../bin/tool,,\npillow-13.0.dist-info/RECORD,,\n"
    (tmp_path / "pillow-13.0.dist-info" / "RECORD").write_text(record)
    assert record_megabytes(tmp_path, ["pillow"]) == pytest.approx(3, abs=0.01)
    with pytest.raises(KeyError):
        record_megabytes(tmp_path, ["lxml"])
