"""Poison PDFs of many pages: one bad page among a hundred, and small files that become much text."""

from benchmarks.poison.build import MIB, Make, flate, hundred_pages, one_page, stream

# 420 pages of 150,000 characters each, which no limit for a page forbids: 63 MB.
_TIMES = 420
_TEXT = b"BT /F 9 Tf 9 TL " + b"(%b)' " % (b"abcdefghi " * 10) * 1_500 + b"ET"
_FORM = b"/Type/XObject/Subtype/Form/BBox[0 0 600 800]/Resources<</Font<</F 5 0 R>>>>"
_IDENTITY = b"<</Type/Font/Subtype/Type0/BaseFont/X/Encoding/Identity-H/DescendantFonts[6 0 R]/ToUnicode 7 0 R>>"
_DESCENDANT = (
    b"<</Type/Font/Subtype/CIDFontType2/BaseFont/X/CIDSystemInfo<</Registry(X)/Ordering(Y)/Supplement 0>>>>"
)
# One code shows 100 letters.
_LONG_STRING = (
    b"/CIDInit /ProcSet findresource begin 12 dict begin begincmap 1 begincodespacerange <0000> <FFFF> "
    b"endcodespacerange 1 beginbfchar <0041> <%b> endbfchar endcmap end end" % (b"0061" * 100)
)

# Page 50 cannot be read.
BAD_PAGES: dict[str, Make] = {
    "bomb_among_a_hundred_pages": lambda: hundred_pages(flate(b"BT /F 9 Tf " + b"(a) Tj " * (20 * MIB) + b"ET")),
    "long_page_among_a_hundred": lambda: hundred_pages(flate(_TEXT * 2)),
}
AMPLIFIERS: dict[str, Make] = {
    "small_file_of_much_text": lambda: one_page(flate(_TEXT, times=2), times=_TIMES),
    "form_shared_by_many_pages": lambda: one_page(
        stream(b"/A Do"), flate(_TEXT, times=2, entries=_FORM), xobject=b"/A 6 0 R", times=_TIMES
    ),
    "codes_that_show_long_strings": lambda: one_page(
        flate(b"BT /F 9 Tf <%b> Tj ET" % (b"0041" * 1_500), times=2),
        _DESCENDANT,
        flate(_LONG_STRING),
        font=_IDENTITY,
        times=_TIMES,
    ),
}
