"""The bodies of uploads, deletions and the caller's use."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field, StringConstraints

from docwell.http.bodies import Key
from docwell.identity import Principal, Use

# RFC 6838: a type and a subtype, without parameters.
_MEDIA_TYPE = "^[a-z0-9][a-z0-9!#$&^_.+-]{0,63}/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}$"


class UploadRequest(BaseModel, extra="forbid"):
    """One file to upload."""

    document: Key = Field(description="Its key. The first folder is the collection. An existing one is replaced.")
    size: int = Field(ge=1, description="Bytes. The form takes a file of exactly this size.")
    content_type: Annotated[str, StringConstraints(pattern=_MEDIA_TYPE)] = "application/pdf"


class UploadResponse(BaseModel):
    """A form for the upload: POST `fields` and then `file` as multipart/form-data to `url`."""

    document: str
    url: str
    fields: dict[str, str]
    expires_in: int = Field(description="Seconds until the upload must have begun.")


class DeletionResponse(BaseModel):
    """The document is deleted from the bucket. It stops answering within seconds."""

    document: str


class UsageResponse(BaseModel):
    """The caller's rights, and its use of the current UTC day. A null quota or list means no limit."""

    label: str
    requests: int
    requests_per_day: int | None
    tokens: int = Field(description="With those that questions in flight have reserved.")
    tokens_per_day: int | None
    writable: list[str] | None = Field(description="The collections that it may upload to and delete from.")
    operates: bool = Field(description="Whether it may call `/v1/operations`.")
    max_upload_bytes: int


def usage_body(principal: Principal, use: Use, max_upload_bytes: int) -> UsageResponse:
    """Return the response for a principal and its use."""
    return UsageResponse(
        label=principal.label,
        requests=use.requests,
        requests_per_day=principal.requests_per_day,
        tokens=use.tokens,
        tokens_per_day=principal.tokens_per_day,
        writable=None if principal.writable is None else sorted(principal.writable),
        operates=principal.operates,
        max_upload_bytes=max_upload_bytes,
    )
