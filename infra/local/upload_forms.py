"""Upload forms (S3's POST policies) of the local AWS server, which moto takes without a check.

https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-HTTPPOSTConstructPolicy.html
"""

from __future__ import annotations

import base64
import hmac
import json
import os
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import quote

from werkzeug.formparser import parse_form_data

from infra.local.signatures import BadSignature, signing_key

if TYPE_CHECKING:
    from collections.abc import Mapping
    from wsgiref.types import WSGIEnvironment

# The fields that need no condition: https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-post-example.html
_FREE = {"policy", "x-amz-signature", "bucket"}
# A form has under ten fields of some hundred bytes. The file goes to a temporary file.
_MAX_FIELD_BYTES = 64 * 1024


def is_form(environ: WSGIEnvironment) -> bool:
    """Return whether the request is a form for a bucket."""
    is_multipart = str(environ.get("CONTENT_TYPE", "")).lower().startswith("multipart/form-data")
    is_bucket = str(environ["PATH_INFO"]).count("/") == 1
    return is_multipart and is_bucket and environ["REQUEST_METHOD"] == "POST"


def as_put(environ: WSGIEnvironment, access_key: str, secret_key: str) -> WSGIEnvironment:
    """Return the request that stores the form's file. Raises `BadSignature` for a form that does not allow it."""
    _, fields, files = parse_form_data(environ, max_form_memory_size=_MAX_FIELD_BYTES, silent=False)
    form = {name.lower(): value for name, value in fields.items()}
    bucket = environ["PATH_INFO"].strip("/")
    if "file" not in files or "key" not in form:
        raise BadSignature("the form has no key or no file")
    file = files["file"].stream
    size = _size(file)
    _check(form | {"bucket": bucket}, size, access_key, secret_key)
    path = f"/{bucket}/{form['key']}"
    url = quote(path)
    kept = {name: value for name, value in environ.items() if not name.startswith(("HTTP_X_AMZ", "werkzeug."))}
    return {
        **kept,
        "REQUEST_METHOD": "PUT",
        "PATH_INFO": path.encode().decode("latin-1"),
        "QUERY_STRING": "",
        "RAW_URI": url,
        "REQUEST_URI": url,
        # Without it, moto takes the request for an anonymous one, which may not replace an object.
        "HTTP_AUTHORIZATION": f"AWS4-HMAC-SHA256 Credential={form['x-amz-credential']}",
        "CONTENT_TYPE": form.get("content-type", "application/octet-stream"),
        "CONTENT_LENGTH": str(size),
        "wsgi.input": file,
    }


def _size(file: IO[bytes]) -> int:
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    return size


def _check(form: Mapping[str, str], size: int, access_key: str, secret_key: str) -> None:
    """Raise `BadSignature` unless the policy is signed, has not expired, and allows the fields and the size."""
    try:
        key_id, *scope = form["x-amz-credential"].split("/")
        policy_text, signature = form["policy"], form["x-amz-signature"]
        expected = hmac.digest(signing_key(secret_key, scope), policy_text.encode(), "sha256").hex()
        if key_id != access_key or not hmac.compare_digest(expected.encode(), signature.encode()):
            raise BadSignature("the form is not signed with the keys of this stack")
        policy = json.loads(base64.b64decode(policy_text))
        expires = datetime.fromisoformat(policy["expiration"])
        conditions: list[Any] = policy["conditions"]
    except (KeyError, ValueError):
        raise BadSignature("the form is incomplete") from None
    if expires < datetime.now(UTC):
        raise BadSignature("the form has expired")
    fixed: dict[str, str] = {}
    for condition in conditions:
        if isinstance(condition, dict):
            fixed |= {name.lower(): value for name, value in condition.items()}
        elif condition[0] == "content-length-range":
            if not condition[1] <= size <= condition[2]:
                raise BadSignature("the file has another size than the form allows")
        else:
            raise BadSignature(f"the condition {condition[0]} is not supported")
    wrong = sorted(name for name in form.keys() - _FREE if fixed.get(name) != form[name])
    if wrong or any(form.get(name) != value for name, value in fixed.items()):
        raise BadSignature(f"the form does not allow these fields: {', '.join(wrong) or 'some are missing'}")
