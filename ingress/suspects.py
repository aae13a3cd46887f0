"""Looks at what is worth a look, and quarantines what is called as toll fraud calls."""

from __future__ import annotations

import structlog
from sqlalchemy import Connection

from ingress import suspicion
from ingress.suspicion import Calls, Pattern
from ingress.watch import Candidate, Watch
from shared.db.database import Database
from shared.db.queries import quarantines
from shared.ids import new_id

log = structlog.get_logger()


class Suspects:
    """One process's looks. What it finds holds for every process as soon as that has read it."""

    def __init__(self, database: Database, watch: Watch, *, for_s: float) -> None:
        """
        Args:
            database: Where evidence is, and quarantines go.
            watch: What came to this process.
            for_s: How long a quarantine lasts, in seconds.
        """
        self._database = database
        self._watch = watch
        self._for_s = for_s

    def look(self, now: float) -> list[str]:
        """One look at *now* (s since 1970); the ids of new quarantines. PostgreSQL is asked of suspects only."""
        found = []
        for candidate in self._watch.candidates(now):
            pattern = Pattern(candidate.messages, candidate.share, candidate.usual_share, candidate.tails)
            if suspicion.is_sequence(pattern.tails) or suspicion.is_crowd(pattern):
                id_ = self._database.run(lambda c, one=candidate, how=pattern: self._judge(c, one, how))  # type: ignore[misc]
                found += [id_] if id_ else []
        return found

    def _judge(self, connection: Connection, candidate: Candidate, pattern: Pattern) -> str | None:
        seen = candidate.seen
        samples = {"range": candidate.ids, "others": candidate.other_ids}
        known = {name: Calls(**row) for name, row in quarantines.evidence(connection, samples).items()}
        usual = Calls(**quarantines.usual(connection, seen.provider_id))
        said = suspicion.why(
            pattern,
            known.get("range", Calls()),
            known.get("others", Calls()),
            usual,
            strict=seen.mode == "strict",
        )
        if said is None:
            return None
        id_ = new_id("qua")
        values = {
            "provider_id": seen.provider_id,
            "key": seen.range_key,
            "masked": seen.shown,
            "country": seen.country,
            "why": said,
        }
        is_new = quarantines.add(connection, id_, values, for_s=self._for_s)
        self._watch.forget(seen.provider_id, seen.range_key)
        if is_new:
            log.error("range_quarantined", quarantine_id=id_, provider_id=seen.provider_id, range=seen.shown, why=said)
        return id_ if is_new else None
