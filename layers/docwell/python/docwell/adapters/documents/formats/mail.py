"""Messages: header, text and attachments, each attachment as part of the message in its own kind."""

from __future__ import annotations

import contextlib
import email.policy
import io
from collections.abc import Iterator, Sequence
from email.message import EmailMessage
from typing import Any, NamedTuple

from oxmsg import Message

from docwell.adapters.documents.formats import attachments, opening, web
from docwell.adapters.documents.formats.attachments import Attachment
from docwell.adapters.documents.formats.parts import Metadata, Parts
from docwell.citation_units import CitationUnit, UnitKind

MAX_ATTACHMENTS = 200
UNSENT_YEAR = 1601
# A plain text with this part of the letters of the other one, or less, lacks what that says.
HINT_SHARE = 3
_FIELDS = ("From", "To", "Cc", "Date", "Subject")
_BODY, _WEB_BODY = "plain", "html"
_MESSAGE, _ALTERNATIVE, _RELATED = "message/rfc822", "multipart/alternative", "multipart/related"
_TEXTS = frozenset({"text/plain", "text/html"})
_HEADER, _TEXT = "message header", "message text"


class _Read(NamedTuple):
    """A message: its shown fields, plain text, text as HTML, and attachments."""

    fields: Sequence[tuple[str, str]]
    text: str
    page: str
    attachments: Sequence[Attachment]
    unread: int
    metadata: Metadata


def read(data: bytes, parts: Parts) -> Metadata:
    """Add a message in the format of the internet (RFC 5322)."""
    return _add(_internet(data), parts)


def read_outlook(data: bytes, parts: Parts) -> Metadata:
    """Add a message in Outlook's format."""
    return _add(_outlook(data), parts)


def _add(message: _Read, parts: Parts) -> Metadata:
    names = ", ".join(attachment.name for attachment in message.attachments)
    if message.unread:
        names += f", and {message.unread} more, which are not read"
    fields = [*message.fields, *([("Attachments", names)] if names else [])]
    header = "\n".join(f"{name}: {' '.join(value.split())}" for name, value in fields if value.strip())
    parts.add(header, CitationUnit(UnitKind.PART, _HEADER, "part=0"))
    with parts.inside(_TEXT, "part=1"):
        if message.text.strip() and not _stands_for_page(message):
            for paragraph in message.text.split("\n\n"):
                parts.add(paragraph, CitationUnit(UnitKind.PART, "", ""))
        elif message.page.strip():
            web.read(message.page, parts)
    attachments.add(message.attachments, parts, first=2)
    return message.metadata


def _stands_for_page(message: _Read) -> bool:
    """Return whether the plain text is only a hint to the text as HTML, such as "Open this in a browser"."""
    shown = Parts()
    web.read(message.page, shown)
    page = sum(len("".join(part.text.split())) for part in shown.end())
    return len("".join(message.text.split())) * HINT_SHARE < page


def _internet(data: bytes) -> _Read:
    message = email.message_from_bytes(data, _class=EmailMessage, policy=email.policy.default)
    fields = [(name, str(_header(message, name))) for name in _FIELDS]
    text, page = _body(message, _BODY), _body(message, _WEB_BODY)
    sent = getattr(_header(message, "Date"), "datetime", None)
    author, subject = str(_header(message, "From")), str(_header(message, "Subject"))
    carried = list(_carried(message))
    found = [_attachment(part, number) for number, part in enumerate(carried[:MAX_ATTACHMENTS], 1)]
    unread = len(carried) - len(found)
    return _Read(fields, text, page, found, unread, Metadata.of(subject, author, sent))


def _header(message: EmailMessage, name: str) -> object:
    """Return a field; of one that Python cannot parse, such as the sender "@", the text as it is."""
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
        # One that Python does not know, or that the text does not keep to.
        with contextlib.suppress(LookupError, OSError, UnicodeDecodeError):
            return payload.decode(declared).replace("\r\n", "\n")
    return opening.decoded(payload) or payload.decode("utf-8", "replace").replace("\r\n", "\n")


def _carried(message: EmailMessage) -> Iterator[EmailMessage]:
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
    name = part.get_filename() or f"{number}"
    try:
        if part.get_content_type() == _MESSAGE:
            content = part.get_content()
            return Attachment(str(_header(content, "Subject")) or name, content.as_bytes())
        payload = part.get_payload(decode=True)
    except Exception:  # noqa: BLE001 - the library raises anything on a damaged message
        return Attachment(name, None)
    content = payload if isinstance(payload, bytes) else b""
    if part.get_content_maintype() == "text" and part.get_content_charset():
        content = _decoded(part, content).encode("utf-8", "replace")
    return Attachment(name, content)


def _outlook(data: bytes) -> _Read:
    message = Message.load(io.BytesIO(data))
    sender, subject = message.sender or "", message.subject or ""
    # Outlook's clock begins in 1601: a message that was never sent has this date.
    sent = message.sent_date if message.sent_date and message.sent_date.year > UNSENT_YEAR else None
    to = ", ".join(f"{one.name} <{one.email_address}>" for one in message.recipients)
    date = sent.isoformat(" ", "minutes") if sent else ""
    fields = [("From", sender), ("To", to), ("Date", date), ("Subject", subject)]
    carried = [one for one in message.attachments if one.attached_by_value and one.file_bytes]
    found = [
        Attachment(one.file_name or f"{number}", one.file_bytes or b"")
        for number, one in enumerate(carried[:MAX_ATTACHMENTS], 1)
    ]
    unread, metadata = len(carried) - len(found), Metadata.of(subject, sender, sent)
    return _Read(fields, message.body or "", message.html_body or "", found, unread, metadata)
