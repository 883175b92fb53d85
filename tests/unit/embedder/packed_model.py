"""Write a tiny model in the format of multilingual-e5-small's package."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

HIDDEN, LAYERS, HEADS, INNER, POSITIONS = 32, 2, 2, 64, 16
PIECES = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
PIECES += [("▁", -4.0), ("▁lease", -3.0), ("le", -3.5), ("as", -3.5), ("e", -4.5), ("é", -5.0), (":", -2.0)]
PIECES += [("▁query", -3.0), ("▁passage", -3.0), ("租", -6.0), ("<mask>", 0.0)]
_MATRICES = {"q": (HIDDEN, HIDDEN), "k": (HIDDEN, HIDDEN), "v": (HIDDEN, HIDDEN), "ao": (HIDDEN, HIDDEN)}
_MATRICES |= {"fi": (INNER, HIDDEN), "fo": (HIDDEN, INNER)}


def write(path: Path) -> dict[str, NDArray[np.float32]]:
    """Write the file, and return every weight unpacked, by the file's names."""
    random = np.random.default_rng(1)
    tensors: dict[str, tuple[bool, bytes, NDArray[np.float32]]] = {}

    def plain(name: str, *shape: int, mean: float = 0) -> None:
        values = random.normal(mean, 0.1, shape).astype(np.float32)
        tensors[name] = (False, values.tobytes(), values)

    def packed(name: str, rows: int, width: int, spread: float = 0.05) -> None:
        nibbles = random.integers(0, 16, (rows, width // 32, 32), dtype=np.uint8)
        scales = random.normal(0, spread, (rows, width // 32, 1)).astype(np.float16)
        halves = nibbles[..., :16] | nibbles[..., 16:] << 4
        content = np.concatenate([scales.view(np.uint8), halves], axis=-1).tobytes()
        values = (nibbles.astype(np.float32) - 8) * scales.astype(np.float32)
        tensors[name] = (True, content, values.reshape(rows, width))

    packed("emb.word", len(PIECES) + 3, HIDDEN, spread=0.5)
    plain("emb.pos", POSITIONS, HIDDEN)
    plain("emb.type", 2, HIDDEN)
    names = ["emb.ln"]
    for layer in range(LAYERS):
        for part, (rows, width) in _MATRICES.items():
            packed(f"l{layer}.{part}.w", rows, width)
            plain(f"l{layer}.{part}.b", rows)
        names += [f"l{layer}.aln", f"l{layer}.oln"]
    for name in names:
        plain(f"{name}.w", HIDDEN, mean=1)
        plain(f"{name}.b", HIDDEN)
    path.write_bytes(_file(tensors))
    return {name: values for name, (_, _, values) in tensors.items()}


def _file(tensors: dict[str, tuple[bool, bytes, Any]]) -> bytes:
    text = [piece.encode() for piece, _ in PIECES]
    head = b"E5S1" + struct.pack("<I", 1)
    head += struct.pack("<7i", HIDDEN, LAYERS, HEADS, INNER, len(PIECES) + 3, POSITIONS, 2)
    head += struct.pack("<fi5iQ", 1e-12, 32, len(PIECES), 0, 2, 1, 3, sum(map(len, text)))
    head += np.cumsum([0, *map(len, text)]).astype("<u4").tobytes()
    head += np.array([score for _, score in PIECES], "<f4").tobytes() + b"".join(text)
    table = struct.pack("<IBI", ord("\n"), 1, ord(" "))
    head += struct.pack("<iI", 1, len(table)) + table + struct.pack("<i", len(tensors))
    start = len(head) + sum(2 + len(name) + 21 for name in tensors)
    for name, (is_packed, content, values) in tensors.items():
        head += struct.pack("<H", len(name)) + name.encode()
        head += struct.pack("<BIQQ", is_packed, values.size, start, len(content))
        start += len(content)
    return head + b"".join(content for _, content, _ in tensors.values())
