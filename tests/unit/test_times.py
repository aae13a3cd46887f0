from datetime import UTC, datetime, timedelta, timezone

import pytest

from shared.times import parse_time, rfc3339


def test_a_moment_is_written_in_utc_with_milliseconds():
    singapore = timezone(timedelta(hours=8))

    written = rfc3339(datetime(2027, 3, 1, 18, 0, 0, 123999, tzinfo=singapore))

    assert written == "2027-03-01T10:00:00.123Z"


def test_a_moment_without_a_time_zone_is_not_written():
    with pytest.raises(ValueError, match="time zone"):
        rfc3339(datetime(2027, 3, 1))  # noqa: DTZ001


@pytest.mark.parametrize(
    "text",
    [
        "2027-03-01T10:00:00Z",
        "2027-03-01t10:00:00z",
        "2027-03-01 10:00:00Z",
        "2027-03-01T10:00:00.000Z",
        "2027-03-01T10:00:00.000000000Z",
        "2027-03-01T18:00:00+08:00",
        "2027-03-01T04:30:00-05:30",
    ],
)
def test_every_rfc_3339_spelling_names_the_same_moment(text):
    assert parse_time(text) == datetime(2027, 3, 1, 10, tzinfo=UTC)
    assert parse_time(text).tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2027-03-01",
        "2027-03-01T10:00Z",
        "2027-03-01T10:00:00",
        "2027-03-01T10:00:00 Z",
        "2027-02-30T10:00:00Z",
        "2027-03-01T25:00:00Z",
        "2027-03-01T10:00:00+99:00",
        "0001-01-01T00:00:00+23:00",
        "2027-03-01T10:00:00Z\n",
        "\u0662\u0660\u0662\u0667-03-01T10:00:00Z",
    ],
)
def test_anything_else_is_refused(text):
    with pytest.raises(ValueError, match=r"must be an RFC 3339 time|names no moment"):
        parse_time(text)


def test_what_is_written_reads_back():
    moment = datetime(2027, 3, 1, 10, 0, 0, 5000, tzinfo=UTC)

    assert parse_time(rfc3339(moment)) == moment
