"""The documents whose whole file name a question has."""

from __future__ import annotations

import pytest

from docwell.query.document_names import wholly_named, written

KEYS = (
    "a/minutes.docx",
    "a/minutes-2024.pdf",
    "b/Annual_Report.xlsx",
    "b/1.pdf",
    "b/about.md",
    "c/\u5408\u540c.pdf",
)


@pytest.mark.parametrize(
    ("question", "names"),
    [
        ("What is minutes.docx about?", {"a/minutes.docx": "minutes.docx"}),
        ("What is MINUTES.DOCX about?", {"a/minutes.docx": "MINUTES.DOCX"}),
        ("What are the minutes about?", {"a/minutes.docx": "minutes"}),
        ("Fasse minutes-2024.pdf zusammen", {"a/minutes-2024.pdf": "minutes-2024.pdf"}),
        ("Summarise minutes 2024", {"a/minutes-2024.pdf": "minutes 2024"}),
        ("R\u00e9sume l'annual report.", {"b/Annual_Report.xlsx": "annual report"}),
        ("\u8bf7\u603b\u7ed3\u5408\u540c.pdf", {"c/\u5408\u540c.pdf": "\u5408\u540c.pdf"}),
        ("What does 1.pdf say?", {"b/1.pdf": "1.pdf"}),
        (
            "Compare minutes.docx and Annual_Report.xlsx",
            {"a/minutes.docx": "minutes.docx", "b/Annual_Report.xlsx": "Annual_Report.xlsx"},
        ),
        ("What is minutes.pdf about?", {}),
        ("What is chapter 1 about?", {}),
        ("What is the report about?", {}),
        ("How long is a minute?", {}),
    ],
)
def test_a_name_is_found_with_or_without_its_suffix(question: str, names: dict[str, str]) -> None:
    assert {one.key: question[one.start : one.end] for one in written(question, KEYS)} == names


@pytest.mark.parametrize(
    ("question", "keys"),
    [
        ("All dates in the lease of the boathouse", {"homes/boathouse-lease.md"}),
        ("All dates in the lease of the new boathouse", {"homes/new-boathouse-lease.md"}),
        ("All dates in the boathouse lease and in the minutes", {"homes/boathouse-lease.md", "a/minutes.docx"}),
        ("All dates in the lease", set()),
        ("All dates of the boathouse", set()),
    ],
)
def test_a_name_of_several_words_is_found_in_another_order(question: str, keys: set[str]) -> None:
    assert wholly_named(question, [*KEYS, "homes/boathouse-lease.md", "homes/new-boathouse-lease.md"]) == keys
