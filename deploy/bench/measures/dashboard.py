"""How long does the server take for each page of the dashboard, with nothing stored and with 100,000 messages?"""

from __future__ import annotations

import re
import secrets
import statistics
import time
from typing import Any, Final

from deploy.bench import bulk
from deploy.bench.measures.growth import vacuum
from deploy.bench.result import Measured
from deploy.bench.scene import Scene
from deploy.commands.providers import create_provider
from shared.db.database import Database
from shared.db.migrate import migrate
from shared.operators import Role

_CHUNK: Final = 50_000
_ROUNDS: Final = 5
_NAME: Final = "bench"
_PASSWORD: Final = secrets.token_hex(16)
_PAGES: Final = (
    "now", "history.json", "messages", "messages?status=failed", "messages?q=old-77", "callbacks", "queues", "parked",
    "traffic", "providers", "senders", "audit", "settings", "operators", "account",
)  # fmt: skip


def dashboard(scene: Scene) -> Measured:
    """Each page of it in this process, without a network: what the server itself takes."""
    measured = Measured("dashboard", "Pages of the dashboard")
    scene.stage.stop_workers()
    for size, rows in (("empty", 0), ("full", scene.count(5_000, 100_000))):
        scene.tell(f"storing {rows:,} messages for the dashboard")
        url, endpoint_id = _filled(scene, size, rows)
        scene.tell(f"asking for the pages with {rows:,} messages")
        took = _timed(scene, url, endpoint_id)
        slowest = max(took, key=lambda page: took[page])
        measured.add(f"{size}_slowest", f"the slowest page, with {rows:,} messages (/{slowest})", took[slowest], "ms")
        for page, ms in took.items():
            measured.add(f"{size}_{re.sub('[^a-z]+', '_', page)}", f"/{page}, with {rows:,} messages", ms, "ms")
    return measured


def _filled(scene: Scene, name: str, rows: int) -> tuple[str, str]:
    """A database of delivered messages; its URL, and the endpoint that was told of them."""
    stage = scene.stage
    assert stage.engines.postgres is not None
    url = stage.engines.postgres.create_database(f"dashboard_{name}_{rows}")
    database = Database(url, application="bench", pool_size=1, statement_timeout_s=600)
    migrate(database)
    with database.transaction() as connection:
        made = create_provider(connection, stage.settings, "shown", None, "https://shown.example/callbacks")
    provider_id, endpoint_id = str(made["provider_id"]), str(made["endpoint_id"])
    for first in range(1, rows + 1, _CHUNK):
        with database.transaction() as connection:
            last = min(rows, first + _CHUNK - 1)
            bulk.fill_callbacks(connection, provider_id, endpoint_id, first, last, are_done=True)
    database.close()
    vacuum(url)
    return url, endpoint_id


def _timed(scene: Scene, url: str, endpoint_id: str) -> dict[str, float]:
    """Milliseconds of each page, the median of some rounds."""
    from ingress.dashboard.app import create_dashboard
    from ingress.site import build_site
    from shared import passwords
    from shared.db.queries import operators
    from shared.ids import new_id
    from shared.services import build_services

    changes = {"database_url": url, "dashboard_enabled": True}
    services = build_services(scene.stage.settings.model_copy(update=changes), application="bench")
    new = operators.NewOperator(new_id("op"), _NAME, Role.ADMIN, passwords.hashed(_PASSWORD))
    services.database.run(lambda c: operators.add(c, new, actor="bench"))
    site = build_site(services)
    try:
        browser = _signed_in(create_dashboard(site).test_client())
        pages = (*_PAGES, f"callbacks/{endpoint_id}")
        return {page.replace(endpoint_id, "{endpoint}"): _took_ms(browser, f"/dashboard/{page}") for page in pages}
    finally:
        parts = site.providers, site.voices, site.forecast, site.guards, site.feeds, site.spool
        for part in (*parts, site.messages, site.events):
            part.close()
        services.close()


def _signed_in(browser: Any) -> Any:
    form = browser.get("https://localhost/dashboard/sign-in").text
    token = re.search(r'name="csrf" value="([^"]+)"', form)
    assert token is not None
    headers = {"Sec-Fetch-Site": "same-origin", "Origin": "https://localhost"}
    told = {"csrf": token[1], "name": _NAME, "password": _PASSWORD}
    reply = browser.post("https://localhost/dashboard/sign-in", data=told, headers=headers)
    assert reply.status_code == 303, reply.text
    return browser


def _took_ms(browser: Any, path: str) -> float:
    took = []
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        reply = browser.get(f"https://localhost{path}")
        took.append(1000 * (time.perf_counter() - began))
        assert reply.status_code in (200, 303), path
    return statistics.median(took)
