"""The pages: what they are called, and what is put into their templates."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from ingress.docs import reference
from ingress.docs.diagram import svg
from ingress.docs.errors import ADVICE
from ingress.problems import CODES
from shared.lifecycle import FINALS, TRANSITIONS, Status
from shared.reasons import MEANINGS

_HERE: Final = Path(__file__).parent

#: Title of each page, in the order of the menu; the first one is ``/docs`` itself.
PAGES: Final[Mapping[str, str]] = {
    "": "A first call",
    "otp": "Send a passcode",
    "callbacks": "Receive callbacks",
    "statuses": "Statuses and reasons",
    "errors": "Errors",
    "testing": "Test keys",
    "go-live": "Before you go live",
    "examples": "Examples",
    "reference": "Reference",
}
_HTML: Final = "text/html; charset=utf-8"
_TEXT: Final = "text/plain; charset=utf-8"


class Snippet(NamedTuple):
    """A file that is shown on a page and can be fetched by its name."""

    language: str
    name: str

    @property
    def text(self) -> str:
        """The file as it is."""
        return (_HERE / "snippets" / self.name).read_text("utf-8")


VERIFIERS: Final = (
    Snippet("Python", "verify.py"),
    Snippet("Node", "verify.mjs"),
    Snippet("Go", "verify.go"),
    Snippet("Java", "Verify.java"),
    Snippet("PHP", "verify.php"),
    Snippet("Shell and OpenSSL", "verify.sh"),
)
SENDERS: Final = (
    Snippet("curl", "send.sh"),
    Snippet("Python", "send.py"),
    Snippet("Node", "send.mjs"),
    Snippet("Go", "send.go"),
    Snippet("PHP", "send.php"),
    Snippet("Java", "Send.java"),
)
#: What each status means to who sends.
MEANT: Final[Mapping[Status, str]] = {
    Status.SCHEDULED: "Stored; its time has not come.",
    Status.QUEUED: "Stored; waits for a worker, or for a redial.",
    Status.DIALING: "A worker is asking 8x8 for the call.",
    Status.DIAL_UNKNOWN: "Nobody knows whether 8x8 took the call. It is not dialled again unless you asked for that.",
    Status.PLACED: "8x8 took the call; sessionId is known.",
    Status.ANSWERED: "8x8 reported from within the call.",
    Status.DELIVERED: "The text was spoken at least once. Wait for the code.",
    Status.NO_ANSWER: "Nobody answered. Offer to send again, or another channel.",
    Status.BUSY: "The phone was busy. Offer to send again, or another channel.",
    Status.CANCELED: "You took it back, or the call ended before it was connected; the reason tells which.",
    Status.FAILED: "8x8 refused or could not complete the call; the reason tells whose side it was.",
    Status.EXPIRED: "The deadline passed before the phone could be dialled. Use another channel.",
    Status.BLOCKED: "The number is not to be called, or a limit was met. Do not send again.",
    Status.UNDETERMINED: "8x8 never told how the call ended; message.corrected follows if it does.",
}


_SNIPPETS: Final = frozenset(one.name for one in (*VERIFIERS, *SENDERS))
_STYLE: Final = "style.css"
_DRAWING: Final = "statuses.svg"
NAMES: Final = frozenset((*PAGES, *_SNIPPETS, _STYLE, _DRAWING))


def file(name: str) -> tuple[bytes, str] | None:
    """
    What ``/docs/<name>`` is: its bytes and media type; None when there is no such page or file.

    Nothing in it depends on who asks: each is made once a process.
    """
    return _made(name) if name in NAMES else None


@cache
def _made(name: str) -> tuple[bytes, str]:
    if name == _STYLE:
        return (_HERE / "static" / name).read_bytes(), "text/css; charset=utf-8"
    if name == _DRAWING:
        return svg().encode(), "image/svg+xml"
    if name in _SNIPPETS:
        return (_HERE / "snippets" / name).read_bytes(), _TEXT
    return _page(name).encode(), _HTML


def _page(name: str) -> str:
    template = _environment().get_template(f"{name or 'index'}.html")
    return template.render(page=name, title=PAGES[name], pages=PAGES, **_known(name))


def _known(name: str) -> dict[str, Any]:
    """What the page's template asks for."""
    if name == "errors":
        return {"errors": [(code, status, title, ADVICE[code]) for code, (status, title) in CODES.items()]}
    if name == "statuses":
        moves = [(event.value, step) for event, step in TRANSITIONS.items()]
        return {"meant": MEANT, "finals": FINALS, "reasons": MEANINGS, "moves": moves, "order": list(Status)}
    if name == "reference":
        return {"routes": reference.routes(), "models": reference.models()}
    return {"verifiers": VERIFIERS, "senders": SENDERS}


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["words"] = _words
    return environment


def _words(text: str) -> Markup:
    """A sentence, what stands between backticks as code."""
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704  escaped before
