"""The rights of a principal are about what a document is now."""

from __future__ import annotations

from docwell.identity import Principal, Rule
from docwell.models import Attributes, DocumentRecord, Status
from docwell.query.retrieval.scope import may_see_record

PUBLIC = Principal("key:public", rules=frozenset({Rule("hr", tags=frozenset({("public", "yes")}))}))


def record(observed: str) -> DocumentRecord:
    return DocumentRecord(
        "hr/plan.pdf",
        Status.PENDING,
        version="v2",
        title="the title of v2",
        live_version="v1",
        live_generation="g1",
        live_attributes=Attributes(tags={"public": "yes"}),
        observed_version=observed,
        observations=1,
    )


def test_the_tags_of_a_replaced_version_give_no_right_to_its_successor() -> None:
    assert may_see_record(PUBLIC, record("v1"))
    assert not may_see_record(PUBLIC, record("v2"))
