"""T7: three rolling restarts and a migration that expands and contracts, in the middle of a burst."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from typing import Final

from sqlalchemy import text

from deploy.chaos import victims
from deploy.chaos.checker import Bounds
from deploy.chaos.drill import Drill

_QUICK: Final = 600
_FULL: Final = 5000
_QUICK_RATE: Final = 30.0
_FULL_RATE: Final = 60.0
_QUICK_ROUNDS: Final = 1
_FULL_ROUNDS: Final = 3
_TTL_S: Final = 20
_WEB: Final = "web"
_REPLACED_S: Final = 40.0
_EXPAND: Final = (
    "ALTER TABLE messages ADD COLUMN drill text",
    "CREATE INDEX CONCURRENTLY messages_drill_idx ON messages (drill) WHERE drill IS NOT NULL",
)
_CONTRACT: Final = ("DROP INDEX CONCURRENTLY messages_drill_idx", "ALTER TABLE messages DROP COLUMN drill")


def deployment(drill: Drill, *, quick: bool, messages: int | None = None) -> Bounds:
    """No request fails, no call is in doubt, nothing comes twice."""
    count = messages or (_QUICK if quick else _FULL)
    rounds = _QUICK_ROUNDS if quick else _FULL_ROUNDS
    with drill.load(count, _QUICK_RATE if quick else _FULL_RATE, ttl_s=_TTL_S):
        time.sleep(1)
        for place in range(rounds):
            with drill.noted("deploy", f"restart {place + 1}"):
                if place == 0:
                    _migrate(drill, _EXPAND)
                for role in drill.stage.roles:
                    _replace(drill, role)
        _migrate(drill, _CONTRACT)
    drill.await_rest(Bounds().drain_s)
    figures = drill.judge(Bounds()).verdict.figures
    failed = int(figures["requests refused"]) + int(figures["requests without an answer"])
    drill.measure("failed requests", failed, 0)
    return Bounds(undetermined=0.0, duplicates=0.0)


def _replace(drill: Drill, role: str) -> None:
    """Let a role's processes finish what they have in hand while others take over; return when they do."""
    before = set(drill.stage.workers(role))
    master = victims.master_of(drill.stage.supervisor, role)
    assert master is not None
    with suppress(ProcessLookupError):
        # The ingress replaces its workers behind the same door; the others' doors are queues, and can be shut.
        os.kill(master, signal.SIGHUP if role == _WEB else signal.SIGTERM)

    def is_replaced() -> bool:
        now = set(drill.stage.workers(role))
        return len(now) >= len(before) and not now & before

    drill.stage.wait_until(is_replaced, f"{role} was replaced", _REPLACED_S)


def _migrate(drill: Drill, statements: tuple[str, ...]) -> None:
    """As migrations are run: one statement a transaction, and none waits long for its lock."""
    with drill.stage.database.statement() as connection:
        connection.execute(text("SET lock_timeout = '5s'"))
        for statement in statements:
            connection.execute(text(statement))
