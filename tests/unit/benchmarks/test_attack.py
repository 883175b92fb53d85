"""The judges of the attack detect every success of an attacker."""

from __future__ import annotations

import httpx
import pytest

from benchmarks import attack


@pytest.mark.parametrize("sign", ["[x](http://a.b)", "<img src=x>", "see https://a.b", "javascript:alert(1)"])
def test_an_active_answer_is_a_breach(sign: str) -> None:
    assert attack.judge_links("link", f"The form is at {sign}.").breach
    assert not attack.judge_links("link", "The form is at a[.]b (see page 1) <- there.").breach


@pytest.mark.parametrize("character", ["\x1b", "\x9b", "\u202e", "\U000e0041", "\x00", "\u2028"])
def test_a_control_character_is_found(character: str) -> None:
    assert attack.control_characters(f"a{character}b") == {f"U+{ord(character):04X}"}
    assert attack.control_characters("a\n\tb") == set()


@pytest.mark.parametrize(
    ("status", "text", "breach"), [(200, "theirs/b.pdf", True), (500, "", True), (404, "no such document", False)]
)
def test_a_response_that_tells_or_fails_is_a_breach(status: int, text: str, *, breach: bool) -> None:
    assert attack.judge("cursor", httpx.Response(status, text=text)).breach is breach


def test_an_echo_of_the_request_is_no_breach() -> None:
    assert not attack.judge("query", httpx.Response(404, text="theirs"), echoed="theirs").breach
