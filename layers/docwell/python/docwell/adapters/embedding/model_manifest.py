"""The manifest of an embedding model, which `make model` writes and the embedder reads.

This module imports neither onnxruntime nor numpy, so that `make model` is quick when the model is current.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any

from docwell.errors import ModelDamaged

MODEL_FILE = "model.onnx"
# The form of the model that the query function runs: smaller, faster in onnxruntime, and with 8-bit matrices.
QUESTIONS_FILE = "questions.onnx"
OUTPUT = "sentence_embedding"  # of the model's file: (rows, dimension)
TOKENIZER_FILE = "tokenizer.json"
MANIFEST_FILE = "manifest.json"
# Increase it when the meaning of a field changes, so that an older manifest is rejected and not misread.
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One file beside the manifest."""

    bytes: int
    sha256: str

    @classmethod
    def of(cls, path: Path) -> FileEntry:
        """Return the entry of an existing file."""
        with path.open("rb") as content:
            return cls(path.stat().st_size, file_digest(content, "sha256").hexdigest())


@dataclass(frozen=True, slots=True)
class ModelManifest:
    """The settings that the runtime needs, and the source of the model.

    `max_sequence_length` counts tokens, special tokens included. The graph itself pools (`pooling` is mean or cls)
    and returns unit vectors when `normalize` is true. `prompts` has the prefixes of a query and of a passage,
    often empty. `make model` compares `made_from` to see whether it must build the model again.

    `files` have the model in full precision, which its fingerprint names. `stored` has the files of the same names
    that the folder has in their place: smaller, with vectors of a cosine of 0.9999 or more to those of `files`.
    It also has the query function's form of the model, if its vectors have a cosine of 0.999 or more, and the
    vectors of the router's examples.
    """

    name: str
    revision: str | None
    dimension: int
    pooling: str
    normalize: bool
    max_sequence_length: int
    pad_token_id: int
    prompts: Mapping[str, str]
    files: Mapping[str, FileEntry]
    made_from: Mapping[str, str]
    stored: Mapping[str, FileEntry] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> ModelManifest:
        """Read the manifest of a model folder. Raises `ModelDamaged`."""
        path = folder / MANIFEST_FILE
        try:
            fields = json.loads(path.read_text(encoding="utf-8"))
            if fields.pop("format") != _FORMAT:
                raise ModelDamaged(path, f"not of format {_FORMAT}")
            files = _entries(fields.pop("files"))
            return cls(files=files, stored=_entries(fields.pop("stored", {})), **fields)
        except OSError as error:
            raise ModelDamaged(path, str(error.strerror)) from error
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise ModelDamaged(path, f"not a manifest ({error})") from error

    def write(self, folder: Path) -> None:
        """Write manifest.json; equal manifests give equal bytes."""
        fields = {"format": _FORMAT, **asdict(self)}
        text = json.dumps(fields, indent=2, ensure_ascii=False) + "\n"
        (folder / MANIFEST_FILE).write_text(text, encoding="utf-8")

    def verify(self, folder: Path, without: str | None = None) -> None:
        """Compare each file's size and SHA-256 (about 30 ms for 45 MB), except `without`.

        Raises `ModelDamaged` with a file's name.
        """
        for name, expected in {**self.files, **self.stored}.items():
            if name == without:
                continue
            path = folder / name
            try:
                size = path.stat().st_size
                actual = FileEntry.of(path) if size == expected.bytes else None
            except OSError as error:
                raise ModelDamaged(path, str(error.strerror)) from error
            if actual is None:
                raise ModelDamaged(path, f"expected {expected.bytes} bytes, found {size}")
            if actual != expected:
                raise ModelDamaged(path, f"expected SHA-256 {expected.sha256}, found {actual.sha256}")

    @property
    def fingerprint(self) -> str:
        """A hash (32 hex digits) of everything that can change a vector."""
        parts = {
            "files": {name: entry.sha256 for name, entry in sorted(self.files.items())},
            "pooling": self.pooling,
            "normalize": self.normalize,
            "max_sequence_length": self.max_sequence_length,
            "pad_token_id": self.pad_token_id,
            "prompts": dict(sorted(self.prompts.items())),
        }
        return sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def _entries(fields: Mapping[str, Any]) -> dict[str, FileEntry]:
    return {name: FileEntry(**entry) for name, entry in fields.items()}
