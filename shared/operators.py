"""
Who may use the dashboard: roles, names, and which passwords are refused. Pure.

Source: OWASP ASVS 5.0 6.2: length rather than composition, nothing that is known or guessed from the name.
"""

from __future__ import annotations

import re
import unicodedata
from enum import StrEnum
from typing import Final

SHORTEST: Final = 12
LONGEST: Final = 128
#: Fewer different characters are a pattern, not a password.
_FEWEST_DIFFERENT: Final = 5
_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9._@-]{0,62}[a-z0-9])?")
#: What is left of a common password when case, digits and signs are taken away; with them around it is no better.
_COMMON: Final = frozenset(
    """
    abc abcd abcde abcdef abcdefg abcdefgh abcdefghijkl admin adminadmin administrator asdfasdf asdfgh
    asdfghjkl baseball changeme changemenow correcthorsebatterystaple dashboard default dragon football hello
    helloworld iloveyou iloveyouiloveyou letmein letmeinletmein letmeinnow login master monkey operator
    passcode passphrase password passwordpassword passwort passwortpasswort princess qazwsx qazwsxedc qwerty
    qwertyqwerty qwertyuiop qwertyuiopasdf qwertz qwertzuiop ringpost ringpostadmin ringpostpassword root
    secret secretsecret sunshine superman supersecret test testtest testtesttest thisismypassword topsecret
    trustno user welcome welcomewelcome zxcvbn zxcvbnm
    """.split()  # noqa: SIM905
) | {""}


class Role(StrEnum):
    """What an operator may do, each with all that the one before may."""

    VIEWER = "viewer"  # sees
    OPERATOR = "operator"  # acts
    ADMIN = "admin"  # decides who may

    def covers(self, needed: Role) -> bool:
        """Whether whoever has this role may do what *needed* asks for."""
        order = list(Role)
        return order.index(self) >= order.index(needed)


def check_name(text: str) -> str:
    """
    The name as it is kept, in lower case.

    Raises:
        ValueError: It is none.
    """
    name = text.strip().lower()
    if not _NAME.fullmatch(name):
        raise ValueError("a name has 1 to 64 letters, digits and . _ @ - between them")
    return name


def check_password(password: str, name: str) -> str:
    """
    The password as it was given.

    Raises:
        ValueError: Somebody would guess it; the text tells why and never repeats it.
    """
    if len(password) < SHORTEST:
        raise ValueError(f"a password has {SHORTEST} characters or more")
    if len(password) > LONGEST:
        raise ValueError(f"a password has {LONGEST} characters at most")
    plain = normal(password).casefold()
    if any(len(part) > 2 and part in plain for part in {name, *re.split(r"[._@-]", name)}):
        raise ValueError("the password must not hold the operator's name")
    if len(set(plain)) < _FEWEST_DIFFERENT or "".join(filter(str.isalpha, plain)) in _COMMON:
        raise ValueError("the password is among the first that anybody tries")
    return password


def normal(password: str) -> str:
    """Keyboards write one character in several ways: the one that is hashed (Unicode's NFKC)."""
    return unicodedata.normalize("NFKC", password)
