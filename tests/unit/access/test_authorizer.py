"""The authorizer: every credential that it knows, and attacks with those that it must not."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import boto3
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from moto import mock_aws

from docwell.access.authorizer import (
    KEPT_S,
    MAX_KEY_CHARACTERS,
    MAX_TOKEN_CHARACTERS,
    Authorizer,
    allowed,
    denied,
    headers_of,
)
from docwell.adapters.dynamodb.principals import DynamoApiKeys
from docwell.adapters.tokens import IssuerTokens
from docwell.errors import Unauthenticated, Unavailable
from docwell.identity import NO_CREDENTIAL, ApiKey, Identity, digest_of, identity_of
from docwell.wiring import small_functions
from functions.authorizer.handler import handler
from infra.local.names import PRINCIPALS_SCHEMA
from tests.fresh_wiring import clear_caches
from tests.integration.waiting import Clock
from tests.unit.cases import rows as cases

ISSUER, CLIENT = "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Pool", "client1"
SIGNING, OTHER = (rsa.generate_private_key(65537, 2048) for _ in range(2))
NOW = 1_800_000_000
VALUE, OLD, FOREIGN = ("v" * 40, "o" * 40, "f" * 40)
ARN = "arn:aws:execute-api:eu-central-1:123456789012:api1/live/POST/v1/query"


class Published:
    """The pool's public keys."""

    def find(self, id_: str) -> jwt.PyJWK | None:
        public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(SIGNING.public_key()))
        return jwt.PyJWK({**public, "kid": "k1", "alg": "RS256"}) if id_ == "k1" else None


class Rows:
    """The API keys in memory; a test can take them down."""

    def __init__(self) -> None:
        self.keys = {
            digest_of(VALUE): ApiKey(digest_of(VALUE), "key:a", "gwnew"),
            digest_of(OLD): ApiKey(digest_of(OLD), "key:a", "gwold", ends_at=NOW + 60),
        }
        self.reads = 0
        self.down = False

    def find(self, digest: str) -> ApiKey | None:
        self.reads += 1
        if self.down:
            raise Unavailable("principals", "down")
        return self.keys.get(digest)


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW)


@pytest.fixture
def rows() -> Rows:
    return Rows()


@pytest.fixture
def authorizer(rows: Rows, clock: Clock) -> Authorizer:
    return Authorizer(rows.find, IssuerTokens(ISSUER, [CLIENT], Published()).identify, clock)  # type: ignore[arg-type] # a fake


def token(key: Any = SIGNING, algorithm: str = "RS256", kid: str = "k1", **changes: Any) -> str:
    """Return an access token; a change of None removes the claim. PyJWT compares with the real time."""
    now = int(time.time())
    claims = {
        "iss": ISSUER,
        "sub": "person",
        "token_use": "access",
        "client_id": CLIENT,
        "iat": now,
        "exp": now + 300,
    }
    claims |= {"cognito:groups": ["staff"]} | changes
    sent = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(sent, key, algorithm, headers={"kid": kid})


def bearer(value: str) -> list[tuple[str, str]]:
    return [("Authorization", f"Bearer {value}")]


def ago(seconds: int) -> int:
    return int(time.time()) - seconds


@pytest.mark.parametrize(
    "headers",
    [
        [("x-api-key", VALUE)],
        [("X-Api-Key", VALUE)],
        bearer(VALUE),
        [("authorization", f"bearer  {VALUE} ")],
        [("x-api-key", VALUE), *bearer(VALUE)],
        [("x-api-key", VALUE), *bearer(OLD)],  # both are keys of one principal
        [("x-api-key", VALUE), ("x-api-key", VALUE)],
    ],
)
def test_a_key_is_one_principal_in_both_headers(authorizer: Authorizer, headers: list[tuple[str, str]]) -> None:
    caller = authorizer.identify(headers)
    assert (caller.identity, caller.usage_key in {VALUE, OLD}) == (Identity("key:a"), True)


@pytest.mark.parametrize("case", cases(__file__, "issuer_tokens"), ids=lambda case: case["name"])
def test_a_token_of_any_issuer_names_its_principal_and_groups(rows: Rows, case: dict[str, Any]) -> None:
    """The shapes are those of the issuers' documentation."""
    now = int(time.time())
    sent = jwt.encode(
        {"iat": now, "exp": now + 300} | case["claims"], SIGNING, "RS256", {"kid": "k1"} | case["header"]
    )
    authorizer = Authorizer(rows.find, IssuerTokens(keys=Published(), **case["settings"]).identify)  # type: ignore[arg-type] # a fake
    if case["identity"] is None:
        with pytest.raises(Unauthenticated):
            authorizer.identify(bearer(sent))
    else:
        id_, groups = case["identity"]
        assert authorizer.identify(bearer(sent)).identity == Identity(id_, tuple(groups))


PRIVATE = {"ES256": ec.generate_private_key(ec.SECP256R1()), "EdDSA": ed25519.Ed25519PrivateKey.generate()}


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", *PRIVATE])
def test_a_key_signs_with_its_own_algorithm_alone(rows: Rows, algorithm: str) -> None:
    private: Any = PRIVATE.get(algorithm, SIGNING)
    public = json.loads(jwt.get_algorithm_by_name(algorithm).to_jwk(private.public_key()))
    published = SimpleNamespace(find=lambda _: jwt.PyJWK({**public, "alg": algorithm}))
    authorizer = Authorizer(rows.find, IssuerTokens(ISSUER, [CLIENT], published).identify)  # type: ignore[arg-type] # a fake
    assert authorizer.identify(bearer(token(private, algorithm))).identity.id == "sub:person"
    with pytest.raises(Unauthenticated):
        authorizer.identify(bearer(token(OTHER, "RS512")))


PUBLIC = SIGNING.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def hs256_with_the_public_key() -> str:
    """PyJWT refuses to sign so, so sign by hand."""
    _, claims, _ = token().split(".")
    header = base64.urlsafe_b64encode(b'{"alg":"HS256","kid":"k1","typ":"JWT"}').rstrip(b"=").decode()
    signature = hmac.new(PUBLIC, f"{header}.{claims}".encode(), hashlib.sha256).digest()
    return f"{header}.{claims}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def spliced(first: str, second: str) -> str:
    """Return the second token with the signature of the first."""
    return f"{second.rpartition('.')[0]}.{first.rpartition('.')[2]}"


def nested(part: bytes) -> str:
    return base64.urlsafe_b64encode(part * 3_000).rstrip(b"=").decode()


ATTACKS: dict[str, Callable[[], list[tuple[str, str]]]] = {
    "nothing": list,
    "an empty key": lambda: [("x-api-key", "")],
    "an unknown key": lambda: [("x-api-key", "guess" * 8)],
    "a key of another installation": lambda: [("x-api-key", FOREIGN)],
    "the digest of a key": lambda: [("x-api-key", digest_of(VALUE))],
    "a key that is too long": lambda: [("x-api-key", "k" * (MAX_KEY_CHARACTERS + 1))],
    "a very long header": lambda: bearer("a." * MAX_TOKEN_CHARACTERS),
    "another scheme beside a valid key": lambda: [("x-api-key", VALUE), ("authorization", "Basic x")],
    "a bare key": lambda: [("authorization", VALUE)],
    "a valid and an unknown key": lambda: [("x-api-key", VALUE), *bearer("guess")],
    "a key and a token": lambda: [("x-api-key", VALUE), *bearer(token())],
    "tokens of two people": lambda: [*bearer(token()), *bearer(token(sub="other"))],
    "a token as a key": lambda: [("x-api-key", token())],
    "expired": lambda: bearer(token(exp=ago(60))),
    "without an end": lambda: bearer(token(exp=None)),
    "not yet valid": lambda: bearer(token(nbf=ago(-120))),
    "issued in the future": lambda: bearer(token(iat=ago(-120))),
    "without an issuer": lambda: bearer(token(iss=None)),
    "with an invalid subject": lambda: bearer(token(sub="a b")),
    "unsigned": lambda: bearer(token(None, "none")),
    "HS256 with the public key": lambda: bearer(hs256_with_the_public_key()),
    "RS512": lambda: bearer(token(algorithm="RS512")),
    "signed by another key": lambda: bearer(token(OTHER)),
    "an unknown key id": lambda: bearer(token(kid="k2")),
    "truncated": lambda: bearer(token()[:-8]),
    "without a signature": lambda: bearer(token().rpartition(".")[0] + "."),
    "claims of another token": lambda: bearer(spliced(token(), token(sub="x"))),
    "no JSON": lambda: bearer("a.b.c"),
    "a header of nested lists": lambda: bearer(f"{nested(b'[')}.e30.e30"),
    "no ASCII": lambda: bearer("é.日.本"),
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_an_attack_is_denied_without_details(authorizer: Authorizer, attack: Callable[[], Any]) -> None:
    with pytest.raises(Unauthenticated) as caught:
        authorizer.identify(attack())
    assert (caught.value.status, caught.value.detail) == (401, NO_CREDENTIAL)


def test_without_a_pool_every_token_is_denied(rows: Rows) -> None:
    with pytest.raises(Unauthenticated):
        Authorizer(rows.find).identify(bearer(token()))


def test_a_key_ends_on_time_even_while_it_is_cached(authorizer: Authorizer, clock: Clock, rows: Rows) -> None:
    clock.now += 59.5
    authorizer.identify(bearer(OLD))
    clock.now += 0.5
    with pytest.raises(Unauthenticated):
        authorizer.identify(bearer(OLD))
    assert rows.reads == 1
    assert authorizer.identify(bearer(VALUE)).identity.id == "key:a"


def test_known_keys_are_cached_for_seconds_and_unknown_ones_never(
    authorizer: Authorizer, clock: Clock, rows: Rows
) -> None:
    for _ in range(3):
        authorizer.identify(bearer(VALUE))
    assert rows.reads == 1
    rows.down = True
    authorizer.identify(bearer(VALUE))
    clock.now += KEPT_S + 1
    with pytest.raises(Unavailable):
        authorizer.identify(bearer(VALUE))
    rows.down = False
    rows.keys.clear()
    with pytest.raises(Unauthenticated):
        authorizer.identify(bearer(VALUE))
    rows.keys[digest_of(VALUE)] = ApiKey(digest_of(VALUE), "key:b", "gw")
    assert authorizer.identify(bearer(VALUE)).identity.id == "key:b"


@pytest.mark.parametrize("principal", ["sub:person", "group:staff", "key:", "a"])
def test_a_row_for_anything_but_a_key_is_denied(authorizer: Authorizer, rows: Rows, principal: str) -> None:
    rows.keys[digest_of(FOREIGN)] = ApiKey(digest_of(FOREIGN), principal, "gw")
    with pytest.raises(Unauthenticated):
        authorizer.identify(bearer(FOREIGN))


def test_the_answer_covers_the_whole_stage_and_nothing_else(authorizer: Authorizer) -> None:
    by_key = allowed(ARN, authorizer.identify(bearer(VALUE)), "tokens")
    (statement,) = by_key["policyDocument"]["Statement"]
    assert (statement["Effect"], statement["Resource"]) == ("Allow", ARN.split("/", maxsplit=1)[0] + "/live/*")
    assert (by_key["principalId"], by_key["usageIdentifierKey"]) == ("key:a", VALUE)
    by_token = allowed(ARN, authorizer.identify(bearer(token())), "tokens")
    assert by_token["usageIdentifierKey"] == "tokens"
    assert all(isinstance(value, str) for value in by_token["context"].values())  # API Gateway accepts no list
    # The event has principalId beside the context.
    event = {"requestContext": {"authorizer": {"principalId": by_token["principalId"], **by_token["context"]}}}
    assert identity_of(event) == Identity("sub:person", ("staff",))
    (statement,) = denied(ARN)["policyDocument"]["Statement"]
    assert (statement["Effect"], statement["Resource"]) == ("Deny", ARN.split("/", maxsplit=1)[0] + "/live/*")


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    clear_caches()
    with mock_aws():
        client = boto3.client("dynamodb")
        client.create_table(TableName="principals", **PRINCIPALS_SCHEMA)
        yield client
    clear_caches()


def test_the_function_allows_a_stored_key_and_denies_every_other(
    table: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DOCWELL_PRINCIPALS_TABLE", "principals")
    DynamoApiKeys(table, "principals").put(ApiKey(digest_of(VALUE), "key:a", "gw"))
    context = SimpleNamespace(
        function_name="authorizer", memory_limit_in_mb=256, invoked_function_arn=ARN, aws_request_id="r"
    )

    def effect(**headers: str) -> str:
        event = {"methodArn": ARN, "multiValueHeaders": {name: [value] for name, value in headers.items()}}
        (statement,) = handler(event, context)["policyDocument"]["Statement"]
        return str(statement["Effect"])

    assert effect(authorization=f"Bearer {VALUE}") == "Allow"
    assert "Unauthenticated" not in capsys.readouterr().out
    assert effect(authorization=f"Bearer {FOREIGN}") == "Deny"
    assert effect() == "Deny"
    recorded = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "_aws" in line]
    assert [metric["Unauthenticated"] for metric in recorded] == [[1.0], [1.0]]
    assert [metric["_aws"]["CloudWatchMetrics"][0]["Dimensions"] for metric in recorded] == [[["service"]]] * 2
    table.delete_table(TableName="principals")
    with pytest.raises(Unavailable):  # API Gateway denies the request
        effect(authorization=f"Bearer {FOREIGN}")


def test_a_key_without_api_gateway_counts_with_the_tokens(authorizer: Authorizer, rows: Rows) -> None:
    rows.keys[digest_of(FOREIGN)] = ApiKey(digest_of(FOREIGN), "key:own-1", "own-1")
    answer = allowed(ARN, authorizer.identify(bearer(FOREIGN)), "tokens")
    assert (answer["principalId"], answer["usageIdentifierKey"]) == ("key:own-1", "tokens")


@pytest.mark.usefixtures("table")
def test_the_settings_of_a_pool_make_its_tokens_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = Mock(return_value=Published())
    monkeypatch.setattr("docwell.adapters.tokens.SigningKeys", keys)
    monkeypatch.setenv("DOCWELL_TOKEN_ISSUER", ISSUER)
    monkeypatch.setenv("DOCWELL_TOKEN_CLIENTS", f"other,{CLIENT}")
    assert small_functions.authorizer().identify(bearer(token())).identity.id == "sub:person"
    keys.assert_called_once_with(f"{ISSUER}/.well-known/openid-configuration")


def test_repeated_headers_are_all_seen() -> None:
    event = {
        "headers": {"x-api-key": VALUE},
        "multiValueHeaders": {"x-api-key": [VALUE, "guess"], "accept": ["a"]},
    }
    assert list(headers_of(event)) == [("x-api-key", VALUE), ("x-api-key", "guess"), ("accept", "a")]
    assert list(headers_of({"multiValueHeaders": None})) == []
