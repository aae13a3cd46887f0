"""T9: texts and numbers that can be recognised go through a burst in which all dies; then they are looked for."""

from __future__ import annotations

import json
import random
import string
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import psycopg2
import requests
from sqlalchemy import text

from deploy.chaos import leaks
from deploy.chaos.checker import Bounds
from deploy.chaos.drill import Drill
from deploy.chaos.faults import Fault, Kind
from deploy.chaos.links import RECEIVER, VOICE, Disturbance
from deploy.chaos.needles import Needles
from deploy.chaos.programmes.burst import FAULTS
from deploy.chaos.records import Kind as Noted
from deploy.chaos.repeated import repeated
from deploy.chaos.schedule import Blow, Wanted, strikes
from deploy.chaos.stage import Stage
from deploy.chaos.traffic import Traffic
from deploy.chaos.verdict import Promise

_QUICK: Final = 300
_FULL: Final = 3000
_RATE: Final = 40.0
_TTL_S: Final = 60
_MARKER_LETTERS: Final = 20
#: So many requests and webhooks that cannot be read, each carrying a text and a number.
_SPOILT: Final = 24
_CANCEL_S: Final = 0.25
_PATIENCE_S: Final = 30.0
#: With fewer messages not every kind of process is killed.
_FEW: Final = 100
_LONG: Final = 300
#: Of sessions, so that the engine's own choices are overruled: everything that PostgreSQL is told goes into its log.
_TALKATIVE: Final = {
    "log_min_error_statement": "debug5",
    "log_error_verbosity": "verbose",
    "log_statement": "all",
    "log_min_duration_statement": "0",
    "log_parameter_max_length": "-1",
    "log_parameter_max_length_on_error": "-1",
}


def canary(drill: Drill, *, quick: bool, messages: int | None = None) -> Bounds:
    """Nothing that was spoken and no whole number is found anywhere afterwards."""
    count = messages or (_QUICK if quick else _FULL)
    seconds = count / _RATE
    marker = marker_of(drill.seed)
    wanted = Wanted(
        seconds=seconds,
        kills=2 if count < _FEW else len(drill.stage.roles) * (1 if quick else 5),
        redis=[Blow.REDIS, Blow.REDIS_WIPED] if count >= _FEW else [Blow.REDIS],
        postgres=1,
        roles=drill.stage.roles,
    )
    shaken = [
        Disturbance(at_s=0.2 * seconds, for_s=1.0, link=VOICE, fault=Fault(kind=Kind.RESET, bytes=2000)),
        Disturbance(at_s=0.6 * seconds, for_s=1.0, link=RECEIVER, fault=Fault(kind=Kind.REFUSE)),
    ]
    drill.stage.misbehave(**FAULTS)
    with _talkative(drill.stage), leaks.Watch(drill.stage) as watch:
        said = {"ttl_s": _TTL_S, "is_mixed": False, "text": f"Your word is {marker}."}
        with drill.load(count, _RATE, **said), drill.disturbed(shaken), _cancelled(drill.stage):
            spoilt = _spoil(drill.stage, marker)
            drill.strike_all(strikes(wanted, drill.seed))
        drill.await_rest(Bounds().drain_s)
        needles = Needles([marker], spoilt | _sent(drill))
        found = leaks.search(drill.stage, needles, watch, spared=[drill.folder])
    for one in found:
        drill.blame(Promise.P8, f"{one.what} in {one.place}")
    drill.measure("statements sampled", len(watch.seen["pg_stat_activity, sampled"]))
    drill.measure("leaks", len(found))
    return Bounds()


def marker_of(seed: int) -> str:
    """Letters that stand nowhere else."""
    luck = random.Random(f"canary {seed}")  # noqa: S311  a drill repeats
    return "".join(luck.choices(string.ascii_lowercase, k=_MARKER_LETTERS))


def _sent(drill: Drill) -> set[str]:
    return {event.facts["to"] for event in drill.gather().history if event.kind is Noted.SUBMIT}


@contextmanager
def _talkative(stage: Stage) -> Iterator[None]:
    """PostgreSQL logs and counts every statement with its values, in sessions begun from now on."""
    for name, value in _TALKATIVE.items():
        _tell(stage, f"ALTER ROLE CURRENT_USER SET {name} = '{value}'")
    _tell(stage, "ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements'")
    stage.crash_postgres()
    _tell(stage, "CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
    try:
        yield
    finally:
        for statement in (
            "DROP EXTENSION IF EXISTS pg_stat_statements",
            "ALTER ROLE CURRENT_USER RESET ALL",
            "ALTER SYSTEM RESET shared_preload_libraries",
        ):
            _tell(stage, statement)
        stage.crash_postgres()


def _tell(stage: Stage, statement: str) -> None:
    stage.database.run(lambda connection: connection.execute(text(statement)), patience_s=_PATIENCE_S, alone=True)


@contextmanager
def _cancelled(stage: Stage) -> Iterator[None]:
    """Statements under way are broken off again and again, so that PostgreSQL tells of them as failed."""

    def cancel() -> None:
        with suppress(psycopg2.Error):
            connection = psycopg2.connect(stage.engines.database_url)
            with connection, connection.cursor() as cursor:
                cursor.execute(
                    "SELECT pg_cancel_backend(pid) FROM pg_stat_activity"
                    " WHERE state = 'active' AND application_name LIKE 'ringpost-%' LIMIT 2"
                )
            connection.close()

    with repeated(cancel, _CANCEL_S, "canceller"):
        yield


def _spoil(stage: Stage, marker: str) -> set[str]:
    """Send what cannot be read or stored, each with a text and a number; says which numbers."""
    traffic = Traffic(prefix="spoilt", first=stage.numbers(_SPOILT), count=_SPOILT, seed=0, ttl_s=20, is_mixed=False)
    token = {"Authorization": stage.settings.webhook_auth_token.get_secret_value()}
    bodies = traffic.messages()
    for place, body in enumerate(bodies):
        kinds = _spoilt(body, marker)
        path, raw = kinds[place % len(kinds)]
        headers = (token if "webhooks" in path else stage.headers) | {"Content-Type": "application/json"}
        with suppress(requests.RequestException):
            requests.post(stage.url + path, data=raw, headers=headers, timeout=10)
    return {body["customerPhone"] for body in bodies}


def _spoilt(body: dict[str, Any], marker: str) -> list[tuple[str, bytes]]:
    """Paths and bodies: too long, broken, of the wrong type, with names of their own, and webhooks like that."""
    number = body["customerPhone"]
    call = body | {"message": marker}
    event = {"eventType": "SESSION_SUMMARY", "payload": {"sessionId": [number], "sessionStatus": marker}}
    odd = {"eventType": marker, "payload": {"destination": number, "details": {"callA": number}}}
    action = {
        "eventType": "CALL_ACTION",
        "payload": {"sessionId": "canary", "destination": number, "eventData": marker},
    }
    return [
        ("/api/make-call", json.dumps(call | {"message": marker * _LONG}).encode()),
        ("/api/make-call", json.dumps(call).encode()[:-1]),
        ("/api/make-call", json.dumps(call | {"repetition": number, marker: number}).encode()),
        ("/api/make-call", json.dumps(call | {"customerPhone": {"number": number}, "voice": marker}).encode()),
        ("/api/make-calls", json.dumps({"calls": [call | {"type": marker}, number], number: marker}).encode()),
        ("/api/webhooks/vss", json.dumps(event).encode()),
        ("/api/webhooks/vss", f"{marker} {number}".encode()),
        ("/api/webhooks/vss", json.dumps(odd).encode()),
        ("/api/webhooks/vca", json.dumps(action).encode()),
        ("/api/webhooks/vca", json.dumps(action).encode() * _LONG),
        (f"/v1/{marker}/{number}", json.dumps(call).encode()),
    ]
