"""A Chroma server that can be killed, started again on the same data, and lose its volume."""

import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.local.names import HOST
from infra.local.ports import answers, free_port
from infra.local.stack import base_environment
from runtime.process import Child

_READY_S = 60.0


class ChromaServer:
    """`chroma run` on one folder and one port."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"http://{HOST}:{self.port}"
        self._folder = folder
        self._child: Child | None = None

    def start(self) -> None:
        """Start it and wait until it answers. Raises `RuntimeError`."""
        program = Path(sys.executable).with_name("chroma")
        deadline = time.monotonic() + _READY_S
        while True:
            self._child = Child(
                [str(program), "run", "--path", str(self._folder), "--host", HOST, "--port", str(self.port)],
                base_environment({"ANONYMIZED_TELEMETRY": "False"}),
                lambda _: None,
                lambda _: None,
            )
            # The port of a killed server may stay taken for a moment: then this one ends, and the next try works.
            while self._child.running and time.monotonic() < deadline:
                if answers(f"{self.url}/api/v2/heartbeat"):
                    return
                time.sleep(0.05)
            if time.monotonic() > deadline:
                raise RuntimeError(f"Chroma did not start: {self._child.last_line}")

    @property
    def pid(self) -> int:
        """The id of its process, once started."""
        if self._child is None:
            raise RuntimeError("Chroma was not started")
        return self._child.pid

    def kill(self) -> None:
        if self._child is not None:
            self._child.kill()

    def lose_volume(self) -> None:
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)


@contextmanager
def chroma_server() -> Iterator[str]:
    """Run a new server during the block; yields its URL. Raises `RuntimeError`."""
    with tempfile.TemporaryDirectory(prefix="docwell-chroma-") as folder:
        server = ChromaServer(Path(folder))
        try:
            server.start()
            yield server.url
        finally:
            server.kill()
