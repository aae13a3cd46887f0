"""``ringpost operators``: who may use the dashboard."""

from __future__ import annotations

import sys

import click

from deploy.commands.console import WRONG_USE, Problem, actor, json_option, open_transaction, print_json, print_table
from shared.operators import Role, check_name, check_password

_name = click.argument("name")
_role = click.Choice([role.value for role in Role])
_COLUMNS = ("name", "role", "created_at", "password_set_at", "seen_at", "disabled_at")


@click.group()
def operators() -> None:
    """Who may use the dashboard: add, list, role, password, disable, enable."""


@operators.command()
@_name
@click.option("--role", type=_role, default=Role.VIEWER.value, show_default=True,
              help="A viewer sees, an operator acts, an admin decides who may.")  # fmt: skip
@json_option
def add(name: str, role: str, as_json: bool) -> None:  # noqa: FBT001
    """Let somebody sign in; the password is asked for, or read from standard input."""
    from shared.db.queries import operators as queries
    from shared.ids import new_id
    from shared.passwords import hashed

    name = _checked(name)
    new = queries.NewOperator(new_id("op"), name, Role(role), hashed(_read_password(name)))
    with open_transaction() as connection:
        if not queries.add(connection, new, actor=actor()):
            raise Problem(f"there is an operator {name!r} already: see `ringpost operators list`")
    if as_json:
        print_json({"name": name, "role": role})
    else:
        click.echo(f"{name} may sign in as {role}, where DASHBOARD_ENABLED is set")


@operators.command("list")
@json_option
def list_(as_json: bool) -> None:  # noqa: FBT001
    """List them; never a password."""
    from shared.db.queries import operators as queries

    with open_transaction() as connection:
        rows = [{name: row[name] for name in _COLUMNS} for row in queries.listed(connection)]
    if as_json:
        print_json(rows)
        return
    print_table(
        "Operators",
        ["name", "role", "added", "password set", "last seen", "disabled"],
        [list(row.values()) for row in rows],
    )


@operators.command()
@_name
@click.argument("role", type=_role)
def role(name: str, role: str) -> None:
    """Give another role; the operator is signed out."""
    from shared.db.queries import operators as queries

    name = _checked(name)
    with open_transaction() as connection:
        _must_be_there(name, queries.set_role(connection, name, Role(role), actor=actor()))
    click.echo(f"{name} is {role}")


@operators.command()
@_name
def password(name: str) -> None:
    """Set another password, asked for or read from standard input; the operator is signed out."""
    from shared.db.queries import operators as queries
    from shared.passwords import hashed

    name = _checked(name)
    kept = hashed(_read_password(name))
    with open_transaction() as connection:
        _must_be_there(name, queries.set_password(connection, name, kept, actor=actor()) or None)
    click.echo(f"{name} has another password")


@operators.command()
@_name
def disable(name: str) -> None:
    """Let nobody in by that name; the operator is signed out at once."""
    _set_disabled(name, disabled=True)


@operators.command()
@_name
def enable(name: str) -> None:
    """Let an operator sign in again."""
    _set_disabled(name, disabled=False)


def _set_disabled(name: str, *, disabled: bool) -> None:
    from shared.db.queries import operators as queries

    name, state = _checked(name), "disabled" if disabled else "enabled"
    with open_transaction() as connection:
        changed = queries.set_disabled(connection, name, disabled=disabled, actor=actor())
        _must_be_there(name, changed)
    click.echo(f"{name} is {state}" + ("" if changed else " already"))


def _must_be_there(name: str, changed: bool | None) -> None:  # noqa: FBT001
    if changed is None:
        raise Problem(f"there is no operator {name!r}: see `ringpost operators list`")


def _checked(name: str) -> str:
    try:
        return check_name(name)
    except ValueError as error:
        raise Problem(f"NAME: {error}", WRONG_USE) from None


def _read_password(name: str) -> str:
    if sys.stdin.isatty():
        given = str(click.prompt("Password", hide_input=True, confirmation_prompt=True))
    else:
        given = sys.stdin.readline().rstrip("\r\n")
    try:
        return check_password(given, name)
    except ValueError as error:
        raise Problem(f"password: {error}", WRONG_USE) from None
