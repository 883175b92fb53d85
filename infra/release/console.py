"""Publish the console of a deployed stack: its files, its configuration, its origin at the documents bucket."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import ClientError

from infra.container.sam import aws_errors
from runtime.console_page import ASK_AGAIN, files, media_type

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

PAGE, CONFIGURATION = "index.html", "config.json"
# A path contains the release's digest, so its file never changes. CloudFront keeps the other files for a second.
IMMUTABLE = "public, max-age=31536000, immutable"
_FOLDER = re.compile(r'"([0-9a-f]{16})/')
_REFERENCE = re.compile(r'(?<=href=")[^"]+|(?<=src=")[^"]+')
# The name of the console's rule among the bucket's CORS rules.
RULE = "console"
# pdf.js reads these headers of an answer to a range request.
_EXPOSED = ["Content-Range", "Accept-Ranges", "Content-Length", "ETag"]


@dataclass(frozen=True, slots=True)
class File:
    """A file of the console, as stored in the bucket."""

    key: str
    body: bytes
    media_type: str
    cache: str


def publish(parameters: Mapping[str, str], outputs: Mapping[str, str]) -> str | None:
    """Publish the console of an app. Return its address, None without a console. Raises `StepError`."""
    with aws_errors("the console"):
        s3 = boto3.client("s3")
        allow(s3, outputs["Bucket"], outputs.get("ConsoleUrl"))
        if "ConsoleUrl" in outputs:
            upload(s3, outputs["ConsoleBucket"], list(release_files(parameters)))
    return outputs.get("ConsoleUrl")


def release_files(parameters: Mapping[str, str]) -> Iterator[File]:
    """Yield the files, the page last. A folder named by their digest has all but the page and its configuration.

    So a page that is open during a deployment keeps the files of its release.
    """
    page = files()[PAGE].read_text("utf-8")
    assets = {name: path for name, path in files().items() if name not in (PAGE, CONFIGURATION)}
    digests = (f"{name}\0{sha256(path.read_bytes()).hexdigest()}\n" for name, path in assets.items())
    folder = sha256("".join(digests).encode()).hexdigest()[:16]
    for name, path in assets.items():
        yield File(f"{folder}/{name}", path.read_bytes(), media_type(path), IMMUTABLE)
    configuration = json.dumps(configuration_of(parameters)).encode()
    yield File(CONFIGURATION, configuration, media_type(Path(CONFIGURATION)), ASK_AGAIN)
    page = _REFERENCE.sub(lambda match: f"{folder}/{match[0]}", page)
    yield File(PAGE, page.encode(), media_type(Path(PAGE)), ASK_AGAIN)


def configuration_of(parameters: Mapping[str, str]) -> dict[str, Any]:
    """Return the page's configuration: the sign-in of the user pool, and its first app client."""
    _, clients, address = [*parameters["UserPool"].split(";"), "", ""][:3]
    if not address:
        return {}
    return {"sign_in": {"url": address, "client": clients.split(",")[0]}}


def allow(s3: S3Client, bucket: str, origin: str | None) -> None:
    """Let pages of the console use the documents bucket, but not those of an earlier address.

    Keep rules with other names after the console's: S3 uses the first that fits a request. Without a console,
    remove its rule.
    """
    try:
        current = s3.get_bucket_cors(Bucket=bucket)["CORSRules"]
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchCORSConfiguration":
            raise
        current = []
    console = [cors_rule(origin)] if origin else []
    rules: list[Any] = [*console, *(rule for rule in current if rule.get("ID") != RULE)]
    if rules:
        s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": rules})
    elif current:
        s3.delete_bucket_cors(Bucket=bucket)


def cors_rule(origin: str) -> dict[str, Any]:
    """Return the rule by which pages of the console upload to the documents bucket and read it by ranges.

    No template can contain it: the distribution is created after the API, and the API after the bucket.
    """
    return {
        "ID": RULE,
        "AllowedOrigins": [origin],
        "AllowedMethods": ["GET", "HEAD", "POST"],
        "AllowedHeaders": ["range"],
        "ExposeHeaders": _EXPOSED,
        "MaxAgeSeconds": 3600,
    }


def upload(s3: S3Client, bucket: str, new: list[File]) -> None:
    """Write the files in order, and delete the files of all releases but this one and the previous.

    Publishing the same release again deletes nothing: pages of the previous one may still be open.
    """
    folders, live = {_folder(file.key) for file in new}, _live_folders(s3, bucket)
    for file in new:
        s3.put_object(
            Bucket=bucket, Key=file.key, Body=file.body, ContentType=file.media_type, CacheControl=file.cache
        )
    if live <= folders:
        return
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    for key in pages.search("Contents[].Key"):
        if _folder(key) not in folders | live:
            s3.delete_object(Bucket=bucket, Key=key)


def _folder(key: str) -> str:
    return key.partition("/")[0]


def _live_folders(s3: S3Client, bucket: str) -> set[str]:
    """Return the folders that the published page names; none before the first release."""
    try:
        page = s3.get_object(Bucket=bucket, Key=PAGE)["Body"].read().decode("utf-8")
    except s3.exceptions.NoSuchKey:
        return set()
    return set(_FOLDER.findall(page))
