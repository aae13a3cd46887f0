"""Senders do what they are given, no more than so many at once, and finish it when they drain."""

import threading

from workers.senders import Senders


def test_no_more_are_under_way_than_the_limit():
    senders, let_go, entered = Senders("test", 2), threading.Event(), threading.Semaphore(0)

    def send():
        entered.release()
        let_go.wait(5)

    for _ in range(2):
        senders.start(send)
        assert entered.acquire(timeout=5)
    free_while_busy = senders.free()
    let_go.set()

    assert free_while_busy == 0
    assert senders.wait_for_free(2, 5) == 2
    senders.drain()


def test_draining_waits_for_what_is_under_way():
    senders, done = Senders("test", 4), []

    for number in range(20):
        senders.start(lambda number=number: done.append(number))
    senders.drain()

    assert sorted(done) == list(range(20))


def test_one_that_fails_is_free_again():
    senders = Senders("test", 1)

    senders.start(lambda: 1 / 0)

    assert senders.wait_for_free(1, 5) == 1
    senders.drain()


def test_whoever_waits_for_senders_is_let_go_when_the_process_stops():
    senders, let_go = Senders("test", 1), threading.Event()
    senders.start(lambda: let_go.wait(5))
    answers = []
    waiter = threading.Thread(target=lambda: answers.append(senders.wait_for_free(1, 5)))
    waiter.start()

    senders.stop()
    waiter.join(5)

    assert answers == [0]
    let_go.set()
    senders.drain()
