"""Phone numbers: what may be called, where it is, and how it is shown."""

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

import phonenumbers

from shared import numbering

ANY_COUNTRY: Final = "*"

# With a plus, the usual fillers may stand between the digits. Without one, only digits: they are taken as if
# a plus stood before them, so national spellings must not look like that by accident.
_INTERNATIONAL: Final = re.compile(r"\+[0-9][0-9 ().-]{3,30}|[0-9]{5,15}")
_FILLER: Final = str.maketrans("", "", " ().-")
_E164: Final = re.compile(r"\+[0-9]{3,15}")
_MASKED: Final = re.compile(r"\+?[0-9]{0,3}\*{4}[0-9]{0,4}")
_STARS: Final = "****"
_SHOWN_DIGITS: Final = 4


class CountryNotAllowedError(ValueError):
    """The number is fine, but its country is not one that may be called; *country* is ISO alpha-2."""

    def __init__(self, country: str) -> None:
        super().__init__(f"calls to {country} are not allowed")
        self.country = country


class NumberNotAllowedError(ValueError):
    """The number may not be called whatever its country: it costs more than others, or the operator denies it."""


@dataclass(frozen=True, slots=True)
class PhoneNumber:
    """A number that exists in its country's numbering plan; *masked* is the only form to log or return."""

    e164: str = field(repr=False)
    country: str
    masked: str
    costly: str | None = field(
        default=None, repr=False
    )  # what numbers of its kind are called, if they cost more than a usual call


def parse_destination(text: str, allow: Collection[str], denied: tuple[str, ...] = ()) -> PhoneNumber:
    """
    Read a destination.

    Args:
        text: In international form, with fillers or without.
        allow: ISO alpha-2 codes, or ``*`` for every country.
        denied: How E.164 numbers begin that are not to be called, whatever their country.

    Raises:
        NumberNotAllowedError: A number of a costly kind, or a denied one.
        CountryNotAllowedError: A good number in a country outside *allow*.
        ValueError: Not a valid number in international form. The sentence never holds the number.
    """
    number = _parse(text)
    if number.costly is not None:
        raise NumberNotAllowedError(f"calls to {number.costly} numbers are not allowed")
    if denied and number.e164.startswith(denied):
        raise NumberNotAllowedError("calls to this range of numbers are not allowed")
    if ANY_COUNTRY not in allow and number.country not in allow:
        raise CountryNotAllowedError(number.country)
    return number


def read(text: str) -> PhoneNumber:
    """
    A destination, whether or not it may be called.

    Raises:
        ValueError: As :func:`parse_destination`.
    """
    return _parse(text)


def country_of(e164: str) -> str | None:
    """ISO alpha-2 of a valid number; None for every other text."""
    try:
        return _parse(e164).country
    except ValueError:
        return None


def masked(e164: str) -> str:
    """
    Show a number as ``+65****4567``: the country code and at most the last four digits.

    Never more than half of the digits after the country code; nothing at all of a text that is no E.164
    number. What is masked already stays as it is.
    """
    if _MASKED.fullmatch(e164):
        return e164
    if not _E164.fullmatch(e164):
        return _STARS
    return _shown(*numbering.split(e164[1:]))


def _shown(code: str, national: str) -> str:
    shown = min(_SHOWN_DIGITS, len(national) // 2)
    return f"+{code}{_STARS}{national[len(national) - shown :]}"


@lru_cache(maxsize=4096)
def _parse(text: str) -> PhoneNumber:
    if not _INTERNATIONAL.fullmatch(text):
        raise ValueError("must be a phone number in international form, such as +6581234567")
    digits = text.removeprefix("+").translate(_FILLER)
    code, national = numbering.split(digits)
    country = numbering.region_of(code, national) if code else None
    if country in (None, numbering.WORLD) and (kind := numbering.world_kind(code)):
        raise NumberNotAllowedError(f"calls to {kind} numbers are not allowed")
    if country is None:
        code, national, country = _as_the_library_reads(digits)
    if country == numbering.WORLD:
        raise ValueError("must be a phone number of a country, not an international service")
    costly = numbering.costly_kind(code, national, country)
    return PhoneNumber(f"+{code}{national}", country, _shown(code, national), costly)


def _as_the_library_reads(digits: str) -> tuple[str, str, str]:
    """Country code, national number without a national prefix, and region, of whatever may be valid."""
    try:
        number = phonenumbers.parse("+" + digits)
    except phonenumbers.NumberParseException:
        raise ValueError("must be a phone number that begins with a country code") from None
    country = phonenumbers.region_code_for_number(number)
    if country is None or not phonenumbers.is_valid_number_for_region(number, country):
        raise ValueError("must be a phone number that exists in its country")
    return str(number.country_code), phonenumbers.national_significant_number(number), country
