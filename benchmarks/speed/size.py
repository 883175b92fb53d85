"""The size of what is deployed: the query function with its layers, the ingest image over its base, the model.

Each lock is installed for Lambda's processor and Python, and trimmed, by the scripts that `sam build` and the
image's Dockerfile run; then the files are added up. This needs no Docker. The peer's figure is the size of its
packages as pip installs them, not trimmed and without its model.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from importlib.metadata import distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from benchmarks.peers.run import python
from benchmarks.progress import bar
from benchmarks.speed.options import Options
from infra.container import packages
from infra.report import Report

# The imports of the peer's query function, and boto3, which a function in the cloud needs.
_PEER_PACKAGES = ("sentence-transformers", "chromadb", "ollama", "boto3")
_LARGEST = 12


def measure(report: Report, options: Options) -> None:
    """Add rows for the zip with its layers, the image, and their packages. Raises `StepError`."""
    with tempfile.TemporaryDirectory() as name, bar("size", len(packages.QUERY) + 1) as step:
        folder = Path(name)
        for part in packages.QUERY:
            packages.build_zip(part, folder / part)
            step()
        packages.build_image_folder(folder / "image")
        step()
        parts = {part: packages.folder_megabytes(folder / part) for part in packages.QUERY}
        report.add("docwell: query function with its packages, unzipped", sum(parts.values()), "MB", "<= 200")
        for part, size in parts.items():
            report.add(f"query function, of which {part}", size, "MB")
        _add_largest(report, "query function, package", packages.package_folders(folder))
        image = folder / "image"
        size = packages.folder_megabytes(image)
        report.add("docwell: ingest image, added to its base", size, "MB", "<= 400")
        report.add("embedding model", packages.folder_megabytes(image / "model"), "MB")
        _add_largest(report, "ingest image, package", [image])
    if options.peers:
        site_packages = next(python().parents[1].glob("lib/python*/site-packages"))
        size = installed_megabytes(site_packages, _PEER_PACKAGES)
        report.add("sentence-transformers: query function with its packages, unzipped", size, "MB")


def _add_largest(report: Report, what: str, folders: list[Path]) -> None:
    for name, size in list(packages.packages_megabytes(folders).items())[:_LARGEST]:
        report.add(f"{what} {name}", size, "MB")


def installed_megabytes(site_packages: Path, names: Iterable[str]) -> float:
    """Return the size of the named packages and of all that they require. Raises `LookupError`."""
    found = {canonicalize_name(one.metadata["Name"]): one for one in distributions(path=[str(site_packages)])}
    wanted = [canonicalize_name(name) for name in names]
    if missing := set(wanted) - set(found):
        raise LookupError(f"not installed in {site_packages}: {', '.join(sorted(missing))}")
    counted: set[str] = set()
    total = 0
    while wanted:
        name = wanted.pop()
        if name in counted or name not in found:  # not installed: required on another platform only
            continue
        counted.add(name)
        paths = [Path(str(file.locate())) for file in found[name].files or ()]
        total += sum(path.stat().st_size for path in paths if path.is_file())
        required = [Requirement(text) for text in found[name].requires or ()]
        wanted += [
            canonicalize_name(one.name)
            for one in required
            if one.marker is None or one.marker.evaluate({"extra": ""})
        ]
    return total / packages.MEGABYTE
