"""What must be found nowhere, in the forms in which it could hide. Pure."""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Iterable, Iterator
from typing import Final

#: Last digits of a number, which may be shown; the stem before them may not.
_SHOWN: Final = 4
_LEAST_STEM: Final = 8
#: What people and programs write between digits.
_BETWEEN: Final = b" -().\t"
#: Longer than any form of what is looked for, in bytes.
REACH: Final = 512


class Needles:
    """
    Texts and full phone numbers, plain, in base64, in hexadecimal and escaped as JSON may.

    Numbers are looked for by what they begin with, however their digits are parted: one look serves all of a drill.
    """

    def __init__(self, texts: Iterable[str], numbers: Iterable[str]) -> None:
        self._forms: Final[dict[bytes, str]] = {}
        for text in texts:
            self._forms[text.encode()] = "a text"
            self._forms.update(dict.fromkeys(_disguises(text.encode()), "a text in disguise"))
        stems = {number.lstrip("+")[:-_SHOWN] for number in numbers}
        if short := [stem for stem in stems if len(stem) < _LEAST_STEM]:
            raise ValueError(f"{len(short)} numbers are too short to be told from others")
        for stem in stems:
            self._forms.update(dict.fromkeys(_disguises(stem.encode()), "a number in disguise"))
        alternatives = b"|".join(stem.encode() for stem in sorted(stems))
        self._number = re.compile(rb"(?:%b)[0-9]{%d}" % (alternatives, _SHOWN)) if stems else None

    def found_in(self, data: bytes) -> set[str]:
        """What of it is there: ``a text``, ``a number``, each perhaps ``in disguise``."""
        found = {what for form, what in self._forms.items() if form in data}
        if self._number is not None and self._number.search(data.translate(None, _BETWEEN)):
            found.add("a number")
        return found


def _disguises(plain: bytes) -> Iterator[bytes]:
    yield plain.hex().encode()
    yield plain.hex().upper().encode()
    yield "".join(f"\\u{byte:04x}" for byte in plain).encode()
    # In the middle of something longer it may stand at each of three places, and its edges are its neighbours'.
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + plain)
        yield encoded[math.ceil(before * 8 / 6) : (before + len(plain)) * 8 // 6]
