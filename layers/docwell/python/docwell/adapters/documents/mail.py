"""Messages: header and text, and the attachments for `formats.py` to read."""

from __future__ import annotations

import contextlib
import email.policy
import io
from collections.abc import Sequence
from email.message import EmailMessage
from typing import Any

from oxmsg import Message

from docwell.adapters.documents import web
from docwell.adapters.documents.kinds import decoded
from docwell.adapters.documents.parts import Attachment, Metadata, Parts
from docwell.models import CitationUnit, Reason, UnitKind

UNSENT_YEAR = 1601
_FIELDS = ("From", "To", "Cc", "Date", "Subject")
_MESSAGE, _ALTERNATIVE, _RELATED = "message/rfc822", "multipart/alternative", "multipart/related"
# Pages of a message, and the plain texts to read where there is no page: its reader sees the page.
_Body = tuple[Sequence[str], Sequence[str]]
_PLAIN, _WEB = "text/plain", "text/html"


def read(data: bytes, parts: Parts) -> Metadata:
    """Add the header and text of a message in the format of the internet (RFC 5322)."""
    message = email.message_from_bytes(data, _class=EmailMessage, policy=email.policy.default)
    fields = [(name, str(_field(message, name))) for name in _FIELDS]
    files: list[EmailMessage] = []
    bodies = _bodies(message, files, is_related=False)
    attachments = [_attachment(part, number) for number, part in enumerate(files, 1)]
    _add(fields, bodies, attachments, parts)
    sent = getattr(_field(message, "Date"), "datetime", None)
    metadata = Metadata.of(str(_field(message, "Subject")), str(_field(message, "From")), sent)
    return metadata._replace(attachments=attachments)


def read_outlook(data: bytes, parts: Parts) -> Metadata:
    """Add the header and text of a message in Outlook's format."""
    message = Message.load(io.BytesIO(data))
    sender, subject = message.sender or "", message.subject or ""
    # Outlook's clock begins in 1601: a message that was never sent has this date.
    sent = message.sent_date if message.sent_date and message.sent_date.year > UNSENT_YEAR else None
    recipients = ", ".join(f"{recipient.name} <{recipient.email_address}>" for recipient in message.recipients)
    date = sent.isoformat(" ", "minutes") if sent else ""
    fields = [("From", sender), ("To", recipients), ("Date", date), ("Subject", subject)]
    files = [file for file in message.attachments if file.attached_by_value and file.file_bytes]
    attachments = [
        Attachment(file.file_name or f"{number}", file.file_bytes or b"", f"part={number + 1}")
        for number, file in enumerate(files, 1)
    ]
    _add(fields, [([message.html_body or ""], [message.body or ""])], attachments, parts)
    return Metadata.of(subject, sender, sent)._replace(attachments=attachments)


def _add(
    fields: Sequence[tuple[str, str]], bodies: Sequence[_Body], attachments: Sequence[Attachment], parts: Parts
) -> None:
    fields = [*fields, ("Attachments", ", ".join(attachment.name for attachment in attachments))]
    header = "\n".join(f"{name}: {' '.join(value.split())}" for name, value in fields if value.strip())
    parts.add(header, CitationUnit(UnitKind.PART, "message header", "part=0"))
    with parts.inside("message text", "part=1"):
        for all_pages, texts in bodies:
            pages = list(filter(str.strip, all_pages))
            for page in pages:
                web.read(page, parts)
            parts.start_part()
            for text in () if pages else texts:
                for paragraph in text.split("\n\n"):
                    parts.add(paragraph, CitationUnit(UnitKind.PART, "", ""))


def _bodies(part: Any, files: list[EmailMessage], *, is_related: bool) -> list[_Body]:
    """Return the bodies in a part of a message, and add its attachments, at any depth, to the files.

    The pages of an alternative are read in place of its plain texts. Pictures beside a page are shown in it.
    """
    kind = part.get_content_type()
    if part.is_multipart() and kind != _MESSAGE:
        is_related = is_related or kind == _RELATED
        bodies = [body for inner in part.get_payload() for body in _bodies(inner, files, is_related=is_related)]
        if kind != _ALTERNATIVE:
            return bodies
        return [([page for pages, _ in bodies for page in pages], [text for _, texts in bodies for text in texts])]
    if kind in {_PLAIN, _WEB} and not part.is_attachment() and part.get_filename() is None:
        text = _decoded(part)
        return [([text], []) if kind == _WEB else ([], [text])]
    if part.is_attachment() or not (kind.startswith("image/") and is_related):
        files.append(part)
    return []


def _field(message: EmailMessage, name: str) -> object:
    """Return a field of the header, as it stands where Python cannot parse it, such as the sender "@"."""
    try:
        return message.get(name, "")
    except Exception:  # noqa: BLE001 - the parser of fields raises anything
        return next((str(value) for key, value in message.raw_items() if key.lower() == name.lower()), "")


def _decoded(part: Any) -> str:
    """Return a text. Many programs declare no character set, or ASCII, and write another one."""
    payload, declared = part.get_payload(decode=True) or b"", part.get_content_charset()
    if declared and (declared != "us-ascii" or payload.isascii()):
        # Python may not know the declared character set, and the text may have bytes outside it.
        with contextlib.suppress(LookupError, OSError, UnicodeDecodeError):
            return payload.decode(declared).replace("\r\n", "\n")
    return decoded(payload) or payload.decode("utf-8", "replace").replace("\r\n", "\n")


def _attachment(part: Any, number: int) -> Attachment:
    # The header is part 0 and the text part 1.
    name, anchor = part.get_filename() or f"{number}", f"part={number + 1}"
    try:
        if part.get_content_type() == _MESSAGE:
            message = part.get_content()
            return Attachment(str(_field(message, "Subject")) or name, message.as_bytes(), anchor)
        if part.get_content_maintype() == "text" and part.get_content_charset():
            return Attachment(name, _decoded(part).encode("utf-8", "replace"), anchor)
        return Attachment(name, part.get_payload(decode=True) or b"", anchor)
    except Exception:  # noqa: BLE001 - the library raises anything on a damaged message
        return Attachment(name, Reason.CORRUPT, anchor)
