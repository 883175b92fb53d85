"""Messages: header and text, and the attachments for `formats.py` to read."""

from __future__ import annotations

import contextlib
import email.policy
import io
from collections.abc import Iterator, Sequence
from email.message import EmailMessage
from typing import Any, NamedTuple

from oxmsg import Message

from docwell.adapters.documents import web
from docwell.adapters.documents.charsets import decoded
from docwell.adapters.documents.parts import Attachment, Metadata, Parts
from docwell.models import CitationUnit, Reason, UnitKind

MAX_ATTACHMENTS = 200
UNSENT_YEAR = 1601
# HTML with less of the letters of the plain text does not have its content.
LEAST_SHOWN = 0.6
_FIELDS = ("From", "To", "Cc", "Date", "Subject")
_BODY, _WEB_BODY = "plain", "html"
_MESSAGE, _ALTERNATIVE, _RELATED = "message/rfc822", "multipart/alternative", "multipart/related"
_TEXTS = frozenset({"text/plain", "text/html"})
_HEADER, _TEXT = "message header", "message text"
# The header is part 0 and the text part 1.
_FIRST_ATTACHMENT = 2


class _Content(NamedTuple):
    """A message: its shown fields, plain text, text as HTML, attachments, and how many more are left out."""

    fields: Sequence[tuple[str, str]]
    text: str
    page: str
    attachments: Sequence[Attachment]
    left_out: int
    metadata: Metadata


def read(data: bytes, parts: Parts) -> Metadata:
    """Add the header and text of a message in the format of the internet (RFC 5322)."""
    return _add(_internet(data), parts)


def read_outlook(data: bytes, parts: Parts) -> Metadata:
    """Add the header and text of a message in Outlook's format."""
    return _add(_outlook(data), parts)


def _add(message: _Content, parts: Parts) -> Metadata:
    names = ", ".join(attachment.name for attachment in message.attachments)
    if message.left_out:
        names += f", and {message.left_out} more, which are not read"
    fields = [*message.fields, *([("Attachments", names)] if names else [])]
    header = "\n".join(f"{name}: {' '.join(value.split())}" for name, value in fields if value.strip())
    parts.add(header, CitationUnit(UnitKind.PART, _HEADER, "part=0"))
    with parts.inside(_TEXT, "part=1"):
        # The text as HTML has its tables; the plain text beside it may be only a hint ("Open this in a browser").
        # HTML of much less text is a hint or a footer.
        shown = Parts()
        web.read(message.page, shown)
        shown_letters = sum(len("".join(part.text.split())) for part in shown.end())
        if shown_letters < LEAST_SHOWN * len("".join(message.text.split())):
            for paragraph in message.text.split("\n\n"):
                parts.add(paragraph, CitationUnit(UnitKind.PART, "", ""))
        if message.page.strip():
            web.read(message.page, parts)
    return message.metadata._replace(attachments=message.attachments)


def _internet(data: bytes) -> _Content:
    message = email.message_from_bytes(data, _class=EmailMessage, policy=email.policy.default)
    fields = [(name, str(_field(message, name))) for name in _FIELDS]
    text, page = _body(message, _BODY), _body(message, _WEB_BODY)
    sent = getattr(_field(message, "Date"), "datetime", None)
    metadata = Metadata.of(str(_field(message, "Subject")), str(_field(message, "From")), sent)
    files = list(_files(message))
    attachments = [_attachment(part, number) for number, part in enumerate(files[:MAX_ATTACHMENTS], 1)]
    return _Content(fields, text, page, attachments, len(files) - len(attachments), metadata)


def _field(message: EmailMessage, name: str) -> object:
    """Return a field of the header, as it stands where Python cannot parse it, such as the sender "@"."""
    try:
        return message.get(name, "")
    except Exception:  # noqa: BLE001 - the parser of fields raises anything
        return next((str(value) for key, value in message.raw_items() if key.lower() == name.lower()), "")


def _body(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    if part is None:
        return ""
    payload = part.get_payload(decode=True)
    return _decoded(part, payload if isinstance(payload, bytes) else b"")


def _decoded(part: Any, payload: bytes) -> str:
    """Return a text. Many programs declare no character set, or ASCII, and write another one."""
    declared = part.get_content_charset()
    if declared and (declared != "us-ascii" or payload.isascii()):
        # Python may not know the declared character set, and the text may have bytes outside it.
        with contextlib.suppress(LookupError, OSError, UnicodeDecodeError):
            return payload.decode(declared).replace("\r\n", "\n")
    return decoded(payload) or payload.decode("utf-8", "replace").replace("\r\n", "\n")


def _files(message: EmailMessage) -> Iterator[EmailMessage]:
    """Yield the attachments at any depth: a signature and Apple Mail's alternatives have them inside.

    The texts of an alternative are one text, and pictures beside a page are shown in it.
    """
    bodies = [message.get_body((kind,)) for kind in (_BODY, _WEB_BODY)]
    stack: list[tuple[Any, frozenset[str]]] = [(message, frozenset())]
    while stack:
        part, around = stack.pop()
        kind = part.get_content_type()
        if part.is_multipart() and kind != _MESSAGE:
            inside = around | {kind}
            stack += [(inner, inside) for inner in reversed(part.get_payload())]
        elif part.is_attachment() or not (
            any(part is body for body in bodies)
            or (kind in _TEXTS and _ALTERNATIVE in around and part.get_filename() is None)
            or (kind.startswith("image/") and _RELATED in around)
        ):
            yield part


def _attachment(part: EmailMessage, number: int) -> Attachment:
    name, anchor = part.get_filename() or f"{number}", _anchor(number)
    try:
        if part.get_content_type() == _MESSAGE:
            message = part.get_content()
            return Attachment(str(_field(message, "Subject")) or name, message.as_bytes(), anchor)
        payload = part.get_payload(decode=True)
    except Exception:  # noqa: BLE001 - the library raises anything on a damaged message
        return Attachment(name, Reason.CORRUPT, anchor)
    content = payload if isinstance(payload, bytes) else b""
    if part.get_content_maintype() == "text" and part.get_content_charset():
        content = _decoded(part, content).encode("utf-8", "replace")
    return Attachment(name, content, anchor)


def _anchor(number: int) -> str:
    return f"part={number - 1 + _FIRST_ATTACHMENT}"


def _outlook(data: bytes) -> _Content:
    message = Message.load(io.BytesIO(data))
    sender, subject = message.sender or "", message.subject or ""
    # Outlook's clock begins in 1601: a message that was never sent has this date.
    sent = message.sent_date if message.sent_date and message.sent_date.year > UNSENT_YEAR else None
    recipients = ", ".join(f"{recipient.name} <{recipient.email_address}>" for recipient in message.recipients)
    date = sent.isoformat(" ", "minutes") if sent else ""
    fields = [("From", sender), ("To", recipients), ("Date", date), ("Subject", subject)]
    files = [file for file in message.attachments if file.attached_by_value and file.file_bytes]
    attachments = [
        Attachment(file.file_name or f"{number}", file.file_bytes or b"", _anchor(number))
        for number, file in enumerate(files[:MAX_ATTACHMENTS], 1)
    ]
    left_out, metadata = len(files) - len(attachments), Metadata.of(subject, sender, sent)
    return _Content(fields, message.body or "", message.html_body or "", attachments, left_out, metadata)
