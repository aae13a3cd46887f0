"""What waits, what is under way and what is wrong: for `ringpost status` and the dashboard."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from sqlalchemy import Connection, RowMapping

from shared.alarms import LATE_S, ringing
from shared.db import reports, speed, traffic
from shared.db.queries import figures
from shared.services import pace_of
from shared.settings import Settings
from shared.times import age

#: Alarms that the tables tell more of.
_TOLD: Final = frozenset(
    {"sweeper_silent", "breaker_open", "message_overdue", "callback_overdue", "webhook_overdue", "redis_away"}
)


def present(
    connection: Connection, settings: Settings, vitals: Mapping[str, Any], redis: Mapping[str, Any]
) -> dict[str, Any]:
    """
    Everything that is known of the present.

    Args:
        connection: In a transaction.
        settings: Of this process.
        vitals: Of :mod:`shared.vitals`.
        redis: Whether it is ``reachable``, and more.
    """
    state = {**_gathered(connection, settings), "vitals": vitals, "redis": redis}
    state["calls"]["dialed_per_second"] = _rate(vitals.get("dials"), figures.latest(connection))
    state["bad_news"] = list(_bad_news(state))
    return state


def _rate(dials: int | None, latest: RowMapping | None) -> float | None:
    """Dials a second since the figures were written last."""
    if dials is None or latest is None or latest["figures"].get("dials") is None or latest["age_s"] <= 0:
        return None
    rate: float = (dials - latest["figures"]["dials"]) / latest["age_s"]
    return max(0.0, rate)


def _gathered(connection: Connection, settings: Settings) -> dict[str, Any]:
    pace, audit = pace_of(settings), figures.latest_audit(connection)
    return {
        "at": reports.moment(connection),
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
        "answers": [dict(row) for row in traffic.answers(connection)],
        "audit": None if audit is None else dict(audit),
    }


def _bad_news(state: Mapping[str, Any]) -> Iterator[str]:
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
