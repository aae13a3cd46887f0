"""Bodies: what is JSON, what only looks like it."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingress import bodies
from ingress.problems import Problem


def nested(levels, bracket="[]"):
    if bracket == "[]":
        return b"[" * levels + b"]" * levels
    return b'{"a":' * (levels - 1) + b"{}" + b"}" * (levels - 1)


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b"{}", {}),
        (b' {"a" : 1}\n', {"a": 1}),
        (b"[1.5, true, null]", [1.5, True, None]),
        (b'"x"', "x"),
        ('{"a": "\N{PARTY POPPER}"}'.encode(), {"a": "\N{PARTY POPPER}"}),
        (b'{"a": "\\ud83c\\udf89"}', {"a": "\N{PARTY POPPER}"}),
        (b'{"a": 1, "b": {"a": 1}}', {"a": 1, "b": {"a": 1}}),
        (b'"' + b"[" * 50 + b'"', "[" * 50),
    ],
)
def test_json_is_read(raw, value):
    assert bodies.parse(raw) == value


@pytest.mark.parametrize("bracket", ["[]", "{}"])
def test_twenty_levels_are_read(bracket):
    bodies.parse(nested(20, bracket))


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "Expecting value at line 1"),
        (b"{", "line 1"),
        (b"{'a': 1}", "line 1"),
        (b'{"a": 1,}', "line 1"),
        (b"{} {}", "Extra data"),
        (nested(21), "deeper than 20"),
        (nested(21, "{}"), "deeper than 20"),
        (nested(6000), "deeper than 20"),
        (nested(6000, "{}"), "deeper than 20"),
        (b"[" * 6000, ""),
        (b'{"a": NaN}', "NaN is not JSON"),
        (b'{"a": Infinity}', "Infinity is not JSON"),
        (b'{"a": -Infinity}', "-Infinity is not JSON"),
        (b'{"a": ' + b"9" * 5000 + b"}", "too many digits"),
        (b'{"a": 1, "a": 1}', '"a" stands in the body more than once'),
        (b'{"b": {"a": 1, "a": 2}}', '"a" stands'),
        (b'{"a": 1, "\\u0061": 1}', '"a" stands'),
        (b'{"a": "\\u0000"}', "NUL"),
        (b'{"\\u0000": 1}', "NUL"),
        (b'{"a": "\0"}', "control character"),
        (b'{"a": "\\ud800"}', "surrogate"),
        (b'{"a": ["\\udc00"]}', "surrogate"),
        (b'{"\\ud800": 1}', "surrogate"),
        (b'{"a": "\xff"}', "not UTF-8"),
        (b'{"a": "\xed\xa0\x80"}', "not UTF-8"),
        (b'\xef\xbb\xbf{"a": 1}', "BOM"),
        ('{"a": 1}'.encode("utf-16"), "not UTF-8"),
        ('{"a": 1}'.encode("utf-16-le"), "line 1"),
        ('{"a": 1}'.encode("utf-32-be"), "line 1"),
    ],
)
def test_what_is_not_quite_json_is_refused_with_its_fault(raw, said):
    with pytest.raises(Problem) as caught:
        bodies.parse(raw)

    assert (caught.value.code, caught.value.status) == ("invalid_json", 400)
    assert said in caught.value.details


def test_a_number_beyond_every_float_is_a_number():
    assert bodies.parse(b"1e999") == float("inf")


def test_a_body_of_many_members_with_one_repeated_is_refused_quickly():
    names = [f"{n:x}" for n in range(200_000)]
    raw = ("{" + ",".join(f'"{name}":0' for name in [*names, names[-1]]) + "}").encode()

    with pytest.raises(Problem, match="invalid_json"):
        bodies.parse(raw)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("abc"), inner),
    max_leaves=15,
)


@given(json_values)
def test_what_json_writes_is_read_back(value):
    assert bodies.parse(json.dumps(value).encode()) == value


@given(st.binary(max_size=60))
def test_bytes_of_any_kind_are_read_or_refused(raw):
    with suppress(Problem):
        bodies.parse(raw)
