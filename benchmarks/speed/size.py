"""What is deployed weighs little: the query function with its layers, the ingest image over its base, the model.

Measured as it is built: each lock is installed for Lambda's processor and Python, trimmed and settled by the very
scripts that `sam build` and the image's Dockerfile run, and the files that come out are added up. No Docker is
needed for it; where `make container` has measured the built image of the same commit, its figure stands beside.
What the handler with sentence-transformers would have to carry is what its packages weigh as pip installs them
here, not trimmed; its model is not counted.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from benchmarks.peers import environment
from benchmarks.speed.installed import installed_megabytes
from benchmarks.speed.options import Options
from infra.container import packages
from infra.report import REPORTS, Report, commit

# What the peer's query handler imports (benchmarks/peers), and boto3, which a function in the cloud needs.
PEER_PACKAGES = ("sentence-transformers", "chromadb", "ollama", "boto3")
_LARGEST = 12
_IN_DOCKER = "ingest image, added to its base"  # the row of `make container`


def measure(report: Report, options: Options) -> None:
    """Rows for the zip with its layers, the image, and the packages in them. Raises `StepError`."""
    with tempfile.TemporaryDirectory() as name, options.progress("size", total=len(packages.QUERY) + 1) as tick:
        folder = Path(name)
        for part in packages.QUERY:
            packages.build_zip(part, folder / part)
            tick()
        packages.build_image_folder(folder / "image")
        tick()
        _add_query(report, folder)
        _add_image(report, folder / "image")
    if options.peers:
        _add_peer(report)


def _add_query(report: Report, folder: Path) -> None:
    parts = {part: packages.folder_megabytes(folder / part) for part in packages.QUERY}
    report.add("docwell: query function with its packages, unzipped", sum(parts.values()), "MB", "<= 200")
    for part, size in parts.items():
        report.add(f"query function, of which {part}", size, "MB")
    _add_largest(report, "query function, package", packages.package_folders(folder))


def _add_image(report: Report, folder: Path) -> None:
    size = packages.folder_megabytes(folder)
    report.add("docwell: ingest image, added to its base", size, "MB", "<= 400")
    built = REPORTS / "container.json"
    if built.exists():
        document = json.loads(built.read_text(encoding="utf-8"))
        rows = {row["metric"]: row["value"] for row in document["rows"]}
        if document["commit"] == commit() and _IN_DOCKER in rows:
            report.add("docwell: ingest image, added to its base, as Docker built it", rows[_IN_DOCKER], "MB")
    report.add("embedding model", packages.folder_megabytes(folder / "model"), "MB")
    _add_largest(report, "ingest image, package", [folder])


def _add_largest(report: Report, what: str, folders: list[Path]) -> None:
    for name, size in list(packages.packages_megabytes(folders).items())[:_LARGEST]:
        report.add(f"{what} {name}", size, "MB")


def _add_peer(report: Report) -> None:
    folder = environment.python().parents[1]
    size = installed_megabytes(next(folder.glob("lib/python*/site-packages")), PEER_PACKAGES)
    report.add("sentence-transformers: query function with its packages, unzipped", size, "MB")
