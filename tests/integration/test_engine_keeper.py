"""The keeper brings real engines back."""

import threading

import pytest

from deploy.engines import Engines
from deploy.engines.keeper import Keeper


@pytest.mark.parametrize("name", ["postgres", "valkey"])
def test_an_engine_that_dies_is_started_again(tmp_path, name):
    back = threading.Event()
    with Engines(tmp_path, fast=True) as engines, Keeper(engines, lambda line: back.set() if "back" in line else None):
        engine = getattr(engines, name)
        first = engine.pid

        engine.kill()

        assert back.wait(20)
        assert engine.pid not in (None, first)
