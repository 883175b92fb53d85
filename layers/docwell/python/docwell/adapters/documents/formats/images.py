"""Images: a part for each picture, without text. A recogniser may read them later (`documents/ocr.py`)."""

from __future__ import annotations

import io

from PIL import Image, JpegImagePlugin, PngImagePlugin, TiffImagePlugin

from docwell.adapters.documents.child import PageText
from docwell.adapters.documents.formats.parts import Metadata, Parts
from docwell.citation_units import UnitKind
from docwell.errors import Refused
from docwell.models import Reason

# Pillow finds its formats by importing them, which the sandbox forbids later.
FORMATS = tuple(
    plugin.format
    for plugin in (PngImagePlugin.PngImageFile, JpegImagePlugin.JpegImageFile, TiffImagePlugin.TiffImageFile)
)
# A page of A3 at 600 dots an inch has 70 million. A decoded pixel takes 3 bytes.
MAX_PIXELS = 80_000_000


def opened(data: bytes) -> Image.Image:
    """Return the image, not yet decoded. Raises `Refused` when it is damaged or too large."""
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError:
        raise Refused(Reason.TOO_MUCH_MEMORY, "the image has too many pixels") from None
    if image.width * image.height > MAX_PIXELS:
        raise Refused(Reason.TOO_MUCH_MEMORY, "the image has too many pixels")
    return image


def read(data: bytes, parts: Parts) -> Metadata:
    """Add an empty part for each picture of a file. Raises `Refused` when the first cannot be decoded."""
    image = opened(data)
    count = getattr(image, "n_frames", 1)
    image.load()
    for number in range(1, count + 1):
        parts.done.append(PageText("", units=[(0, UnitKind.IMAGE, f"image {number}", f"image={number}")]))
    return Metadata()
