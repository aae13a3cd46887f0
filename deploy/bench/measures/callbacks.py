"""Callbacks that are due: to one fast receiver, to eight, and to eight beside two that misbehave."""

from __future__ import annotations

import time
from typing import Final

from sqlalchemy import Connection, text

from deploy.bench import bulk
from deploy.bench.figures import median, ratio
from deploy.bench.result import Measured
from deploy.bench.scene import Scene
from shared import callback, jobs
from shared.db.queries import providers
from shared.ids import new_id

_ROUNDS: Final = 3
_FAST: Final = range(1, 9)  # the generator's receivers, by their place
_SLOW, _HANGING = 9, 10
_FEW: Final = 100  # callbacks to each that misbehaves
_LIMIT_S: Final = 60.0
_LOOK_S: Final = 0.1


def callbacks(scene: Scene) -> Measured:
    """From rows that are due to arrivals at the receivers."""
    measured = Measured("callbacks", "Callbacks")
    stage = scene.stage
    stage.start_web()
    stage.stop_workers()
    stage.clear()
    stage.start_workers()
    rounds = _Rounds(scene)
    one, each = scene.count(800, 4000), scene.count(150, 600)
    alone = dict.fromkeys(_FAST, each)
    done = scene.alternated(
        _ROUNDS, {"one": lambda: rounds.delivered({1: one}), "eight": lambda: rounds.delivered(alone)}
    )
    # Last, as what hangs is tried again for hours; each round has endpoints that nobody knows as failing yet.
    bad = {_SLOW: _FEW, _HANGING: _FEW}
    done |= scene.alternated(_ROUNDS, {"eight_beside": lambda: rounds.delivered(alone | bad)})
    rates = {name: median(values) for name, values in done.items()}
    measured.add("one", "to one fast receiver", rates["one"], "/s")
    measured.add("slowed", "time of eight fast ones beside a hanging and a slow one",
                 ratio(rates["eight"], rates["eight_beside"]), "x")  # fmt: skip
    measured.add("eight", "to eight fast receivers", rates["eight"], "/s")
    measured.add("eight_beside", "to the same eight, beside those", rates["eight_beside"], "/s")
    stage.stop_workers()
    stage.clear()
    return measured


class _Rounds:
    """Rounds of callbacks, each with endpoints of its own."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._provider = str(scene.stage.new_provider(new_id("callbacks"), None)["provider_id"])
        self._last = 0

    def delivered(self, counts: dict[int, int]) -> float | None:
        """How many a second came to the fast receivers, all together; *counts* by the receivers' places."""
        stage = self._scene.stage
        self._scene.generator.arrivals()
        with stage.database.transaction() as connection:
            endpoints = {place: self._endpoint(connection, place) for place in counts}
            for place, count in counts.items():
                first, self._last = self._last + 1, self._last + count
                bulk.fill_callbacks(connection, self._provider, endpoints[place], first, self._last)
        stage.services.doorbell.ring(jobs.DELIVER_CALLBACKS)
        fast = [place for place in counts if place in _FAST]
        deadline = time.monotonic() + _LIMIT_S
        while _open(self._scene, [endpoints[place] for place in fast]) and time.monotonic() < deadline:
            time.sleep(_LOOK_S)  # a look costs the database that is measured
        arrivals = self._scene.generator.arrivals()
        return sum(arrivals[place]["rate"] or 0.0 for place in fast)

    def _endpoint(self, connection: Connection, place: int) -> str:
        endpoint_id = new_id("ep")
        secret = callback.new_secret(bytes(32)).encode()
        sealed = self._scene.stage.services.sealer.seal(secret, row=endpoint_id)
        url = f"{self._scene.generator.callback_urls[place]}?{endpoint_id}"
        providers.create_endpoint(connection, endpoint_id, self._provider, url=url, sealed_secret=sealed)
        return endpoint_id


def _open(scene: Scene, endpoints: list[str]) -> int:
    statement = text("SELECT count(*) FROM callbacks WHERE endpoint_id = ANY (:ids) AND finished_at IS NULL")
    with scene.stage.database.transaction() as connection:
        return int(connection.execute(statement, {"ids": endpoints}).scalar_one())
