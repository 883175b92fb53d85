"""`docwell ask | search | chat | replay | feedback | open`: questions, answers and their receipts."""

from __future__ import annotations

import sys
import webbrowser
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from html import escape
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote, urlencode

import typer
from typer._click import Context

from docwell.answers import AnswerStatus, Mode
from docwell.cli import display
from docwell.cli.command import ASK, QUALITY, Commands, ConnectedCommand, JsonFlag, options_of, take_options
from docwell.cli.remote import ANSWER, ANSWER_S, QUERY_PATH, Api, Json
from docwell.cli.settings import ExitCode, Failure, argument, option
from docwell.errors import DocwellError

app = Commands(ASK)

_CHAT_HELP = """/sources   show the pages and quotes of the last answer
/new       forget the conversation
/help      show this list
Ctrl-C stops an answer, Ctrl-D ends."""
RequestId = Annotated[str, argument("REQUEST_ID", "The id at the end of the output of `docwell ask`.")]
TopKOption = Annotated[int | None, option("COUNT", "Number of passages; the API has a default.", min=1)]
QuestionArgument = Annotated[str, argument("QUESTION", "The question, in quotation marks.")]
_DAY = {"parser": lambda text: str(date.fromisoformat(text))}
# The key of the scope's fields in a command's context.
_SCOPE = "docwell.scope"


def scope_of(
    *,
    collection: Annotated[list[str] | None, option("NAME", "Only this collection. May be repeated.")] = None,
    document: Annotated[list[str] | None, option("KEY", "Only this document. May be repeated.")] = None,
    prefix: Annotated[str | None, option("PREFIX", "Only keys that begin with this, as handbooks/2026/.")] = None,
    title: Annotated[str | None, option("WORDS", "Only documents with this title.")] = None,
    author: Annotated[str | None, option("WORDS", "Only documents of this author.")] = None,
    day_from: Annotated[str | None, option("YYYY-MM-DD", "Only PDFs from this day on.", "--from", **_DAY)] = None,
    day_to: Annotated[str | None, option("YYYY-MM-DD", "Only PDFs up to this day.", "--to", **_DAY)] = None,
    tag: Annotated[list[str] | None, option("NAME=VALUE", "Only with this S3 tag. May be repeated.")] = None,
    metadata: Annotated[list[str] | None, option("NAME=VALUE", "With this S3 metadata. May be repeated.")] = None,
) -> Json:
    """Return the fields of a request that set where to search. Raises `Failure` (usage)."""
    several = bool(document and document[1:])
    conditions = _without_empty(
        prefix=prefix,
        title=title,
        author=author,
        documents=document if several else None,
        created_from=day_from,
        created_to=day_to,
        tags=pairs("--tag", tag),
        metadata=pairs("--metadata", metadata),
    )
    single = document[0] if document and not several else None
    return _without_empty(collections=collection, document=single, filter=conditions)


class ScopedCommand(ConnectedCommand):
    """A command that also takes the options of `scope_of`; it finds their fields in `ctx.meta`."""

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - passed on to Typer
        super().__init__(*arguments, **options)
        self.params = [*options_of(scope_of), *self.params]

    def invoke(self, ctx: Context) -> object:
        """Run the command without the options of the scope."""
        ctx.meta[_SCOPE] = scope_of(**take_options(ctx, scope_of))
        return super().invoke(ctx)


@app.command(cls=ScopedCommand)
def ask(
    ctx: typer.Context,
    question: QuestionArgument,
    *,
    top_k: TopKOption = None,
    mode: Annotated[Mode | None, typer.Option(help="How to answer (docs/use/answers.md, Modes).")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Ask a question; the answer cites its pages. Exit status 4 when the documents do not answer it."""
    body = {"question": question} | ctx.meta[_SCOPE] | _without_empty(top_k=top_k, mode=mode)
    answer = _answer(Api(ctx.obj, ANSWER_S), body, live=not as_json)
    if as_json:
        display.show_json(answer)
    else:
        display.show_answer(answer)
        if mode not in {None, Mode.AUTO, answer.get("mode")}:
            display.say(f"The mode {mode} has no answer: this one is from passages.", "yellow")
    if answer.get("status") == AnswerStatus.REFUSED:
        display.say("`docwell search` shows the nearest passages, `docwell ls` the documents", "dim", err=True)
        raise typer.Exit(ExitCode.REFUSED)


@app.command(cls=ScopedCommand)
def search(
    ctx: typer.Context, question: QuestionArgument, *, top_k: TopKOption = None, as_json: JsonFlag = False
) -> None:
    """Show the passages for a question, best first. Words and names count too, not only the cosine."""
    body = {"question": question} | ctx.meta[_SCOPE] | _without_empty(top_k=top_k)
    result = Api(ctx.obj).post("/v1/search", body, "passages")
    if as_json:
        display.show_json(result)
    elif passages := result.get("passages"):
        display.show_citations(passages, scores=True)
    else:
        display.say("no passages match", err=True)


@app.command(cls=ScopedCommand)
def chat(ctx: typer.Context) -> None:
    """Ask one question after the other. Each may refer to the ones before; /help lists the commands."""
    with suppress(ImportError):
        import readline  # noqa: F401 - gives `input` its line editing

    conversation = _Chat(Api(ctx.obj, ANSWER_S), ctx.meta[_SCOPE])
    if sys.stdin.isatty():
        display.say("Ask a question. /help lists the commands, Ctrl-D ends.", "dim")
    while (line := _line()) is not None:
        conversation.take(line)


@app.command(rich_help_panel=QUALITY)
def replay(ctx: typer.Context, request_id: RequestId, *, as_json: JsonFlag = False) -> None:
    """Ask a stored question again and show what changed.

    Compares model, prompt, documents and answer.
    """
    path = f"/v1/receipts/{quote(request_id, safe='')}/replay"
    replayed = Api(ctx.obj, ANSWER_S).post(path, None, "now", "changes")
    if as_json:
        display.show_json(replayed)
        return
    display.show_answer(replayed["now"])
    display.say("")
    changes = [
        (change["what"].replace("_", " "), *map(_value, (change["then"], change["now"])))
        for change in replayed["changes"]
    ]
    display.show_table(("changed", "then", "now"), changes, empty="nothing has changed")


@app.command(rich_help_panel=QUALITY)
def feedback(
    ctx: typer.Context,
    request_id: RequestId,
    verdict: Annotated[Literal["good", "bad"], argument("good|bad", "Whether the answer was good.")],
    *,
    comment: Annotated[str | None, option("TEXT", "What was good or bad. The receipt stores it.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Rate an answer. Its receipt stores the verdict, and the metric Feedback counts it."""
    body = {"request_id": request_id, "verdict": verdict} | _without_empty(comment=comment)
    answer = Api(ctx.obj).post("/v1/feedback", body, "verdict")
    if as_json:
        display.show_json(answer)
    else:
        display.say(f"{verdict}: stored in the receipt")


@app.command(name="open")
def open_(
    ctx: typer.Context,
    target: Annotated[str | None, argument("KEY|REQUEST_ID", "A document, or the id of an answer.")] = None,
    *,
    page: Annotated[int, option("NUMBER", "Page of the document, from 1.", min=1)] = 1,
) -> None:
    """Open the console in the browser, at a document or at the receipt of an answer.

    Prints the address without a browser, or where the console takes no code for the API key. The address then
    holds the key or a code: do not pass it on.
    """
    api = Api(ctx.obj)
    if not api.has_console():
        raise Failure(
            f"there is no console at {api.console}: set DOCWELL_CONSOLE, or console in docwell.toml,"
            " to the stack's output ConsoleUrl; `make up` starts one here"
        )
    view = _view(api, target, page)
    code = api.code() if ctx.obj.api_key else None
    name, value = ("code", code) if code else ("key", ctx.obj.api_key)
    fragment = f"{name}={quote(value, safe='')}&view={quote(view, safe='')}" if value else view
    address = f"{api.console}/#{fragment}"  # browsers do not send a fragment to the server
    with suppress(webbrowser.Error, OSError):
        if (code or not value) and webbrowser.open(_private_page(address) if code else address):
            display.say(f"opened {target or 'the console'} in the browser", err=True)
            return
    display.say(address)


def _private_page(address: str) -> str:
    """Write a page that leads to the address, and return its own: others can read a browser's command line."""
    path = Path.home() / ".cache" / "docwell" / "open.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.touch(0o600, exist_ok=False)
    path.write_text(f'<meta http-equiv="refresh" content="0;url={escape(address)}">', encoding="utf-8")
    return path.as_uri()


def _without_empty(**values: object) -> Json:
    return {name: value for name, value in values.items() if value}


def pairs(flag: str, texts: list[str] | None) -> dict[str, str]:
    """Return the names and values of a repeated NAME=VALUE option. Raises `Failure` (usage)."""
    values: dict[str, str] = {}
    for text in texts or ():
        name, sign, value = text.partition("=")
        if not name or not sign:
            raise Failure(f"{flag} takes NAME=VALUE, not {text!r}: for example {flag} stage=final", ExitCode.USAGE)
        values[name] = value
    return values


def _answer(api: Api, body: Json, *, live: bool = True) -> Json:
    """Return the answer. With `live`, a terminal shows the passages and the text as they come."""
    if not (live and display.is_watched(display.console())):
        return api.post(QUERY_PATH, body, *ANSWER)
    with display.growing_answer() as growing:
        for name, data in api.stream_query(body):
            if name == "passages":
                growing.show_passages(data.get("passages", []))
            elif name == "waking":
                seconds = display.clean(data.get("seconds", 0))
                growing.wait(f"the model host is waking up, which takes minutes: {seconds} s")
            elif name == "token":
                growing.grow(str(data.get("text", "")))
            elif name == "answer":
                return data
    raise Failure("the API sent no answer; try again")


def _line() -> str | None:
    """Return the next line of the input; "" after Ctrl-C, None at its end."""
    try:
        return input("> " if sys.stdin.isatty() else "").strip()
    except (KeyboardInterrupt, EOFError) as error:
        display.say("")
        return "" if isinstance(error, KeyboardInterrupt) else None


@dataclass
class _Chat:
    """A conversation: the `scope` of its searches, the `history` in the API's form, and the last answer."""

    api: Api
    scope: Json
    history: list[Json] = field(default_factory=list)
    answer: Json = field(default_factory=dict)

    def take(self, line: str) -> None:
        """Ask a question or run a command. A failure is printed, and the conversation goes on."""
        try:
            if line.startswith("/"):
                self._command(line)
            elif line:
                self._ask(line)
        except KeyboardInterrupt:
            display.say("stopped", "dim")
        except DocwellError as error:
            display.show_failure(error)

    def _ask(self, question: str) -> None:
        self.answer = _answer(self.api, {"question": question} | self.scope | _without_empty(history=self.history))
        rewritten = display.one_line(self.answer.get("rewritten_question") or question)
        if rewritten != question:
            display.say(f"searched for: {rewritten}", "dim")
        display.show_answer(self.answer, quotes=False)
        # Keep the rewritten question: the next follow-up refers to it, and not to "And in 2017?".
        text = str(self.answer.get("answer", ""))
        if rewritten and text.strip():
            self.history = _bounded([*self.history, {"question": rewritten, "answer": text}])

    def _command(self, name: str) -> None:
        if name == "/sources":
            if not self.answer.get("citations"):
                raise Failure("the last answer cites no page; ask a question first")
            display.show_citations(self.answer["citations"])
        elif name == "/new":
            self.history, self.answer = [], {}
            display.say("The conversation is forgotten.", "dim")
        else:
            display.say(_CHAT_HELP if name == "/help" else f"{name} is no command.\n{_CHAT_HELP}")


def _bounded(turns: list[Json]) -> list[Json]:
    """Return the last turns, as many as the API accepts by default."""
    from docwell.config import QuerySettings

    limits = QuerySettings.model_fields
    turns = turns[-limits["max_history_turns"].default :]
    limit = limits["max_history_characters"].default
    while sum(len(turn["question"]) + len(turn["answer"]) for turn in turns) > limit:
        turns = turns[1:]
    return turns


def _value(value: object) -> str:
    """Return a receipt's value as text; a citation becomes its place and quote."""
    if isinstance(value, dict):
        return f"{value.get('document')}, page {value.get('page')}: “{display.one_line(value.get('quote') or '')}”"
    if isinstance(value, list):
        return "\n".join(map(_value, value)) or "-"
    return display.clean(value or "-").strip()


def _view(api: Api, target: str | None, page: int) -> str:
    """Return the console's path of a document or receipt. Raises `Failure` where the API has none."""
    if target is None:
        return "/ask"
    if api.document(target) is not None:
        return f"/source?{urlencode({'document': target, 'page': page})}"
    if api.get(f"/v1/receipts/{quote(target, safe='')}") is not None:
        return f"/receipt/{quote(target, safe='')}"
    raise Failure(f"no document or receipt {target!r}; `docwell ls` lists the documents, and receipts expire")
