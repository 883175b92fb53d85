"""Tests of the signs of sentences, headings, references and scraps."""

from __future__ import annotations

import pytest

from docwell.text.prose import after_headings, is_bibliography, is_reference, is_sentence, paragraphs

REFERENCES = [
    'C. Fowlkes, and J. Malik, "Contours to regions," in Computer Vision, 2009.',
    "Holt, A. and Ott, B. (2011). Harbours of the north.",
    "Fowlkes, J., Malik, R.: Regions and edges. Int. J. of Vision 12(3), 45-67.",
    "王芳, 李明. 港口的历史. 海洋学报, 2019, 12(3): 45-67.",
    "Available: harbour[.]org/pub/4 [PS07] A. Protiere and G. Sapiro, Segmentation.",
    "Ott, Berta: Der Hafen von Kiel. Ostra 1999, doi 10.1000/182.",
]
SENTENCES = [
    "The harbour was built by Ada Holt in 1911 and has 40 berths.",
    "Under U.S. law, the lease of 2019 may end early (Holt, 2018).",
    "Der Hafen von Kiel hat seit 1911 vierzig Liegeplätze für große Schiffe.",
    "¿Puede el inquilino devolver el piso antes del plazo?",
    "“We oil the pumps every night,” the crew of the mill said.",
    "港口建于1911年并有四十个泊位。",
]


@pytest.mark.parametrize("text", REFERENCES)
def test_a_reference_is_no_sentence(text: str) -> None:
    assert is_reference(text)
    assert not is_sentence(text)


@pytest.mark.parametrize("text", SENTENCES)
def test_a_sentence_is_no_reference(text: str) -> None:
    assert is_sentence(text)
    assert not is_reference(text)


@pytest.mark.parametrize(
    "text",
    [
        "and so the pumps of the mill are oiled twice.",  # begins before
        "The pumps of the mill are oiled and",  # goes on
        "Pumps 12 14 15 mills 16 17 18 19 lanes 20 21 oil 3.",
        "H a r b o u r s o f t h e n o r t h.",
        "Vq3x tR7k pL0m zz9q wK4n bD2v hJ8s.",
        "Qxvbnmwrtzpksdfghjklcvbn wrtzplkjhgfdsxcvbnm pqrstvwxzklmnbvc rtzpqwsxdcfvgb nmklprtzwqsx.",
        "Pumps, mills.",
    ],
)
def test_a_scrap_is_no_sentence(text: str) -> None:
    assert not is_sentence(text)


def test_a_list_of_references_is_known_by_the_share_of_them() -> None:
    prose = " ".join(SENTENCES[:2])
    assert is_bibliography("\n".join(REFERENCES[:3]))
    assert is_bibliography("Holt, A. 2011. Harbours. Ott, B. 2012. Lamps. Roth, I. 2013. Oil.")
    assert not is_bibliography(f"{prose} {REFERENCES[0]} {prose} {prose}")
    assert not is_bibliography(prose)


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("2 Methods\nWe oil the pumps of the mill every night.", "We oil the pumps of the mill every night."),
        (
            "Part II\nThe Mill\n\nWe oil the pumps of the mill every night.",
            "We oil the pumps of the mill every night.",
        ),
        ("He trained it on\nShakespeare and on all the letters of the mill.", None),
        ("We oil the pumps of the mill every\nFriday night.", None),
        ("We oil the pumps:\nEach Friday, Ada Holt goes to the mill at night.", None),
    ],
)
def test_headings_before_a_sentence_are_not_in_it(text: str, rest: str | None) -> None:
    assert text[after_headings(text, 0, len(text)) :] == (rest or text)
    inside = f"So it is. {text}"
    assert after_headings(inside, len("So it is. "), len(inside)) == len("So it is. ")  # no line begins there


def test_short_lines_end_paragraphs_and_long_ones_are_joined() -> None:
    text = (
        "Pump Safety\nAda Holt\n\n"
        "The pumps of the mill are oiled by the\nnight crew, which begins at ten o'clock\nsharp."
    )
    assert paragraphs(text) == [
        "Pump Safety",
        "Ada Holt",
        "The pumps of the mill are oiled by the night crew, which begins at ten o'clock sharp.",
    ]
