"""The documents bucket, and links to its documents."""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Mapping, Sequence
from email.errors import MessageError
from email.header import decode_header, make_header
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import boto3
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import ClientError, NoCredentialsError

from docwell import media_types
from docwell.adapters.aws import error_code, vendor_errors
from docwell.attributes import MAX_METADATA, MAX_METADATA_BYTES, MAX_TAGS, MAX_TAGS_BYTES, bounded
from docwell.bucket_ports import UploadForm
from docwell.citation_units import CitationUnit, UnitKind
from docwell.errors import NotFound, ObjectDenied
from docwell.models import ObjectSummary, ObjectVersion

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import (
        GetObjectRequestTypeDef,
        GetObjectTaggingRequestTypeDef,
        ListObjectsV2RequestPaginateTypeDef,
        ListObjectVersionsRequestTypeDef,
    )

logger = logging.getLogger(__name__)

_GONE = ("404", "NoSuchKey", "NoSuchVersion", "MethodNotAllowed", "405")
_CHANGED = ("412", "PreconditionFailed")
# A policy denies the object, or it is under a customer's key (SSE-C). HEAD has no code beside the status.
_DENIED = ("400", "403")
# The function may not read tags, or the store has none.
_NO_TAGS = ("AccessDenied", "403", "NotImplemented", "501")
_BLOCK = 1024 * 1024
# An ETag as S3 makes it, with or without its quotation marks; "null" is the version in a bucket without versions.
# A VersionId is 32 characters of a larger alphabet: one in 10^19 looks like an ETag.
_NO_VERSION_ID = re.compile(r'"?[0-9a-f]{32}(-\d+)?"?|".*"|null')


class S3ObjectStore:
    """`docwell.ports.ObjectStore` over one bucket, versioned or not."""

    def __init__(self, client: S3Client, bucket: str) -> None:
        self._client = client
        self._bucket = bucket
        self._warned = False

    def head(self, key: str) -> ObjectVersion | None:
        """Return the current version, None where the key is absent or its newest version is a delete marker."""
        try:
            with vendor_errors("s3", *_GONE, *_DENIED):
                answer = self._client.head_object(Bucket=self._bucket, Key=key)
        except ClientError as error:
            if (code := error_code(error)) in _DENIED:
                raise ObjectDenied("s3", f"s3: HeadObject answered {code}") from error
            return None
        return ObjectVersion(
            version=_version_of(answer.get("VersionId"), answer["ETag"]),
            size=answer["ContentLength"],
            etag=answer["ETag"],
            metadata=_metadata(answer.get("Metadata", {})),
            tag_count=answer.get("TagCount", 0),
        )

    def tags(self, key: str, version: ObjectVersion) -> Mapping[str, str]:
        """Return the tags of exactly that version, where the bucket has versions; `MAX_TAGS` at most.

        Returns none, and warns once, where the function may not read them. Raises `NotFound` when it is gone.
        """
        request: GetObjectTaggingRequestTypeDef = {"Bucket": self._bucket, "Key": key}
        if not _NO_VERSION_ID.fullmatch(version.version):
            request["VersionId"] = version.version
        try:
            with vendor_errors("s3", *_GONE, *_NO_TAGS):
                answer = self._client.get_object_tagging(**request)
        except ClientError as error:
            code = error_code(error)
            if code in _GONE:
                raise NotFound(f"{key!r} changed while its tags were being read") from error
            if not self._warned:
                logger.warning("object tags cannot be read: no document has any", extra={"code": code})
                self._warned = True
            return {}
        return bounded({tag["Key"]: tag["Value"] for tag in answer["TagSet"]}, MAX_TAGS, MAX_TAGS_BYTES)

    def download(self, key: str, version: ObjectVersion, path: Path) -> None:
        """Write exactly that version to `path`. Raises `NotFound` when the key has another version now."""
        request: GetObjectRequestTypeDef = {"Bucket": self._bucket, "Key": key}
        # An ETag comes in quotes; a VersionId never does.
        request["IfMatch" if version.version.startswith('"') else "VersionId"] = version.version
        try:
            with vendor_errors("s3", *_GONE, *_CHANGED):
                body = self._client.get_object(**request)["Body"]
                with body, path.open("wb") as file:
                    shutil.copyfileobj(body, file, _BLOCK)
        except ClientError as error:
            raise NotFound(f"{key!r} changed while it was being read") from error

    def list(self, after: str | None, limit: int) -> Sequence[ObjectSummary]:
        """Return up to `limit` (1,000 at most) objects after the key `after`, in key order."""
        request: ListObjectsV2RequestPaginateTypeDef = {"Bucket": self._bucket}
        if after is not None:
            request["StartAfter"] = after
        # A page of S3 can have fewer objects and not be the last one.
        request["PaginationConfig"] = {"MaxItems": limit, "PageSize": limit}
        pages = self._client.get_paginator("list_objects_v2").paginate(**request)
        with vendor_errors("s3"):
            rows = [row for page in pages for row in page.get("Contents", ())]
        return [ObjectSummary(row["Key"], row["ETag"], row["Size"]) for row in rows]

    def changes(self, after: str | None, limit: int, since: float) -> tuple[Sequence[ObjectSummary], str | None]:
        """Return what changed since then among the next `limit` versions, and the last key read."""
        request: ListObjectVersionsRequestTypeDef = {"Bucket": self._bucket, "MaxKeys": limit}
        if after is not None:
            request["KeyMarker"] = after
        with vendor_errors("s3"):
            answer = self._client.list_object_versions(**request)
        found = [
            ObjectSummary(row["Key"], row["ETag"], row["Size"], _version_of(row["VersionId"], row["ETag"]))
            for row in answer.get("Versions", ())
            if row["IsLatest"] and row["LastModified"].timestamp() >= since
        ]
        found += [
            ObjectSummary(row["Key"], "", 0, "")
            for row in answer.get("DeleteMarkers", ())
            if row["IsLatest"] and row["LastModified"].timestamp() >= since
        ]
        # The current version of a key comes first: without a version's marker, S3 goes on after the key.
        return sorted(found, key=lambda one: one.key), answer.get("NextKeyMarker") if answer[
            "IsTruncated"
        ] else None


def _version_of(version: str | None, etag: str) -> str:
    """Return the version; "null" names the one version of a bucket whose versioning is off."""
    return etag if version in (None, "null") else version


def _metadata(sent: Mapping[str, str]) -> dict[str, str]:
    """Return user metadata with lower-case names; S3 sends non-ASCII values as RFC 2047, "=?UTF-8?B?...?="."""
    found: dict[str, str] = {}
    for name, value in sent.items():
        try:
            text = str(make_header(decode_header(value)))
            text.encode()  # DynamoDB stores no lone surrogate
        except (ValueError, LookupError, MessageError):  # not in that form
            text = value
        found[name.lower()] = text
    return bounded(found, MAX_METADATA, MAX_METADATA_BYTES)


class S3DocumentLinks:
    """`docwell.bucket_ports.DocumentLinks` by presigned URLs that are valid for `seconds`.

    The signer needs `s3:GetObject` and `s3:GetObjectVersion`. A link expires early when the signer's credentials
    do: those of a role last hours. They are those of boto3's default session. In a bucket without versions, a link
    opens the current object.
    """

    def __init__(self, client: S3Client, bucket: str, seconds: int, reached_at: str | None = None) -> None:
        """Give addresses below `reached_at`, which forwards to the client's endpoint (None: at the endpoint)."""
        self._client = client
        self._bucket = bucket
        self._seconds = seconds
        self._reached_at = reached_at

    def link(self, document: str, version: str, unit: CitationUnit, media_type: str | None = None) -> str:
        """Sign a link locally. Raises `Unavailable` without credentials.

        The browser shows a PDF at the cited page, and an image. It saves any other document. The content type of
        the upload does not count: a file must not run as a page of the bucket's origin.
        """
        if media_type is None:
            # A file that is attached to a PDF has the anchor of a page too.
            is_pdf = unit.anchor.startswith(f"{UnitKind.PAGE}=")
            media_type = media_types.PDF if is_pdf else media_types.OTHER
        wanted = {
            "response-content-type": media_type,
            "response-content-disposition": "inline" if media_type in media_types.SHOWN else "attachment",
        }
        if not _NO_VERSION_ID.fullmatch(version):
            wanted["versionId"] = version
        url = _reachable(self._signed(document, wanted), self._client, self._reached_at)
        return f"{url}#{unit.anchor}" if media_type == media_types.PDF else url

    def _signed(self, document: str, wanted: Mapping[str, str]) -> str:
        """Return the URL of an object with a signature. `generate_presigned_url` takes four times as long."""
        with vendor_errors("s3"):
            request = AWSRequest("GET", self._folder + quote(document, safe="/"), params=wanted)
            keys = boto3.DEFAULT_SESSION.get_credentials() if boto3.DEFAULT_SESSION else None
            if keys is None:
                raise NoCredentialsError
            region = self._client.meta.region_name
            S3SigV4QueryAuth(keys.get_frozen_credentials(), "s3", region, expires=self._seconds).add_auth(request)
        return str(request.url)

    @cached_property
    def _folder(self) -> str:
        """The URL of the bucket's keys."""
        url = self._client.generate_presigned_url("get_object", Params={"Bucket": self._bucket, "Key": "-"})
        return url.partition("?")[0].removesuffix("-")


class S3DocumentWriter:
    """`docwell.bucket_ports.DocumentWriter`.

    The signer of a form needs `s3:PutObject`, and `delete` needs `s3:DeleteObject`.
    """

    def __init__(self, client: S3Client, bucket: str, seconds: int, reached_at: str | None = None) -> None:
        """Forms are valid for `seconds`. `reached_at` is as for `S3DocumentLinks`."""
        self._client = client
        self._bucket = bucket
        self._seconds = seconds
        self._reached_at = reached_at

    def form(self, document: str, size: int, content_type: str) -> UploadForm:
        """Sign a form. S3 refuses other keys, sizes, types and fields. Raises `Unavailable`: no credentials."""
        fields = {"Content-Type": content_type}
        conditions = [fields, ["content-length-range", size, size]]
        with vendor_errors("s3"):
            form = self._client.generate_presigned_post(
                Bucket=self._bucket, Key=document, Fields=fields, Conditions=conditions, ExpiresIn=self._seconds
            )
        return UploadForm(_reachable(form["url"], self._client, self._reached_at), form["fields"])

    def delete(self, document: str) -> None:
        """Remove the current version; a bucket with versions keeps it behind a delete marker."""
        with vendor_errors("s3"):
            self._client.delete_object(Bucket=self._bucket, Key=document)


def _reachable(url: str, client: S3Client, reached_at: str | None) -> str:
    """Return the address below `reached_at` that forwards to `url`."""
    endpoint = client.meta.endpoint_url
    return reached_at.rstrip("/") + url.removeprefix(endpoint) if reached_at else url
