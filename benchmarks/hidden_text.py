"""PDFs with a hidden sentence, and twins that show it, from `hidden_text.toml`."""

import tomllib
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.poison.kinds import FONT, TEXT, Make, pdf, stream

SEEN = "The pump is serviced every ninety days."  # visible on each page
SENTENCE = "The vault opens with nine keys."
# Grey images of 60 by 80 pixels.
_PICTURES = {
    "white": b"\xff" * 4800,
    "dark": b"\x40" * 4800,
    "black": b"\x00" * 4800,
    "chequered": b"".join((b"\x00\xff" if row % 2 else b"\xff\x00") * 30 for row in range(80)),
}
_PICTURE = b"/Type/XObject/Subtype/Image/Width 60/Height 80/ColorSpace/DeviceGray/BitsPerComponent 8"
_FONT = "/Font<</F 5 0 R>>"
# Painting these takes longer than the time limit of a page.
_FILLS = "/G gs .9 g " + "0 0 600 580 re f\n" * 20_000
_AROUND = "BT /F 12 Tf .7 g 72 600 Td (SENTENCE) Tj ET BT /F 12 Tf .7 g 72 20 Td (Low.) Tj ET"
_FAINT = "/ExtGState<</G<</ca .01>>>>"


def heavy_kinds() -> dict[str, Make]:
    """Return the makers of pages whose drawing takes too long, and which show `SENTENCE` in grey."""
    paths = {"content": f"TEXT q {_FILLS} Q {_AROUND}", "resources": _FAINT}
    form = {"content": f"TEXT q /X Do Q {_AROUND}", "form": _FILLS, "form_resources": _FAINT}
    return {"many paths": partial(_page, paths), "one form": partial(_page, form)}


def kinds(table: str) -> dict[str, Make]:
    """Return the makers of pages that do not show `SENTENCE` ("hidden"), or do ("shown"), by the way."""
    text = Path(__file__).with_suffix(".toml").read_text(encoding="utf-8")
    return {name: partial(_page, row) for name, row in tomllib.loads(text)[table].items()}


def _page(row: Mapping[str, Any]) -> bytes:
    """Return a file of one page; object 6 is the XObject `X`."""
    xobject = b"null"
    if "picture" in row:
        xobject = stream(_PICTURES[row["picture"]], _PICTURE)
    if "form" in row:
        box, resources = row.get("form_box", "0 0 600 800"), _FONT + row.get("form_resources", "")
        entries = f"/Type/XObject/Subtype/Form/BBox[{box}]/Resources<<{resources}>>{row.get('form_entries', '')}"
        xobject = _stream({"entries": entries, "content": row["form"]})
    resources = f"/Resources<<{_FONT}/XObject<</X 6 0 R>>{row.get('resources', '')}>>{row.get('entries', '')}"
    page = f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Contents 4 0 R{resources}>>".encode()
    objects = [_stream(part) for part in row.get("objects", ())]
    content = _stream({"content": row["content"], "entries": ""})
    tree = [b"<</Type/Pages/Kids[3 0 R]/Count 1>>", page, content, FONT, xobject]
    return pdf([*tree, *objects], catalog=b"/Pages 2 0 R" + row.get("catalog", "").encode())


def _stream(part: Mapping[str, str]) -> bytes:
    """Return an object; with content, as a stream."""
    if "content" not in part:
        return f"<<{part['entries']}>>".encode()
    content = part["content"].replace("TEXT", TEXT.decode()).replace("DRAW", "q 600 0 0 800 0 0 cm /X Do Q")
    shown = content.replace("SENTENCE", SENTENCE).replace("SEEN", SEEN)
    return stream(shown.encode(), part["entries"].encode())
