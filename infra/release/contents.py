"""Bills of materials and licences of the packages in a release, from the hash-pinned locks."""

from __future__ import annotations

import importlib.metadata
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from packaging.requirements import Requirement

from infra.container.sam import ROOT, StepError, environment, run

LOCKS = {
    "ingest": "functions/ingest/requirements.txt",
    "ingest-ocr": "functions/ingest/requirements-ocr.txt",
    "query": "functions/query/requirements.txt",
    "reconcile": "functions/reconcile/requirements.txt",
    "canary": "functions/canary/requirements.txt",
    "authorizer": "functions/authorizer/requirements.txt",
    "events": "functions/events/requirements.txt",
    "embedder": "layers/embedder/requirements.txt",
    "runtime": "runtime/requirements.txt",
}
SBOM = ROOT / "build" / "sbom"
NOTICE = ROOT / "NOTICE"
TOOLS = ROOT / ".venv-release"

_SPEC = "1.6"
# Lambda's Python on x86_64. On ARM the ingest function has onnxruntime in place of OpenVINO, so list both.
_LAMBDA = {
    "python_version": "3.13",
    "python_full_version": "3.13.0",
    "sys_platform": "linux",
    "platform_system": "Linux",
    "platform_machine": "x86_64",
}
_HEAD = """\
docwell
Licensed under the Apache License, Version 2.0; see LICENSE.

A deployment contains the packages below, with the licence that each one states. The text of a licence is in the
package's `dist-info` folder, inside the image, the zip or the layer. `make notice` writes this file.

The embedding model sentence-transformers/all-MiniLM-L6-v2 is licensed under Apache-2.0.

"""


def write_sbom(name: str) -> Path:
    """Write the CycloneDX file of a lock, validated against the schema. Raises `StepError`."""
    environment(TOOLS, ROOT / "requirements" / "release.txt")
    SBOM.mkdir(parents=True, exist_ok=True)
    path = SBOM / f"{name}.json"
    tool = [str(TOOLS / "bin" / "cyclonedx-py"), "requirements", "--output-reproducible", "--validate"]
    run([*tool, "--pyproject", "pyproject.toml", "--sv", _SPEC, "--of", "JSON", "-o", str(path), LOCKS[name]])
    return path


def audit() -> None:
    """Search the locks of what ships for known vulnerabilities. Raises `StepError`, also without a connection."""
    environment(TOOLS, ROOT / "requirements" / "release.txt")
    command = [str(TOOLS / "bin" / "pip-audit"), "--progress-spinner", "off", "--strict", "--disable-pip"]
    run([*command, "--require-hashes", *(part for lock in LOCKS.values() for part in ("-r", lock))])


def packages(lock: Path) -> Iterator[tuple[str, str]]:
    """Yield (name, version) of the packages that a lock installs on Lambda."""
    for line in re.findall(r"(?m)^[A-Za-z0-9].*==.*?(?= \\$|$)", lock.read_text(encoding="utf-8")):
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate(_LAMBDA):
            yield _plain(requirement.name), str(requirement.specifier).removeprefix("==")


def notice(licences: Mapping[tuple[str, str], str]) -> str:
    """Return the text of NOTICE for the licences of (name, version)."""
    return _HEAD + "".join(
        f"{name} {version}: {licence}\n" for (name, version), licence in sorted(licences.items())
    )


def write_notice() -> None:
    """Install every lock into a temporary folder, and write the licences that its packages state."""
    licences: dict[tuple[str, str], str] = {}
    uv = str(Path(sys.executable).parent / "uv")
    for lock in LOCKS.values():
        with tempfile.TemporaryDirectory() as folder:
            target = ["--target", folder, "--python-version", "3.13", "--python-platform", "x86_64-manylinux_2_34"]
            install = [uv, "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--no-build", "-r", lock]
            run([*install, *target])
            for package in importlib.metadata.distributions(path=[folder]):
                licences[_plain(package.metadata["Name"]), package.version] = _licence(package)
    NOTICE.write_text(notice(licences), encoding="utf-8")


def _licence(package: importlib.metadata.Distribution) -> str:
    """Return the licence by its expression, its one-line field or its classifiers."""
    fields = package.metadata
    for name in ("License-Expression", "License"):
        stated = (fields[name] or "").strip() if name in fields else ""
        if stated and "\n" not in stated:
            return stated
    ends = [
        classifier.rsplit(" :: ", 1)[1]
        for classifier in fields.get_all("Classifier") or ()
        if classifier.startswith("License ::")
    ]
    if not ends:
        raise StepError(f"{package.name} states no licence")
    return ", ".join(sorted(ends))


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
