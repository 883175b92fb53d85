"""The console's stack: one origin for page and API, the local headers, and a bucket that only CloudFront reads."""

from __future__ import annotations

from typing import Any

import pytest

from docwell.http.bodies import origin_of
from docwell.identity import ORIGIN_HEADER
from infra.container.sam import ROOT
from runtime.console_page import HEADERS, POLICY
from tests.unit.console_scripts import run_script
from tests.unit.infra.console_stack import NAMES, headers_of, properties
from tests.unit.infra.templates import content

SIGN_IN = "https://docwell.auth.eu-central-1.amazoncognito.com"
BUCKET_HOST = f"https://{NAMES['DocumentsBucket']}.s3.eu-central-1.amazonaws.com"


def distribution(**given: str) -> dict[str, Any]:
    return dict(properties("Distribution", **given)["DistributionConfig"])


@pytest.mark.parametrize(
    ("sign_in", "hosts"), [("", f" {BUCKET_HOST}"), (SIGN_IN, f" {BUCKET_HOST} {SIGN_IN}")], ids=["keys", "pool"]
)
def test_cloudfront_sends_the_headers_of_the_local_gateway_and_names_two_hosts(sign_in: str, hosts: str) -> None:
    result = headers_of(sign_in)
    assert result.pop("strict-transport-security") == "max-age=31536000"
    policy = POLICY.replace("connect-src 'self'", f"connect-src 'self'{hosts}")
    assert result == HEADERS | {"content-security-policy": policy}
    config = properties("Headers")["ResponseHeadersPolicyConfig"]
    parts = [*config["SecurityHeadersConfig"].values(), *config["CustomHeadersConfig"]["Items"]]
    assert all(metric["Override"] for metric in parts)


def test_a_viewer_cannot_write_the_address_by_which_the_firewall_counts() -> None:
    api = distribution()["CacheBehaviors"][0]
    assert api["FunctionAssociations"] == [{"EventType": "viewer-request", "FunctionARN": "function-1"}]
    function = properties("ViewerAddress")
    assert function["AutoPublish"] is True
    firewall = content(ROOT / "template.yaml")["Resources"]["WebAcl"]
    rules = {rule["Name"]: rule["Statement"] for rule in firewall["Properties"]["Rules"]}
    header = rules["console-flood"]["RateBasedStatement"]["ForwardedIPConfig"]["HeaderName"]
    forged = '{ value: "1.1.1.1", multiValue: [{ value: "1.1.1.1" }] }'
    headers = (
        f"""{{ host: {{ value: "d1.cloudfront.net" }}, "{header}": {forged}, "{ORIGIN_HEADER}": {forged} }}"""
    )
    call = f"""return handler({{ request: {{ headers: {headers} }}, viewer: {{ ip: "203.0.113.7" }} }}).headers;"""
    sent = run_script(call, before=function["FunctionCode"])
    assert (sent[header], sent[ORIGIN_HEADER]) == (
        {"value": "203.0.113.7"},
        {"value": "https://d1.cloudfront.net"},
    )
    assert origin_of(sent[ORIGIN_HEADER]["value"])
