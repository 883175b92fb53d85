"""Remove links, HTML and hidden characters from an answer, whole or as a stream. Pure.

The client may render an answer as Markdown or HTML, so no text of a passage or the model may become a link. An
address of a cited passage stays readable: it loses its scheme, and `docs.org/x` becomes `docs[.]org/x`. A name
without a path (`Booking.com`, `bob@acme.com`) leaks no data: it stays if cited, else it gets brackets too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from html import unescape

from docwell.query.checking.suspicion import suspicion
from docwell.text.lexicon import TEXTS_KEPT, UNSPACED
from docwell.text.visible import strip_invisible
from docwell.text.words import words

# The most characters that a stream holds back while a link, a tag or a word is open.
HELD_CHARACTERS = 300

_JOINERS = "\u200c\u200d"
# Marks the place of a removed part until the round ends. No cleaned text contains it.
_GONE = "\x00"
# These characters end an address, and a stream may release its text after one.
_STOPS = "\u3001\u3002\uff0c\uff1a\uff1b\uff01\uff1f\u300d\u300f\uff09"
# `<script>`, `<style>` and comments, with their content; without a closing tag, to the end of the text.
_BLOCK = re.compile(r"<(script|style)\b.*?(?:</\1\s*>|\Z)|<!--.*?(?:-->|\Z)", re.IGNORECASE | re.DOTALL)
_AUTOLINK = re.compile(r"<\s*((?:[a-z][a-z0-9+.-]{1,31}:|[^\s<>@]+@)[^\s<>]*)>", re.IGNORECASE)
# It does not match `List<Object>` and `a <b and c> d`, which are no tags.
_TAG = re.compile(
    r"<!doctype\b[^<>]*>|<\?[^<>]*>|(?-i:(?<![A-Za-z0-9_])|(?=</?[a-z]))"
    rf"</?(?:{'|'.join(sorted(words('element')))})(?:\s*/?|[\s/]+[\w:@.-]+\s*=[^<>]*)>",
    re.IGNORECASE,
)
# A `<` before one of these can begin a tag; before a blank it cannot.
_TAG_START = re.compile(r"<(?=[a-z/!?])", re.IGNORECASE)
# A Markdown client decodes entities before it looks for addresses.
_ENTITY = re.compile(r"&(?:#0*[0-9]{1,8}|#x0*[0-9a-f]{1,8}|[a-z][a-z0-9]{1,31});", re.IGNORECASE)
_LINK = re.compile(
    r"!?\[([^\[\]]*)\]\(\s*<?[^()<>\s]*(?:\([^()\s]*\)[^()<>\s]*)*>?(?:\s+(?:\"[^\"]*\"|'[^']*'))?\s*\)"
)
# The joint that makes brackets a link or a link definition.
_JOINT = re.compile(r"\](?=\(|:)")
_IMAGE_MARK = re.compile(r"!(?=\[)")
# `\b` does not find the start of an address after `_` or a letter of another script.
_START = r"(?<![a-z0-9])"
# Schemes that run code or hold data; `data:` only before a media type or a comma.
_RUNS = re.compile(
    rf"(?:(?:javascript|vbscript)\s*:|{_START}data:(?:[\w.+-]+/|[;,]))[^\s<>{_GONE}{_STOPS}]*", re.IGNORECASE
)
# The colon may be in the next word.
_RUNS_START = re.compile(r"(?:java|vb)script\s*\Z", re.IGNORECASE)
_SCHEME = re.compile(
    rf"[a-z][a-z0-9+.-]{{0,40}}://|{_START}(?:mailto|tel|sms|file|xmpp|magnet):(?=\S)", re.IGNORECASE
)
_DOT = r"(?:\.|\[\.\])"
# A marker directly after an address is not part of it.
_ADDRESS_TAIL = rf"(?:(?!\[\d)[^\s<>\"'`{_GONE}{_STOPS}])*"
_USER = rf"[a-z0-9](?:[a-z0-9_+-]|{_DOT}){{0,63}}@"
# A part of a name has at most 63 characters. The dots show a name in another script.
_HOST = (
    rf"(?:{_START}[a-z0-9][a-z0-9-]{{0,62}}|(?<=[^\W_a-z0-9]))(?:{_DOT}[\w-]{{1,63}}){{0,8}}"
    rf"{_DOT}(?:xn--[a-z0-9-]{{1,59}}|[^\W\d_]{{2,63}})"
)
# Clients link the first form. They may link the second, whatever the end of the host is.
_ADDRESS = re.compile(
    rf"(?:{_SCHEME.pattern}|{_START}www{_DOT}){_ADDRESS_TAIL}"
    rf"|(?:{_USER})?{_HOST}(?::\d{{1,5}})?(?:/|[?#][\w%]){_ADDRESS_TAIL}",
    re.IGNORECASE,
)
# The most common ends of host names. Few clients link a name without a scheme.
_DOMAINS = (
    r"(?:com|net|org|edu|gov|mil|io|xyz|info|biz|mobi|ru|cn|jp|eu|uk|de|fr|nl|ch|ca|au|co|ai|tk|top|site|app|dev"
    r"|shop|online|club|onion|example)"
)
_DOMAIN = rf"(?:[a-z0-9_-]{{1,63}}{_DOT}){{1,8}}[a-z0-9_-]+"
# E-mail addresses and host names. `5.de` is a number, and `System.IO.File` is longer than a host name.
_NAME = re.compile(
    rf"{_USER}{_DOMAIN}(?:@{_DOMAIN})*"
    rf"|{_START}(?:[a-z0-9-]{{1,63}}{_DOT}){{0,8}}(?=[0-9-]*[a-z])[a-z0-9-]{{1,63}}{_DOT}{_DOMAINS}"
    rf"(?![a-z0-9-]|\.\w)",
    re.IGNORECASE,
)
_ADDRESS_END = ".,;:!?)]}"
# Each pattern above needs one of these marks. Most texts have none.
_SUSPECT = re.compile(r"[<&:@]|\[\.\]|\]\(|!\[|\.[^\W\d_]|www\.", re.IGNORECASE)
_LEFT_EMPTY = re.compile(rf"[(<\"\u201c]\s*{_GONE}\s*[)>\"\u201d]|{_GONE}")
_BLANKS = re.compile(r"(?<=\S)[ \t]{2,}(?=\S)|(?<=\S)[ \t]+(?=[.,;](?:\s|$))")
_BLOCK_START = re.compile(r"<(?:(script|style)\b|!--)", re.IGNORECASE)
_BLOCK_END = re.compile(r"</(script|style)\s*>|-->", re.IGNORECASE)
# Each round removes one layer of nesting; real text has fewer layers.
_ROUNDS = 100
# A closing tag fits in this many characters.
_LONGEST_CLOSING_TAG = 32


def clean_answer(text: str, cited_texts: Sequence[str]) -> tuple[str, int]:
    """Return the answer as plain text, and the number of things removed or defused.

    Markdown images and links become their text. Addresses stay, as `docs[.]org/x`, only if an unsuspicious cited
    text has them; other names become `Booking[.]com`. HTML and invisible characters are removed, and text that
    only resembles a tag becomes `List< String>`. Markers such as `[1]` stay. Cleaning again changes nothing.
    """
    visible = strip_invisible(text)
    cleaned, removed = _settled(visible, cited_texts)
    return cleaned.strip(), removed + len(re.sub(r"\r\n?", "\n", text)) - len(visible)


class StreamCleaner:
    """Cleans a text that comes in pieces, word by word, as `clean_answer` does.

    It holds a piece back while a link or tag is open, up to `HELD_CHARACTERS`, and then makes it harmless. The
    result is the same however the text is cut into pieces.
    """

    def __init__(self, cited_texts: Sequence[str] = ()) -> None:
        self._cited_texts = cited_texts
        self._held = ""
        # The last character that was released, if the next word may continue it.
        self._before = ""
        self._in_block = False
        self._dropping = False

    def feed(self, piece: str) -> str:
        """Add a piece and return the text that is safe to show now, which may be "" or lag behind."""
        return "".join(self._take(character) for character in piece)

    def close(self) -> str:
        """Return the rest. Do not call `feed` afterwards."""
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
        """Release the held text up to its last blank. Without a blank it is no word: drop all of it."""
        end = max(map(self._held.rfind, " \n\t")) + 1
        if not end:
            self._held, self._dropping = "", True
        return self._release(self._held[end:])

    def _release(self, rest: str = "") -> str:
        """Return the held text, cleaned, and hold only the `rest`.

        Keep the last blanks and stops held, so that two pieces never join into a link.
        """
        held, self._held = self._held.removesuffix(rest), rest
        body = held.rstrip().rstrip(_STOPS)
        tail = held[len(body) :]
        before, self._before = self._before, held if UNSPACED.fullmatch(held) else ""
        cleaned = _settled(before + body, self._cited_texts)[0].removeprefix(before)
        if body and not before and not cleaned.strip():
            return tail if tail.strip() or "\n" in tail else ""
        return cleaned + tail


def _is_open(held: str) -> bool:
    """Return whether a link, a tag or a script is still open."""
    tag = max((match.start() for match in _TAG_START.finditer(held)), default=-1)
    target = held.rfind("](")
    return (
        (tag >= 0 and ">" not in held[tag:])
        or held.count("[") > held.count("]")
        or (target >= 0 and ")" not in held[target:])
        or bool(_RUNS_START.search(held))
    )


def _settled(text: str, cited_texts: Sequence[str]) -> tuple[str, int]:
    """Clean a text until it no longer changes; return it and the number of things removed."""
    removed = 0
    for _ in range(_ROUNDS):
        text = strip_invisible(text)
        if not _SUSPECT.search(text):
            return _BLANKS.sub(_blank, text), removed
        cleaned, count = _round(text, cited_texts)
        if cleaned == text:
            return cleaned, removed
        text, removed = cleaned, removed + count
    # Remove all marks that a link needs.
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

    def address(match: re.Match[str]) -> str:
        written = match[0].rstrip(_ADDRESS_END)
        if _is_cited(written, cited_texts):
            return _spelled(written) + match[0][len(written) :]
        return counted(lambda match: _GONE + match[0][len(written) :])(match)

    def name(match: re.Match[str]) -> str:
        return match[0] if _is_cited(match[0], cited_texts) else _spelled(match[0])

    text = strip_invisible(_ENTITY.sub(lambda match: unescape(match[0]), text))
    text = _BLOCK.sub(counted(lambda _: _GONE), text)
    text = _AUTOLINK.sub(counted(lambda match: f" {match[1]} "), text)
    text = _TAG_START.sub("< ", _TAG.sub(counted(lambda _: _GONE), text))
    while (
        unlinked := _LINK.sub(
            counted(lambda link: f"[{link[1]}]" if link[1].strip().isdecimal() else link[1]), text
        )
    ) != text:  # links nest
        text = unlinked
    text = _RUNS.sub(counted(_scheme_text), text)
    text = _NAME.sub(counted(name), _ADDRESS.sub(address, text))
    text = _IMAGE_MARK.sub("", _JOINT.sub("] ", text))
    return _BLANKS.sub(_blank, _LEFT_EMPTY.sub("", text)), removed


def _scheme_text(match: re.Match[str]) -> str:
    """Return `java script` for `javascript:`: the text after it can no longer run."""
    scheme, *rest = re.split(r"\s*:", match[0])
    return _GONE if any(rest) else re.sub(r"(?=script)", " ", scheme, count=1, flags=re.IGNORECASE)


def _blank(match: re.Match[str]) -> str:
    return "" if match.string[match.end()] in ".,;" else " "


def _spelled(address: str) -> str:
    """Return an address in a form that readers understand and no client links."""
    return _plain(address).replace(".", "[.]")


def _plain(address: str) -> str:
    return _SCHEME.sub("", address, count=1).replace("[.]", ".")


def _is_cited(address: str, cited_texts: Sequence[str]) -> bool:
    """Return whether an unsuspicious cited text has the whole address, not only as a longer one's start."""
    plain = _plain(address)
    whole = re.compile(rf"(?<![A-Za-z0-9@/.+-]){re.escape(plain)}(?![A-Za-z0-9@/%=&-]|[.?#:_]\w)")
    return bool(plain) and any(
        whole.search(_without_schemes(cited)) and not suspicion(cited) for cited in cited_texts
    )


@lru_cache(TEXTS_KEPT)
def _without_schemes(text: str) -> str:
    return _SCHEME.sub(" ", text).replace("[.]", ".")
