"""Messages whose parts or fields are not where most programs put them."""

from __future__ import annotations

import pytest

from tests.unit.adapters.documents.made import cited, message, parts_of

BODY = "Content-Type: text/plain\n\nThe pumps arrive."
PAGE = "Content-Type: text/html\n\n<p>The pumps arrive.</p>"
NOTE = 'Content-Type: text/plain; name="note.txt"\nContent-Disposition: inline; filename="note.txt"\n\nClose it.'
PICTURE = "Content-Type: image/png\nContent-ID: <a>\nContent-Transfer-Encoding: base64\n\niVBORw0KGgo="


def multipart(kind: str, *parts: str) -> str:
    border = f"{kind}{len(''.join(parts))}"
    joined = "".join(f"--{border}\n{part}\n" for part in parts)
    return f"Content-Type: multipart/{kind}; boundary={border}\n\n{joined}--{border}--\n"


def read(content: str, sender: str = "ann@example.org") -> dict[str, str]:
    header = f"From: {sender}\nTo: {sender}\nSubject: Pumps\nMIME-Version: 1.0\n"
    return cited(parts_of((header + content).encode())[0])


@pytest.mark.parametrize(
    "content",
    [
        multipart("alternative", BODY, multipart("mixed", PAGE, NOTE, PAGE)),
        multipart("signed", multipart("mixed", BODY, NOTE)),
        multipart("mixed", multipart("mixed", BODY), NOTE),
        multipart("mixed", multipart("related", multipart("alternative", BODY, PAGE), PICTURE), NOTE),
    ],
)
def test_an_attachment_is_found_wherever_it_is(content: str) -> None:
    found = read(content)
    assert found["message header"].endswith("\nAttachments: note.txt")
    assert "The pumps arrive." in found.values()
    assert found["attachment note.txt, line 1"] == "Close it."


def test_a_message_that_is_only_an_attachment_has_it() -> None:
    assert read(NOTE.replace("inline", "attachment"))["attachment note.txt, line 1"] == "Close it."


@pytest.mark.parametrize("sender", ["@", "<", "[", "a@[", '"', ",", "a:;", "=?xx-none?Q?a?= <a@b>"])
def test_a_damaged_field_costs_no_text(sender: str) -> None:
    assert read(BODY, sender)["message text"] == "The pumps arrive."


def test_a_message_in_a_message_is_read_in_spite_of_a_damaged_field() -> None:
    made = message()
    made.add_attachment(message())
    outer, field, rest = bytes(made).rpartition(b"From: ann@example.org")
    found = cited(parts_of(outer + field.replace(b"ann@example.org", b"@") + rest)[0])
    assert found["attachment Pump order, message text"] == "The pumps arrive on Friday.\n\nRegards"


@pytest.mark.parametrize("declared", ["", "; charset=us-ascii", "; charset=unknown-8bit", "; charset=utf-8"])
@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
@pytest.mark.parametrize(("kind", "before"), [("plain", ""), ("html", "<p>")])
def test_a_text_in_another_character_set_than_declared_keeps_its_letters(
    declared: str, encoding: str, kind: str, before: str
) -> None:
    text = "Die Größe der Pumpe ist 5 m."
    header = f"From: a@b.c\nTo: a@b.c\nSubject: Pumps\nContent-Type: text/{kind}{declared}\n\n{before}{text}\n"
    found = cited(parts_of(header.encode(encoding))[0])
    assert found["message text" if kind == "plain" else "message text, paragraph 1"] == text


def test_an_attached_text_is_decoded_as_it_declares() -> None:
    made = message()
    made.add_attachment("Łódź", filename="a.txt", charset="iso-8859-2")
    assert cited(parts_of(bytes(made))[0])["attachment a.txt, line 1"] == "Łódź"


@pytest.mark.parametrize(
    ("page", "label", "expected"),
    [
        ("<p>The pumps arrive on Friday.</p>", "message text, paragraph 1", "The pumps arrive on Friday."),
        ("<p>On Friday.</p>", "message text, paragraph 1", "On Friday."),
        ("", "message text", "Please open this message in a browser."),
    ],
)
def test_a_message_in_two_forms_is_read_as_its_page(page: str, label: str, expected: str) -> None:
    hint = "Content-Type: text/plain\n\nPlease open this message in a browser."
    found = read(multipart("alternative", hint, f"Content-Type: text/html\n\n{page}"))
    assert {key: text for key, text in found.items() if key != "message header"} == {label: expected}
    assert "message text" not in read(multipart("alternative", hint, "Content-Type: text/html\n\n<img src=a>"))


def test_texts_that_are_no_alternatives_are_all_read() -> None:
    footer = "Content-Type: text/plain\n\nSent to all members."
    found = read(multipart("mixed", multipart("alternative", BODY, PAGE), footer))
    assert found["message text, paragraph 1"] == "The pumps arrive."
    assert found["message text"] == "Sent to all members."
