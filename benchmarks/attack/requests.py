"""Forged requests: cursors, ids, keys, headers and bodies."""

import base64
import json
from typing import Any
from urllib.parse import quote

from benchmarks.attack.target import Target, Tries, Try

_PAGES = {
    "ours/a.pdf": ["The visitor centre of the dam opens at ten in the morning."],
    "theirs/b.pdf": ["The vault of the dam holds nineteen silver bars."],
}
_THEIRS = ("theirs", "nineteen", "silver", "b.pdf")
# A token without a signature.
_UNSIGNED = ".".join(
    base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")
    for part in ({"alg": "none"}, {"sub": "admin", "cognito:groups": "admins"})
)
_IDENTITIES = (
    {"x-amzn-apigateway-api-id": "x", "x-docwell-principal": "key:admin"},
    {"x-api-key-id": "admin", "x-apikeyid": "admin"},
    {"x-amzn-oidc-identity": "admin", "x-forwarded-user": "admin"},
    {"authorization": f"Bearer {_UNSIGNED}."},
    {"x-cognito-groups": "x,admins"},
    {"x-http-method-override": "DELETE"},
)


def cursors(target: Target) -> Tries:
    """Page through documents with forged cursors and prefixes."""
    key = _prepare(target)
    with target.client(**{"x-api-key": key}) as client:
        forged = ["", "A", "====", "e30=", "x" * 5000, base64.urlsafe_b64encode(b"\x00" * 64).decode()]
        rows = (
            {"document": "theirs/b.pdf", "collection": "theirs"},
            ["theirs/a", "theirs"],
            "theirs",
            1,
            None,
        )
        forged += [base64.urlsafe_b64encode(json.dumps(row).encode()).decode().rstrip("=") for row in rows]
        for cursor in forged:
            yield judge(f"cursor {cursor[:24]}", client.get("/v1/documents", params={"cursor": cursor}))
        for prefix in ("theirs", "theirs/", "/theirs", "ours/../theirs/", "%74heirs/"):
            yield judge(f"prefix {prefix}", client.get("/v1/documents", params={"prefix": prefix}))
        for collection in ("theirs", "ours,theirs", "ours/../theirs", "*", "THEIRS"):
            yield judge(f"collection {collection}", client.get("/v1/documents", params={"collection": collection}))


def names(target: Target) -> Tries:
    """Name documents, receipts and collections of others in every form."""
    key = _prepare(target)
    wanted = "theirs/b.pdf"
    with target.client(**{"x-api-key": key}) as client:
        for form in (
            wanted,
            quote(wanted, safe=""),
            quote(quote(wanted, safe=""), safe=""),
            f"ours%2F..%2F{wanted}",
        ):
            yield judge(f"document {form}", client.get(f"/v1/documents/{form}"))
        for form in ("../documents/theirs%2Fb.pdf", "%00", "a" * 300, "key:1", "..", "usage%232026-01-01"):
            yield judge(f"receipt {form[:30]}", client.get(f"/v1/receipts/{form}"))
        question = "What does the vault of the dam hold?"
        bodies: tuple[dict[str, Any], ...] = (
            {"collection": "theirs"},
            {"collections": ["ours", "theirs"]},
            {"document": wanted},
            {"filter": {"documents": [wanted]}},
            {"filter": {"prefix": "theirs/"}},
            {"filter": {"tags": {"$ne": "x"}}},
            {"filter": {"metadata": {"$or": "[{}]"}}},
            {"history": [{"question": "x", "answer": "theirs/b.pdf"}]},
            {},
        )
        for body in bodies:
            response = client.post("/v1/query", json={"question": question, **body})
            yield judge(f"query with {body}", response, echoed=json.dumps(body))
            if "history" not in body:
                found = client.post("/v1/search", json={"question": question, **body})
                yield judge(f"search with {body}", found, echoed=json.dumps(body))
        chat = {"model": "docwell/theirs", "messages": [{"role": "user", "content": question}]}
        yield judge("chat with theirs", client.post("/v1/chat/completions", json=chat))
        page = f"docwell://documents/{quote(wanted, safe='')}/pages/1"
        calls: tuple[tuple[str, dict[str, Any]], ...] = (
            ("tools/call", {"name": "search", "arguments": {"question": question}}),
            ("tools/call", {"name": "overview", "arguments": {"document": wanted}}),
            ("resources/read", {"uri": page}),
        )
        for method, params in calls:
            message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
            yield judge(f"{method} {params}", client.post("/v1/mcp", json=message))


def identities(target: Target) -> Tries:
    """Claim another identity in headers, without a key and with a weak one."""
    key = _prepare(target)
    for headers in _IDENTITIES:
        with target.client(**headers) as client:
            status = client.get("/v1/documents").status_code
        yield Try(f"{headers} without a key: {status}", status < 400)
        with target.client(**headers, **{"x-api-key": key}) as client:
            yield judge(f"{headers} with a key", client.get("/v1/documents"))


def answer_ids(target: Target) -> Tries:
    """Send one `x-request-id` twice: the second answer does not replace the first receipt."""
    _prepare(target)
    _, key = target.principal("--collections", "ours")
    chosen = "chosen-by-the-client"
    with target.client(**{"x-api-key": key, "x-request-id": chosen}) as client:
        questions = ("When does the visitor centre of the dam open?", "Who opens the visitor centre?")
        answers = [
            client.post("/v1/query", json={"question": question, "collection": "ours"}).json()
            for question in questions
        ]
        ids = [str(answer.get("request_id")) for answer in answers]
        yield Try(f"two answers share the id {ids[0]}", len(set(ids)) < len(ids))
        for id_, answer in zip(ids, answers, strict=True):
            kept = client.get(f"/v1/receipts/{id_}")
            same = kept.status_code == 200 and kept.json()["answer"]["answer"] == answer["answer"]
            yield Try(f"the receipt of {id_} is not its answer's: {kept.status_code}", not same)
        for unknown in ("never-given", chosen, "0" * 32):
            if unknown not in ids:
                status = client.post("/v1/feedback", json={"request_id": unknown, "verdict": "good"}).status_code
                yield Try(f"feedback on {unknown}: {status}", status < 400)


def malformed(target: Target) -> Tries:
    """Send what is not HTTP as the API knows it: every refusal is a typed problem."""
    key = _prepare(target)
    contents = (
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"question": "\\ud800"}',
        b'{"question": 1e999}',
    )
    with target.client(**{"x-api-key": key}) as client:
        for content in contents:
            response = client.post("/v1/query", content=content)
            kind = response.headers.get("content-type", "")
            typed = 400 <= response.status_code < 500 and kind.startswith("application/problem+json")
            yield Try(f"body {content[:16]!r}: {response.status_code} {kind}", not typed)


def _prepare(target: Target) -> str:
    """Index the documents once; return the key of a principal who may read `ours`."""
    for name, pages in _PAGES.items():
        if target.doors.document(name) is None:
            target.index(name, pages)
    _, key = target.principal("--collections", "ours")
    return key


def judge(what: str, response: Any, echoed: str = "") -> Try:
    """Judge a response: it fails in a typed way or holds nothing of the other collection."""
    told = [word for word in _THEIRS if word in response.text and word not in echoed]
    return Try(f"{what}: {response.status_code} tells {told}", bool(told) or response.status_code >= 500)
