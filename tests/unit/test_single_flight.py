"""One run at a time, and no ring that falls between two runs."""

import threading

import pytest

from workers.single_flight import SingleFlight


def test_a_ring_during_a_run_makes_it_look_once_more_instead_of_starting_another():
    flight, runs, rings = SingleFlight(), [], []

    def work():
        runs.append(threading.get_ident())
        if len(runs) == 1:
            ringers = [threading.Thread(target=flight.run, args=(lambda: rings.append(1),)) for _ in range(5)]
            for ringer in ringers:
                ringer.start()
            for ringer in ringers:
                ringer.join(5)

    flight.run(work)

    assert runs == [threading.get_ident()] * 2
    assert rings == []


def test_a_run_that_fails_does_not_block_the_next():
    flight, runs = SingleFlight(), []

    with pytest.raises(ZeroDivisionError):
        flight.run(lambda: 1 / 0)
    flight.run(lambda: runs.append(1))

    assert runs == [1]


def test_no_ring_is_lost_among_many_threads():
    flight, lock, asked, seen = SingleFlight(), threading.Lock(), [0], [0]

    def ring():
        for _ in range(200):
            with lock:
                asked[0] += 1
            flight.run(lambda: seen.__setitem__(0, asked[0]))

    threads = [threading.Thread(target=ring) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert seen == asked == [800]
