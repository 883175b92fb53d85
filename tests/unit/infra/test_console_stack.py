"""The console's stack: one origin for page and API, the local headers, and a bucket that only CloudFront reads."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from docwell.adapters.aws import client
from docwell.adapters.s3 import S3DocumentLinks, S3DocumentWriter
from docwell.citation_units import CitationUnit, UnitKind
from docwell.http.console_links import ORIGIN_HEADER, console_of
from docwell.http.openai_routes import CHAT
from infra.console_page import HEADERS, POLICY
from infra.container.sam import ROOT
from infra.intrinsics import Values
from tests.unit.console_scripts import run_script
from tests.unit.infra.console_stack import NAMES, POOL, headers_of, properties, values
from tests.unit.infra.templates import content, whole

SIGN_IN = "https://docwell.auth.eu-central-1.amazoncognito.com"
BUCKET_HOST = f"https://{NAMES['DocumentsBucket']}.s3.eu-central-1.amazonaws.com"
CERTIFICATE = "arn:aws:acm:us-east-1:111122223333:certificate/0a"
WEB_ACL = "arn:aws:wafv2:us-east-1:111122223333:global/webacl/a/b"


def distribution(**given: str) -> dict[str, Any]:
    return dict(properties("Distribution", **given)["DistributionConfig"])


@pytest.mark.parametrize(
    ("sign_in", "hosts"), [("", f" {BUCKET_HOST}"), (SIGN_IN, f" {BUCKET_HOST} {SIGN_IN}")], ids=["keys", "pool"]
)
def test_cloudfront_sends_the_headers_of_the_local_gateway_and_names_two_hosts(sign_in: str, hosts: str) -> None:
    found = headers_of(sign_in)
    assert found.pop("strict-transport-security") == "max-age=31536000"
    policy = POLICY.replace("connect-src 'self'", f"connect-src 'self'{hosts}")
    assert found == HEADERS | {"content-security-policy": policy}
    config = properties("Headers")["ResponseHeadersPolicyConfig"]
    parts = [*config["SecurityHeadersConfig"].values(), *config["CustomHeadersConfig"]["Items"]]
    assert all(one["Override"] for one in parts)


def test_the_policy_names_the_host_of_upload_forms_and_links(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"REGION": "eu-central-1", "ACCESS_KEY_ID": "x", "SECRET_ACCESS_KEY": "x"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    bucket = NAMES["DocumentsBucket"]
    form = S3DocumentWriter(client("s3"), bucket, 60).form("a/b.pdf", 3, "application/pdf")
    link = S3DocumentLinks(client("s3"), bucket, 60).link(
        "a/b.pdf", "v1", CitationUnit(UnitKind.PAGE, "1", "page=1")
    )
    assert form.url == f"{BUCKET_HOST}/"
    assert link.startswith(f"{BUCKET_HOST}/a/b.pdf?")


def test_the_api_is_forwarded_without_a_cache_and_with_what_a_caller_sends() -> None:
    found = distribution()
    (api,) = found["CacheBehaviors"]
    assert api["PathPattern"] == "/v1/*"
    assert set(api["AllowedMethods"]) == {"GET", "HEAD", "OPTIONS", "PUT", "PATCH", "POST", "DELETE"}
    assert api["ViewerProtocolPolicy"] == "https-only"
    # AWS's ids of CachingDisabled and AllViewerExceptHostHeader.
    assert api["CachePolicyId"] == "4135ea2d-6df8-44a3-9df3-4b5a84be39ad"
    assert api["OriginRequestPolicyId"] == "b689b0a8-53d0-40ab-baf2-68738e2966ac"
    assert {api["ResponseHeadersPolicyId"], found["DefaultCacheBehavior"]["ResponseHeadersPolicyId"]} == {
        "headers-1"
    }
    _, origin = found["Origins"]
    assert (origin["Id"], origin["DomainName"], origin["OriginPath"]) == (
        api["TargetOriginId"],
        "a1b2.execute-api.eu-central-1.amazonaws.com",
        "/live",
    )
    assert origin["CustomOriginConfig"]["OriginProtocolPolicy"] == "https-only"
    # Each route that does not stream ends after 29 s; CloudFront waits 60 s at most without a larger quota.
    assert 29 < origin["CustomOriginConfig"]["OriginReadTimeout"] <= 60


def test_the_page_is_all_else_and_errors_of_the_api_keep_their_bodies() -> None:
    found = distribution()
    files, api = found["Origins"]
    assert found["DefaultRootObject"] == "index.html"
    assert found["DefaultCacheBehavior"]["TargetOriginId"] == files["Id"] != api["Id"]
    assert files["OriginAccessControlId"] == "access-1"
    assert "CustomErrorResponses" not in found  # they would count for the API too


def test_only_the_distribution_reads_the_bucket() -> None:
    bucket = properties("ConsoleBucket")
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert "WebsiteConfiguration" not in bucket
    allow, deny = properties("ConsoleBucketPolicy")["PolicyDocument"]["Statement"]
    assert (allow["Principal"], allow["Action"]) == ({"Service": "cloudfront.amazonaws.com"}, "s3:GetObject")
    arn = "arn:aws:cloudfront::111122223333:distribution/E1"
    assert allow["Condition"] == {"StringEquals": {"aws:SourceArn": arn}}
    assert (deny["Effect"], deny["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})
    access = properties("BucketAccess")["OriginAccessControlConfig"]
    assert access["SigningBehavior"] == "always"


def test_without_a_domain_the_console_has_cloudfronts_address_and_certificate() -> None:
    found = distribution()
    assert found["ViewerCertificate"] == {"CloudFrontDefaultCertificate": True}
    assert not {"Aliases", "WebACLId"} & set(found)
    assert values().of(outputs()["Url"]["Value"]) == "https://d1.cloudfront.net"


def test_an_own_domain_has_its_certificate_and_tls_1_2_at_least() -> None:
    given = {"Console": f"docs.example.com,{CERTIFICATE},{WEB_ACL}"}
    found = distribution(**given)
    assert found["Aliases"] == ["docs.example.com"]
    assert found["ViewerCertificate"]["AcmCertificateArn"] == CERTIFICATE
    assert found["ViewerCertificate"]["MinimumProtocolVersion"] == "TLSv1.2_2021"
    assert found["WebACLId"] == WEB_ACL
    assert values(**given).of(outputs()["Url"]["Value"]) == "https://docs.example.com"
    assert distribution(Console=f",,{WEB_ACL}")["WebACLId"] == WEB_ACL


def outputs() -> dict[str, Any]:
    return dict(content(ROOT / "infra" / "console.yaml")["Outputs"])


@pytest.mark.parametrize(("given", "creates"), [(",,", True), ("none", False)])
def test_a_stack_can_have_no_console(given: str, creates: bool) -> None:
    template = whole()
    held = Values({"Console": given}).holding({"HasConsole": template["Conditions"]["HasConsole"]})
    assert bool(held) is creates
    parts = list(content(ROOT / "infra" / "console.yaml")["Resources"])
    assert {template["Resources"][name]["Condition"] for name in parts} == {"HasConsole"}
    names = [name for name in template["Outputs"] if name.startswith("Console")]
    assert len(names) == 3
    assert {template["Outputs"][name]["Condition"] for name in names} == {"HasConsole"}


def test_the_firewall_counts_the_consoles_requests_by_their_viewers_addresses() -> None:
    rules = {one["Name"]: one["Statement"] for one in properties_of_firewall()["Rules"]}
    direct, viewers = (rules[name]["RateBasedStatement"] for name in ("flood", "console-flood"))
    assert direct["Limit"] == viewers["Limit"]
    marked = viewers["ScopeDownStatement"]
    assert direct["ScopeDownStatement"] == {"NotStatement": {"Statement": marked}}
    assert (direct["AggregateKeyType"], viewers["AggregateKeyType"]) == ("IP", "FORWARDED_IP")
    (header,) = distribution()["Origins"][1]["OriginCustomHeaders"]
    match = marked["ByteMatchStatement"]
    assert match["FieldToMatch"] == {"SingleHeader": {"Name": header["HeaderName"]}}
    assert header["HeaderValue"] == NAMES["ConsoleMark"]
    firewall = content(ROOT / "infra" / "firewall.yaml")
    assert firewall["Outputs"]["ConsoleMark"]["Value"] == match["SearchString"]
    redacted = firewall["Resources"]["FirewallLogging"]["Properties"]["RedactedFields"]
    assert match["FieldToMatch"] in redacted


def test_a_viewer_cannot_write_the_address_by_which_the_firewall_counts() -> None:
    api = distribution()["CacheBehaviors"][0]
    assert api["FunctionAssociations"] == [{"EventType": "viewer-request", "FunctionARN": "function-1"}]
    function = properties("ViewerAddress")
    assert function["AutoPublish"] is True
    rules = {one["Name"]: one["Statement"] for one in properties_of_firewall()["Rules"]}
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
    assert console_of({ORIGIN_HEADER: sent[ORIGIN_HEADER]["value"]})


def test_the_firewall_lets_long_conversations_through_and_no_other_long_bodies() -> None:
    (rule,) = [one for one in properties_of_firewall()["Rules"] if one["Name"] == "body-size"]
    size, elsewhere = rule["Statement"]["AndStatement"]["Statements"]
    assert size["SizeConstraintStatement"]["Size"] == 65_000
    path = elsewhere["NotStatement"]["Statement"]["ByteMatchStatement"]
    assert (path["FieldToMatch"], path["PositionalConstraint"]) == ({"UriPath": {}}, "ENDS_WITH")
    assert path["SearchString"] == CHAT


def test_a_request_that_the_firewall_blocks_gets_a_problem_that_says_what_to_do() -> None:
    firewall = properties_of_firewall()
    actions = {one["Name"]: one.get("Action", {}).get("Block") for one in firewall["Rules"]}
    blocked = {name: action["CustomResponse"] for name, action in actions.items() if action}
    assert set(blocked) == {"flood", "console-flood", "body-size"}
    for name, response in blocked.items():
        body = firewall["CustomResponseBodies"][response["CustomResponseBodyKey"]]
        problem = json.loads(body["Content"])
        assert problem["status"] == response["ResponseCode"]
        assert problem["detail"]
        headers = {one["Name"]: one["Value"] for one in response.get("ResponseHeaders", [])}
        assert headers == ({"retry-after": "60"} if name.endswith("flood") else {})


def test_the_firewall_lets_keys_of_documents_and_cursors_through() -> None:
    (common,) = [one for one in properties_of_firewall()["Rules"] if one["Name"] == "common"]
    overrides = common["Statement"]["ManagedRuleGroupStatement"]["RuleActionOverrides"]
    counted = {one["Name"] for one in overrides if one["ActionToUse"] == {"Count": {}}}
    sizes = {f"SizeRestrictions_{part}" for part in ("URIPATH", "QUERYSTRING")}
    assert sizes | {f"RestrictedExtensions_{part}" for part in ("URIPATH", "QUERYARGUMENTS")} <= counted


def properties_of_firewall() -> dict[str, Any]:
    return dict(content(ROOT / "infra" / "firewall.yaml")["Resources"]["WebAcl"]["Properties"])


@pytest.mark.parametrize("pool", ["", POOL, f"{POOL};{SIGN_IN}"])
def test_the_sign_in_is_the_last_part_of_the_user_pool(pool: str) -> None:
    pattern = content(ROOT / "template.yaml")["Parameters"]["UserPool"]["AllowedPattern"]
    assert re.fullmatch(pattern, pool)
    assert not re.fullmatch(pattern, f"{POOL};{SIGN_IN}/path")
    assert not re.fullmatch(pattern, f"{POOL};http://pool.example")
    policy = properties("Headers", UserPool=pool)["ResponseHeadersPolicyConfig"]["SecurityHeadersConfig"]
    assert (SIGN_IN in policy["ContentSecurityPolicy"]["ContentSecurityPolicy"]) == pool.endswith(SIGN_IN)
