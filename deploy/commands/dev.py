"""``ringpost dev``: all of Ringpost on this machine, and a call to show it."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final, TextIO, cast

import click

from deploy.commands.console import DEV_ENVIRONMENT, Problem
from deploy.commands.up import tell_exit, tell_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from deploy.demo.keepsake import Keepsake
    from deploy.demo.surroundings import Surroundings
    from deploy.procfile import Process

#: The first start makes a database cluster and compiles every module.
_READY_WITHIN_S: Final = 60.0


@click.command()
@click.option("--once", is_flag=True, help="End after the demonstration call: exit code 0 if all of it worked.")
def dev(once: bool) -> None:  # noqa: FBT001
    """
    Run all of Ringpost on this machine, with a simulated 8x8, and place a call.

    Needs no settings: what it makes up is kept in RINGPOST_DATA_DIR. Real phones are never called. Ctrl-C ends it.
    """
    started = time.monotonic()
    click.echo("ringpost dev: starting PostgreSQL, Valkey, the 8x8 simulator and every process")
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGINT, _end)
    from deploy.demo.client import DemoError

    with suppress(KeyboardInterrupt):
        try:
            _run(once=once, started=started)
        except DemoError as error:
            raise Problem(f"the demonstration failed: {error}") from None


def _end(_signum: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _run(*, once: bool, started: float) -> None:
    """Engines outside, processes inside, so that these can still write while they end."""
    from deploy.demo import provider, surroundings
    from deploy.demo.keepsake import Keepsake
    from deploy.engines import Engines
    from deploy.engines.keeper import Keeper

    around = surroundings.survey()
    urls = os.environ.get("DATABASE_URL"), os.environ.get("REDIS_URL")
    with Engines(around.data_dir, *urls) as engines:
        for line in engines.describe():
            click.echo(f"  {line}")
        keepsake = Keepsake.load(around.data_dir)
        settings = surroundings.load_settings(around, keepsake, (engines.database_url, engines.redis_url))
        if not provider.is_prepared(engines.database_url, keepsake, around.callback_url):
            provider.prepare(engines, settings, keepsake, around.callback_url)
        keepsake.callback_url = around.callback_url
        keepsake.save(around.data_dir)
        environment = surroundings.environment_of(settings)
        with _shared(around, environment), Keeper(engines, tell_line):
            _serve(around, keepsake, environment, once=once, started=started)


@contextmanager
def _shared(around: Surroundings, environment: Mapping[str, str]) -> Iterator[None]:
    """Leave the settings where the other commands look for them while this one runs."""
    from deploy.demo.keepsake import write_private

    file = around.data_dir / DEV_ENVIRONMENT
    write_private(file, "".join(f"{name}='{text}'\n" for name, text in environment.items() if text))
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def _serve(
    around: Surroundings, keepsake: Keepsake, environment: dict[str, str], *, once: bool, started: float
) -> None:
    """Run everything, show the call, and stay until Ctrl-C."""
    from deploy.demo import call, hints
    from deploy.demo.listener import Listener
    from deploy.supervisor import Supervisor

    listener = Listener()
    supervisor = Supervisor(_processes(around, keepsake, environment), out=cast(TextIO, listener), on_exit=tell_exit)
    around.let_go()
    supervisor.start()
    try:
        deadline = time.monotonic() + _READY_WITHIN_S
        call.register_webhooks(around, keepsake.webhook_auth_token, deadline)
        call.await_ready(around, deadline)
        click.echo(f"  ready after {time.monotonic() - started:.1f} s: {around.url}")
        call.place_call(around, keepsake, listener.heard, _teller())
        if once:
            return
        click.echo("\nTry, in another terminal:\n")
        for line in hints.lines(around, keepsake):
            click.echo(click.style(line, dim=True) if line.startswith("#") else line)
        click.echo("\nCtrl-C ends everything.")
        supervisor.wait()
    finally:
        signal.signal(signal.SIGINT, lambda *_: threading.Thread(target=supervisor.kill).start())
        supervisor.stop()


def _processes(around: Surroundings, keepsake: Keepsake, environment: dict[str, str]) -> list[Process]:
    from deploy import fleet
    from deploy.demo.surroundings import API_KEY, HOST, SUBACCOUNT, TIME_SCALE
    from deploy.procfile import Process

    # Without compiled modules every process would compile all of them at every start.
    paths = fleet.program_paths() | {"PYTHONDONTWRITEBYTECODE": ""}
    options = json.dumps({"subaccount_id": SUBACCOUNT, "api_key": API_KEY})
    address = ["--host", HOST, "--port", str(around.simulator_port), "--time-scale", str(TIME_SCALE)]
    simulator = [sys.executable, "-m", "deploy.simulator", *address, "--json-options", options]
    receiver = [sys.executable, "-m", "deploy.demo.receiver", str(around.receiver_port)]
    return [
        *fleet.processes(paths | environment),
        Process(name="simulator", command=simulator, env=paths),
        Process(name="receiver", command=receiver, env=paths | {"RECEIVER_SECRET": keepsake.callback_secret}),
    ]


def _teller() -> Callable[[float, str, str], None]:
    """A step of the demonstration as a line; in colour on a terminal."""
    if not sys.stdout.isatty():
        return lambda at, step, detail: click.echo(f"  {at:6.2f} s  {step:<12}{detail}")
    from rich.console import Console
    from rich.markup import escape

    console = Console(highlight=False)
    return lambda at, step, detail: console.print(f"  [cyan]{at:6.2f} s[/]  [bold green]{step:<12}[/]{escape(detail)}")
