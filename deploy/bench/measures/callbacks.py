"""Callbacks that are due: to one fast receiver, to eight, and to eight beside two that misbehave."""

from __future__ import annotations

import time
from typing import Final

from sqlalchemy import text

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
    scene.stage.stop_workers()
    endpoints = _endpoints(scene)
    one, each = scene.count(800, 5000), scene.count(150, 800)
    alone = dict.fromkeys(_FAST, each)
    done = scene.alternated(
        1 if scene.quick else _ROUNDS,
        {
            "one": lambda: _delivered(scene, endpoints, {1: one}),
            "eight": lambda: _delivered(scene, endpoints, alone),
            "eight_beside": lambda: _delivered(scene, endpoints, {**alone, _SLOW: _FEW, _HANGING: _FEW}),
        },
    )
    rates = {name: median(values) for name, values in done.items()}
    measured.add("one", "to one fast receiver", rates["one"], "/s")
    measured.add("slowed", "time of eight fast ones beside a hanging and a slow one",
                 ratio(rates["eight"], rates["eight_beside"]), "x")  # fmt: skip
    measured.add("eight", "to eight fast receivers", rates["eight"], "/s")
    measured.add("eight_beside", "to the same eight, beside those", rates["eight_beside"], "/s")
    scene.stage.stop_workers()
    scene.stage.clear()
    return measured


def _endpoints(scene: Scene) -> list[str]:
    """One endpoint for each of the generator's receivers, all of one provider."""
    stage = scene.stage
    provider = stage.new_provider(new_id("callbacks"), None)
    ids = []
    with stage.database.transaction() as connection:
        for url in scene.generator.callback_urls:
            endpoint_id = new_id("ep")
            secret = callback.new_secret(bytes(32)).encode()
            sealed = stage.services.sealer.seal(secret, row=endpoint_id)
            providers.create_endpoint(connection, endpoint_id, provider["provider_id"], url=url, sealed_secret=sealed)
            ids.append(endpoint_id)
    return ids


def _delivered(scene: Scene, endpoints: list[str], counts: dict[int, int]) -> float | None:
    """How many a second came to the fast receivers, all together."""
    stage = scene.stage
    stage.stop_workers()
    stage.clear()
    last = 0
    with stage.database.transaction() as connection:
        for place, count in counts.items():
            bulk.fill_callbacks(connection, "prov_callbacks", endpoints[place], last + 1, last + count)
            last += count
    scene.generator.arrivals()
    stage.start_workers()
    stage.services.doorbell.ring(jobs.DELIVER_CALLBACKS)
    deadline = time.monotonic() + _LIMIT_S
    fast = [endpoints[place] for place in counts if place in _FAST]
    while _open(scene, fast) and time.monotonic() < deadline:
        time.sleep(_LOOK_S)
    arrivals = scene.generator.arrivals()
    rates = [arrivals[place]["rate"] for place in counts if place in _FAST]
    return sum(rate or 0.0 for rate in rates)


def _open(scene: Scene, endpoints: list[str]) -> int:
    statement = text("SELECT count(*) FROM callbacks WHERE endpoint_id = ANY (:ids) AND finished_at IS NULL")
    with scene.stage.database.transaction() as connection:
        return int(connection.execute(statement, {"ids": endpoints}).scalar_one())
