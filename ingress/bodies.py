"""
Request bodies, read so strictly that nothing odd gets past: RFC 8259 JSON in UTF-8, without its gaps.

Flask's own reader answers 500 for deep nesting, and lets NaN, NUL and lone surrogates through to PostgreSQL.
"""

from __future__ import annotations

import json
from typing import Any, Final, NoReturn

from flask import Request

from ingress.problems import Problem

#: The longest body in bytes: of one call, of a batch, of a webhook. A summary has a few KiB.
CALL_LIMIT: Final = 16 * 1024
BATCH_LIMIT: Final = 2 * 1024 * 1024
WEBHOOK_LIMIT: Final = 256 * 1024

MAX_DEPTH: Final = 20
_PLAIN: Final = ("application/json", "")
_DIGITS: Final = 9  # of any length that is worth comparing


def read(request: Request, limit: int) -> bytes:
    """
    The raw body.

    Raises:
        Problem: 413 over *limit* bytes; 415 for another media type than JSON.
    """
    if request.environ.get("CONTENT_TYPE", "") not in _PLAIN and not _is_json(request.mimetype):
        raise Problem("unsupported_media_type", "Send the body as application/json.")
    raw = read_any(request, limit)
    if raw is None:
        raise Problem("body_too_large", f"The body may have at most {limit} bytes.")
    return raw


def _is_json(media_type: str) -> bool:
    return not media_type or media_type == "application/json" or media_type.endswith("+json")


def read_any(request: Request, limit: int) -> bytes | None:
    """The raw body whatever its type; None when it is over *limit* bytes."""
    announced = request.environ.get("CONTENT_LENGTH", "")
    if not announced.isdecimal():  # nonsense, or a server that tells none: werkzeug knows when it ends
        raw = request.stream.read(limit + 1)
        return None if len(raw) > limit else raw
    if len(announced) > _DIGITS or int(announced) > limit:
        return None
    body: bytes = request.environ["wsgi.input"].read(int(announced))
    return body


def parse(raw: bytes) -> Any:
    """
    The JSON value of *raw*.

    Raises:
        Problem: 400 for what is not JSON in UTF-8, nests over 20 levels, repeats a member, or holds NaN,
            a NUL or half a surrogate pair.
    """
    try:
        text = raw.decode("utf-8")
        value = _DECODER.decode(text)
    except UnicodeDecodeError:
        raise Problem("invalid_json", "The body is not UTF-8.") from None
    except RecursionError:
        raise Problem("invalid_json", f"The body nests deeper than {MAX_DEPTH} levels.") from None
    except json.JSONDecodeError as error:
        fault = "Unexpected UTF-8 BOM" if text.startswith("\ufeff") else error.msg
        raise Problem("invalid_json", f"{fault} at line {error.lineno}, column {error.colno}.") from None
    except ValueError:
        raise Problem("invalid_json", "A number in the body has too many digits.") from None
    if text.count("{") + text.count("[") > MAX_DEPTH and _depth(value) > MAX_DEPTH:
        raise Problem("invalid_json", f"The body nests deeper than {MAX_DEPTH} levels.")
    if "\\u" in text:
        _check_texts(value)
    return value


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        _raise_for_repeated(pairs)
    return members


def _raise_for_repeated(pairs: list[tuple[str, Any]]) -> None:
    known: set[str] = set()
    for name, _ in pairs:
        if name in known:
            raise Problem("invalid_json", f"The member {json.dumps(name[:64])} stands in the body more than once.")
        known.add(name)


def _constant(name: str) -> NoReturn:
    raise Problem("invalid_json", f"{name} is not JSON.")


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_members, parse_constant=_constant)


def _depth(value: Any) -> int:
    deepest = 0
    level = [value]
    while level:
        deepest += 1
        inner: list[Any] = []
        for one in level:
            if isinstance(one, dict):
                inner += one.values()
            elif isinstance(one, list):
                inner += one
        level = [one for one in inner if isinstance(one, dict | list)]
    return deepest


def _check_texts(value: Any) -> None:
    """Escapes can spell what UTF-8 cannot carry; neither PostgreSQL nor a voice could make anything of it."""
    if isinstance(value, str):
        if "\0" in value:
            raise Problem("invalid_json", "The body holds a NUL character.")
        if not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
            raise Problem("invalid_json", "The body holds half of a surrogate pair.")
    elif isinstance(value, dict):
        for name, one in value.items():
            _check_texts(name)
            _check_texts(one)
    elif isinstance(value, list):
        for one in value:
            _check_texts(one)
