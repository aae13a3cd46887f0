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
#: Kinds by which a number is known, in the order in which the library asks, and what those that cost more are called.
_ASKED: Final = (
    ("premium_rate", "premium-rate"),
    ("toll_free", None),
    ("shared_cost", "shared-cost"),
    ("voip", None),
    ("personal_number", "personal"),
    ("pager", "pager"),
    ("uan", "company-wide (UAN)"),
    ("voicemail", "voicemail"),
)
#: The same of codes of no country.
_WORLD_KINDS: Final = {
    **dict.fromkeys(("870", "881", "882", "883"), "satellite"),
    "878": "personal",
    **dict.fromkeys(("808", "888", "979"), "premium-rate"),
}
_NOTHING: Final = "(?!)"


@dataclass(frozen=True, slots=True)
class _Plan:
    """One region's numbers: how some begin, if that alone tells the region; and all that are valid."""

    begins: re.Pattern[str] | None
    valid: re.Pattern[str]
    costly: re.Pattern[str]


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
    prefix = _national_prefix(code)
    if prefix is not None and prefix.match(national):
        return None
    for region in _CODES[code]:
        plan = _plan(code, region)
        if plan.begins is not None and not plan.begins.match(national):
            continue
        if plan.valid.fullmatch(national):
            return region
        if plan.begins is not None:
            return None
    return None


def costly_kind(code: str, national: str, region: str) -> str | None:
    """What a valid number of a kind that costs more than a usual call is called; None for every other."""
    if not _plan(code, region).costly.fullmatch(national):
        return None
    metadata = _metadata(code, region)
    for kind, called in _ASKED:
        if re.fullmatch(_pattern(getattr(metadata, kind)), national):
            return called
    return None


def world_kind(code: str) -> str | None:
    """The same of numbers under a code of no country, whether or not they exist."""
    return _WORLD_KINDS.get(code)


_CODES: Final = {str(code): regions for code, regions in COUNTRY_CODE_TO_REGION_CODE.items()}


@lru_cache(maxsize=len(_CODES))
def _national_prefix(code: str) -> re.Pattern[str] | None:
    """By the first region, as the library has it for all that share a code."""
    prefix = _metadata(code, _CODES[code][0]).national_prefix_for_parsing
    return re.compile(prefix) if prefix else None


@lru_cache(maxsize=sum(map(len, _CODES.values())))
def _plan(code: str, region: str) -> _Plan:
    metadata = _metadata(code, region)
    kinds = "|".join(_pattern(getattr(metadata, kind)) for kind in _KINDS)
    valid = rf"(?={_pattern(metadata.general_desc)}\Z)(?:{kinds})"
    costly = "|".join(_pattern(getattr(metadata, kind)) for kind, called in _ASKED if called)
    begins = re.compile(metadata.leading_digits) if metadata.leading_digits else None
    return _Plan(begins, re.compile(valid), re.compile(costly))


def _metadata(code: str, region: str) -> PhoneMetadata:
    found = PhoneMetadata.metadata_for_region_or_calling_code(int(code), region)
    if found is None:
        raise LookupError(f"phonenumbers lists {region} under +{code} and has no plan of it")
    return found


def _pattern(desc: PhoneNumberDesc | None) -> str:
    if desc is None or not desc.national_number_pattern:
        return _NOTHING
    lengths = "|".join(rf".{{{length}}}\Z" for length in desc.possible_length if length >= 0)
    if desc.possible_length and not lengths:
        return _NOTHING
    return f"(?={lengths})(?:{desc.national_number_pattern})"
