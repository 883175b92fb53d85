"""``python -m infra.checks``: check the templates without an AWS account, beside their tests (`make test`).

Writes `build/reports/infra.json` and exits with 0 only when there are no findings. `suppressions.toml`
has the accepted findings with their reasons.
"""

from __future__ import annotations

import sys

from infra.checks import tools


def main() -> int:
    """Run the checkers."""
    checks: dict[str, tools.Checker] = {
        "cfn-lint, information included": tools.cfn_lint,
        "checkov": tools.checkov,
        "secrets in the repository": tools.secrets,
    }
    return tools.reported("infra", checks)


if __name__ == "__main__":
    sys.exit(main())
