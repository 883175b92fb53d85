"""A model folder whose file is a smaller form of the one that the fingerprint names."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from docwell.adapters.embedding.model_manifest import MODEL_FILE, FileEntry, ModelManifest
from docwell.errors import ModelDamaged


def test_a_smaller_form_has_the_same_fingerprint_and_is_verified_as_itself(tmp_path: Path) -> None:
    path = tmp_path / MODEL_FILE
    path.write_bytes(b"full precision")
    full = ModelManifest("m", None, 4, "mean", True, 8, 0, {}, {MODEL_FILE: FileEntry.of(path)}, {})
    path.write_bytes(b"half")
    replace(full, stored={MODEL_FILE: FileEntry.of(path)}).write(tmp_path)
    read = ModelManifest.read(tmp_path)
    read.verify(tmp_path)
    assert read.fingerprint == full.fingerprint
    path.write_bytes(b"full precision")
    with pytest.raises(ModelDamaged):
        read.verify(tmp_path)
