"""Values of form fields and comments, which are not in a page's content, and pages that are only a cover."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.poison.kinds import FONT, pdf, stream
from benchmarks.reading import default_reader
from docwell.errors import Refused
from docwell.models import Page, Reason

LABELS = b"BT /F 12 Tf 72 700 Td (Claimant) Tj 0 -40 Td (Amount) Tj ET"


def form(tmp_path: Path, *notes: bytes, catalog: bytes = b"", acro: bytes = b"") -> Path:
    """A page with two labels and `notes`, all of which are fields of its form."""
    numbers = b" ".join(b"%d 0 R" % (number + 6) for number in range(len(notes)))
    page = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Contents 4 0 R/Annots[%b]" % numbers
    page += b"/Resources<</Font<</F 5 0 R>>>>>>"
    fields = b"/AcroForm<</Fields[%b]/DR<</Font<</F 5 0 R>>>>/DA(/F 12 Tf 0 g)%b>>" % (numbers, acro)
    objects = [b"<</Type/Pages/Kids[3 0 R]/Count 1>>", page, stream(LABELS), FONT, *notes]
    path = tmp_path / "form.pdf"
    path.write_bytes(pdf(objects, catalog=b"/Pages 2 0 R" + fields + catalog))
    return path


def field(name: bytes, value: bytes, *, y: int = 696, more: bytes = b"") -> bytes:
    place = b"/Rect[200 %d 400 %d]" % (y, y + 18)
    return b"<</Type/Annot/Subtype/Widget/FT/Tx/T(%b)/V(%b)%b/F 4%b>>" % (name, value, place, more)


def note(kind: bytes, text: bytes, more: bytes = b"/F 4", place: bytes = b"[72 500 200 520]") -> bytes:
    return b"<</Type/Annot/Subtype/%b/Contents(%b)/T(Reviewer)/Rect%b%b>>" % (kind, text, place, more)


def read(path: Path) -> Page:
    return next(default_reader().pages(path, 1, 1))


def test_a_value_is_beside_its_label_with_its_name(tmp_path: Path) -> None:
    path = form(tmp_path, field(b"amount", b"1,250.00", y=656), field(b"name", b"A. Claimant"))
    assert read(path).text.split() == ["Claimant", "[name:", "A.", "Claimant]", "Amount", "[amount:", "1,250.00]"]


def test_a_tick_is_read_and_an_empty_box_is_not(tmp_path: Path) -> None:
    box = (
        b"<</Type/Annot/Subtype/Widget/FT/Btn/T(%b)/V/%b/AS/%b/Rect[200 696 212 708]/F 4/AP<</N<</Yes 4 0 R>>>>>>"
    )
    path = form(tmp_path, box % (b"agreed", b"Yes", b"Yes"), box % (b"refused", b"Off", b"Off"))
    text = read(path).text
    assert "[agreed: checked]" in text
    assert "refused" not in text


@pytest.mark.parametrize(
    "more",
    [b"/F 2", b"/F 32", b"/DA(/F 12 Tf 1 g)", b"/DA(/F 0.1 Tf 0 g)", b"/Ff 8192"],
    ids=["hidden", "not for viewing", "white", "tiny", "password"],
)
def test_a_value_that_the_page_does_not_show_is_left_out(tmp_path: Path, more: bytes) -> None:
    hidden = field(b"secret", b"vault").replace(b"/F 4", b"") if b"/F " in more[:3] else field(b"secret", b"vault")
    page = read(form(tmp_path, hidden.replace(b">>", more + b">>")))
    assert "vault" not in page.text
    assert "Claimant" in page.text


@pytest.mark.parametrize(("content", "draws"), [(b"/Tx BMC EMC", False), (b"BT (Paid in May.) Tj ET", True)])
def test_a_text_box_that_draws_nothing_is_left_out(tmp_path: Path, content: bytes, *, draws: bool) -> None:
    appearance = b"/F 4/AP<</N 8 0 R>>"
    form_object = stream(content, b"/Type/XObject/Subtype/Form/BBox[0 0 200 18]/Resources<</Font<</F 5 0 R>>>>")
    value = field(b"amount", b"1,250.00").replace(b"/F 4", appearance)
    notes = note(b"FreeText", b"Paid in May.", appearance), value, form_object, note(b"Text", b"Check the sum.")
    page = read(form(tmp_path, *notes))
    assert ("[Text box: Paid in May.]" in page.text, page.unchecked) == (draws, not draws)
    assert "[amount: 1,250.00]" in page.text
    assert "[Comment by Reviewer: Check the sum.]" in page.text


def test_a_comment_that_is_hidden_or_off_the_page_is_left_out(tmp_path: Path) -> None:
    hidden, away = note(b"Text", b"vault", b"/F 2"), note(b"Highlight", b"vault", place=b"[900 500 950 520]")
    page = read(form(tmp_path, hidden, away))
    assert "vault" not in page.text
    assert page.hidden == 2 * len("[CommentbyReviewer:vault]")


def refusal(path: Path) -> str:
    with pytest.raises(Refused) as caught:
        default_reader().inspect(path)
    return caught.value.reason


def test_the_page_of_a_dynamic_form_is_not_the_document(tmp_path: Path) -> None:
    assert refusal(form(tmp_path, catalog=b"/NeedsRendering true", acro=b"/XFA(x)")) == Reason.DYNAMIC_FORM


FILES = b"/Names<</EmbeddedFiles<</Names[(a.csv)<</Type/Filespec/F(a.csv)/UF(a.csv)/EF<</F 99 0 R>>>>]>>>>"


def test_an_attached_file_is_named_as_not_read(tmp_path: Path) -> None:
    path = form(tmp_path, catalog=FILES)
    assert default_reader().inspect(path).page_count == 1
    assert read(path).text.endswith("[Attached file, not read: a.csv]")


def test_the_cover_of_a_portfolio_is_not_the_document(tmp_path: Path) -> None:
    assert refusal(form(tmp_path, catalog=FILES + b"/Collection<<>>")) == Reason.PORTFOLIO
