"""``ringpost parked``: what was set aside, for a person to decide."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from deploy.commands.console import (
    Problem,
    json_option,
    load_settings,
    note,
    open_transaction,
    print_json,
    print_table,
)

if TYPE_CHECKING:
    from sqlalchemy import Connection

    _Change = Callable[[Connection, Any], bool]

_LIMIT = 1000
#: What the audit log says that they were, and are.
_SET_ASIDE: Final = {"callback": "parked", "event": "set aside", "spool": "parked", "message": "held"}
_DONE: Final = {"resend": "due", "discard": "given up"}
_SPOOLED: Final = re.compile(r"spool_[\w.]+[.]parked")


@click.group()
def parked() -> None:
    """
    What was set aside: list, match, resend, discard.

    That is callbacks whose tries are used up, webhooks that failed their worker too often, webhooks of call
    sessions that nobody knows yet, webhooks in this machine's spool that cannot be stored, and messages held since
    PostgreSQL was promoted (`ringpost failover` sees to all of those at once).
    """


@parked.command("list")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, _LIMIT), help="Of each kind.")
@json_option
def list_(limit: int, as_json: bool) -> None:  # noqa: FBT001
    """List them, the oldest first."""
    from shared.db import doubts, reports
    from shared.db.queries import failover

    settings = load_settings()
    with open_transaction(settings) as connection:
        found: dict[str, Any] = {
            "callbacks": reports.parked_callbacks(connection, limit),
            "events": reports.parked_events(connection, limit),
            "messages": failover.held(connection, limit=limit),
            "doubtful": doubts.unsettled(connection, limit),
            "undetermined": doubts.undetermined(connection, limit),
        }
    found["spooled"] = sorted(path.name for path in settings.spool_dir.glob("*.parked"))[:limit]
    if as_json:
        print_json(found)
    else:
        _print(found)


def _print(found: Mapping[str, Sequence[Any]]) -> None:
    print_table(
        "Parked callbacks",
        ["callback", "provider", "messageId", "type", "URL", "attempts", "last error", "parked"],
        [
            [row[name] for name in (
                "callback_id", "provider", "message_id", "type", "url", "attempts", "last_error", "parked_at"
            )]
            for row in found["callbacks"]
        ],
    )  # fmt: skip
    click.echo()
    print_table(
        "Webhooks set aside",
        ["id", "state", "call session", "attempts", "received", "tried next"],
        [
            [row[name] for name in ("inbox_id", "state", "session_id", "attempts", "received_at", "due_at")]
            for row in found["events"]
        ],
    )
    click.echo()
    print_table(
        "Messages held since PostgreSQL was promoted",
        ["message", "lane", "deadline", "held since", "in time"],
        [[row[name] for name in ("id", "lane", "deadline", "since", "in_time")] for row in found["messages"]],
    )
    for kind, title, last in (
        ("doubtful", "Nobody knows whether it rang, and it may still be found out", "due_at"),
        ("undetermined", "Ended undetermined", "finished_at"),
    ):
        click.echo()
        columns = ["id", "lane", "country", "destination_masked", "reason", last]
        heads = ["message", "lane", "country", "to", "reason", "given up"]
        print_table(title, heads, [[row[name] for name in columns] for row in found[kind]])
    click.echo()
    print_table("Spooled webhooks that cannot be stored", ["file"], [[name] for name in found["spooled"]])


@parked.command()
@click.argument("webhook", type=int)
@click.argument("message_id", metavar="MESSAGE")
def match(webhook: int, message_id: str) -> None:
    """Take an unmatched webhook, by its number, for a doubtful call of a message; what it says must fit the call."""
    from shared.db.queries import operations

    with open_transaction() as connection:
        attempt = operations.match_event(connection, webhook, message_id)
        if attempt is None:
            raise Problem(f"webhook {webhook} is not unmatched, or no call of {message_id} lacks a session")
        note(connection, "event.match", str(webhook), {"message": message_id}, before={"message": None})
    click.echo(f"webhook {webhook} is reconciled with {attempt}")


@parked.command()
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
def resend(ids: Sequence[str]) -> None:
    """Try again now: callbacks (cb_…) and messages (msg_…) by their id, webhooks by their number or file."""
    from shared.db.queries import callbacks, failover, operations

    def release(connection: Connection, id_: str) -> bool:
        return failover.release(connection, [id_]) == 1

    changes: dict[str, _Change] = {"event": operations.retry_event, "message": release, "callback": callbacks.resend}
    _each("resend", ids, changes, lambda file: file.rename(file.with_name(file.name.partition(".")[0] + ".jsonl")))


@parked.command()
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@click.option("--yes", is_flag=True, help="Do not ask.")
def discard(ids: Sequence[str], yes: bool) -> None:  # noqa: FBT001
    """Give them up for good; a callback's event stays in the provider's feed."""
    from shared.db.queries import failover, operations

    def end(connection: Connection, id_: str) -> bool:
        return failover.discard(connection, [id_]) == 1

    if not yes:
        click.confirm(f"Give {len(ids)} up for good?", abort=True)
    changes: dict[str, _Change] = {
        "event": operations.discard_event,
        "message": end,
        "callback": operations.discard_callback,
    }
    _each("discard", ids, changes, lambda file: file.unlink())


def _each(
    action: str,
    ids: Sequence[str],
    changes: Mapping[str, _Change],
    change_file: Callable[[Path], object],
) -> None:
    """Change each, all in one transaction; one that does not exist changes nothing at all."""
    settings = load_settings()
    files = [settings.spool_dir / id_ for id_ in ids if _kind(id_) == "spool"]
    with open_transaction(settings) as connection:
        for id_ in ids:
            kind = _kind(id_)
            if kind == "spool":
                done = (settings.spool_dir / id_).is_file()
            else:
                done = changes[kind](connection, int(id_) if kind == "event" else id_)
            if not done:
                raise Problem(f"{id_} is not set aside; nothing is changed")
            note(connection, f"{kind}.{action}", id_, {"state": _DONE[action]}, before={"state": _SET_ASIDE[kind]})
    for file in files:
        change_file(file)
    click.echo(f"{action}: {len(ids)}")


def _kind(id_: str) -> str:
    if id_.isdecimal():
        return "event"
    if _SPOOLED.fullmatch(id_):
        return "spool"
    return "message" if id_.startswith("msg_") else "callback"
