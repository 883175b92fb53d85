"""`docwell chat`: one question after the other, each with the conversation before it."""

from __future__ import annotations

import sys
import webbrowser
from contextlib import suppress
from dataclasses import dataclass, field

import typer

from docwell.cli import display
from docwell.cli.asking import CollectionOption, DocumentOption, FallbackOption, answered, given, searched
from docwell.cli.command import ConnectedCommand, TimeoutOption, group
from docwell.cli.failure import ExitCode, Failure
from docwell.cli.remote import Api, Json
from docwell.errors import DocwellError

app = group()

_HELP = """/sources   show the pages and quotes of the last answer
/open N    open the page of its citation [N]
/new       forget the conversation
/help      show this list
Ctrl-C stops an answer, Ctrl-D ends."""


@app.command(cls=ConnectedCommand)
def chat(
    ctx: typer.Context,
    *,
    collection: CollectionOption = None,
    document: DocumentOption = None,
    fallback: FallbackOption = False,
    timeout: TimeoutOption = 180.0,
) -> None:
    """Ask one question after the other. Each may refer to the ones before; /help lists the commands."""
    with suppress(ImportError):
        import readline  # noqa: F401 - gives `input` its line editing

    where = searched(collection, document) | given(fallback=fallback and "extractive")
    conversation = _Chat(Api(ctx.obj, timeout), where)
    if sys.stdin.isatty():
        display.say("Ask a question. /help lists the commands, Ctrl-D ends.", "dim")
    while (line := _line()) is not None:
        conversation.take(line)


def _line() -> str | None:
    """Return the next line, "" after Ctrl-C, None at the end of the input."""
    try:
        return input("> " if sys.stdin.isatty() else "").strip()
    except KeyboardInterrupt:
        display.say("")
        return ""
    except EOFError:
        display.say("")
        return None


@dataclass
class _Chat:
    """A conversation: `where` to search, the `history` as the API takes it, and the last answer."""

    api: Api
    where: Json
    history: list[Json] = field(default_factory=list)
    answer: Json = field(default_factory=dict)

    def take(self, line: str) -> None:
        """Ask a question or run a command. A failure is printed, and the conversation goes on."""
        try:
            if line.startswith("/"):
                self._command(*line.split(maxsplit=1))
            elif line:
                self._ask(line)
        except KeyboardInterrupt:
            display.say("stopped", "dim")
        except DocwellError as error:
            display.echo(f"docwell: {display.one_line(error.detail)}", err=True)

    def _ask(self, question: str) -> None:
        body = {"question": question} | self.where | given(history=self.history)
        self.answer = answered(self.api, body)
        asked = display.one_line(self.answer.get("rewritten_question") or question)
        if asked != question:
            display.say(f"searched for: {asked}", "dim")
        display.show_answer(self.answer, quotes=False)
        # The next follow-up refers to the whole question, and not to "And in 2017?".
        said = str(self.answer.get("answer", ""))
        if asked and said.strip():
            self.history = _bounded([*self.history, {"question": asked, "answer": said}])

    def _command(self, name: str, value: str = "") -> None:
        if name == "/sources":
            self._sources()
        elif name == "/open":
            self._open(value)
        elif name == "/new":
            self.history, self.answer = [], {}
            display.say("The conversation is forgotten.", "dim")
        else:
            display.say(_HELP if name == "/help" else f"{name} is no command.\n{_HELP}")

    def _sources(self) -> None:
        if not self.answer.get("citations"):
            raise Failure("the last answer cites no page; ask a question first")
        display.show_sources(self.answer)

    def _open(self, number: str) -> None:
        citations: list[Json] = self.answer.get("citations") or []
        markers = {str(one.get("marker")): one for one in citations}
        citation = markers.get(number.strip("[] "))
        if citation is None:
            known = (
                f"one of {', '.join(markers)}" if markers else "the number of a citation, once an answer has one"
            )
            raise Failure(f"/open takes {known}: for example /open 1", ExitCode.USAGE)
        link = display.link_of(citation)
        if link is None:
            raise Failure(f"citation [{number}] has no link")
        if not webbrowser.open(link):
            display.say(link)


def _bounded(turns: list[Json]) -> list[Json]:
    """Return the last turns, as many as the API takes by default."""
    from docwell.config import QuerySettings

    limits = QuerySettings.model_fields
    turns = turns[-limits["max_history_turns"].default :]
    while (
        sum(len(one["question"]) + len(one["answer"]) for one in turns) > limits["max_history_characters"].default
    ):
        turns = turns[1:]
    return turns
