"""Always: what charts show of the past, and now and then whether every message is accounted for."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

import structlog
from sqlalchemy import Connection

from shared.db import conservation, reports, speed
from shared.db.database import Database, is_away
from shared.db.queries import figures
from shared.db.queries.daily_calls import caps_of
from shared.services import Services, pace_of
from shared.vitals import Vitals

#: Between two audits, in seconds, and how long a row may be overdue in one.
_AUDIT_EVERY_S: Final = 900
_AUDIT_GRACE_S: Final = 60
#: It reads whole tables.
_AUDIT_TIMEOUT_S: Final = 60
#: Of the figures that alarms go by, those that are charted.
CHARTED: Final = (
    "waiting_messages",
    "oldest_waiting_s",
    "deadline_slack_s",
    "dials",
    "undetermined_share",
    "answer_share",
    "callbacks_overdue_s",
    "webhooks_overdue_s",
)

log = structlog.get_logger()


def keep_recording(services: Services, stop: threading.Event) -> None:
    """Write a row every few seconds until *stop* is set; several may, and one at a time does."""
    recorder = Recorder(services)
    while not stop.wait(figures.EVERY_S):
        try:
            recorder()
        except Exception as error:
            if not is_away(error):
                log.exception("figures_not_recorded")
    recorder.close()


class Recorder:
    """Writes what is true now, unless another one did."""

    def __init__(self, services: Services) -> None:
        self._database = services.database
        settings = services.settings
        vitals = Vitals(services.database, services.broker.client, settings.spool_dir, caps_of(pace_of(settings)))
        self._vitals = vitals.read
        # The audit reads whole tables, as no statement of a worker may.
        self._audits = Database(
            str(settings.database_url),
            application="ringpost-audit",
            pool_size=1,
            statement_timeout_s=_AUDIT_TIMEOUT_S,
            by_index=False,
        )
        self._audit_due_at = time.monotonic() + figures.EVERY_S

    def __call__(self) -> None:
        """Write one row."""
        if not self._database.run(figures.is_time, alone=True):
            return
        vitals = self._vitals()
        row: dict[str, Any] = {name: vitals[name] for name in CHARTED if vitals.get(name) is not None}
        row |= self._database.run(_now)
        row |= self._audited()
        self._database.run(partial(figures.keep, figures=row), alone=True)

    def close(self) -> None:
        """Let go of the connection."""
        self._audits.close()

    def _audited(self) -> Mapping[str, Any]:
        """What an audit found, where one is due and no other sweeper made one."""
        if time.monotonic() < self._audit_due_at:
            return {}
        self._audit_due_at = time.monotonic() + _AUDIT_EVERY_S
        before = self._database.run(figures.latest_audit, alone=True)
        if before is not None and before["age_s"] < _AUDIT_EVERY_S:
            self._audit_due_at -= before["age_s"]
            return {}
        found = self._audits.run(partial(conservation.findings, grace_s=_AUDIT_GRACE_S))
        for one in found:
            log.error("audit_found", kind=one.kind, count=one.count, ids=list(one.ids))
        return {"audit": {one.kind: one.count for one in found}}


def _now(connection: Connection) -> dict[str, Any]:
    lately = speed.lately(connection)[0]
    return {
        "in_flight": reports.calls_in_flight(connection),
        "lately": {name: value for name, value in lately.items() if value is not None},
    }
