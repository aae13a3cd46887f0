"""The forecast counts what was let in since the backlog was read, and keeps what it told."""

import threading
from dataclasses import replace

import pytest

from ingress import cache
from ingress import forecast as module
from ingress.admission import Asked
from ingress.forecast import Forecast
from shared.backlog import Backlog

EMPTY = Backlog(at=0, pace=10.0, lines=1000.0)
PATIENCE = 10  # s


class Reading:
    """Gives backlogs one by one, each when it is let."""

    def __init__(self):
        self.let, self.asked = threading.Semaphore(0), threading.Semaphore(0)
        self.backlog = EMPTY

    def __call__(self):
        self.asked.release()
        assert self.let.acquire(timeout=PATIENCE)
        return replace(self.backlog, at=self.backlog.at or module.time.time())


@pytest.fixture
def reading(monkeypatch):
    monkeypatch.setattr(cache, "_SOONEST_S", 0.001)
    monkeypatch.setattr(module, "_EVERY_S", 0.002)
    return Reading()


@pytest.fixture
def forecast(reading):
    made = Forecast(reading, EMPTY, processes=2, call_s=30)
    assert reading.asked.acquire(timeout=PATIENCE)
    yield made
    made.close()
    reading.let.release(10)


def message(forecast, ttl_s=120, **changes):
    now = forecast.now()
    return replace(Asked("otp", "bank", now, now + ttl_s), **changes)


def wait_s(forecast, asked):
    return forecast.estimate(asked).dial_at - forecast.now()


def test_each_message_let_in_stands_before_the_next(forecast):
    for number in range(100):
        asked = message(forecast)
        forecast.promise(f"msg_{number}", asked, forecast.estimate(asked))

    # less the two that a pause has saved up
    assert wait_s(forecast, message(forecast)) == pytest.approx(9.8, abs=0.3)
    assert wait_s(forecast, message(forecast, ttl_s=60)) < 1
    assert wait_s(forecast, message(forecast, provider_id="shop")) < 1


def test_what_comes_while_the_backlog_is_read_is_not_lost(forecast, reading):
    asked = message(forecast)
    for number in range(50):
        forecast.promise(f"msg_{number}", asked, forecast.estimate(asked))

    reading.let.release()
    assert reading.asked.acquire(timeout=PATIENCE)

    assert wait_s(forecast, message(forecast)) > 4


def test_what_was_read_is_not_counted_twice(forecast, reading):
    reading.let.release()
    assert reading.asked.acquire(timeout=PATIENCE)
    reading.let.release()
    assert reading.asked.acquire(timeout=PATIENCE)

    assert wait_s(forecast, message(forecast)) < 1


def test_a_message_of_later_holds_nobody_up(forecast):
    for number in range(100):
        asked = message(forecast, begins=forecast.now() + 3600)
        forecast.promise(f"msg_{number}", asked, forecast.estimate(asked))

    assert wait_s(forecast, message(forecast)) < 1


def test_what_was_told_is_remembered_once(forecast):
    asked = message(forecast)
    told = forecast.estimate(asked)
    forecast.promise("msg_1", asked, told)

    assert (forecast.promised("msg_1"), forecast.promised("msg_1")) == (told, None)


def test_what_was_told_outlives_one_reading_and_not_more(forecast, reading):
    asked = message(forecast)
    for number in (1, 2):
        forecast.promise(f"msg_{number}", asked, forecast.estimate(asked))
    reading.let.release()
    assert reading.asked.acquire(timeout=PATIENCE)
    kept = forecast.promised("msg_1")
    reading.let.release()
    assert reading.asked.acquire(timeout=PATIENCE)

    assert (kept is not None, forecast.promised("msg_2")) == (True, None)


def test_while_nothing_can_be_read_memory_is_bounded(forecast, monkeypatch):
    monkeypatch.setattr(module, "_MOST_KEPT", 10)
    asked = message(forecast)
    for number in range(100):
        forecast.promise(f"msg_{number}", asked, forecast.estimate(asked))

    assert len(forecast._promised) <= 10
    assert len(forecast._came["otp", "bank"]) <= 10


def test_times_are_the_databases(forecast, reading):
    reading.backlog = replace(EMPTY, at=module.time.time() + 1000)

    reading.let.release()
    assert reading.asked.acquire(timeout=PATIENCE)

    assert forecast.now() == pytest.approx(module.time.time() + 1000, abs=5)
