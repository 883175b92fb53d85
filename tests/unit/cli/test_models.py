"""`docwell models list | check` on scripted hosts of each protocol."""

from __future__ import annotations

import pytest

from tests.unit.adapters.model_hosts import OLLAMA, VLLM, Dialect, Host, whole
from tests.unit.adapters.model_hosts import stream as played
from tests.unit.cases import rows
from tests.unit.cli.conftest import Run

# In the order of the calls: two measure the host's speed, and the ninth rewrites the follow-up.
ANSWERS = rows(__file__, "model_answers")


def host(dialect: Dialect, *answers: bytes) -> Host:
    card = {**dialect.card, "data": [{"id": "qwen3:8b", "max_model_len": 32768}]}  # type: ignore[dict-item]
    tags = {"models": [], **card}
    return Host(
        whole("200 OK", card),
        *(played(text, dialect.last("stop", 900, 20)) for text in answers),
        whole("200 OK", tags),
    )


@pytest.mark.parametrize(("dialect", "path"), [(OLLAMA, ""), (VLLM, "/v1")], ids=["ollama", "vllm"])
@pytest.mark.parametrize("thinks", [False, True])
def test_a_check_counts_right_answers(run: Run, dialect: Dialect, path: str, thinks: bool) -> None:
    server = host(dialect, *([dialect.thought("Hm.")] * 11 if thinks else map(dialect.piece, ANSWERS)))
    result = run("models", "check", "qwen3:8b", "--host", server.url + path)
    server.close()
    assert result.exit_code == (5 if thinks else 0), result.output
    assert f"right: {0 if thinks else 8} of 8; thinking: {'on' if thinks else 'off'}" in result.output
    settings = {"DOCWELL_MODEL=qwen3:8b", "DOCWELL_NUM_CTX=16384", "DOCWELL_TOP_K=20", "DOCWELL_PROMPTS=answer"}
    assert {*settings, f"DOCWELL_THINKING_TOKENS={2048 if thinks else 0}"} <= {*result.output.splitlines()}
    assert thinks or ANSWERS[8] in server.requests[10]["messages"][-1]["content"]


def test_the_list_says_what_docwell_does_with_each_model(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "250")
    shown = [("qwen3:8b", "Apache-2.0"), ("qwen3:8b", "4.8 %"), ("smollm2:135m", "demo only")]
    shown += [("gpt-oss:20b", " 1024 "), ("never-seen:3b", "unknown"), ("qwen3:8b", "4000")]
    shown += [("never-seen:3b", " 2048 "), ("never-seen:3b", "4000")]
    card = {"model_info": {"general.architecture": "x", "x.context_length": 4000}, "thinking": {"values": ["low"]}}
    server = Host(whole("200 OK", {"models": [{"model": name} for name, _ in shown], **card}))
    result = run("models", "list", "--host", server.url)
    server.close()
    lines = {line.split()[0]: line for line in result.output.splitlines() if ":" in line}
    assert [text for name, text in shown if text not in lines[name]] == []
