"""All wiring, in one place: what a process needs, built from its settings and then passed on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

import dramatiq

from shared import failpoints
from shared.broker import WakeUpBroker
from shared.counters import Counters
from shared.db.database import Database
from shared.http import AddressGuard, HttpEdge, Route
from shared.http.own import OwnServices, own_services
from shared.jobs import Doorbell
from shared.pacing import Pace
from shared.sealing import Sealer
from shared.settings import Settings
from shared.tracing import tracer_of
from shared.verdict import Timing
from shared.voice_api.client import VoiceApi
from shared.voice_api.code_labels import code_label
from shared.voice_api.codes import Verdict
from shared.voice_api.exports import LogExports

if TYPE_CHECKING:
    from shared.spans import Tracer


@dataclass(frozen=True, slots=True)
class Services:
    """What every step may use. Built once per process, after any fork."""

    settings: Settings
    database: Database
    broker: WakeUpBroker
    doorbell: Doorbell
    sealer: Sealer
    voice_api: VoiceApi
    callbacks_edge: HttpEdge
    counters: Counters
    tracer: Tracer | None = None  # None: nothing is traced

    def close(self) -> None:
        """Ring what is left to ring and let go of every connection."""
        self.doorbell.close()
        self.counters.end()
        self.database.close()
        self.voice_api.edge.close()
        self.callbacks_edge.close()
        if self.tracer is not None:
            self.tracer.close()


def build_services(
    settings: Settings,
    *,
    application: str,
    redis_timeout_s: float = 1.0,
    middleware: list[dramatiq.Middleware] | None = None,
    pool_size: int = 4,
) -> Services:
    """
    Wire one process.

    Args:
        settings: With ``database_url`` and ``redis_url`` set.
        application: The process's name in ``pg_stat_activity``, and in traces.
        redis_timeout_s: Longest wait for Redis, in seconds.
        middleware: Of Dramatiq's worker.
        pool_size: PostgreSQL connections kept.
    """
    if settings.database_url is None or settings.redis_url is None:
        raise ValueError("the engines' URLs are not known; start this process through `ringpost up` or set them")
    failpoints.refuse_real_calls(settings.eight_x_eight_base_url)
    broker = WakeUpBroker(settings.redis_url, timeout_s=redis_timeout_s, middleware=middleware)
    counters = Counters()
    waited = partial(_count_wait, counters, application.removeprefix("ringpost-"))
    return Services(
        settings=settings,
        database=Database(settings.database_url, application=application, pool_size=pool_size, waited=waited),
        broker=broker,
        doorbell=Doorbell(broker),
        sealer=Sealer(*settings.data_keys),
        voice_api=build_voice_api(settings, answered=partial(_count_answer, counters)),
        callbacks_edge=HttpEdge(Route(AddressGuard(settings.callback_networks), _own_services(settings))),
        counters=counters,
        tracer=tracer_of(settings, application),
    )


def _count_wait(counters: Counters, process: str, seconds: float) -> None:
    counters.count("pool_waits", process).add()
    counters.count("pool_wait_seconds", process).add(seconds)


def _count_answer(counters: Counters, answer: Verdict, seconds: float) -> None:
    counters.durations("dial_answers", answer.disposition, code_label(answer.status_code)).observe(seconds)


def _own_services(settings: Settings) -> OwnServices:
    return own_services(settings.host, settings.port, settings.database_url, settings.redis_url)


def build_voice_api(settings: Settings, answered: Callable[[Verdict, float], None] = lambda *_: None) -> VoiceApi:
    """The way to 8x8; *answered* is told what became of each callflow, and after how many seconds."""
    return VoiceApi(
        base_url=settings.eight_x_eight_base_url,
        subaccount_id=settings.eight_x_eight_subaccount_id,
        api_key=settings.eight_x_eight_api_key.get_secret_value(),
        edge=HttpEdge(),
        total_timeout=settings.dial_timeout_seconds,
        answered=answered,
    )


def build_log_exports(settings: Settings) -> LogExports:
    """The way to 8x8's call log."""
    return LogExports(
        url=settings.eight_x_eight_export_url,
        subaccount_id=settings.eight_x_eight_subaccount_id,
        api_key=settings.eight_x_eight_api_key.get_secret_value(),
        edge=HttpEdge(),
        timeout_s=settings.export_timeout_seconds,
    )


def pace_of(settings: Settings) -> Pace:
    """What limits the dialling."""
    return Pace(
        subaccount_id=settings.eight_x_eight_subaccount_id,
        dials_per_second=settings.dials_per_second,
        max_in_flight=settings.max_calls_in_flight,
        lease_s=settings.call_lease_seconds,
        ring_s=settings.ring_seconds,
        daily_calls=settings.daily_calls,
        provider_daily_calls=settings.provider_daily_calls,
    )


def timing_of(settings: Settings) -> Timing:
    """How long calls take."""
    return Timing(
        ring_s=settings.ring_seconds,
        answer_s=settings.answer_seconds,
        grace_s=settings.vss_grace_seconds,
        breaker_s=settings.breaker_seconds,
    )


def callback_schedule(settings: Settings) -> tuple[timedelta, ...]:
    """The waits before each further try of a failed callback."""
    return tuple(timedelta(seconds=wait) for wait in settings.callback_waits)
