"""A deployment makes the secrets of the proxies first, and a rotation leaves no caller without a right one."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import boto3
import pytest
from cryptography import x509

from infra.release import credentials
from infra.release.credentials import ServerSecrets, servers_of

pytestmark = pytest.mark.usefixtures("aws")
STACK = "docwell-team"
CREATED = {"ChromaUrl": "", "OllamaUrl": "", "KmsKeyArn": ""}


def read(name: str, stage: str = "AWSCURRENT") -> dict[str, Any]:
    client = boto3.client("secretsmanager")
    result = client.get_secret_value(SecretId=f"{STACK}/{name}", VersionStage=stage)
    return dict(json.loads(result["SecretString"]))


def in_balancer() -> str:
    return str(boto3.client("acm").get_certificate(CertificateArn=read("pair")["balancer"])["Certificate"])


def test_a_deployment_makes_the_secrets_once_and_takes_back_one_that_would_be_deleted() -> None:
    ServerSecrets(STACK).ensure(CREATED)
    first = read("token"), read("pair")
    boto3.client("secretsmanager").delete_secret(SecretId=f"{STACK}/pair")
    ServerSecrets(STACK).ensure(CREATED)
    assert (read("token"), read("pair")) == first
    listed = boto3.client("secretsmanager").list_secrets()["SecretList"]
    assert {secret["Name"] for secret in listed} == {f"{STACK}/token", f"{STACK}/pair"}
    assert len(boto3.client("acm").list_certificates()["CertificateSummaryList"]) == 1


def test_the_functions_trust_the_pair_and_cannot_read_its_key() -> None:
    ServerSecrets(STACK).ensure(CREATED)
    token, pair = read("token"), read("pair")
    assert token["certificates"].strip() == pair["certificate"].strip() == in_balancer().strip()
    assert set(token) == {"token", "certificates"}
    result = x509.load_pem_x509_certificate(pair["certificate"].encode())
    names = result.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert tuple(names.get_values_for_type(x509.DNSName)) == servers_of(STACK)
    assert len(bytes.fromhex(token["token"])) == 32


class Step(NamedTuple):
    """A pause of a rotation: its seconds, and what is in place meanwhile."""

    waited_s: float
    token: dict[str, Any]
    pair: dict[str, Any]
    in_balancer: str


def test_a_rotation_gives_each_part_time_to_read_before_the_next_needs_it() -> None:
    ServerSecrets(STACK).ensure(CREATED)
    old, old_pair = read("token"), read("pair")
    steps: list[Step] = []

    def pause(seconds: float) -> None:
        steps.append(Step(seconds, read("token"), read("pair"), in_balancer()))
        if len(steps) == 1:
            assert read("token", "AWSPENDING")["token"] not in ("", old["token"])

    ServerSecrets(STACK, pause).rotate()
    first, second, third = steps
    # The servers take the new token beside the old one, which the functions still send.
    assert first[1:] == (old, old_pair, old_pair["certificate"])
    assert first.waited_s > credentials.SERVERS_READ_S
    # The functions send it, and trust both pairs, while the servers have the old one.
    assert second.token["token"] != old["token"]
    assert second[2:] == first[2:]
    assert second.waited_s > credentials.FUNCTIONS_READ_S
    # The servers and the load balancer have the new pair, which the functions trust.
    assert third.pair["certificate"] != old_pair["certificate"]
    assert third.pair["balancer"] == old_pair["balancer"]
    assert third.in_balancer == third.pair["certificate"]
    trusted = x509.load_pem_x509_certificates(second.token["certificates"].encode())
    pairs = (old_pair["certificate"], third.pair["certificate"])
    assert {*trusted} == {x509.load_pem_x509_certificate(pair.encode()) for pair in pairs}
    assert third.waited_s > credentials.SERVERS_READ_S
    with pytest.raises(boto3.client("secretsmanager").exceptions.ResourceNotFoundException):
        read("token", "AWSPENDING")
