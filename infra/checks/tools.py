"""Run the checkers, each in its own environment, and return their findings."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from rich.console import Console

from infra.container.sam import ROOT, StepError, environment, variables
from infra.report import Report

TEMPLATES = (ROOT / "template.yaml", *sorted((ROOT / "infra").glob("*.yaml")))
SUPPRESSIONS = Path(__file__).with_name("suppressions.toml")
CHECKOV = ROOT / ".venv-infra" / "bin" / "checkov"

_BUILD = ROOT / "build" / "infra"
_BIN = Path(sys.executable).parent
_BINARY = (".pdf", ".npz", ".png")
_PLANTED = _BUILD / "planted-secret.txt"
# Findings of checkov's secret scan that are not secrets.
_MADE_UP = {
    ("benchmarks/attack.toml", "CKV_SECRET_9"),  # a token without a signature
    ("tests/integration/test_gateway.py", "CKV_SECRET_9"),  # a token without a signature
    ("tests/integration/test_document_links.py", "CKV_SECRET_6"),  # a version id of S3
    ("tests/unit/console_cases.toml", "CKV_SECRET_6"),  # the address of a sign-out
    ("tests/integration/test_prometheus.py", "CKV_SECRET_4"),  # the password of a server that the test starts
}


Checker = Callable[[], list[str]]


def check(find: Checker) -> list[str]:
    """Return a checker's findings. A checker that fails is a finding."""
    try:
        return find()
    except StepError as error:
        return [str(error)]


def reported(name: str, checks: Mapping[str, Checker], prepare: Callable[[], None] = lambda: None) -> int:
    """Install checkov, prepare, and run the checkers, two at a time. Print their findings before the table.

    Return the exit status of the report, 1 if it cannot be made.
    """
    report, console = Report(name), Console()
    try:
        with console.status("the checkers"):
            environment(CHECKOV.parents[1], ROOT / "requirements" / "infra.txt")
            prepare()
    except StepError as error:
        console.print(f"[red]failed[/] {error}", highlight=False)
        return 1
    with console.status(", ".join(checks)), ThreadPoolExecutor(2) as pool:
        results = dict(zip(checks, pool.map(check, checks.values()), strict=True))
    for checker, lines in results.items():
        report.add(checker, len(lines), "findings", "== 0")
        for line in lines:
            console.print(f"[red]{checker}[/] {line}", highlight=False, soft_wrap=True)
    return report.finish()


def cfn_lint() -> list[str]:
    """Return cfn-lint's findings in all templates, information included."""
    command = [str(_BIN / "cfn-lint"), "--include-checks", "I", "--format", "parseable", "--"]
    done = _run([*command, *map(str, TEMPLATES)])
    findings = [line.removeprefix(f"{ROOT}/") for line in done.stdout.splitlines() if line.count(":") > 1]
    if done.returncode and not findings:
        raise StepError(f"cfn-lint failed:\n{_end(done)}")
    return findings


def problems_of(framework: str, files: Iterable[Path], *options: str) -> tuple[list[dict[str, Any]], list[str]]:
    """Run checkov on the files; return the checks that failed, and a line for each file that it cannot read."""
    command = [str(CHECKOV), "--framework", framework, "--quiet", "--compact", "--output", "json", *options]
    done = _run([*command, *(part for path in files for part in ("--file", str(path)))])
    try:
        results = json.loads(done.stdout)["results"]
        return results["failed_checks"], [f"{path}: cannot be read" for path in results.get("parsing_errors", [])]
    except (ValueError, KeyError):
        raise StepError(f"checkov failed:\n{_end(done)}") from None


def checkov() -> list[str]:
    """Return checkov's findings in all templates, without suppressed ones."""
    problems, unread = problems_of("cloudformation", TEMPLATES)
    findings = (
        (
            Path(problem["file_path"]).stem,
            problem["resource"].partition(".")[2],
            problem["check_id"],
            f"{problem['file_path'].lstrip('/')}:{problem['file_line_range'][0]}: {problem['check_name']}",
        )
        for problem in problems
    )
    return unread + unaccepted(SUPPRESSIONS, findings)


def secrets() -> list[str]:
    """Return the places in the repository's files that look like secrets."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    files = [Path(name) for name in listed.stdout.split("\0") if name and not name.endswith(_BINARY)]
    # Plant a file with a secret: checkov does not count passed files, so this finding shows that it works.
    _PLANTED.parent.mkdir(parents=True, exist_ok=True)
    _PLANTED.write_text(f"key = AKIA{'IOSFODNN7'}{'BRANCH7'}\n", encoding="utf-8")
    problems, _ = problems_of("secrets", (*files, _PLANTED), "--skip-download")
    places = {
        (problem["file_path"].lstrip("/"), problem["check_id"], problem["file_line_range"][0])
        for problem in problems
    }
    planted = {place for place in places if place[0].endswith(_PLANTED.name)}
    if not planted:
        raise StepError("checkov did not find the secret in the file that has one")
    return [
        f"{path}:{line}: {check}"
        for path, check, line in sorted(places - planted)
        if (path, check) not in _MADE_UP
    ]


Finding = tuple[str, str, str, str]  # template, resource, rule, text


def unaccepted(suppressions: Path, findings: Iterable[Finding]) -> list[str]:
    """Return the findings that are not accepted, and the accepted findings that no longer occur.

    `suppressions` has the reason of each accepted finding, by template, resource and rule. Raises `StepError` if
    there are no findings at all: checkov then checked nothing, since some are accepted.
    """
    accepted = tomllib.loads(suppressions.read_text(encoding="utf-8"))
    lines, met = [], set()
    for template, resource, rule, text in findings:
        met.add((template, resource, rule))
        if rule not in accepted.get(template, {}).get(resource, {}):
            lines.append(f"{template}: {resource}: {rule} {text}")
    if not met:
        raise StepError(f"checkov found nothing, not even what {suppressions.name} accepts")
    return lines + [
        f"{suppressions.name}: {template}.{resource}: {rule} matches no finding"
        for template, resources in accepted.items()
        for resource, rules in resources.items()
        for rule in rules
        if (template, resource, rule) not in met
    ]


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    environ = variables() | {"NO_COLOR": "1", "BC_ROOT_DIR": str(ROOT), "LOG_LEVEL": "CRITICAL"}
    return subprocess.run(command, cwd=ROOT, env=environ, text=True, capture_output=True, check=False)


def _end(done: subprocess.CompletedProcess[str]) -> str:
    return (done.stdout + done.stderr)[-3000:].strip()
