"""The proxy of infra/proxy.yaml on a real nginx, between the functions' clients and servers that they know."""

from __future__ import annotations

import json
import os
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

import httpx
import pytest

from docwell.adapters.server_auth import KEPT_S, Credential, ServerAuth
from docwell.errors import Unavailable
from infra.local.ports import free_port
from infra.release.credentials import new_pair, servers_of
from tests.integration.waiting import Clock, until
from tests.unit.infra.boot_machine import Machine

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        shutil.which("nginx", path="/usr/sbin:/usr/bin") is None,
        reason="nginx is not installed: scripts/install-programs nginx",
    ),
]
CHROMA, OLLAMA = servers_of("docwell")
CERTIFICATE, KEY = new_pair("docwell", datetime.now(UTC))


# Only root may write to nginx's buffer folders, so for another user the configuration names other folders.
NGINX = """#!/bin/bash
places=$(printf "%s_temp_path {folder}/buffer; " client_body proxy fastcgi uwsgi scgi)
sed -i "s#^http {{#http {{ $places#" "${{@: -1}}"
exec /usr/sbin/nginx "$@"
"""


class Upstream(BaseHTTPRequestHandler):
    """A server that sends `second` only once `goes_on` is set, and records the requests that reach it."""

    protocol_version = "HTTP/1.1"
    goes_on: Event
    requests: list[tuple[str, str | None, int]]

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.requests.append((self.path, self.headers.get("authorization"), len(body)))
        pieces = [b"first", b"second"] if self.path == "/stream" else [b"[]"]
        self.send_response(200)
        self.send_header("content-length", str(sum(map(len, pieces))))
        self.end_headers()
        self.wfile.write(pieces[0])
        for piece in pieces[1:]:
            self.wfile.flush()
            if self.goes_on.wait(10):
                self.wfile.write(piece)

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None: ...


class Proxy:
    """A server's proxy: nginx with the configuration that its user data writes."""

    def __init__(self, folder: Path, upstream: str) -> None:
        self.port = free_port()
        self._machine = Machine(folder, "chroma.yaml", {"Volume": "vol-1"})
        begin, end = (self._machine.script.index(text) for text in ("upstream=", "docker pull"))
        self._machine.script = self._machine.script[begin : self._machine.script.rindex("case", begin, end)]
        nginx = self._machine.state / "bin" / "nginx"
        nginx.write_text(NGINX.format(folder=folder) if os.geteuid() else 'exec /usr/sbin/nginx "$@"')
        self._arguments = (upstream, "/api/v2/heartbeat", str(self.port))
        self.pair(CERTIFICATE, KEY)
        self.token("right")
        self._machine.boot()  # writes the command
        assert self._machine.apply_secrets(*self._arguments) == 0, self._machine.log
        self._nginx = subprocess.Popen(["/usr/sbin/nginx", "-c", str(self._configuration), "-g", "daemon off;"])
        try:
            until(self._listens)
        except AssertionError:
            self.stop()
            raise

    def pair(self, certificate: str, key: str) -> None:
        (self._machine.state / "pair").write_text(json.dumps({"certificate": certificate, "key": key}))

    def token(self, token: str) -> None:
        (self._machine.state / "token").write_text(json.dumps({"token": token}))

    def apply(self) -> None:
        """Do the work of the timer and systemd after a rotation, and wait until the old workers have ended."""
        assert self._machine.apply_secrets(*self._arguments) == 0, self._machine.log
        old = self._workers()
        subprocess.run(["/usr/sbin/nginx", "-c", str(self._configuration), "-s", "reload"], check=True)
        until(lambda: bool(self._workers()) and old.isdisjoint(self._workers()))

    def _workers(self) -> set[str]:
        master = self._nginx.pid
        return set(Path(f"/proc/{master}/task/{master}/children").read_text().split())

    def stop(self) -> None:
        self._nginx.terminate()
        self._nginx.wait(10)

    @property
    def _configuration(self) -> Path:
        return self._machine.root / "var/lib/docwell-proxy/conf/nginx.conf"

    def _listens(self) -> bool:
        with socket.socket() as connection:
            return connection.connect_ex(("127.0.0.1", self.port)) == 0


@pytest.fixture(scope="module", autouse=True)
def _names() -> Iterator[None]:
    """Resolve the servers' names to this machine."""
    resolve = socket.getaddrinfo

    def local(host: Any, *arguments: Any, **options: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        return resolve("127.0.0.1" if str(name).endswith(".internal") else host, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", local)
        yield


@pytest.fixture(scope="module")
def upstream() -> Iterator[str]:
    Upstream.goes_on, Upstream.requests = Event(), []
    with ThreadingHTTPServer(("127.0.0.1", 0), Upstream) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture(scope="module")
def proxy(upstream: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    proxy = Proxy(tmp_path_factory.mktemp("proxy"), upstream)
    yield proxy
    proxy.stop()


RIGHT = Credential("right", CERTIFICATE)


def auth(**parts: str) -> ServerAuth:
    return ServerAuth(lambda: RIGHT._replace(**parts))


def client(proxy: Proxy, name: str = CHROMA, **parts: Any) -> httpx.Client:
    signer = auth(**parts)
    return httpx.Client(base_url=f"https://{name}:{proxy.port}", auth=signer, verify=signer.tls, timeout=10)


def without_token(proxy: Proxy) -> httpx.Client:
    tls = httpx.create_ssl_context()
    tls.load_verify_locations(cadata=CERTIFICATE)
    return httpx.Client(base_url=f"https://{CHROMA}:{proxy.port}", verify=tls, timeout=10)


def test_without_the_token_and_tls_only_the_health_of_a_server_is_reached(proxy: Proxy) -> None:
    Upstream.requests.clear()
    for token in ("wrong", "right2", "Right", "righ"):
        assert client(proxy, token=token).get("/api/v2/collections").status_code == 401
    bare = without_token(proxy)
    assert [bare.get(path).status_code for path in ("/api/v2/collections", "/health/api")] == [401, 401]
    plain = httpx.get(f"http://{CHROMA}:{proxy.port}/api/v2", headers={"authorization": "Bearer right"})
    assert plain.status_code == 400
    assert Upstream.requests == []
    assert bare.get("/health").status_code == 200
    assert [path for path, _, _ in Upstream.requests] == ["/api/v2/heartbeat"]


def test_the_right_token_reaches_the_server_which_does_not_see_it(proxy: Proxy) -> None:
    Upstream.requests.clear()
    body = b"x" * 20_000_000  # more than nginx accepts by default
    for name in (CHROMA, OLLAMA):
        assert client(proxy, name).post("/a%20b?c=d", content=body).content == b"[]"
    assert Upstream.requests == [("/a%20b?c=d", None, len(body))] * 2


def test_a_stream_is_not_buffered(proxy: Proxy) -> None:
    Upstream.goes_on.clear()
    with client(proxy) as open_client, open_client.stream("GET", "/stream") as answer:
        pieces = answer.iter_raw()
        assert next(pieces) == b"first"  # the server waits until this has arrived
        Upstream.goes_on.set()
        assert b"".join(pieces) == b"second"


def test_another_certificate_or_name_is_refused_by_the_client(proxy: Proxy) -> None:
    Upstream.requests.clear()
    certificate, _ = new_pair("docwell", datetime.now(UTC))
    for wrong in (client(proxy, certificates=certificate), client(proxy, "chroma.other.internal")):
        with pytest.raises(httpx.ConnectError, match="certificate verify failed"):
            wrong.get("/")
    with pytest.raises(Unavailable, match="not PEM"):
        client(proxy, certificates="no certificate").get("/")
    assert Upstream.requests == []


def test_a_rotated_pair_is_trusted_by_a_process_that_has_read_both(proxy: Proxy) -> None:
    certificate, key = new_pair("docwell", datetime.now(UTC))
    secrets, clock = [RIGHT], Clock()
    signer = ServerAuth(lambda: secrets[-1], clock=clock)

    def status() -> int:
        with httpx.Client(auth=signer, verify=signer.tls) as new:
            return new.get(f"https://{CHROMA}:{proxy.port}/").status_code

    assert status() == 200
    secrets.append(RIGHT._replace(certificates=CERTIFICATE + certificate))
    clock.now += KEPT_S
    assert status() == 200
    proxy.pair(certificate, key)
    proxy.apply()
    try:
        until(lambda: certificate.split() == ssl.get_server_certificate(("127.0.0.1", proxy.port)).split())
        assert status() == 200
        with pytest.raises(httpx.ConnectError):
            client(proxy).get("/")
    finally:
        proxy.pair(CERTIFICATE, KEY)
        proxy.apply()
        until(lambda: CERTIFICATE.split() == ssl.get_server_certificate(("127.0.0.1", proxy.port)).split())
