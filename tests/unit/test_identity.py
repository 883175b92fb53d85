"""The caller in the event of the gateway."""

from __future__ import annotations

from typing import Any

import pytest

from docwell.errors import Unauthenticated
from docwell.identity import MAX_GROUPS, Identity, groups_of, identity_of, uploader
from tests.unit.cases import rows


def event(authorizer: Any = None, identity: Any = None) -> dict[str, Any]:
    return {"requestContext": {"identity": identity, "authorizer": authorizer}}


@pytest.mark.parametrize("principal", ["key:k1", "sub:auth0|7", "sub:key:k1"])
def test_the_authorizers_principal_is_the_caller(principal: str) -> None:
    assert identity_of(event({"principalId": principal, "groups": '["b", "a"]'})) == Identity(
        principal, ("a", "b")
    )


@pytest.mark.parametrize("authorizer", rows(__file__, "strange_authorizers"))
def test_everything_else_is_unauthenticated(authorizer: Any) -> None:
    with pytest.raises(Unauthenticated):
        identity_of(event(authorizer, {"apiKeyId": "k", "apiKey": "secret"}))


def test_only_the_request_context_names_the_caller() -> None:
    headers = dict.fromkeys(("x-api-key", "authorizer", "authorization", "requestContext.principalId"), "key:k")
    with pytest.raises(Unauthenticated):
        identity_of({"headers": headers, "body": '{"requestContext": {}}', "principalId": "key:k", **event({})})


@pytest.mark.parametrize(("claims", "groups"), rows(__file__, "group_claims"))
def test_groups_are_read_in_every_form_of_a_claim(claims: Any, groups: list[str]) -> None:
    assert groups_of(claims) == tuple(groups)


def test_groups_are_bounded() -> None:
    assert len(groups_of({"groups": [f"g{number}" for number in range(500)]})) == MAX_GROUPS


@pytest.mark.parametrize("fields", ['"id": 5', '"id": "u"', '"id": "key:u", "bytes_per_day": NaN'])
def test_other_metadata_names_no_uploader(fields: str) -> None:
    assert uploader(f"{{{fields}}}") is None
