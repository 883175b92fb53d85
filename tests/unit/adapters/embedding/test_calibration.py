from __future__ import annotations

import json
from pathlib import Path

import pytest

from docwell.adapters.embedding.model_manifest import CALIBRATION_FILE, ModelCalibration, Threshold
from docwell.errors import ModelDamaged
from layers.embedder import build_model
from tests.unit.adapters.embedding import tiny_model
from tests.unit.cases import rows

COMMITTED = sorted((Path(build_model.__file__).parent / "calibration").glob("*.json"))


def read(folder: Path, content: object) -> ModelCalibration:
    (folder / CALIBRATION_FILE).write_text(json.dumps(content))
    return ModelCalibration.read(folder)


def test_a_folder_without_the_file_keeps_the_defaults(tmp_path: Path) -> None:
    assert ModelCalibration.read(tmp_path) == ModelCalibration(foreign=None, gate=Threshold(min_fit=None))


@pytest.mark.parametrize(("content", "message"), rows(__file__, "wrong_calibrations"))
def test_a_wrong_file_is_refused_with_the_name_of_the_field(tmp_path: Path, content: object, message: str) -> None:
    with pytest.raises(ModelDamaged, match=message) as refused:
        read(tmp_path, content)
    assert str(tmp_path / CALIBRATION_FILE) in refused.value.detail
    assert "make model" in refused.value.detail


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"gate": {"min_fit": NaN'])
def test_a_file_that_is_no_json_is_refused_with_its_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / CALIBRATION_FILE).write_bytes(content)
    with pytest.raises(ModelDamaged, match=CALIBRATION_FILE):
        ModelCalibration.read(tmp_path)


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.stem)
def test_every_committed_file_is_valid(path: Path, tmp_path: Path) -> None:
    found = read(tmp_path, json.loads(path.read_text("utf-8")))
    assert found != ModelCalibration()


def test_a_build_brings_the_thresholds_of_its_model_and_removes_those_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build_model, "_CALIBRATIONS", tmp_path / "calibrations")
    (tmp_path / "calibrations").mkdir()
    source = tmp_path / "calibrations" / "one.json"
    out = tmp_path / "out"
    for threshold in (0.5, 0.6):  # the second time, the model itself is current
        source.write_text(json.dumps({"gate": {"min_fit": threshold}}))
        tiny_model.build(tiny_model.write(tmp_path / "One"), out)
        assert ModelCalibration.read(out).gate == Threshold(min_fit=threshold)
    tiny_model.build(tiny_model.write(tmp_path / "other", layers=1), out)
    assert not (out / CALIBRATION_FILE).exists()
