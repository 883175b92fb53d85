"""The console's tokens: renewed in time, kept until a sign-out, and not brought back by a renewal."""

from __future__ import annotations

import pytest

from tests.unit.console_scripts import run_script

# A sign-in whose token has to be renewed.
_OLD = """
const kept = { access: "old", refresh: "r1", ends: Date.now() };
sessionStorage.setItem("docwell.tokens", JSON.stringify(kept));
const { accessToken, forgetTokens, isSignedIn, signOut } = await script("sign-in.js");
"""
_NEW = """Response.json({ access_token: "new", expires_in: 3600 })"""


def test_calls_at_once_renew_a_token_once() -> None:
    found = run_script(f"""{_OLD}
      let renewals = 0;
      answer = async () => {{ renewals += 1; return {_NEW}; }};
      return [await Promise.all([accessToken(), accessToken()]), await accessToken(), renewals];
    """)
    assert found == [["new", "new"], "new", 1]


def test_a_renewal_that_ends_after_a_sign_out_stores_no_token() -> None:
    found = run_script(f"""{_OLD}
      answer = async () => {{ forgetTokens(); return {_NEW}; }};
      return [await accessToken(), isSignedIn()];
    """)
    assert found == [None, False]


@pytest.mark.parametrize(
    ("status", "failed", "words"),
    [
        (400, 401, "Your sign-in has ended. Sign in again."),
        (429, 0, "unreachable"),
        (503, 0, "unreachable"),
    ],
)
def test_only_a_refusal_ends_a_sign_in(status: int, failed: int, words: str) -> None:
    found = run_script(f"""{_OLD}
      answer = async () => Response.json({{ error: "invalid_grant" }}, {{ status: {status} }});
      return accessToken().catch((error) => [error.status, error.message]);
    """)
    assert found == [failed, words]


def test_a_sign_out_revokes_the_refresh_token_and_ends_the_session_of_the_pool() -> None:
    found = run_script(f"""{_OLD}
      const sent = [];
      answer = async (address, options) => {{ sent.push(address, String(options.body), options.keepalive); }};
      signOut();
      return [sent, went, isSignedIn()];
    """)
    leaves = "https://pool/logout?client_id=client1&logout_uri=https%3A%2F%2Fconsole%2F"
    assert found == [["https://pool/oauth2/revoke", "client_id=client1&token=r1", True], [leaves], False]


def test_without_its_settings_a_sign_in_is_kept_and_is_not_renewed() -> None:
    found = run_script(f"""
      files["config.json"] = "<Error/>";
      {_OLD}
      const failed = await accessToken().catch((error) => [error.status, error.message]);
      return [failed, isSignedIn()];
    """)
    assert found == [[0, "unread_settings"], True]
