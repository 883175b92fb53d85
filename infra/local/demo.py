"""``python -m infra.local demo``: upload the examples to S3, ask over HTTP, and check answers and cited pages."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from docwell.adapters.model_profiles import profile_of
from docwell.answers import AnswerStatus, Mode
from docwell.models import FINAL, Status, UnitKind
from infra.local.console import terminal
from infra.local.names import ROOT
from infra.local.stack import DEADLINE_S, Stack
from infra.local.supervisor import StackFailed, running_stack
from infra.report import Report

EXAMPLES = ROOT / "examples"
# The demo's collection, so that one command removes it.
COLLECTION = "examples"
OVERVIEW: dict[str, Any] = {
    "question": "What is this document about?",
    "document": "handbooks/mlops-llmops-handbook.pdf",
    "page": 1,
    "phrase": "Working rules for teams that put models and language models into production",
    "facts": ["language models into production", "from an experiment to a service"],
}
# Documents of other kinds than PDF, one of each kind. A list needs no model.
FORMATS = "pump-station"
MENTIONED = {"question": 'Which documents mention "pump P-204"?', "collection": COLLECTION, "mode": Mode.LIST}
# The number of documents from examples/questions.json that the demo asks about. Tests use the whole file.
SHOWN = 3
INGEST_TIMEOUT_S = 300.0
SHOWN_SENTENCES = 4
NOW_YOURS = f"""Now yours:
  make up                     start docwell, and print the address of its console
  docwell put FOLDER          in another terminal, after `source .venv/bin/activate`
  docwell ask "QUESTION"
  docwell rm {COLLECTION}/       remove these examples"""


class DemoFailed(Exception):
    """A step of the demo failed."""


def example_questions() -> list[dict[str, Any]]:
    """Return a question about each of the first documents of examples/questions.json.

    Each has `question`, the `document` and 1-based `page` of its answer, and the `facts` that the answer states.
    """
    entries = json.loads((EXAMPLES / "questions.json").read_text(encoding="utf-8"))
    by_document = {entry["document"]: entry for entry in reversed(entries)}
    return [*by_document.values()][::-1][:SHOWN]


def upload(stack: Stack, folder: Path, console: Console) -> list[str]:
    """Upload every PDF and other example under `folder` to the demo's collection. Return the keys."""
    s3 = stack.client("s3")
    paths = {
        f"{COLLECTION}/{path.relative_to(folder).as_posix()}": path
        for path in sorted([*folder.rglob("*.pdf"), *(folder / FORMATS).glob("*")])
    }
    for key, path in paths.items():
        s3.upload_file(str(path), stack.bucket, key)
        console.print(f"  uploaded s3://{stack.bucket}/{key}  ({path.stat().st_size / 1000:,.0f} kB)")
    return list(paths)


def wait_indexed(client: httpx.Client, keys: Sequence[str], since: float, console: Console) -> None:
    """Wait until each document has a final status newer than `since`. Raises `DemoFailed`."""
    for key in keys:
        with console.status(f"indexing {key}"):
            document = _final(client, key, since)
        status = document["status"]
        console.print(f"  {status:<8} {key}  pages: {document.get('pages')}, chunks: {document.get('chunks')}")
        if status != Status.INDEXED:
            raise DemoFailed(f"{key} is {status}: {document.get('reason')} {document.get('detail') or ''}")


def _final(client: httpx.Client, key: str, since: float) -> dict[str, Any]:
    path = f"/v1/documents/{quote(key, safe='')}"
    deadline = time.monotonic() + INGEST_TIMEOUT_S
    while time.monotonic() < deadline:
        response = client.get(path)
        if response.status_code != httpx.codes.NOT_FOUND:
            document = _body(response, f"GET {path}")
            if document["status"] in FINAL and document["updated_at"] >= since:
                return document
        time.sleep(0.2)
    raise DemoFailed(f"{key} has no final status after {INGEST_TIMEOUT_S:.0f} s")


def _body(response: httpx.Response, request: str) -> dict[str, Any]:
    if response.status_code != httpx.codes.OK:
        raise DemoFailed(f"{request}: {response.status_code} {response.text[:500]}")
    return dict(response.json())


def ask(client: httpx.Client, question: str, **more: str) -> dict[str, Any]:
    """Ask one question; `more` may name its document, collection or mode. Raises `DemoFailed`."""
    return _body(client.post("/v1/query", json={"question": question, **more}), "POST /v1/query")


def show(answer: dict[str, Any], question: str, console: Console) -> None:
    """Print an answer, or the first sentences of a summary, with their sources."""
    console.print()
    text, citations = answer["answer"], answer["citations"]
    if question == OVERVIEW["question"]:
        pieces = [row["text"] for row in answer["sentences"]]
        text = "\n".join([*pieces[:SHOWN_SENTENCES], f"… and {len(pieces) - SHOWN_SENTENCES} more sentences"])
        citations = [citation for citation in citations if f"[{citation['marker']}]" in text]
    # As Text, because rich would read the [1] of a citation as markup.
    panel = Panel(Text(text), title=Text(question), title_align="left", border_style="cyan")
    console.print(panel, soft_wrap=False)
    for citation in citations:
        unit, page = citation["unit"], str(citation["page"])
        printed = "" if unit["label"] == page else f" (printed: {unit['label']})"
        place = f"page {page}{printed}" if unit["kind"] == UnitKind.PAGE else unit["label"]
        console.print(f"  [{citation['marker']}] {citation['document']}, {place}", markup=False, style="bold")
        console.print(f"      “{' '.join(citation['quote'].split())}”", markup=False)
    timings, usage = answer["timings_ms"], answer["usage"]
    console.print(
        f"  {timings['total'] / 1000:.1f} s, of which the model {timings['generate'] / 1000:.1f} s; "
        f"{usage['prompt_tokens']} tokens in, {usage['completion_tokens']} out",
        style="dim",
    )


def lacking(answer: dict[str, Any], facts: Sequence[str]) -> list[str]:
    """Return the facts that an answer lacks: words and figures, in any case and spacing."""
    # An overview in the document's own sentences needs no apology.
    is_overview = answer["status"] == AnswerStatus.EXTRACTIVE and answer.get("fallback_reason") is None
    if answer["status"] != AnswerStatus.ANSWERED and not is_overview:
        return list(facts)
    text = " ".join(answer["answer"].casefold().split())
    # Match whole words: "2 hours" is not in "52 hours".
    return [fact for fact in facts if not re.search(rf"(?<!\w){re.escape(fact.casefold())}(?!\w)", text)]


def _questions(client: httpx.Client, examples: Sequence[dict[str, Any]], report: Report, console: Console) -> None:
    for example in examples:
        question, document, page = example["question"], f"{COLLECTION}/{example['document']}", example["page"]
        with console.status(f"asking: {question}"):
            answer = ask(client, question, **({"document": document} if example is OVERVIEW else {}))
        show(answer, question, console)
        cited = {(citation["document"], citation["page"]) for citation in answer["citations"]}
        report.add(f"cites {document} p. {page}", int((document, page) in cited), "", "== 1")
        missing = lacking(answer, example["facts"])
        facts = ", ".join(map(repr, missing or example["facts"]))
        report.add(f"states {facts}", int(not missing), "", "== 1")


def _formats(client: httpx.Client, keys: Sequence[str], report: Report, console: Console) -> None:
    answer = ask(client, **MENTIONED)
    show(answer, MENTIONED["question"], console)
    cited = {citation["document"] for citation in answer["citations"]}
    examples = {key for key in keys if key.startswith(f"{COLLECTION}/{FORMATS}/")}
    missing = ", ".join(sorted(examples - cited)) or "none missing"
    report.add(f"kinds of documents cited, of {len(examples)} ({missing})", len(cited), "", f"== {len(examples)}")


def demo(data: Path, model: str) -> int:
    """Run the demo on the data folder. Return the exit status."""
    console = terminal()
    report = Report("demo")
    started = time.monotonic()
    console.print(f"starting docwell with {model}…")
    try:
        with running_stack(data, model) as stack, stack.http(DEADLINE_S + 20) as client:
            report.add("the stack is up", time.monotonic() - started, "s")
            uploading, since = time.monotonic(), time.time()
            keys = upload(stack, EXAMPLES, console)
            wait_indexed(client, keys, since, console)
            report.add(f"{len(keys)} documents uploaded and indexed", time.monotonic() - uploading, "s")
            first, *others = example_questions()
            _questions(client, [first], report, console)
            report.add("start to the first answer", time.monotonic() - started, "s")
            _questions(client, others, report, console)
            _formats(client, keys, report, console)
            _questions(client, [OVERVIEW], report, console)
    except (DemoFailed, StackFailed, httpx.HTTPError) as failure:
        console.print(f"\n{failure}\nlogs: {data / 'logs'}", style="red", markup=False)
        report.add("the demo finished", 0, "", "== 1")
    status = report.finish()
    console.print(f"\n{NOW_YOURS}", markup=False)
    if profile_of(model).demo:
        console.print(f"{model} is a demo model: it shows the path, not how well larger models answer.")
        console.print("Your model (docs/use/models.md): make up MODEL_HOST=http://127.0.0.1:11434 LLM=qwen3:8b")
    return status
