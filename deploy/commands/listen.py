"""``ringpost listen`` and ``ringpost trigger``: callbacks on the laptop of whoever integrates, without an account."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Final

import click

from deploy.commands.console import BAD_NEWS, WRONG_USE, Problem
from shared.lifecycle import CORRECTED, FINALS, PROGRESS, REPORTED, event_type

if TYPE_CHECKING:
    from deploy.receiver import Received, Receiver

EVENTS: Final = (*sorted(event_type(status) for status in FINALS | REPORTED | PROGRESS), CORRECTED)
_OK: Final = 200
_REDIRECTS: Final = 300
_SECRET: Final = "RINGPOST_CALLBACK_SECRET"  # noqa: S105  the name of a variable
_SECRET_HELP: Final = f"The endpoint's secret; or {_SECRET}, which no list of processes shows."
#: A callback may take a while to come; the wait is begun anew.
_WAIT_S: Final = 3600.0
_REPLY_SHOWN: Final = 300


def _checked(given: tuple[str, ...]) -> tuple[str, ...]:
    """The secrets; that of the environment where none is given."""
    from shared.callback import is_secret

    found = given or tuple(filter(None, [os.environ.get(_SECRET)]))
    if not all(map(is_secret, found)):
        raise Problem("--secret: needs whsec_ and base64 of 24 to 64 bytes, as the endpoint's was shown", WRONG_USE)
    return found


@click.command()
@click.option("--port", default=9000, show_default=True, type=click.IntRange(0, 65535), help="0: any free one.")
@click.option("--host", default="127.0.0.1", show_default=True, help="0.0.0.0: from other machines, too.")
@click.option("--secret", "secrets", multiple=True, metavar="whsec_…", help=f"{_SECRET_HELP} Of several each will do.")
@click.option("--reply", default=_OK, show_default=True, type=click.IntRange(200, 599), help="Answer this to all.")
@click.option("--count", type=click.IntRange(1), help="End after so many.")
@click.option("--json", "as_json", is_flag=True, help="One line of JSON a callback, with its headers.")
def listen(port: int, host: str, secrets: tuple[str, ...], reply: int, count: int | None, as_json: bool) -> None:  # noqa: FBT001
    """
    Receive callbacks here, check their signatures and print them.

    Needs no settings. Ends by Ctrl-C or after --count, with exit code 1 if one was not verified.
    """
    from deploy.receiver import ANY_PATH, Mode, ModeKind, Receiver

    known = _checked(secrets)
    try:
        with Receiver({ANY_PATH: known} if known else None, host=host, port=port) as receiver:
            if reply != _OK:
                receiver.set_mode(ANY_PATH, Mode(kind=ModeKind.STATUS, status=reply))
            unchecked = "" if known else "; without --secret no signature is checked"
            click.echo(f"listening on {receiver.url}{unchecked}", err=True)
            all_good = _print_all(receiver, count, as_json=as_json)
    except OSError as error:
        raise Problem(f"--host or --port: {error.strerror or error}", WRONG_USE) from None
    click.get_current_context().exit(0 if all_good else BAD_NEWS)


def _print_all(receiver: Receiver, count: int | None, *, as_json: bool) -> bool:
    """Print until there are so many, or Ctrl-C; whether all were verified that could be."""
    seen, all_good = 0, True
    try:
        while count is None or seen < count:
            try:
                came = receiver.wait_for(lambda so_far, seen=seen: len(so_far) > seen, _WAIT_S)  # type: ignore[misc]  # a lambda's default
            except TimeoutError:
                continue
            for received in came[seen:count]:
                click.echo(_line(received) if as_json else _shown(received))
                all_good = all_good and received.is_verified is not False
            seen = len(came)
    except KeyboardInterrupt:
        pass
    return all_good


def _line(received: Received) -> str:
    try:
        body = received.json()
    except ValueError:
        body = received.body.decode(errors="replace")
    told = {"at": received.at.isoformat(), "path": received.path, "verified": received.is_verified}
    return json.dumps(told | {"headers": dict(received.headers), "body": body})


def _shown(received: Received) -> str:
    from deploy.receiver import one_line

    line = one_line(received)
    if received.is_verified is False:
        return click.style(
            line + "\n  the signature fits no --secret: of another endpoint, or the body was changed", fg="red"
        )
    try:
        body = json.dumps(received.json(), indent=2, ensure_ascii=False)
    except ValueError:
        return line
    return f"{line}\n{click.style(body, dim=True)}"


@click.command()
@click.argument("event", type=click.Choice(EVENTS), metavar="EVENT")
@click.option(
    "--url", default="http://127.0.0.1:9000/callbacks", show_default=True, metavar="URL", help="The receiver."
)
@click.option("--secret", "secrets", multiple=True, metavar="whsec_…", help=f"{_SECRET_HELP} Of two both sign.")
@click.option("--message-id", default="OTP789", show_default=True, metavar="ID", help="The messageId that it tells of.")
@click.option("--spoil", is_flag=True, help="Change the body after signing: a good receiver refuses that.")
def trigger(event: str, url: str, secrets: tuple[str, ...], message_id: str, spoil: bool) -> None:  # noqa: FBT001
    """
    Send a signed sample callback to a receiver, as Ringpost would.

    EVENT is its type, such as message.delivered. Needs no settings. Exit code 1 where the receiver does not answer
    as it should: 2xx, or anything else with --spoil.
    """
    import requests

    from deploy.sample_callbacks import sample

    known = _checked(secrets)
    if not known:
        raise Problem(f"--secret or {_SECRET}: is needed to sign with", WRONG_USE)
    headers, body = sample(event, message_id, known)
    try:
        answer = requests.post(url, body + b" " * spoil, headers=headers, timeout=5, allow_redirects=False)
    except (requests.RequestException, ValueError) as error:
        raise Problem(f"{url}: {type(error).__name__}: nothing answers there within 5 s") from None
    told = answer.text[:_REPLY_SHOWN].strip()
    click.echo(
        f"{answer.status_code} in {answer.elapsed.total_seconds() * 1000:.0f} ms" + (f": {told}" if told else "")
    )
    is_taken = _OK <= answer.status_code < _REDIRECTS
    if is_taken and spoil:
        raise Problem("the receiver took a body that was changed after signing: it does not verify")
    if not is_taken and not spoil:
        raise Problem("Ringpost would send it again later: only 2xx is success")
