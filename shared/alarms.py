"""What of the service's figures somebody should look at now. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

#: Beyond this, in seconds, clocks are an alarm.
CLOCK_LIMIT_S: Final = 2.0
#: So long, in seconds, what is due may wait, and a sweeper be silent.
LATE_S: Final = 30.0
#: Beyond these shares, Redis's memory and the spool's disk are one.
MEMORY_LIMIT: Final = 0.6
DISK_LIMIT: Final = 0.8
#: Of a day's calls: from here on they are one, and still when they are used up.
CAP_LIMIT: Final = 0.8
UNDETERMINED_LIMIT: Final = 0.001
#: Below this share of calls heard, somebody calls numbers that nobody answers, or a carrier fails.
HEARD_LIMIT: Final = 0.2
#: So old, in seconds, doubts and webhooks without a match are not settled by 8x8's log or a late answer any more.
DOUBT_LIMIT_S: Final = 3600.0
UNMATCHED_LIMIT_S: Final = 600.0

Figures = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Alarm:
    """A name that stays, the figures that it goes by, and the sentence that says it; empty when all is well."""

    name: str
    figures: tuple[str, ...]
    tell: Callable[[Figures], str]

    @property
    def runbook(self) -> str:
        """Where to read what it means and what to do."""
        return f"deploy/runbook.md#{self.name}"


def _number(figures: Figures, name: str) -> float:
    """What is not known is no alarm: ``known`` tells of it."""
    return figures.get(name) or 0


def _when(is_so: object, sentence: str) -> str:
    return sentence if is_so else ""


def _unknown(figures: Figures) -> str:
    parts = [part for part, is_known in figures.get("known", {}).items() if not is_known]
    return _when(parts, f"nothing could be read of {', '.join(parts)}")


def _database(figures: Figures) -> str:
    return _when(figures.get("database_up") == 0, "PostgreSQL does not answer: nothing is accepted")


def _redis(figures: Figures) -> str:
    return _when(figures.get("redis_up") == 0, "Redis does not answer: work goes on, more slowly")


def _overdue(figures: Figures) -> str:
    late = {status: age for status, age in figures.get("overdue_s", {}).items() if age > LATE_S}
    return "; ".join(f"a message in status {status} is overdue by {age:.0f} s" for status, age in late.items())


def _late(name: str, what: str, limit_s: float) -> Callable[[Figures], str]:
    def tell(figures: Figures) -> str:
        age_s = _number(figures, name)
        return _when(age_s > limit_s, what.format(f"{age_s:.0f} s"))

    return tell


def _sweeper(figures: Figures) -> str:
    if "sweeper_silent_s" not in figures:
        return ""
    silent_s = figures["sweeper_silent_s"]
    if silent_s is None:
        return "no sweeper was ever heard of"
    return _when(silent_s > LATE_S, f"the sweeper is silent for {silent_s:.0f} s")


def _held(figures: Figures) -> str:
    held = _number(figures, "held_messages")
    return _when(held, f"{held} messages are held since PostgreSQL was promoted: `ringpost failover show`")


def _clock(figures: Figures) -> str:
    off_s = max(abs(_number(figures, "clock_ahead_s")), _number(figures, "sweeper_clock_off_s"))
    return _when(off_s > CLOCK_LIMIT_S, f"a clock is {off_s:.1f} s from PostgreSQL's")


def _breakers(figures: Figures) -> str:
    breakers = _number(figures, "breakers_open")
    return _when(breakers, f"8x8 refuses {breakers} accounts or caller ids: `ringpost status` names them")


def _consumers(figures: Figures) -> str:
    deaf = [queue for queue, consumers in (figures.get("consumers") or {}).items() if not consumers]
    return _when(deaf, f"no worker listens to {', '.join(deaf)}")


def _dead_letters(figures: Figures) -> str:
    dead = sum((figures.get("dead_letters") or {}).values())
    return _when(dead, f"{dead} jobs lie in Dramatiq's dead letter queues, which should be empty")


def _memory(figures: Figures) -> str:
    share = _number(figures, "redis_memory_share")
    return _when(share > MEMORY_LIMIT, f"Redis uses {share:.0%} of its memory")


def _disk(figures: Figures) -> str:
    share = _number(figures, "spool_disk_used_share")
    return _when(share > DISK_LIMIT, f"the disk of the webhook spool is {share:.0%} full")


def _unwritable(figures: Figures) -> str:
    return _when(figures.get("spool_writable") == 0, "no webhook can be written to the spool: its disk takes nothing")


def _spooled(figures: Figures) -> str:
    files = _number(figures, "spool_files")
    return _when(files, f"{files} files of webhooks wait for PostgreSQL")


def _undetermined(figures: Figures) -> str:
    share = _number(figures, "undetermined_share")
    return _when(share > UNDETERMINED_LIMIT, f"{share:.1%} of the last hour's messages ended undetermined")


def _unheard(figures: Figures) -> str:
    rows = [row for row in figures.get("answer_share_of") or () if row["share"] < HEARD_LIMIT]
    return "; ".join(
        f"of the last hour's calls of {row['provider']} to {row['country']} {row['share']:.0%} were heard"
        for row in rows
    )


def _fallen(figures: Figures) -> str:
    return "; ".join(figures.get("fallen") or ())


def _quarantined(figures: Figures) -> str:
    ranges = _number(figures, "quarantined_ranges")
    return _when(ranges, f"{ranges} ranges of numbers are in quarantine: `ringpost quarantines list`")


def _stops(figures: Figures) -> str:
    return "; ".join(
        f"calls are stopped: {what}; `ringpost stops list` tells why, `ringpost go {what}` ends it"
        for what in figures.get("stops") or ()
    )


def _caps(figures: Figures) -> str:
    full = {name: share for name, share in (figures.get("daily_cap_share") or {}).items() if share >= CAP_LIMIT}
    return "; ".join(
        f"{'all providers together' if name == '*' else f'provider {name}'} made {share:.0%} of the calls of a day:"
        " `ringpost providers list`"
        for name, share in full.items()
    )


def _parked(name: str, what: str) -> Callable[[Figures], str]:
    return lambda figures: _when(_number(figures, name), f"{figures.get(name)} {what}: `ringpost parked list`")


def _counted(name: str, what: str) -> Callable[[Figures], str]:
    return lambda figures: _when(_number(figures, name), f"{figures.get(name)} {what}")


ALARMS: Final = (
    Alarm("figures_unknown", ("known",), _unknown),
    Alarm("database_away", ("database_up",), _database),
    Alarm("redis_away", ("redis_up",), _redis),
    Alarm("message_overdue", ("overdue_s",), _overdue),
    Alarm(
        "callback_overdue",
        ("callbacks_overdue_s",),
        _late("callbacks_overdue_s", "a callback is overdue by {}", LATE_S),
    ),
    Alarm(
        "webhook_overdue",
        ("webhooks_overdue_s",),
        _late("webhooks_overdue_s", "a webhook of 8x8 is overdue by {}", LATE_S),
    ),
    Alarm("sweeper_silent", ("sweeper_silent_s",), _sweeper),
    Alarm("messages_held", ("held_messages",), _held),
    Alarm(
        "doubt_old",
        ("dial_unknown_messages", "dial_unknown_oldest_s"),
        _late("dial_unknown_oldest_s", "a call is in doubt for {}", DOUBT_LIMIT_S),
    ),
    Alarm("clock_off", ("clock_ahead_s", "sweeper_clock_off_s"), _clock),
    Alarm("breaker_open", ("breakers_open",), _breakers),
    Alarm("consumer_missing", ("consumers",), _consumers),
    Alarm("dead_letters", ("dead_letters",), _dead_letters),
    Alarm("redis_memory", ("redis_memory_share",), _memory),
    Alarm("disk_full", ("spool_disk_used_share",), _disk),
    Alarm("spool_unwritable", ("spool_writable",), _unwritable),
    Alarm("spool_waits", ("spool_files", "spool_bytes"), _spooled),
    Alarm("undetermined", ("undetermined_share",), _undetermined),
    Alarm("calls_stopped", ("stops",), _stops),
    Alarm("cap_near", ("daily_calls", "daily_cap_share"), _caps),
    Alarm("unheard", ("answer_share", "answer_share_of"), _unheard),
    Alarm("share_fallen", ("fallen_heard_share", "fallen_used_share"), _fallen),
    Alarm("range_quarantined", ("quarantined_ranges",), _quarantined),
    Alarm(
        "webhook_unmatched",
        ("unmatched_events", "unmatched_oldest_s"),
        _late("unmatched_oldest_s", "a webhook of an unknown call session waits for {}", UNMATCHED_LIMIT_S),
    ),
    Alarm(
        "webhook_contradicts",
        ("contradicting_events",),
        _counted(
            "contradicting_events",
            "webhooks of the last hour are at odds with the calls that they name: forged, or garbled",
        ),
    ),
    Alarm(
        "webhook_dropped",
        ("dropped_events",),
        _counted(
            "dropped_events",
            "webhooks of unknown calls were given up in the last hour: who else knows the webhooks' secret?",
        ),
    ),
    Alarm("events_parked", ("parked_events",), _parked("parked_events", "events are set aside")),
    Alarm("callbacks_parked", ("parked_callbacks",), _parked("parked_callbacks", "callbacks are set aside")),
    Alarm(
        "endpoint_failing",
        ("failing_endpoints",),
        _counted("failing_endpoints", "endpoints take no callback and will be disabled: `ringpost endpoints list`"),
    ),
    Alarm(
        "spool_parked",
        ("spool_parked_files",),
        _parked("spool_parked_files", "spooled webhooks cannot be stored"),
    ),
)


def ringing_alarms(figures: Figures) -> Iterator[Alarm]:
    """Each alarm that somebody should look at now."""
    return (alarm for alarm in ALARMS if alarm.tell(figures))


def ringing(figures: Figures) -> Iterator[tuple[str, str]]:
    """Their names and sentences."""
    return ((alarm.name, alarm.tell(figures)) for alarm in ringing_alarms(figures))
