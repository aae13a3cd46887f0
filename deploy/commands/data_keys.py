"""``ringpost keys new-data`` and ``rotate-data``: another data key in place of the one that seals today."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from deploy.commands.console import (
    BAD_NEWS,
    WRONG_USE,
    Problem,
    json_option,
    load_settings,
    note,
    open_database,
    print_json,
)
from deploy.commands.spooled import lines_of

if TYPE_CHECKING:
    from shared.db.database import Database
    from shared.db.queries.sealed import Place
    from shared.sealing import Sealer

_PAGE: Final = 200
#: Between two passes, in seconds: what was locked in the last one is free by then.
_PAUSE_S: Final = 0.2
_SHOWN: Final = 20


@click.command("new-data")
def new_data() -> None:
    """
    Print a data key to follow the present one; store it as a secret.

    It locks with other bytes and hashes numbers as before, so that whatever is known about a number stays known. To
    change the key: 1. set RINGPOST_DATA_KEY_OLD to it and restart every process, so that all can read with it. 2. Swap
    the two and restart again: new rows are sealed with it. 3. `ringpost keys rotate-data`. 4. Remove
    RINGPOST_DATA_KEY_OLD when that says so.
    """
    from shared.sealing import next_data_key

    click.echo(next_data_key(load_settings().ringpost_data_key.get_secret_value()))


@dataclass(slots=True)
class _Done:
    resealed: dict[str, int] = field(default_factory=dict)
    unopened: dict[str, list[str]] = field(default_factory=dict)
    spooled: int = 0

    @property
    def is_whole(self) -> bool:
        return not any(self.unopened.values()) and not self.spooled


@click.command("rotate-data")
@json_option
@click.pass_context
def rotate_data(context: click.Context, as_json: bool) -> None:  # noqa: FBT001
    """
    Seal with RINGPOST_DATA_KEY what RINGPOST_DATA_KEY_OLD has sealed, while everything runs.

    May be stopped at any moment and run again. Exit code 1 while the old key is still needed: rows that neither key
    opens are counted and named, and left as they are.
    """
    from shared.sealing import Sealer

    settings = load_settings()
    if settings.ringpost_data_key_old is None:
        raise Problem("RINGPOST_DATA_KEY_OLD: is not set, so there is nothing to change from", WRONG_USE)
    sealer = Sealer(*settings.data_keys)
    with open_database(settings) as database:
        done = _reseal_all(database, sealer, quiet=as_json)
        done.spooled = _spooled(settings.spool_dir, sealer.header)
        counts = done.resealed | {"unopened": sum(map(len, done.unopened.values()))}
        with database.transaction() as connection:
            note(connection, "key.rotate_data", "data key", counts, before={"sealed_by": "either key"})
    if as_json:
        told = {"resealed": done.resealed, "unopened": done.unopened, "spooled": done.spooled}
        print_json(told | {"old_key_may_go": done.is_whole})
    else:
        _tell(done)
    context.exit(0 if done.is_whole else BAD_NEWS)


def _reseal_all(database: Database, sealer: Sealer, *, quiet: bool) -> _Done:
    from rich.console import Console
    from rich.progress import Progress

    from shared.db.queries import sealed

    done = _Done()
    with Progress(console=Console(stderr=True), disable=quiet) as progress:
        for place in sealed.PLACES:
            stale = database.run(partial(sealed.count_stale, place=place, header=sealer.header))
            task = progress.add_task(f"{place.table:<16}", total=stale)
            resealed, unopened = _reseal(database, sealer, place, partial(progress.advance, task))
            done.resealed[place.table] = done.resealed.get(place.table, 0) + resealed
            done.unopened[place.table] = [*done.unopened.get(place.table, ()), *unopened]
    return done


def _reseal(database: Database, sealer: Sealer, place: Place, tell: Callable[[int], object]) -> tuple[int, list[str]]:
    """Pass after pass, until one leaves nothing but rows that cannot be opened."""
    from shared.db.queries import sealed

    resealed = 0
    while True:
        after, unopened = "", set[str]()
        while True:
            one = partial(
                sealed.reseal, place=place, header=sealer.header, after=after, page=_PAGE, anew=partial(_anew, sealer)
            )
            turn = database.run(one)
            tell(turn.rows)
            resealed += turn.resealed
            unopened.update(turn.unopened)
            after = turn.last
            if turn.rows < _PAGE:
                break
        if database.run(partial(sealed.count_stale, place=place, header=sealer.header)) <= len(unopened):
            return resealed, sorted(unopened)
        time.sleep(_PAUSE_S)


def _anew(sealer: Sealer, sealed_bytes: bytes, row: str) -> bytes | None:
    from shared.sealing import Unsealable

    try:
        return sealer.seal(sealer.unseal(sealed_bytes, row=row), row=row)
    except Unsealable:
        return None


def _spooled(folder: Path, header: bytes) -> int:
    """Webhooks in this machine's spool that another key has sealed; they are replayed, not sealed anew."""
    found = 0
    for line in lines_of(folder):
        with suppress(ValueError, TypeError):
            found += not base64.b64decode(json.loads(line)[1]).startswith(header)
    return found


def _tell(done: _Done) -> None:
    for table, count in done.resealed.items():
        click.echo(f"{table}: {count} sealed anew")
        for row in done.unopened[table][:_SHOWN]:
            click.echo(f"  {row} opens with neither key")
        if (more := len(done.unopened[table]) - _SHOWN) > 0:
            click.echo(f"  and {more} more")
    if done.spooled:
        click.echo(f"{done.spooled} webhooks in this machine's spool need the old key: run this again when it is empty")
    if done.is_whole:
        click.echo(
            "RINGPOST_DATA_KEY_OLD may be removed, once every process was restarted with the new key and the spool of"
            " every other machine that takes webhooks is empty"
        )
    else:
        click.echo("RINGPOST_DATA_KEY_OLD is still needed")
