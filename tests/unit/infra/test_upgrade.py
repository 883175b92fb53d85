"""An installation of an earlier release, before `make deploy` changes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.release import deployment, upgrade
from tests.unit.infra.templates import MAIN, content, whole

DEPLOYED = {"ChromaUrl": "", "ChromaPlace": "first,snap-1", "KmsKeyArn": "", "ServerZone": "a", "Network": "vpc-1"}


@pytest.mark.parametrize(
    ("changed", "refused"),
    [
        ({"KmsKeyArn": "arn"}, ["KmsKeyArn"]),
        ({"ServerZone": "b"}, ["ServerZone"]),
        ({"ChromaPlace": "first,snap-2"}, ["ChromaPlace"]),
        ({"ChromaPlace": "first,"}, ["ChromaPlace"]),
        ({"Network": "one-zone", "ServerZone": ""}, []),  # ServerZone counts in an own VPC alone
        ({"ModelName": "n"}, []),
        ({"ChromaPlace": "second,snap-2", "KmsKeyArn": "arn", "ServerZone": "b"}, []),  # another volume
        ({"ChromaUrl": "https://chroma", "KmsKeyArn": "arn"}, []),
    ],
)
def test_what_ec2_cannot_change_of_a_volume_is_refused(changed: dict[str, str], refused: list[str]) -> None:
    assert upgrade.volume_changes(DEPLOYED, DEPLOYED | changed) == refused
    assert upgrade.volume_changes({"ModelName": "m"}, DEPLOYED | changed) == []  # an earlier release's names


@pytest.mark.parametrize(
    ("key", "following", "refused"), [("", "a", False), ("a", "a", False), ("a", "b", True), ("a", "", True)]
)
def test_documents_do_not_lose_the_key_that_encrypted_them(key: str, following: str, refused: bool) -> None:
    before = DEPLOYED | {"ChromaUrl": "https://chroma", "KmsKeyArn": key}
    problem = upgrade.refusal("team", before, before | {"KmsKeyArn": following})
    assert ("documents keep the key" in problem) is bool(problem) is refused
    # Roles allow the functions one key alone.
    (policy,) = whole()["Resources"]["KeyPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    assert policy["Resource"] == {"Ref": "KmsKeyArn"}


@pytest.mark.parametrize("path", sorted(deployment.PROFILES.glob("*.toml")), ids=lambda path: path.stem)
def test_every_profile_is_taken(path: Path) -> None:
    given = deployment.profile_parameters(path.stem)
    assert list(upgrade.problems(given, content(MAIN)["Parameters"])) == []
