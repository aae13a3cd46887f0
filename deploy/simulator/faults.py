"""
The fault knobs: what the simulator gets wrong on request, how often and for how many requests.

As JSON: ``{"vss_duplicated": {"copies": 2, "count": 3}, "rate_limited": {"probability": 0.1}}``; ``true``
stands for no options.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final


class FaultError(ValueError):
    """A knob or its option is unknown or has a wrong value; the message says which ones exist."""


class Knob(StrEnum):
    """What can go wrong. The reply knobs are tried in this order and the first that hits is the reply."""

    SLOW_REPLY = "slow_reply"
    REFUSED = "refused"
    RATE_LIMITED = "rate_limited"
    ERROR_NOT_CREATED = "error_not_created"
    ERROR_EMPTY = "error_empty"
    BAD_GATEWAY_HTML = "bad_gateway_html"
    OK_NOT_CREATED = "ok_not_created"
    OK_WITHOUT_SESSION_ID = "ok_without_session_id"
    REPLY_LOST = "reply_lost"
    REPLY_NEVER = "reply_never"
    GARBAGE_BODY = "garbage_body"
    CUT_BODY = "cut_body"
    VSS_BEFORE_REPLY = "vss_before_reply"
    VSS_DROPPED = "vss_dropped"
    VSS_DELAYED = "vss_delayed"
    VSS_DUPLICATED = "vss_duplicated"
    VSS_OLD_CASING = "vss_old_casing"
    VSS_WITHOUT_ECHO = "vss_without_echo"
    VSS_UNKNOWN_STATUS = "vss_unknown_status"
    VCA_STRING_EVENT_DATA = "vca_string_event_data"
    VCA_NULL_EVENT_DATA = "vca_null_event_data"
    VCA_NO_EVENT_DATA = "vca_no_event_data"
    EXPORT_REFUSED = "export_refused"
    EXPORT_ENDS = "export_ends"
    EXPORT_GONE = "export_gone"
    EXPORT_LATE = "export_late"
    EXPORT_SPLIT = "export_split"
    EXPORT_DRIFTED = "export_drifted"
    EXPORT_NARROW = "export_narrow"
    EXPORT_CUT = "export_cut"


# Each knob's own options with their defaults; every knob also takes count and probability.
# "created" says whether a session exists behind the reply: the phone rings although nobody may know.
OPTIONS: Final[dict[Knob, dict[str, Any]]] = {
    Knob.SLOW_REPLY: {"seconds": 2.0},  # real seconds; the session exists from the start
    Knob.REFUSED: {"code": -1014},  # any statusCode, also 401, 403, 404
    Knob.RATE_LIMITED: {"retry_after_s": None},  # None: no Retry-After header
    Knob.ERROR_NOT_CREATED: {},
    Knob.ERROR_EMPTY: {"created": False, "code": 500},  # HTTP status
    Knob.BAD_GATEWAY_HTML: {"created": False},
    Knob.OK_NOT_CREATED: {"code": -9999},
    Knob.OK_WITHOUT_SESSION_ID: {"created": False},
    Knob.REPLY_LOST: {"created": True},  # connection reset
    Knob.REPLY_NEVER: {"created": True},  # until the client gives up
    Knob.GARBAGE_BODY: {"created": True},
    Knob.CUT_BODY: {"created": True},
    Knob.VSS_DELAYED: {"seconds": 5.0},  # real seconds
    Knob.VSS_DUPLICATED: {"copies": 2},  # in all
    Knob.EXPORT_REFUSED: {"code": 429, "retry_after_s": None},  # HTTP status of the job's POST
    Knob.EXPORT_ENDS: {"word": "failed"},  # how the job ends
    Knob.EXPORT_GONE: {},  # the job is known no longer
    Knob.EXPORT_LATE: {"seconds": 60.0},  # calls accepted less long ago are not listed yet
    Knob.EXPORT_SPLIT: {"copies": 2},  # files in all
    Knob.EXPORT_DRIFTED: {},  # other order of columns, other spelling, one more column, a byte order mark
    Knob.EXPORT_NARROW: {},  # without the column DestinationEndpoint
    Knob.EXPORT_CUT: {},  # the file ends within its last row
}
REPLY_KNOBS: Final = tuple(Knob)[1 : list(Knob).index(Knob.VSS_BEFORE_REPLY)]
VCA_KNOBS: Final = (Knob.VCA_STRING_EVENT_DATA, Knob.VCA_NULL_EVENT_DATA, Knob.VCA_NO_EVENT_DATA)


@dataclass(slots=True, kw_only=True)
class Fault:
    """One knob turned on. Only the options its knob has in ``OPTIONS`` mean anything."""

    knob: Knob
    count: int | None = None  # how many requests it hits; None: all
    probability: float = 1.0
    hits: int = 0
    seconds: float = 0.0
    code: int = 0
    copies: int = 1
    retry_after_s: float | None = None
    created: bool = False
    word: str = ""

    @classmethod
    def of(cls, knob_name: str, options: Any) -> Fault:
        """Build from JSON: an object of options, or true. Raises ``FaultError``."""
        if knob_name not in set(Knob):
            raise FaultError(f"unknown fault {knob_name}; known are {', '.join(Knob)}")
        knob = Knob(knob_name)
        defaults = OPTIONS.get(knob, {})
        if options is True:
            options = {}
        if not isinstance(options, Mapping):
            raise FaultError(f"{knob}: must be an object of options, or true")
        for name, value in options.items():
            _check_option(knob, name, value, {"count", "probability", *defaults})
        return cls(knob=knob, **{**defaults, **options})

    def strikes(self, luck: Callable[[], float]) -> bool:
        """Decide for one request, and count it."""
        if self.count is not None and self.hits >= self.count:
            return False
        if self.probability < 1 and luck() >= self.probability:
            return False
        self.hits += 1
        return True

    def as_json(self) -> dict[str, Any]:
        """The options in force, with the hits so far."""
        own = {name: getattr(self, name) for name in OPTIONS.get(self.knob, {})}
        return {**own, "count": self.count, "probability": self.probability, "hits": self.hits}


def _check_option(knob: Knob, name: str, value: Any, known: set[str]) -> None:
    if name not in known:
        raise FaultError(f"{knob}: unknown option {name}; known are {', '.join(sorted(known))}")
    if name == "created":
        is_good = isinstance(value, bool)
    elif name == "word" or isinstance(value, bool):
        is_good = name == "word" and isinstance(value, str) and value.isalpha()
    elif value is None:
        is_good = name in ("count", "retry_after_s")
    elif name == "code":
        is_good = isinstance(value, int)
    elif name in ("count", "copies"):
        is_good = isinstance(value, int) and value >= 0
    else:
        is_good = isinstance(value, int | float) and value >= 0
    if not is_good:
        raise FaultError(f"{knob}: {name} cannot be {value!r}")


@dataclass(slots=True)
class Faults:
    """The knobs turned on: for everybody, and for single destinations, which come first."""

    luck: Callable[[], float]
    everywhere: dict[Knob, Fault] = field(default_factory=dict)
    by_destination: dict[str, dict[Knob, Fault]] = field(default_factory=dict)

    def set(self, knob_name: str, *, destination: str | None = None, **options: Any) -> None:
        """Turn one knob on. Raises ``FaultError``."""
        fault = Fault.of(knob_name, options)
        target = self.everywhere if destination is None else self.by_destination.setdefault(destination, {})
        target[fault.knob] = fault

    def replace(self, knobs: Any, *, destination: str | None = None) -> None:
        """Turn exactly these knobs on, all others off; nothing changes when one is wrong (``FaultError``)."""
        if not isinstance(knobs, Mapping):
            raise FaultError("faults must be an object: knob name to options")
        faults = [Fault.of(name, options) for name, options in knobs.items() if options not in (None, False)]
        table = {fault.knob: fault for fault in faults}
        if destination is None:
            self.everywhere = table
        elif table:
            self.by_destination[destination] = table
        else:
            self.by_destination.pop(destination, None)

    def strike(self, knob: Knob, destination: str | None) -> Fault | None:
        """Return the fault when *knob* hits this request."""
        if not self.everywhere and not self.by_destination:
            return None
        for table in (self.by_destination.get(destination or "", {}), self.everywhere):
            fault = table.get(knob)
            if fault is not None and fault.strikes(self.luck):
                return fault
        return None

    def strike_first(self, knobs: Iterable[Knob], destination: str | None) -> Fault | None:
        """Return the first of *knobs* that hits."""
        if not self.everywhere and not self.by_destination:
            return None
        return next((fault for knob in knobs if (fault := self.strike(knob, destination)) is not None), None)

    def clear(self) -> None:
        """Turn everything off."""
        self.everywhere.clear()
        self.by_destination.clear()

    def as_json(self) -> dict[str, Any]:
        """What is on, and how often it has hit."""
        return {
            "faults": _table_json(self.everywhere),
            "destinations": {number: _table_json(table) for number, table in self.by_destination.items()},
        }


def _table_json(table: dict[Knob, Fault]) -> dict[str, Any]:
    return {str(knob): fault.as_json() for knob, fault in table.items()}
