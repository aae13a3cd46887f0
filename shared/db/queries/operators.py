"""Operators and their sessions. What changes an operator ends their sessions and is noted, in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, RowMapping, text

from shared.db.queries import audit_log
from shared.operators import Role

_ADD: Final = text("""
INSERT INTO operators (operator_id, name, role, password) VALUES (:operator_id, :name, :role, :password)
ON CONFLICT (name) DO NOTHING
""")


@dataclass(frozen=True, slots=True)
class NewOperator:
    """One who is to be added; the password is a hash."""

    operator_id: str
    name: str
    role: Role
    password: str


def add(connection: Connection, new: NewOperator, *, actor: str) -> bool:
    """Store a new operator; False when the name is taken."""
    values = {"operator_id": new.operator_id, "name": new.name, "role": new.role, "password": new.password}
    if connection.execute(_ADD, values).rowcount == 0:
        return False
    audit_log.note(connection, actor, "operator.add", new.name, after={"role": new.role})
    return True


_LISTED: Final = text("""
SELECT o.operator_id, o.name, o.role, o.created_at, o.password_set_at, o.disabled_at,
  (SELECT max(s.used_at) FROM operator_sessions s WHERE s.operator_id = o.operator_id) AS seen_at
FROM operators o ORDER BY o.name
""")


def listed(connection: Connection) -> Sequence[RowMapping]:
    """Every operator, without the password; ``seen_at`` is the last use of a session that is open or has lapsed."""
    return connection.execute(_LISTED).mappings().all()


_FIND: Final = text("SELECT operator_id, name, role, password, disabled_at FROM operators WHERE name = :name")
_LOCK: Final = text("SELECT operator_id, name, role, disabled_at FROM operators WHERE name = :name FOR UPDATE")


def find(connection: Connection, name: str) -> RowMapping | None:
    """One operator, with the hash of the password."""
    return connection.execute(_FIND, {"name": name}).mappings().one_or_none()


_ROLE: Final = text("UPDATE operators SET role = :role WHERE name = :name")
_PASSWORD: Final = text("UPDATE operators SET password = :password, password_set_at = now() WHERE name = :name")
_DISABLE: Final = text("UPDATE operators SET disabled_at = now() WHERE name = :name")
_ENABLE: Final = text("UPDATE operators SET disabled_at = NULL WHERE name = :name")


def set_role(connection: Connection, name: str, role: Role, *, actor: str) -> bool | None:
    """Give another role; False when it is that already, None without such an operator."""
    was = connection.execute(_LOCK, {"name": name}).mappings().one_or_none()
    if was is None or was["role"] == role:
        return None if was is None else False
    connection.execute(_ROLE, {"name": name, "role": role})
    _changed(connection, was, "operator.role", actor, before={"role": was["role"]}, after={"role": role})
    return True


def set_password(connection: Connection, name: str, password: str, *, actor: str) -> bool:
    """Keep another hash; False without such an operator."""
    was = connection.execute(_LOCK, {"name": name}).mappings().one_or_none()
    if was is None:
        return False
    connection.execute(_PASSWORD, {"name": name, "password": password})
    _changed(connection, was, "operator.password", actor, before={"password": "set"}, after={"password": "changed"})
    return True


def set_disabled(connection: Connection, name: str, *, disabled: bool, actor: str) -> bool | None:
    """Let nobody in by that name, or again; False when it is so already, None without such an operator."""
    was = connection.execute(_LOCK, {"name": name}).mappings().one_or_none()
    if was is None or (was["disabled_at"] is not None) is disabled:
        return None if was is None else False
    connection.execute(_DISABLE if disabled else _ENABLE, {"name": name})
    action = "operator.disable" if disabled else "operator.enable"
    _changed(connection, was, action, actor, before={"disabled": not disabled}, after={"disabled": disabled})
    return True


def _changed(connection: Connection, was: RowMapping, action: str, actor: str, **states: Any) -> None:
    end_sessions(connection, was["operator_id"])
    audit_log.note(connection, actor, action, was["name"], **states)


_REHASH: Final = text("UPDATE operators SET password = :new WHERE name = :name AND password = :old")


def rehash(connection: Connection, name: str, old: str, new: str) -> None:
    """Keep the same password hashed with today's parameters, unless it was changed meanwhile."""
    connection.execute(_REHASH, {"name": name, "old": old, "new": new})


# Whoever signs in while the password is changed, or the operator disabled, must not keep what that ends.
_OPEN: Final = text("""
INSERT INTO operator_sessions (token_hash, operator_id)
SELECT :token_hash, operator_id FROM operators
WHERE name = :name AND password = :password AND disabled_at IS NULL FOR UPDATE
ON CONFLICT (token_hash) DO UPDATE SET used_at = now()
""")
_OVER: Final = text("""
DELETE FROM operator_sessions WHERE used_at <= now() - :idle_s * interval '1 second'
  OR created_at <= now() - :absolute_s * interval '1 second'
""")


def open_session(connection: Connection, name: str, password: str, token_hash: bytes) -> bool:
    """Begin a session; False when the hash *password* is the operator's no more. Safe to repeat."""
    values = {"name": name, "password": password, "token_hash": token_hash}
    return connection.execute(_OPEN, values).rowcount == 1


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """How long a session lasts unused, and at most, in seconds."""

    idle_s: float
    absolute_s: float


def forget_lapsed(connection: Connection, lifetimes: Lifetimes) -> None:
    """Delete the sessions that are over anyway."""
    connection.execute(_OVER, {"idle_s": lifetimes.idle_s, "absolute_s": lifetimes.absolute_s})


_USE: Final = text("""
UPDATE operator_sessions s SET used_at = now() FROM operators o
WHERE s.token_hash = :token_hash AND o.operator_id = s.operator_id AND o.disabled_at IS NULL
  AND s.used_at > now() - :idle_s * interval '1 second' AND s.created_at > now() - :absolute_s * interval '1 second'
RETURNING o.operator_id, o.name, o.role
""")


def use_session(connection: Connection, token_hash: bytes, lifetimes: Lifetimes) -> RowMapping | None:
    """Who the session is of, which is in use from now on; None when it is over or never was."""
    values = {"token_hash": token_hash, "idle_s": lifetimes.idle_s, "absolute_s": lifetimes.absolute_s}
    return connection.execute(_USE, values).mappings().one_or_none()


_END: Final = text("DELETE FROM operator_sessions WHERE token_hash = :token_hash")
_END_ALL: Final = text("DELETE FROM operator_sessions WHERE operator_id = :operator_id")


def end_session(connection: Connection, token_hash: bytes) -> None:
    """Sign out here."""
    connection.execute(_END, {"token_hash": token_hash})


def end_sessions(connection: Connection, operator_id: str) -> int:
    """Sign out everywhere; how many sessions that were."""
    return connection.execute(_END_ALL, {"operator_id": operator_id}).rowcount
