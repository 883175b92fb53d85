"""The schedule that stops and starts the model hosts."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from docwell.query.waking import Night

WORKING_HOURS = "0 19 * * *;0 7 * * 1-5;Europe/Berlin"
BERLIN = ZoneInfo("Europe/Berlin")


def until(schedule: str, now: str) -> str | None:
    """Return when hosts start again, in Berlin, as `now` is."""
    found = Night.parse(schedule).until(datetime.fromisoformat(now).replace(tzinfo=BERLIN).timestamp())
    return found.astimezone(BERLIN).strftime("%Y-%m-%dT%H:%M") if found else None


@pytest.mark.parametrize(
    ("now", "starts"),
    [
        ("2026-11-26T18:59", None),  # Thursday
        ("2026-11-26T19:00", "2026-11-27T07:00"),
        ("2026-11-27T06:59", "2026-11-27T07:00"),
        ("2026-11-27T07:00", None),
        ("2026-11-27T23:30", "2026-11-30T07:00"),  # over the weekend
        ("2026-11-29T12:00", "2026-11-30T07:00"),
        ("2026-03-28T22:00", "2026-03-30T07:00"),  # the clocks go forward
        ("2026-12-31T20:00", "2027-01-01T07:00"),
    ],
)
def test_hosts_are_stopped_from_the_last_stop_to_the_next_start(now: str, starts: str | None) -> None:
    assert until(WORKING_HOURS, now) == starts


@pytest.mark.parametrize(
    ("schedule", "starts"),
    [
        ("0 12 * * *;*/15 18-20 * * *;Europe/Berlin", "2026-11-26T18:00"),
        ("0 12 * * *;30 6,22 * * *;Europe/Berlin", "2026-11-26T22:30"),
        ("0 12 * * *;0 6 1 * *;Europe/Berlin", "2026-12-01T06:00"),
        ("0 12 * * *;0 6 1 * 7;Europe/Berlin", "2026-11-29T06:00"),  # either of the days
        ("0 12 * * *;0 6 * 1 0;Europe/Berlin", "2027-01-03T06:00"),
        ("0 18 * * *;0 6 * * *;Europe/Berlin", None),
    ],
)
def test_a_schedule_has_the_fields_of_cron(schedule: str, starts: str | None) -> None:
    assert until(schedule, "2026-11-26T17:00") == starts


@pytest.mark.parametrize(("minutes", "stopped"), [(29, True), (30, False), (70, False), (100, False)])
def test_hosts_that_started_in_the_hour_that_the_clocks_repeat_are_not_stopped_again(
    minutes: int, stopped: bool
) -> None:
    two = datetime(2026, 10, 25, 0, 0, tzinfo=UTC).timestamp()  # 2:00 in Berlin, and 2:00 again an hour later
    schedule = Night.parse("0 22 * * *;30 2 * * *;Europe/Berlin")
    assert (schedule.until(two + 60 * minutes) is not None) is stopped


@pytest.mark.parametrize(
    ("schedule", "says"),
    [
        ("0 19 * * *", "no time zone ''"),
        ("0 19 * * *;0 7 * * *;", "no time zone ''"),
        ("0 19 * *;0 7 * * *;Etc/UTC", "Wrong number of fields"),
        ("0 24 * * *;0 7 * * *;Etc/UTC", "Bad hour"),
        ("0 19 * * 5-1;0 7 * * *;Etc/UTC", "Bad day-of-week"),
        ("*/0 19 * * *;0 7 * * *;Etc/UTC", "Bad minute"),
        ("*/-5 19 * * *;0 7 * * *;Etc/UTC", "Bad minute"),
        ("0 19 * * *;0 7 * * *;Mars/Base", "no time zone 'Mars/Base'"),
    ],
)
def test_a_schedule_that_cannot_be_read_is_refused(schedule: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Night.parse(schedule)
