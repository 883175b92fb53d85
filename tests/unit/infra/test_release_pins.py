"""`make pin` writes what was read and nothing else; a release refuses what is not pinned."""

from __future__ import annotations

import re
import shutil
from hashlib import sha256
from pathlib import Path

import pytest

from infra.release import pins

ROOT = Path(__file__).parents[3]
DIGEST = "sha256:" + "5e" * 32
AMI = "ami-0123456789abcdef0"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A checkout with the files that hold pins, as they are before the first `make pin`."""
    shutil.copytree(ROOT / "infra" / "parameters", tmp_path / "infra" / "parameters")
    for path in pins.templates(ROOT):
        shutil.copy(path, tmp_path / path.relative_to(ROOT))
    pins.pin_images(tmp_path, lambda _: DIGEST)
    for path in pins.templates(tmp_path):
        path.write_text(path.read_text().replace(f"@{DIGEST}", ""))
    for path in (tmp_path / "infra" / "parameters").iterdir():
        path.write_text(re.sub(f"(?m)^.*{pins.MACHINE_IMAGES}.*\n", "", path.read_text()))
    return tmp_path


def test_a_release_uses_the_values_that_pin_wrote(tree: Path) -> None:
    # The refused tags, and the newest machine images of each stage.
    assert len(pins.unpinned(tree)) == len(pins.images(tree)) + len(pins.STAGES)
    before = [*pins.images(tree).values()]
    pins.pin_images(tree, lambda reference: f"sha256:{sha256(reference.encode()).hexdigest()}")
    pins.pin_machine_images(tree, pins.STAGES, lambda _: AMI)
    digests = [sha256(reference.encode()).hexdigest() for reference in before]
    assert [*pins.images(tree).values()] == [*map("{}@sha256:{}".format, before, digests)]
    assert not pins.unpinned(tree)


@pytest.mark.parametrize("name", pins.BUILT_BY)
def test_a_release_refuses_stages_that_need_different_builds(tree: Path, name: str) -> None:
    profile = pins.profile(tree, "staging")
    others = [line for line in profile.read_text().splitlines() if not line.startswith(f"{name} ")]
    profile.write_text("\n".join([*others, f'{name} = "one@{DIGEST}"\n']))
    assert any(line.startswith("staging.toml and") and f": {name} " in line for line in pins.unpinned(tree))
