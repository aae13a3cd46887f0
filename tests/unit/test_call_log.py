"""8x8's log export as it comes in: columns in any order, pieces of any size, nothing from a file cut short."""

import csv
import io
import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.simulator.exports import COLUMNS
from shared.voice_api.call_log import REQUIRED, LogReader, UnreadableLog, sessions_of
from shared.voice_api.events import SessionSummary, parse

ROW = {
    "SessionId": "s1",
    "CallId": "c1",
    "SubAccountId": "acme_voice",
    "Direction": "OUTBOUND",
    "SourceEndpoint": "+6531580001",
    "SourceCountry": "SG",
    "DestinationEndpoint": "+6581234567",
    "DestinationCountry": "SG",
    "InitiatedAt": "2026-10-05T09:12:09Z",
    "ConnectedAt": "2026-10-05T09:12:21Z",
    "DisconnectedAt": "2026-10-05T09:12:48Z",
    "DurationInSec": "26",
    "SessionStatus": "COMPLETED",
    "CallStatus": "COMPLETED",
    "MOS": "4.4",
}
WORDS = st.text(st.characters(codec="utf-8"), max_size=20)


def written(*rows, columns=COLUMNS, bom="", **how):
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", extrasaction="ignore", **how)
    writer.writeheader()
    writer.writerows(ROW | row for row in rows)
    return (bom + text.getvalue()).encode()


def read(*files, size=1 << 20, wanted=lambda session_id, destination: True):
    reader = LogReader(wanted)
    for content in files:
        for at in range(0, len(content), size):
            reader.feed(content[at : at + size])
        reader.end_file()
    return reader


def test_a_row_is_read_by_the_names_of_its_columns():
    (row,) = read(written({})).rows

    assert (row.session_id, row.subaccount_id, row.raw_status) == ("s1", "acme_voice", "COMPLETED")
    assert (row.leg.source, row.leg.destination, row.leg.duration_s) == ("+6531580001", "+6581234567", 26)
    assert (row.leg.call_id, row.leg.mos, row.leg.destination_country) == ("c1", 4.4, "SG")


@given(
    columns=st.permutations([*COLUMNS, "CarrierNote"]),
    notes=st.lists(WORDS, max_size=4),
    size=st.integers(1, 200),
    bom=st.sampled_from(["", "\ufeff"]),
    end=st.sampled_from(["\r\n", "\n"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_order_quoting_line_ends_and_the_size_of_the_pieces_change_nothing(columns, notes, size, bom, end, quoting):
    rows = [{"SessionId": f"s{place}", "CarrierNote": note, "Content": note} for place, note in enumerate(notes)]

    read_ = read(written(*rows, columns=columns, bom=bom, lineterminator=end, quoting=quoting), size=size)

    assert [row.session_id for row in read_.rows] == [row["SessionId"] for row in rows]
    assert {row.leg.destination for row in read_.rows} <= {"+6581234567"}
    assert read_.vague == 0


@given(content=st.binary(max_size=400), size=st.integers(1, 50))
def test_no_bytes_make_the_reader_fail_in_another_way(content, size):
    with suppress(UnreadableLog):
        read(written({}), content, size=size)


def test_spellings_of_a_header_do_not_matter():
    content = written({}).replace(b"SessionId", b"Session_id").replace(b"DestinationEndpoint", b" destination endpoint")

    assert read(content).rows[0].session_id == "s1"


@pytest.mark.parametrize("name", REQUIRED)
def test_without_a_column_that_is_needed_nothing_is_read_and_it_is_named(name):
    with pytest.raises(UnreadableLog, match=f"it lacks the columns {name}"):
        read(written({}, columns=[column for column in COLUMNS if column != name]))


@pytest.mark.parametrize("cut", [1, 3, 20, 60])
def test_a_file_that_ends_within_a_row_is_unreadable(cut):
    content = written({}, {}).rstrip()
    shorter = content[: content.rindex(b",", 0, -cut)]

    with pytest.raises(UnreadableLog, match="cells"):
        read(shorter)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no header"),
        (b"\xef\xbb\xbf", "no header"),
        (b"<html>Sign in</html>", "lacks the columns"),
        (written({"Content": "x"}).replace(b",x", b',"x'), "no CSV"),
        (written({}) + b'"' + b"x" * 300_000, "no end"),
        (written({}) + b",\r\n", "cells"),
    ],
)
def test_what_is_no_log_is_unreadable(content, reason):
    with pytest.raises(UnreadableLog, match=reason):
        read(content)


def test_a_header_alone_is_a_log_without_calls():
    reader = read(written())

    assert (reader.rows, reader.vague, reader.first) == ([], 0, None)


def test_every_file_of_an_export_has_its_own_header():
    second = written({"SessionId": "s2"}, columns=[*reversed(COLUMNS)])

    assert [row.session_id for row in read(written({}), second).rows] == ["s1", "s2"]


def test_only_what_is_wanted_is_kept_and_calls_of_others_to_us_never():
    def wanted(session_id, destination):
        return session_id == "s2" or destination == "+6590000000"

    reader = read(
        written(
            {},
            {"SessionId": "s2"},
            {"SessionId": "s3", "DestinationEndpoint": "6590000000"},
            {"SessionId": "s2", "Direction": "Inbound", "DestinationEndpoint": "anonymous"},
        ),
        wanted=wanted,
    )

    assert [row.session_id for row in reader.rows] == ["s2", "s3"]
    assert reader.vague == 0


@pytest.mark.parametrize("row", [{"SessionId": ""}, {"DestinationEndpoint": "+65****4567"}, {"InitiatedAt": "5/10/26"}])
def test_a_row_that_could_be_anybodys_is_counted(row):
    assert read(written({}, row)).vague == 1


def test_the_earliest_and_the_latest_call_are_known_whoevers_they_are():
    late = {"InitiatedAt": "2026-10-05 09:30:00"}

    reader = read(written({}, late), wanted=lambda session_id, destination: False)

    assert [f"{moment:%H:%M:%S}" for moment in (reader.first, reader.last)] == ["09:12:09", "09:30:00"]


def test_a_session_tells_the_same_as_its_summary_would():
    second_leg = {"CallId": "c2", "ConnectedAt": "", "DurationInSec": "0", "CallStatus": "No answer"}
    (session,) = sessions_of(read(written({}, second_leg)).rows)

    summary = parse(session.as_summary("att_1"))

    assert isinstance(summary, SessionSummary)
    assert (summary.session_id, summary.client_request_id, summary.session_status) == ("s1", "att_1", "COMPLETED")
    assert (summary.source, summary.destination, summary.duration_s) == ("+6531580001", "+6581234567", 26)
    assert [leg.call_id for leg in summary.legs] == ["c1", "c2"]
    assert [leg.call_status for leg in summary.legs] == ["COMPLETED", "NO_ANSWER"]
    assert summary.started_at < summary.connected_at < summary.ended_at
    assert json.loads(session.as_summary(None))["payload"]["clientRequestId"] is None


@pytest.mark.parametrize(
    ("row", "is_over"),
    [
        ({}, True),
        ({"SessionStatus": "No answer", "DisconnectedAt": ""}, True),
        ({"SessionStatus": "", "DisconnectedAt": ""}, False),
        ({"SessionStatus": ""}, False),
        ({"SessionStatus": "IN_PROGRESS", "DisconnectedAt": ""}, False),
        ({"SessionStatus": "SOMETHING_NEW"}, True),
    ],
)
def test_a_call_that_is_still_up_is_told_from_one_that_ended(row, is_over):
    (session,) = sessions_of(read(written(row)).rows)

    assert session.is_over is is_over
