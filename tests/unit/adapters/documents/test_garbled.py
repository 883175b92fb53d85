"""Pages whose fonts map their glyphs to wrong characters, and pages that only look like them."""

from __future__ import annotations

import base64
import hashlib
import random
from collections.abc import Callable

import pytest

from benchmarks.broken_maps import BROKEN
from docwell.adapters.documents.quality import is_garbled, is_unreadable, judge

ENGLISH = (
    "The society keeps the record of each meeting in the library, where members may read it on any working day. "
    "A member who wants to take a copy home asks the clerk and signs the book beside the door. "
) * 3
GOOD = {
    "English": ENGLISH,
    "Polish": "Wszyscy ludzie rodzą się wolni i równi pod względem swej godności i swych praw. Są oni obdarzeni "
    "rozumem i sumieniem i powinni postępować wobec innych w duchu braterstwa. " * 2,
    "Finnish": "Kaikki ihmiset syntyvät vapaina ja tasavertaisina arvoltaan ja oikeuksiltaan. Heille on annettu "
    "järki ja omatunto, ja heidän on toimittava toisiaan kohtaan veljeyden hengessä. " * 2,
    "Vietnamese": "Tất cả mọi người sinh ra đều được tự do và bình đẳng về nhân phẩm và quyền. " * 4,
    "Japanese": "すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。PDFの文字。"
    * 4,
    "a table of numbers": "2025 2024\n12,345 (67,890) 1.2% $ 45\n" * 20,
    "a list of contents": "Chapter one . . . . . . . . . . . . . . . . 12\nChapter two ______________ 34\n" * 10,
    "a specimen": "The font: abcdefghijkl\nmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ 0123456789\n" * 10,
    "a table of zeros": ("Region " + "0 " * 40 + "12\n") * 20,
    "Quechua": "Llapa runakuna kay pachapi qispisqa kachkanku, hinallataq kikin chaninyuq. Yuyayniyuq, "
    "sunquyuq kaspankuraq, wawqi panantin hina kawsananku. " * 6,
    "paths": "/usr/share/docs/index.html /etc/hosts /srv/data/2026/report.txt\n" * 10,
}
_RANDOM = random.Random(1)


def _codes(letters: str, length: int) -> str:
    """Return 200 random words of one length."""
    return " ".join("".join(_RANDOM.choices(letters, k=length)) for _ in range(200))


# The text of one font beside prose in another.
GOOD_FONTS = {
    "a certificate": base64.encodebytes(_RANDOM.randbytes(1200)).decode(),
    "digests": "\n".join(hashlib.sha256(bytes([number])).hexdigest() for number in range(30)),
    "ticks": "\u2713 \u2717 " * 300,
    "ticks in private use": "\uf0fc " * 600,
    "crosses": "X " * 600,
    "genes": _codes("acgt", 10),
    "names of shares": _codes("ABCDEFGHIJKLMNOPQRSTUVWXYZ", 4),
}


@pytest.mark.parametrize("spoil", BROKEN.values(), ids=BROKEN.keys())
def test_a_page_with_a_wrong_map_is_unreadable(spoil: Callable[[str, int], str]) -> None:
    assert is_unreadable(spoil(ENGLISH, 1))


@pytest.mark.parametrize("text", GOOD.values(), ids=GOOD.keys())
def test_a_page_that_reads_well_is_not(text: str) -> None:
    assert not is_garbled(text)


def test_a_page_with_few_letters_is_not_judged() -> None:
    assert not is_garbled("xqzj kwvq zzxj")


@pytest.mark.parametrize("letter", "aeimno")
def test_a_page_with_a_common_letter_mapped_to_another_is_unreadable(letter: str) -> None:
    assert is_unreadable((ENGLISH * 3).replace(letter, "x"))
    assert is_unreadable((ENGLISH * 3).replace(letter, "T"))


def test_a_page_in_capitals_lacks_no_letter() -> None:
    assert not is_unreadable(ENGLISH.upper() * 3)


@pytest.mark.parametrize("spoil", BROKEN.values(), ids=BROKEN.keys())
def test_a_font_with_a_wrong_map_is_seen_beside_good_ones(spoil: Callable[[str, int], str]) -> None:
    assert judge("", {1: ENGLISH * 2, 2: spoil(ENGLISH, 1)}) == (False, frozenset({2}))


def test_a_font_with_little_of_the_page_is_not_judged() -> None:
    assert not judge("", {1: ENGLISH, 2: BROKEN["permuted letters"](ENGLISH[:300], 1)})[1]
    assert not judge("", {1: ENGLISH * 10, 2: BROKEN["permuted letters"](ENGLISH, 1)})[1]
    assert not judge("", {})[1]


@pytest.mark.parametrize("text", GOOD_FONTS.values(), ids=GOOD_FONTS.keys())
def test_a_font_of_signs_or_codes_does_not_cost_the_page(text: str) -> None:
    assert not judge("", {1: ENGLISH * 2, 2: text})[1]


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_fonts_and_page_agree_where_one_font_has_the_page(share: float) -> None:
    wrong = BROKEN["permuted letters"](ENGLISH * 2, 1)
    rest = ENGLISH[: int(len(wrong) * (1 - share) / share)]
    assert judge(f"{wrong} {rest}", {1: wrong, 2: rest}) == (is_unreadable(f"{wrong} {rest}"), frozenset({1}))


def test_a_page_of_many_small_fonts_is_judged_as_a_whole() -> None:
    wrong = BROKEN["permuted letters"](ENGLISH, 1)
    pieces = [wrong[at : at + 100] for at in range(0, len(wrong), 100)]
    assert judge(wrong, dict(enumerate(pieces))) == (True, frozenset())
