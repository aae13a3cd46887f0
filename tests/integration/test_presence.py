"""Every process is seen while it lives, is told to end when an operator asks, and works on when nobody can see it."""

import os
import signal
import threading

import pytest

from shared import presence
from shared.db.database import Database
from shared.db.queries import processes
from shared.presence import Presence


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(presence, "_EVERY_S", 0.02)


@pytest.fixture
def beats(monkeypatch):
    """Counts beats, and lets a test wait for the next one."""
    told, beat = threading.Semaphore(0), processes.beat

    def counted(connection, process):
        try:
            return beat(connection, process)
        finally:
            told.release()

    monkeypatch.setattr(processes, "beat", counted)
    return told


def listed(database):
    with database.statement() as connection:
        return processes.listed(connection)


def test_a_process_is_listed_from_its_first_beat_to_its_end(database, quick, beats):
    seen = Presence(database, "web")
    seen.begin()
    assert beats.acquire(timeout=10)
    assert beats.acquire(timeout=10)

    (row,) = listed(database)
    seen.end()

    assert (row["work"], row["pid"], row["version"]) == ("web", os.getpid(), presence._version())
    assert row["silent_s"] < 5
    assert 10_000_000 < row["rss_bytes"] < 10_000_000_000
    assert listed(database) == []


def test_whoever_is_asked_to_drain_gets_a_sigterm_once(database, quick, beats, monkeypatch):
    killed, is_killed = [], threading.Event()
    monkeypatch.setattr(os, "kill", lambda *what: (killed.append(what), is_killed.set()))
    seen = Presence(database, "sweeper")
    seen.begin()
    assert beats.acquire(timeout=10)
    (row,) = listed(database)

    assert database.run(lambda c: processes.ask_to_drain(c, row["process_id"], by="ada"))
    assert is_killed.wait(10)
    seen._thread.join(10)

    assert killed == [(os.getpid(), signal.SIGTERM)]
    (row,) = listed(database)
    assert (row["drain_asked_by"], seen._thread.is_alive()) == ("ada", False)


def test_while_postgresql_is_away_the_process_lives_on_unseen(quick):
    away = Database("postgresql://nobody@127.0.0.1:1/nothing", application="tests")
    seen = Presence(away, "web")
    seen.begin()
    seen._thread.join(0.3)

    assert seen._thread.is_alive()
    seen.end()
    assert not seen._thread.is_alive()
    away.close()


def test_silent_processes_are_shown_as_silent_and_forgotten_after_ten_minutes(database, quick, beats):
    for name, age in (("proc_silent", "9 min"), ("proc_gone", "11 min")):
        gone = processes.Process(name, "web", "host", 1, "1", None)
        database.run(lambda c, gone=gone: processes.beat(c, gone), alone=True)
        with database.transaction() as connection:
            connection.exec_driver_sql(
                f"UPDATE processes SET beat_at = now() - interval '{age}' WHERE process_id = '{name}'"
            )
    seen = Presence(database, "web")
    seen.begin()
    for _ in range(3):
        assert beats.acquire(timeout=10)

    ids = {row["process_id"]: row["silent_s"] for row in listed(database)}
    seen.end()

    assert "proc_gone" not in ids
    assert 530 < ids["proc_silent"] < 600
