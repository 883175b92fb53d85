"""Sentences and words of many scripts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from docwell.text.lexicon import (
    beginnings,
    content_words,
    fold,
    ordered_words,
    segments,
    sentences,
    statements,
    stem,
    words,
)


def test_words_are_compared_by_their_beginning_and_scripts_without_spaces_by_pairs() -> None:
    assert beginnings("Requirements REQUIRED") == ["requir", "requir"]
    assert beginnings("日本語 x") == ["日本", "本語", "x"]
    # A character outside ASCII changes no other word.
    assert beginnings("pre-tax_2 8é") == [*beginnings("pre-tax_2 8"), "é"]
    assert beginnings("FY2022_10K") == ["fy", "2022", "10", "k"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("庭は広い。犬も歓迎です。", ["庭は広い。", "犬も歓迎です。"]),
        ("هل تمطر؟ نعم.", ["هل تمطر؟", "نعم."]),
        ("वर्षा होती है। बादल हैं।", ["वर्षा होती है।", "बादल हैं।"]),
        ('He said "Stop." Then he left.', ['He said "Stop."', "Then he left."]),
        ("It holds 2.5 litres… It is full.", ["It holds 2.5 litres…", "It is full."]),
        ("Dr. Smith met J. Doe again. It rained.", ["Dr. Smith met J. Doe again.", "It rained."]),
        ("It rained. [1] It hails [2].", ["It rained. [1]", "It hails [2]."]),
        ("Doe sued Acme INC. [1]. It rained.", ["Doe sued Acme INC. [1].", "It rained."]),
        ("Er beginnt am 3. Mai 2024. Er endet morgen.", ["Er beginnt am 3. Mai 2024.", "Er endet morgen."]),
        ("It has 12. May it grow. It rains.", ["It has 12.", "May it grow.", "It rains."]),
        ("It ends on Sept. 3, 2024. It rains.", ["It ends on Sept. 3, 2024.", "It rains."]),
        ("It is in art. 5. 3 of them rest.", ["It is in art. 5.", "3 of them rest."]),
        ("This is art. It hangs.", ["This is art.", "It hangs."]),
        ("Das sind 5 Mio. Euro. Es gilt Art. 6 Abs. 1.", ["Das sind 5 Mio. Euro.", "Es gilt Art. 6 Abs. 1."]),
        ("Gen. Smith wrote Rev. 2 of Nr. 7.", ["Gen. Smith wrote Rev. 2 of Nr. 7."]),
    ],
)
def test_a_sentence_ends_with_the_full_stop_of_its_script(text: str, found: list[str]) -> None:
    assert sentences(text) == found


@pytest.mark.parametrize("text", ["ประเทศไทย", "ປະເທດລາວ", "កខគ", "カタカナ", "ｶﾀｶﾅ", "豈更年", "𠀀𠀁𠀂"])
def test_scripts_without_spaces_give_pairs_of_characters(text: str) -> None:
    assert max(map(len, words(text))) == len("日本")


@pytest.mark.parametrize(
    ("text", "one", "other"),
    [
        ("हिन्दी में", "हिन्दी", "हिम"),
        ("বছর২০২৪ গাড়ি", "গাড়ি", "গান"),
        ("தமிழ் மொழி", "தமிழ்", "தண்ணீர்"),
        ("مُحَمَّد", "مُحَمَّد", "مكتب"),
        ("שָׁלוֹם", "שָׁלוֹם", "שנה"),
        ("မြန်မာ", "မြန်မာ", "မောင်"),
        ("x\u0301y", "x\u0301y", "xa"),
    ],
)
def test_a_vowel_sign_or_an_accent_cuts_no_word(text: str, one: str, other: str) -> None:
    assert words(one) <= words(text)
    assert len(words(one)) == 1
    assert words(one).isdisjoint(words(other))
    assert beginnings(one)[0] in beginnings(text)
    assert len(beginnings(one)) == 1


@given(st.text(st.characters(codec="ascii")))
def test_ascii_text_has_the_same_words_beside_other_letters(text: str) -> None:
    assert ordered_words(f"{text} é") == [*ordered_words(text), "é"]
    assert words(f"{text} é") == words(text) | {"é"}


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        ("\u0627\u0644\u0643\u062a\u0627\u0628", "\u0643\u062a\u0627\u0628"),
        ("\u0648\u0627\u0644\u0643\u062a\u0627\u0628", "\u0643\u062a\u0627\u0628"),
        ("\u0644\u0644\u0643\u062a\u0627\u0628", "\u0643\u062a\u0627\u0628"),
        ("\u0648\u0643\u062a\u0627\u0628", "\u0643\u062a\u0627\u0628"),
        ("\u0625\u0644\u0649 \u0627\u0644\u0649", "\u0625\u0644\u0649 \u0627\u0644\u0649"),
        ("\u062d\u0627\u0644\u0629", "\u062d\u0627\u0644\u0629"),
    ],
)
def test_an_arabic_word_is_compared_without_its_article_and_its_and(written: str, plain: str) -> None:
    assert words(written) == set(plain.split())
    assert beginnings(written) == [word[:6] for word in plain.split()]


def test_words_are_compared_in_lower_case() -> None:
    assert words("The word 日本語") == {"the", "word", "日本", "本語"}


def test_content_words_are_stems_without_function_words() -> None:
    assert content_words("The boilers were inspected") == {"boiler", "inspect"}


@pytest.mark.parametrize(
    ("word", "stemmed"),
    [("pages", "pag"), ("paged", "pag"), ("paging", "pag"), ("cities", "citi"), ("1990s", "1990"), ("19th", "19"),
     ("is", "is"), ("plays", "plai"), ("played", "plai"), ("play", "plai"),
     ("studying", "studi"), ("study", "studi")],
)  # fmt: skip
def test_inflected_forms_have_the_same_stem(word: str, stemmed: str) -> None:
    assert stem(word) == stemmed


@pytest.mark.parametrize(("name", "folded"), [("Avilés", "aviles"), ("ΠΑΡΊΣΙ", "παρισι")])
def test_a_folded_name_has_no_accents(name: str, folded: str) -> None:
    assert fold(name) == folded


def test_a_long_sentence_is_cut_at_blanks() -> None:
    text = "word " * 100
    spans = segments(text, 50)
    assert all(end - start <= 50 for start, end in spans)
    assert " ".join(text[start:end] for start, end in spans).split() == text.split()


ITEMS = "• Close the valve.\n• Switch off the boiler."


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        (f"Each tenant must:\n{ITEMS}\nThe keys stay.", [f"Each tenant must:\n{ITEMS}", "The keys stay."]),
        (f"Each tenant must:\n\n{ITEMS}", [f"Each tenant must:\n\n{ITEMS}"]),
        ("租客必须\uff1a\n1. 关闭阀门。\n2. 关闭锅炉。", ["租客必须\uff1a\n1. 关闭阀门。\n2. 关闭锅炉。"]),
        ("Note: close it.\nThen go.", ["Note: close it.", "Then go."]),
        ("It is old.\n• New ones come.", ["It is old.", "• New ones come."]),
        ("Then:\n• " + "Wait. " * 60, ["Then:\n• Wait.", *["Wait."] * 59]),
    ],
)
def test_a_list_belongs_to_the_statement_that_introduces_it(text: str, pieces: list[str]) -> None:
    assert [text[start:end] for start, end in statements(text)] == pieces
