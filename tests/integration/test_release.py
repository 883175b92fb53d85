"""`make sbom` writes CycloneDX."""

from __future__ import annotations

import json

import pytest

from infra.container.sam import ROOT
from infra.release import contents

pytestmark = pytest.mark.integration


@pytest.mark.slow
@pytest.mark.parametrize("name", contents.LOCKS)
def test_each_lock_has_a_valid_bill_of_materials_with_every_package_and_hash(name: str) -> None:
    # The tool validates the file against CycloneDX's schema.
    bill = json.loads(contents.write_sbom(name).read_text())
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    named = {
        (component["name"].lower().replace("_", "-"), component["version"]) for component in bill["components"]
    }
    assert set(contents.packages(ROOT / contents.LOCKS[name])) <= named
    for entry in bill["components"]:
        assert any(reference.get("hashes") for reference in entry["externalReferences"]), entry["name"]
