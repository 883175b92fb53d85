"""Counts defects of a text that its own words betray: lost and split ligatures, and split numbers."""

import re
from collections import Counter
from collections.abc import Iterable

LIGATURES = ("ffi", "ffl", "ff", "fi", "fl")
# Presentation forms, and control characters that some fonts have in their place.
_FORMS = re.compile("[\ufb00-\ufb06\x00-\x08\x0b\x0c\x0e-\x1f]")
# A word with a capital may be a name: "Ling" lacks nothing.
_WORD = re.compile(r"\b[a-z]{3,}\b")
_SPLIT = re.compile(rf"\b([a-z]*(?:{'|'.join(LIGATURES)})) ([a-z]+)\b")
# "1 ,234" and "12,3 45": no English text has these.
_SPLIT_NUMBER = re.compile(r"\d ,\d{3}\b|\b\d{1,3},\d{1,2} \d{1,2}\b(?![,.\d])")
# A word is known from so many uses, and a mistake is that much rarer than the word it stands for.
KNOWN, RARER = 20, 50


def defects(texts: Iterable[str]) -> tuple[Counter[str], int]:
    """Return the number of defects of texts in English by their form, and the number of words."""
    words: Counter[str] = Counter()
    found: Counter[str] = Counter()
    for text in texts:
        words.update(_WORD.findall(text))
        found.update(f"form {form!a}" for form in _FORMS.findall(text))
        found.update(f"number {number}" for number in _SPLIT_NUMBER.findall(text))
        found.update(f"split {left} {right}" for left, right in _SPLIT.findall(text))
    known = {word for word, count in words.items() if count >= KNOWN}
    for defect in [name for name in found if name.startswith("split ")]:
        left, right = defect.split()[1:]
        # Both halves are words in "staff on".
        if left + right not in known or words[right] * RARER > words[left + right]:
            del found[defect]
        else:
            words[right] -= found[defect]  # it lacks no ligature
    found.update(_lost(words, known))
    return found, sum(words.values())


def _lost(words: Counter[str], known: set[str]) -> dict[str, int]:
    """Return the words that lack the ligature of a common word, such as "nancial" for "financial"."""
    without: dict[str, str] = {}
    for word in known:
        for ligature in LIGATURES:
            if ligature in word and len(short := word.replace(ligature, "", 1)) > 3:
                without.setdefault(short, word)
    return {
        f"lost {short} ({word})": words[short]
        for short, word in without.items()
        if words[short] and words[short] * RARER <= words[word]
    }
