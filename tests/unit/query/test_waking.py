"""Questions while the model hosts sleep: what the caller gets at once, what a stream waits for, and the state."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from docwell.answers import AnswerStatus, HostState, Turn
from docwell.deadline import Deadline, run
from docwell.errors import DeadlineExceeded, ModelAsleep, ModelMissing, ModelWaking, QuotaExceeded, Unavailable
from docwell.query import ask, query
from docwell.query.ask import Passages, Progress, Question, Token, Waking
from docwell.query.waking import FACT, Night, Sleeper
from tests.unit.query.query_fakes import FakeModel, FakeStates
from tests.unit.query.query_world import QUESTION, World, rows

ASLEEP = ModelWaking("ollama", "no model host is running")
DOWN = Unavailable("ollama", "down")
WAKE_S = 600.0
NIGHT = Night.parse("0 19 * * *;0 7 * * *;Etc/UTC")


@dataclass
class Hosts(FakeModel):
    """Hosts that answer from the check `wakes_at` on; each pause of a poll moves the clock by 10 s."""

    wakes_at: int | None = None
    checks: int = 0
    now: float = 1000.0
    states: FakeStates = field(default_factory=FakeStates)
    fails_meanwhile: Unavailable = ASLEEP

    async def check(self) -> None:
        self.checks += 1
        self.now += 10.0
        if self.checks == self.wakes_at:
            self.fails = None
        if self.fails:
            raise self.fails_meanwhile


class Asleep(World):
    """A world whose hosts sleep."""

    def __init__(self, wakes_at: int | None = None, night: Night | None = None, **limits: float) -> None:
        super().__init__(**limits)
        self.hosts = Hosts(fails=ASLEEP, says="Every March [1].", wakes_at=wakes_at)
        sleeper = Sleeper(self.hosts, self.hosts.states, WAKE_S, night, poll_s=0.0, clock=lambda: self.hosts.now)
        self.query = replace(self.query, model=self.hosts, sleeper=sleeper)
        self.add("house/rules.pdf", "The boiler is inspected every March.", page=7)

    def of(self, kind: type) -> list[object]:
        return [event for event in self.events if isinstance(event, kind)]


@pytest.mark.parametrize(
    "failure",
    [DOWN, ModelMissing("ollama", "pull"), DeadlineExceeded("ollama", "late")],
    ids=lambda error: error.detail,
)
def test_hosts_that_fail_otherwise_are_down(failure: Unavailable) -> None:
    world = Asleep()
    world.hosts.fails_meanwhile = failure
    assert world.query.sleeper
    assert run(world.query.sleeper.state(Deadline(2.0))) is HostState.DOWN


def test_another_process_tells_waking_from_sleep_by_the_last_question_that_found_no_host() -> None:
    world = Asleep()
    sleeper = world.query.sleeper
    assert sleeper
    assert run(sleeper.state(Deadline(2.0))) is HostState.ASLEEP
    world.ask(Question(QUESTION, fallback=True))
    assert run(sleeper.state(Deadline(2.0))) is HostState.WAKING
    world.hosts.now += WAKE_S
    assert run(sleeper.state(Deadline(2.0))) is HostState.ASLEEP
    world.hosts.fails = None
    assert run(sleeper.state(Deadline(2.0))) is HostState.AWAKE


def test_a_host_that_woke_and_stopped_soon_is_asleep_again() -> None:
    world = Asleep(wakes_at=3)
    world.ask(Question(QUESTION, waits=True))
    world.hosts.fails, world.hosts.wakes_at = ASLEEP, None
    sleeper = world.query.sleeper
    assert sleeper
    assert run(sleeper.state(Deadline(2.0))) is HostState.ASLEEP


def test_a_host_that_starts_is_waited_for_also_while_it_fails() -> None:
    world = Asleep(wakes_at=5)
    world.hosts.fails_meanwhile = DOWN
    assert world.ask(Question(QUESTION, waits=True)).answer.status is AnswerStatus.ANSWERED


def test_after_a_wait_in_vain_questions_do_not_wait_for_half_an_hour() -> None:
    world = Asleep()
    question = Question(QUESTION, waits=True, fallback=True)
    assert world.ask(question).answer.status is AnswerStatus.EXTRACTIVE
    assert len(world.of(Waking)) > 2
    for _ in range(2):  # the next question does not forget the wait
        world.hosts.checks = 0
        assert world.ask(question).answer.fallback_reason == "model_waking"
        assert (world.of(Waking), world.hosts.checks) == ([Waking(0.0)], 0)
    world.hosts.now += 1800.0
    world.hosts.wakes_at = 3
    assert world.ask(question).answer.status is AnswerStatus.ANSWERED


def test_at_night_a_question_has_the_sentences_at_once_and_the_hour_of_the_start() -> None:
    world = Asleep(night=NIGHT)
    hosts = world.hosts
    answer = world.ask(Question(QUESTION, waits=True, fallback=True)).answer
    assert (answer.status, answer.fallback_reason) == (
        AnswerStatus.EXTRACTIVE,
        "model_asleep_until 1970-01-01T07:00Z",
    )
    assert answer.citations
    assert (world.of(Waking), hosts.checks) == ([], 0)
    with pytest.raises(ModelAsleep, match="1970-01-01T07:00Z") as caught:
        world.ask(Question(QUESTION, waits=True))
    assert caught.value.retry_after == 7 * 3600 - hosts.now
    history = (Turn("how often is the boiler inspected?", "Every March [1]."),)
    world.rewriter.fails = ASLEEP
    answer = world.ask(Question(f"{QUESTION} in 2017?", history=history, waits=True, fallback=True)).answer
    assert answer.fallback_reason == "model_asleep_until 1970-01-01T07:00Z"
    # A question of the evening before does not make it wake.
    hosts.states.write(FACT, {"asked_at": str(hosts.now)})
    assert world.query.sleeper
    assert run(world.query.sleeper.state(Deadline(2.0))) is HostState.ASLEEP
    # In the morning a host may still be on its way.
    hosts.now, hosts.wakes_at = 7 * 3600.0, hosts.checks + 3
    assert world.ask(Question(QUESTION, waits=True)).answer.status is AnswerStatus.ANSWERED


def test_a_question_that_waits_when_the_night_begins_ends_as_one_of_the_night() -> None:
    world = Asleep(night=NIGHT)
    hosts = world.hosts
    hosts.now = 19 * 3600 - 60.0
    with pytest.raises(ModelAsleep, match="1970-01-02T07:00Z"):
        world.ask(Question(QUESTION, waits=True))
    assert hosts.now < 19 * 3600 + WAKE_S / 2
    assert hosts.states.read(FACT)["vain_at"] == "-inf"  # the morning's first question waits


def test_a_silent_host_is_down() -> None:
    class Silent(Hosts):
        async def check(self) -> None:
            await asyncio.sleep(60)

    assert run(Sleeper(Silent(), FakeStates(), WAKE_S).state(Deadline(0.05))) is HostState.DOWN


def test_a_question_that_waits_gets_passages_then_progress_then_the_answer_of_the_model() -> None:
    world = Asleep(wakes_at=4)
    answer = world.ask(Question(QUESTION, waits=True)).answer
    assert (answer.status, answer.answer) == (AnswerStatus.ANSWERED, "Every March [1].")
    assert world.of(Waking) == [Waking(0.0), Waking(0.0), Waking(10.0), Waking(20.0)]
    kinds = [type(event) for event in world.events]
    assert kinds.index(Passages) < kinds.index(Waking) < kinds.index(Token)
    assert len(world.hosts.asked) == 2


def test_the_wait_is_not_taken_from_the_time_for_the_answer() -> None:
    world = Asleep(wakes_at=30, deadline_s=28.0)  # 300 s on the hosts' clock
    times: list[float] = []
    chat = world.hosts.chat

    def timed(messages: object, timeout_s: float) -> object:
        times.append(timeout_s)
        return chat(messages, timeout_s)  # type: ignore[arg-type] # passed on

    world.hosts.chat = timed  # type: ignore[method-assign,assignment] # a fake
    world.ask(Question(QUESTION, waits=True))
    assert times[1] - times[0] == pytest.approx(300.0, abs=1.0)


def test_nothing_is_charged_while_it_waits() -> None:
    world = Asleep(wakes_at=3)
    world.ask(Question(QUESTION, waits=True))
    last_wait = max(i for i, event in enumerate(world.events) if isinstance(event, Waking))
    before = world.events[last_wait - 1]
    assert isinstance(before, Progress)
    assert not before.at_model
    assert before.report.answer.usage.tokens == 0


@pytest.mark.parametrize("fallback", [True, False])
def test_a_host_that_does_not_wake_in_time_ends_the_wait(*, fallback: bool) -> None:
    world = Asleep()
    question = Question(QUESTION, waits=True, fallback=fallback)
    if fallback:
        assert world.ask(question).answer.fallback_reason == "model_waking"
    else:
        with pytest.raises(ModelWaking):
            world.ask(question)
    assert world.hosts.checks == 60
    assert len(world.hosts.asked) == 2


def test_a_host_without_the_model_is_not_waited_for() -> None:
    world = Asleep()
    world.hosts.fails_meanwhile = ModelMissing("ollama", "pull it")
    with pytest.raises(ModelWaking):
        world.ask(Question(QUESTION, waits=True))
    assert world.hosts.checks == 1


def test_a_follow_up_waits_before_it_is_rewritten() -> None:
    world = Asleep(wakes_at=3)
    world.rewriter.says = f"{QUESTION} in 2017"
    history = (Turn("how often is the boiler inspected?", "Every March [1]."),)
    report = world.ask(Question("and in 2017?", history=history, waits=True))
    kinds = [type(event) for event in world.events]
    assert kinds.index(Waking) < kinds.index(Passages)
    assert report.answer.rewritten_question == f"{QUESTION} in 2017"
    assert len(world.hosts.asked) == 1


def test_the_wait_for_a_host_is_no_time_of_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    world = Asleep(wakes_at=3)
    for module in (ask, query):
        monkeypatch.setattr(module, "perf_counter", lambda: world.hosts.now)
    report = world.ask(Question(QUESTION, waits=True))
    status, timings = report.answer.status, report.answer.timings_ms
    assert timings.total == timings.waking == 30_000
    assert (status, timings.generate, report.model_host_s) == (AnswerStatus.ANSWERED, 0.0, 0.0)


def test_a_caller_who_is_refused_does_not_wait() -> None:
    world = Asleep()
    history = (Turn("how often is the boiler inspected?", "Every March [1]."),)
    with pytest.raises(QuotaExceeded):
        world.ask(Question("and in 2017?", history=history, waits=True), refuses=QuotaExceeded("used up", 60.0))
    assert world.hosts.checks == 0
    assert FACT not in world.hosts.states.kept


def test_a_question_that_needs_no_model_wakes_no_host() -> None:
    world = Asleep()
    answer = world.ask(Question("zebra quantum", waits=True)).answer
    assert answer.status is AnswerStatus.REFUSED
    assert world.of(Waking) == []
    assert FACT not in world.hosts.states.kept


WORKING_HOURS = "0 19 * * *;0 7 * * 1-5;Europe/Berlin"
BERLIN = ZoneInfo("Europe/Berlin")


def until(schedule: str, now: str) -> str:
    """Return when hosts start again, in Berlin, as `now` is; "" if they run."""
    found = Night.parse(schedule).until(datetime.fromisoformat(now).replace(tzinfo=BERLIN).timestamp())
    return found.astimezone(BERLIN).strftime("%Y-%m-%dT%H:%M") if found else ""


@pytest.mark.parametrize(("now", "starts"), rows("nights"))
def test_hosts_are_stopped_from_the_last_stop_to_the_next_start(now: str, starts: str) -> None:
    assert until(WORKING_HOURS, now) == starts


@pytest.mark.parametrize(("schedule", "starts"), rows("schedules"))
def test_a_schedule_has_the_fields_of_cron(schedule: str, starts: str) -> None:
    assert until(schedule, "2026-11-26T17:00") == starts


@pytest.mark.parametrize(("minutes", "stopped"), [(29, True), (30, False), (70, False), (100, False)])
def test_hosts_that_started_in_the_hour_that_the_clocks_repeat_are_not_stopped_again(
    minutes: int, stopped: bool
) -> None:
    two = datetime(2026, 10, 25, 0, 0, tzinfo=UTC).timestamp()  # 2:00 in Berlin, and 2:00 again an hour later
    schedule = Night.parse("0 22 * * *;30 2 * * *;Europe/Berlin")
    assert (schedule.until(two + 60 * minutes) is not None) is stopped


@pytest.mark.parametrize(("schedule", "says"), rows("wrong_schedules"))
def test_a_schedule_that_cannot_be_read_is_refused(schedule: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Night.parse(schedule)
