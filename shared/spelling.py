"""
How a code is spoken: one character at a time, in groups that can be kept in mind, apart from the words around it.

8x8 has no markup that would do it, so that punctuation must: a voice pauses at a comma, and longer at a semicolon.
"""

from __future__ import annotations

import re
from typing import Final

from shared.languages import Language, language_of

CODE: Final = re.compile(r"[0-9A-Za-z]{3,12}")
PLACE: Final = "{code}"

#: How many characters stand together, by how many there are; fewer stand all together.
_GROUPS: Final = {6: (3, 3), 7: (3, 4), 8: (4, 4), 9: (3, 3, 3), 10: (3, 3, 4), 11: (4, 4, 3), 12: (4, 4, 4)}
#: Where a voice pauses of itself.
_PAUSES: Final = frozenset(",;:.!?\u2026\u2013\u2014،؛؟。、।\uff0c\uff1b\uff1a\uff01\uff1f")
_CLOSING: Final = "\"')]}\u00bb\u2019\u201d\u300d\u300f\u3011\uff09"


def spell(code: str, language: str) -> str:
    """
    Set a code so that it is spoken one character at a time: "4, 0, 7; 1, 9, 2".

    Args:
        code: 3 to 12 digits or Latin letters; letters are spelled as capitals, leading zeros stay.
        language: BCP 47 tag, or a voice's code.

    Raises:
        ValueError: The code is another one. The sentence never holds it.
    """
    if not CODE.fullmatch(code):
        raise ValueError("code: must be 3 to 12 digits or letters A to Z")
    spoken = language_of(language)
    groups, begun = [], 0
    for size in _GROUPS.get(len(code), (len(code),)):
        groups.append(spoken.pause.join(code[begun : begun + size].upper()))
        begun += size
    return spoken.long_pause.join(groups)


def with_code(message: str, code: str, language: str) -> str:
    """
    The message with the spelled code wherever ``{code}`` stands, and a pause where it would run into a word.

    Raises:
        ValueError: As of :func:`spell`.
    """
    spelled, spoken = spell(code, language), language_of(language)
    first, *others = message.split(PLACE)
    said = first
    for number, after in enumerate(others, start=1):
        is_last = number == len(others)
        said = _parted_before(said, spoken) + spelled + _parted_after(spelled, after, spoken, is_last=is_last)
    return said


def _parted_before(before: str, spoken: Language) -> str:
    """What stands before a code; a digit or Latin letter that touches it would be read as one with it."""
    last = before[-1:]
    touches = last.isdecimal() or (last.isascii() and last.isalpha())
    return before + spoken.pause if touches else before


def _parted_after(spelled: str, after: str, spoken: Language, *, is_last: bool) -> str:
    """What stands after a code, with a pause if need be; at the end of the text there is one anyway."""
    if spoken.has_ordinal_stop and spelled[-1].isdecimal() and after.startswith(".") and not after.startswith(".."):
        rest = after[1:]
        return rest if is_last and not rest.strip() else _joined(spoken.long_pause, rest)
    rest = after.lstrip(_CLOSING)
    closing, bare = after[: len(after) - len(rest)], rest.lstrip()
    if not bare:
        return after if is_last else closing + _joined(spoken.long_pause, rest)
    return after if bare[0] in _PAUSES else closing + _joined(spoken.pause, rest)


def _joined(pause: str, after: str) -> str:
    """A pause before what follows, with one space between where the pause has one."""
    return pause.rstrip() + after if after[:1].isspace() else pause + after
