"""The callback receiver: signatures, and every way it misbehaves."""

import gzip
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
import requests
from standardwebhooks import Webhook

from deploy.receiver import ANY_PATH, Mode, ModeKind, Received, Receiver, one_line

OLD, NEW = "whsec_b2xkLXNlY3JldC1vbGQtc2VjcmV0", "whsec_bmV3LXNlY3JldC1uZXctc2VjcmV0"
BODY = '{"type": "message.delivered", "data": {"messageId": "OTP789", "status": "delivered"}}'


@pytest.fixture
def receiver():
    with Receiver({"/signed": [OLD, NEW]}) as receiver:
        yield receiver


def signed(secret, body=BODY, at=None):
    at = at or datetime.now(UTC)
    return {
        "webhook-id": "cb_1",
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign("cb_1", at, body),
    }


def post(receiver, path="/any", *, timeout=5, **options):
    return requests.post(f"{receiver.url}{path}", data=BODY, timeout=timeout, allow_redirects=False, **options)


def test_any_path_takes_and_keeps_a_callback(receiver):
    reply = post(receiver, "/otp/callback", headers={"X-Trace": "1"})

    received = receiver.wait_for(lambda all_: len(all_) == 1)[0]
    assert reply.status_code == 200
    assert (received.method, received.path, received.is_verified) == ("POST", "/otp/callback", None)
    assert received.headers["x-trace"] == "1"
    assert received.json()["data"]["messageId"] == "OTP789"


@pytest.mark.parametrize("secret", [OLD, NEW])
def test_a_signature_by_any_of_the_paths_secrets_is_verified(receiver, secret):
    reply = post(receiver, "/signed", headers=signed(secret))

    assert (reply.status_code, receiver.received[0].is_verified) == (200, True)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        signed(OLD, body="other"),
        signed("whsec_b3RoZXItb3RoZXItb3RoZXI="),
        signed(OLD, at=datetime.now(UTC) - timedelta(minutes=10)),
        signed(OLD) | {"webhook-signature": "nonsense"},
    ],
)
def test_a_missing_wrong_or_old_signature_is_refused_and_kept(receiver, headers):
    reply = post(receiver, "/signed", headers=headers)

    assert (reply.status_code, receiver.received[0].is_verified) == (401, False)


def test_secrets_can_be_set_for_all_paths_and_replaced():
    with Receiver({ANY_PATH: [OLD]}) as receiver:
        before = post(receiver, headers=signed(NEW)).status_code
        receiver.set_secrets(ANY_PATH, [NEW])

        after = post(receiver, headers=signed(NEW)).status_code

    assert (before, after) == (401, 200)


@pytest.mark.parametrize(
    ("mode", "status", "header", "value"),
    [
        (Mode(kind=ModeKind.STATUS, status=500), 500, "Retry-After", None),
        (Mode(kind=ModeKind.STATUS, status=410), 410, "Retry-After", None),
        (Mode(kind=ModeKind.STATUS, status=429, retry_after_s=7), 429, "Retry-After", "7"),
        (Mode(kind=ModeKind.REDIRECT, location="/elsewhere"), 302, "Location", "/elsewhere"),
    ],
)
def test_a_path_answers_with_the_status_it_was_given(receiver, mode, status, header, value):
    receiver.set_mode("/any", mode)

    reply = post(receiver)

    assert (reply.status_code, reply.headers.get(header)) == (status, value)


def test_a_client_that_follows_a_redirect_is_found_out(receiver):
    receiver.set_mode("/any", Mode(kind=ModeKind.REDIRECT))

    requests.post(f"{receiver.url}/any", data=BODY, timeout=5)

    assert [(one.method, one.path) for one in receiver.received] == [("POST", "/any"), ("GET", "/redirected")]


def test_a_mode_can_end_after_some_requests(receiver):
    receiver.set_mode("/any", Mode(kind=ModeKind.STATUS, status=500, times=2))

    assert [post(receiver).status_code for _ in range(3)] == [500, 500, 200]


def test_other_paths_are_not_affected(receiver):
    receiver.set_mode("/any", Mode(kind=ModeKind.STATUS, status=500))

    assert post(receiver, "/other").status_code == 200


def test_a_slow_path_answers_in_the_end(receiver):
    receiver.set_mode("/any", Mode(kind=ModeKind.SLOW, seconds=0.2))

    assert post(receiver).elapsed >= timedelta(seconds=0.2)


def test_a_hanging_path_never_answers(receiver):
    receiver.set_mode("/any", Mode(kind=ModeKind.HANG))

    with pytest.raises(requests.ReadTimeout):
        post(receiver, timeout=0.2)

    assert len(receiver.received) == 1


def test_a_closing_path_ends_the_connection(receiver):
    receiver.set_mode("/any", Mode(kind=ModeKind.CLOSE))

    with pytest.raises(requests.ConnectionError):
        post(receiver)


def test_a_dripping_path_keeps_its_client_waiting_byte_by_byte(receiver):
    receiver.set_mode("/any", Mode(kind=ModeKind.DRIP, seconds=0.02))

    with post(receiver, stream=True) as reply:
        pieces = [piece for piece, _ in zip(reply.iter_content(None), range(3), strict=False)]

    assert pieces == [b".", b".", b"."]


def test_an_endless_body_goes_on_until_its_client_has_had_enough(receiver):
    receiver.set_mode("/any", Mode(kind=ModeKind.ENDLESS))

    with post(receiver, stream=True) as reply:
        read = len(reply.raw.read(8 * 1024 * 1024, decode_content=False))

    assert read == 8 * 1024 * 1024


def test_a_gzip_bomb_is_small_on_the_wire_and_large_unpacked(receiver):
    receiver.set_mode("/any", Mode(kind=ModeKind.GZIP_BOMB))

    with post(receiver, stream=True) as reply:
        packed = reply.raw.read(decode_content=False)

    assert len(packed) < 100_000
    assert len(gzip.decompress(packed)) == 64 * 1024 * 1024


def test_waiting_in_vain_is_an_error(receiver):
    with pytest.raises(TimeoutError):
        receiver.wait_for(bool, timeout_s=0.05)


@pytest.mark.parametrize(
    ("body", "is_verified", "line"),
    [
        (BODY.encode(), True, "09:12:10 callback verified /cb message.delivered OTP789 delivered"),
        (b"{}", False, "09:12:10 callback NOT VERIFIED /cb 2 bytes"),
        (b"\xff", None, "09:12:10 callback unchecked /cb 1 bytes"),
    ],
)
def test_a_callback_is_described_in_one_line(body, is_verified, line):
    at = datetime(2026, 10, 5, 9, 12, 10, tzinfo=UTC)

    described = one_line(Received(at=at, method="POST", path="/cb", headers={}, body=body, is_verified=is_verified))

    assert described == line


def test_the_receiver_runs_as_a_process_and_prints_callbacks():
    code = f"from deploy.receiver import run; run('127.0.0.1', 0, {{'*': ['{OLD}']}})"

    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        url = process.stdout.readline().split()[-1]
        requests.post(f"{url}/cb", data=BODY, headers=signed(OLD), timeout=5)
        line = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        exit_code = process.wait(timeout=5)

    assert "callback verified /cb message.delivered OTP789 delivered" in line
    assert exit_code == 0
