"""Buckets in S3: the documents, links to them, all their versions, and copies for `docwell load`."""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.charset import Charset
from email.errors import MessageError
from email.header import decode_header, make_header
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from botocore.exceptions import ClientError

from docwell import media_types
from docwell.adapters.aws import error_code, vendor_errors
from docwell.errors import DocwellError, Forbidden, NotFound, ObjectDenied, Refused, Unavailable
from docwell.models import (
    MAX_METADATA,
    MAX_METADATA_BYTES,
    MAX_TAGS,
    MAX_TAGS_BYTES,
    Attributes,
    CitationUnit,
    ObjectVersion,
    StoredObject,
    UnitKind,
    bounded,
)
from docwell.ports import UploadForm

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import (
        CopySourceTypeDef,
        DeleteObjectRequestTypeDef,
        GetObjectRequestTypeDef,
        GetObjectTaggingRequestTypeDef,
        HeadObjectRequestTypeDef,
        ListObjectsV2RequestTypeDef,
    )

logger = logging.getLogger(__name__)

_GONE = ("404", "NoSuchKey", "NoSuchVersion", "MethodNotAllowed", "405")
_CHANGED = ("412", "PreconditionFailed", "ConditionalRequestConflict")
# A policy denies the object, or a customer's key encrypts it (SSE-C). HEAD returns no code beside the status.
_DENIED = ("400", "403")
# The function may not read tags, or the store does not support them.
_NO_TAGS = ("AccessDenied", "403", "NotImplemented", "501")
_BLOCK = 1024 * 1024
# An ETag as S3 makes it, with or without its quotation marks; "null" is the version in a bucket without versions.
# A VersionId is 32 characters of a larger alphabet: one in 10^19 looks like an ETag.
_NO_VERSION_ID = re.compile(r'"?[0-9a-f]{32}(-\d+)?"?|".*"|null')

# The metadata that a form adds. Its signature fixes the value.
_UPLOADER = "docwell-uploader"
_LIST_PAGE = 1000  # the most that S3 lists at once
# S3 must restore these before it copies them.
_ARCHIVED = frozenset({"GLACIER", "DEEP_ARCHIVE"})
_COPY_ERRORS: Mapping[str, Callable[[str], DocwellError]] = {
    **dict.fromkeys(("404", "NoSuchKey", "412", "PreconditionFailed"), NotFound),
    **dict.fromkeys(("403", "AccessDenied"), Forbidden),
    **dict.fromkeys(("InvalidObjectState", "ObjectNotInActiveTierError"), partial(Refused, "archived")),
    "InvalidRequest": partial(Refused, "refused"),  # such as an object under a customer's key (SSE-C)
}
# Errors of a listing for a wrong name or permission, which no retry repairs.
_NO_LISTING = ("403", "AccessDenied", "404", "NoSuchBucket", "InvalidBucketName")


class S3Listing:
    """The current objects of one bucket below a prefix. Raises `Unavailable`."""

    def __init__(self, client: S3Client, bucket: str, prefix: str = "") -> None:
        self._client = client
        self._bucket = bucket
        self._prefix = prefix

    def page(self, after: str) -> tuple[list[StoredObject], str | None]:
        """Return up to 1,000 objects after a key ("": from the first), and the last key read, None at the end."""
        request: ListObjectsV2RequestTypeDef = {
            "Bucket": self._bucket,
            "Prefix": self._prefix,
            "MaxKeys": _LIST_PAGE,
            "OptionalObjectAttributes": ["RestoreStatus"],
        }
        if after:
            request["StartAfter"] = after
        detail = f"s3: listing bucket {self._bucket!r} answered "
        with vendor_errors("s3", *_NO_LISTING, becomes=lambda code: Unavailable("s3", detail + code, None)):
            answer = self._client.list_objects_v2(**request)
            # Some S3-compatible stores send an empty page before the end.
            while answer["IsTruncated"] and not answer.get("Contents"):
                request["ContinuationToken"] = answer["NextContinuationToken"]
                answer = self._client.list_objects_v2(**request)
        rows = [
            StoredObject(
                row["Key"],
                row["ETag"],
                row["Size"],
                row["LastModified"].timestamp(),
                # A restored object keeps its storage class, so check the restore status too.
                row.get("StorageClass") in _ARCHIVED and "RestoreExpiryDate" not in row.get("RestoreStatus", {}),
            )
            for row in answer.get("Contents", [])
        ]
        return rows, rows[-1].key if answer["IsTruncated"] else None

    def objects(self) -> Iterator[StoredObject]:
        """Yield all objects, by key."""
        after: str | None = ""
        while after is not None:
            rows, after = self.page(after)
            yield from rows

    def copy(self, stored: StoredObject, bucket: str, key: str) -> None:
        """Let S3 copy exactly the listed content to `key` of a bucket, with metadata and tags.

        S3 refuses an object over 5 GiB, and ingest one over 0.5 GiB. Raises `NotFound` where the object has other
        content now, `Forbidden`, and `Refused`. Needs `s3:GetObject` and `s3:GetObjectTagging` here,
        `s3:PutObject` and `s3:PutObjectTagging` there.
        """
        place: CopySourceTypeDef = {"Bucket": self._bucket, "Key": stored.key}
        detail = f"CopyObject of {stored.key!r} answered "
        with vendor_errors("s3", *_COPY_ERRORS, becomes=lambda code: _COPY_ERRORS[code](detail + code)):
            self._client.copy_object(Bucket=bucket, Key=key, CopySource=place, CopySourceIfMatch=stored.etag)


class S3ObjectStore(S3Listing):
    """`docwell.ports.ObjectStore` over one bucket, versioned or not."""

    _warned = False

    def head(self, key: str, version: str | None = None) -> ObjectVersion | None:
        """Return the current version, or that one; None where the key has none, or it is a delete marker."""
        request: HeadObjectRequestTypeDef = {"Bucket": self._bucket, "Key": key}
        if version and not _NO_VERSION_ID.fullmatch(version):
            request["VersionId"] = version
        try:
            with vendor_errors("s3", *_GONE, *_DENIED):
                answer = self._client.head_object(**request)
        except ClientError as error:
            if (code := error_code(error)) in _DENIED:
                raise ObjectDenied("s3", f"s3: HeadObject answered {code}") from error
            return None
        version = answer.get("VersionId", "null")  # "null" with versioning off
        sent = {name.lower(): value for name, value in answer.get("Metadata", {}).items()}
        metadata = {name: _decoded(value) for name, value in sent.items() if name != _UPLOADER}
        return ObjectVersion(
            version=answer["ETag"] if version == "null" else version,
            size=answer["ContentLength"],
            etag=answer["ETag"],
            uploader=sent.get(_UPLOADER),  # not decoded: the text of a form is ASCII
            metadata=bounded(metadata, MAX_METADATA, MAX_METADATA_BYTES),
            tag_count=answer.get("TagCount", 0),
            modified=answer["LastModified"].timestamp(),
        )

    def tags(self, key: str, version: ObjectVersion | None = None) -> Mapping[str, str]:
        """Return up to `MAX_TAGS` tags; with a `version` of a bucket with versions, exactly that one's.

        Return none, and warn once, if the function may not read tags. Raises `NotFound`: the version is gone.
        """
        request: GetObjectTaggingRequestTypeDef = {"Bucket": self._bucket, "Key": key}
        if version and not _NO_VERSION_ID.fullmatch(version.version):
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
        with vendor_errors("s3", *_GONE, *_CHANGED, becomes=lambda _: NotFound(f"{key!r} changed meanwhile")):
            body = self._client.get_object(**request)["Body"]
            with body, path.open("wb") as file:
                shutil.copyfileobj(body, file, _BLOCK)


def _decoded(value: str) -> str:
    """Decode the value of user metadata; S3 sends a non-ASCII one as RFC 2047, "=?UTF-8?B?...?="."""
    try:
        text = str(make_header(decode_header(value)))
        text.encode()  # raises for a lone surrogate, which DynamoDB cannot store
    except (ValueError, LookupError, MessageError):  # the value is not in that form
        return value
    return text


def _encoded(value: str) -> str:
    """Encode a value that is not printable ASCII as RFC 2047; a line end would end the header."""
    return value if value.isascii() and value.isprintable() else Charset("utf-8").header_encode(value)


@dataclass(frozen=True)
class S3DocumentLinks:
    """`docwell.ports.DocumentLinks` and `DocumentWriter`; presigned URLs and forms are valid for `seconds`.

    A link needs `s3:GetObject` and `s3:GetObjectVersion`, a form `s3:PutObject` (with tags `s3:PutObjectTagging`),
    `current` `s3:GetObject` and `s3:GetObjectTagging`, `delete` `s3:GetObject` and `s3:DeleteObject`. A link ends
    early when its signer's credentials do: those of a role last hours. In a bucket without versions, it opens the
    current object. `reached_at` forwards to the client's endpoint.
    """

    client: S3Client
    bucket: str
    seconds: int
    reached_at: str | None = None

    def link(self, document: str, version: str, unit: CitationUnit, media_type: str | None = None) -> str:
        """Sign a link locally. Raises `Unavailable` without credentials.

        The browser shows a PDF at the cited page, or an image. It downloads any other document. The content type
        of the upload is ignored: a file must not run as a page of the bucket's origin.
        """
        if media_type is None:
            media_type = media_types.PDF if unit.kind is UnitKind.PAGE else media_types.UNKNOWN
        request = {
            "Bucket": self.bucket,
            "Key": document,
            "ResponseContentType": media_type,
            "ResponseContentDisposition": "inline" if media_type in media_types.SHOWN else "attachment",
        }
        if not _NO_VERSION_ID.fullmatch(version):
            request["VersionId"] = version
        with vendor_errors("s3"):
            signed = self.client.generate_presigned_url("get_object", Params=request, ExpiresIn=self.seconds)
        url = self._reachable(signed)
        return f"{url}#{unit.anchor}" if media_type == media_types.PDF else url

    def form(self, document: str, size: int, content_type: str, like: Attributes, uploader: str) -> UploadForm:
        """Sign a form. S3 refuses other keys, sizes, types and fields. Raises `Unavailable`: no credentials."""
        sent = {**like.metadata, _UPLOADER: uploader}
        fields = {"Content-Type": content_type} | {f"x-amz-meta-{name}": _encoded(sent[name]) for name in sent}
        pairs = (f"<Key>{escape(key)}</Key><Value>{escape(value)}</Value>" for key, value in like.tags.items())
        if tags := "".join(f"<Tag>{pair}</Tag>" for pair in pairs):
            fields["tagging"] = f"<Tagging><TagSet>{tags}</TagSet></Tagging>"
        conditions = [*({name: value} for name, value in fields.items()), ["content-length-range", size, size]]
        with vendor_errors("s3"):
            form = self.client.generate_presigned_post(
                Bucket=self.bucket, Key=document, Fields=fields, Conditions=conditions, ExpiresIn=self.seconds
            )
        return UploadForm(self._reachable(form["url"]), form["fields"])

    def current(self, document: str) -> tuple[str, Mapping[str, str]]:
        """Return ETag and tags of the current version, no tags if it may not read them. Raises `NotFound`."""
        store = S3ObjectStore(self.client, self.bucket)
        if version := store.head(document):
            return version.etag, store.tags(document)  # no older than the version: a newer one has another ETag
        raise NotFound(f"{document!r} is gone")

    def delete(self, document: str, etag: str | None = None) -> None:
        """Remove the current version; a bucket with versions keeps it behind a delete marker.

        Raises `NotFound` if it has another ETag.
        """
        request: DeleteObjectRequestTypeDef = {"Bucket": self.bucket, "Key": document}
        if etag:
            request["IfMatch"] = etag
        with vendor_errors("s3", *_GONE, *_CHANGED, becomes=lambda _: NotFound(f"{document!r} changed meanwhile")):
            self.client.delete_object(**request)

    def _reachable(self, url: str) -> str:
        # AWS has the bucket in the host, so its URL does not begin with the client's endpoint.
        if not self.reached_at:
            return url
        return self.reached_at.rstrip("/") + url.removeprefix(self.client.meta.endpoint_url)


_DELETE_AT_ONCE = 1000  # the most that one DeleteObjects takes
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """One version of an object, or a delete marker. `id` is "null" in a bucket without versions."""

    key: str
    id: str
    marker: bool


@dataclass(frozen=True)
class S3Versions:
    """The versions and delete markers of one bucket."""

    client: S3Client
    bucket: str

    def under(self, prefix: str) -> list[StoredVersion]:
        """Return the versions of all keys that begin with `prefix`."""
        versions: list[StoredVersion] = []
        pages = self.client.get_paginator("list_object_versions").paginate(Bucket=self.bucket, Prefix=prefix)
        with vendor_errors("s3"):
            for page in pages:
                for name, marker in (("Versions", False), ("DeleteMarkers", True)):
                    rows: Sequence[Mapping[str, str]] = page.get(name, ())  # type: ignore[assignment] # one TypedDict each
                    versions += [StoredVersion(row["Key"], row["VersionId"], marker) for row in rows]
        return versions

    def of(self, key: str) -> list[StoredVersion]:
        """Return the versions of one key."""
        return [version for version in self.under(key) if version.key == key]

    def erase(self, versions: Sequence[StoredVersion]) -> None:
        """Delete these versions for good. Raises `Unavailable` with the number that S3 did not delete.

        A new delete marker hides each key first, and the markers go last: no older version is current in between.
        """
        contents = [version for version in versions if not version.marker]
        for key in dict.fromkeys(version.key for version in contents):
            with vendor_errors("s3"):
                self.client.delete_object(Bucket=self.bucket, Key=key)
        self._delete(contents)
        keys = dict.fromkeys(version.key for version in versions)
        self._delete([version for key in keys for version in self.of(key) if version.marker])

    def deleted_since(self, since: datetime, prefix: str = "") -> Iterator[list[StoredVersion]]:
        """Yield, in pages, the delete markers that have hidden a key of the prefix since that time."""
        pages = self.client.get_paginator("list_object_versions").paginate(Bucket=self.bucket, Prefix=prefix)
        with vendor_errors("s3"):
            for page in pages:
                yield [
                    StoredVersion(marker["Key"], marker["VersionId"], marker=True)
                    for marker in page.get("DeleteMarkers", ())
                    if marker["IsLatest"] and marker["LastModified"] >= since
                ]

    def undelete(self, since: datetime, prefix: str = "") -> Iterator[list[StoredVersion]]:
        """Remove those markers, so that the previous version is current again, and yield them in batches.

        A key that was deleted twice has two markers: list again until none is left.
        """
        while pages := list(filter(None, self.deleted_since(since, prefix))):
            for markers in pages:
                self._delete(markers)
                yield markers

    def _delete(self, versions: Sequence[StoredVersion]) -> None:
        # A key with a control character has no place in the XML of DeleteObjects.
        plain = [version for version in versions if not _CONTROL.search(version.key)]
        with vendor_errors("s3"):
            for version in filter(lambda version: _CONTROL.search(version.key), versions):
                self.client.delete_object(Bucket=self.bucket, Key=version.key, VersionId=version.id)
        for start in range(0, len(plain), _DELETE_AT_ONCE):
            batch = plain[start : start + _DELETE_AT_ONCE]
            objects = [{"Key": version.key, "VersionId": version.id} for version in batch]
            with vendor_errors("s3"):
                answer = self.client.delete_objects(
                    Bucket=self.bucket,
                    Delete={"Objects": objects, "Quiet": True},  # type: ignore[typeddict-item] # invariant list
                )
            if errors := answer.get("Errors"):
                codes = ", ".join(sorted({error.get("Code", "unknown") for error in errors}))
                raise Unavailable("s3", f"s3 keeps {len(errors)} versions: {codes}")
