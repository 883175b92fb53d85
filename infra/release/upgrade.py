"""The first steps of `make deploy` for an installation that exists: its parameters, volume and API keys."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from docwell.cli.api_keys import adopt_all
from docwell.cli.settings import Settings
from docwell.errors import DocwellError
from infra.container.sam import StepError

# Parameters that a release has renamed or given another form, and what to write now.
_NOW = {
    "AlarmEmail": 'Alarms = "EMAIL,BUDGET", with the budget of a month in USD, 0 for none',
    "BudgetPerMonth": 'Alarms = "EMAIL,BUDGET", with the budget of a month in USD, 0 for none',
    "UserPoolArn": 'UserPool = "ARN;CLIENT,CLIENT", with the app clients whose tokens are valid',
    "UserPool": 'write "ARN;CLIENT,CLIENT", with the app clients whose tokens are valid',
    "RestoredTables": 'write "LEDGER/stream/LABEL,PRINCIPALS,USAGE,AUDIT", with the label of `aws dynamodb '
    "describe-table --table-name LEDGER --query Table.LatestStreamLabel`",
}


def problems(given: Mapping[str, str], declared: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Yield a line for each given parameter that the template does not take, with what to write instead."""
    for name, value in sorted(given.items()):
        if name not in declared:
            yield f"template.yaml takes no {name}" + (f": it is now {_NOW[name]}" if name in _NOW else "")
        elif not re.fullmatch(str(declared[name].get("AllowedPattern", ".*")), value, re.DOTALL):
            yield f"{name} cannot be {value!r}: {_NOW.get(name, declared[name].get('Description', ''))}"


def refusal(profile: str, before: Mapping[str, str], given: Mapping[str, str]) -> str:
    """Return why a stack cannot change from its parameters to the given ones, empty where it can."""
    if before.get("KmsKeyArn", "") not in ("", given.get("KmsKeyArn")):
        return "KmsKeyArn: documents keep the key that encrypted them, and the functions may use only the new one"
    if not (changed := volume_changes(before, given)):
        return ""
    change = f"make restore WHAT=zone PROFILE={profile}"
    return f"{' and '.join(changed)}: Chroma's volume cannot change so. `{change}` makes another"


def volume_changes(before: Mapping[str, str], given: Mapping[str, str]) -> list[str]:
    """Return the parameters by which Chroma's volume would change although EC2 cannot change it.

    A volume keeps its key, zone and snapshot. Another subnet in `ChromaPlace` makes another volume.
    """
    places = [one.get("ChromaPlace", "").partition(",")[0] for one in (before, given)]
    if before.get("ChromaUrl") or given.get("ChromaUrl") or places[0] != places[1]:
        return []
    names = ["KmsKeyArn", "ChromaPlace"]
    if given.get("Network", "").startswith("vpc-"):
        names.append("ServerZone")
    return [name for name in names if name in before and before[name] != given.get(name)]


def adopt(stack: str, table: str) -> None:
    """Store the API keys of a table's principals that an earlier release made: the authorizer denies others.

    Print each. Raises `StepError` when a key is not stored, unless API Gateway has none of its id.
    """
    try:
        for principal, missing in adopt_all(Settings(principals_table=table)):
            print(f"{principal}: {missing.detail if missing else 'its API key is stored'}")
    except DocwellError as error:
        raise StepError(f"{stack}: the keys of an earlier release cannot be stored: {error.detail}") from None
