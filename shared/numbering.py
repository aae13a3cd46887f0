"""
Numbering plans as ``phonenumbers`` has them, each compiled once to the one question asked of it at every request.

The library parses every way to write a number and tells its kind by up to eleven patterns. A number that is written
plainly, as nearly all are, needs one: what it says of such a number is what the library would say, and
``tests/unit/test_numbering.py`` holds it to that.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, PhoneMetadata, PhoneNumberDesc

#: Of no country: satellite, freephone and premium numbers.
WORLD: Final = "001"
_KINDS: Final = (
    "fixed_line",
    "mobile",
    "toll_free",
    "premium_rate",
    "shared_cost",
    "voip",
    "personal_number",
    "pager",
    "uan",
    "voicemail",
)
_NOTHING: Final = "(?!)"


@dataclass(frozen=True, slots=True)
class _Plan:
    """One region's numbers: how some begin, if that alone tells the region; and all that are valid."""

    region: str
    begins: re.Pattern[str] | None
    valid: re.Pattern[str]


@dataclass(frozen=True, slots=True)
class _Code:
    """A country code: the regions that share it, in the library's order, and what may be a national prefix."""

    prefix: re.Pattern[str] | None
    plans: tuple[_Plan, ...]


def split(digits: str) -> tuple[str, str]:
    """Country code and national number; the code is empty when there is no such code."""
    for end in (1, 2, 3):
        if digits[:end] in _CODES:
            return digits[:end], digits[end:]
    return "", digits


def region_of(code: str, national: str) -> str | None:
    """
    The region of a valid number.

    Returns:
        None if the number is not valid, or begins like a national prefix that would have to be cut off: the library
        knows.
    """
    known = _code(code)
    if known.prefix is not None and known.prefix.match(national):
        return None
    for plan in known.plans:
        if plan.begins is not None and not plan.begins.match(national):
            continue
        if plan.valid.fullmatch(national):
            return plan.region
        if plan.begins is not None:
            return None
    return None


_CODES: Final = {str(code): regions for code, regions in COUNTRY_CODE_TO_REGION_CODE.items()}


@lru_cache(maxsize=len(_CODES))
def _code(code: str) -> _Code:
    found = [(region, PhoneMetadata.metadata_for_region_or_calling_code(int(code), region)) for region in _CODES[code]]
    known = [(region, metadata) for region, metadata in found if metadata is not None]
    prefix = known[0][1].national_prefix_for_parsing
    return _Code(re.compile(prefix) if prefix else None, tuple(_plan(region, metadata) for region, metadata in known))


def _plan(region: str, metadata: PhoneMetadata) -> _Plan:
    kinds = "|".join(_pattern(getattr(metadata, kind)) for kind in _KINDS)
    valid = rf"(?={_pattern(metadata.general_desc)}\Z)(?:{kinds})"
    return _Plan(region, re.compile(metadata.leading_digits) if metadata.leading_digits else None, re.compile(valid))


def _pattern(desc: PhoneNumberDesc | None) -> str:
    if desc is None or not desc.national_number_pattern:
        return _NOTHING
    lengths = "|".join(rf".{{{length}}}\Z" for length in desc.possible_length if length >= 0)
    if desc.possible_length and not lengths:
        return _NOTHING
    return f"(?={lengths})(?:{desc.national_number_pattern})"
