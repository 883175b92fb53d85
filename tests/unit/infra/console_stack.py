"""The values that infra/console.yaml gives, as tests read them."""

from __future__ import annotations

from typing import Any

from infra.container.sam import ROOT
from tests.unit.cases import rows
from tests.unit.infra.intrinsics import NO_VALUE, Values
from tests.unit.infra.templates import content

POOL = "arn:aws:cognito-idp:eu-central-1:111122223333:userpool/eu-central-1_Ab1;client1,client2"
NAMES: dict[str, str] = dict(rows(__file__, "console_names"))


def values(**given: str) -> Values:
    """The values of the stack's names with these parameters."""
    names = NAMES | given
    conditions = Values(names).holding(content(ROOT / "infra" / "console.yaml")["Conditions"])
    return Values(names, conditions)


def properties(name: str, **given: str) -> dict[str, Any]:
    """The properties of a resource as CloudFormation gets them."""
    result = values(**given).of(content(ROOT / "infra" / "console.yaml")["Resources"][name]["Properties"])
    return dict(without_nothing(result))


def without_nothing(node: Any) -> Any:
    """The value without the properties that are `AWS::NoValue`."""
    if isinstance(node, dict):
        return {key: without_nothing(value) for key, value in node.items() if value is not NO_VALUE}
    return node


def headers_of(sign_in: str = "") -> dict[str, str]:
    """The headers that CloudFront adds, with the sign-in's address."""
    policy = properties("Headers", UserPool=f"{POOL};{sign_in}" if sign_in else POOL)[
        "ResponseHeadersPolicyConfig"
    ]
    security = policy["SecurityHeadersConfig"]
    seconds = security["StrictTransportSecurity"]["AccessControlMaxAgeSec"]
    assert "ContentTypeOptions" in security
    return {
        "content-security-policy": security["ContentSecurityPolicy"]["ContentSecurityPolicy"],
        "x-content-type-options": "nosniff",
        "referrer-policy": security["ReferrerPolicy"]["ReferrerPolicy"],
        "strict-transport-security": f"max-age={seconds}",
        **{item["Header"]: item["Value"] for item in policy["CustomHeadersConfig"]["Items"]},
    }
