"""Promised dates: the end of a day where their readers are, never sooner than was configured."""

import time
from collections.abc import Iterator
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from pfilter.base import days
from tests.lib.support import NOW

HOUR = 3600
DAY = 24 * HOUR
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Pacific/Apia", "Pacific/Kiritimati")


@pytest.fixture
def local(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put this machine into New York."""
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("keep", [DAY, 7 * DAY, 90 * DAY])
def test_a_promise_ends_with_a_day(zone: str, keep: int) -> None:
    """It is the last second of the day on which `keep` is over, in the zone, whatever the time of day is now."""
    for now in range(NOW, NOW + 2 * DAY, 5000):
        until = days.promised(now, keep, zone)
        over = datetime.fromtimestamp(now + keep, ZoneInfo(zone))
        assert now + keep <= until < now + keep + 25 * HOUR
        assert f"{datetime.fromtimestamp(until, ZoneInfo(zone)):%Y-%m-%d %H:%M:%S}" == f"{over:%Y-%m-%d} 23:59:59"


@pytest.mark.usefixtures("local")
def test_without_a_zone_it_is_that_of_the_machine() -> None:
    """No name means the gateway's own clocks, also on the days on which they are changed."""
    for day in range(365):
        now = NOW + day * DAY
        assert days.promised(now, 7 * DAY, "") == days.promised(now, 7 * DAY, "America/New_York")


@pytest.mark.parametrize(("day", "hours"), [("2027-03-28", 23), ("2027-10-31", 25)])
def test_days_on_which_clocks_are_changed(day: str, hours: int) -> None:
    """Such a day is shorter or longer; its end is its end."""
    begin = int(datetime.fromisoformat(day).replace(tzinfo=ZoneInfo("Europe/Berlin")).timestamp())
    assert days.end(begin, "Europe/Berlin") == begin + hours * HOUR - 1


def test_of_an_end_that_comes_twice_it_is_the_later_one() -> None:
    """Where clocks go back at midnight, 23:59:59 is there twice, and files are until the second time."""
    # Asuncion, 24 March 2024: from 00:00 to 23:00.
    noon = int(datetime(2024, 3, 23, 12, tzinfo=ZoneInfo("America/Asuncion")).timestamp())
    assert days.end(noon, "America/Asuncion") == noon + 13 * HOUR - 1


def test_less_than_a_day_is_to_the_second() -> None:
    """Who keeps files for hours promises hours."""
    assert days.promised(NOW, DAY - 1, "UTC") == NOW + DAY - 1


@pytest.mark.parametrize("zone", ZONES)
def test_what_cannot_last_to_the_end_of_a_day_is_to_the_second(zone: str) -> None:
    """With a limit, a promise reaches to the end of its day or, where that is behind the limit, is what was asked."""
    ends = set()
    for now in range(NOW, NOW + DAY, 1000):
        until = days.promised(now, 6 * DAY, zone, 6 * DAY + 12 * HOUR)
        assert now + 6 * DAY <= until <= now + 6 * DAY + 12 * HOUR
        assert days.is_end(until, zone) == (days.end(now + 6 * DAY, zone) <= now + 6 * DAY + 12 * HOUR)
        assert days.is_end(until, zone) or until == now + 6 * DAY
        ends.add(days.is_end(until, zone))
    assert ends == {True, False}


@pytest.mark.parametrize("name", ["Nowhere/Atall", "../../etc/passwd", "Europe", "\x00"])
def test_an_unknown_zone_is_said(name: str) -> None:
    """Whatever is no zone is a ValueError that says what one is."""
    with pytest.raises(ValueError, match="a time zone such as"):
        days.known(name)
