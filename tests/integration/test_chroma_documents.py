"""Searches in named documents, on a real Chroma server."""

from __future__ import annotations

import numpy as np
import pytest

from docwell.adapters import chroma as chroma_adapter
from docwell.query.retrieval.scope import MOST_ROWS
from tests.integration.quota_proxy import is_hosted
from tests.integration.test_chroma import collection, index, records

pytestmark = pytest.mark.integration
__all__ = ["collection"]


@pytest.mark.parametrize("compared", [5, 4])
def test_a_search_in_one_document_finds_nothing_of_another(
    chroma_url: str, collection: str, compared: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    chroma, asked = index(chroma_url), records(2)[1].vector
    monkeypatch.setattr(chroma_adapter, "_MOST_COMPARED", compared)
    chroma.upsert(collection, records(5) + records(5, document="another.pdf"))
    if compared == 5 and not is_hosted(chroma_url):
        known = chroma._server.opened[chroma._layout.name(collection)]
        monkeypatch.setattr(known, "query", lambda **_: pytest.fail("Chroma searched"))
    cosines = {f"another.pdf-g1-{i}": float(np.dot(one.vector, asked)) for i, one in enumerate(records(5))}
    found = chroma.search({collection: ["another.pdf"]}, asked, 4)
    assert [hit.id for hit in found] == sorted(cosines, key=lambda id_: -cosines[id_])[:4]
    assert [hit.score for hit in found] == pytest.approx([cosines[hit.id] for hit in found], abs=1e-5)


def test_a_search_in_thousands_of_documents_finds_nothing_of_others(chroma_url: str, collection: str) -> None:
    chroma = index(chroma_url)
    chroma.upsert(collection, records(5) + records(5, document="another.pdf"))
    absent = [f"handbooks/2026/absent-{number}.pdf" for number in range(MOST_ROWS - 1)]
    found = chroma.search({collection: [*absent, "another.pdf"]}, records(1)[0].vector, 100)
    assert len(found) == 5
    assert {hit.document for hit in found} == {"another.pdf"}
    assert chroma.search({collection: absent}, records(1)[0].vector, 100) == []
