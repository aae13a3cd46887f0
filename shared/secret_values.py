"""
How secrets come in, and which are no secrets. The rules are pure; only ``from_files`` reads.

Sources: OWASP ASVS 5.0 13.3.1 (secrets from a vault or a file, not from code) and 13.2.3 (no default credentials).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, urlsplit, urlunsplit

#: Characters of a secret that we choose ourselves; 16 random letters and digits are beyond guessing.
MIN_LENGTH: Final = 16
#: Random bytes that are fewer than this many different ones are not random: 32 of them have 27 or more, 999,999 times
#: in a million.
MIN_DIFFERENT: Final = 16
#: What is written where a secret is to be filled in, as whole or part of it.
_PLACEHOLDER: Final = re.compile(
    r"(?i)change.?me|replace.?me|your[-_ ]|placeholder|insert[-_ ]|example|x{6}|<.*>"
    r"|^(secret|password|token|test|none|null|admin)\d*$"
)
#: Docker's and Kubernetes' way: NAME_FILE holds the path of a file that holds the value.
SUFFIX: Final = "_FILE"


def weakness(value: str, *, shortest: int = MIN_LENGTH) -> str | None:
    """Why *value* is no secret, in words that do not show it; None if it may be one."""
    if not value.strip():
        return "must not be empty"
    if _PLACEHOLDER.search(value):
        return "is a placeholder; make a secret with: openssl rand -hex 24"
    if len(value) < shortest:
        return f"is shorter than {shortest} characters; make one with: openssl rand -hex 24"
    if shortest > 1 and len(set(value)) <= shortest // 4:
        return "repeats a few characters; make one with: openssl rand -hex 24"
    return None


def from_files(environment: Mapping[str, str], names: Iterable[str]) -> tuple[dict[str, str], list[str]]:
    """
    The values of those *names* whose ``NAME_FILE`` is set, without the newline at the end, and what is wrong with them.

    A secret in a file shows in no process list, crash report or ``docker inspect``.
    """
    values, problems = {}, []
    for name in names:
        path = environment.get(name + SUFFIX)
        if not path:
            continue
        if environment.get(name):
            problems.append(f"{name}{SUFFIX}: {name} is set, too; keep one of the two")
            continue
        try:
            values[name] = Path(path).read_text().rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            what = error.strerror if isinstance(error, OSError) else "holds no text"
            problems.append(f"{name}{SUFFIX}: {path} cannot be read: {what}")
    return values, problems


def without_password(url: str) -> str:
    """A database's or Redis' URL that may be shown."""
    try:
        parts: SplitResult = urlsplit(url)
        password = parts.password
    except ValueError:
        return "***"
    netloc = parts.netloc if password is None else parts.netloc.replace(f":{password}@", ":***@")
    return urlunsplit(parts._replace(netloc=netloc, query="***" if "password=" in parts.query else parts.query))
