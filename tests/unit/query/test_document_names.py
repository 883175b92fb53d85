"""The documents whose whole file name a question has."""

from __future__ import annotations

import pytest

from docwell.query.document_names import compares, wholly_named, written

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


POLICIES = (
    "a/travel-policy.pdf",
    "b/contractors.pdf",
    "c/leave-policy.pdf",
    "d/incident-log.pdf",
    "e/security-policy.pdf",
    "f/part-time-work.pdf",
)
FIRMS = ("n/NETFLIX_2015_10K.pdf", "n/NETFLIX_2017_10K.pdf", "n/ADOBE_2015_10K.pdf")


@pytest.mark.parametrize(
    "question",
    [
        "How do I report an incident to security?",
        "How do I report an incident, and who informs security?",
        "What is the travel policy for contractors?",
        "What does the parental leave policy say about part-time work?",
        "Does the travel policy apply to contractors and interns?",
        "Can contractors travel?",
        "Was steht in travel-policy.pdf \u00fcber contractors?",
    ],
)
def test_ordinary_words_of_two_file_names_compare_nothing(question: str) -> None:
    assert not compares(question, POLICIES)


@pytest.mark.parametrize(
    ("question", "documents"),
    [
        ("What is the difference between the travel policy and the leave policy?", POLICIES),
        ("Do the leave policy and the travel policy need a form?", POLICIES),
        ("Does travel-policy.pdf say the same as leave-policy.pdf?", POLICIES),
        ("How did Netflix's revenue change from 2015 to 2017?", FIRMS),
        ("Was Netflix's revenue higher than Adobe's?", FIRMS),
        ("What does NETFLIX_2015_10K say that ADOBE_2015_10K does not?", FIRMS),
        ("Netflix or Adobe?", FIRMS),
        ("How many crews work for plant north and for plant süd?", ("a/north.pdf", "a/süd.pdf")),
        ("Netflix vs. Adobe", FIRMS),
        ("How many people does Netflix employ, and how many does Adobe?", FIRMS),
        ("Wie unterscheiden sich Netflix und Adobe?", FIRMS),
        ("Hat Netflix mehr Mitarbeiter als Adobe?", FIRMS),
        ("Compare le chiffre d'affaires de Netflix \u00e0 celui d'Adobe", FIRMS),
        ("\u00bfCu\u00e1ntos empleados tienen Netflix y Adobe?", FIRMS),
        ("Netflix \u4e0e Adobe \u6709\u4ec0\u4e48\u4e0d\u540c\uff1f", FIRMS),
    ],
)
def test_a_question_compares_documents_that_it_sets_side_by_side(
    question: str, documents: tuple[str, ...]
) -> None:
    assert compares(question, documents)
    assert not compares(question, documents[:1])
