"""
Named places between any two steps, where a drill can kill, fail or stop a process: ``failpoints.hit("dial.at_post")``.

``RINGPOST_FAILPOINTS`` arms them, ``;`` between several: ``dial.at_post=kill@1;accept.before_commit=pause:8@3`` kills
where a process passes the one for the first time, and waits 8 s where it passes the other for the third. Unarmed,
``hit`` is an empty function. ``RINGPOST_FAILPOINTS=@FILE`` reads them from a file, again whenever :func:`arm` has
replaced it: a drill arms the running service anew.

Each arming fires once, whatever process and however often it is started again: what fired is in ``failpoints.jsonl`` in
the data folder, written and synced before anything happens. ``#`` and a word at its end make the same arming a new one.
"""

from __future__ import annotations

import fcntl
import ipaddress
import json
import os
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import structlog

VARIABLE: Final = "RINGPOST_FAILPOINTS"
FILE_NAME: Final = "failpoints.jsonl"
#: How long a pause lasts when nothing else is said, in seconds: longer than any lease.
PAUSE_S: Final = 40.0

log = structlog.get_logger()


class Failpoint(NamedTuple):
    """One place: what it is called, the step it belongs to, the promise it tries, and what has happened there."""

    name: str
    step: str
    row: str  # I: ingress, C: calling, V: reports, S: reconciling, K: callbacks, D: sweeping
    meaning: str


#: All there are. A test compares them with the calls of :func:`hit`.
FAILPOINTS: Final = (
    Failpoint("accept.before_commit", "accept", "I1", "messages have gathered, nothing is stored"),
    Failpoint("accept.after_commit", "accept", "I4", "messages are stored, our own process does not know it yet"),
    Failpoint("accept.before_ring", "accept", "I3", "messages are stored, nobody rang"),
    Failpoint("accept.before_reply", "accept", "I2", "a message is stored and rung for, its sender has no answer"),
    Failpoint("ring.before_send", "ring", "I3", "a ring was asked for, Redis has not heard of it"),
    Failpoint("ring.after_send", "ring", "I3", "Redis has the ring"),
    Failpoint("webhook.before_commit", "webhooks", "I1", "webhooks have gathered, nothing is stored"),
    Failpoint("webhook.after_commit", "webhooks", "I2", "webhooks are stored, nobody rang, 8x8 has no answer"),
    Failpoint("webhook.before_reply", "webhooks", "I2", "a webhook is kept, 8x8 has no answer"),
    Failpoint("spool.before_write", "spool", "I6", "PostgreSQL did not take a webhook, nor has the disk yet"),
    Failpoint("spool.after_write", "spool", "I6", "a webhook is on disk, 8x8 has no answer"),
    Failpoint("spool.before_replay", "spool", "I6", "a spool file was read, nothing of it is stored"),
    Failpoint("spool.after_replay", "spool", "I6", "a spool file's webhooks are stored, the file is still there"),
    Failpoint("dial.before_claim", "place_calls", "C1", "a doorbell was heard, nothing is claimed"),
    Failpoint("dial.after_claim", "place_calls", "C5", "messages are claimed, our own process does not know it yet"),
    Failpoint("dial.before_give_back", "place_calls", "C5", "a claim whose answer was lost was not given back yet"),
    Failpoint("dial.before_start", "place_calls", "C2", "messages are claimed, no sender has one"),
    Failpoint("dial.before_post", "place_calls", "C6", "a sender has a message and has not looked at its lease yet"),
    Failpoint("dial.at_post", "place_calls", "C6", "the lease was looked at, no byte has left"),
    Failpoint("dial.after_post", "place_calls", "C3", "8x8 answered, nobody has read it"),
    Failpoint("dial.before_record", "place_calls", "C4", "answers of 8x8 have gathered, none is stored"),
    Failpoint("dial.after_record", "place_calls", "C4", "answers of 8x8 are stored, nobody rang"),
    Failpoint("reconcile.before_claim", "reconcile_events", "S1", "a doorbell was heard, nothing is claimed"),
    Failpoint("reconcile.after_claim", "reconcile_events", "S1", "webhooks are claimed, nothing is read"),
    Failpoint("reconcile.before_write", "reconcile_events", "V2", "what webhooks come to is decided and not stored"),
    Failpoint("reconcile.after_write", "reconcile_events", "S1", "statuses and callbacks are stored, no POST began"),
    Failpoint("reconcile.before_ring", "reconcile_events", "S1", "first POSTs have begun, nobody rang for the rest"),
    Failpoint("callback.before_claim", "deliver_callbacks", "K1", "a doorbell was heard, nothing is claimed"),
    Failpoint("callback.after_claim", "deliver_callbacks", "K1", "callbacks are claimed, none is on its way"),
    Failpoint("callback.before_post", "deliver_callbacks", "K1", "a sender has a callback, no byte has left"),
    Failpoint("callback.after_post", "deliver_callbacks", "K1", "the provider answered, nobody has read it"),
    Failpoint("callback.before_record", "deliver_callbacks", "K1", "providers' answers have gathered, none is stored"),
    Failpoint("callback.after_record", "deliver_callbacks", "K1", "providers' answers are stored"),
    Failpoint("sweep.before_move", "sweep", "D1", "overdue messages are locked, none is moved"),
    Failpoint("sweep.after_move", "sweep", "D1", "overdue messages are moved"),
    Failpoint("sweep.before_ring", "sweep", "D1", "what is overdue is moved, nobody rang"),
)  # fmt: skip
NAMES: Final = tuple(one.name for one in FAILPOINTS)


class Action(StrEnum):
    """What happens there."""

    KILL = "kill"  # kill -9 of our own process
    RAISE = "raise"  # FailpointHit
    PAUSE = "pause"  # this thread sleeps; on the ingress's event loop, all requests do


class FailpointError(Exception):
    """What is to be armed does not exist, or must not be armed here; the text says which failpoints there are."""


class FailpointHit(Exception):
    """Raised on purpose, in the place of any error that nobody thought of."""


@dataclass(frozen=True, slots=True)
class Arming:
    """What is to happen once, at the n-th time that one process passes a place."""

    text: str
    name: str
    action: Action
    seconds: float
    count: int


_ARMING: Final = re.compile(r"([a-z_.]+)=(kill|raise|pause)(?::([0-9.]+))?(?:@([0-9]+))?(?:#[\w.-]+)?")


def parse(text: str) -> tuple[Arming, ...]:
    """
    Read what ``RINGPOST_FAILPOINTS``, or its file, says; empty arms nothing.

    Raises:
        FailpointError: A part is not ``name=action:seconds@count#word``, or there is no such name.
    """
    return tuple(_arming(part.strip()) for part in text.split(";") if part.strip())


def _arming(part: str) -> Arming:
    match = _ARMING.fullmatch(part)
    if match is None:
        raise FailpointError(
            f"{VARIABLE}: {part!r} is not NAME=kill|raise|pause:SECONDS@COUNT, such as {NAMES[0]}=kill@1"
        )
    name, action, seconds, count = match.groups()
    if name not in NAMES:
        raise FailpointError(f"{VARIABLE}: there is no failpoint {name!r}; there are {', '.join(NAMES)}")
    try:
        return Arming(part, name, Action(action), float(seconds or PAUSE_S), max(1, int(count or 1)))
    except ValueError:
        raise FailpointError(f"{VARIABLE}: {part!r} names no number of seconds") from None


def arm(file: Path, armings: Sequence[str]) -> None:
    """
    Arm every process whose ``RINGPOST_FAILPOINTS`` is ``@`` and *file*; its count of what it passes begins anew.

    Raises:
        FailpointError: As :func:`parse`; what was armed before stays so.
    """
    text = ";".join(armings)
    parse(text)
    beside = file.with_suffix(".new")
    beside.write_text(text, encoding="utf-8")
    beside.replace(file)


class Armed:
    """What this process is to do; its :meth:`hit` takes the place of the empty one."""

    def __init__(self, source: str, file: Path) -> None:
        """
        Args:
            source: What to wait for, or ``@`` and the file that says so.
            file: Where what fired is written, by all processes and through all their lives.

        Raises:
            FailpointError: As :func:`parse`.
        """
        self._source = Path(source[1:]) if source.startswith("@") else None
        self._read: tuple[int, int] | None = None  # which version of the source
        self._armings = () if self._source else parse(source)
        self._file = file
        self._passed: Counter[str] = Counter()
        self._turn = threading.Lock()

    def hit(self, name: str, rows: Sequence[object] = ("one",)) -> None:
        """The process is at *name*, with *rows* in its hands; without any, it is as if it was not there."""
        if not rows:
            return
        with self._turn:
            self._read_again()
            self._passed[name] += 1
            count, armings = self._passed[name], self._armings
        for arming in armings:
            if arming.name == name and arming.count == count and self._is_first(arming):
                _act(arming)

    def _read_again(self) -> None:
        """Read the source, if there is one and it was replaced."""
        if self._source is None:
            return
        try:
            seen = self._source.stat()
        except FileNotFoundError:
            return
        if self._read != (version := (seen.st_ino, seen.st_mtime_ns)):
            self._read = version
            self._armings = parse(self._source.read_text(encoding="utf-8"))
            self._passed.clear()

    def _is_first(self, arming: Arming) -> bool:
        """Write down that *arming* fires, unless it did, here or elsewhere."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._file.open("a+", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # until it is closed, or its process dead
            file.seek(0)
            if any(one["arming"] == arming.text for one in _parsed(file)):
                return False
            record = {
                "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "name": arming.name,
                "action": arming.action,
                "arming": arming.text,
                "pid": os.getpid(),
            }
            file.write(json.dumps(record) + "\n")
            file.flush()
            os.fsync(file.fileno())
        return True


def _act(arming: Arming) -> None:
    if arming.action is Action.KILL:
        os.kill(os.getpid(), signal.SIGKILL)
    if arming.action is Action.RAISE:
        raise FailpointHit(arming.name)
    time.sleep(arming.seconds)


def _parsed(lines: Any) -> list[dict[str, Any]]:
    """Whole records; a line may end where its process did."""
    found = []
    for line in lines:
        with suppress(ValueError):
            found.append(json.loads(line))
    return found


def fired(folder: Path) -> list[dict[str, Any]]:
    """What has fired in the service whose data folder this is, oldest first: at, name, action, arming, pid."""
    try:
        with (folder / FILE_NAME).open(encoding="utf-8") as file:
            return _parsed(file)
    except FileNotFoundError:
        return []


def _nothing(name: str, rows: Sequence[object] = ("one",)) -> None:
    """Not armed."""


_source = os.environ.get(VARIABLE, "").strip()
#: Called as ``failpoints.hit(name)`` and never imported by name: which function it is was decided just here.
hit = _nothing
if _source:
    hit = Armed(_source, Path(os.environ.get("RINGPOST_DATA_DIR") or ".ringpost") / FILE_NAME).hit


def refuse_real_calls(voice_api_url: str) -> None:
    """
    Say loudly that failpoints are armed; nothing when none is.

    Raises:
        FailpointError: The 8x8 that this process would call is not on this machine: this is no drill.
    """
    if not _source:
        return
    if not _is_loopback(urlsplit(voice_api_url).hostname or ""):
        raise FailpointError(f"{VARIABLE} is for drills against a simulated 8x8 on this machine only: unset it")
    log.critical("failpoints_armed", armed=_source)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
