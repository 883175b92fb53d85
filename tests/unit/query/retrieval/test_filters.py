"""Filters on documents."""

from __future__ import annotations

from typing import Any

import pytest

from docwell.models import MAX_TAGS, Attributes, bounded, day_of
from docwell.query.retrieval.scope import Filter
from tests.unit.query.query_world import rows

KEY = "reports/2026/flood.pdf"
SAID = Attributes(
    title="Flood defences of the Straße",
    author="Ada Example",
    created="2026-03-01",
    metadata={"team": "rivers"},
    tags={"Stage": "final", "year": "2026"},
)


@pytest.mark.parametrize("wanted", rows("matched"))
def test_a_document_matches_when_every_condition_holds(wanted: dict[str, Any]) -> None:
    assert Filter(**wanted).matches(KEY, SAID)


@pytest.mark.parametrize("wanted", rows("unmatched"))
def test_a_document_does_not_match_when_one_condition_fails(wanted: dict[str, Any]) -> None:
    assert not Filter(**wanted).matches(KEY, SAID)


@pytest.mark.parametrize(
    "wanted", [{"title": "a"}, {"author": "a"}, {"created_from": "0001-01-01"}, {"created_to": "9999-12-31"}]
)
def test_a_document_without_an_attribute_matches_no_condition_on_it(wanted: dict[str, Any]) -> None:
    assert not Filter(**wanted).matches(KEY, Attributes())


@pytest.mark.parametrize(("prefix", "left"), rows("prefixes"))
def test_only_collections_in_which_a_key_can_begin_so_are_looked_at(prefix: str, left: list[str]) -> None:
    assert Filter(prefix=prefix).collections(("default", "hand", "handbooks")) == tuple(left)


@pytest.mark.parametrize(("written", "day"), rows("days"))
def test_the_day_of_a_pdf_is_read_where_there_is_one(written: str, day: str) -> None:
    assert (day_of(written) or "") == day


def test_no_more_is_kept_than_the_limits_allow_and_nothing_is_cut() -> None:
    assert len(bounded({str(number): "" for number in range(30)}, MAX_TAGS, 1000)) == MAX_TAGS
    assert bounded({"a": "é" * 10, "b": "x"}, 10, 20) == {"b": "x"}
