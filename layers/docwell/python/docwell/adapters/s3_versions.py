"""All versions of the objects in the documents bucket, for erasure and undeletion."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from docwell.adapters.aws import vendor_errors
from docwell.errors import Unavailable

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_BATCH = 1000  # the most that one DeleteObjects takes


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """One version of an object, or a delete marker. `id` is "null" in a bucket without versions."""

    key: str
    id: str
    marker: bool


class S3Versions:
    """The versions and delete markers of one bucket."""

    def __init__(self, client: S3Client, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def under(self, prefix: str) -> list[StoredVersion]:
        """Return the versions of all keys that begin with `prefix`."""
        found: list[StoredVersion] = []
        with vendor_errors("s3"):
            for page in self._client.get_paginator("list_object_versions").paginate(
                Bucket=self._bucket, Prefix=prefix
            ):
                for name, marker in (("Versions", False), ("DeleteMarkers", True)):
                    rows: Sequence[Mapping[str, str]] = page.get(name, ())  # type: ignore[assignment] # one TypedDict each
                    found += [StoredVersion(row["Key"], row["VersionId"], marker) for row in rows]
        return found

    def of(self, key: str) -> list[StoredVersion]:
        """Return the versions of one key."""
        return [one for one in self.under(key) if one.key == key]

    def erase(self, versions: Sequence[StoredVersion]) -> None:
        """Delete these versions for good. Raises `Unavailable` with the number that S3 keeps.

        A new delete marker hides each key first, and the markers go last: no older version is current in between.
        """
        for key in dict.fromkeys(one.key for one in versions if not one.marker):
            with vendor_errors("s3"):
                self._client.delete_object(Bucket=self._bucket, Key=key)
        for batch in _batches([one for one in versions if not one.marker]):
            self._delete(batch)
        keys = dict.fromkeys(one.key for one in versions)
        for batch in _batches([one for key in keys for one in self.of(key) if one.marker]):
            self._delete(batch)

    def deleted_since(self, since: datetime, prefix: str = "") -> Iterator[list[StoredVersion]]:
        """Yield, by pages, the delete markers that have hidden a key of the prefix since that time."""
        pages = self._client.get_paginator("list_object_versions").paginate(Bucket=self._bucket, Prefix=prefix)
        with vendor_errors("s3"):
            for page in pages:
                markers = page.get("DeleteMarkers", ())
                found = [one for one in markers if one["IsLatest"] and one["LastModified"] >= since]
                yield [StoredVersion(one["Key"], one["VersionId"], marker=True) for one in found]

    def undelete(self, since: datetime, prefix: str = "") -> Iterator[list[str]]:
        """Remove those markers, so that the version before is current again. Yield the keys of each batch.

        A key that was deleted twice has two markers: list again until none is left.
        """
        found = True
        while found:
            found = False
            for markers in filter(None, self.deleted_since(since, prefix)):
                found = True
                self._delete(markers)
                yield [one.key for one in markers]

    def _delete(self, batch: Sequence[StoredVersion]) -> None:
        objects = [{"Key": one.key, "VersionId": one.id} for one in batch]
        with vendor_errors("s3"):
            answer = self._client.delete_objects(
                Bucket=self._bucket,
                Delete={"Objects": objects, "Quiet": True},  # type: ignore[typeddict-item] # its list is invariant
            )
        if errors := answer.get("Errors"):
            codes = ", ".join(sorted({error.get("Code", "unknown") for error in errors}))
            raise Unavailable("s3", f"s3 keeps {len(errors)} versions: {codes}")


def _batches(versions: Sequence[StoredVersion]) -> Iterator[Sequence[StoredVersion]]:
    return (versions[start : start + _BATCH] for start in range(0, len(versions), _BATCH))
