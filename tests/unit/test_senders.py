"""A bounded pool: never more requests under way than senders, and none left behind by a stop."""

import threading

import pytest

from workers.senders import Senders


@pytest.fixture
def senders():
    senders = Senders("test", 2)
    yield senders
    senders.drain()


def test_a_busy_sender_is_not_free_until_its_request_is_over(senders):
    go = threading.Event()
    senders.start(go.wait)

    assert senders.wait_for_free(2, timeout_s=0) == 1
    go.set()
    assert senders.wait_for_free(2, timeout_s=5) == 2


def test_a_request_that_fails_gives_its_sender_back(senders):
    senders.start(lambda: 1 / 0)

    assert senders.wait_for_free(2, timeout_s=5) == 2


def test_a_stop_ends_every_wait_and_promises_no_sender(senders):
    waiting = threading.Thread(target=senders.pause, args=(60,))
    waiting.start()

    senders.stop()
    waiting.join(5)

    assert not waiting.is_alive()
    assert senders.is_stopping
    assert senders.wait_for_free(1, timeout_s=5) == 0


def test_draining_waits_for_what_is_under_way(senders):
    done = []
    go = threading.Event()
    senders.start(lambda: (go.wait(), done.append(1)))

    threading.Timer(0.05, go.set).start()
    senders.drain()

    assert done == [1]
