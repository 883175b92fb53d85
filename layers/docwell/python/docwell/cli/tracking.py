"""Logs the results of `docwell replay` and `docwell eval` to MLflow."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from docwell.adapters.mlflow import Measurement, Trace, log
from docwell.cli.evaluation.figures import figures_of
from docwell.cli.evaluation.report import REPORT, made_from
from docwell.cli.evaluation.run import Run
from docwell.cli.remote import Json

_STAGES = ("embed", "retrieve", "waking", "generate")


def log_replay(replayed: Json) -> str:
    """Log a replay as one run: today's model and prompt, both answers, and what changed.

    Both answers are traces too. Raises `Unavailable`.
    """
    now, then, changes = replayed["now"], replayed["then"], replayed["changes"]
    counted = {
        f"{when} {name}": value for when, one in (("now", now), ("then", then)) for name, value in _spent(one)
    }
    return log(
        Measurement(
            name=f"replay {replayed['request_id']}",
            parameters={name: now[name] for name in ("model", "prompt_version", "status", "mode") if name in now},
            figures={**counted, "changes": len(changes), "fit": replayed.get("fit")},
            tags={"request_id": replayed["request_id"], "replayed_as": now["request_id"]},
            tables={"changes": changes},
            documents={"then": _without_links(then), "now": _without_links(now)},
            traces=[
                _trace(when, replayed.get("question", ""), one) for when, one in (("then", then), ("now", now))
            ],
        )
    )


def log_eval(run: Run, folder: Path) -> str:
    """Log a run of `docwell eval` with its figures, rows and report. Raises `Unavailable`."""
    figures = figures_of(run.rows)
    return log(
        Measurement(
            name=f"eval {run.head['questions']}",
            parameters={**run.head, **{name: ", ".join(values) for name, values in made_from(run.rows)}},
            figures={one.name: one.share for one in figures},
            tables={"rows": run.rows, "figures": [asdict(one) for one in figures]},
            files=(folder / REPORT,),
        )
    )


def _trace(name: str, question: str, answer: Json) -> Trace:
    usage, took = answer.get("usage") or {}, answer.get("timings_ms") or {}
    attributes = {
        "gen_ai.request.model": answer.get("model"),
        "gen_ai.usage.input_tokens": usage.get("prompt_tokens"),
        "gen_ai.usage.output_tokens": usage.get("completion_tokens"),
    }
    stages = {stage: took[stage] for stage in _STAGES if took.get(stage)}
    return Trace(name, question, _without_links(answer), attributes, stages)


def _spent(answer: Json) -> list[tuple[str, float | None]]:
    usage, cost = answer.get("usage") or {}, answer.get("cost") or {}
    tokens = [(name.replace("_", " "), usage.get(name)) for name in ("prompt_tokens", "completion_tokens")]
    return [*tokens, ("cost", cost.get("amount")), ("ms", (answer.get("timings_ms") or {}).get("total"))]


def _without_links(answer: Json) -> Json:
    """Return an answer without the links of its citations, which open documents for everybody who has them."""
    cited = [{name: one[name] for name in one if name != "link"} for one in answer.get("citations") or ()]
    return answer | {"citations": cited}
