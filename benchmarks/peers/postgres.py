"""A PostgreSQL server with pgvector in a temporary folder, from Debian's packages, without superuser rights."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.peers.run import PeerError
from infra.local.ports import free_port

# Debian keeps each version's programs and extensions apart.
_PROGRAMS = Path("/usr/lib/postgresql")
_EXTENSION = "/usr/share/postgresql/{}/extension/vector.control"
# The packages create it; PostgreSQL refuses to run as root.
_USER = "postgres"
_START_S = 30.0
MISSING = "PostgreSQL with pgvector is not installed; on Debian 13: apt-get install postgresql-17-pgvector"


def programs() -> Path | None:
    """Return the folder of the newest version's programs that has pgvector, or None."""
    versions = sorted(_PROGRAMS.glob("*/bin/initdb"), key=lambda path: int(path.parents[1].name), reverse=True)
    found = (path.parent for path in versions if Path(_EXTENSION.format(path.parents[1].name)).exists())
    return next(found, None)


@contextmanager
def database() -> Iterator[str]:
    """Run a server during the block, and yield the URL of its database. Raises `PeerError`."""
    folder_of_programs = programs()
    if folder_of_programs is None:
        raise PeerError(MISSING)
    who: dict[str, Any] = {"user": _USER, "group": _USER, "extra_groups": []} if os.geteuid() == 0 else {}
    with tempfile.TemporaryDirectory(prefix="docwell-postgres-") as name:
        if who:
            shutil.chown(name, _USER, _USER)
        data, port, where = f"{name}/data", free_port(), {"cwd": name, **who}
        init = [str(folder_of_programs / "initdb"), "--pgdata", data, "--username", "peer", "--auth", "trust"]
        made = subprocess.run(init, capture_output=True, text=True, check=False, **where)
        if made.returncode:
            raise PeerError(f"initdb: {made.stderr[-2000:]}")
        command = [
            str(folder_of_programs / "postgres"),
            "-D",
            data,
            "-p",
            str(port),
            "-k",
            name,
            "-h",
            "127.0.0.1",
        ]
        with (Path(name) / "log").open("w") as log:
            server = subprocess.Popen(command, stdout=log, stderr=log, **where)
        try:
            _wait(folder_of_programs, port, Path(name) / "log")
            yield f"postgresql://peer@127.0.0.1:{port}/postgres"
        finally:
            server.send_signal(signal.SIGINT)  # a fast shutdown: it ends the connections
            server.wait()


def _wait(folder: Path, port: int, log: Path) -> None:
    ready = [str(folder / "pg_isready"), "--quiet", "--host", "127.0.0.1", "--port", str(port)]
    deadline = time.monotonic() + _START_S
    while subprocess.run(ready, check=False).returncode:
        if time.monotonic() > deadline:
            raise PeerError(f"PostgreSQL does not answer: {log.read_text()[-2000:]}")
        time.sleep(0.1)
