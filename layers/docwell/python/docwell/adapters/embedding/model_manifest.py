"""The manifest and the thresholds of an embedding model, which `make model` writes and the functions read.

This module imports neither onnxruntime nor numpy, so that `make model` is quick when the model is current.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, field
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar

from pydantic import BaseModel, Field, TypeAdapter, ValidationError, model_validator
from pydantic.dataclasses import dataclass

from docwell.config import plain
from docwell.errors import ModelDamaged

MODEL_FILE = "model.onnx"
# The form of the model that the query function runs: smaller, faster in onnxruntime, and with 8-bit matrices.
QUESTIONS_FILE = "questions.onnx"
OUTPUT = "sentence_embedding"  # of the model's file: (rows, dimension)
TOKENIZER_FILE = "tokenizer.json"
MANIFEST_FILE = "manifest.json"
# `make model` copies it from layers/embedder/calibration. The manifest leaves it out: a new threshold needs no new
# index.
CALIBRATION_FILE = "calibration.json"
# The vectors of the router's examples, in 16 bits: as exact as the model's weights. Embedding 200 of these 320
# short texts took two fifths of a cold start of the query function.
EXAMPLES_FILE = "examples.npy"
# The name of the texts' digest in the manifest's facts.
EXAMPLES = "examples"

_Content = TypeVar("_Content")


def _read(path: Path, content: type[_Content]) -> _Content:
    """Return the content of a JSON file. Raises `ModelDamaged`, with the names of wrong fields."""
    try:
        return TypeAdapter(content).validate_json(path.read_bytes())
    except OSError as error:
        raise ModelDamaged(path, str(error.strerror)) from error
    except ValidationError as error:
        problems = (f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors())
        raise ModelDamaged(path, "; ".join(map(plain, problems))) from error


@dataclass(frozen=True)
class FileEntry:
    """One file beside the manifest."""

    bytes: int
    sha256: str

    @classmethod
    def of(cls, path: Path) -> FileEntry:
        """Return the entry of an existing file."""
        with path.open("rb") as content:
            return cls(path.stat().st_size, file_digest(content, "sha256").hexdigest())


@dataclass(frozen=True, config={"extra": "forbid"})
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
    # Increase it when the meaning of a field changes, so that an older manifest is rejected and not misread.
    format: Literal[1] = 1

    @classmethod
    def read(cls, folder: Path) -> ModelManifest:
        """Read the manifest of a model folder. Raises `ModelDamaged`."""
        return _read(folder / MANIFEST_FILE, cls)

    def write(self, folder: Path) -> None:
        """Write manifest.json; equal manifests give equal bytes."""
        text = json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"
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
            **{
                name: getattr(self, name)
                for name in ("pooling", "normalize", "max_sequence_length", "pad_token_id")
            },
            "prompts": dict(sorted(self.prompts.items())),
        }
        return sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def digest_of(texts: Sequence[str]) -> str:
    """Return 16 hex digits that name these texts in this order."""
    return sha256("\0".join(texts).encode()).hexdigest()[:16]


Cosine = Annotated[float, Field(ge=-1, le=1)]
# A cosine from -1 to 1, plus or minus the weights of `docwell.query.retrieval.ranking`, rounded up.
Fit = Annotated[float, Field(ge=-2, le=2, strict=True)]


class Threshold(BaseModel, frozen=True, extra="forbid"):
    """The gate's threshold (None: all pass), and the one if the model knows only the question's language."""

    min_fit: Fit | None = None
    min_fit_abroad: Fit | None = None


class ModelCalibration(BaseModel, frozen=True, extra="forbid"):
    """The thresholds of one model. Missing ones keep the defaults, which are those of all-MiniLM-L6-v2.

    `foreign` has the cosines between which a passage in another language supports a sentence from not at all to
    fully; None where the model compares no languages. `language` is the only language that the model knows; None
    for a multilingual model.
    """

    foreign: tuple[Cosine, Cosine] | None = None
    gate: Threshold = Threshold()
    language: Literal["en"] | None = None

    @model_validator(mode="after")
    def _rises(self) -> Self:
        if self.foreign and self.foreign[0] >= self.foreign[1]:
            raise ValueError("the first cosine of foreign must be under the second")
        return self

    @classmethod
    def read(cls, folder: Path) -> ModelCalibration:
        """Return the thresholds of a model folder; without the file there are none. Raises `ModelDamaged`."""
        path = folder / CALIBRATION_FILE
        return _read(path, cls) if path.exists() else cls()
