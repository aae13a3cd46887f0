"""What a sender is told of its message's dial time, and what then happens."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Final

import requests
from sqlalchemy import text

from deploy.bench import bulk
from deploy.bench.figures import median
from deploy.bench.load.ledger import FIRST_PHONE
from deploy.bench.result import Measured
from deploy.bench.scene import Scene
from shared import jobs
from shared.ids import new_id
from shared.lifecycle import Lane

_PER_SECOND: Final = 100.0
_PROBES: Final = 12
_PROBE_EVERY_S: Final = 0.5
_TTL_S: Final = 43_200  # longer than the backlog's, so that earliest deadline first puts the probes behind it
#: Phones of the probes: the last ones that no load comes to.
_PHONES: Final = FIRST_PHONE + 6_900_000


def admission(scene: Scene) -> Measured:
    """Probes behind a backlog that the pace works off; their estimate against their attempt's row."""
    measured = Measured("admission", "estimatedDialAt")
    stage, count = scene.stage, scene.count(500, 1500)
    stage.restart(dials_per_second=_PER_SECOND)
    stage.world(call_s=0.2)
    phones = range(bulk.BULK_PHONES, bulk.BULK_PHONES + count)
    bulk.queue(stage, str(stage.provider["provider_id"]), Lane.OTP, phones, new_id("ahead"))
    stage.services.doorbell.ring(jobs.PLACE_CALLS[Lane.OTP])
    time.sleep(1.5)  # the ingress counts the backlog anew every second
    told = {}
    for number in range(_PROBES):
        scene.tell(f"probe {number + 1} of {_PROBES}")
        message_id, sent, estimated = _probe(scene, number)
        if estimated is not None:
            told[message_id] = (sent, estimated)
        time.sleep(_PROBE_EVERY_S)  # the probes are spread over the backlog
    scene.tell("waiting for the probes' calls")
    dialled = _dialled(scene, list(told), count / _PER_SECOND + 20)
    errors = [abs(told[one][1] - at) / max(0.5, at - told[one][0]) for one, at in dialled.items()]
    waits = [at - told[one][0] for one, at in dialled.items()]
    measured.add("error", "error of the estimate, of the true wait, median", median(errors))
    measured.add("wait_s", "the true wait, median", median(waits), "s")
    measured.add("probes", "probes that were dialled", len(dialled))
    if not told:
        measured.notes.append("No reply had an estimatedDialAt.")
    return measured


def _probe(scene: Scene, number: int) -> tuple[str, float, float | None]:
    message_id = new_id("probe")
    body = {
        "messageId": message_id,
        "customerPhone": f"+{_PHONES + number}",
        "message": "A probe.",
        "ttlSeconds": _TTL_S,
    }
    sent = time.time()
    reply = requests.post(scene.stage.submit_url, json=body, headers=scene.stage.headers, timeout=10)
    estimated = reply.json().get("data", {}).get("estimatedDialAt") if reply.ok else None
    return message_id, sent, datetime.fromisoformat(estimated).timestamp() if estimated else None


def _dialled(scene: Scene, message_ids: list[str], within_s: float) -> dict[str, float]:
    """When each was first dialled, by the database's clock, which is this machine's."""
    statement = text(
        "SELECT m.message_id, min(a.started_at) AS at FROM messages m JOIN dial_attempts a ON a.message_id = m.id"
        " WHERE m.message_id = ANY (:ids) GROUP BY 1"
    )
    deadline = time.monotonic() + within_s
    while True:
        with scene.stage.database.transaction() as connection:
            rows = connection.execute(statement, {"ids": message_ids}).all()
        if len(rows) == len(message_ids) or time.monotonic() > deadline:
            return {row.message_id: row.at.timestamp() for row in rows}
        time.sleep(0.2)  # a look costs the database that is measured
