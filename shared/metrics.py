"""Every metric that ``GET /metrics`` tells: its name, kind, labels and meaning. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Kind(StrEnum):
    """As Prometheus calls it."""

    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """
    One metric.

    ``figure`` is its name among the figures of :mod:`shared.vitals`, or of its own where it is made of ``series``,
    which processes count (:mod:`shared.counters`); labels of the series that it has not are summed up.
    """

    figure: str
    meaning: str
    labels: tuple[str, ...] = ()
    kind: Kind = Kind.GAUGE
    series: str | None = None

    @property
    def name(self) -> str:
        """Under which it is told; ``_s``, seconds, is written out. Of counters without their ``_total``."""
        figure = self.figure
        return f"ringpost_{figure.removesuffix('_s')}_seconds" if figure.endswith("_s") else f"ringpost_{figure}"

    @property
    def samples(self) -> tuple[str, ...]:
        """The names of its samples."""
        ends = {Kind.GAUGE: ("",), Kind.COUNTER: ("_total",), Kind.HISTOGRAM: ("_bucket", "_count", "_sum")}
        return tuple(self.name + end for end in ends[self.kind])


#: What processes count, and the labels of it.
SERIES: Final[Mapping[str, tuple[str, ...]]] = {
    "requests": ("route", "method", "status"),
    "dial_answers": ("disposition", "code"),
    "callback_posts": ("answer",),
    "sweeper_findings": ("found",),
    "pool_waits": ("process",),
    "pool_wait_seconds": ("process",),
}

_COUNTER: Final = Kind.COUNTER
_HISTOGRAM: Final = Kind.HISTOGRAM

METRICS: Final = (
    Metric("alarm", "Whether somebody should look at this now: 1 while the alarm rings.", ("alarm",)),
    Metric(
        "requests",
        "Requests, by route, method and class of the status. unrouted: a path that is none of ours; unread: turned away"
        " before it was routed.",
        SERIES["requests"],
        _COUNTER,
        "requests",
    ),
    Metric(
        "request_s",
        "Time from when all of a request was here to its answer; waits that it asked for are left out.",
        ("route", "method"),
        _HISTOGRAM,
        "requests",
    ),
    Metric(
        "dial_answers",
        "What became of the callflows that 8x8 was to be asked for, and its code.",
        SERIES["dial_answers"],
        _COUNTER,
        "dial_answers",
    ),
    Metric("dial_answer_s", "Time until that was known.", ("disposition",), _HISTOGRAM, "dial_answers"),
    Metric(
        "callback_posts",
        "Tries of callbacks, by class of the answer's status; none: no answer.",
        SERIES["callback_posts"],
        _COUNTER,
        "callback_posts",
    ),
    Metric("callback_post_s", "Time that they took.", (), _HISTOGRAM, "callback_posts"),
    Metric(
        "sweeper_findings",
        "What sweepers found overdue and moved on. lease_lapsed: a worker died or hung while it placed a call.",
        SERIES["sweeper_findings"],
        _COUNTER,
        "sweeper_findings",
    ),
    Metric(
        "pool_waits",
        "Waits for a connection to PostgreSQL while others of the process had them all.",
        SERIES["pool_waits"],
        _COUNTER,
        "pool_waits",
    ),
    Metric("pool_wait_s", "How long they took.", SERIES["pool_wait_seconds"], _COUNTER, "pool_wait_seconds"),
    Metric("dials", "Calls that 8x8 was asked for; what is spent grows with them.", (), _COUNTER),
    Metric("database_up", "PostgreSQL answered."),
    Metric("redis_up", "Redis answered."),
    Metric("known", "Whether the figures of this part could be read; if not, they are left out.", ("part",)),
    Metric("waiting_messages", "Messages that wait to be dialled now, by lane; counted up to 100000.", ("lane",)),
    Metric("oldest_waiting_s", "How long the one that is due longest is due; 0: none waits.", ("lane",)),
    Metric(
        "deadline_slack_s",
        "Time until the nearest deadline of what waits and is due; left out where nothing is.",
        ("lane",),
    ),
    Metric("recent_messages", "Messages that came in within the last ten minutes, the newest 2000 of all.", ("lane",)),
    Metric(
        "deadline_hit_share",
        "Of those that came to their end, the share that was called, and answered if at all, before its deadline.",
        ("lane",),
    ),
    Metric(
        "request_to_dial_s", "Of the same messages, the time from the request to the first dial.", ("lane", "quantile")
    ),
    Metric("request_to_answer_s", "The same, to the first answer.", ("lane", "quantile")),
    Metric("overdue_s", "Age of the longest overdue message, by status.", ("status",)),
    Metric("callbacks_overdue_s", "How long the callback that is due longest is due; below 0: until one is."),
    Metric("webhooks_overdue_s", "The same of 8x8's webhooks."),
    Metric("dial_unknown_messages", "Messages of which nobody knows whether a phone rang; counted up to 10000."),
    Metric("dial_unknown_oldest_s", "Age of the oldest of them."),
    Metric("held_messages", "Of them, those held back since PostgreSQL was promoted."),
    Metric("unmatched_events", "Webhooks of a call session that nobody knows."),
    Metric("unmatched_oldest_s", "Age of the oldest of them."),
    Metric("contradicting_events", "Webhooks of the last hour that name a call of ours and are at odds with it."),
    Metric("dropped_events", "Webhooks of unknown call sessions given up in the last hour, as too many waited."),
    Metric("parked_events", "Webhooks set aside after failing or killing their worker."),
    Metric("parked_callbacks", "Callbacks set aside after their last try."),
    Metric("failing_endpoints", "Endpoints that will be disabled, as each callback there fails since long."),
    Metric("endpoints", "Callback endpoints, by health: healthy, failing or disabled.", ("health",)),
    Metric(
        "open_callbacks",
        "Callbacks that wait for their endpoints, by the endpoint's health; counted up to 10000 of each.",
        ("health",),
    ),
    Metric("breakers_open", "Subaccounts and caller ids that 8x8 refuses at present."),
    Metric(
        "call_errors",
        "Of the newest 2000 calls of the last hour, those whose summary from 8x8 had this error code.",
        ("code",),
    ),
    Metric("sweeper_silent_s", "Time since a sweeper gave a sign of life."),
    Metric("sweeper_clock_off_s", "Largest difference between a sweeper's clock and PostgreSQL's."),
    Metric("clock_ahead_s", "PostgreSQL's clock before this process's."),
    Metric("undetermined_share", "Of the messages that ended in the last hour, those that ended undetermined."),
    Metric("answer_share", "Of the calls that rang and ended in the last hour, those that were heard."),
    Metric("answer_share_of", "The same by provider and country, of 20 calls or more.", ("provider", "country")),
    Metric(
        "fallen_heard_share",
        "Of the calls of a provider to a country, those that were heard, where far fewer than usual.",
        ("where",),
    ),
    Metric(
        "fallen_used_share",
        "Of the codes that were heard there, those that were used, where far fewer than usual.",
        ("where",),
    ),
    Metric("quarantined_ranges", "Ranges of numbers that are not called, as calls to them look like toll fraud."),
    Metric("stops", "What operators have stopped; 1 for each.", ("what",)),
    Metric(
        "daily_calls",
        "Calls of this day (UTC), of the providers with the fullest caps; * for all together.",
        ("provider",),
    ),
    Metric("daily_cap_share", "Their share of what may be made in a day.", ("provider",)),
    Metric("consumers", "Workers that listen to a queue.", ("queue",)),
    Metric("dead_letters", "Jobs in Dramatiq's dead letter queue, which should hold none, by queue.", ("queue",)),
    Metric("redis_memory_share", "Redis's memory, of what it may or can have."),
    Metric("spool_files", "Files of webhooks that wait for PostgreSQL."),
    Metric("spool_bytes", "Their size."),
    Metric("spool_parked_files", "Files of webhooks that could not be stored."),
    Metric("spool_writable", "Whether the spool's disk takes a webhook."),
    Metric("spool_disk_used_share", "How full the disk of the spool is."),
    Metric("spool_disk_free_bytes", "What is left of it."),
)
