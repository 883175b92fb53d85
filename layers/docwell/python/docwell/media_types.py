"""The kinds of files that docwell reads, as media types, and the usual suffixes of their names."""

from __future__ import annotations

PDF = "application/pdf"
_OFFICE = "application/vnd.openxmlformats-officedocument"
_SUFFIXES = {
    PDF: ".pdf",
    f"{_OFFICE}.wordprocessingml.document": ".docx .docm .dotx .dotm",
    f"{_OFFICE}.spreadsheetml.sheet": ".xlsx .xlsm",
    f"{_OFFICE}.presentationml.presentation": ".pptx .pptm",
    "text/html": ".html .htm",
    "text/markdown": ".md",
    "text/plain": ".txt",
    "text/csv": ".csv .tsv",
    "message/rfc822": ".eml",
    "application/vnd.ms-outlook": ".msg",
    "image/png": ".png",
    "image/jpeg": ".jpg .jpeg",
    "image/tiff": ".tif .tiff",
}
# The media type by suffix. Ingest detects the kind by the content; a suffix only selects files for S3.
MEDIA_TYPES = {suffix: media_type for media_type, suffixes in _SUFFIXES.items() for suffix in suffixes.split()}
UNKNOWN = "application/octet-stream"
# A browser may show only these: others could run as a page of the bucket's origin, or it cannot show them.
SHOWN = frozenset({PDF, "image/png", "image/jpeg"})
