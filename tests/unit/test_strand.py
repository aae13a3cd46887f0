"""Straight-line code on an event loop: it waits without holding the loop, and nothing it does gets lost."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from functools import partial

import pytest

from shared.strand import Latch, Strands, aside

PATIENCE = 10  # s, never used up
MARK = ContextVar("MARK", default=None)


def on_loop(scene):
    """Run a coroutine function that is given strands."""

    async def run():
        with ThreadPoolExecutor(4) as threads:
            return await scene(Strands(asyncio.get_running_loop(), threads))

    return asyncio.run(run())


def test_what_code_returns_and_raises_comes_out():
    async def scene(strands):
        with pytest.raises(ZeroDivisionError):
            await strands.run(lambda: 1 // 0)
        return await strands.run(lambda: 42)

    assert on_loop(scene) == 42


def test_while_one_waits_others_run_on_the_same_thread():
    async def scene(strands):
        latches = []

        def wait():
            latch = Latch()
            latches.append(latch)
            return latch.wait(PATIENCE), threading.current_thread()

        waiting = [asyncio.create_task(strands.run(wait)) for _ in range(1000)]
        await asyncio.sleep(0)  # all of them run up to their waits
        assert len(latches) == 1000
        threading.Thread(target=lambda: [latch.set() for latch in latches]).start()
        return await asyncio.gather(*waiting)

    assert set(on_loop(scene)) == {(True, threading.current_thread())}


def test_a_latch_that_is_set_before_it_is_waited_for_holds_nobody():
    def code():
        latch = Latch()
        setting = threading.Thread(target=latch.set)
        setting.start()
        setting.join()
        began = time.monotonic()
        return latch.wait(PATIENCE), time.monotonic() - began < PATIENCE

    assert on_loop(lambda strands: strands.run(code)) == (True, True)
    assert code() == (True, True)


def test_a_latch_that_nobody_sets_holds_for_its_time_alone():
    assert on_loop(lambda strands: strands.run(lambda: Latch().wait(0.01))) is False
    assert Latch().wait(0.01) is False
    assert Latch().wait(-1) is False


def test_a_latch_set_after_the_wait_was_given_up_disturbs_nobody():
    async def scene(strands):
        latches = []

        def code():
            latches.append(Latch())
            return latches[0].wait(0.01)

        waited = await strands.run(code)
        latches[0].set()
        await asyncio.sleep(0)
        return waited

    assert on_loop(scene) is False


def test_what_blocks_runs_aside_and_comes_back():
    def code():
        here = threading.current_thread()
        there = aside(threading.current_thread)
        with pytest.raises(ZeroDivisionError):
            aside(lambda: 1 // 0)
        return here, there, threading.current_thread()

    here, there, again = on_loop(lambda strands: strands.run(code))

    assert here is again is threading.current_thread()
    assert there is not here


def test_in_a_plain_thread_aside_is_here():
    assert aside(threading.current_thread) is threading.current_thread()


def test_each_strand_has_context_variables_of_its_own():
    async def scene(strands):
        def code(mark):
            MARK.set(mark)
            Latch().wait(0.001)
            return MARK.get()

        return await asyncio.gather(*(strands.run(partial(code, mark)) for mark in range(20)))

    assert on_loop(scene) == list(range(20))


def test_a_strand_whose_request_is_given_up_cleans_up():
    cleaned = []

    def code():
        try:
            Latch().wait(PATIENCE)
        finally:
            cleaned.append(True)

    async def scene(strands):
        waiting = asyncio.create_task(strands.run(code))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    on_loop(scene)

    assert cleaned == [True]
