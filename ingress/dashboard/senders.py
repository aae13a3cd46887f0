"""Who may send: providers with what they used of their caps, their keys; and the caller ids and voices of all."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from flask import redirect, url_for
from sqlalchemy import Connection
from werkzeug.wrappers import Response

from ingress.dashboard.pages import Note, Pages, act, asked, told, who
from ingress.site import Site
from shared.db import reports, traffic
from shared.db.queries import audit_log, daily_calls, keys, providers, sending_rules, voices
from shared.db.queries.daily_calls import caps_of
from shared.services import pace_of

_MOST: Final = 1000
_PAGE: Final = 2000
_NUMBER: Final = re.compile("[0-9]{1,15}")


def sender_pages(site: Site) -> Pages:
    """/dashboard/providers, /dashboard/senders, and the changes of providers and keys."""
    routes, run = Pages("senders", __name__), site.services.database.run
    caps = caps_of(pace_of(site.settings))

    @routes.page("/providers", "providers.html")
    def listed() -> Mapping[str, Any]:
        return run(lambda c: _providers(c, caps))

    @routes.page("/senders", "senders.html")
    def sources() -> Mapping[str, Any]:
        settings = site.settings
        called = {row["source"]: dict(row) for row in run(traffic.by_source, alone=True)}
        broken = {(row["scope"], row["name"]): dict(row) for row in run(reports.breakers, alone=True)}
        unused = {"calls": 0, "answered": 0, "answered_share": None, "refused": 0, "last_at": None}
        offered = run(voices.offered, alone=True)
        return {
            "sources": [
                {"source": one, **unused, **called.get(one, {}), "breaker": broken.get(("source", one))}
                for one in dict.fromkeys((*settings.sources, *called))
            ],
            "subaccount": {
                "id": settings.eight_x_eight_subaccount_id,
                "breaker": broken.get(("subaccount", settings.eight_x_eight_subaccount_id)),
            },
            "answers": run(traffic.answers, alone=True),
            "voices": [{"voice": code, "language": offered[code]} for code in sorted(offered)],
            "default_voice": settings.default_voice,
        }

    _add_changes(routes, site, caps)
    return routes


def _providers(connection: Connection, caps: Mapping[str, int | None]) -> dict[str, Any]:
    counted = {row["provider_id"]: row for row in daily_calls.counted(connection, caps, limit=_MOST)}
    shown = []
    for one in providers.list_providers(connection)[:_MOST]:
        used = counted.get(one["provider_id"])
        shown.append(
            one
            | {
                "calls_today": used["calls"] if used else 0,
                "daily_cap": used["cap"] if used else caps["provider_daily_calls"],
                "cap_share": used["share"] if used else None,
                "rules": sending_rules.rules(connection, one["provider_id"]),
            }
        )
    return {"providers": shown, "keys": keys.listed(connection)}


def _add_changes(routes: Pages, site: Site, caps: Mapping[str, int | None]) -> None:
    run = site.services.database.run

    @routes.post("/keys/<id_>/revoke")
    def revoke(id_: str) -> Response | tuple[str, int]:
        by = who()
        if run(lambda c: keys.revoke(c, id_, actor=by)):
            return redirect(url_for("senders.listed"), 303)
        return told("Nothing changed", "The key is revoked already, or there is none.", 409, url_for("senders.listed"))

    @routes.post("/providers/<id_>/disable")
    def disable(id_: str) -> Response | tuple[str, int]:
        return act(
            site,
            lambda c: providers.disable_provider(c, id_),
            Note("provider.disable", id_, {"disabled": False}, {"disabled": True}),
            back=url_for("senders.listed"),
            why="It is disabled already, or there is none.",
        )

    @routes.post("/providers/<id_>/cap")
    def cap(id_: str) -> Response | tuple[str, int]:
        calls = asked("calls")
        if calls not in ("none", "default") and not _NUMBER.fullmatch(calls):
            why = "The calls of a day are a number, none or default."
            return told("Nothing changed", why, 422, url_for("senders.listed"))
        if not run(_capped(id_, calls, caps)):
            return told("Nothing changed", "There is no such provider.", 404, url_for("senders.listed"))
        while run(lambda c: daily_calls.release(c, _PAGE, id_), alone=True) == _PAGE:
            pass  # what waits for midnight may be let go; what still meets the cap is put off again
        return redirect(url_for("senders.listed"), 303)


def _capped(id_: str, calls: str, caps: Mapping[str, int | None]) -> Callable[[Connection], bool]:
    by = who()

    def work(connection: Connection) -> bool:
        if providers.find_provider(connection, id_) != id_:
            return False
        before = daily_calls.of_provider(connection, caps, id_)[1]
        own = int(calls) if calls.isdecimal() else None
        daily_calls.set_cap(connection, id_, own, is_uncapped=calls == "none")
        states = {
            "before": {"daily_cap": before},
            "after": {"daily_cap": daily_calls.of_provider(connection, caps, id_)[1]},
        }
        audit_log.note(connection, by, "provider.cap", id_, **states)
        return True

    return work
