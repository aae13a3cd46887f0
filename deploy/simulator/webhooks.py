"""Registered webhooks and their POSTs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import aiohttp

from deploy.simulator.payloads import Body

TYPES: Final = ("VCS", "VCA", "VSS", "VRU", "VNU")
VSS_TIMEOUT_S: Final = 10.0  # real seconds; 8x8 documents none
RETRY_WAITS_S: Final = (1.0, 10.0, 30.0, 90.0)  # as 8x8's messaging products retry


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """One registration: a subaccount has at most one for each type."""

    kind: str
    url: str
    auth_header: str | None = None
    is_enabled: bool = True

    def as_json(self) -> Body:
        """The registration without its secret, as 8x8 shows it."""
        return {
            "type": self.kind,
            "url": self.url,
            "enabled": self.is_enabled,
            "httpAuthHeaderAvailable": self.auth_header is not None,
        }


def webhook_from(body: Any) -> Webhook | str:
    """Read a registration; a text says what is wrong with it. Members nobody documented are ignored."""
    if not isinstance(body, dict) or body.get("type") not in TYPES:
        return f"type: must be one of {', '.join(TYPES)}"
    url = body.get("url")
    if not isinstance(url, str) or not url.startswith(("http://", "https://")):
        return "url: must be an http or https URL"
    auth_header, is_enabled = body.get("httpAuthHeader"), body.get("enabled", True)
    if auth_header is not None and not isinstance(auth_header, str):
        return "httpAuthHeader: must be a text"
    if not isinstance(is_enabled, bool):
        return "enabled: must be true or false"
    return Webhook(kind=body["type"], url=url, auth_header=auth_header, is_enabled=is_enabled)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back from a webhook's POST, and when it was sent."""

    sent_at: datetime
    came_back: int | str
    body: bytes = b""

    @property
    def is_ok(self) -> bool:
        """Whether 8x8 would leave it at that."""
        return isinstance(self.came_back, int) and 200 <= self.came_back < 300


async def post(http: aiohttp.ClientSession, webhook: Webhook, body: Body, *, timeout_s: float) -> Answer:
    """POST once, the registered header verbatim in Authorization; what the other side does never raises."""
    headers = {"Content-Type": "application/json"}
    if webhook.auth_header is not None:
        headers["Authorization"] = webhook.auth_header
    sent_at = datetime.now(UTC)
    try:
        async with http.post(
            webhook.url,
            data=json.dumps(body).encode(),
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=timeout_s),
            allow_redirects=False,
        ) as response:
            return Answer(sent_at, response.status, await response.read())
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        return Answer(sent_at, type(error).__name__)
