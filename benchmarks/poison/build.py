"""The parts of poison PDFs: objects, streams and whole files as bytes."""

import zlib
from collections.abc import Callable, Iterable

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
