"""``python -m infra.checks``: check the templates without an AWS account, beside their tests (`make test`).

Writes `build/reports/infra.json` and exits with 0 only when there are no findings. `suppressions.toml`
has the accepted findings with their reasons.
"""

from __future__ import annotations

import sys

from rich.console import Console

from infra.checks import tools
from infra.container.sam import StepError
from infra.report import Report

console = Console()


def main() -> int:
    """Run the checkers in parallel and print their findings before the table."""
    report = Report("infra")
    try:
        with console.status("the checkers"):
            tools.prepare()
    except StepError as error:
        console.print(f"[red]failed[/] {error}", highlight=False)
        return 1
    checks: dict[str, tools.Checker] = {
        "cfn-lint, information included": tools.cfn_lint,
        "checkov": tools.checkov,
        "secrets in the repository": tools.secrets,
    }
    with console.status(f"{len(tools.TEMPLATES)} templates"):
        tools.add_findings(report, checks, console)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
