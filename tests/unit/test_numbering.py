"""The compiled numbering plans against the library that they come from, in every region."""

import random

import phonenumbers
import pytest
from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, PhoneMetadata

from shared import numbering
from shared.numbering import region_of, split

REGIONS = [(code, region) for code, regions in COUNTRY_CODE_TO_REGION_CODE.items() for region in regions]


def asked_of_the_library(digits):
    """E.164 and region of a valid number, None of every other, as the library has it."""
    try:
        number = phonenumbers.parse("+" + digits)
    except phonenumbers.NumberParseException:
        return None
    region = phonenumbers.region_code_for_number(number)
    if region is None or not phonenumbers.is_valid_number_for_region(number, region):
        return None
    return f"{number.country_code}{phonenumbers.national_significant_number(number)}", region


def numbers_like_those_of(code, region, count):
    """Example numbers with digits changed, added and cut off; others of any digits; with and without a trunk prefix."""
    luck = random.Random(f"{code}{region}")
    metadata = PhoneMetadata.metadata_for_region_or_calling_code(code, region)
    kinds = [getattr(metadata, kind) for kind in (*numbering._KINDS, "general_desc")]
    examples = [desc.example_number for desc in kinds if desc is not None and desc.example_number]
    lengths = [length for desc in kinds if desc is not None for length in desc.possible_length if length > 0]
    for example in examples:
        yield f"{code}{example}"
    for _ in range(count):
        national = (
            list(luck.choice(examples)) if luck.random() < 0.7 else luck.choices("0123456789", k=luck.choice(lengths))
        )
        for _ in range(luck.choice((0, 1, 1, 2, 4))):
            national[luck.randrange(len(national))] = luck.choice("0123456789")
        if luck.random() < 0.1:
            national.insert(0, luck.choice("0178"))
        if luck.random() < 0.1:
            national += luck.choices("0123456789", k=luck.choice((1, 2, 6)))
        if luck.random() < 0.1:
            national.pop()
        yield f"{code}{''.join(national)}"


@pytest.mark.parametrize(("code", "region"), REGIONS)
def test_a_plan_says_of_a_number_what_the_library_says(code, region):
    for digits in numbers_like_those_of(code, region, 200):
        known, found = asked_of_the_library(digits), region_of(*split(digits))

        assert found is None or known == (digits, found), digits


@pytest.mark.parametrize("digits", ["6581234567", "12025550143", "447911123456", "919812345678", "4915112345678"])
def test_a_usual_number_is_not_left_to_the_library(digits):
    assert region_of(*split(digits)) is not None
