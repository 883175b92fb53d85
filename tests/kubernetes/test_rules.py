"""The rules that every pod, selector and policy of the chart follows, whatever the values."""

from __future__ import annotations

import json
import re
from typing import Any

from infra.kubernetes.variants import rendered
from tests.kubernetes.manifests import EACH_VARIANT, WHOLE, WORKERS, containers, of_kind, selects, workloads

WITHOUT_POLICIES = "without KEDA, policies and ingress"
# https://docs.aws.amazon.com/eks/latest/userguide/pod-id-agent-setup.html
AGENT = {"169.254.170.23/32", "fd00:ec2::23/128"}
# Link-local addresses, and those of instance metadata.
WITHOUT = {"0.0.0.0/0": ["169.254.0.0/16"], "::/0": ["fe80::/10", "fd00:ec2::/32"]}


def pods(variant: str) -> dict[str, dict[str, str]]:
    """The labels of the pods by component."""
    return {component: template["metadata"]["labels"] for component, _, template in workloads(variant)}


def port_numbers(variant: str, component: str) -> dict[str, int]:
    result = (container for name, container, _ in containers(variant) if name == component)
    return {port["name"]: port["containerPort"] for entry in result for port in entry.get("ports", [])}


def policies_of(variant: str, labels: dict[str, str]) -> list[dict[str, Any]]:
    specs = (manifest["spec"] for manifest in of_kind(variant, "NetworkPolicy"))
    return [spec for spec in specs if selects(spec["podSelector"], labels)]


@EACH_VARIANT
def test_a_selector_selects_its_own_pods_and_no_other(variant: str) -> None:
    for component, workload, template in workloads(variant):
        if "selector" not in workload["spec"]:
            continue  # a CronJob's jobs make theirs
        selector = workload["spec"]["selector"]
        assert selects(selector, template["metadata"]["labels"])
        assert [name for name, labels in pods(variant).items() if selects(selector, labels)] == [component]


@EACH_VARIANT
def test_each_reference_to_an_object_names_an_existing_one(variant: str) -> None:
    names = {(manifest["kind"], manifest["metadata"]["name"]) for manifest in rendered(variant)}
    for entry in rendered(variant):
        spec = entry.get("spec", {})
        if entry["kind"] == "StatefulSet":
            assert ("Service", spec["serviceName"]) in names
        if entry["kind"] in ("HorizontalPodAutoscaler", "ScaledObject"):
            assert ("Deployment", spec["scaleTargetRef"]["name"]) in names
        for trigger in spec.get("triggers", []):
            assert ("TriggerAuthentication", trigger["authenticationRef"]["name"]) in names
        for rule in spec.get("rules", []):
            for path in rule["http"]["paths"]:
                assert ("Service", path["backend"]["service"]["name"]) in names
    assert len(names) == len(rendered(variant))


@EACH_VARIANT
def test_a_pod_has_time_to_stop(variant: str) -> None:
    for component, container, pod in containers(variant):
        sleep = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        settings = {variable["name"]: variable.get("value") for variable in container.get("env", [])}
        grace = int(settings.get("DOCWELL_GRACE_S") or 0)
        if sleep or grace:
            assert pod["terminationGracePeriodSeconds"] >= sleep + grace + 10, component
        if component == "query":
            assert grace >= 5 + float(settings["DOCWELL_DEADLINE_S"])


@EACH_VARIANT
def test_every_pod_denies_all_traffic_by_default(variant: str) -> None:
    if variant == WITHOUT_POLICIES:
        assert not of_kind(variant, "NetworkPolicy")
        return
    for component, labels in pods(variant).items():
        result = policies_of(variant, labels)
        denials = [spec for spec in result if not spec.get("ingress") and not spec.get("egress")]
        assert any(spec["policyTypes"] == ["Ingress", "Egress"] for spec in denials), component
        assert len(result) == 2, component


def flows(variant: str) -> set[tuple[str, str, int]]:
    """(from, to, port) of each flow between the chart's pods that both ends allow."""
    labels = pods(variant)

    def peers(component: str, direction: str, side: str) -> set[tuple[str, int]]:
        rules = [rule for spec in policies_of(variant, labels[component]) for rule in spec.get(direction, [])]
        return {
            (second, port["port"])
            for rule in rules
            for peer in rule[side]
            if set(peer) == {"podSelector"}
            for second in labels
            if selects(peer["podSelector"], labels[second])
            for port in rule["ports"]
        }

    return {
        (component, another, port)
        for component in labels
        for another, port in peers(component, "egress", "to")
        if (component, port) in peers(another, "ingress", "from")
    }


def test_pods_reach_only_the_pods_that_they_call() -> None:
    to_chroma = {(component, "chroma", 8000) for component in WORKERS}
    assert flows("small") == {*to_chroma, ("query", "model", 11434)}
    assert flows("large") == {*to_chroma, ("query", "model", 8000)}
    assert flows("external servers") == set()
    for variant in ("small", "large"):
        assert {port for *_, port in flows(variant)} <= {
            number for name in pods(variant) for number in port_numbers(variant, name).values()
        }


def blocks(variant: str, component: str) -> list[tuple[dict[str, Any], int]]:
    """(block, port) of the addresses outside the chart that a component may call."""
    specs = policies_of(variant, pods(variant)[component])
    rules = [rule for spec in specs for rule in spec.get("egress", [])]
    return [
        (peer["ipBlock"], port["port"])
        for rule in rules
        for peer in rule["to"]
        for port in rule["ports"]
        if "ipBlock" in peer
    ]


def outside(variant: str, component: str) -> set[int]:
    """The ports on which a component may call addresses outside the chart, EKS Pod Identity's agent apart."""
    result = [(block, port) for block, port in blocks(variant, component) if block["cidr"] not in AGENT]
    for block, _ in result:
        assert block["except"] == WITHOUT[block["cidr"]], "instance metadata must stay out of reach"
    return {port for _, port in result}


@EACH_VARIANT
def test_workers_without_keys_reach_the_agent_that_provides_their_role(variant: str) -> None:
    for component in pods(variant):
        agent = {(block["cidr"], port) for block, port in blocks(variant, component) if block["cidr"] in AGENT}
        asks = component not in ("chroma", "model") and variant not in (WITHOUT_POLICIES, WHOLE)
        assert agent == ({(cidr, 80) for cidr in AGENT} if asks else set()), component


def test_outside_the_chart_only_the_ports_of_called_services_are_open() -> None:
    assert outside("small", "ingest") == outside("small", "query") == {443}
    assert outside("small", "chroma") == set()
    assert outside("small", "model") == {443}  # it downloads its model
    assert outside("Ollama with own models", "model") == set()
    assert outside("external servers", "ingest") == {443, 8443}
    assert outside(WHOLE, "reconcile") == {443, 9000, 9324, 8000}
    assert outside(WHOLE, "events") == {443, 9000, 9324, 8000, 8445}
    # Only query checks tokens.
    assert outside("scans and the next index", "query") == {443, 8444}
    assert outside("scans and the next index", "ingest") == {443}


@EACH_VARIANT
def test_no_manifest_holds_a_secret(variant: str) -> None:
    """Look at the variables and fields with the name of a secret and a value."""
    assert not of_kind(variant, "Secret")
    pairs = re.findall(r'"name": "(\w+)", "value": "([^"]+)"', json.dumps(rendered(variant)))
    named = {value for name, value in pairs if re.search(r"(TOKEN|SECRET|KEY|PASSWORD)(_ID)?$", name)}
    assert {value for value in named if not value.startswith("arn:aws:secretsmanager:")} == set()
