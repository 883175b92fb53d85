"""The settings that the functions get of each server: its secret, and whether hosts may be stopped."""

from __future__ import annotations

import pytest

from tests.unit.infra.intrinsics import Values
from tests.unit.infra.templates import SYSTEM, content

ARN = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:own-abcdef"
OWN_CHROMA = {"ChromaUrl": "https://chroma", "ChromaAccount": f"tenant,database,Authorization,{ARN}"}


@pytest.mark.parametrize(
    ("given", "chroma", "ollama", "url"),
    [
        ({}, "the stack's", "the stack's", "of the hosts"),
        (OWN_CHROMA | {"OllamaUrl": f"https://ollama,{ARN}"}, ARN, ARN, "https://ollama"),
        (OWN_CHROMA | {"OllamaUrl": "https://ollama"}, ARN, "none", "https://ollama"),
        ({"ChromaUrl": "https://chroma"}, "none", "the stack's", "of the hosts"),
    ],
)
def test_the_functions_read_the_secret_of_each_server(
    given: dict[str, str], chroma: str, ollama: str, url: str
) -> None:
    servers = content(SYSTEM.parent / "servers.yaml")
    defaults = {name: parameter["Default"] for name, parameter in content(SYSTEM)["Parameters"].items()}
    names = {name: defaults.get(name, "") for name in servers["Parameters"]} | given
    names |= {"ProxyStack.Outputs.TokenArn": "the stack's", "OllamaStack.Outputs.Url": "of the hosts"}
    values = Values(names, Values(names).holding(servers["Conditions"]))
    result = [
        values.of(servers["Outputs"][f"{name}"]["Value"])
        for name in ("ChromaSecretArn", "OllamaSecretArn", "OllamaUrl")
    ]
    assert result == [chroma, ollama, url]
