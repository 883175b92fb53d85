"""Made-up forms with filled fields and comments, whose values no page's content has."""

import random
from collections.abc import Iterator, Sequence

from benchmarks.poison.build import FONT, pdf, stream

FORMS, FIELDS, COMMENTS = 20, 24, 5
_TOP, _LEADING, _LEFT = 760, 24, 300
_WORDS = [
    *(
        "claim",
        "amount",
        "name",
        "of",
        "the",
        "insured",
        "street",
        "policy",
        "vehicle",
        "driver",
        "total",
        "before",
    ),
    *("Größe", "Straße", "numéro", "氏名", "дата", "сумма", "tax,", "1,250.00", "(net)", "12%", "A-37", "O'Hara"),
]
_COMMENTS = ("Text", "FreeText", "Highlight", "Underline", "StrikeOut", "Square")


def forms() -> Iterator[tuple[bytes, list[str]]]:
    """Yield each form as a PDF of one page, with the lines that a reader should give for what it shows."""
    for number in range(FORMS):
        chooser = random.Random(f"form {number}")
        notes, expected = list[bytes](), list[str]()
        for row in range(FIELDS):
            note, line = _field(chooser, row, f"Field {number}-{row}")
            notes.append(note)
            expected += [line] if line else []
        for row in range(COMMENTS):
            kind, text = chooser.choice(_COMMENTS), _phrase(chooser)
            place = b"/Rect[%d %d %d %d]/F 4" % (60, 60 + 20 * row, 260, 74 + 20 * row)
            notes.append(b"<</Type/Annot/Subtype/%b/Contents%b/T(Ann)%b>>" % (kind.encode(), _hex(text), place))
            expected.append(f"[Text box: {text}]" if kind == "FreeText" else f"[Comment by Ann: {text}]")
        yield _drawn(notes), expected


def _field(chooser: random.Random, row: int, name: str) -> tuple[bytes, str]:
    """Return a field and its line: empty where it has no value."""
    y = _TOP - _LEADING * row
    box = b"/Rect[%d %d %d %d]/F 4/TU%b" % (_LEFT, y, _LEFT + 220, y + 18, _hex(name))
    common = b"<</Type/Annot/Subtype/Widget/T(f%d)%b" % (row, box)
    value, second = _phrase(chooser), _phrase(chooser)
    kind = chooser.choice(("text", "text", "lines", "tick", "radio", "choice", "list", "empty"))
    if kind == "tick":
        return common + b"/FT/Btn/V/Yes/AS/Yes/AP<</N<</Yes 4 0 R/Off 4 0 R>>>>>>", f"[{name}: checked]"
    if kind == "radio":
        states = b"/FT/Btn/Ff 32768/V/male/AS/male/AP<</N<</male 4 0 R/Off 4 0 R>>>>>>"
        return common + states, f"[{name}: male]"
    if kind in {"choice", "list"}:
        flags = b"/FT/Ch/Ff 131072" if kind == "choice" else b"/FT/Ch"
        return common + b"%b/Opt[%b%b]/V%b>>" % (
            flags,
            _hex(second),
            _hex(value),
            _hex(value),
        ), f"[{name}: {value}]"
    if kind == "empty":
        return common + b"/FT/Tx>>", ""
    if kind == "lines":
        return common + b"/FT/Tx/Ff 4096/V%b>>" % _hex(f"{value}\r{second}"), f"[{name}: {value} {second}]"
    return common + b"/FT/Tx/V%b>>" % _hex(value), f"[{name}: {value}]"


def _phrase(chooser: random.Random) -> str:
    return " ".join(chooser.choices(_WORDS, k=chooser.randint(1, 6)))


def _hex(text: str) -> bytes:
    return b"<feff%b>" % text.encode("utf-16-be").hex().encode()


def _drawn(notes: Sequence[bytes]) -> bytes:
    labels = (
        b"1 0 0 1 60 %d Tm (Line %d of the form) Tj" % (_TOP + 4 - _LEADING * row, row) for row in range(FIELDS)
    )
    numbers = b" ".join(b"%d 0 R" % (number + 6) for number in range(len(notes)))
    page = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Contents 4 0 R/Annots[%b]" % numbers
    page += b"/Resources<</Font<</F 5 0 R>>>>>>"
    fields = b" ".join(b"%d 0 R" % (number + 6) for number in range(FIELDS))
    form = b"/AcroForm<</Fields[%b]/DR<</Font<</F 5 0 R>>>>/DA(/F 12 Tf 0 g)>>" % fields
    content = b"BT /F 10 Tf " + b"\n".join(labels) + b" ET"
    objects = [b"<</Type/Pages/Kids[3 0 R]/Count 1>>", page, stream(content), FONT, *notes]
    return pdf(objects, catalog=b"/Pages 2 0 R" + form)


def found(expected: Sequence[str], text: str) -> int:
    """Return how many of the expected lines a text has, whatever its white space."""
    plain = " ".join(text.split())
    return sum(" ".join(line.split()) in plain for line in expected)
