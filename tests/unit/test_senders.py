"""Senders do what they are given, no more than so many at once, and finish it when they drain."""

import queue
import random
import threading
import time
from functools import partial

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


def test_nothing_is_left_lying_whoever_asks_and_however_long_it_takes():
    senders, done = Senders("test", 8), []

    def ask(seed):
        luck = random.Random(seed)
        for number in range(400):
            pause_s = luck.choice((0, 0, 0, 0.0005))
            senders.start(lambda name=(seed, number), pause_s=pause_s: (time.sleep(pause_s), done.append(name)))
            if luck.random() < 0.1:
                assert senders.wait_for_free(luck.randint(1, 8), 10) > 0

    askers = [threading.Thread(target=ask, args=(seed,)) for seed in range(3)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()

    assert senders.wait_for_free(8, 10) == 8
    assert len(set(done)) == len(done) == 1200
    senders.drain()


def test_of_two_that_wait_neither_forgets_the_other():
    senders, let_go, answers = Senders("test", 2), [threading.Event(), threading.Event()], queue.SimpleQueue()
    for event in let_go:
        senders.start(partial(event.wait, 5))
    waiters = [threading.Thread(target=lambda n=n: answers.put(senders.wait_for_free(n, 5))) for n in (1, 2)]
    for waiter in waiters:
        waiter.start()

    let_go[0].set()
    first = answers.get(timeout=2)
    let_go[1].set()
    second = answers.get(timeout=2)

    assert (first, second) == (1, 2)
    senders.drain()
