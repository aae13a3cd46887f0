"""The client of 8x8's log export, over real sockets."""

import datetime as dt
import json

import pytest

from shared.errors import VoiceApiError
from shared.http import HttpEdge
from shared.voice_api.exports import ExportFailed, ExportGone, ExportJob, LogExports
from tests.integration.test_voice_api_client import CUT, VoiceApiPeer

CONTENT = b"SessionId\r\n" * 20_000


@pytest.fixture
def connect():
    peers, edge = [], HttpEdge()

    def start(*answers, **options):
        peers.append(VoiceApiPeer(list(answers)))
        values = {"url": peers[-1].url, "subaccount_id": "acme&co", "api_key": "hush-hush", "edge": edge} | options
        return LogExports(**values), peers[-1]

    yield start
    edge.close()
    for peer in peers:
        peer.close()


def read(exports, *urls):
    """What comes of these files, and after how many bytes each ended."""
    taken, ends = [], []
    exports.read(ExportJob(urls), taken.append, lambda: ends.append(sum(map(len, taken))))
    return b"".join(taken), ends


def test_an_export_is_started_for_a_span_of_utc_times(connect):
    exports, peer = connect((202, {"jobId": "j1"}))
    since = dt.datetime(2026, 10, 5, 16, 0, tzinfo=dt.timezone(dt.timedelta(hours=8)))

    job_id = exports.start(since, since + dt.timedelta(hours=2))

    ((line, head, body),) = peer.requests
    assert job_id == "j1"
    assert line == "POST /api/v1/subaccounts/acme%26co/messages/exports"
    assert "authorization: Bearer hush-hush\r\n" in head
    assert json.loads(body) == {"from": "2026-10-05T08:00:00Z", "to": "2026-10-05T10:00:00Z", "limit": 0}


@pytest.mark.parametrize("answer", [(202, {}), (202, {"jobId": 7}), (202, {"jobId": ""}), (200, b"<html>"), CUT])
def test_an_answer_without_a_job_is_an_error(connect, answer):
    exports, _ = connect(answer)

    with pytest.raises(VoiceApiError):
        exports.start(dt.datetime.now(dt.UTC), dt.datetime.now(dt.UTC))


def test_a_429_says_how_long_to_wait(connect):
    exports, _ = connect((429, b"", "Retry-After: 90"))

    with pytest.raises(VoiceApiError) as caught:
        exports.start(dt.datetime.now(dt.UTC), dt.datetime.now(dt.UTC))

    assert (caught.value.http_status, caught.value.retry_after_s) == (429, 90)


@pytest.mark.parametrize(
    ("reply", "files"),
    [
        ({"status": "queued"}, None),
        ({"status": "Running"}, None),
        ({"status": "empty"}, ()),
        (
            {"status": "succeeded", "data": ["https://x/1.csv", "https://x/2.csv"]},
            ("https://x/1.csv", "https://x/2.csv"),
        ),
    ],
)
def test_a_job_has_files_once_it_is_finished(connect, reply, files):
    exports, _ = connect((200, {"jobId": "j1", **reply}))

    assert exports.look("j1").files == files


@pytest.mark.parametrize("status", ["failed", "cancelled", "error", "", "new", "succeeded"])
def test_a_job_that_came_to_nothing_is_an_error(connect, status):
    exports, _ = connect((200, {"status": status}))

    with pytest.raises(ExportFailed):
        exports.look("j1")


def test_a_job_that_8x8_does_not_know_any_more_is_told_from_other_refusals(connect):
    exports, _ = connect((404, {"code": 4018, "message": "Invalid jobId"}), (500, b""))

    with pytest.raises(ExportGone):
        exports.look("j1")
    with pytest.raises(VoiceApiError) as caught:
        exports.look("j1")

    assert caught.value.http_status == 500


def test_files_come_in_pieces_one_after_the_other(connect):
    exports, own = connect((200, CONTENT))

    content, ends = read(exports, f"{own.url}/1.csv", f"{own.url}/2.csv")

    assert content == CONTENT * 2
    assert ends == [len(CONTENT), 2 * len(CONTENT)]


def test_the_key_goes_along_to_8x8s_own_host_only(connect):
    exports, own = connect((200, CONTENT))
    _, other = connect((200, CONTENT))

    read(exports, f"{own.url}/1.csv", f"{other.url}/1.csv")

    assert "hush-hush" in own.requests[0][1]
    assert "hush-hush" not in other.requests[0][1]


def test_a_file_elsewhere_comes_encrypted_or_not_at_all(connect):
    exports, _ = connect(CUT, url="https://voice.example")
    _, other = connect((200, CONTENT))

    with pytest.raises(VoiceApiError, match="unencrypted"):
        read(exports, f"{other.url}/1.csv")

    assert other.requests == []


@pytest.mark.parametrize("answer", [(404, b""), (302, b""), CUT])
def test_a_file_that_does_not_come_as_a_whole_is_an_error(connect, answer):
    exports, peer = connect(answer)

    with pytest.raises(VoiceApiError):
        read(exports, f"{peer.url}/1.csv")


@pytest.mark.parametrize("url", ["", "ftp://x/1.csv", "/1.csv", "http://"])
def test_an_address_that_is_none_is_an_error(connect, url):
    exports, _ = connect(CUT)

    with pytest.raises(VoiceApiError, match="address"):
        read(exports, url)


def test_more_than_is_allowed_is_not_read(connect, monkeypatch):
    monkeypatch.setattr("shared.voice_api.exports._MAX_BYTES", len(CONTENT) + 100)
    exports, own = connect((200, CONTENT))

    with pytest.raises(VoiceApiError, match="as a whole"):
        read(exports, f"{own.url}/1.csv", f"{own.url}/2.csv")


def test_all_files_together_have_so_much_time(connect):
    exports, own = connect((200, CONTENT), timeout_s=0.0)

    with pytest.raises(VoiceApiError, match="did not answer"):
        read(exports, f"{own.url}/1.csv")


def test_the_key_is_in_no_repr_and_no_error(connect):
    exports, _ = connect(CUT)

    with pytest.raises(VoiceApiError) as caught:
        exports.look("j1")

    assert "hush-hush" not in repr(exports) + repr(caught.value)
