"""``python -m infra.checks``: run all checks of the templates that need no AWS account.

Writes `build/reports/infra.json` and exits with 0 only when there are no findings. `suppressions.toml`
has the accepted findings with their reasons.
"""

from __future__ import annotations

import sys

from rich.console import Console

from infra.checks import tools
from infra.container.sam import ROOT, StepError
from infra.findings import Checker, add_findings, failed_tests
from infra.report import REPORTS, Report

TEST_RESULTS = REPORTS / "infra-tests.xml"
TESTS = (
    "unit/infra/test_template.py",
    "unit/infra/test_rules.py",
    "unit/infra/test_boot_scripts.py",
    "unit/infra/test_deployment.py",
    "unit/infra/test_network.py",
    "unit/infra/test_console_*.py",
    "unit/infra/test_supply_chain.py",
    "unit/infra/test_release_pins.py",
    "unit/infra/test_observability_*.py",
    "integration/test_infra_*.py",
    "unit/infra/test_server*.py",
    "integration/test_chroma_token.py",
    "integration/test_prometheus.py",
    "integration/test_server_proxy.py",
)

console = Console()


def test_files() -> list[str]:
    """Return the files of `TESTS`. Raises `StepError` for a pattern without a file."""
    files_by_pattern = {pattern: sorted((ROOT / "tests").glob(pattern)) for pattern in TESTS}
    if missing := [pattern for pattern, files in files_by_pattern.items() if not files]:
        raise StepError(f"no file of tests/ matches {', '.join(missing)}")
    return [str(file) for files in files_by_pattern.values() for file in files]


def tests() -> list[str]:
    """Return the failed tests of the templates."""
    arguments = ["-p", "no:cacheprovider", *test_files()]
    return failed_tests(arguments, TEST_RESULTS)


def main() -> int:
    """Run the checkers in parallel and print their findings before the table."""
    report = Report("infra")
    try:
        with console.status("the checkers"):
            tools.prepare()
    except StepError as error:
        console.print(f"[red]failed[/] {error}", highlight=False)
        return 1
    checks: dict[str, Checker] = {
        "sam validate --lint": tools.sam_validate,
        "cfn-lint, information included": tools.cfn_lint,
        "checkov": tools.checkov,
        "secrets in the repository": tools.secrets,
        "tests of the templates": tests,
    }
    with console.status(f"{len(tools.TEMPLATES)} templates"):
        add_findings(report, checks, console)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
