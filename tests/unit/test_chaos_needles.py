"""What a canary looks for is found in every disguise, and nothing else is."""

import base64
import json

import pytest

from deploy.chaos.needles import Needles

TEXT, NUMBER = "qzxkvwjrtbnmplhg", "+4915110001234"
NEEDLES = Needles([TEXT], [NUMBER, "+4915110001235"])
ESCAPED = "".join(f"\\u{ord(letter):04x}" for letter in TEXT)


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (f"said {TEXT}.", "a text"),
        (json.dumps({"text": TEXT}), "a text"),
        (ESCAPED, "a text in disguise"),
        (TEXT.encode().hex(), "a text in disguise"),
        (f"to {NUMBER}", "a number"),
        ("4915110009999", "a number"),  # any of the drill's
        ("tel=%2B4915110001234", "a number"),
        ("+49 151 1000-1234", "a number"),
        ("(+49) 151.1000.1234", "a number"),
        (NUMBER.encode().hex(), "a number in disguise"),
    ],
)
def test_it_is_found(data, found):
    assert NEEDLES.found_in(data.encode()) == {found}


@pytest.mark.parametrize("before", range(4))
def test_base64_hides_nothing_wherever_it_begins(before):
    text = base64.b64encode(b"x" * before + TEXT.encode() + b"yy")
    number = base64.b64encode(b"x" * before + NUMBER.encode() + b"yy")

    assert NEEDLES.found_in(text) == {"a text in disguise"}
    assert NEEDLES.found_in(number) == {"a number in disguise"}


@pytest.mark.parametrize("data", ["", "+49****1234", "1234", "151100012", "2026-10-05 09:12:10.491511+00", "qzxkvwjr"])
def test_what_may_be_shown_is_no_hit(data):
    assert NEEDLES.found_in(data.encode()) == set()


def test_numbers_that_are_too_short_to_be_told_apart_are_refused():
    with pytest.raises(ValueError, match="too short"):
        Needles([], ["+49151"])
