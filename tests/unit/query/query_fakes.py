"""The ports of a question in memory: the model host, links, principals and receipts."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from docwell.adapters.model_profiles import Profile, profile_of
from docwell.answers import Completion, Cost, Message, Receipt
from docwell.audit import Action, AuditEvent
from docwell.errors import PromptTooLong
from docwell.identity import ASKING, REQUEST, Principal, Use, UseHistory
from docwell.models import CitationUnit
from docwell.ports import ModelFacts, Reservation, UploadForm
from docwell.text.tokens import bound_of


@dataclass
class FakeModel:
    """Gives a fixed answer, word by word, and records its prompts."""

    says: str = "An answer [1]."
    prompt_tokens: int | None = None  # None: the count of the prompt
    asked: list[tuple[Message, ...]] = field(default_factory=list)
    fails: Exception | None = None
    fails_after: int = 0  # words before the failure
    done_reason: str = "stop"
    context: int = 32_768
    longest: int = 32_768  # tokens; a longer prompt is refused
    name: str = "fake-model"
    finished: int = 0  # answers read to their end
    options: Mapping[str, float] = field(default_factory=dict)
    profile: Profile = field(default_factory=lambda: profile_of("smollm2"))

    async def chat(self, messages: Sequence[Message], timeout_s: float) -> AsyncGenerator[str | Completion]:
        self.asked.append(tuple(messages))
        sent = round(sum(bound_of(message.content).most for message in messages))
        if sent > self.longest:
            raise PromptTooLong("fake", "maximum context length", retry_after=None)
        words = re.findall(r"\s*\S+", self.says)
        for word in words[: self.fails_after] if self.fails else words:
            yield word
        if self.fails:
            raise self.fails
        self.finished += 1
        yield Completion(self.says, self.prompt_tokens or sent, len(words), self.done_reason)

    async def check(self) -> None:
        if self.fails:
            raise self.fails

    async def facts(self) -> ModelFacts:
        return ModelFacts(self.context, "sha256:fake")


@dataclass
class FakeStates:
    """Facts by name."""

    kept: dict[str, Mapping[str, str]] = field(default_factory=dict)

    def read(self, name: str) -> Mapping[str, str]:
        return self.kept.get(name, {})

    def write(self, name: str, values: Mapping[str, str]) -> None:
        self.kept[name] = values


@dataclass
class FakeAdmission:
    """A caller who is known; `refuses` is raised when its request is to be charged."""

    principal: Principal
    refuses: Exception | None = None

    async def identified(self) -> Principal:
        return self.principal

    async def admitted(self) -> Principal:
        if self.refuses:
            raise self.refuses
        return self.principal


class FakeLinks:
    def link(self, document: str, version: str, unit: CitationUnit, media_type: str | None = None) -> str:
        query = f"versionId={version}" + (f"&type={media_type}" if media_type else "")
        return f"https://bucket/{document}?{query}#{unit.anchor}"


@dataclass
class FakeWriter(FakeLinks):
    """Links, uploads and deletions of the bucket."""

    forms: list[tuple[str, int, str]] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)

    def form(self, document: str, size: int, content_type: str, *_: object) -> UploadForm:
        self.forms.append((document, size, content_type))
        return UploadForm("https://bucket/", {"key": document, "Content-Type": content_type})

    def delete(self, document: str, _etag: str | None = None) -> None:
        self.deleted.append(document)


@dataclass
class FakePrincipals:
    """Known callers, their charges, and their questions in flight."""

    known: dict[str, Principal] = field(default_factory=dict)
    requests: int = 0
    tokens: int = 0
    cost: float = 0.0
    in_flight: set[Reservation] = field(default_factory=set)
    fails: Exception | None = None
    uses: UseHistory = field(default_factory=lambda: UseHistory({}, {}, [], complete=True))
    history_fails: Exception | None = None

    def history(self, days: int, currency: str) -> UseHistory:
        assert (days, currency) == (14, "USD")
        if self.history_fails:
            raise self.history_fails
        return self.uses

    def find(self, id_: str, groups: Sequence[str] = ()) -> Principal | None:
        return self.known.get(id_)

    def charge(self, principal: Principal, use: Use = REQUEST, quotas: Sequence[str] = ASKING) -> None:
        if self.fails:
            raise self.fails
        self.requests += use.requests

    def use(self, principal: Principal) -> Use:
        return Use(self.requests, self.tokens)

    def reserve(self, principal: Principal, tokens: int) -> Reservation:
        self.charge(principal)
        self.tokens += tokens
        reservation = Reservation(principal.id, "today", str(self.requests), tokens)
        self.in_flight.add(reservation)
        return reservation

    def settle(self, reservation: Reservation, tokens: int, cost: Cost | None = None) -> None:
        self.in_flight.remove(reservation)
        self.tokens += tokens - reservation.tokens
        self.cost += cost.amount if cost else 0.0


@dataclass
class FakeDeadLetters:
    """A queue of parked messages, of which one redrive moves as many as it is asked to."""

    parked: int = 0
    fails: Exception | None = None

    def waiting(self) -> int:
        if self.fails:
            raise self.fails
        return self.parked

    def redrive(self, most: int, _document: str | None = None) -> int:
        moved = min(most, self.parked)
        self.parked -= moved
        return moved


class FakeAudit:
    """An audit trail in memory."""

    def __init__(self) -> None:
        self.events: list[AuditEvent] = []
        self.refused: list[AuditEvent] = []

    def append(self, event: AuditEvent) -> None:
        (self.refused if event.action is Action.REFUSED else self.events).append(event)


@dataclass
class FakeReceipts:
    """Receipts by principal and request."""

    kept: dict[tuple[str, str], Receipt] = field(default_factory=dict)

    def keep(self, receipt: Receipt) -> None:
        self.kept.setdefault((receipt.principal, receipt.request_id), receipt)

    def get(self, principal: str, request_id: str) -> Receipt | None:
        return self.kept.get((principal, request_id))

    def judge(self, principal: str, request_id: str, verdict: str, comment: str | None) -> str | None:
        found = self.kept.get((principal, request_id))
        if found is None:
            return None
        self.kept[principal, request_id] = replace(found, verdict=verdict, comment=comment)
        return found.verdict or ""
