"""What a monitoring system asks for, in Prometheus's formats; nobody else may."""

from __future__ import annotations

import hmac
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from flask import Blueprint, Response, request

from ingress.problems import Problem
from ingress.site import Site
from shared.alarms import ALARMS, ringing
from shared.db.queries.daily_calls import caps_of
from shared.services import pace_of
from shared.vitals import Vitals

if TYPE_CHECKING:
    from prometheus_client import Metric

#: So long figures are told again, in seconds: however many ask, PostgreSQL is asked once.
_KEEP_S: Final = 5.0

#: Gauges, `ringpost_<figure>` each, and what they mean. A final `_s` is written `_seconds`.
_GAUGES: Final[Mapping[str, str]] = {
    "database_up": "PostgreSQL answered.",
    "redis_up": "Redis answered.",
    "known": "Whether the figures of this part could be read; if not, they are left out.",
    "waiting_messages": "Messages that wait to be dialled now, by lane; counted up to 100000.",
    "oldest_waiting_s": "How long the one that is due longest is due; 0: none waits.",
    "deadline_slack_s": "Time until the nearest deadline of what waits and is due; left out where nothing is.",
    "overdue_s": "Age of the longest overdue message, by status.",
    "callbacks_overdue_s": "How long the callback that is due longest is due; below 0: until one is.",
    "webhooks_overdue_s": "The same of 8x8's webhooks.",
    "dial_unknown_messages": "Messages of which nobody knows whether a phone rang; counted up to 10000.",
    "dial_unknown_oldest_s": "Age of the oldest of them.",
    "held_messages": "Of them, those held back since PostgreSQL was promoted.",
    "unmatched_events": "Webhooks of a call session that nobody knows.",
    "unmatched_oldest_s": "Age of the oldest of them.",
    "contradicting_events": "Webhooks of the last hour that name a call of ours and are at odds with it.",
    "dropped_events": "Webhooks of unknown call sessions given up in the last hour, as too many waited.",
    "parked_events": "Webhooks set aside after failing or killing their worker.",
    "parked_callbacks": "Callbacks set aside after their last try.",
    "failing_endpoints": "Endpoints that will be disabled, as each callback there fails since long.",
    "breakers_open": "Subaccounts and caller ids that 8x8 refuses at present.",
    "sweeper_silent_s": "Time since a sweeper gave a sign of life.",
    "sweeper_clock_off_s": "Largest difference between a sweeper's clock and PostgreSQL's.",
    "clock_ahead_s": "PostgreSQL's clock before this process's.",
    "undetermined_share": "Of the messages that ended in the last hour, those that ended undetermined.",
    "answer_share": "Of the calls that rang and ended in the last hour, those that were heard.",
    "answer_share_of": "The same by provider and country, of 20 calls or more.",
    "fallen_heard_share": "Of the calls of a provider to a country, those that were heard, where far fewer than usual.",
    "fallen_used_share": "Of the codes that were heard there, those that were used, where far fewer than usual.",
    "quarantined_ranges": "Ranges of numbers that are not called, as calls to them look like toll fraud.",
    "stops": "What operators have stopped; 1 for each.",
    "daily_calls": "Calls of this day (UTC), of the providers with the fullest caps; * for all together.",
    "daily_cap_share": "Their share of what may be made in a day.",
    "consumers": "Workers that listen to a queue.",
    "dead_letters": "Jobs in Dramatiq's dead letter queue, which should hold none, by queue.",
    "redis_memory_share": "Redis's memory, of what it may or can have.",
    "spool_files": "Files of webhooks that wait for PostgreSQL.",
    "spool_bytes": "Their size.",
    "spool_parked_files": "Files of webhooks that could not be stored.",
    "spool_writable": "Whether the spool's disk takes a webhook.",
    "spool_disk_used_share": "How full the disk of the spool is.",
    "spool_disk_free_bytes": "What is left of it.",
}
_COUNTERS: Final[Mapping[str, str]] = {"dials": "Calls that 8x8 was asked for; what is spent grows with them."}
#: Figures that are one by label, and the labels' names.
_LABELS: Final[Mapping[str, Sequence[str]]] = {
    "known": ("part",),
    **dict.fromkeys(("waiting_messages", "oldest_waiting_s", "deadline_slack_s"), ("lane",)),
    "overdue_s": ("status",),
    "consumers": ("queue",),
    "dead_letters": ("queue",),
    "answer_share_of": ("provider", "country"),
    "fallen_heard_share": ("where",),
    "fallen_used_share": ("where",),
    "stops": ("what",),
    "daily_calls": ("provider",),
    "daily_cap_share": ("provider",),
}


def metric_routes(site: Site) -> Blueprint:
    """GET /metrics, for whoever bears METRICS_TOKEN; without that setting there is no such address."""
    routes = Blueprint("metrics", __name__)
    services = site.services
    caps = caps_of(pace_of(site.settings))
    vitals = Vitals(services.database, services.broker.client, site.settings.spool_dir, caps)
    current = kept(vitals.read)

    @routes.get("/metrics")
    def metrics() -> Response:
        token = site.settings.metrics_token
        if token is None:
            raise Problem("not_found", "There are no metrics without METRICS_TOKEN.")
        asked = request.headers.get("Authorization", "").encode()
        if not hmac.compare_digest(asked, f"Bearer {token.get_secret_value()}".encode()):
            raise Problem("unauthorized", "The metrics need METRICS_TOKEN as a bearer token.")
        body, content_type = exposition(current(), request.headers.get("Accept", ""))
        return Response(body, content_type=content_type)

    return routes


def kept(read: Callable[[], dict[str, Any]]) -> Callable[[], dict[str, Any]]:
    """*read*, asked once in 5 s however many ask; by any thread."""
    lock = threading.Lock()
    last: list[tuple[float, dict[str, Any]]] = []

    def current() -> dict[str, Any]:
        with lock:
            if not last or time.monotonic() - last[0][0] > _KEEP_S:
                figures = read()
                last[:] = [(time.monotonic(), figures)]
            return last[0][1]

    return current


def exposition(figures: Mapping[str, Any], accepted: str = "") -> tuple[bytes, str]:
    """
    The figures as Prometheus reads them, and their content type; those that are not known are left out.

    Args:
        figures: Of :mod:`shared.vitals`.
        accepted: The request's Accept; OpenMetrics for whoever asks for it.
    """
    from prometheus_client import CollectorRegistry
    from prometheus_client.exposition import choose_encoder
    from prometheus_client.registry import Collector

    class Figures(Collector):
        def collect(self) -> Iterable[Metric]:
            return _families(figures)

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Figures())
    encode, content_type = choose_encoder(accepted)
    return encode(registry), content_type


def _families(figures: Mapping[str, Any]) -> Iterator[Metric]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    for figure, meaning in _GAUGES.items():
        if (value := figures.get(figure)) is not None:
            name = f"ringpost_{figure.removesuffix('_s')}_seconds" if figure.endswith("_s") else f"ringpost_{figure}"
            family = GaugeMetricFamily(name, meaning, labels=_LABELS.get(figure, ()))
            for labels, one in _samples(figure, value):
                family.add_metric(labels, one)
            yield family
    for figure, meaning in _COUNTERS.items():
        if (value := figures.get(figure)) is not None:
            yield CounterMetricFamily(f"ringpost_{figure}", meaning, value)
    alarms = GaugeMetricFamily("ringpost_alarm", "Whether somebody should look at this now.", labels=("alarm",))
    names = {name for name, _ in ringing(figures)}
    for alarm in ALARMS:
        alarms.add_metric((alarm.name,), alarm.name in names)
    yield alarms


def _samples(figure: str, value: Any) -> Iterator[tuple[Sequence[str], float]]:
    """Values of labels, and the value."""
    if isinstance(value, Mapping):
        yield from (((key,), one) for key, one in value.items())
    elif isinstance(value, list):
        yield from (([row[label] for label in _LABELS[figure]], row["share"]) for row in value)
    else:
        yield (), value
