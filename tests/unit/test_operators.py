"""Names, roles and passwords of operators."""

import pytest

from shared import passwords
from shared.operators import Role, check_name, check_password


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("elevenchars", "12 characters or more"),
        ("x" * 129, "128 characters at most"),
        ("we trust ada in all", "the operator's name"),
        ("we trust ADA in all", "the operator's name"),
        ("123456789012", "first that anybody tries"),
        ("Password12345!", "first that anybody tries"),
        ("abababababab", "first that anybody tries"),
        ("qwertyuiop123", "first that anybody tries"),
    ],
)
def test_what_anybody_would_guess_is_refused_and_not_repeated(password, why):
    with pytest.raises(ValueError, match=why) as refused:
        check_password(password, "ada")

    assert password not in str(refused.value)


def test_any_other_password_is_taken_as_it_is():
    assert check_password(" été à la plage ", "ada") == " été à la plage "


@pytest.mark.parametrize("name", ["", "a b", "-a", "a" * 65, "ä", "a\0"])
def test_what_is_no_name_is_refused(name):
    with pytest.raises(ValueError, match="a name has"):
        check_name(name)


def test_a_role_covers_itself_and_those_below():
    assert [(one, other) for one in Role for other in Role if one.covers(other)] == [
        ("viewer", "viewer"),
        ("operator", "viewer"),
        ("operator", "operator"),
        ("admin", "viewer"),
        ("admin", "operator"),
        ("admin", "admin"),
    ]


def test_a_hash_costs_what_owasp_advises():
    assert (128 * passwords.COST.r << passwords.COST.log_n, passwords.COST.p) == (32 * 1024 * 1024, 3)
    assert passwords.hashed("x").startswith("scrypt$15$8$3$")


def test_a_password_fits_its_hash_however_it_was_typed_and_nothing_else(monkeypatch):
    monkeypatch.setattr(passwords, "COST", passwords.Cost(5, 8, 1))
    kept = passwords.hashed("caf\u00e9 au lait", passwords.Cost(4, 8, 1))
    comparer = passwords.Comparer()

    assert kept.startswith("scrypt$4$8$1$")
    assert comparer.fits("cafe\u0301 au lait", kept)
    assert not comparer.fits("cafe au lait", kept)
    assert not comparer.fits("anything", None)
    assert passwords.is_dated(kept)
    assert passwords.hashed("x") != passwords.hashed("x")
