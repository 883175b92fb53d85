"""A deployment publishes the console: its files, their cache headers, its configuration, and the bucket's CORS."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from infra.release import console
from infra.release.console import IMMUTABLE, publish, release_files
from runtime import console_page
from tests.unit.infra.console_stack import POOL

DOCUMENTS, BUCKET = "documents", "console"
URL = "https://d1.cloudfront.net"
OUTPUTS = {"Bucket": DOCUMENTS, "ConsoleUrl": URL, "ConsoleBucket": BUCKET}
SIGN_IN = "https://docwell.auth.eu-central-1.amazoncognito.com"
GIVEN = {"UserPool": ""}


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        for name in (DOCUMENTS, BUCKET):
            boto3.client("s3").create_bucket(Bucket=name)
        yield


def published() -> dict[str, Any]:
    """The objects of the console's bucket by key."""
    client = boto3.client("s3")
    keys = [item["Key"] for item in client.list_objects_v2(Bucket=BUCKET).get("Contents", [])]
    return {key: client.get_object(Bucket=BUCKET, Key=key) for key in keys}


def test_every_file_is_there_with_its_type_and_only_those_of_a_digest_are_immutable(aws: None) -> None:
    assert publish(GIVEN, OUTPUTS) == URL
    result = published()
    (folder,) = {key.partition("/")[0] for key in result} - {"index.html", "config.json"}
    assert re.fullmatch(r"[0-9a-f]{16}", folder)
    local = console_page.files()
    assert {key.removeprefix(f"{folder}/") for key in result} == set(local)
    for key, item in result.items():
        name = key.removeprefix(f"{folder}/")
        assert item["ContentType"] == console_page.media_type(Path(name))
        assert item["CacheControl"] == ("no-cache" if name == key else IMMUTABLE)
        if name != key:
            assert item["Body"].read() == local[name].read_bytes()
    assert json.loads(result["config.json"]["Body"].read()) == {}


def test_a_changed_file_is_another_release_and_the_previous_one_is_kept(
    aws: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "files", lambda: {path.name: path for path in sorted(tmp_path.iterdir())})
    (tmp_path / "index.html").write_text('<script src="app.js"></script>')
    (tmp_path / "config.json").write_text("{}")
    folders = []
    for text in ("one", "two", "three"):
        (tmp_path / "app.js").write_text(text)
        publish(GIVEN, OUTPUTS)
        page = published()["index.html"]["Body"].read().decode()
        folders.append(re.findall(r'src="(\w+)/app.js"', page)[0])
    assert len(set(folders)) == 3
    retained = {"index.html", "config.json", *(f"{folder}/app.js" for folder in folders[1:])}
    assert set(published()) == retained
    publish(GIVEN, OUTPUTS)  # publish again, as after a failure
    assert set(published()) == retained


def test_rules_of_others_stay_after_the_consoles_and_that_of_an_older_address_goes(aws: None) -> None:
    client = boto3.client("s3")
    another: Any = {"ID": "viewer", "AllowedOrigins": ["*"], "AllowedMethods": ["GET"]}
    old: Any = {"ID": "console", "AllowedOrigins": ["https://old.example"], "AllowedMethods": ["POST"]}
    client.put_bucket_cors(Bucket=DOCUMENTS, CORSConfiguration={"CORSRules": [old, another]})
    publish(GIVEN, OUTPUTS)
    rules = client.get_bucket_cors(Bucket=DOCUMENTS)["CORSRules"]
    assert [entry["AllowedOrigins"] for entry in rules] == [[URL], ["*"]]
    assert publish(GIVEN, {"Bucket": DOCUMENTS}) is None
    assert [rule["ID"] for rule in client.get_bucket_cors(Bucket=DOCUMENTS)["CORSRules"]] == ["viewer"]


@pytest.mark.parametrize(
    ("pool", "expected"),
    [
        ("", {}),
        (POOL, {}),
        (f"{POOL};{SIGN_IN}", {"sign_in": {"url": SIGN_IN, "client": "client1"}}),
    ],
)
def test_the_page_learns_of_the_sign_in_from_its_configuration(pool: str, expected: dict[str, Any]) -> None:
    result = {path.key: path for path in release_files(GIVEN | {"UserPool": pool})}
    assert json.loads(result["config.json"].body) == expected
