"""One POST to an endpoint: signed, through the guarded way out, within the contract's time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Final

from shared import callback
from shared.http import HttpEdge, Limits, Reply, prepare
from shared.sealing import Sealer
from shared.settings import Settings

_REPLY_BYTES: Final = 16 * 1024
_KEPT_REPLY: Final = 1024  # characters shown to the provider


def limits_of(settings: Settings) -> Limits:
    """How long a POST may take, and how much of the answer is read."""
    return Limits(
        connect_s=settings.callback_connect_seconds,
        read_s=settings.callback_timeout_seconds,
        total_s=settings.callback_timeout_seconds,
        max_body=_REPLY_BYTES,
    )


def ready(edge: HttpEdge, limits: Limits, url: str, body: bytes, headers: dict[str, str]) -> partial[Reply]:
    """
    What sends *body* once when it is called; whatever is wrong with the URL is told now.

    Raises:
        ValueError: The URL or a header cannot be sent.
    """
    return partial(edge.send, prepare("POST", url), body, headers=headers, limits=limits)


def signed(
    sealer: Sealer, row: str, sealed: Sequence[bytes], event_id: str, body: bytes, at: datetime
) -> dict[str, str]:
    """
    The headers of one POST.

    Args:
        sealer: Opens the secrets.
        row: The endpoint's id.
        sealed: Its secrets, the newest first.
        event_id: The ``webhook-id``.
        body: What will be sent.
        at: When.

    Raises:
        Unsealable: A secret was sealed with another key, or for another endpoint.
        ValueError: A secret is none.
    """
    secrets = [sealer.unseal(one, row=row).decode() for one in sealed]
    return callback.headers(event_id, body, secrets=secrets, at=at)


def error_of(reply: Reply) -> str | None:
    """What is wrong with an answer; None for any 2xx."""
    return None if 200 <= reply.status < 300 else f"http_{reply.status}"


def readable(body: bytes) -> str:
    """The beginning of a reply as text that PostgreSQL can hold, without anything that a terminal would obey."""
    text = body[: 4 * _KEPT_REPLY].decode("utf-8", "replace")[:_KEPT_REPLY]
    return "".join(letter if letter.isprintable() or letter in "\n\t" else "\ufffd" for letter in text)
