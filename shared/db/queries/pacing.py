"""The subaccount's row: what 8x8 was found to bear. The claim reads it and lets it grow; here it is cut."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from sqlalchemy import Connection, RowMapping, text

from shared import pacing
from shared.db.queries import audit_log, daily_calls
from shared.pacing import Pace

#: Dials a second: the setting's, or what an operator has set since.
_ALLOWED: Final = "COALESCE(s.pace_set, :rate)"
# `pacing.dials_per_second`, `burst` and `grown_lines`, as the claim's statement computes them: of its rows s, c and t.
RATE: Final = f"""LEAST({_ALLOWED}, GREATEST({pacing.SLOWEST}, COALESCE(
    s.pace_refused * (1 + {pacing.PACE_CUT} * power(
      GREATEST(0, EXTRACT(EPOCH FROM c.time - s.pace_cut_at)) / {pacing.PACE_HEALS_S} - 1, 3)),
    {_ALLOWED})))::float8"""
BURST: Final = f"GREATEST(1, s.rate * {pacing.BURST_S})"
KEPT: Final = f"LEAST(GREATEST(1, {pacing.OTP_RESERVE} * {BURST}), {BURST} - 1)"
_NEAR: Final = f"LEAST({pacing.NEAR_FROM} * t.refused, t.refused - 1)"
_STEP: Final = f"GREATEST(1, {pacing.STEP} * t.lines)"
GROWN: Final = f"""LEAST(t.most, CASE
      WHEN t.lines < {_NEAR} THEN LEAST({_NEAR}, t.lines + t.taken * {pacing.BACK})
      ELSE t.lines + t.taken * LEAST({pacing.QUICK}, {_STEP} / GREATEST({pacing.DIALS_A_STEP}, t.lines)
        * power(2, LEAST(GREATEST((t.lines - t.refused) / {_STEP} - 1, 0), 30))) END)"""


def open_pace(connection: Connection, subaccount_id: str, tokens: float) -> None:
    """Make sure that the subaccount has its row to pace by; a new one may dial *tokens* calls at once."""
    connection.execute(
        text("INSERT INTO subaccounts (subaccount_id, tokens) VALUES (:id, :tokens) ON CONFLICT DO NOTHING"),
        {"id": subaccount_id, "tokens": tokens},
    )
    daily_calls.open_counts(connection, [])


def allowed(pace: Pace, pace_set: float | None, lines_set: int | None) -> Pace:
    """The upper bounds: those of the settings, or what an operator has set since."""
    return replace(
        pace,
        dials_per_second=pace.dials_per_second if pace_set is None else pace_set,
        max_in_flight=pace.max_in_flight if lines_set is None else lines_set,
    )


#: What an operator writes for the setting's own limit.
_DEFAULT: Final = "default"
_FASTEST: Final = 100_000


def read_pace(words: str) -> float | None:
    """
    Dials a second as an operator writes them; None for ``default``.

    Raises:
        ValueError: It is no such number.
    """
    if words == _DEFAULT:
        return None
    try:
        pace = float(words)
    except ValueError:
        pace = 0
    if not pacing.SLOWEST <= pace <= _FASTEST:
        raise ValueError(f"dials a second are a number from {pacing.SLOWEST} to {_FASTEST}, or {_DEFAULT}")
    return pace


def read_lines(words: str) -> int | None:
    """
    Calls in flight as an operator writes them; None for ``default``.

    Raises:
        ValueError: It is no such number.
    """
    if words == _DEFAULT:
        return None
    if not (words.isascii() and words.isdecimal() and 1 <= int(words[:9]) <= _FASTEST):
        raise ValueError(f"calls in flight are a whole number from 1 to {_FASTEST}, or {_DEFAULT}")
    return int(words)


_SET: Final = text("""
WITH was AS (SELECT pace_set, lines_set FROM subaccounts WHERE subaccount_id = :id FOR NO KEY UPDATE)
UPDATE subaccounts s SET pace_set = :pace, lines_set = :lines, limits_set_by = :by, limits_set_at = now()
FROM was WHERE s.subaccount_id = :id
RETURNING was.pace_set AS old_pace, was.lines_set AS old_lines
""")


def set_limits(connection: Connection, pace: Pace, limits: tuple[float | None, int | None], *, by: str) -> None:
    """
    Dial at most so many calls a second, and have so many up at once, from the next claim on; None: the setting's.

    Args:
        connection: Of a transaction.
        pace: As settings say.
        limits: Dials a second and calls in flight.
        by: Who wants it; it is noted.
    """
    open_pace(connection, pace.subaccount_id, pacing.burst(pace.dials_per_second))
    asked = {"id": pace.subaccount_id, "pace": limits[0], "lines": limits[1], "by": by}
    was = connection.execute(_SET, asked).one()
    states = [{"dials_per_second": one[0], "calls_in_flight": one[1]} for one in (was, limits)]
    audit_log.note(connection, by, "pace.set", pace.subaccount_id, before=states[0], after=states[1])


@dataclass(slots=True)
class Refused:
    """Attempts that 8x8 refused for their number: of calls up at once (-2010), or a second (429)."""

    lines: list[str] = field(default_factory=list)
    pace: list[str] = field(default_factory=list)
    retry_after_s: float = 0.0

    def __bool__(self) -> bool:
        return bool(self.lines or self.pace)


@dataclass(frozen=True, slots=True)
class Slowed:
    """A limit that was cut: calls in flight, or dials a second."""

    limit: str
    was: float
    now: float
    in_flight: int
    held_s: float = 0.0


# Locked first and alone, so that what is read then includes every claim made before.
_LOCK: Final = text("SELECT 1 FROM subaccounts WHERE subaccount_id = :subaccount_id FOR NO KEY UPDATE")

_FACTS: Final = text("""
SELECT s.lines, s.pace_refused, s.pace_set, s.lines_set,
  EXTRACT(EPOCH FROM now() - s.pace_cut_at)::float8 AS pace_quiet_s,
  COALESCE(l.dialed_at > s.lines_cut_at, true) AS lines_new, l.dialed_at > now() - :fresh_s * interval '1 second'
    AS lines_fresh,
  COALESCE(p.dialed_at > s.pace_cut_at, true) AS pace_new,
  (SELECT count(*) FROM messages WHERE busy_until > now()) AS in_flight
FROM subaccounts s,
  (SELECT max(started_at) AS dialed_at FROM dial_attempts WHERE attempt_id = ANY (:lines)) l,
  (SELECT max(started_at) AS dialed_at FROM dial_attempts WHERE attempt_id = ANY (:pace)) p
WHERE s.subaccount_id = :subaccount_id
""")

_CUT_LINES: Final = text("""
UPDATE subaccounts SET lines = :bears, lines_refused = :refused, lines_cut_at = now()
WHERE subaccount_id = :subaccount_id
""")

_CUT_PACE: Final = text("""
UPDATE subaccounts SET pace_refused = :refused, pace_cut_at = now(), tokens = LEAST(tokens, 1), refilled_at = now()
WHERE subaccount_id = :subaccount_id
""")

_HOLD: Final = text("""
UPDATE subaccounts SET held_until = GREATEST(held_until, now() + :held_s * interval '1 second')
WHERE subaccount_id = :subaccount_id
""")


def slow_down(connection: Connection, pace: Pace, refused: Refused) -> list[Slowed]:
    """
    Dial fewer calls at once or a second, as 8x8 refused some for their number; tells what was cut.

    A transaction of its own, after the one that recorded the refusals: it locks nothing but the subaccount's row,
    which claims lock first.
    """
    asked = {"subaccount_id": pace.subaccount_id}
    connection.execute(_LOCK, asked)
    facts = connection.execute(
        _FACTS, {**asked, "fresh_s": pacing.FRESH_S, "lines": refused.lines, "pace": refused.pace}
    ).mappings().first()  # fmt: skip
    if facts is None:
        return []
    pace = allowed(pace, facts["pace_set"], facts["lines_set"])
    cuts = [_cut_lines(connection, pace, refused, facts), _cut_pace(connection, pace, refused, facts)]
    return [cut for cut in cuts if cut is not None]


def _cut_lines(connection: Connection, pace: Pace, refused: Refused, facts: RowMapping) -> Slowed | None:
    if not refused.lines:
        return None
    was = float(pace.max_in_flight) if facts["lines"] is None else min(facts["lines"], float(pace.max_in_flight))
    cut = pacing.cut_lines(
        was,
        in_flight=facts["in_flight"],
        is_new=facts["lines_new"],
        is_fresh=bool(facts["lines_fresh"]),
    )
    if cut is None:
        return None
    connection.execute(
        _CUT_LINES, {"subaccount_id": pace.subaccount_id, "bears": cut.bears, "refused": cut.refused}
    )  # fmt: skip
    return Slowed("calls_in_flight", was, cut.bears, facts["in_flight"])


def _cut_pace(connection: Connection, pace: Pace, refused: Refused, facts: RowMapping) -> Slowed | None:
    if not refused.pace:
        return None
    asked = {"subaccount_id": pace.subaccount_id}
    if refused.retry_after_s > 0:
        connection.execute(_HOLD, {**asked, "held_s": min(refused.retry_after_s, pacing.LONGEST_HOLD_S)})
    if not facts["pace_new"]:
        return None
    was = pacing.dials_per_second(
        pace.dials_per_second, facts["pace_refused"], quiet_s=max(0.0, facts["pace_quiet_s"] or 0.0)
    )
    connection.execute(_CUT_PACE, {**asked, "refused": was})
    now = pacing.dials_per_second(pace.dials_per_second, was, quiet_s=0)
    return Slowed("dials_per_second", was, now, facts["in_flight"], refused.retry_after_s)
