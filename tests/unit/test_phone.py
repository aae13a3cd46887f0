import re

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import phone
from shared.phone import (
    CountryNotAllowedError,
    NumberNotAllowedError,
    PhoneNumber,
    country_of,
    masked,
    parse_destination,
)


@pytest.mark.parametrize(
    ("text", "e164", "country"),
    [
        ("+6581234567", "+6581234567", "SG"),
        ("6581234567", "+6581234567", "SG"),
        ("+65 8123 4567", "+6581234567", "SG"),
        ("+65-8123-4567", "+6581234567", "SG"),
        ("+1 (202) 555-0143", "+12025550143", "US"),
        ("+442079460958", "+442079460958", "GB"),
        ("+44 (0)20 7946 0958", "+442079460958", "GB"),
        ("+390612345678", "+390612345678", "IT"),
        ("+14165550123", "+14165550123", "CA"),
        ("+4915112345678", "+4915112345678", "DE"),
    ],
)
def test_a_number_in_international_form_is_read(text, e164, country):
    assert parse_destination(text, {"*"}) == PhoneNumber(e164, country, masked(e164))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "+",
        "call me",
        "81234567",
        "006581234567",
        "011 65 8123 4567",
        "65 8123 4567",
        "0658123456",
        "+6500000000",
        "+65812345678",
        "+658123456",
        "+999123456789",
        "+6581234567;ext=5",
        "+6581234567\n",
        "+65812E4567",
        "tel:+6581234567",
        "\uff0b6581234567",
        "+\u0666\u0665\u0668\u0661\u0662\u0663\u0664\u0665\u0666\u0667",
        "+80012345678",
        "+" + "6" * 40,
    ],
)
def test_anything_else_is_refused_in_a_sentence_without_the_number(text):
    with pytest.raises(ValueError, match=r"^must be a phone number") as refusal:
        parse_destination(text, {"*"})

    assert not isinstance(refusal.value, CountryNotAllowedError)
    assert refusal.value.__cause__ is None
    assert len(text) < 2 or text not in str(refusal.value)


def test_a_country_outside_the_list_is_refused_by_its_own_error():
    with pytest.raises(CountryNotAllowedError, match=r"^calls to US are not allowed$") as refusal:
        parse_destination("+12025550143", {"SG", "MY"})

    assert refusal.value.country == "US"


def test_a_country_of_the_list_is_allowed():
    assert parse_destination("+6581234567", frozenset({"SG"})).country == "SG"


def test_an_empty_list_allows_nothing():
    with pytest.raises(CountryNotAllowedError):
        parse_destination("+6581234567", ())


@pytest.mark.parametrize(
    ("number", "country"),
    [("+6581234567", "SG"), ("+12025550143", "US"), ("+999", None), ("nobody", None), ("", None)],
)
def test_a_number_tells_its_country(number, country):
    assert country_of(number) == country


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        ("+6581234567", "+65****4567"),
        ("+12025550143", "+1****0143"),
        ("+35312345678", "+353****5678"),
        ("+65812345", "+65****345"),
        ("+6581", "+65****1"),
        ("+658", "+65****"),
        ("+999123456", "+****3456"),
        ("+65****4567", "+65****4567"),
        ("****", "****"),
        ("6581234567", "****"),
        ("anonymous", "****"),
        ("", "****"),
    ],
)
def test_a_masked_number_shows_its_country_code_and_its_end(number, shown):
    assert masked(number) == shown


@given(st.from_regex(r"\+[0-9]{3,15}", fullmatch=True) | st.text(max_size=20))
def test_a_masked_number_never_shows_more_than_country_code_and_four_digits(number):
    shown = masked(number)

    assert re.fullmatch(r"\+?[0-9]{0,3}\*{4}[0-9]{0,4}", shown)
    assert masked(shown) == shown
    hidden = sum(character.isdigit() for character in number) - sum(character.isdigit() for character in shown)
    if re.fullmatch(r"\+[0-9]{3,15}", number):
        assert hidden >= len(shown.partition("****")[2])


def test_a_number_shows_only_masked_in_its_repr():
    assert repr(parse_destination("+6581234567", {"*"})) == "PhoneNumber(country='SG', masked='+65****4567')"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("+870773111632", "satellite"),
        ("+8816123456789", "satellite"),
        ("+882161234567", "satellite"),
        ("+8835100012345", "satellite"),
        ("+979123456789", "premium-rate"),
        ("+19005551234", "premium-rate"),
        ("+449012345678", "premium-rate"),
        ("+498005550123", None),  # freephone
        ("+33884012345", "shared-cost"),
        ("+447012345678", "personal"),
        ("+447640123456", "pager"),
        ("+445512345678", "company-wide (UAN)"),
        ("+6581234567", None),
    ],
)
def test_a_number_of_a_costly_kind_is_refused_wherever_all_countries_are_allowed(text, kind):
    if kind is None:
        assert parse_destination(text, {"*"}).e164 == text
        return
    with pytest.raises(NumberNotAllowedError, match=f"^calls to {re.escape(kind)} numbers are not allowed$"):
        parse_destination(text, {"*"})


def test_a_kind_is_the_one_that_the_library_tells():
    kinds = {
        phonenumbers.PhoneNumberType.PREMIUM_RATE, phonenumbers.PhoneNumberType.SHARED_COST,
        phonenumbers.PhoneNumberType.PERSONAL_NUMBER, phonenumbers.PhoneNumberType.PAGER,
        phonenumbers.PhoneNumberType.UAN, phonenumbers.PhoneNumberType.VOICEMAIL,
    }  # fmt: skip
    wrong = []
    for region in sorted(phonenumbers.SUPPORTED_REGIONS)[::6]:
        for kind in phonenumbers.PhoneNumberType.values():
            example = phonenumbers.example_number_for_type(region, kind)
            if example is None or phonenumbers.region_code_for_number(example) != region:
                continue
            e164 = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)
            if (phone.read(e164).costly is not None) != (phonenumbers.number_type(example) in kinds):
                wrong.append(e164)

    assert wrong == []


def test_the_operators_own_prefixes_are_refused_and_their_neighbours_are_not():
    with pytest.raises(NumberNotAllowedError, match="range of numbers"):
        parse_destination("+6581234567", {"SG"}, ("+2357", "+65812"))

    assert parse_destination("+6581334567", {"SG"}, ("+2357", "+65812")).country == "SG"
