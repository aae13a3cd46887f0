"""What may stand in addresses, queries and headers."""

from __future__ import annotations

from typing import Any, Final

from shared.lifecycle import TYPES, CallbackState, Mode, Status

_MOST: Final = 200


def _path(name: str, description: str, **schema: Any) -> dict[str, Any]:
    said = {"type": "string", **schema}
    return {"name": name, "in": "path", "required": True, "description": description, "schema": said}


def _query(name: str, description: str, **schema: Any) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": description, "schema": {"type": "string", **schema}}


def _several(name: str, description: str, items: dict[str, Any]) -> dict[str, Any]:
    """One value, or several with commas between."""
    schema = {"type": "array", "items": {"type": "string", **items}, "minItems": 1}
    return {
        "name": name, "in": "query", "description": description, "style": "form", "explode": False, "schema": schema,
    }  # fmt: skip


MESSAGE: Final = _path("id", "Our id of the message.", pattern="^msg_[0-9A-V]{26}$")
TEMPLATE: Final = _path("name", "The template's name.", pattern="^[a-z0-9][a-z0-9_-]{0,63}$")
KEY: Final = _path("id", "The key's id.", pattern="^key_[0-9A-V]{26}$")
ENDPOINT: Final = _path("id", "The endpoint's id.", pattern="^ep_[0-9A-V]{26}$")
DELIVERY: Final = _path("id", "The callback's id.", pattern="^cb_[0-9A-Za-z_]{1,64}$")
STATE: Final = _query("state", "Those that stand there.", enum=[*CallbackState])
WEBHOOK_KIND: Final = _path("kind", "Of webhook, as it was registered.", enum=["vss", "vcs", "vru", "vnu"])
PAGE: Final = _path("page", "Its name, such as `callbacks`, or a file's.")
LIMIT: Final = _query("limit", "How many on a page.", type="integer", minimum=1, maximum=_MOST, default=50)
AFTER: Final = _query("after", "The `next` of the page before.")
FEED_QUERY: Final = (
    _query("after", "The last sequence that you know.", type="integer", minimum=0, maximum=2**63 - 1, default=0),
    LIMIT,
    _query(
        "wait",
        "Seconds to wait for an event where there is none; when too many wait, the answer comes at once.",
        type="integer",
        minimum=0,
        maximum=25,
        default=0,
    ),
)
MESSAGE_QUERY: Final = (
    _query("messageId", "One message, by your id; nothing else counts then.", minLength=1, maxLength=128),
    _several("status", "Those where it stands.", {"enum": [*Status]}),
    _several("type", "Those of a type.", {"enum": [*TYPES]}),
    _query("mode", "Both unless given.", enum=[*Mode]),
    _several("country", "ISO alpha-2.", {"pattern": "^[A-Za-z]{2}$"}),
    _query("since", "Taken then or later.", format="date-time"),
    _query("until", "Taken before.", format="date-time"),
    _query("last4", "The number's last four digits.", pattern="^[0-9]{4}$"),
    LIMIT,
    AFTER,
)
SPAN: Final = tuple(one for one in MESSAGE_QUERY if one["name"] in {"since", "until"})
EXPORT_QUERY: Final = tuple(one for one in MESSAGE_QUERY if one["name"] not in {"messageId", "limit", "after"})
IDEMPOTENCY_KEY: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "Stands in for a messageId that is missing: 1 to 128 visible ASCII characters, in quotes or not.",
    "schema": {"type": "string", "examples": ['"8e03978e-40d5-43dd-bc93-6894a57f9324"']},
}
TRACEPARENT: Final = {
    "name": "traceparent",
    "in": "header",
    "description": "W3C Trace Context: the messages belong to this trace, if the service traces. Else it is not read.",
    "schema": {"type": "string", "examples": ["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"]},
}
PREFER: Final = {
    "name": "Prefer",
    "in": "header",
    "description": "`wait=5`: answer when 8x8 has, at most so many seconds (1 to 10) later.",
    "schema": {"type": "string", "examples": ["wait=5"]},
}
