"""The time of a search by the number of collections: the same chunks in 5 and in 500, on real Chroma servers.

The first collection has 40% of the chunks; the others share the rest equally. Vectors have 384 dimensions, and
lean to one of 40 topics and to their collection. Recall is the share of the exact nearest 110 chunks that a search
finds. Each search is repeated, and the repetition timed: the function caches the chunks that it has read.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from statistics import fmean
from typing import Self

import numpy as np
from numpy.typing import NDArray

from benchmarks.chroma_corpus import normalized
from benchmarks.faults.chroma import chroma_server
from benchmarks.faults.compare import SHARDS
from benchmarks.speed.options import Options
from docwell.adapters.chroma import ChromaIndex, ChromaServer
from docwell.adapters.chroma_records import Layout
from docwell.models import Chunk, IndexRecord
from docwell.ports import Places
from infra.measuring import Spread, in_turns, ratios
from infra.progress import bar
from infra.report import Report

CHUNKS, SHORT_CHUNKS = 20_000, 2_000
FEW, MANY = 5, 500
NEAREST = 110
_DIMENSION = 384
_TOPICS = 40
_LARGE = 0.4
_BATCH = 200
_CHUNK = Chunk("text " * 160, 1, 0, 800, 160)
# The layout without shards, which is not judged.
_WITHOUT = 0


def measure(report: Report, options: Options) -> None:
    """Fill the indexes, then search them in turns."""
    total, rounds = (SHORT_CHUNKS, 3) if options.short else (CHUNKS, 30)
    layouts = [(FEW, SHARDS), (MANY, SHARDS), *([] if options.short else [(MANY, _WITHOUT)])]
    with ExitStack() as stack, bar("filling", len(layouts) * total // _BATCH) as step:
        indexes = {
            layout: FolderIndex.filled(stack.enter_context(chroma_server()), *layout, total, step)
            for layout in layouts
        }
        _report(report, options, indexes, rounds)


def _report(
    report: Report, options: Options, indexes: Mapping[tuple[int, int], "FolderIndex"], rounds: int
) -> None:
    for scope in ("all", "the large one", "a small one", "a fifth"):
        ways = {str(layout): partial(one.search_ms, scope) for layout, one in indexes.items()}
        with bar(scope, rounds * len(ways)) as step:
            times = in_turns(ways, rounds, step)
        for (count, shards), one in indexes.items():
            name = f"{count} collections, {shards or 'no'} shards, search of {scope}"
            report.add_spread(name, Spread.of(times[str((count, shards))]), "ms")
            report.add(f"{name}: recall", 100 * fmean(one.recalls.pop(scope)), "%", ">= 98" if shards else None)
        if scope == "all":
            growth = ratios(times[str((MANY, SHARDS))], times[str((FEW, SHARDS))])
            report.add_spread(f"search of all: {MANY} collections over {FEW}", growth, "x", options.goal("<= 1.5"))


class FolderIndex:
    """An index that is filled with random chunks, and their vectors for exact search."""

    def __init__(self, index: ChromaIndex, names: list[str], vectors: Mapping[str, NDArray[np.float32]]) -> None:
        self.recalls: dict[str, list[float]] = {}
        self._index = index
        self._scopes: dict[str, Places | None] = {
            "all": None,
            "the large one": {names[0]: None},
            "a small one": {names[-1]: None},
            "a fifth": dict.fromkeys(names[1 : 1 + len(names) // 5]),
        }
        self._vectors = vectors
        self._random = np.random.default_rng(5)

    @classmethod
    def filled(cls, url: str, count: int, shards: int, total: int, step: Callable[[], None]) -> Self:
        """Write the chunks; call `step` for every `_BATCH` of them."""
        layout = Layout("f" * 32, shards)
        index = ChromaIndex(ChromaServer(url, timeout_s=120), layout, kept_passages=NEAREST * SHARDS)
        random = np.random.default_rng(3)
        topics = normalized(random.standard_normal((_TOPICS, _DIMENSION), dtype=np.float32))
        names, written = [f"folder-{number:03}" for number in range(count)], 0
        vectors: dict[str, NDArray[np.float32]] = {}
        for number, name in enumerate(names):
            size = int(total * _LARGE) if number == 0 else int(total * (1 - _LARGE)) // (count - 1)
            own = normalized(random.standard_normal((1, _DIMENSION), dtype=np.float32))
            noise = normalized(random.standard_normal((size, _DIMENSION), dtype=np.float32))
            vectors[name] = normalized(0.6 * topics[random.integers(0, _TOPICS, size)] + 0.35 * own + 0.75 * noise)
            for start in range(0, size, _BATCH):
                rows = enumerate(vectors[name][start : start + _BATCH].tolist(), start)
                records = [
                    IndexRecord(f"{name}-{i}", f"{name}/{i // 50}.pdf", "g", "v", _CHUNK, one) for i, one in rows
                ]
                index.upsert(name, records)
                written += len(records)
                for _ in range(written // _BATCH - (written - len(records)) // _BATCH):
                    step()
        return cls(index, names, vectors)

    def search_ms(self, scope: str) -> float:
        """Return the milliseconds of one search, and keep its recall."""
        places = self._scopes[scope]
        inside = [name for name in self._vectors if places is None or name in places]
        among = np.concatenate([self._vectors[name] for name in inside])
        ids = [f"{name}-{i}" for name in inside for i in range(len(self._vectors[name]))]
        near = among[self._random.integers(0, len(among))]
        asked = normalized(
            near + 0.8 * normalized(self._random.standard_normal((1, _DIMENSION), dtype=np.float32))
        )[0]
        exact = {ids[row] for row in np.argsort(-(among @ asked))[:NEAREST]}
        self._index.search(places, asked.tolist(), NEAREST)
        started = time.perf_counter()
        found = self._index.search(places, asked.tolist(), NEAREST)
        seconds = time.perf_counter() - started
        self.recalls.setdefault(scope, []).append(len(exact & {hit.id for hit in found}) / len(exact))
        return seconds * 1000
