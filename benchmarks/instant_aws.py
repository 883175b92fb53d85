"""An AWS that answers at once, so that a benchmark measures docwell's own time.

``python -m benchmarks.instant_aws URL``

It takes the place of the AWS at URL for a query function. It keeps nothing that DynamoDB is to write, and repeats
what that AWS once answered to the same read.
"""

import http.client
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from socketserver import StreamRequestHandler, ThreadingTCPServer
from urllib.parse import urlsplit

from infra.local.names import HOST

_WRITES = ("DynamoDB_20120810.UpdateItem", "DynamoDB_20120810.PutItem")
_OK = 200


class InstantAws(ThreadingTCPServer):
    """The server."""

    daemon_threads = True

    def __init__(self, behind: str) -> None:
        """Listen on a free port."""
        super().__init__((HOST, 0), _Connection)
        self._behind = urlsplit(behind).netloc
        self._known: dict[tuple[str, bytes], bytes] = {}

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> bytes:
        """Return an HTTP response."""
        target = headers.get("x-amz-target", "")
        if target in _WRITES:
            return _response(_OK, b"{}")
        known = self._known.get((target, body)) if target else None
        if known is None:
            with closing(http.client.HTTPConnection(self._behind)) as connection:
                connection.request(method, path, body, dict(headers))
                answer = connection.getresponse()
                known = _response(answer.status, answer.read())
            if target and answer.status == _OK:
                self._known[target, body] = known
        return known


class _Connection(StreamRequestHandler):
    server: InstantAws
    disable_nagle_algorithm = True

    def handle(self) -> None:
        while first := self.rfile.readline().decode("latin-1").split():
            headers: dict[str, str] = {}
            while line := self.rfile.readline().strip():
                name, _, value = line.decode("latin-1").partition(":")
                headers[name.lower()] = value.strip()
            body = self.rfile.read(int(headers.get("content-length", 0)))
            self.wfile.write(self.server.answer(first[0], first[1], headers, body))


def _response(status: int, body: bytes) -> bytes:
    return b"HTTP/1.1 %d -\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)


@contextmanager
def instant_aws(behind: str) -> Iterator[str]:
    """Run it in a separate process; yields its URL."""
    command = [sys.executable, "-m", __spec__.name, behind]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process.stdout.readline().strip() if process.stdout else ""
        finally:
            process.kill()


def main() -> None:
    server = InstantAws(sys.argv[1])
    print(f"http://{HOST}:{server.server_address[1]}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
