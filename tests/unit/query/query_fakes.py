"""The ports of a question in memory: the model host, links, principals and receipts."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from threading import Event

from docwell.answers import Completion, Message, Receipt
from docwell.identity import Principal
from docwell.text.tokens import count_tokens


@dataclass
class FakeModel:
    """Says what it is told to, in words, and remembers what it was asked. Also its own `ModelFacts`."""

    says: str = "An answer [1]."
    prompt_tokens: int | None = None  # None: as many as it was sent
    asked: list[tuple[Message, ...]] = field(default_factory=list)
    fails: Exception | None = None
    fails_after: int = 0  # words that come before it fails
    done_reason: str = "stop"
    context: int = 32_768
    name: str = "fake-model"
    options: Mapping[str, float] = field(default_factory=dict)

    def chat(
        self,
        messages: Sequence[Message],
        timeout_s: float,
        on_token: Callable[[str], None] | None = None,
        cancel: Event | None = None,
    ) -> Completion:
        self.asked.append(tuple(messages))
        words = re.findall(r"\s*\S+", self.says)
        for word in words[: self.fails_after] if self.fails else words:
            if on_token:
                on_token(word)
        if self.fails:
            raise self.fails
        sent = sum(count_tokens(message.content) for message in messages)
        return Completion(self.says, self.prompt_tokens or sent, len(words), self.done_reason, 1.0)

    def check(self) -> None:
        if self.fails:
            raise self.fails

    def context_length(self) -> int:
        return self.context

    def digest(self) -> str | None:
        return "sha256:fake"


class FakeLinks:
    def link(self, document: str, version: str, page: int) -> str:
        return f"https://bucket/{document}?versionId={version}#page={page}"


@dataclass
class FakePrincipals:
    """Who is known, and what was charged."""

    known: dict[str, Principal] = field(default_factory=dict)
    requests: int = 0
    tokens: int = 0
    fails: Exception | None = None

    def find(self, id_: str, groups: Sequence[str] = ()) -> Principal | None:
        return self.known.get(id_)

    def charge(self, principal: Principal, *, requests: int = 0, tokens: int = 0) -> None:
        if self.fails:
            raise self.fails
        self.requests += requests
        self.tokens += tokens


@dataclass
class FakeReceipts:
    """Receipts by principal and request."""

    kept: dict[tuple[str, str], Receipt] = field(default_factory=dict)

    def keep(self, receipt: Receipt) -> None:
        self.kept[receipt.principal, receipt.request_id] = receipt

    def get(self, principal: str, request_id: str) -> Receipt | None:
        return self.kept.get((principal, request_id))

    def judge(self, principal: str, request_id: str, verdict: str) -> bool:
        found = self.kept.get((principal, request_id))
        if found:
            self.keep(replace(found, verdict=verdict))
        return found is not None
