"""The documents bucket, and links to what lies in it."""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Mapping, Sequence
from email.header import decode_header, make_header
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from docwell.adapters.aws import error_code, vendor_errors
from docwell.attributes import MAX_METADATA, MAX_METADATA_BYTES, MAX_TAGS, MAX_TAGS_BYTES, bounded
from docwell.errors import NotFound
from docwell.models import ObjectSummary, ObjectVersion

logger = logging.getLogger(__name__)

_GONE = frozenset({"404", "NoSuchKey", "NoSuchVersion", "MethodNotAllowed", "405"})
_CHANGED = frozenset({"412", "PreconditionFailed"})
# Nobody has tags here: this function may not read them, or the store knows none.
_NO_TAGS = frozenset({"AccessDenied", "403", "NotImplemented", "501"})
_BLOCK = 1024 * 1024
# An ETag as S3 makes it, its quotation marks lost or not; "null" is the version of a bucket without versions.
# A VersionId is 32 characters of a larger alphabet, so one in 10^19 looks like an ETag.
_NO_VERSION_ID = re.compile(r'"?[0-9a-f]{32}(-\d+)?"?|".*"|null')


class S3ObjectStore:
    """`docwell.ports.ObjectStore` over one bucket, versioned or not."""

    def __init__(self, client: Any, bucket: str) -> None:
        self._client = client
        self._bucket = bucket
        self._told = False

    def head(self, key: str) -> ObjectVersion | None:
        """The current version, None where the key is absent or its newest version is a delete marker."""
        with vendor_errors("s3"):
            try:
                answer = self._client.head_object(Bucket=self._bucket, Key=key)
            except ClientError as error:
                if error_code(error) in _GONE:
                    return None
                raise
        version = answer.get("VersionId")
        if version in (None, "null"):  # "null" names the one version of a bucket whose versioning is off
            version = answer["ETag"]
        return ObjectVersion(
            version=version,
            size=answer["ContentLength"],
            etag=answer["ETag"],
            metadata=_metadata(answer.get("Metadata", {})),
            tag_count=answer.get("TagCount", 0),
        )

    def tags(self, key: str, version: ObjectVersion) -> Mapping[str, str]:
        """The tags of exactly that version, where the bucket has versions; `MAX_TAGS` at most.

        None at all where this function may not read them, which is logged once. Raises `NotFound` when it is gone.
        """
        which = {} if _NO_VERSION_ID.fullmatch(version.version) else {"VersionId": version.version}
        with vendor_errors("s3"):
            try:
                answer = self._client.get_object_tagging(Bucket=self._bucket, Key=key, **which)
            except ClientError as error:
                code = error_code(error)
                if code in _NO_TAGS:
                    self._tell_once(code)
                    return {}
                if code in _GONE:
                    raise NotFound(f"{key!r} changed while its tags were being read") from error
                raise
        return bounded({tag["Key"]: tag["Value"] for tag in answer["TagSet"]}, MAX_TAGS, MAX_TAGS_BYTES)

    def _tell_once(self, code: str) -> None:
        if not self._told:
            logger.warning("object tags cannot be read: no document has any", extra={"code": code})
            self._told = True

    def download(self, key: str, version: ObjectVersion, path: Path) -> None:
        """Write exactly that version to `path`. Raises `NotFound` when the key has another one by now."""
        # An ETag comes in quotes; a VersionId never does.
        is_etag = version.version.startswith('"')
        which = {"IfMatch" if is_etag else "VersionId": version.version}
        with vendor_errors("s3"):
            try:
                body = self._client.get_object(Bucket=self._bucket, Key=key, **which)["Body"]
            except ClientError as error:
                if error_code(error) in _GONE | _CHANGED:
                    raise NotFound(f"{key!r} changed while it was being read") from error
                raise
            with body, path.open("wb") as file:
                shutil.copyfileobj(body, file, _BLOCK)

    def list(self, after: str | None, limit: int) -> Sequence[ObjectSummary]:
        """Up to `limit` (1,000 at most) objects after `after`, in key order."""
        start = {} if after is None else {"StartAfter": after}
        with vendor_errors("s3"):
            answer = self._client.list_objects_v2(Bucket=self._bucket, MaxKeys=limit, **start)
        return [ObjectSummary(row["Key"], row["ETag"], row["Size"]) for row in answer.get("Contents", ())]


def _metadata(sent: Mapping[str, str]) -> dict[str, str]:
    """User metadata with lower-case names. What is no ASCII comes as RFC 2047 has it, "=?UTF-8?B?...?="."""
    found: dict[str, str] = {}
    for name, value in sent.items():
        try:
            found[name.lower()] = str(make_header(decode_header(value)))
        except (ValueError, LookupError):  # it only looks so
            found[name.lower()] = value
    return bounded(found, MAX_METADATA, MAX_METADATA_BYTES)


class S3DocumentLinks:
    """`docwell.ports.DocumentLinks` by presigned URLs that are good for `seconds`.

    Whoever signs needs `s3:GetObject` and `s3:GetObjectVersion`. A link ends early when the credentials do that
    signed it: a role's last hours. Where the bucket has no versions it opens what is there when it is followed.
    """

    def __init__(self, client: Any, bucket: str, seconds: int) -> None:
        self._client = client
        self._bucket = bucket
        self._seconds = seconds

    def link(self, document: str, version: str, page: int) -> str:
        """Signed here, in 0.2 ms. Raises `Unavailable` where there are no credentials to sign with."""
        wanted = {
            "Bucket": self._bucket,
            "Key": document,
            # Whatever was uploaded is shown as a PDF or not at all, never run as a page of the bucket's origin.
            "ResponseContentType": "application/pdf",
            "ResponseContentDisposition": "inline",
        }
        if not _NO_VERSION_ID.fullmatch(version):
            wanted["VersionId"] = version
        with vendor_errors("s3"):
            url = self._client.generate_presigned_url("get_object", Params=wanted, ExpiresIn=self._seconds)
        return f"{url}#page={page}"
