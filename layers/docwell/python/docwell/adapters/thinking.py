"""Keep thinking out of an answer: models write it between marks in their text, which come in any pieces."""

from __future__ import annotations

import re
from functools import cache

from docwell.adapters.model_profiles import marks


@cache
def _patterns() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Return the patterns of a mark, and of the end of a text that a mark may begin with."""
    texts = sorted([*marks().pairs, *marks().pairs.values(), *marks().alone], key=len, reverse=True)
    beginnings = sorted({text[:size] for text in texts for size in range(1, len(text))}, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, texts))), re.compile(
        rf"(?:{'|'.join(map(re.escape, beginnings))})\Z"
    )


class AnswerText:
    """The answer within a model's text. `text` is the answer so far, `thought` says whether there was thinking.

    Thinking before the answer is dropped. A mark within the answer may be a word of it: the text after it waits
    for the closing mark, and is shown if none comes. With `begins_thinking` the text waits for a closing mark.
    """

    def __init__(self, *, begins_thinking: bool) -> None:
        self.text = ""
        self.thought = False
        self._waits = begins_thinking
        self._rest = ""
        # The opening mark of the thinking that has not ended, and whether it stands before the answer.
        self._opened, self._is_first = "", True
        self._pairs, self._alone = marks()
        self._mark, self._beginning = _patterns()

    def feed(self, piece: str, *, thinks: bool = False) -> str:
        """Add a piece of the model's text; return the part of the answer that it brings.

        With `thinks` the host has sent thinking beside it, so that the text begins with none.
        """
        if thinks:
            self.thought, self._waits = True, False
        before = len(self.text)
        self._rest += piece
        while match := self._mark.search(self._rest, len(self._opened)):
            mark, start = match[0], match.start()
            if self._opened:
                close = self._pairs[self._opened]
                if (start := self._rest.find(close, len(self._opened))) < 0:
                    return self.text[before:]
                self._rest, self._opened, self.thought, self._waits = (
                    self._rest[start + len(close) :],
                    "",
                    True,
                    False,
                )
            elif mark in self._pairs:
                self._show(self._rest[:start])
                self._rest, self._opened, self._is_first = self._rest[start:], mark, not self.text
            elif mark in self._alone:
                self._rest = self._rest[:start] + self._rest[match.end() :]
            else:  # a closing mark alone: the thinking began before the text
                self.text, before, self._rest = "", 0, self._rest[match.end() :]
                self.thought, self._waits = True, False
        if not (self._opened or self._waits):
            begun = self._beginning.search(self._rest)
            end = begun.start() if begun else len(self._rest)
            self._show(self._rest[:end])
            self._rest = self._rest[end:]
        return self.text[before:]

    def finish(self, *, cut: bool) -> str:
        """Return the end of the answer; `cut` says that the model reached its limit of tokens."""
        before = len(self.text)
        if (self._opened and (self._is_first or cut)) or (self._waits and cut):
            self.thought, self._rest = True, ""
        self._show(self._rest)
        return self.text[before:]

    def _show(self, text: str) -> None:
        self.text += text if self.text else text.lstrip()
