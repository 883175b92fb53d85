"""Keep thinking out of an answer: models write it between marks in their text, which come in any pieces."""

from __future__ import annotations

import re
from functools import cache

from docwell.adapters.model_profiles import marks

# The attributes of a tag, such as ` time="3"`.
_ATTRIBUTES = r"\s[^<>]{0,200}"


@cache
def _patterns() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Return the patterns of a mark, and of the beginning of a mark at the end of a text."""
    pairs, alone = marks()
    texts = [*pairs, *pairs.values(), *alone]
    tags = "|".join(re.escape(text[:-1]) for text in pairs if re.fullmatch(r"<[\w:]+>", text))
    beginnings = {text[:size] for text in texts for size in range(1, len(text))}
    whole, begun = (
        "|".join(map(re.escape, sorted(forms, key=len, reverse=True))) for forms in (texts, beginnings)
    )
    return (
        re.compile(rf"{whole}|(?:{tags}){_ATTRIBUTES}>", re.IGNORECASE),
        re.compile(rf"(?:{begun}|(?:{tags}){_ATTRIBUTES}|[\ud800-\udbff])\Z", re.IGNORECASE),
    )


def _plain(mark: str) -> str:
    """Return a mark in lower case without attributes, as `marks` has it."""
    return re.sub(rf"{_ATTRIBUTES}>\Z", ">", mark).lower()


class AnswerText:
    """The answer within a model's text. `text` is the answer so far, `thought` says whether there was thinking.

    Thinking before the answer is dropped. A mark within the answer may be a word of it: the text after it waits
    for the closing mark, and is shown if none comes. With `begins_thinking` the text waits for a closing mark.
    """

    def __init__(self, *, begins_thinking: bool) -> None:
        self.text, self.thought, self._waits, self._rest = "", False, begins_thinking, ""
        # The opening mark of the thinking that has not ended, and whether it stands before the answer.
        self._opened, self._is_first = "", True

    @property
    def hides(self) -> bool:
        """Whether the text is thinking at present, or may be."""
        return bool(self._opened or self._waits)

    def feed(self, piece: str, *, thinks: bool = False) -> str:
        """Add a piece of text; return what it adds to the answer. `thinks`: thinking came in another field."""
        if thinks:
            self.thought, self._waits = True, False
        before, (pairs, alone), (mark, beginning) = len(self.text), marks(), _patterns()
        self._rest += piece
        while True:
            if self._opened:
                form, start = _plain(self._opened), len(self._opened)
                close = re.compile(re.escape(pairs[form]), re.IGNORECASE).search(self._rest, start)
                if not close:
                    break
                thinking = self._rest[start : close.start()]
                self._end(thinking, self._rest[close.end() :])
                # Thinking within thinking, or a word of it: only another closing mark tells.
                self._waits = self._is_first and any(_plain(inner[0]) == form for inner in mark.finditer(thinking))
            elif match := mark.search(self._rest):
                text, rest = self._rest[: match.start()], self._rest[match.end() :]
                if _plain(match[0]) in alone:
                    self._rest = text + rest
                elif _plain(match[0]) in pairs:
                    self._show(text)
                    self._rest, self._opened, self._is_first = match[0] + rest, match[0], not self.text
                else:  # a closing mark alone: the thinking began before the text
                    self._end(self.text + text, rest)
                    self.text, before = "", 0
            else:
                if not self._waits:
                    held = beginning.search(self._rest)
                    text, self._rest = self._rest[: held and held.start()], held[0] if held else ""
                    self._show(text)
                break
        return self.text[before:]

    def finish(self, *, cut: bool) -> str:
        """Return the end of the answer; `cut` says that the model reached its limit of tokens."""
        before = len(self.text)
        if (self._opened and (self._is_first or cut)) or (self._waits and cut):
            self._end(self._rest, "")
        self._show(self._rest)
        return self.text[before:]

    def _end(self, thinking: str, rest: str) -> None:
        """End thinking, which is blank where it is switched off."""
        self._rest, self._opened, self._waits = rest, "", False
        self.thought = self.thought or bool(thinking.strip())

    def _show(self, text: str) -> None:
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")  # hosts cut pairs of UTF-16
        self.text += text if self.text else text.lstrip()
