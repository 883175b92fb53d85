"""Made-up forms with filled fields and comments, whose values no page's content has."""

import random
from collections.abc import Iterator, Sequence

from benchmarks.poison.build import FONT, pdf, stream

FORMS, FIELDS, COMMENTS = 20, 24, 5
_TOP, _LEADING, _LEFT = 760, 24, 300
_WORDS = ["claim", "amount", "name", "of", "the", "insured", "street", "policy", "vehicle", "driver", "total"]
_WORDS += ["before", "Größe", "Straße", "numéro", "氏名", "дата", "сумма", "tax,", "1,250.00", "(net)", "12%"]
_WORDS += ["A-37", "O'Hara"]
_COMMENTS = ("Text", "FreeText", "Highlight", "Underline", "StrikeOut", "Square")
# The PDF entries of a field of each kind, and its line in the text. Texts are common, so they come twice.
_TEXT = ("/FT/Tx/V{value}", "{value}")
_KINDS = (
    _TEXT,
    _TEXT,
    ("/FT/Tx/Ff 4096/V{lines}", "{value} {second}"),
    ("/FT/Btn/V/Yes/AS/Yes/AP<</N<</Yes 4 0 R/Off 4 0 R>>>>", "checked"),
    ("/FT/Btn/Ff 32768/V/male/AS/male/AP<</N<</male 4 0 R/Off 4 0 R>>>>", "male"),
    ("/FT/Ch/Ff 131072/Opt[{second}{value}]/V{value}", "{value}"),
    ("/FT/Ch/Opt[{second}{value}]/V{value}", "{value}"),
    ("/FT/Tx", ""),
)


def forms() -> Iterator[tuple[bytes, list[str]]]:
    """Yield each form as a PDF of one page, with the lines that a reader should extract."""
    for number in range(FORMS):
        chooser = random.Random(f"form {number}")
        notes, expected = list[str](), list[str]()
        for row in range(FIELDS):
            note, line = _field(chooser, row, f"Field {number}-{row}")
            notes.append(note)
            expected += [line] if line else []
        for row in range(COMMENTS):
            kind, text = chooser.choice(_COMMENTS), _phrase(chooser)
            place = f"/Rect[60 {60 + 20 * row} 260 {74 + 20 * row}]/F 4"
            notes.append(f"<</Type/Annot/Subtype/{kind}/Contents{_hex(text)}/T(Ann){place}>>")
            expected.append(f"[Text box: {text}]" if kind == "FreeText" else f"[Comment by Ann: {text}]")
        yield _drawn(notes), expected


def _field(chooser: random.Random, row: int, name: str) -> tuple[str, str]:
    """Return a field and its line, which is empty if the field has no value."""
    y = _TOP - _LEADING * row
    value, second = _phrase(chooser), _phrase(chooser)
    entries, line = chooser.choice(_KINDS)
    for key, text in (("value", value), ("second", second), ("lines", f"{value}\r{second}")):
        entries = entries.replace(f"{{{key}}}", _hex(text))
    box = f"/Rect[{_LEFT} {y} {_LEFT + 220} {y + 18}]/F 4/TU{_hex(name)}"
    shown = line.format(value=value, second=second)
    return f"<</Type/Annot/Subtype/Widget/T(f{row}){box}{entries}>>", f"[{name}: {shown}]" if shown else ""


def _phrase(chooser: random.Random) -> str:
    return " ".join(chooser.choices(_WORDS, k=chooser.randint(1, 6)))


def _hex(text: str) -> str:
    return f"<feff{text.encode('utf-16-be').hex()}>"


def _drawn(notes: Sequence[str]) -> bytes:
    labels = (f"1 0 0 1 60 {_TOP + 4 - _LEADING * row} Tm (Line {row} of the form) Tj" for row in range(FIELDS))
    numbers = [f"{number + 6} 0 R" for number in range(len(notes))]
    fonts = "<</Font<</F 5 0 R>>>>"
    page = f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Contents 4 0 R/Annots[{' '.join(numbers)}]"
    form = f"/AcroForm<</Fields[{' '.join(numbers[:FIELDS])}]/DR{fonts}/DA(/F 12 Tf 0 g)>>"
    content = stream(f"BT /F 10 Tf {chr(10).join(labels)} ET".encode())
    objects = [b"<</Type/Pages/Kids[3 0 R]/Count 1>>", f"{page}/Resources{fonts}>>".encode(), content, FONT]
    return pdf([*objects, *(note.encode() for note in notes)], catalog=f"/Pages 2 0 R{form}".encode())


def count_lines(expected: Sequence[str], text: str) -> int:
    """Return how many of the expected lines a text has, whatever its white space."""
    plain = " ".join(text.split())
    return sum(" ".join(line.split()) in plain for line in expected)
