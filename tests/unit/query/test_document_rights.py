"""Rights at each write: a caller changes only documents that it may see, and learns of no other one."""

from __future__ import annotations

from contextlib import suppress
from unittest.mock import Mock

from hypothesis import given
from hypothesis import strategies as st

from docwell.errors import DocwellError
from docwell.identity import Principal, Rule
from docwell.models import Attributes, DocumentRecord, Status, collection_of
from docwell.query.documents import delete_document, upload_forms
from docwell.query.retrieval.scope import may_see, may_see_record

NAMES = st.sampled_from(["legal", "hr"])
TAGS = st.dictionaries(st.just("team"), NAMES)
KEYS = st.builds("{}/{}.pdf".format, NAMES, st.sampled_from(["a", "b"]))
RULES = st.builds(
    Rule, st.none() | NAMES, st.sampled_from(["", "legal/a"]), TAGS.map(lambda tags: frozenset(tags.items()))
)
PRINCIPALS = st.builds(
    Principal,
    st.just("key:k"),
    collections=st.none() | st.frozensets(NAMES),
    rules=st.frozensets(RULES, max_size=2),
    writable=st.none() | st.frozensets(NAMES),
)


def records(key: str, tags: dict[str, str]) -> DocumentRecord:
    live = Attributes(tags=tags)
    return DocumentRecord(key, Status.INDEXED, live_generation="g", live_version="v", live_attributes=live)


def may(door: object, *arguments: object) -> bool:
    with suppress(DocwellError):
        door(*arguments)  # type: ignore[operator]
        return True
    return False


@given(PRINCIPALS, KEYS, TAGS, TAGS)
def test_a_caller_replaces_and_deletes_only_what_it_sees_by_the_tags_of_the_ledger_and_of_the_bucket(
    principal: Principal, key: str, tags: dict[str, str], now: dict[str, str]
) -> None:
    there = records(key, tags)
    sees = may_see_record(principal, there) and principal.may_write(collection_of(key))
    bucket = Mock(current=Mock(return_value=("etag", now)))
    assert may(delete_document, bucket, None, principal, there) == (sees and may_see(principal, key, now))
    if may(upload_forms, Mock(), None, principal, [(key, 1, "", Attributes(tags=tags))]):
        assert sees
        assert may_see_record(principal, records(key, {}))  # the upload, whatever its tags
