"""The values with which the chart is checked, and the manifests that it renders with them.

The manifests of `small` are committed in full; the other profiles as differences from it. So a review shows what a
change of the chart changes in a cluster.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped] # ships no types

from infra.container.sam import ROOT
from infra.kubernetes import helm

FOLDER = ROOT / "tests" / "kubernetes" / "snapshots"
FIRST, *FOLLOWING = helm.PROFILES


@dataclass(frozen=True)
class Variant:
    """A profile with further values, under a release name."""

    profile: str
    values: Mapping[str, Any] = field(default_factory=dict)
    release: str = "docwell"


_EXTERNAL = {
    "chroma": {
        "url": "https://chroma.example:8443",
        "token": {"secretName": "chroma-token", "header": "X-Chroma-Token"},
    },
    "model": {
        "engine": "external",
        "url": "https://models.example/v1",
        "token": {"arn": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:models-AbCdEf"},
    },
}
_COMPATIBLE = {
    "aws": {
        "endpoints": {
            "s3": "http://storage.example:9000",
            "sqs": "http://queues.example:9324",
            "dynamodb": "http://tables.example:8000",
        },
        "credentialsSecret": "services",
    },
    "ingest": {"roleArn": ""},
    "query": {"roleArn": ""},
    "reconcile": {"roleArn": ""},
    "data": {"storageUrl": "https://files.example"},
    "network": {"extraEgress": [{"to": [{"podSelector": {}}], "ports": [{"port": 9000}]}]},
}
_SCANS = {
    "data": {"ocrQueueUrl": "https://sqs.eu-central-1.amazonaws.com/123456789012/docwell-ocr"},
    "index": {
        "ocr": "rapidocr",
        "next": {"modelDir": "/models/e5", "chunkTokens": 300, "shards": 2},
    },
    "tokens": {
        "issuer": "https://pool.example/",
        "clients": "open-webui,api://docwell",
        "keysUrl": "https://pool.example:8444/keys",
        "groupsClaim": "realm_access.roles",
    },
}
_PLACES = {
    name: {"nodeSelector": {"pool": name}, "tolerations": [{"key": "pool", "operator": "Equal", "value": name}]}
    for name in ("ingest", "query", "reconcile", "chroma", "model")
}
_PLACED = {**_PLACES, "pullSecrets": ["registry"], "serviceAccountAnnotations": {"owner": "docwell"}}
_OWN_MODELS = {"model": {"modelsClaim": "models", "runtimeClassName": "nvidia"}, "monitoring": {"enabled": True}}
_GATED = {
    "model": {"huggingFaceSecret": "hub", "vllmArguments": ["--dtype=half"], "gpus": 2, "modelsClaim": "models"}
}
_BARE = {
    "ingest": {"scaling": {"enabled": False}},
    "query": {"ingress": {"enabled": False}},
    "network": {"policies": False},
    "chroma": {"volume": {"storageClass": "gp3"}},
}

VARIANTS = {
    **{profile: Variant(profile) for profile in helm.PROFILES},
    "external servers": Variant("team", _EXTERNAL),
    "compatible services": Variant("team", _COMPATIBLE),
    "scans and the next index": Variant("team", _SCANS),
    "chosen nodes": Variant("team", _PLACED),
    "Ollama with own models": Variant("small", _OWN_MODELS),
    "vLLM with gated models": Variant("large", _GATED),
    "without KEDA, policies and ingress": Variant("small", _BARE),
    "the longest release name": Variant("small", release="d" * 53),
}


@cache
def rendered(name: str) -> list[helm.Manifest]:
    """Return the manifests of a variant. Raises `StepError`."""
    variant = VARIANTS[name]
    return helm.render(variant.profile, variant.values, variant.release)


def text_of(manifests: list[helm.Manifest]) -> str:
    """Return manifests as compact YAML, by kind and name."""
    ordered = sorted(manifests, key=lambda manifest: (manifest["kind"], manifest["metadata"]["name"]))
    return "---\n".join(
        yaml.safe_dump(manifest, sort_keys=False, default_flow_style=None, width=110) for manifest in ordered
    )


def snapshots() -> dict[Path, str]:
    """Return the content of each snapshot, rendered now. Raises `StepError`."""
    texts = {profile: text_of(rendered(profile)) for profile in helm.PROFILES}
    files = {FOLDER / f"{FIRST}.yaml": texts[FIRST]}
    for profile in FOLLOWING:
        first, second = (texts[name].splitlines(keepends=True) for name in (FIRST, profile))
        files[FOLDER / f"{profile}.diff"] = "".join(difflib.unified_diff(first, second, FIRST, profile, n=1))
    return files


def write_snapshots() -> None:
    """Write the snapshots. Raises `StepError`."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for path, content in snapshots().items():
        path.write_text(content, encoding="utf-8")
