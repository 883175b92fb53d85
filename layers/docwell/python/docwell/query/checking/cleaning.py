"""What goes out of docwell is text: no link, image, HTML or hidden character of a passage or of the model. Pure.

Whatever is shown to a reader may be rendered as Markdown or HTML by the client, which docwell does not know.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from docwell.query.checking.suspicion import strip_invisible
from docwell.text.lexicon import NO_WORD_GAPS

# What a stream holds back at most while a link, a tag or a word is open.
HELD_CHARACTERS = 300

_JOINERS = "\u200c\u200d"

# `<script>`, `<style>` and comments go with what they hold, to the end of the text where they are not closed.
_BLOCK = re.compile(r"<(script|style)\b.*?(?:</\1\s*>|\Z)|<!--.*?(?:-->|\Z)", re.IGNORECASE | re.DOTALL)
_AUTOLINK = re.compile(r"<\s*((?:[a-z][a-z0-9+.-]{1,31}:|[^\s<>@]+@)[^\s<>]*)>", re.IGNORECASE)
_TAG = re.compile(r"<[a-z/!?][^<>]*>", re.IGNORECASE)
# A `<` before these begins a tag wherever it is closed; before a blank it is text everywhere.
_TAG_START = re.compile(r"<(?=[a-z/!?])", re.IGNORECASE)
# Elements that only set type, without an attribute.
_INERT = re.compile(
    r"</?(?:b|i|em|strong|u|s|sub|sup|code|pre|p|br|hr|ul|ol|li|table|tr|td|th|h[1-6])\s?/?>", re.IGNORECASE
)
_LINK = re.compile(
    r"!?\[([^\[\]]*)\]\(\s*<?[^()<>\s]*(?:\([^()\s]*\)[^()<>\s]*)*>?(?:\s+(?:\"[^\"]*\"|'[^']*'))?\s*\)"
)
_JOINT = re.compile(r"\](?=\(|:)")  # what makes a link, or the definition of one, of brackets
_IMAGE_MARK = re.compile(r"!(?=\[)")
# Schemes that run or hold something, whatever follows; `data:` only where a type or a comma does.
_RUNS = re.compile(
    r"(?:javascript|vbscript)\s*:[^\s<>]*|\bdata:(?:[\w.+-]+/[\w.+*-]+|[;,])[^\s<>]*", re.IGNORECASE
)
# The commonest ends of host names: a name without a scheme is no link to most clients, but readers follow it.
_DOMAINS = r"(?:com|net|org|edu|gov|io|xyz|info|biz|ru|cn|top|site|app|dev|ai|co|uk|de)"
_URL = re.compile(
    r"(?:[a-z][a-z0-9+.-]{0,40}://|\bwww\.|\b(?:mailto|tel|sms|file):(?=\S))[^\s<>\"'`]*"
    r"|[\w.+-]+@[\w-]+(?:\.[\w-]+)+"
    rf"|\b(?:[a-z0-9-]+\.)+{_DOMAINS}\b(?:[/?#][^\s<>\"'`]*)?",
    re.IGNORECASE,
)
_URL_END = ".,;:!?)]}\u3002\uff0c\uff1b\uff01\uff1f"
_LEFT_EMPTY = re.compile(r"\(\s*\)|<\s*>|\"\s*\"|\u201c\s*\u201d")
_BLANKS = re.compile(r"(?<=\S)[ \t]{2,}(?=\S)|(?<=\S)[ \t]+(?=[.,;](?:\s|$))")

# Where a stream may end a piece beside blanks: after the stops of scripts without blanks, and after a single
# character of one.
_STOPS = "\u3001\u3002\uff0c\uff1a\uff1b\uff01\uff1f\u300d\u300f\uff09"
_BLOCK_START = re.compile(r"<(?:(script|style)\b|!--)", re.IGNORECASE)
_BLOCK_END = re.compile(r"</(script|style)\s*>|-->", re.IGNORECASE)

# Each round takes away a layer of what is nested; deeper nesting than this is no text.
_ROUNDS = 100


def clean_answer(text: str, cited_texts: Sequence[str]) -> tuple[str, int]:
    """The answer as plain text, and how many things were taken out of it.

    Markdown images and links become their text. HTML tags go, unless one that only sets type stands verbatim
    in a cited text. Addresses of the web and of mail stay, as bare text, where they stand verbatim in a cited
    text. Characters that cannot be seen go. Markers such as `[1]` stay. Cleaning twice changes nothing more.
    """
    visible = strip_invisible(text)
    cleaned, removed = _settled(visible, cited_texts)
    return cleaned.strip(), removed + len(re.sub(r"\r\n?", "\n", text)) - len(visible)


class StreamCleaner:
    """Cleans a text that comes in pieces, word by word, as `clean_answer` does with the texts given.

    Without texts every link and address is taken out, whatever it is. A piece is held back while a link or tag
    is open, up to `HELD_CHARACTERS`; what is open then is made harmless. How the text is cut does not matter.
    """

    def __init__(self, cited_texts: Sequence[str] = ()) -> None:
        self._cited_texts = cited_texts
        self._held = ""
        self._in_block = False
        self._dropping = False

    def feed(self, piece: str) -> str:
        """What may be shown now that this piece has come; often less than it, and "" at times."""
        return "".join(self._take(character) for character in piece)

    def close(self) -> str:
        """The rest. Nothing may be fed afterwards."""
        held, self._held = self._held, ""
        return "" if self._in_block or self._dropping else self._cleaned(held)

    def _take(self, character: str) -> str:
        if character == "\r" or (character not in _JOINERS and not strip_invisible(character)):
            return ""
        if self._dropping:
            self._dropping = not character.isspace()
            return "" if self._dropping else character
        self._held += character
        if self._in_block:
            return self._pass_block()
        if block := _BLOCK_START.search(self._held):
            before, self._held, self._in_block = self._held[: block.start()], "", True
            return self._cleaned(before + " ")
        if character.isspace() or character in _STOPS or NO_WORD_GAPS.fullmatch(self._held):
            return "" if _is_open(self._held) and len(self._held) < HELD_CHARACTERS else self._release()
        return self._release_early() if len(self._held) >= HELD_CHARACTERS else ""

    def _pass_block(self) -> str:
        if _BLOCK_END.search(self._held):
            self._held, self._in_block = "", False
        # No end is longer than this, but for blanks that nobody writes.
        self._held = self._held[-32:]
        return ""

    def _release(self) -> str:
        held, self._held = self._held, ""
        return self._cleaned(held)

    def _release_early(self) -> str:
        """What is held up to its last blank; a word that is too long to be one is dropped to its end."""
        blank = max(self._held.rfind(" "), self._held.rfind("\n"), self._held.rfind("\t")) + 1
        held, self._held = self._held[:blank], self._held[blank:]
        if not blank:
            self._held, self._dropping = "", True
        return self._cleaned(held)

    def _cleaned(self, held: str) -> str:
        """A held piece, cleaned. What ends it stays, so that two pieces never join into something new."""
        body = held.rstrip().rstrip(_STOPS)
        tail = held[len(body) :]
        cleaned, _ = _settled(strip_invisible(body), self._cited_texts)
        if body and not cleaned.strip():
            return tail if tail.strip() or "\n" in tail else ""
        return cleaned + tail


def _is_open(held: str) -> bool:
    """Whether a link or a tag has begun and not ended."""
    tag = max((match.start() for match in _TAG_START.finditer(held)), default=-1)
    target = held.rfind("](")
    return (
        (tag >= 0 and ">" not in held[tag:])
        or held.count("[") > held.count("]")
        or (target >= 0 and ")" not in held[target:])
    )


def _settled(text: str, cited_texts: Sequence[str]) -> tuple[str, int]:
    """A text that another round does not change, and how many things were taken out of it."""
    removed = 0
    for _ in range(_ROUNDS):
        cleaned, count = _round(text, cited_texts)
        if cleaned == text:
            return cleaned, removed
        text, removed = cleaned, removed + count
    # Nested so deeply it is no text: without these marks nothing of it can be a link.
    return _settled(re.sub(r"[<>\[\]()!:@]", " ", text), cited_texts)


def _round(text: str, cited_texts: Sequence[str]) -> tuple[str, int]:
    removed = 0

    def counted(replacement: Callable[[re.Match[str]], str]) -> Callable[[re.Match[str]], str]:
        def replace(match: re.Match[str]) -> str:
            nonlocal removed
            put = replacement(match)
            removed += put != match[0]
            return put

        return replace

    def tag(match: re.Match[str]) -> str:
        inert = _INERT.fullmatch(match[0]) and any(match[0] in cited for cited in cited_texts)
        return match[0] if inert else ""

    def url(match: re.Match[str]) -> str:
        address = match[0].rstrip(_URL_END)
        return match[0] if _stands(address, cited_texts) else match[0][len(address) :]

    text = _BLOCK.sub(counted(lambda _: ""), text)
    text = _AUTOLINK.sub(counted(lambda match: f" {match[1]} "), text)
    text = _TAG.sub(counted(tag), text)
    kept = {match.start() for match in _TAG.finditer(text)}
    text = _TAG_START.sub(lambda match: "<" if match.start() in kept else "< ", text)
    while (unlinked := _LINK.sub(counted(_link_text), text)) != text:  # a link can be within another
        text = unlinked
    text = _RUNS.sub(
        counted(lambda match: match[0][: match[0].index(":")] if match[0].endswith(":") else ""), text
    )
    text = _URL.sub(counted(url), text)
    text = _IMAGE_MARK.sub("", _JOINT.sub("] ", text))
    return _BLANKS.sub(_blank, _LEFT_EMPTY.sub("", text)), removed


def _link_text(match: re.Match[str]) -> str:
    return f"[{match[1]}]" if match[1].strip().isdecimal() else match[1]


def _blank(match: re.Match[str]) -> str:
    return "" if match.string[match.end()] in ".,;" else " "


def _stands(address: str, cited_texts: Sequence[str]) -> bool:
    """Whether an address is in a cited text as a whole: not as the beginning of a longer one."""
    whole = re.compile(rf"(?<![\w@/.-]){re.escape(address)}(?![\w@/%=&-]|[.?#]\w)")
    return bool(address) and any(whole.search(cited) for cited in cited_texts)
