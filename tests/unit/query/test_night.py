"""The schedule that stops and starts the model hosts."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from docwell.query.waking import Night
from tests.unit.query.query_world import rows

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
