"""The naive design's two jobs, on one queue of Dramatiq's own Redis broker: `dramatiq deploy.bench.naive.jobs`."""

from __future__ import annotations

import os
from typing import Any

import dramatiq
import requests
from dramatiq.brokers.redis import RedisBroker

from deploy.bench.naive.tables import Call, make_sessions
from shared import lifeline

_TIMEOUT_S = 10
_RETRIES = 3

lifeline.watch_parent()
broker: Any = RedisBroker(url=os.environ["NAIVE_REDIS_URL"])  # type: ignore[no-untyped-call]  # dramatiq has no types
dramatiq.set_broker(broker)
sessions = make_sessions()


def _place_call(call_id: int) -> None:
    """Ask 8x8 for the call, and note its session."""
    with sessions() as db:
        call = db.get_one(Call, call_id)
        response = requests.post(
            os.environ["NAIVE_VOICE_URL"],
            json={
                "callflow": [
                    {"action": "makeCall", "params": {"source": "+6531580001", "destination": call.phone}},
                    {"action": "say", "params": {"text": call.message, "repetition": call.repetition}},
                    {"action": "hangup"},
                ]
            },
            headers={"Authorization": "Bearer bench-api-key"},
            timeout=_TIMEOUT_S,
        )
        response.raise_for_status()
        call.session_id = response.json()["sessionId"]
        call.status = "placed"
        db.commit()


def _deliver_callback(call_id: int) -> None:
    """Tell the provider how the call ended."""
    with sessions() as db:
        call = db.get_one(Call, call_id)
        body = {"messageId": call.message_id, "status": call.status, "sessionId": call.session_id}
        requests.post(os.environ["NAIVE_CALLBACK_URL"], json=body, timeout=_TIMEOUT_S).raise_for_status()
        call.status = "reported"
        db.commit()


place_call: Any = dramatiq.actor(actor_name="place_call", max_retries=_RETRIES)(_place_call)
deliver_callback: Any = dramatiq.actor(actor_name="deliver_callback", max_retries=_RETRIES)(_deliver_callback)
