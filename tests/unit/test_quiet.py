"""When it is quiet where a phone is."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import phonenumbers
import pytest

from shared import quiet
from shared.sending_rules import parse_quiet_hours

NIGHT = parse_quiet_hours("22:00-08:00")


def utc(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(("country", "at", "until"), [
    ("SG", "2026-11-27T13:59:59", "2026-11-27T13:59:59"),  # 21:59:59 there
    ("SG", "2026-11-27T14:00:00", "2026-11-28T00:00:00"),
    ("SG", "2026-11-27T23:59:59", "2026-11-28T00:00:00"),
    ("SG", "2026-11-28T00:00:00", "2026-11-28T00:00:00"),
    ("DE", "2026-03-28T21:30:00", "2026-03-29T06:00:00"),  # summer time begins in between
    ("DE", "2026-10-24T21:30:00", "2026-10-25T07:00:00"),  # and ends
    ("XK", "2026-11-27T22:00:00", "2026-11-28T07:00:00"),
    ("US", "2026-11-27T12:00:00", "2026-11-27T18:00:00"),  # 8 in the east is 3 in Hawaii
    ("US", "2026-11-27T20:00:00", "2026-11-27T20:00:00"),
    ("ZZ", "2026-11-27T23:00:00", "2026-11-28T08:00:00"),  # unknown: UTC
])  # fmt: skip
def test_it_is_quiet_by_the_clock_of_who_is_called(country, at, until):
    assert quiet.ends(utc(at), NIGHT, country) == utc(until)


def test_hours_of_one_day_end_on_it():
    assert quiet.ends(utc("2026-11-27T05:00:00"), parse_quiet_hours("12:00-15:00"), "SG") == utc("2026-11-27T07:00:00")


def test_where_the_hour_of_the_end_comes_twice_its_second_coming_ends_a_quiet_of_the_second():
    night = parse_quiet_hours("22:00-01:30")

    assert quiet.ends(utc("2026-10-25T00:10:00"), night, "GB") == utc("2026-10-25T00:30:00")
    assert quiet.ends(utc("2026-10-25T01:10:00"), night, "GB") == utc("2026-10-25T01:30:00")


def test_where_it_is_always_quiet_somewhere_there_is_no_end():
    assert quiet.ends(utc("2026-11-27T05:00:00"), parse_quiet_hours("14:00-12:00"), "RU") is None


def test_every_country_of_the_numbering_plans_has_a_time_zone():
    unknown = {name for name in phonenumbers.SUPPORTED_REGIONS if not isinstance(quiet.zones_of(name)[0], ZoneInfo)}

    assert unknown == set()


@pytest.mark.parametrize("country", ["SG", "US", "BR", "ID", "AU"])
def test_the_end_is_quiet_nowhere(country):
    at = utc("2026-01-01T00:00:00")
    for _ in range(48 * 3):
        at += timedelta(minutes=610)
        until = quiet.ends(at, NIGHT, country)
        assert until is None or quiet.ends(until, NIGHT, country) == until
