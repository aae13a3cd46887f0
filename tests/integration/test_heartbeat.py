"""``ringpost doctor --worker`` beside real processes: it tells those that work from those that only exist."""

import json
import os
import signal
import socket
import time
from contextlib import ExitStack, contextmanager

import pytest

from shared import heartbeat
from tests.integration.worker_processes import arguments, running, until


@pytest.fixture
def soon(monkeypatch):
    """Silence counts after seconds instead of half a minute."""
    monkeypatch.setattr(heartbeat, "SILENT_S", 5)


@contextmanager
def deaf_server():
    """An address where connections are taken and nothing is ever answered."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def probe(ringpost, role):
    return ringpost("doctor", "--worker", role).exit_code


@pytest.mark.parametrize("role", ["calls-bulk", "sweeper"])
def test_a_worker_that_works_passes(settings, ringpost, role):
    with running(settings, arguments(role)) as process:
        until(lambda: probe(ringpost, role) == 0)

        told = json.loads(ringpost("doctor", "--worker", role, "--json").stdout)

    assert (told["ok"], told["role"], told["processes"][0]["pid"]) == (True, role, process.pid)


def test_a_worker_that_is_stopped_fails_and_passes_again_when_it_goes_on(settings, ringpost, soon):
    with running(settings, arguments("calls-otp")) as process:
        until(lambda: probe(ringpost, "calls-otp") == 0)

        process.send_signal(signal.SIGSTOP)
        until(lambda: probe(ringpost, "calls-otp") == 1)
        process.send_signal(signal.SIGCONT)
        until(lambda: probe(ringpost, "calls-otp") == 0)


def test_of_several_workers_one_that_is_stopped_makes_the_probe_fail(settings, ringpost, soon):
    with running(settings, arguments("callbacks")), running(settings, arguments("callbacks")) as second:
        until(lambda: ringpost("doctor", "--worker", "callbacks").stdout.count("pid") == 2)

        second.send_signal(signal.SIGSTOP)

        until(lambda: probe(ringpost, "callbacks") == 1)


def test_a_worker_that_was_killed_fails_and_says_so(settings, ringpost):
    with running(settings, arguments("events")) as process:
        until(lambda: probe(ringpost, "events") == 0)
        os.kill(process.pid, signal.SIGKILL)
        process.wait(10)

        result = ringpost("doctor", "--worker", "events")

    assert result.exit_code == 1
    assert "no living process" in result.stdout


@pytest.mark.parametrize("role", ["calls-otp", "sweeper"])
@pytest.mark.parametrize("silent", [False, True], ids=["refused", "unanswered"])
def test_while_postgres_and_redis_are_away_a_worker_passes(settings, ringpost, soon, role, silent):
    with ExitStack() as held:
        postgres, redis = (held.enter_context(deaf_server()) if silent else "127.0.0.1:1" for _ in range(2))
        urls = {"DATABASE_URL": f"postgresql://ringpost@{postgres}/x", "REDIS_URL": f"redis://{redis}"}
        held.enter_context(running(settings, arguments(role), LOG_LEVEL="ERROR", **urls))
        until(lambda: probe(ringpost, role) == 0)

        for _ in range(6):  # more than the silence that counts
            before = beat_at(settings, role)
            until(lambda before=before: beat_at(settings, role) > before + 0.05)

            assert probe(ringpost, role) == 0


def beat_at(settings, role):
    (beat,) = heartbeat.beats(settings.ringpost_data_dir, name(role))
    return time.monotonic() - beat.age_s


def name(role):
    return {"calls-otp": "place_calls.otp"}.get(role, role)


def test_systemd_is_told_of_each_beat(settings, tmp_path):
    address = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(address))
        systemd.settimeout(20)
        with running(settings, arguments("events"), NOTIFY_SOCKET=str(address)):
            told = [systemd.recv(64) for _ in range(2)]

    assert told == [b"WATCHDOG=1"] * 2


def test_only_a_worker_can_be_asked_for(ringpost):
    result = ringpost("doctor", "--worker", "web")

    assert result.exit_code == 2
    assert "'web' is none of calls-otp, calls-bulk, events, callbacks, sweeper" in result.stderr
