"""Which stop covers which message."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.stops import Called, Scope, Stop, covering, covers, name_of

CALLED = Called("prov_a", "otp", "+6531580001", "TD", "+23570123456")


@pytest.mark.parametrize(
    ("scope", "name", "covered"),
    [
        (Scope.GLOBAL, "", True),
        (Scope.PROVIDER, "prov_a", True),
        (Scope.PROVIDER, "prov_b", False),
        (Scope.LANE, "otp", True),
        (Scope.LANE, "alert", False),
        (Scope.COUNTRY, "TD", True),
        (Scope.COUNTRY, "SG", False),
        (Scope.SOURCE, "+6531580001", True),
        (Scope.SOURCE, "+6531580002", False),
        (Scope.PREFIX, "+2357012", True),
        (Scope.PREFIX, "+23570123456", True),
        (Scope.PREFIX, "+235701234567", False),
        (Scope.PREFIX, "+2357013", False),
        (Scope.PREFIX, "+57012", False),
    ],
)
def test_a_stop_covers_what_it_names_and_nothing_else(scope, name, covered):
    assert covers(Stop(scope, name), CALLED) is covered


def test_of_several_the_widest_is_named():
    stops = [Stop(Scope.PREFIX, "+235"), Stop(Scope.PROVIDER, "prov_b"), Stop(Scope.COUNTRY, "TD")]

    assert covering(stops, CALLED) == Stop(Scope.COUNTRY, "TD")
    assert covering([*stops, Stop(Scope.GLOBAL, "")], CALLED) == Stop(Scope.GLOBAL, "")
    assert covering([], CALLED) is None


DIGITS = st.text("0123456789", min_size=1, max_size=14)
NAMES = st.sampled_from(["prov_a", "prov_b", "otp", "alert", "TD", "SG", "+6531580001", "+235", "+2357", "+65", ""])
STOPS = st.lists(st.builds(Stop, st.sampled_from(Scope), NAMES), max_size=8)
CALLS = st.builds(
    Called,
    st.sampled_from(["prov_a", "prov_b"]),
    st.sampled_from(["otp", "alert"]),
    st.sampled_from(["+6531580001", "+6531580002"]),
    st.sampled_from(["TD", "SG"]),
    DIGITS.map("+2357".__add__) | DIGITS.map("+65".__add__),
)


@settings(max_examples=50)
@given(STOPS, CALLS)
def test_a_call_is_free_only_if_no_stop_covers_it(stops, called):
    found = covering(stops, called)

    assert (found is None) == (not any(covers(stop, called) for stop in stops))
    assert found is None or covers(found, called)
    assert covering(reversed(stops), called) == found


@settings(max_examples=50)
@given(DIGITS, DIGITS)
def test_a_prefix_covers_exactly_the_numbers_that_begin_so(prefix, rest):
    stop = Stop(Scope.PREFIX, f"+2{prefix}")

    assert covers(stop, replace(CALLED, number=f"+2{prefix}{rest}"))
    assert not covers(stop, replace(CALLED, number=f"+3{prefix}{rest}"))


@pytest.mark.parametrize(
    ("scope", "typed", "kept"),
    [
        (Scope.GLOBAL, None, ""),
        (Scope.LANE, "otp", "otp"),
        (Scope.COUNTRY, "td", "TD"),
        (Scope.PREFIX, "+235 70-12", "+2357012"),
        (Scope.PREFIX, "2357012", "+2357012"),
        (Scope.SOURCE, "65 3158 0001", "+6531580001"),
        (Scope.PROVIDER, " bank ", "bank"),
    ],
)
def test_a_name_is_kept_in_one_spelling(scope, typed, kept):
    assert name_of(scope, typed) == kept


@pytest.mark.parametrize(
    ("scope", "typed"),
    [
        (Scope.GLOBAL, "all"), (Scope.LANE, "sms"), (Scope.LANE, None), (Scope.COUNTRY, "Chad"), (Scope.COUNTRY, ""),
        (Scope.PREFIX, "+"), (Scope.PREFIX, "+0"), (Scope.PREFIX, "+235x"), (Scope.SOURCE, "+65"),
        (Scope.PROVIDER, " "), (Scope.PREFIX, "+2350000000000000"),
    ],
)  # fmt: skip
def test_a_name_that_fits_no_scope_is_refused_with_a_sentence(scope, typed):
    with pytest.raises(ValueError, match=r"^(a|global|lane|country|provider) "):
        name_of(scope, typed)
