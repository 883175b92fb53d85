"""Sentences and words of many scripts."""

from __future__ import annotations

import pytest

from docwell.text.lexicon import beginnings, segments, sentences, words


def test_words_are_compared_by_their_beginning_and_scripts_without_spaces_by_pairs() -> None:
    assert beginnings("Requirements REQUIRED") == ("requir", "requir")
    assert beginnings("日本語 x") == ("日本", "本語", "x")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("庭は広い。犬も歓迎です。", ["庭は広い。", "犬も歓迎です。"]),
        ("هل تمطر؟ نعم.", ["هل تمطر؟", "نعم."]),
        ("वर्षा होती है। बादल हैं।", ["वर्षा होती है।", "बादल हैं।"]),
        ('He said "Stop." Then he left.', ['He said "Stop."', "Then he left."]),
        ("It holds 2.5 litres… It is full.", ["It holds 2.5 litres…", "It is full."]),
    ],
)
def test_a_sentence_ends_with_the_full_stop_of_its_script(text: str, found: list[str]) -> None:
    assert sentences(text) == found


@pytest.mark.parametrize("text", ["ประเทศไทย", "ປະເທດລາວ", "កខគ", "カタカナ", "ｶﾀｶﾅ", "豈更年", "𠀀𠀁𠀂"])
def test_scripts_without_spaces_give_pairs_of_characters(text: str) -> None:
    assert max(map(len, words(text))) == len("日本")


def test_a_long_sentence_is_cut_at_blanks() -> None:
    text = "word " * 100
    spans = segments(text, 50)
    assert all(end - start <= 50 for start, end in spans)
    assert " ".join(text[start:end] for start, end in spans).split() == text.split()
