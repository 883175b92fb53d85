"""Partitions of a bucket's listing, and server-side copies into the documents bucket, for `docwell load`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from botocore.exceptions import BotoCoreError, ClientError

from docwell.adapters.aws import error_code, vendor_errors
from docwell.bucket_ports import StoredObject
from docwell.errors import Forbidden, NotFound, Refused, Unavailable

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef, CopySourceTypeDef, ListObjectsV2RequestTypeDef

_PAGE = 1000  # the most that S3 lists at once
# S3 must restore these before it copies them.
_ARCHIVED = frozenset({"GLACIER", "DEEP_ARCHIVE"})
_CHANGED = ("404", "NoSuchKey", "412", "PreconditionFailed")
_DENIED = ("403", "AccessDenied")
# Of a listing: a wrong name or permission, which no retry repairs.
_NO_LISTING = (*_DENIED, "404", "NoSuchBucket", "InvalidBucketName")
_IN_ARCHIVE = ("InvalidObjectState", "ObjectNotInActiveTierError")
_REFUSED = ("InvalidRequest",)  # such as a copy of an object under a customer's key (SSE-C)
# S3 copies up to 5 GiB in one request. Parts make a failed copy repeat less.
_IN_PARTS_FROM = 256 * 1024 * 1024
_PART = 128 * 1024 * 1024
# Folders that hold only one folder are no partitions: the listing goes into them, this deep at most.
_DEPTH = 8


class S3Listing:
    """`docwell.bucket_ports.Listing` over one bucket. Raises `Unavailable`."""

    def __init__(self, client: S3Client, bucket: str, prefix: str = "") -> None:
        self._client = client
        self._bucket = bucket
        self._prefix = prefix

    def page(self, after: str, until: str = "") -> tuple[list[StoredObject], str | None]:
        """Return up to 1,000 objects after a key, up to another, and the last key read, None at the end."""
        request: ListObjectsV2RequestTypeDef = {
            "Bucket": self._bucket,
            "Prefix": self._prefix,
            "MaxKeys": _PAGE,
            "OptionalObjectAttributes": ["RestoreStatus"],
        }
        if after:
            request["StartAfter"] = after
        with self._plain_errors():
            answer = self._client.list_objects_v2(**request)
        listed = answer.get("Contents", [])
        rows = [
            StoredObject(
                row["Key"],
                row["ETag"],
                row["Size"],
                row["LastModified"].timestamp(),
                # A restored object keeps its storage class.
                row.get("StorageClass") in _ARCHIVED and "RestoreExpiryDate" not in row.get("RestoreStatus", {}),
            )
            for row in listed
            if not until or row["Key"] <= until
        ]
        ended = len(rows) < len(listed) or not answer["IsTruncated"]
        return rows, None if ended else listed[-1]["Key"]

    def folders(self) -> list[str]:
        """Return up to 1,000 folders, of the first level that has more than one."""
        prefix, folders = self._prefix, list[str]()
        for _ in range(_DEPTH):
            with self._plain_errors():
                answer = self._client.list_objects_v2(Bucket=self._bucket, Prefix=prefix, Delimiter="/")
            folders = sorted(one["Prefix"] for one in answer.get("CommonPrefixes", []))
            if len(folders) != 1:
                break
            prefix = folders[0]
        return folders

    @contextmanager
    def _plain_errors(self) -> Iterator[None]:
        try:
            with vendor_errors("s3", *_NO_LISTING):
                yield
        except ClientError as error:
            detail = f"s3: listing bucket {self._bucket!r} answered {error_code(error)}"
            raise Unavailable("s3", detail, retry_after=None) from error


class S3Copier:
    """`docwell.bucket_ports.Copier`: S3 copies the objects of one bucket into another, with metadata and tags.

    Needs `s3:GetObject` and `s3:GetObjectTagging` on the source, `s3:PutObject` and `s3:PutObjectTagging` on the
    target.
    """

    def __init__(self, client: S3Client, source: str, target: str) -> None:
        self._client = client
        self._source = source
        self._target = target

    def copy(self, one: StoredObject, key: str) -> None:
        """Copy exactly the listed content to `key`, a large object in parts."""
        with _plain_errors(one.key):
            if one.size >= _IN_PARTS_FROM:
                self._copy_in_parts(one, key)
                return
            self._client.copy_object(
                Bucket=self._target, Key=key, CopySource=self._place(one), CopySourceIfMatch=one.etag
            )

    def _copy_in_parts(self, one: StoredObject, key: str) -> None:
        """Copy a large object part by part; a copy in parts takes over neither metadata nor tags by itself."""
        head = self._client.head_object(Bucket=self._source, Key=one.key, IfMatch=one.etag)
        tags = self._client.get_object_tagging(Bucket=self._source, Key=one.key)["TagSet"]
        begun = self._client.create_multipart_upload(
            Bucket=self._target,
            Key=key,
            ContentType=head.get("ContentType", ""),
            Metadata=head.get("Metadata", {}),
            Tagging=urlencode({tag["Key"]: tag["Value"] for tag in tags}),
        )
        upload = begun["UploadId"]
        try:
            parts: list[CompletedPartTypeDef] = []
            for number, first in enumerate(range(0, one.size, _PART), 1):
                answer = self._client.upload_part_copy(
                    Bucket=self._target,
                    Key=key,
                    UploadId=upload,
                    PartNumber=number,
                    CopySource=self._place(one),
                    CopySourceIfMatch=one.etag,
                    CopySourceRange=f"bytes={first}-{min(first + _PART, one.size) - 1}",
                )
                parts.append({"PartNumber": number, "ETag": answer["CopyPartResult"].get("ETag", "")})
            self._client.complete_multipart_upload(
                Bucket=self._target, Key=key, UploadId=upload, MultipartUpload={"Parts": parts}
            )
        except Exception:
            # The bucket's lifecycle rule removes the parts of a process that was killed, or may not abort.
            with suppress(ClientError, BotoCoreError):
                self._client.abort_multipart_upload(Bucket=self._target, Key=key, UploadId=upload)
            raise

    def _place(self, one: StoredObject) -> CopySourceTypeDef:
        return {"Bucket": self._source, "Key": one.key}


@contextmanager
def _plain_errors(key: str) -> Iterator[None]:
    try:
        with vendor_errors("s3", *_CHANGED, *_DENIED, *_IN_ARCHIVE, *_REFUSED):
            yield
    except ClientError as error:
        code = error_code(error)
        detail = f"{error.operation_name} of {key!r} answered {code}"
        if code in _CHANGED:
            raise NotFound(detail) from error
        if code in _DENIED:
            raise Forbidden(detail) from error
        raise Refused("archived" if code in _IN_ARCHIVE else "refused", detail) from error
