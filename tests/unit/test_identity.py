from __future__ import annotations

from typing import Any

import pytest

from docwell.errors import Unauthenticated
from docwell.identity import MAX_GROUPS, Identity, groups_of, identity_of


def event(identity: Any = None, authorizer: Any = None) -> dict[str, Any]:
    return {"requestContext": {"identity": identity, "authorizer": authorizer}}


def test_an_api_keys_id_is_the_caller() -> None:
    assert identity_of(event({"apiKeyId": "k1", "apiKey": "secret"})) == Identity("key:k1")


def test_the_claims_of_a_rest_apis_authorizer_name_the_caller() -> None:
    found = identity_of(event(authorizer={"claims": {"sub": "auth0|7", "cognito:groups": "staff,editors"}}))
    assert found == Identity("sub:auth0|7", ("editors", "staff"))


def test_the_claims_of_an_http_apis_authorizer_name_the_caller() -> None:
    found = identity_of(event(authorizer={"jwt": {"claims": {"sub": "s", "cognito:groups": "[a b]"}}}))
    assert found == Identity("sub:s", ("a", "b"))


@pytest.mark.parametrize("said", ["x,admins", "x, admins", "x admins", "[x admins]", "[x,admins]", '"x","admins"'])
def test_the_name_of_one_group_never_gives_two(said: str) -> None:
    for authorizer in (
        {"claims": {"sub": "s", "groups": said}},
        {"jwt": {"claims": {"sub": "s", "groups": said}}},
        {"principalId": "s", "cognito:groups": said},
        {"principalId": "s", "groups": said},
    ):
        assert identity_of(event(authorizer=authorizer)).groups == ()


def test_a_json_list_gives_its_groups() -> None:
    for authorizer in (
        {"claims": {"sub": "s", "groups": '["a", "b", "c,admins"]'}},
        {"jwt": {"claims": {"sub": "s", "groups": '["a", "b"]'}}},
        {"principalId": "s", "groups": '["a", "b"]'},
    ):
        assert identity_of(event(authorizer=authorizer)).groups == ("a", "b")


def test_a_lambda_authorizers_principal_is_the_caller() -> None:
    assert identity_of(event(authorizer={"principalId": "p", "groups": "a"})) == Identity("sub:p", ("a",))


def test_a_token_wins_over_the_api_key_that_carries_it() -> None:
    assert identity_of(event({"apiKeyId": "k"}, {"claims": {"sub": "s"}})).id == "sub:s"


@pytest.mark.parametrize("authorizer", [{"claims": {}}, {"claims": "x"}, {"jwt": {"claims": {"sub": ""}}}])
def test_an_api_key_does_not_replace_a_token_without_a_subject(authorizer: Any) -> None:
    with pytest.raises(Unauthenticated):
        identity_of(event({"apiKeyId": "k"}, authorizer))


@pytest.mark.parametrize("id_", [None, "", " ", "a b", "a\n", "é", "x" * 256, 7, ["k"], {"a": 1}])
def test_an_invalid_id_is_unauthenticated(id_: Any) -> None:
    for found in (event({"apiKeyId": id_}), event(authorizer={"claims": {"sub": id_}})):
        with pytest.raises(Unauthenticated):
            identity_of(found)


@pytest.mark.parametrize(
    "strange", [{}, {"requestContext": None}, {"requestContext": []}, {"requestContext": {"identity": "k"}}]
)
def test_an_event_without_a_context_is_unauthenticated(strange: dict[str, Any]) -> None:
    with pytest.raises(Unauthenticated):
        identity_of(strange)


def test_only_the_request_context_names_the_caller() -> None:
    said = {"x-api-key": "k", "authorizer": "a", "authorization": "Bearer x", "requestContext.apiKeyId": "k"}
    with pytest.raises(Unauthenticated):
        identity_of({"headers": said, "body": '{"requestContext": {}}', "apiKeyId": "k", **event({})})


def test_the_error_does_not_repeat_what_was_sent() -> None:
    with pytest.raises(Unauthenticated) as caught:
        identity_of(event({"apiKeyId": "sec ret", "apiKey": "sec ret"}))
    assert "sec ret" not in caught.value.detail


@pytest.mark.parametrize(
    ("claims", "groups"),
    [
        ({}, ()),
        ({"groups": None}, ()),
        ({"groups": 7}, ()),
        ({"groups": {"a": 1}}, ()),
        ({"groups": "one"}, ("one",)),
        ({"groups": ["b", "a", "b"]}, ("a", "b")),
        ({"groups": ["a,finance", "a finance", "[finance]", ""]}, ()),  # a name must not become two
        ({"cognito:groups": "x", "groups": "y"}, ("x",)),
        ({"cognito:groups": [], "groups": ["y"]}, ("y",)),
        ({"groups": '["école", "日本"]'}, ("école", "日本")),
        ({"groups": "x,admins"}, ()),
        ({"groups": "[" * 5000}, ()),
    ],
)
def test_groups_are_read_in_every_form_that_a_gateway_gives(claims: Any, groups: tuple[str, ...]) -> None:
    assert groups_of(claims) == groups


def test_groups_are_bounded() -> None:
    assert len(groups_of({"groups": [f"g{number}" for number in range(500)]})) == MAX_GROUPS
