"""Why a question was missed, with the passages that came in place of the right one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.retrieval.measures import normal, overlap
from benchmarks.retrieval.sets import Asked
from docwell.models import Passage

WRONG_DOCUMENT = "wrong document"
OUT_RANKED = "out-ranked in the right document"
CUT = "cut by the chunker"
NOT_EXTRACTED = "not extracted"
_SHOWN_CHARACTERS = 160


@dataclass(frozen=True, slots=True)
class Miss:
    """One question that was missed, why, and what came instead."""

    asked: Asked
    cause: str
    passages: tuple[Passage, ...]

    def as_text(self) -> str:
        """For people."""
        places = ", ".join(f"{key} page {page}" for key, page in sorted(self.asked.pages)) or self.asked.key
        lines = [f"{self.asked.text}", f"  {self.cause}; the answer is in {places}"]
        for number, one in enumerate(self.passages, 1):
            text = " ".join(one.chunk.text.split())[:_SHOWN_CHARACTERS]
            lines.append(f"  {number}. {one.document} page {one.chunk.page_start} ({one.score:.2f}): {text}")
        return "\n".join(lines)


def cause(asked: Asked, passages: Sequence[Passage], all_chunks: Sequence[Passage]) -> str:
    """Why none of the passages answers. `all_chunks` are those of the whole set."""
    own = [one for one in all_chunks if one.document == asked.key]
    if asked.spans:
        spans = [(one.chunk.start, one.chunk.end) for one in own]
        if any(not overlap(spans, [reference]) for reference in asked.spans):
            return NOT_EXTRACTED
        whole = any(start <= a and b <= end for a, b in asked.spans for start, end in spans)
    else:
        on_page = [one.chunk.text for one in own if (one.document, one.chunk.page_start) in asked.pages]
        wanted = normal(asked.answer or "")
        if not on_page or wanted not in normal("".join(on_page)):
            return NOT_EXTRACTED
        # Without the answer's words (FinanceBench) nobody can tell whether a chunk has all of it.
        whole = any(wanted in normal(text) for text in on_page)
    if not whole:
        return CUT
    return OUT_RANKED if any(one.document == asked.key for one in passages) else WRONG_DOCUMENT


def table(misses: Sequence[Miss]) -> list[tuple[str, int]]:
    """How many misses each cause has, the most first."""
    return Counter(miss.cause for miss in misses).most_common()
