"""Every kind of poison PDF by name, and the parts of PDFs: objects, streams and whole files as bytes.

No file is stored: a virus scanner or a preview would open it too.
"""

import io
import random
import tomllib
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pypdf

MIB = 1024 * 1024
TEXT = b"BT /F 12 Tf 72 720 Td (The pump is serviced every ninety days.) Tj ET\n"
FONT = b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"
Make = Callable[[], bytes]


def stream(content: bytes, entries: bytes = b"", length: bytes | None = None) -> bytes:
    """Return a stream object; `length` claims another length than the true one."""
    claimed = b"%d" % len(content) if length is None else length
    return b"<<%b/Length %b>>stream\n%b\nendstream" % (entries, claimed, content)


def flate(content: bytes, times: int = 1, entries: bytes = b"") -> bytes:
    for _ in range(times):
        content = zlib.compress(content, 9)
    return stream(content, b"/Filter[%b]%b" % (b"/FlateDecode" * times, entries))


def pdf(objects: Iterable[bytes], trailer: bytes = b"", catalog: bytes = b"/Pages 2 0 R") -> bytes:
    """Return a file of the catalog (object 1) and `objects` from 2 on, with a correct cross-reference table."""
    parts, offsets, at = [b"%PDF-1.7\n"], [], 9
    for number, item in enumerate((b"<</Type/Catalog%b>>" % catalog, *objects), 1):
        offsets.append(at)
        parts.append(b"%d 0 obj\n%b\nendobj\n" % (number, item))
        at += len(parts[-1])
    parts.append(b"xref\n0 %d\n0000000000 65535 f \n" % (len(offsets) + 1))
    parts += [b"%010d 00000 n \n" % offset for offset in offsets]
    size = len(offsets) + 1
    parts.append(b"trailer<</Size %d/Root 1 0 R%b>>\nstartxref\n%d\n%%%%EOF\n" % (size, trailer, at))
    return b"".join(parts)


def one_page(
    content: bytes,
    *objects: bytes,
    font: bytes = FONT,
    xobject: bytes = b"",
    catalog: bytes = b"",
    times: int = 1,
) -> bytes:
    """Return a file of one page: object 3 is the page, 4 its content, 5 the font `F`, `objects` from 6 on.

    The page comes `times` in a row.
    """
    resources = b"/Resources<</Font<</F 5 0 R>>/XObject<<%b>>>>" % xobject
    page = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Contents 4 0 R%b>>" % resources
    pages = b"<</Type/Pages/Kids[%b]/Count %d>>" % (b"3 0 R " * times, times)
    return pdf([pages, page, content, font, *objects], catalog=b"/Pages 2 0 R" + catalog)


def healthy(pages: int = 1, middle: bytes | None = None) -> bytes:
    """Return a file of equal pages; `middle` is the content, a stream object, of the middle one."""
    page = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Contents %d 0 R/Resources<</Font<</F 4 0 R>>>>>>"
    numbers = [3] * pages
    if middle is not None:
        numbers[pages // 2 - 1] = 5
    kids = b" ".join(b"%d 0 R" % (number + 6) for number in range(pages))
    tree = b"<</Type/Pages/Kids[%b]/Count %d>>" % (kids, pages)
    return pdf([tree, stream(TEXT), FONT, middle or b"null", *(page % number for number in numbers)])


ROWS = tomllib.loads(Path(__file__).with_name("kinds.toml").read_text(encoding="utf-8"))


def repeated(parts: Sequence[str | tuple[str, int]]) -> bytes:
    """Return the joined parts as bytes; each character is one byte."""
    pairs = ((part, 1) if isinstance(part, str) else part for part in parts)
    return b"".join(text.replace("TEXT", TEXT.decode()).encode("latin-1") * times for text, times in pairs)


def texts(table: str) -> dict[str, Make]:
    """Return the makers of a table of `kinds.toml` whose files are their content."""
    return {name: partial(repeated, parts) for name, parts in ROWS[table].items()}


def _pages(table: str) -> dict[str, Make]:
    return {name: partial(_page, row) for name, row in ROWS[table].items()}


def _page(row: Mapping[str, Any]) -> bytes:
    objects = [
        _stream(part) if "entries" in part else repeated(part["content"]) for part in row.get("objects", ())
    ]
    options = {name: row[name].encode() for name in ("font", "xobject", "catalog") if name in row}
    return one_page(_stream(row), *objects, times=row.get("times", 1), **options)


def _stream(row: Mapping[str, Any]) -> bytes:
    content, entries = repeated(row.get("content", ())), row.get("entries", "").encode()
    if row.get("flate"):
        return flate(content, row["flate"], entries)
    return stream(content, entries, row["length"].encode() if "length" in row else None)


def _table_before_itself() -> bytes:
    good = healthy()
    return good.replace(b"/Root 1 0 R", b"/Root 1 0 R/Prev %d" % good.rindex(b"xref\n0 "))


_FORM = b"/Type/XObject/Subtype/Form/BBox[0 0 600 800]"


def _forms_that_double() -> bytes:
    form = _FORM + b"/Resources<</XObject<</A %d 0 R>>>>"
    forms = [stream(b"/A Do /A Do", form % number) for number in range(7, 37)]
    return one_page(stream(b"/A Do"), *forms, stream(TEXT, _FORM), xobject=b"/A 6 0 R")


_IDENTITY = b"/Type/Font/Subtype/Type0/BaseFont/X/Encoding/Identity-H/DescendantFonts[6 0 R]"
_DESCENDANT = (
    b"<</Type/Font/Subtype/CIDFontType2/BaseFont/X/CIDSystemInfo<</Registry(X)/Ordering(Y)/Supplement 0>>>>"
)
_CMAP = (
    b"/CIDInit /ProcSet findresource begin 12 dict begin begincmap\n1 begincodespacerange <0000> <FFFF> "
    b"endcodespacerange\n%b endcmap end end"
)
_PRIVATE = _CMAP % b"1 beginbfrange <0000> <FFFF> <E000> endbfrange"
# One code shows 100 letters.
_LONG_STRING = _CMAP % (b"1 beginbfchar <0041> <%b> endbfchar" % (b"0061" * 100))


def _mapped(
    codes: bytes, cmap: bytes, font: bytes = _IDENTITY + b"/ToUnicode 7 0 R", compressed: int = 0, pages: int = 1
) -> bytes:
    """Return pages with the hexadecimal `codes` in a font with a character map, object 7."""
    content = flate(b"BT /F 9 Tf <%b> Tj ET" % codes, times=compressed)
    return one_page(content, _DESCENDANT, cmap, font=b"<<%b>>" % font, times=pages)


def _locked_with_a_password() -> bytes:
    writer, out = pypdf.PdfWriter(clone_from=io.BytesIO(healthy())), io.BytesIO()
    writer.encrypt("secret", algorithm="RC4-128")
    writer.write(out)
    return out.getvalue()


_BUILT: dict[str, Make] = {
    "random_after_header": lambda: b"%PDF-1.7\n" + random.Random(1).randbytes(MIB),
    "polyglot": lambda: b"GIF89a<html><!--\n" + healthy() + b"--><script>alert(1)</script></html>PK\x03\x04",
    "truncated_in_the_page_tree": lambda: healthy(500)[:200],
    "cross_reference_bomb": lambda: (
        b"%%PDF-1.7\n1 0 obj\n%b\nendobj\nstartxref\n9\n%%%%EOF"
        % flate(bytes(100 * MIB), entries=b"/Type/XRef/Size 2147483647/W[1 8 8]/Root 1 0 R")
    ),
    "two_billion_pages_claimed": lambda: healthy().replace(b"/Count 1>>", b"/Count 2000000000>>"),
    "cyclic_page_tree": lambda: pdf(
        [b"<</Type/Pages/Kids[3 0 R 2 0 R]/Count 50>>", b"<</Type/Pages/Kids[2 0 R 3 0 R]/Count 50>>"]
    ),
    "table_before_itself": _table_before_itself,
    "million_objects": lambda: (
        healthy()[: -len(b"%%EOF\n")] + b"".join(b"%d 0 obj 0 endobj\n" % n for n in range(9, 1_000_009))
    ),
    "forms_that_double": _forms_that_double,
    "text_of_private_characters": lambda: _mapped(
        b"".join(b"%04X" % number for number in range(1, 400)), stream(_PRIVATE)
    ),
    "character_map_in_itself": lambda: _mapped(
        b"00410042",
        stream(_CMAP % b"", b"/Type/CMap/CMapName/X/UseCMap 7 0 R"),
        _IDENTITY.replace(b"/Encoding/Identity-H", b"/Encoding 7 0 R/ToUnicode 7 0 R"),
    ),
    "locked_with_a_password": _locked_with_a_password,
    "locked_by_a_stranger": lambda: healthy().replace(
        b"/Root 1 0 R", b"/Root 1 0 R/Encrypt<</Filter/Unknown.Lock/V 99>>"
    ),
}
# Page 50 cannot be read.
BAD_PAGES: dict[str, Make] = {
    "bomb_among_a_hundred_pages": lambda: healthy(100, middle=_stream(ROWS["pdf"]["flate_bomb"])),
    "long_page_among_a_hundred": lambda: healthy(
        100, middle=flate(repeated(ROWS["amplifier"]["small_file_of_much_text"]["content"]) * 2)
    ),
}
# Small files that become much text.
AMPLIFIERS: dict[str, Make] = _pages("amplifier") | {
    "codes_that_show_long_strings": lambda: _mapped(b"0041" * 1_500, flate(_LONG_STRING), compressed=2, pages=420),
}


def poison_kinds() -> dict[str, Make]:
    """Return the makers by name. Some files unpack to a gigabyte; none is over 40 MB."""
    return texts("text") | _pages("pdf") | _BUILT | BAD_PAGES | AMPLIFIERS
