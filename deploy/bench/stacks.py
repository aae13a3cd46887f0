"""Sampled Python stacks, told apart by what the program was busy with. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

#: Parts by the files they are in, the first that fits. The innermost frame that is in one of these decides: what the
#: standard library does is done for somebody.
_PARTS: Final = (
    ("group commit", ("shared/db/group_commit.py",)),
    ("SQL client", ("shared/db/", "sqlalchemy/", "psycopg2/")),
    ("HTTP out", ("shared/http/", "requests/", "urllib3/", "http/client.py", "email/")),
    ("sealing and signing", ("shared/sealing.py", "shared/callback.py", "standardwebhooks/", "cryptography/")),
    ("phone numbers", ("shared/phone.py", "shared/numbering.py", "phonenumbers/")),
    ("estimate and gate", ("ingress/admission.py", "ingress/forecast.py", "ingress/gate.py", "ingress/learning.py",
                           "ingress/placements.py", "ingress/turns.py", "shared/backlog.py")),
    ("parsing and validating", ("ingress/bodies.py", "ingress/call_request.py", "shared/speech.py", "shared/voices.py",
                                "shared/voice_api/events.py", "shared/voice_api/fields.py", "pydantic")),
    ("Flask and server", ("flask/", "werkzeug/", "granian/", "ingress/lean.py", "ingress/server.py", "shared/strand.py",
                          "uvloop/", "asyncio/")),
    ("rings", ("dramatiq/", "redis/", "shared/broker.py", "shared/jobs.py")),
    ("threads in turn", ("workers/senders.py", "workers/single_flight.py", "shared/collector.py")),
    ("callflow and answer", ("shared/voice_api/",)),
    ("the step itself", ("ingress/", "workers/", "shared/")),
)  # fmt: skip
OTHER: Final = "other"
#: As they are drawn and listed.
PARTS: Final = (*(part for part, _ in _PARTS), OTHER)


def part_of(stack: str) -> str:
    """What one stack was busy with; frames as ``function (file:line)``, outermost first, between semicolons."""
    for frame in reversed(stack.split(";")):
        file = frame.rpartition("(")[2]
        for part, files in _PARTS:
            if file.startswith(files):
                return part
    return OTHER


def samples_by_part(lines: Iterable[str]) -> Counter[str]:
    """How often each part was met, in py-spy's raw format: a stack, a space and a count in each line."""
    found: Counter[str] = Counter()
    for line in lines:
        stack, _, count = line.strip().rpartition(" ")
        if stack and count.isdigit():
            found[part_of(stack)] += int(count)
    return found
