"""Pages whose fonts map their glyphs to wrong characters, and pages that only look like them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from benchmarks.broken_maps import BROKEN
from docwell.adapters.documents.quality import is_garbled, is_unreadable

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
GOOD |= {"capitals": ENGLISH.upper() * 3, "few letters": "xqzj kwvq zzxj"}


@pytest.mark.parametrize("spoil", BROKEN.values(), ids=BROKEN.keys())
def test_a_page_with_a_wrong_map_is_unreadable(spoil: Callable[[str, int], str]) -> None:
    assert is_unreadable(spoil(ENGLISH, 1))


@pytest.mark.parametrize("text", GOOD.values(), ids=GOOD.keys())
def test_a_page_that_reads_well_is_not(text: str) -> None:
    assert not is_garbled(text)
