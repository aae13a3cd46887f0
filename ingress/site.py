"""What the routes of one ingress process share: committers, caches and the services under them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from ingress.auth import ProviderAuth, WebhookAuth
from ingress.cache import Refreshed
from ingress.feeds import Feeds
from ingress.filling import Templates
from ingress.forecast import Forecast
from ingress.guards import Guards, build_guards
from ingress.intake import Intake
from ingress.placements import Placements
from ingress.spool import Spool
from ingress.switches import Switches, read
from shared import failpoints, jobs, phone
from shared.backlog import Backlog
from shared.db.group_commit import Bounds, GroupCommitter
from shared.db.queries import accept, backlog, feed, inbox, voices
from shared.db.queries.accept import Accepted, NewMessage
from shared.db.queries.inbox import RawEvent
from shared.lifecycle import TO_DIAL, Lane
from shared.services import Services, pace_of
from shared.settings import Settings
from shared.voices import Voices

_VOICES_S: Final = 30
#: How long a call is taken to last after it was answered, in seconds, until some have ended.
_SPEAKING_S: Final = 10
#: Above 250 rows a second commits come at this distance, in seconds: fewer, larger, and cheaper for all.
_REST_ROW_S: Final = 0.004
_REST_S: Final = 0.02
#: The same for what 8x8 reports: in a burst a callback may leave a moment later, and a key press be answered so.
_EVENTS_REST_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class Site:
    """Built once per process, after the fork."""

    services: Services
    providers: ProviderAuth
    webhooks: WebhookAuth
    intake: Intake
    messages: GroupCommitter[NewMessage, Accepted]
    events: GroupCommitter[RawEvent, None]
    spool: Spool
    placements: Placements
    feeds: Feeds
    voices: Refreshed[Voices]
    forecast: Forecast
    guards: Guards
    templates: Templates
    #: The process is to end, and answers on until balancers have seen it.
    leaving: threading.Event = field(default_factory=threading.Event)

    @property
    def settings(self) -> Settings:
        """What the operator chose."""
        return self.services.settings


def build_site(services: Services) -> Site:
    """Wire the ingress."""
    settings, database = services.settings, services.database

    def store(rows: Sequence[NewMessage], patience_s: float) -> list[Accepted]:
        return database.run(lambda c: accept.store(c, rows), alone=True, patience_s=patience_s)

    def keep(rows: Sequence[RawEvent], patience_s: float) -> list[None]:
        database.run(lambda c: inbox.keep(c, rows), alone=True, patience_s=patience_s)
        return [None] * len(rows)

    def ring_lanes(stored: Sequence[Accepted]) -> None:
        failpoints.hit("accept.before_ring")
        for lane in {one.lane for one in stored if one.is_new and one.status in TO_DIAL}:
            services.doorbell.ring(jobs.PLACE_CALLS[Lane(lane)])

    def ring_events(_: object) -> None:
        services.doorbell.ring(jobs.RECONCILE_EVENTS)

    limits = partial(Bounds, rest_row_s=_REST_ROW_S)
    kept, stored = limits(waiting=5000, rest_s=_EVENTS_REST_S), limits(waiting=4000, rest_s=_REST_S)
    events = GroupCommitter("events", keep, after=ring_events, bounds=kept, ids_of=_of_event)
    forecast = _forecast(services)
    return Site(
        services=services,
        providers=ProviderAuth(database, settings),
        webhooks=WebhookAuth(settings),
        intake=_intake(services, forecast),
        messages=GroupCommitter("messages", store, after=ring_lanes, bounds=stored, ids_of=_of_message),
        events=events,
        spool=Spool(settings.spool_dir, events),
        placements=Placements(database),
        feeds=Feeds(lambda ids: database.run(partial(feed.lasts, provider_ids=ids), alone=True)),
        voices=_voices(services),
        forecast=forecast,
        guards=build_guards(services, forecast.now),
        templates=Templates(database),
    )


def _of_message(row: NewMessage) -> dict[str, str]:
    return {"message_id": row.id}


def _of_event(row: RawEvent) -> dict[str, str | None]:
    return {"session_id": row.session_id}


def _voices(services: Services) -> Refreshed[Voices]:
    default, database = services.settings.default_voice, services.database
    return Refreshed(
        "voices",
        lambda: Voices(default, database.run(voices.offered, alone=True)),
        Voices(default, {}),
        every_s=_VOICES_S,
    )


def _intake(services: Services, forecast: Forecast) -> Intake:
    settings, pace = services.settings, pace_of(services.settings)
    own_country = phone.country_of(settings.sources[0]) or ""
    switches = Switches(lambda: services.database.run(partial(read, pace=pace), alone=True))
    return Intake(settings, services.sealer, own_country, forecast.now, switches)


def _forecast(services: Services) -> Forecast:
    settings = services.settings
    account, pace, lines = settings.eight_x_eight_subaccount_id, settings.dials_per_second, settings.max_calls_in_flight
    return Forecast(
        lambda: services.database.run(lambda c: backlog.read(c, account, pace=pace, lines=lines), alone=True),
        Backlog(at=0, pace=pace, lines=lines),
        processes=settings.web_concurrency,
        # Until calls were seen to end, the operator's two limits are taken to fit each other: nobody is refused for
        # a length of calls that nobody measured.
        call_s=min(settings.answer_seconds + _SPEAKING_S, lines / pace),
    )
