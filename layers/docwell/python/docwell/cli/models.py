"""`docwell models list | check`: the models of a host, and how one of them answers about a built-in page."""

from __future__ import annotations

import re
import tomllib
from contextlib import suppress
from importlib.resources import files
from time import perf_counter
from typing import TYPE_CHECKING, Annotated

import typer

from docwell.answers import Completion, Turn
from docwell.cli import display
from docwell.cli.command import Commands
from docwell.cli.remote import Json
from docwell.cli.settings import ExitCode, Failure, Settings, argument, option
from docwell.deadline import FIRST_TOKEN_S, run
from docwell.errors import DocwellError, NoAnswer
from docwell.query.prompting import Prompt, load_prompt

if TYPE_CHECKING:
    from docwell.adapters.model_hosts import ModelServer

_NUM_PREDICT, _REWRITE_TOKENS, _TIMEOUT_S = 400, 80, 300.0
LEAST_RIGHT = 6  # of the eight questions
app = Commands()
_HOST_HELP = "Ollama, or OpenAI's protocol if it ends with /v1. Default: the local stack's."
HostOption = Annotated[str | None, option("URL", _HOST_HELP, "--host", envvar="DOCWELL_OLLAMA_URL")]
TokenOption = Annotated[str | None, option("TOKEN", "Its token.", "--host-token", envvar="DOCWELL_OLLAMA_TOKEN")]
WaitOption = Annotated[float, option("SECONDS", "Longest wait; 0: any.", min=0, envvar="DOCWELL_FIRST_TOKEN_S")]


@app.command("list")
def list_models(ctx: typer.Context, *, host: HostOption = None, token: TokenOption = None) -> None:
    """List the models of a host, and how docwell uses each. The last column is published by others."""
    columns = ["model", "profile", "room for thinking", "context", "passages", "follows JSON", "licence"]
    rows = []
    for name, entry in sorted(run(model_of(ctx.obj, "", host, token).listed()).items()):
        model = model_of(ctx.obj, name, host, token)
        with suppress(DocwellError):  # an embedding model's card may lack anything
            run(model.check(entry))
        use = model.profile
        kind = "demo only" if use.demo else "known" if use.names else "unknown"
        context = min(use.num_ctx, model.length or use.num_ctx)
        rows.append([name, kind, model.room, context, use.top_k, use.json, use.licence, use.published])
    display.show_table([*columns, "published, not ours"], rows, empty="the host has no models")


@app.command()
def check(
    ctx: typer.Context,
    name: Annotated[str | None, argument("NAME", "The model.", envvar="DOCWELL_MODEL")] = None,
    *,
    host: HostOption = None,
    token: TokenOption = None,
    first_token: WaitOption = FIRST_TOKEN_S,
    at_least: Annotated[int, option("COUNT", "Exit status 5 if fewer are right.", min=0, max=8)] = LEAST_RIGHT,
) -> None:
    """Ask a model eight questions about a built-in page, and print settings for it."""
    model = model_of(ctx.obj, name or ctx.obj.model or "", host, token)
    run(model.check())
    profile, prompt = model.profile, load_prompt(model.profile.prompts)
    speed, room = run(model.measure(prompt.turns, first_token, profile.top_k, _TIMEOUT_S))
    rows = answers_of(model)
    right, thinks = sum(row["right"] for row in rows), any(row["thoughts"] for row in rows)
    stated, context = model.length or "unknown", min(profile.num_ctx, model.length or profile.num_ctx)
    settings = {"MODEL": model.name, "PROMPTS": prompt.name, "TOP_K": profile.top_k, "NUM_CTX": context}
    settings["THINKING_TOKENS"] = model.room or model.unknown_room * thinks
    if room and first_token:
        settings["PASSAGE_TOKENS"] = room
    display.show_table(list(rows[0]), [[*row.values()] for row in rows])
    display.say(f"right: {right} of {len(rows)}; thinking: {'on' if thinks else 'off'}")
    display.say(f"reads {speed:.0f} tokens/s; context: {profile.num_ctx} wanted, {stated} stated")
    display.say("\n".join(["settings:", *(f"DOCWELL_{key}={value}" for key, value in settings.items())]))
    if right < at_least:
        raise typer.Exit(ExitCode.WORSE)


def answers_of(model: ModelServer) -> list[Json]:
    """Return how the model answers each of the built-in questions. Raises as its host does."""
    table = tomllib.loads(files("docwell.cli").joinpath("model_check.toml").read_text(encoding="utf-8"))
    prompt, passages = load_prompt(model.profile.prompts), table["passages"]
    return [run(_try(model, prompt, passages, entry)) for entry in table["question"]]


def model_of(settings: Settings, name: str, host: str | None = None, token: str | None = None) -> ModelServer:
    """Return the model on the host of the options, else of the local stack. Raises a `Failure` without a host."""
    from docwell.adapters.model_hosts import model_server
    from docwell.adapters.model_profiles import profile_of
    from docwell.adapters.server_auth import Credential, ServerAuth

    if not (url := host or settings.ollama):
        raise Failure("no model host: give --host (or DOCWELL_OLLAMA_URL), or run `make up`", ExitCode.USAGE)
    token, profile = token or (None if host else settings.ollama_token), profile_of(name)
    auth = ServerAuth(lambda: Credential(token), server="ollama") if token else None
    room = {"num_ctx": profile.num_ctx, "num_predict": _NUM_PREDICT, "thinking_tokens": profile.thinking_tokens}
    return model_server(url, name, keep_alive="5m", auth=auth, **room)


async def _try(model: ModelServer, answering: Prompt, texts: list[str], entry: Json) -> Json:
    """Return how the model answers one question about the passages."""
    from docwell.models import Chunk, Passage
    from docwell.query.checking.check import Checker
    from docwell.query.conversation import Conversation
    from docwell.query.prompting import build_prompt, is_refusal

    passages = [Passage(text, "page", "", "", Chunk(text, 1, 0, len(text), 0), 1.0) for text in texts]
    budget, question = model.profile.num_ctx - model.room - _NUM_PREDICT, entry["question"]
    if history := entry.get("history"):
        conversation = Conversation(model.writing_at_most(_REWRITE_TOKENS), load_prompt("rewrite"), budget)
        question, _ = await conversation.standalone(conversation.follow_up([Turn(*history)], question), _TIMEOUT_S)
    prompt = build_prompt(answering, passages, question, budget)
    started, first_s, thoughts, completion = perf_counter(), 0.0, 0, Completion("", 0, 0, "")
    try:
        async for piece in model.chat(prompt.messages, _TIMEOUT_S):
            if isinstance(piece, Completion):
                completion = piece
            else:
                first_s, thoughts = first_s or perf_counter() - started, thoughts + (not piece)
    except NoAnswer as error:
        completion = Completion("", error.read, error.written, "", thought=True)
    seconds, text, facts = perf_counter() - started, completion.text, entry.get("facts")
    status = "answered" if Checker(passages, question).check(text)[0] else "removed by the checks"
    if is_refusal(text):
        status = "not found" if text else "no answer"
    expected = "answered" if facts else "not found"
    is_right = status == expected and all(re.search(fact, text, re.IGNORECASE) for fact in facts or ())
    return {
        "question": entry["kind"],
        "status": status,
        "cited": f"[{entry['cites']}]" in text if facts else "-",
        "right": is_right,
        "first token, s": round(first_s or seconds, 3),
        "tokens/s": round(completion.completion_tokens / max(seconds - first_s, 0.01), 1),
        "read": completion.prompt_tokens,
        "thoughts": thoughts if completion.thought else 0,
        "answer": " ".join(text.split())[:90],
    }
