"""`make pin` reads digests from a registry (OCI distribution protocol); `make sbom` writes CycloneDX."""

from __future__ import annotations

import json
from collections.abc import Iterator
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs, urlsplit

import pytest

from infra.container.sam import ROOT
from infra.release import contents
from infra.release.pins import PinError, digest_of

pytestmark = pytest.mark.integration
INDEX = json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json"}).encode()
DIGEST = f"sha256:{sha256(INDEX).hexdigest()}"


class Registry(BaseHTTPRequestHandler):
    """`/v2/team/image/manifests/1` for who has a token; the tag `forged` has another digest in its header."""

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if parts.path == "/token":
            requests = {name: values[0] for name, values in parse_qs(parts.query).items()}
            self.answer(200, json.dumps({"token": f"{requests['service']} {requests['scope']}"}).encode())
        elif self.headers.get("authorization") != "Bearer registry repository:team/image:pull":
            where = f"http://{self.headers['host']}/token"
            challenge = f'Bearer realm="{where}",service="registry",scope="repository:team/image:pull"'
            self.answer(401, b"{}", **{"www-authenticate": challenge})
        elif "application/vnd.oci.image.index.v1+json" not in self.headers["accept"]:
            self.answer(406, b"{}")
        elif parts.path == "/v2/team/image/manifests/1":
            self.answer(200, INDEX, **{"docker-content-digest": DIGEST})
        elif parts.path == "/v2/team/image/manifests/forged":
            self.answer(200, INDEX, **{"docker-content-digest": "sha256:" + "0" * 64})
        else:
            self.answer(404, b'{"errors": [{"code": "MANIFEST_UNKNOWN"}]}')

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"content-length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture(scope="module")
def registry() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Registry) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_a_digest_is_that_of_the_index_behind_the_tag(registry: str) -> None:
    assert digest_of(f"{registry}/team/image:1") == DIGEST


@pytest.mark.parametrize(
    "image", ["team/image:none", "team/image:forged", "team/other:1", "team/image", "team/image:1@x"]
)
def test_an_unreadable_answer_is_an_error_and_never_a_digest(registry: str, image: str) -> None:
    with pytest.raises(PinError, match="team/"):
        digest_of(f"{registry}/{image}")


@pytest.mark.slow
@pytest.mark.parametrize("name", contents.LOCKS)
def test_each_lock_has_a_valid_bill_of_materials_with_every_package_and_hash(name: str) -> None:
    # The tool validates the file against CycloneDX's schema.
    bill = json.loads(contents.write_sbom(name).read_text())
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    named = {
        (component["name"].lower().replace("_", "-"), component["version"]) for component in bill["components"]
    }
    assert set(contents.packages(ROOT / contents.LOCKS[name])) <= named
    for entry in bill["components"]:
        assert any(reference.get("hashes") for reference in entry["externalReferences"]), entry["name"]
