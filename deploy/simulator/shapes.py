"""The documented shape of every action's parameters; what breaks it is -1009 with a JSON path."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

LONGEST_TEXT: Final = 3000  # code points


class ShapeError(ValueError):
    """An entry is not as documented; the message starts with its JSON path."""


@dataclass(frozen=True, slots=True)
class Param:
    """One parameter: what it must be, in code and in words."""

    fits: Callable[[Any], bool]
    wants: str
    is_required: bool = False


def check_text(value: Any, path: str, *, longest: int, is_required: bool = True) -> None:
    """Raise ``ShapeError`` unless *value* is a text of 1 to *longest* code points or rightly absent."""
    if value is None:
        if is_required:
            raise ShapeError(f"{path}: is missing but it is required")
    elif not isinstance(value, str) or not 0 < len(value) <= longest:
        raise ShapeError(f"{path}: must be a text of 1 to {longest} characters")


def parse_time(value: Any, path: str) -> datetime | None:
    """Read ``YYYY-MM-DDTHH:MM:SS[.SSS]Z``; both forms are in use. Raises ``ShapeError`` for any other."""
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) and value.endswith("Z") else None
    except ValueError:
        moment = None
    if moment is None:
        raise ShapeError(f"{path}: must be a UTC time such as 2026-10-05T09:14:30.000Z")
    return moment.astimezone(UTC)


def check_entry(entry: Any, path: str) -> None:
    """Raise ``ShapeError`` unless *entry* is an action with good parameters; unknown names pass here."""
    if not isinstance(entry, dict):
        raise ShapeError(f"{path}: must be an object")
    name = entry.get("action")
    if not isinstance(name, str):
        raise ShapeError(f"{path}.action: is missing but it is required")
    shape = ACTIONS.get(name)
    if not shape:
        return
    params = entry.get("params")
    if not isinstance(params, dict):
        raise ShapeError(f"{path}.params: is missing but it is required")
    if len(params) > MOST_PARAMS.get(name, len(shape)):
        raise ShapeError(f"{path}.params: has too many properties")
    for param_name, param in shape.items():
        value = params.get(param_name)
        if value is None:
            if param.is_required:
                raise ShapeError(f"{path}.params.{param_name}: is missing but it is required")
        elif not param.fits(value):
            raise ShapeError(f"{path}.params.{param_name}: must be {param.wants}")


def _text(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= LONGEST_TEXT


def _name(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _number_or_list(value: Any) -> bool:
    return _name(value) or (isinstance(value, list) and value != [])  # a list is well formed, but -1011


def _url(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(("http://", "https://"))


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _speed(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0.5 <= value <= 2


def _whole(least: int, most: int) -> Callable[[Any], bool]:
    def fits(value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most

    return fits


_REPETITION = Param(_whole(1, 3), "1, 2 or 3")
_SPEED = Param(_speed, "a number from 0.5 to 2")
_VOICE = Param(_name, "a speech profile code", is_required=True)
_MESSAGE = f"a text of 1 to {LONGEST_TEXT} characters"
_MILLISECONDS = Param(_whole(1, 600_000), "milliseconds")
_COUNT = Param(_whole(1, 25), "an integer from 1 to 25")

ACTIONS: Final[dict[str, dict[str, Param]]] = {
    "makeCall": {
        "source": Param(_name, "a caller id", is_required=True),
        "destination": Param(_number_or_list, "a phone number", is_required=True),
    },
    "say": {
        "text": Param(_text, _MESSAGE, is_required=True),
        "voiceProfile": _VOICE,
        "repetition": _REPETITION,
        "speed": _SPEED,
    },
    "sayAndCapture": {
        "promptMessage": Param(_text, _MESSAGE, is_required=True),
        "voiceProfile": _VOICE,
        "speed": _SPEED,
        "minDigits": _COUNT,
        "maxDigits": _COUNT,
        "digitTimeout": _MILLISECONDS,
        "overallTimeout": _MILLISECONDS,
        "completeOnHash": Param(_flag, "true or false"),
        "noOfTries": _COUNT,
        "successMessage": Param(_text, _MESSAGE),
        "failureMessage": Param(_text, _MESSAGE),
    },
    "playFile": {"fileUrl": Param(_url, "an http or https URL", is_required=True), "repetition": _REPETITION},
    "hangup": {},
}

# Unknown parameters pass, as 8x8's schema does not forbid them, but only up to these counts.
MOST_PARAMS: Final = {"makeCall": 2, "say": 5, "sayAndCapture": 25, "playFile": 5}
