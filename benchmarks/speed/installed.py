"""What packages weigh with everything that they need, as pip installed them."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import Distribution, distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

_MEGABYTE = 1024 * 1024


def installed_megabytes(site_packages: Path, names: Iterable[str]) -> float:
    """The files of the named packages and of all that they require, in one environment's folder of packages.

    Raises:
        LookupError: one of the named is not installed there.
    """
    found = {canonicalize_name(one.metadata["Name"]): one for one in distributions(path=[str(site_packages)])}
    wanted = [canonicalize_name(name) for name in names]
    if missing := set(wanted) - set(found):
        raise LookupError(f"not installed in {site_packages}: {', '.join(sorted(missing))}")
    counted: set[str] = set()
    total = 0
    while wanted:
        name = wanted.pop()
        if name in counted or name not in found:  # what is required elsewhere only is not installed
            continue
        counted.add(name)
        total += _bytes(found[name])
        wanted += [canonicalize_name(one.name) for one in _required(found[name])]
    return total / _MEGABYTE


def _bytes(package: Distribution) -> int:
    paths = [Path(str(file.locate())) for file in package.files or ()]
    return sum(path.stat().st_size for path in paths if path.is_file())


def _required(package: Distribution) -> list[Requirement]:
    requirements = [Requirement(text) for text in package.requires or ()]
    return [one for one in requirements if one.marker is None or one.marker.evaluate({"extra": ""})]
