"""The chart's values: what they change, what is refused, and what must agree with the templates of AWS."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped] # ships no types

from infra.container.sam import ROOT, StepError
from infra.kubernetes import helm, variants
from tests.kubernetes.manifests import WORKERS, containers, environment, named, template_of

VALUES = yaml.safe_load((helm.CHART / "values.yaml").read_text())
SECRET = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:models-AbCdEf"


def test_the_snapshots_are_what_the_chart_renders() -> None:
    current = variants.snapshots()
    stale = [path.name for path, text in current.items() if not path.exists() or path.read_text() != text]
    assert stale == [], "run: make kubernetes ARGS=--write"
    assert {path.name for path in variants.FOLDER.iterdir()} == {path.name for path in current}


@pytest.mark.parametrize("server", ["chroma", "ollama"])
def test_the_images_are_the_ones_that_run_on_aws(server: str) -> None:
    text = (ROOT / "infra" / f"{server}.yaml").read_text()
    on_aws = re.search(r"(?m)^  Image:\n    Type: String\n    Default: (\S+)$", text)
    image = VALUES["chroma"]["image"] if server == "chroma" else VALUES["model"]["images"]["ollama"]
    assert on_aws is not None
    assert on_aws[1].partition("@")[0] == f"{image['repository']}:{image['tag']}"


WRONG = [line.split("\t") for line in Path(__file__).with_name("wrong_values.txt").read_text().splitlines()]


@pytest.mark.parametrize(("values", "field"), WRONG)
def test_a_wrong_value_is_refused_by_its_name(values: str, field: str) -> None:
    with pytest.raises(StepError, match=re.escape(field)):
        helm.render("small", json.loads(values))


def test_workers_follow_the_messages_that_wait_and_those_in_work() -> None:
    spec = named("scans and the next index", "ScaledObject", "ingest")["spec"]
    assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (0, 4)
    variables = environment("scans and the next index", "ingest")
    queues = [variables[f"DOCWELL_{name}_QUEUE_URL"] for name in ("INGEST", "DEAD_LETTER", "OCR")]
    assert [entry["metadata"]["queueURL"] for entry in spec["triggers"]] == queues
    assert {trigger["metadata"]["scaleOnInFlight"] for trigger in spec["triggers"]} == {"true"}
    # Only the autoscaler sets replicas: an upgrade would undo what it chose.
    assert "replicas" not in named("small", "Deployment", "ingest")["spec"]
    assert "replicas" not in named("small", "Deployment", "query")["spec"]
    assert named("without KEDA, policies and ingress", "Deployment", "ingest")["spec"]["replicas"] == 2


def test_keda_has_the_role_of_the_workers_or_the_keys_of_the_services() -> None:
    assert named("small", "TriggerAuthentication", "ingest")["spec"] == {
        "podIdentity": {"provider": "aws", "identityOwner": "workload"}
    }
    # An association of EKS Pod Identity is no annotation, without which KEDA takes no role of a workload.
    role = {"eks.amazonaws.com/role-arn": "arn:aws:iam::123456789012:role/all"}
    for parameters, owner in (({}, "keda"), (role, "workload")):
        values = {"ingest": {"roleArn": ""}, "serviceAccountAnnotations": parameters}
        (trigger,) = (value for value in helm.render("small", values) if value["kind"] == "TriggerAuthentication")
        assert trigger["spec"]["podIdentity"]["identityOwner"] == owner
    compatible = named("compatible services", "TriggerAuthentication", "ingest")["spec"]
    assert {entry["name"] for entry in compatible["secretTargetRef"]} == {"services"}
    (first, *_) = named("compatible services", "ScaledObject", "ingest")["spec"]["triggers"]
    assert first["metadata"]["awsEndpoint"] == "http://queues.example:9324"


@pytest.mark.parametrize("component", WORKERS)
def test_a_worker_reaches_aws_or_compatible_services(component: str) -> None:
    account = named("small", "ServiceAccount", component)["metadata"]
    assert account["annotations"]["eks.amazonaws.com/role-arn"].endswith(component)
    compatible = environment("compatible services", component)
    assert compatible["AWS_ENDPOINT_URL_S3"] == "http://storage.example:9000"
    assert "AWS_ENDPOINT_URL_STS" not in compatible
    assert compatible["AWS_SECRET_ACCESS_KEY"]["secretKeyRef"] == {"name": "services", "key": "secret-access-key"}
    assert "AWS_SECRET_ACCESS_KEY" not in environment("small", component)
    assert "annotations" not in named("compatible services", "ServiceAccount", component)["metadata"]


def test_tokens_are_references() -> None:
    external = environment("external servers", "query")
    assert external["DOCWELL_CHROMA_TOKEN"] == {"secretKeyRef": {"name": "chroma-token", "key": "token"}}
    assert external["DOCWELL_CHROMA_HEADER"] == "X-Chroma-Token"
    assert external["DOCWELL_OLLAMA_TOKEN"] == SECRET
    # vLLM asks for the token that query sends.
    (model,) = (container for name, container, _ in containers("large") if name == "model")
    expected = next(variable["valueFrom"] for variable in model["env"] if variable["name"] == "VLLM_API_KEY")
    assert environment("large", "query")["DOCWELL_OLLAMA_TOKEN"] == expected


def test_chroma_is_called_by_the_name_of_its_pod() -> None:
    server, service = named("team", "StatefulSet", "chroma"), named("team", "Service", "chroma")
    url = f"http://{server['metadata']['name']}-0.{service['metadata']['name']}:8000"
    assert environment("team", "query")["DOCWELL_CHROMA_URL"] == url
    assert service["spec"]["clusterIP"] == "None"


def test_answers_survive_the_loss_of_a_node() -> None:
    for profile in ("team", "large"):
        spread = template_of(named(profile, "Deployment", "query"))["spec"]["topologySpreadConstraints"]
        assert {entry["topologyKey"] for entry in spread} == {
            "topology.kubernetes.io/zone",
            "kubernetes.io/hostname",
        }
        assert named(profile, "HorizontalPodAutoscaler", "query")["spec"]["minReplicas"] >= 2
