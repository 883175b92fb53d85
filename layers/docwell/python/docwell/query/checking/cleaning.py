"""Remove links, HTML and hidden characters from an answer, whole or as a stream. Pure.

The client may render an answer as Markdown or HTML, so no text of a passage or the model may become a link. An
address of a cited passage stays readable: it loses its scheme, and `docs.org` becomes `docs[.]org`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from html import unescape

from docwell.query.checking.suspicion import suspicion
from docwell.text.lexicon import UNSPACED
from docwell.text.visible import strip_invisible

# The most that a stream holds back while a link, a tag or a word is open.
HELD_CHARACTERS = 300

_JOINERS = "\u200c\u200d"

# `<script>`, `<style>` and comments, with their content; without a closing tag, to the end of the text.
_BLOCK = re.compile(r"<(script|style)\b.*?(?:</\1\s*>|\Z)|<!--.*?(?:-->|\Z)", re.IGNORECASE | re.DOTALL)
_AUTOLINK = re.compile(r"<\s*((?:[a-z][a-z0-9+.-]{1,31}:|[^\s<>@]+@)[^\s<>]*)>", re.IGNORECASE)
_TAG = re.compile(r"<[a-z/!?][^<>]*>", re.IGNORECASE)
# A `<` before one of these can begin a tag; before a blank it cannot.
_TAG_START = re.compile(r"<(?=[a-z/!?])", re.IGNORECASE)
# A client of Markdown decodes these before it looks for addresses.
_ENTITY = re.compile(r"&(?:#\d{1,8}|#x[0-9a-f]{1,8}|[a-z][a-z0-9]{1,31});", re.IGNORECASE)
_LINK = re.compile(
    r"!?\[([^\[\]]*)\]\(\s*<?[^()<>\s]*(?:\([^()\s]*\)[^()<>\s]*)*>?(?:\s+(?:\"[^\"]*\"|'[^']*'))?\s*\)"
)
# Turns brackets into a link or its definition.
_JOINT = re.compile(r"\](?=\(|:)")
_IMAGE_MARK = re.compile(r"!(?=\[)")
# Schemes that run or hold something; `data:` only before a media type or a comma.
_RUNS = re.compile(r"(?:javascript|vbscript)\s*:[^\s<>]*|\bdata:(?:[\w.+-]+/|[;,])[^\s<>]*", re.IGNORECASE)
# The most common ends of host names. Few clients link a name without a scheme, but readers follow it.
_DOMAINS = (
    r"(?:com|net|org|edu|gov|mil|io|xyz|info|biz|mobi|ru|cn|jp|eu|uk|de|fr|nl|ch|ca|au|co|ai|top|site|app|dev|shop"
    r"|online|club|onion|example)"
)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]{0,40}://|\b(?:mailto|tel|sms|file|xmpp|magnet):(?=\S)", re.IGNORECASE)
_DOT = r"(?:\.|\[\.\])"
# A marker directly after an address is no part of it.
_REST = r"(?:(?!\[\d)[^\s<>\"'`])*"
_URL = re.compile(
    rf"(?:{_SCHEME.pattern}|\bwww{_DOT}){_REST}"
    rf"|(?:[\w+-]|{_DOT})+@[\w-]+(?:{_DOT}[\w-]+)+"
    rf"|\b(?:[a-z0-9-]+{_DOT})+{_DOMAINS}\b(?:[/?#]{_REST})?",
    re.IGNORECASE,
)
_URL_END = ".,;:!?)]}\u3002\uff0c\uff1b\uff01\uff1f"
_LEFT_EMPTY = re.compile(r"\(\s*\)|<\s*>|\"\s*\"|\u201c\s*\u201d")
_BLANKS = re.compile(r"(?<=\S)[ \t]{2,}(?=\S)|(?<=\S)[ \t]+(?=[.,;](?:\s|$))")

# A stream may release a piece after a blank, after one of these, and after a character of an unspaced script.
_STOPS = "\u3001\u3002\uff0c\uff1a\uff1b\uff01\uff1f\u300d\u300f\uff09"
_BLOCK_START = re.compile(r"<(?:(script|style)\b|!--)", re.IGNORECASE)
_BLOCK_END = re.compile(r"</(script|style)\s*>|-->", re.IGNORECASE)

# Each round removes one layer of nesting. Text is never nested so deeply.
_ROUNDS = 100
# A closing tag fits into this many characters.
_LONGEST_CLOSING_TAG = 32


def clean_answer(text: str, cited_texts: Sequence[str]) -> tuple[str, int]:
    """Return the answer as plain text, and the number of things removed.

    Markdown images and links become their text. Addresses stay, as `docs[.]org`, only if a cited text that gives
    no orders has them. Tags and invisible characters are removed. Markers such as `[1]` stay. Cleaning again
    changes nothing.
    """
    visible = strip_invisible(text)
    cleaned, removed = _settled(visible, cited_texts)
    return cleaned.strip(), removed + len(re.sub(r"\r\n?", "\n", text)) - len(visible)


class StreamCleaner:
    """Cleans a text that comes in pieces, word by word, as `clean_answer` does.

    It holds a piece back while a link or tag is open, up to `HELD_CHARACTERS`, and then makes it harmless. The
    result does not depend on where the text is cut.
    """

    def __init__(self, cited_texts: Sequence[str] = ()) -> None:
        self._cited_texts = cited_texts
        self._held = ""
        self._in_block = False
        self._dropping = False

    def feed(self, piece: str) -> str:
        """Add a piece and return the text that may be shown now, which can be "" or lag behind."""
        return "".join(self._take(character) for character in piece)

    def close(self) -> str:
        """Return the rest. Feed nothing afterwards."""
        return "" if self._in_block or self._dropping else self._release()

    def _take(self, character: str) -> str:
        if character not in _JOINERS:
            character = "" if character == "\r" else strip_invisible(character)
        if not character:
            return ""
        if self._dropping:
            self._dropping = not character.isspace()
            return "" if self._dropping else character
        self._held += character
        if self._in_block:
            self._in_block = not _BLOCK_END.search(self._held)
            self._held = self._held[-_LONGEST_CLOSING_TAG:] if self._in_block else ""
            return ""
        if block := _BLOCK_START.search(self._held):
            self._held, self._in_block = self._held[: block.start()] + " ", True
            return self._release()
        full = len(self._held) >= HELD_CHARACTERS
        if character.isspace() or character in _STOPS or UNSPACED.fullmatch(self._held):
            return "" if _is_open(self._held) and not full else self._release()
        return self._release_early() if full else ""

    def _release_early(self) -> str:
        """Release the held text up to its last blank. Without a blank it is no word: drop it to its end."""
        end = max(map(self._held.rfind, " \n\t")) + 1
        if not end:
            self._held, self._dropping = "", True
        return self._release(self._held[end:])

    def _release(self, rest: str = "") -> str:
        """Return the held text, cleaned, and hold only the `rest`.

        The last blanks and stops stay, so that two pieces never join into a link.
        """
        held, self._held = self._held.removesuffix(rest), rest
        body = held.rstrip().rstrip(_STOPS)
        tail = held[len(body) :]
        cleaned, _ = _settled(body, self._cited_texts)
        if body and not cleaned.strip():
            return tail if tail.strip() or "\n" in tail else ""
        return cleaned + tail


def _is_open(held: str) -> bool:
    """Return whether a link or a tag has begun and not ended."""
    tag = max((match.start() for match in _TAG_START.finditer(held)), default=-1)
    target = held.rfind("](")
    return (
        (tag >= 0 and ">" not in held[tag:])
        or held.count("[") > held.count("]")
        or (target >= 0 and ")" not in held[target:])
    )


def _settled(text: str, cited_texts: Sequence[str]) -> tuple[str, int]:
    """Clean a text until it no longer changes; return it and the number of things removed."""
    removed = 0
    for _ in range(_ROUNDS):
        cleaned, count = _round(text, cited_texts)
        if cleaned == text:
            return cleaned, removed
        text, removed = cleaned, removed + count
    # Without these marks nothing can be a link.
    return _settled(re.sub(r"[<>\[\]()!:@&]", " ", text), cited_texts)


def _round(text: str, cited_texts: Sequence[str]) -> tuple[str, int]:
    removed = 0

    def counted(replacement: Callable[[re.Match[str]], str]) -> Callable[[re.Match[str]], str]:
        def replace(match: re.Match[str]) -> str:
            nonlocal removed
            put = replacement(match)
            removed += put != match[0]
            return put

        return replace

    def url(match: re.Match[str]) -> str:
        address = match[0].rstrip(_URL_END)
        if _is_cited(address, cited_texts):
            return _spelled(address) + match[0][len(address) :]
        return counted(lambda match: match[0][len(address) :])(match)

    text = strip_invisible(_ENTITY.sub(lambda match: unescape(match[0]), text))
    text = _BLOCK.sub(counted(lambda _: ""), text)
    text = _AUTOLINK.sub(counted(lambda match: f" {match[1]} "), text)
    text = _TAG_START.sub("< ", _TAG.sub(counted(lambda _: ""), text))
    while (unlinked := _LINK.sub(counted(_link_text), text)) != text:  # links nest
        text = unlinked
    text = _RUNS.sub(counted(lambda run: run[0].partition(":")[0] if run[0].endswith(":") else ""), text)
    text = _URL.sub(url, text)
    text = _IMAGE_MARK.sub("", _JOINT.sub("] ", text))
    return _BLANKS.sub(_blank, _LEFT_EMPTY.sub("", text)), removed


def _link_text(match: re.Match[str]) -> str:
    return f"[{match[1]}]" if match[1].strip().isdecimal() else match[1]


def _blank(match: re.Match[str]) -> str:
    return "" if match.string[match.end()] in ".,;" else " "


def _spelled(address: str) -> str:
    """Return an address that readers understand and no client makes a link."""
    return _plain(address).replace(".", "[.]")


def _plain(address: str) -> str:
    return _SCHEME.sub("", address, count=1).replace("[.]", ".")


def _is_cited(address: str, cited_texts: Sequence[str]) -> bool:
    """Return whether a cited text that gives no orders has the whole address, not as the start of a longer one."""
    plain = _plain(address)
    whole = re.compile(rf"(?<![\w@/.-]){re.escape(plain)}(?![\w@/%=&-]|[.?#]\w)")
    return bool(plain) and any(
        whole.search(_SCHEME.sub(" ", cited)) and not suspicion(cited) for cited in cited_texts
    )
