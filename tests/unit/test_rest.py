"""Batches rest under load and never otherwise."""

import pytest

from shared.rest import Rest

MOST = 501


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("shared.rest.time.monotonic", lambda: now[0])
    return now


def test_a_new_loop_does_not_rest(clock):
    assert Rest(0.002, 0.05, MOST).left_s() == 0


def test_a_lone_row_asks_for_no_rest(clock):
    rest = Rest(0.002, 0.05, MOST)

    rest.after(1, started_at=clock[0])

    assert rest.left_s() == 0


@pytest.mark.parametrize(("rows", "left_s"), [(2, 0.004), (10, 0.02), (25, 0.05), (500, 0.05)])
def test_the_rest_grows_with_the_batch_up_to_the_longest(clock, rows, left_s):
    rest = Rest(0.002, 0.05, MOST)

    rest.after(rows, started_at=clock[0])

    assert rest.left_s() == pytest.approx(left_s)
    assert rest.rows == rows


def test_what_the_batch_took_counts_as_rest(clock):
    rest = Rest(0.002, 0.05, MOST)
    began = clock[0]

    clock[0] += 0.015
    rest.after(10, started_at=began)

    assert rest.left_s() == pytest.approx(0.005)


def test_a_batch_that_took_longer_than_its_rest_leaves_none(clock):
    rest = Rest(0.002, 0.05, MOST)
    began = clock[0]

    clock[0] += 0.03
    rest.after(10, started_at=began)

    assert rest.left_s() == 0


def test_a_batch_as_large_as_may_be_gains_nothing_by_a_rest(clock):
    rest = Rest(0.002, 0.05, MOST)

    rest.after(MOST, started_at=clock[0])

    assert rest.left_s() == 0
