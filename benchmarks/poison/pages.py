"""Pages with poisonous content, fonts, images, scripts or locks."""

import io

import pypdf

from benchmarks.poison.build import MIB, TEXT, Make, flate, healthy, one_page, stream

IDENTITY = b"/Type/Font/Subtype/Type0/BaseFont/X/Encoding/Identity-H/DescendantFonts[6 0 R]"
DESCENDANT = (
    b"<</Type/Font/Subtype/CIDFontType2/BaseFont/X/CIDSystemInfo<</Registry(X)/Ordering(Y)/Supplement 0>>>>"
)
FORM = b"/Type/XObject/Subtype/Form/BBox[0 0 600 800]"
CMAP_START = b"/CIDInit /ProcSet findresource begin 12 dict begin begincmap\n1 begincodespacerange <0000> <FFFF> "
CMAP_START += b"endcodespacerange\n"
CMAP_END = b"endcmap end end"


def _form_in_itself() -> bytes:
    form = stream(b"/A Do " + TEXT, FORM + b"/Resources<</XObject<</A 6 0 R>>/Font<</F 5 0 R>>>>")
    return one_page(stream(b"/A Do"), form, xobject=b"/A 6 0 R")


def _forms_that_double() -> bytes:
    forms = [
        stream(b"/A Do /A Do", FORM + b"/Resources<</XObject<</A %d 0 R>>>>" % number) for number in range(7, 37)
    ]
    return one_page(stream(b"/A Do"), *forms, stream(TEXT, FORM), xobject=b"/A 6 0 R")


def _glyph_that_draws_itself() -> bytes:
    font = b"<</Type/Font/Subtype/Type3/FontBBox[0 0 9 9]/FontMatrix[1 0 0 1 0 0]/FirstChar 97/LastChar 97"
    font += b"/Widths[9]/CharProcs<</a 6 0 R>>/Encoding<</Differences[97/a]>>/Resources<</Font<</F 5 0 R>>>>>>"
    glyph = stream(b"9 0 d0 BT /F 9 Tf (aaaa) Tj ET")
    return one_page(stream(b"BT /F 9 Tf (aaaa) Tj ET"), glyph, font=font)


def _image_of_a_billion_pixels_squared() -> bytes:
    image = b"/Type/XObject/Subtype/Image/Width 1000000000/Height 1000000000/BitsPerComponent 16"
    return one_page(
        stream(b"/A Do"), flate(bytes(MIB), entries=image + b"/ColorSpace/DeviceCMYK"), xobject=b"/A 6 0 R"
    )


def _encoding_of_nonsense() -> bytes:
    differences = b" ".join(b"%d/g%d" % (-number, number) for number in range(100_000))
    font = b"<</Type/Font/Subtype/TrueType/BaseFont/X/Encoding<</BaseEncoding/No/Differences[%b]>>>>" % differences
    return one_page(stream(TEXT), font=font)


def _font_of_nonsense() -> bytes:
    font = (
        b"<</Type/Font/Subtype/TrueType/BaseFont/X/FontDescriptor 6 0 R/FirstChar -5/LastChar 99999999/Widths[1]>>"
    )
    descriptor = b"<</Type/FontDescriptor/FontName/X/Flags 4/FontFile2 7 0 R>>"
    return one_page(stream(TEXT), descriptor, stream(b"\x00\x01\x00\x00\xff\xff" + b"glyf\xff" * 9999), font=font)


def _text_of_private_characters() -> bytes:
    cmap = CMAP_START + b"1 beginbfrange <0000> <FFFF> <E000> endbfrange " + CMAP_END
    content = b"BT /F 9 Tf <%b> Tj ET" % b"".join(b"%04X" % number for number in range(1, 400))
    return one_page(stream(content), DESCENDANT, stream(cmap), font=b"<<%b/ToUnicode 7 0 R>>" % IDENTITY)


def _character_map_bomb() -> bytes:
    ranges = b"<0000> <FFFF> <%b>\n" % (b"0041" * 500)
    cmap = CMAP_START + b"100 beginbfrange\n" + ranges * 100 + b"endbfrange\n" + CMAP_END
    content = stream(b"BT /F 9 Tf <%b> Tj ET" % (b"0041" * 9000))
    return one_page(content, DESCENDANT, flate(cmap), font=b"<<%b/ToUnicode 7 0 R>>" % IDENTITY)


def _character_map_of_huge_ranges() -> bytes:
    cmap = b"begincmap 1 begincodespacerange <00000000> <FFFFFFFF> endcodespacerange\n"
    cmap += b"1 beginbfrange <00000000> <FFFFFFFF> <0041> endbfrange endcmap"
    content = stream(b"BT /F 9 Tf <0041004200430044> Tj ET")
    return one_page(content, DESCENDANT, stream(cmap), font=b"<<%b/ToUnicode 7 0 R>>" % IDENTITY)


def _character_map_in_itself() -> bytes:
    cmap = stream(CMAP_START + CMAP_END, b"/Type/CMap/CMapName/X/UseCMap 7 0 R")
    font = IDENTITY.replace(b"/Encoding/Identity-H", b"/Encoding 7 0 R/ToUnicode 7 0 R")
    return one_page(stream(b"BT /F 9 Tf <00410042> Tj ET"), DESCENDANT, cmap, font=b"<<%b>>" % font)


def _widths_of_everything() -> bytes:
    descendant = DESCENDANT[:-2] + b"/W[%b]>>" % (b"0 2147483647 500 " * 1000)
    return one_page(stream(b"BT /F 9 Tf <00410042> Tj ET"), descendant, font=b"<<%b>>" % IDENTITY)


def _metadata_bomb() -> bytes:
    entities = b'<!ENTITY a0 "aaaaaaaaaa">'
    entities += b"".join(b'<!ENTITY a%d "%b">' % (n, b"&a%d;" % (n - 1) * 10) for n in range(1, 10))
    packet = stream(b"<?xml version='1.0'?><!DOCTYPE x [%b]><x>&a9;</x>" % entities, b"/Type/Metadata/Subtype/XML")
    return one_page(stream(b""), packet, catalog=b"/Metadata 6 0 R")


def _script_only() -> bytes:
    script = b"<</S/JavaScript/JS(while\\(true\\)app.alert\\(1\\))>>"
    return one_page(stream(b""), script, catalog=b"/OpenAction 6 0 R/Names<</JavaScript<</Names[(x) 6 0 R]>>>>")


def _program_to_launch() -> bytes:
    action = b"<</S/Launch/F(/bin/sh)/Win<</F(cmd.exe)/P(/c calc)>>>>"
    return one_page(stream(b""), action, catalog=b"/OpenAction 6 0 R/AA<</WC 6 0 R>>")


def _form_of_xml_only() -> bytes:
    xfa = b"<</Fields[]/XFA[(template) 7 0 R]/NeedsRendering true>>"
    return one_page(stream(b""), xfa, stream(b"<template><field/></template>"), catalog=b"/AcroForm 6 0 R")


def _locked_with_a_password() -> bytes:
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(healthy()))
    writer.encrypt("secret", algorithm="RC4-128")
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def _locked_with_nonsense() -> bytes:
    lock = b"/Encrypt<</Filter/Standard/V 5/R 6/Length -1/P 0/O<00>/U()/OE()/UE()/Perms(x)>>/ID[()()]"
    return healthy().replace(b"/Root 1 0 R", b"/Root 1 0 R" + lock)


KINDS: dict[str, Make] = {
    "huge_content_stream": lambda: one_page(flate(b"0 0 m 9 9 l S\n" * (2 * MIB) + TEXT)),
    "ten_million_characters": lambda: one_page(
        flate(b"BT /F 9 Tf " + b"(%b) Tj " % (b"abcdefghi " * 10) * 100_000 + b"ET")
    ),
    "graphics_states_never_restored": lambda: one_page(flate(b"q " * (4 * MIB) + TEXT)),
    "text_beyond_all_numbers": lambda: one_page(
        stream(b"BT /F 1e308 Tf 1e308 0 0 -1e308 9e999 1e-320 Tm (a) Tj 2147483648 Tc (b) Tj ET")
    ),
    "form_in_itself": _form_in_itself,
    "forms_that_double": _forms_that_double,
    "glyph_that_draws_itself": _glyph_that_draws_itself,
    "image_of_a_billion_pixels_squared": _image_of_a_billion_pixels_squared,
    "inline_image_without_end": lambda: one_page(
        stream(b"BI /W 99999 /H 99999 /BPC 8 /CS /RGB /F /Fl ID " + b"E I " * MIB)
    ),
    "encoding_of_nonsense": _encoding_of_nonsense,
    "font_of_nonsense": _font_of_nonsense,
    "text_of_private_characters": _text_of_private_characters,
    "character_map_bomb": _character_map_bomb,
    "character_map_of_huge_ranges": _character_map_of_huge_ranges,
    "character_map_in_itself": _character_map_in_itself,
    "widths_of_everything": _widths_of_everything,
    "metadata_bomb": _metadata_bomb,
    "script_only": _script_only,
    "program_to_launch": _program_to_launch,
    "form_of_xml_only": _form_of_xml_only,
    "content_elsewhere": lambda: one_page(stream(b"", b"/F(/etc/passwd)/FFilter/FlateDecode")),
    "locked_with_a_password": _locked_with_a_password,
    "locked_with_nonsense": _locked_with_nonsense,
    "locked_by_a_stranger": lambda: healthy().replace(
        b"/Root 1 0 R", b"/Root 1 0 R/Encrypt<</Filter/Unknown.Lock/V 99>>"
    ),
}
