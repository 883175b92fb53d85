"""Forged requests: cursors, ids, keys, headers and bodies. `requests.toml` has them."""

import base64
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.attack.target import Target, Tries, Try

_PAGES = {
    "ours/a.pdf": ["The visitor centre of the dam opens at ten in the morning."],
    "theirs/b.pdf": ["The vault of the dam holds nineteen silver bars."],
}
_THEIRS = ("theirs", "nineteen", "silver", "b.pdf")
_ASK = ("/v1/query", "/v1/search")
_QUESTION = "What does the vault of the dam hold?"
_MALFORMED = (
    b"",
    b"{",
    b"[]",
    b"null",
    b"\xff\xfe",
    b"[" * 100_000,
    b'{"question": "\\ud800"}',
    b'{"question": 1e999}',
)


def listed(row: str) -> list[dict[str, Any]]:
    """Return the entries of an attack."""
    text = Path(__file__).with_name("requests.toml").read_text(encoding="utf-8")
    return [entry for entry in tomllib.loads(text)["requests"] if entry["row"] == row]


def _requests(row: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield method, path and content of each request of an attack."""
    for entry in listed(row):
        encoded = [base64.urlsafe_b64encode(text.encode()).decode() for text in entry.get("encoded", ())]
        for value in [*entry.get("values", ()), *(text.rstrip("=") for text in encoded)]:
            yield "GET", entry["path"], {"params": {entry["parameter"]: value}}
        for path in entry.get("paths", ()):
            for body in entry.get("json", ()):
                yield "POST", path, {"json": {"question": _QUESTION, **body} if path in _ASK else body}
            if "json" not in entry:
                yield "GET", path, {}


def cursors(target: Target) -> Tries:
    """Page through documents with forged cursors, prefixes and collections."""
    yield from _forged(target, "cursors")
    with target.client(**{"x-api-key": _prepare(target)}) as client:
        yield judge("a long cursor", client.get("/v1/documents", params={"cursor": "x" * 5000}))


def names(target: Target) -> Tries:
    """Name documents, receipts and collections of others in every form."""
    yield from _forged(target, "names")


def _forged(target: Target, row: str) -> Tries:
    with target.client(**{"x-api-key": _prepare(target)}) as client:
        for method, path, content in _requests(row):
            response = client.request(method, path, **content)
            # A problem may repeat the body of a question.
            echoed = str(content) if path in _ASK else ""
            yield judge(f"{method} {path} {content}", response, echoed)


def identities(target: Target) -> Tries:
    """Claim another identity in headers, without a key and with a weak one."""
    key = _prepare(target)
    for headers in listed("identities")[0]["headers"]:
        with target.client(**headers) as client:
            status = client.get("/v1/documents").status_code
        yield Try(f"{headers} without a key: {status}", status < 400)
        with target.client(**headers, **{"x-api-key": key}) as client:
            yield judge(f"{headers} with a key", client.get("/v1/documents"))


def answer_ids(target: Target) -> Tries:
    """Send one `x-request-id` twice: the second answer does not replace the first receipt."""
    chosen = "chosen-by-the-client"
    with target.client(**{"x-api-key": _prepare(target), "x-request-id": chosen}) as client:
        questions = ("When does the visitor centre of the dam open?", "Who opens the visitor centre?")
        answers = [
            client.post("/v1/query", json={"question": question, "collection": "ours"}).json()
            for question in questions
        ]
        ids = [str(answer.get("request_id")) for answer in answers]
        yield Try(f"two answers share the id {ids[0]}", len(set(ids)) < len(ids))
        for id_, answer in zip(ids, answers, strict=True):
            receipt = client.get(f"/v1/receipts/{id_}")
            same = receipt.status_code == 200 and receipt.json()["answer"]["answer"] == answer["answer"]
            yield Try(f"the receipt of {id_} is not its answer's: {receipt.status_code}", not same)
        for unknown in {"never-given", chosen, "0" * 32} - set(ids):
            status = client.post("/v1/feedback", json={"request_id": unknown, "verdict": "good"}).status_code
            yield Try(f"feedback on {unknown}: {status}", status < 400)


def malformed(target: Target) -> Tries:
    """Send what is not HTTP as the API knows it: every refusal is a typed problem."""
    with target.client(**{"x-api-key": _prepare(target)}) as client:
        for content in _MALFORMED:
            response = client.post("/v1/query", content=content)
            kind = response.headers.get("content-type", "")
            typed = 400 <= response.status_code < 500 and kind.startswith("application/problem+json")
            yield Try(f"body {content[:16]!r}: {response.status_code} {kind}", not typed)


def _prepare(target: Target) -> str:
    """Index the documents once; return the key of a principal who may read `ours`."""
    for name, pages in _PAGES.items():
        if target.doors.document(name) is None:
            target.index(name, pages)
    return target.principal("--collections", "ours")[1]


def judge(attempt: str, response: Any, echoed: str = "") -> Try:
    """Judge a response: it fails in a typed way or holds nothing of the other collection."""
    leaks = [word for word in _THEIRS if word in response.text and word not in echoed]
    return Try(f"{attempt}: {response.status_code} tells {leaks}", bool(leaks) or response.status_code >= 500)
