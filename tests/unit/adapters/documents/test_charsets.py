"""Texts in older encodings, as programs of Windows and web pages still write them."""

from __future__ import annotations

import pytest

from docwell.adapters.documents.charsets import declared, decoded

ENGLISH = "The pump runs at a steady rate and the valve stays closed until the tank is full.\n" * 50
# Mostly one line in each language, with letters that several encodings have at the same place.
TEXTS = {
    "cp1252": (
        "Höhe: 5 m\n",
        "Artikel;Größe;Preis\n" + "".join(f"A{at};{at} cm;{at},50 €\n" for at in range(300)),
        "La société a été créée à l'été; où est le moteur? « Très » près du chêne.\n",
        "El señor Núñez pagó la máquina el año pasado. ¿Cuántas válvulas?\n",
        "Não é só açúcar: maçã e pão.\n",
        "È così perché può.\n",
        "På grund af søen er åen blå.\n",
        "Müller & Núñez GmbH, U-Wert 0,5 W/m²K, 5 µm, ½\n",
        ENGLISH + "It costs £5 at 40 °C.\n" + ENGLISH,
        ENGLISH + "Señor Núñez\u2019s café is “open”.\n",
    ),
    "cp1250": (
        "Żółty zawór należy sprawdzić, a olej wymienić jeszcze dziś.\n",
        "Příliš žluťoučký kůň úpěl.\n",
        "Árvíztűrő tükörfúrógép.\n",
        "Čišćenje pumpe se vrši mjesečno.\n",
        "Ştiinţa şi apă, ţară.\n",
    ),
    "iso8859_2": ("Żółty zawór należy sprawdzić, a olej wymienić jeszcze dziś.\n",),
    "cp1254": ("Türkçe bir metin: şeker, ağaç, güneş.\n",),
    # A sentence in Russian.
    "cp1251": ("\u041d\u0430\u0441\u043e\u0441 \u0434\u043e\u043b\u0436\u0435\u043d \u0431\u044b\u0442\u044c.\n",),
    "cp850": ("Die Größe der Pumpe muß täglich geprüft werden.\n",),
}


@pytest.mark.parametrize(
    ("encoding", "text"), [(encoding, text) for encoding, texts in TEXTS.items() for text in texts]
)
def test_a_text_in_an_older_encoding_keeps_its_letters(encoding: str, text: str) -> None:
    assert decoded(text.encode(encoding)) == text


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        ('<meta charset="windows-1250"><p>Łódź'.encode("cp1250"), "cp1250"),
        ('<?xml version="1.0" encoding="shift_jis"?>毎日'.encode("shift_jis"), "shift_jis"),
        ('<meta content="text/html; charset=ISO-8859-1">5 €'.encode("cp1252"), "cp1252"),
        ('<meta charset="utf-8">Höhe'.encode("cp1252"), None),
        (b'<meta charset="none such">', None),
        ('charset = "cp1250": Łódź'.encode("cp1250"), None),
    ],
)
def test_a_page_is_read_as_it_declares_where_it_can_be(data: bytes, encoding: str | None) -> None:
    assert declared(data) == encoding
