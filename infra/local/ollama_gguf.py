"""What a GGUF file says of itself: the metadata before the tensors.

The layout is that of the GGUF specification, versions 2 and 3 (ggml, docs/gguf.md). Only the header is
read: a few milliseconds, whatever the size of the file.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from pathlib import Path

_MAGIC = b"GGUF"
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
# Names of general.file_type: llama_ftype in llama.h.
_FILE_TYPES = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K", 11: "Q3_K_S",
    12: "Q3_K_M", 13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S", 17: "Q5_K_M", 18: "Q6_K", 32: "BF16",
}  # fmt: skip


class GgufError(ValueError):
    """The file is not a GGUF file that can be read."""


@dataclass(frozen=True, slots=True)
class ModelCard:
    """The facts of one model file. Sizes in bytes; `context_length` in tokens, what it was trained for."""

    metadata: dict[str, Any]
    parameters: int
    file_bytes: int

    @property
    def architecture(self) -> str:
        """The model family, as llama.cpp names it."""
        return str(self.metadata.get("general.architecture", "unknown"))

    @property
    def context_length(self) -> int:
        """Tokens the model was trained to read; 0 where the file does not say."""
        return int(self.metadata.get(f"{self.architecture}.context_length", 0))

    @property
    def quantization(self) -> str:
        """The name of the quantisation, such as Q4_K_M."""
        return _FILE_TYPES.get(self.metadata.get("general.file_type", -1), "unknown")

    @property
    def parameter_size(self) -> str:
        """The number of parameters for people, such as 1.5B."""
        billion = self.parameters / 1e9
        return f"{billion:.1f}B" if billion >= 1 else f"{billion * 1000:.2f}M"


def read_card(path: Path) -> ModelCard:
    """The card of a GGUF file. Raises `GgufError` for another file, `OSError` when it cannot be read."""
    with path.open("rb") as file:
        try:
            if file.read(4) != _MAGIC:
                raise GgufError(f"{path.name} is not a GGUF file")
            version, tensors, entries = struct.unpack("<IQQ", file.read(20))
            if version not in (2, 3):
                raise GgufError(f"{path.name} has GGUF version {version}, which is not known here")
            metadata = {}
            for _ in range(entries):
                key = _string(file)
                metadata[key] = _value(file, *struct.unpack("<I", file.read(4)))
            parameters = sum(_tensor_elements(file) for _ in range(tensors))
        except (struct.error, UnicodeDecodeError, KeyError) as error:
            raise GgufError(f"{path.name} has a damaged GGUF header") from error
    return ModelCard(metadata, parameters, path.stat().st_size)


def _string(file: BinaryIO) -> str:
    (length,) = struct.unpack("<Q", file.read(8))
    return file.read(length).decode()


def _value(file: BinaryIO, kind: int) -> Any:
    if kind == _STRING:
        return _string(file)
    if kind == _ARRAY:
        item, count = struct.unpack("<IQ", file.read(12))
        return [_value(file, item) for _ in range(count)]
    code = _SCALARS[kind]
    return struct.unpack(f"<{code}", file.read(struct.calcsize(code)))[0]


def _tensor_elements(file: BinaryIO) -> int:
    _string(file)
    (dimensions,) = struct.unpack("<I", file.read(4))
    shape = struct.unpack(f"<{dimensions}Q", file.read(8 * dimensions))
    file.read(12)  # the type and the offset
    return math.prod(shape)
