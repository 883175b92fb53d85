"""Remove or escape invisible characters that control a terminal or hide text. Pure."""

from __future__ import annotations

import json
import re

# Unicode's controls and formats (bidirectional marks and tags among them), its private characters, and the letters
# and marks without a shape. Signs around a number (Prepended_Concatenation_Mark) are visible formats.
_UNSEEN = (
    "\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u034f\u061c\u115f\u1160"
    "\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0"
    "\ufff0-\ufffb\ud800-\uf8ff\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff\U000f0000-\U0010ffff"
)
_INVISIBLE = re.compile(f"[{_UNSEEN}]")
_LINE_BREAK = re.compile("\r\n?|[\u2028\u2029\x0b\x0c\x85]")
# Persian, Hindi and emoji need joiners; among Latin letters they hide words.
_STRAY_JOINER = re.compile(
    r"(?<![^\x00-\x7f\s])[\u200c\u200d]+|[\u200c\u200d]+(?![^\x00-\x7f\s])|[\u200c\u200d]{2,}"
)
_ESCAPED = re.compile(f"[{_UNSEEN}\x0b\x0c\x85\u200c\u200d\u2028\u2029]")


def strip_invisible(text: str) -> str:
    """Return a text without invisible characters: controls, formats, tags, directions, private ones and fillers.

    Line breaks and tabs stay, and so do joiners between letters of a script that needs them.
    """
    text = _INVISIBLE.sub("", _LINE_BREAK.sub("\n", text))
    # Check joiners last: removing a character can leave a joiner with nothing to join. Few texts have any.
    return _STRAY_JOINER.sub("", text) if "\u200c" in text or "\u200d" in text else text


def escape_json(document: str) -> str:
    r"""Return a JSON document with invisible characters escaped, as `\u202e`: equal, and safe for a terminal."""
    return _ESCAPED.sub(lambda escaped: json.dumps(escaped[0])[1:-1], document)
