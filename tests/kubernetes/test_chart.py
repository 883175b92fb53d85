"""The chart's values: what they change, what is refused, and what must agree with the templates of AWS."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped] # ships no types

from docwell.config import EventsSettings
from infra.container.sam import ROOT, StepError
from infra.kubernetes import helm, variants
from runtime.settings import StreamSettings
from tests.kubernetes.manifests import WHOLE, containers, environment, named

VALUES = yaml.safe_load((helm.CHART / "values.yaml").read_text())
SECRET = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:models-AbCdEf"


def test_the_snapshots_equal_the_rendered_chart() -> None:
    current = variants.snapshots()
    stale = [path.name for path, text in current.items() if not path.exists() or path.read_text() != text]
    assert stale == [], "run: make kubernetes ARGS=--write"
    assert {path.name for path in variants.FOLDER.iterdir()} == {path.name for path in current}


@pytest.mark.parametrize("server", ["chroma", "ollama"])
def test_the_images_are_the_ones_that_run_on_aws(server: str) -> None:
    text = (ROOT / "infra" / f"{server}.yaml").read_text()
    on_aws = re.search(r"(?m)^  Image:[\s{]+Type: String,?\s+Default: ([^\s,]+)", text)
    image = VALUES["chroma"]["image"] if server == "chroma" else VALUES["model"]["images"]["ollama"]
    assert on_aws is not None
    assert on_aws[1].partition("@")[0] == f"{image['repository']}:{image['tag']}"


WRONG = [line.split("\t") for line in Path(__file__).with_name("wrong_values.txt").read_text().splitlines()]


@pytest.mark.parametrize(("values", "field"), WRONG)
def test_a_wrong_value_is_refused_by_its_name(values: str, field: str) -> None:
    with pytest.raises(StepError, match=re.escape(field)):
        helm.render("small", json.loads(values))


def test_workers_scale_with_waiting_and_running_messages() -> None:
    spec = named("scans and the next index", "ScaledObject", "ingest")["spec"]
    assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (0, 4)
    variables = environment("scans and the next index", "ingest")
    queues = [variables[f"DOCWELL_{name}_QUEUE_URL"] for name in ("INGEST", "DEAD_LETTER", "OCR")]
    assert [entry["metadata"]["queueURL"] for entry in spec["triggers"]] == queues
    assert {trigger["metadata"]["scaleOnInFlight"] for trigger in spec["triggers"]} == {"true"}
    # Only the autoscaler sets replicas: an upgrade would undo its choice.
    assert "replicas" not in named("small", "Deployment", "ingest")["spec"]
    assert "replicas" not in named("small", "Deployment", "query")["spec"]
    assert named("without KEDA, policies and ingress", "Deployment", "ingest")["spec"]["replicas"] == 2


def test_tokens_in_the_chart_are_references_to_secrets() -> None:
    external = environment("external servers", "query")
    assert external["DOCWELL_CHROMA_TOKEN"] == {"secretKeyRef": {"name": "chroma-token", "key": "token"}}
    assert external["DOCWELL_CHROMA_HEADER"] == "X-Chroma-Token"
    assert external["DOCWELL_OLLAMA_TOKEN"] == SECRET
    events = environment(WHOLE, "events")
    assert events["DOCWELL_WEBHOOK_SECRET"] == {"secretKeyRef": {"name": "webhook", "key": "key"}}
    read = {f"DOCWELL_{name.upper()}" for name in {*EventsSettings.model_fields, *StreamSettings.model_fields}}
    assert {name for name in events if name.startswith("DOCWELL_")} == read
    assert "DOCWELL_WEBHOOK_SECRET" not in environment("vLLM with gated models", "events")
    # vLLM asks for the token that query sends.
    (model,) = (container for name, container, _ in containers("large") if name == "model")
    expected = next(variable["valueFrom"] for variable in model["env"] if variable["name"] == "VLLM_API_KEY")
    assert environment("large", "query")["DOCWELL_OLLAMA_TOKEN"] == expected
