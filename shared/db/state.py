"""What waits, what is under way and what is wrong: for `ringpost status` and the dashboard."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from sqlalchemy import Connection

from shared.alarms import LATE_S, ringing
from shared.db import reports, speed
from shared.services import pace_of
from shared.settings import Settings
from shared.times import age

#: Alarms that the tables tell more of.
_TOLD: Final = frozenset(
    {"sweeper_silent", "breaker_open", "message_overdue", "callback_overdue", "webhook_overdue", "redis_away"}
)


def gather(connection: Connection, settings: Settings) -> dict[str, Any]:
    """Everything that PostgreSQL knows of the present; for `ringpost status` and the dashboard."""
    pace = pace_of(settings)
    return {
        "lanes": [dict(row) for row in reports.lanes(connection)],
        "messages": [dict(row) for row in reports.open_messages(connection)],
        "calls": {
            "in_flight": reports.calls_in_flight(connection),
            "cap": pace.max_in_flight,
            **reports.limits(connection, pace),
        },
        "breakers": [dict(row) for row in reports.breakers(connection)],
        "callbacks": [dict(row) for row in reports.callback_states(connection)],
        "inbox": dict(reports.inbox(connection)),
        "lately": speed.lately(connection),
        "sweeper": {"silent_s": reports.sweeper_silence(connection)},
    }


def bad_news(state: Mapping[str, Any]) -> Iterator[str]:
    """A sentence for each thing that somebody should look at."""
    silent = state["sweeper"]["silent_s"]
    if silent is None or silent > LATE_S:
        since = "never was heard of" if silent is None else f"is silent for {age(silent)}"
        yield f"the sweeper {since}: is `ringpost up` running?"
    for row in state["breakers"]:
        yield f"8x8 refuses {row['scope']} {row['name']} ({row['reason']}): `ringpost doctor` tells more"
    for row in state["messages"]:
        if (row["oldest_overdue_s"] or 0) > LATE_S:
            yield f"a message in status {row['status']} is overdue by {age(row['oldest_overdue_s'])}"
    for row in state["callbacks"]:
        if row["state"] != "parked" and (row["oldest_s"] or 0) > LATE_S:
            yield f"a callback in state {row['state']} is overdue by {age(row['oldest_s'])}"
    if (state["inbox"]["oldest_overdue_s"] or 0) > LATE_S:
        yield f"a webhook of 8x8 is overdue by {age(state['inbox']['oldest_overdue_s'])}"
    if not state["redis"]["reachable"]:
        yield "Redis does not answer: work goes on by the sweeper's rounds alone, more slowly"
    yield from (sentence for name, sentence in ringing(state.get("vitals", {})) if name not in _TOLD)
