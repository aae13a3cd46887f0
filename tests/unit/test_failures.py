"""Who failed to log in too often is held back, and nobody else; in bounded memory, with bounded logs."""

import pytest
import structlog

from ingress.failures import Failures
from shared.ids import new_id

KEY = new_id("key")


class Clock:
    def __init__(self):
        self.s = 1000.0

    def __call__(self):
        return self.s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def failures(clock):
    return Failures(6, now=clock)


def fail(failures, client, key_id=KEY, times=1):
    for _ in range(times):
        failures.note(client, key_id)


def test_nobody_is_held_back_before_the_bucket_is_empty(failures):
    fail(failures, "192.0.2.1", "nonsense", times=5)

    assert failures.wait_s("192.0.2.1", KEY) == 0


def test_an_address_that_failed_too_often_waits_for_every_key(failures):
    fail(failures, "192.0.2.1", "nonsense", times=6)

    assert failures.wait_s("192.0.2.1", KEY) == pytest.approx(10)
    assert failures.wait_s("192.0.2.2", KEY) == 0


def test_time_fills_the_bucket_one_try_after_the_other(failures, clock):
    fail(failures, "192.0.2.1", times=6)

    clock.s += 10
    first = failures.wait_s("192.0.2.1", KEY)
    fail(failures, "192.0.2.1")

    assert (first, failures.wait_s("192.0.2.1", KEY)) == (0, pytest.approx(10))


def test_many_addresses_that_guess_at_one_key_are_held_back_one_by_one_and_no_other(failures):
    for place in range(6):
        fail(failures, f"192.0.2.{place}")

    assert failures.wait_s("192.0.2.1", KEY) > 0
    assert failures.wait_s("192.0.2.1", new_id("key")) == 0
    assert failures.wait_s("198.51.100.1", KEY) == 0


def test_a_minute_after_the_last_failure_nothing_is_remembered(failures, clock):
    fail(failures, "192.0.2.1", times=9)

    clock.s += 61

    assert (failures.wait_s("192.0.2.1", KEY), failures.last_at, len(failures)) == (0, None, 0)


def test_all_addresses_of_one_ipv6_network_are_one(failures):
    for place in range(6):
        fail(failures, f"2001:db8::{place}", "nonsense")

    assert failures.wait_s("2001:db8::ffff", KEY) > 0
    assert failures.wait_s("2001:db8:0:1::1", KEY) == 0
    fail(failures, "::ffff:192.0.2.1", "nonsense", times=6)
    assert failures.wait_s("192.0.2.1", KEY) > 0


def test_memory_is_bounded_whatever_addresses_and_keys_are_made_up(clock):
    failures = Failures(6, most=50, now=clock)

    for place in range(5000):
        fail(failures, f"10.0.{place // 250}.{place % 250}", new_id("key"))

    assert len(failures) == 150


@pytest.mark.parametrize("odd", ["", "unix", "fe80::1%eth0", ":::"])
def test_odd_addresses_are_names_like_others(failures, odd):
    fail(failures, odd, times=6)

    assert failures.wait_s(odd, KEY) > 0


def test_the_log_tells_who_failed_at_a_bounded_rate_and_never_what_was_tried(failures, clock, monkeypatch):
    kept = structlog.testing.LogCapture()
    everything = structlog.make_filtering_bound_logger(0)  # whatever the tests before configured
    logger = structlog.wrap_logger(structlog.PrintLogger(), processors=[kept], wrapper_class=everything)
    monkeypatch.setattr("ingress.failures.log", logger)

    fail(failures, "192.0.2.1", times=100)
    failures.wait_s("192.0.2.1", KEY)
    clock.s += 11
    fail(failures, "192.0.2.1", "my secret, in the wrong place")

    lines = kept.entries
    assert [(one["client"], one["key_id"], one["failures"], one["held_back"]) for one in lines] == [
        ("192.0.2.1", KEY, 1, 0),
        ("192.0.2.1", None, 100, 1),
    ]
    assert "secret" not in str(lines)
