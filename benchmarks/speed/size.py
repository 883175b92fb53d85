"""The size of what is deployed: the query function with its layers, the ingest image over its base, the model.

Each lock is installed for Lambda's processor and Python, and trimmed, by the scripts that `sam build` and the
image's Dockerfile run; then the files are added up. This needs no Docker.
"""

import tempfile
from pathlib import Path

from benchmarks.speed.options import Options
from infra.container import packages
from infra.progress import bar
from infra.report import Report

_LARGEST = 12


def measure(report: Report, _: Options) -> None:
    """Add rows for the zip with its layers, the image, and their packages. Raises `StepError`."""
    with tempfile.TemporaryDirectory() as name, bar("size", len(packages.QUERY) + 1) as step:
        folder = Path(name)
        for part in packages.QUERY:
            packages.build_zip(part, folder / part)
            step()
        packages.build_image_folder(folder / "image")
        step()
        parts = {part: packages.folder_megabytes(folder / part) for part in packages.QUERY}
        report.add("docwell: query function with its packages, unzipped", sum(parts.values()), "MB", "<= 150")
        for part, size in parts.items():
            report.add(f"query function, of which {part}", size, "MB")
        image = folder / "image"
        size = packages.folder_megabytes(image)
        report.add("docwell: ingest image, added to its base", size, "MB", "<= 400")
        other = packages.record_megabytes(image, packages.FORMATS)
        report.add("docwell: ingest image without other formats than PDF", size - other, "MB", "<= 280")
        report.add("embedding model", packages.folder_megabytes(image / "model"), "MB")
        for what, folders in (
            ("query function", packages.package_folders(folder.joinpath)),
            ("ingest image", [image]),
        ):
            for package, size in list(packages.packages_megabytes(folders).items())[:_LARGEST]:
                report.add(f"{what}, package {package}", size, "MB")
