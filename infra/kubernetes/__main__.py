"""``python -m infra.kubernetes``: check the Helm chart without a cluster; ``--write`` writes its snapshots first.

Writes `build/reports/kubernetes.json` and exits with 0 only when there are no findings.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from infra.checks.tools import Checker, problems_of, reported, unaccepted
from infra.container.sam import ROOT, StepError, environment, variables
from infra.kubernetes import helm
from infra.kubernetes.variants import VARIANTS, rendered, text_of, write_snapshots

ENVIRONMENT = ROOT / ".venv-kubernetes"
SUPPRESSIONS = Path(__file__).with_name("suppressions.toml")


def lint() -> list[str]:
    """Return Helm's findings with the values of each profile."""
    return [line for profile in helm.PROFILES for line in helm.lint(profile)]


def schemas() -> list[str]:
    """Return the findings of the strict schemas of Kubernetes, KEDA and Prometheus's operator in all variants."""
    distinct = {json.dumps(manifest, sort_keys=True) for name in VARIANTS for manifest in rendered(name)}
    # Plant a field that no schema has: each schema must report it.
    wrong = [json.loads(text) | {"planted": True} for text in distinct]
    command = [f"{ENVIRONMENT}/bin/python", str(Path(__file__).with_name("schemas.py")), *helm.KUBERNETES]
    manifests = f"[{','.join((*distinct, *map(json.dumps, wrong)))}]"
    done = subprocess.run(command, input=manifests, capture_output=True, text=True, check=False, env=variables())
    if done.returncode:
        raise StepError(f"the schemas failed:\n{done.stderr[-3000:]}")
    lines = [str(json.loads(line)) for line in done.stdout.splitlines()]
    if unplanted := sorted({line for line in lines if "planted" not in line}):
        return unplanted
    unseen = {f"{manifest['kind']} {manifest['metadata']['name']}" for manifest in wrong} - {
        line.split(":")[0] for line in lines
    }
    return [f"{name}: its schema accepts an unknown field" for name in sorted(unseen)]


def checkov() -> list[str]:
    """Return checkov's findings in the profiles, and the accepted ones that it no longer has."""
    folder = ROOT / "build" / "kubernetes"
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{profile}.yaml" for profile in helm.PROFILES]
    for path in paths:
        path.write_text(text_of(rendered(path.stem)), encoding="utf-8")
    problems, unread = problems_of("kubernetes", paths)
    findings = {
        ("profiles", "any", problem["check_id"], f"{problem['check_name']}: {problem['resource']}")
        for problem in problems
    }
    return unread + unaccepted(SUPPRESSIONS, sorted(findings))


def main() -> int:
    """Write the snapshots if asked, and run the checkers."""
    parser = argparse.ArgumentParser(prog="make kubernetes", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the snapshots of the rendered manifests first")
    options = parser.parse_args()

    def prepare() -> None:
        helm.helm()
        environment(ENVIRONMENT, ROOT / "requirements" / "kubernetes.txt")
        if options.write:
            write_snapshots()

    checks: dict[str, Checker] = {
        "helm lint --strict": lint,
        f"strict schemas, {len(VARIANTS)} sets of values": schemas,
        "checkov": checkov,
    }
    return reported("kubernetes", checks, prepare)


if __name__ == "__main__":
    sys.exit(main())
