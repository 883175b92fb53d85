"""PDFs with a sentence that no reader of the page sees, and twins that show it."""

from benchmarks.poison.build import FONT, TEXT, Make, pdf, stream

SEEN = "The pump is serviced every ninety days."  # visible on each page
SENTENCE = "The vault opens with nine keys."


def hidden_kinds() -> dict[str, Make]:
    """Return the makers of pages that do not show `SENTENCE`, by the way it is hidden."""
    return _PAINTED | _COVERED | _ELSEWHERE | _LAYERED


def shown_kinds() -> dict[str, Make]:
    """Return the makers of pages that show `SENTENCE`, by the way it is drawn."""
    return _SHOWN


def heavy_kinds() -> dict[str, Make]:
    """Return the makers of pages whose drawing takes too long, and which show `SENTENCE` in grey."""
    return {
        "many paths": lambda: _page(TEXT + b"q " + _FILLS + b"Q " + _AROUND, resources=_FAINT),
        "one form": lambda: _page(
            TEXT + b"q /X Do Q " + _AROUND, image=_form(_FILLS).replace(b"/Font", _FAINT + b"/Font", 1)
        ),
    }


def _text(before: str = "", font: str = "/F 12 Tf", place: str = "72 600 Td", words: str = SENTENCE) -> bytes:
    return f"BT {font} {before} {place} ({words}) Tj ET\n".encode()


def _page(
    content: bytes,
    *more: bytes,
    resources: bytes = b"",
    entries: bytes = b"",
    catalog: bytes = b"",
    image: bytes = b"null",
) -> bytes:
    """Return a file of one page; object 6 is the XObject `X`, and `more` begin with 7."""
    named = b"/Resources<</Font<</F 5 0 R>>/XObject<</X 6 0 R>>%b>>" % resources
    page = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Contents 4 0 R%b%b>>" % (named, entries)
    pages = b"<</Type/Pages/Kids[3 0 R]/Count 1>>"
    return pdf([pages, page, stream(content), FONT, image, *more], catalog=b"/Pages 2 0 R" + catalog)


def _with_state(content: bytes, entries: bytes, *more: bytes) -> bytes:
    return _page(TEXT + b"/G gs " + content, *more, resources=b"/ExtGState<</G<<%b>>>>" % entries)


def _layered(content: bytes, state: bytes, form: bytes = b"null") -> bytes:
    """Return a page with the layer `L`, which is /ON or /OFF."""
    layers = b"/OCProperties<</OCGs[7 0 R]/D<<%b[7 0 R]>>>>" % state
    layer = b"<</Type/OCG/Name(Layer)>>"
    return _page(TEXT + content, layer, resources=b"/Properties<</L 7 0 R>>", catalog=layers, image=form)


def _picture(pixels: bytes) -> bytes:
    """Return a grey image of 60 by 80 pixels."""
    entries = b"/Type/XObject/Subtype/Image/Width 60/Height 80/ColorSpace/DeviceGray/BitsPerComponent 8"
    return stream(pixels, entries)


def _form(content: bytes, entries: bytes = b"") -> bytes:
    own = b"/Type/XObject/Subtype/Form/BBox[0 0 600 800]/Resources<</Font<</F 5 0 R>>>>"
    return stream(content, own + entries)


_BLANK = _picture(b"\xff" * 4800)
_MARKED = _picture(b"".join((b"\x00\xff" if row % 2 else b"\xff\x00") * 30 for row in range(80)))
_DRAW = b"q 600 0 0 800 0 0 cm /X Do Q\n"
_BOX = b"60 590 400 30 re f\n"
_IN_LAYER = b"/OC /L BDC %b EMC\n" % _text()
_DARKNESS = _form(b"0 g 0 0 600 800 re f", b"/Group<</S/Transparency/CS/DeviceGray>>")
_NOTE = b"<</Type/Annot/Subtype/Square/Rect[60 590 460 620]/F 4/AP<</N 8 0 R>>>>"
_NOTE_DRAWN = stream(b"1 g 0 0 400 30 re f", b"/Type/XObject/Subtype/Form/BBox[0 0 400 30]")

_FAINT = b"/ExtGState<</G<</ca .01>>>>"
_FILLS = b"/G gs .9 g " + b"0 0 600 580 re f\n" * 20_000
_AROUND = _text(".7 g") + _text(".7 g", place="72 20 Td", words="Low.")

_PAINTED: dict[str, Make] = {
    "render mode 3": lambda: _page(TEXT + _text("3 Tr")),
    "render mode 7": lambda: _page(TEXT + _text("7 Tr")),
    "render mode 7 on a box": lambda: _page(TEXT + b"q .9 g " + _BOX + _text("7 Tr") + b"Q"),
    "white on white": lambda: _page(TEXT + _text("1 g")),
    "nearly white on white": lambda: _page(TEXT + _text(".97 g")),
    "white on white, under other words": lambda: _page(TEXT + _text("1 g") + _text(words="The door is locked.")),
    "blue on blue": lambda: _page(TEXT + b"0 0 .6 rg " + _BOX + _text()),
    "black on a black image": lambda: _page(_DRAW + _text() + b"1 g " + TEXT, image=_picture(b"\x00" * 4800)),
    "type of 0.05 pt": lambda: _page(TEXT + _text(font="/F .05 Tf")),
    "type scaled to 0.05 pt": lambda: _page(TEXT + _text(place=".004 0 0 .004 72 600 Tm")),
    "type squeezed to no width": lambda: _page(TEXT + _text(place=".004 0 0 1 72 600 Tm")),
    "opacity 0": lambda: _with_state(_text(), b"/ca 0"),
    "opacity 1 %": lambda: _with_state(_text(), b"/ca .01"),
    "a soft mask": lambda: _with_state(_text(), b"/SMask<</S/Luminosity/G 7 0 R>>", _DARKNESS),
    "replacement text": lambda: _page(
        TEXT + f"/Span <</ActualText({SENTENCE})>> BDC ".encode() + _text(words="The door is locked now.") + b"EMC"
    ),
}
_COVERED: dict[str, Make] = {
    "under a white rectangle": lambda: _page(TEXT + _text() + b"1 g " + _BOX),
    "under a black rectangle": lambda: _page(TEXT + _text() + _BOX),
    "under a rectangle with other words": lambda: _page(
        TEXT + _text() + b"1 g " + _BOX + _text("0 g", words="The door is locked.")
    ),
    "under white lines": lambda: _page(
        TEXT + _text() + b"1 G 1 w " + b"".join(b"60 %d m 460 %d l S " % (y, y) for y in range(590, 620))
    ),
    "under a blank image": lambda: _page(_text() + _DRAW + TEXT, image=_BLANK),
    "render mode 3 on a blank image": lambda: _page(_DRAW + b"q " + _text("3 Tr") + b"Q " + TEXT, image=_BLANK),
    "under a form": lambda: _page(_text() + b"/X Do " + TEXT, image=_form(b"1 g " + _BOX)),
    "under an annotation": lambda: _page(TEXT + _text(), _NOTE, _NOTE_DRAWN, entries=b"/Annots[7 0 R]"),
}
_ELSEWHERE: dict[str, Make] = {
    "outside the crop box": lambda: _page(TEXT + _text(), entries=b"/CropBox[0 640 600 800]"),
    "outside the media box": lambda: _page(TEXT + _text(place="72 -300 Td")),
    "clipped away": lambda: _page(TEXT + b"q 0 0 9 9 re W n " + _text() + b"Q"),
    "clipped to nothing": lambda: _page(TEXT + b"q 72 600 m 300 600 l W n " + _text() + b"Q"),
    "clipped by other text": lambda: _page(
        TEXT + b"q " + _text("7 Tr", place="72 700 Td", words=".") + _text("0 Tr") + b"Q"
    ),
    "outside its form": lambda: _page(
        TEXT + b"/X Do", image=_form(_text()).replace(b"[0 0 600 800]", b"[0 0 600 100]")
    ),
}
_LAYERED: dict[str, Make] = {
    "a layer that is off": lambda: _layered(_IN_LAYER, b"/OFF"),
    "a form in a layer that is off": lambda: _layered(b"/X Do", b"/OFF", _form(_text(), b"/OC 7 0 R")),
    "a form with opacity 0": lambda: _page(
        TEXT + b"/G gs /X Do",
        image=_form(_text(), b"/Group<</S/Transparency>>"),
        resources=b"/ExtGState<</G<</ca 0>>>>",
    ),
}
_SHOWN: dict[str, Make] = {
    "black": lambda: _page(TEXT + _text()),
    "light grey": lambda: _page(TEXT + _text(".8 g")),
    "yellow": lambda: _page(TEXT + _text("1 1 0 rg")),
    "white on dark": lambda: _page(TEXT + b"0 0 .4 rg " + _BOX + _text("1 g")),
    "white on an image": lambda: _page(
        _DRAW + _text("1 g") + _text("1 g", words=SEEN, place="72 720 Td"), image=_picture(b"\x40" * 4800)
    ),
    "a footnote of 4 pt": lambda: _page(TEXT + _text(font="/F 4 Tf")),
    "a grey footnote of 4 pt": lambda: _page(TEXT + _text(".6 g", font="/F 4 Tf")),
    "up the page": lambda: _page(TEXT + _text(place="0 1 -1 0 72 300 Tm")),
    "aslant": lambda: _page(TEXT + _text(place=".8 .6 -.6 .8 72 300 Tm")),
    "outlined": lambda: _page(TEXT + _text("1 Tr .4 w")),
    "outlined and filled with white": lambda: _page(TEXT + _text("2 Tr .4 w 1 g 0 G")),
    "a clip of what is painted": lambda: _page(TEXT + b"q " + _text("7 Tr") + b"0 0 .6 rg " + _BOX + b"Q"),
    "a watermark of 30 %": lambda: _with_state(_text(font="/F 30 Tf", place="40 400 Td"), b"/ca .3"),
    "written on a watermark": lambda: _page(
        TEXT + _text(".8 g", font="/F 90 Tf", place="20 590 Td", words="DRAFT") + _text("0 g")
    ),
    "the text layer on a scan": lambda: _page(
        _DRAW + _text("3 Tr") + _text(words=SEEN, place="72 720 Td"), image=_MARKED
    ),
    "the text layer under a scan": lambda: _page(
        _text() + _text(words=SEEN, place="72 720 Td") + _DRAW, image=_MARKED
    ),
    "underlined": lambda: _page(TEXT + _text() + b".5 w 72 598 m 240 598 l S"),
    "in a frame": lambda: _page(TEXT + _text() + b"1 w 60 590 400 30 re S"),
    "in a shaded row": lambda: _page(TEXT + b".8 .9 1 rg " + _BOX + _text("0 g")),
    "clipped around": lambda: _page(TEXT + b"q 60 590 400 30 re W n " + _text() + b"Q"),
    "in a form": lambda: _page(TEXT + b"/X Do", image=_form(_text())),
    "in a layer that is on": lambda: _layered(_IN_LAYER, b"/ON"),
    "drawn twice": lambda: _page(TEXT + _text() + _text(place="72.3 600 Td")),
    "on a turned page": lambda: _page(TEXT + b"0 0 .4 rg " + _BOX + _text("1 g"), entries=b"/Rotate 90"),
    "on a page of its own size": lambda: _page(
        TEXT + b"0 0 .4 rg " + _BOX + _text("1 g"), entries=b"/CropBox[50 300 590 790]"
    ),
}
