"""``ringpost providers countries|limits|quiet-hours``: where to, how much and when a provider may send."""

from __future__ import annotations

from typing import Any, Final

import click

from deploy.commands.console import WRONG_USE, Problem, json_option, note, open_transaction, print_json
from shared.sending_rules import DETECTIONS, parse_number_limits, parse_quiet_hours, written

_DEFAULT: Final = "default"
_SOON: Final = "known to every process within 2 seconds"


@click.command()
@click.argument("name_or_id")
@click.argument("codes", metavar="SG,US|*|default")
def countries(name_or_id: str, codes: str) -> None:
    """Set the countries that a provider may call: ISO codes, * for all, or default for ALLOWED_COUNTRIES."""
    from deploy.commands.providers import parse_countries

    allowed = None if codes == _DEFAULT else parse_countries(codes)
    _change(name_or_id, "provider.countries", {"countries": allowed})
    click.echo(f"{name_or_id} may call {codes}: {_SOON}")


@click.command()
@click.argument("name_or_id")
@click.option("--per-number", metavar="3/600,10/86400", help="Messages to one number, each as count/seconds; none.")
@click.option("--per-minute", metavar="N", help="Messages in a minute; none.")
@click.option("--per-prefix", metavar="N", help="Messages to one range of numbers in an hour; none.")
@click.option("--detection", type=click.Choice([*DETECTIONS, _DEFAULT]), help="What quarantines a range.")
@json_option
def limits(name_or_id: str, as_json: bool, **asked: str | None) -> None:  # noqa: FBT001
    """
    Show or set how much a provider may send.

    "none" takes a limit away, "default" leaves it to the setting.
    """
    readers = {
        "per_number": ("number_limits", _number_limits, ""),
        "per_minute": ("messages_per_minute", _count, 0),
        "per_prefix": ("prefix_per_hour", _count, 0),
        "detection": ("detection", lambda text, _: text, "off"),
    }
    changed: dict[str, Any] = {}
    for option, text in asked.items():
        column, read, none = readers[option]
        if text is not None:
            name = f"--{option.replace('_', '-')}"
            changed[column] = None if text == _DEFAULT else none if text == "none" else read(text, name)
    if changed:
        _change(name_or_id, "provider.limits", changed)
    _show(name_or_id, as_json=as_json)


@click.command("quiet-hours")
@click.argument("name_or_id")
@click.argument("hours", metavar="22:00-08:00|off")
@click.option("--alerts", is_flag=True, help="Alerts keep them, too; an otp never does.")
def quiet_hours(name_or_id: str, hours: str, alerts: bool) -> None:  # noqa: FBT001
    """Set when a provider's notifications wait, by the clock of who is called."""
    try:
        kept = None if hours == "off" else written(parse_quiet_hours(hours))
    except ValueError as error:
        raise Problem(f"HOURS: {error}, or off", WRONG_USE) from None
    _change(name_or_id, "provider.quiet_hours", {"quiet_hours": kept, "quiet_alerts": alerts and kept is not None})
    click.echo(f"quiet hours of {name_or_id}: {kept or 'none'}; {_SOON}")


def _number_limits(text: str, option: str) -> str:
    try:
        parse_number_limits(text)
    except ValueError as error:
        raise Problem(f"{option}: {error}", WRONG_USE) from None
    return text


def _count(text: str, option: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text[:12]) <= 10**9:
        raise Problem(f"{option}: needs a whole number from 1, none or default", WRONG_USE)
    return int(text)


def _change(name_or_id: str, action: str, changed: dict[str, Any]) -> None:
    from deploy.commands.providers import find_provider
    from shared.db.queries import sending_rules

    with open_transaction() as connection:
        provider_id = find_provider(connection, name_or_id)
        before = sending_rules.change(connection, provider_id, changed)
        note(connection, action, provider_id, changed, before=before)


def _show(name_or_id: str, *, as_json: bool) -> None:
    from deploy.commands.providers import find_provider
    from shared.db.queries import sending_rules

    with open_transaction() as connection:
        rules = sending_rules.rules(connection, find_provider(connection, name_or_id))
    if as_json:
        print_json(rules)
        return
    for name, value in rules.items():
        text = ",".join(value) if isinstance(value, list) else value
        none = value in ("", 0) and not isinstance(value, bool)
        click.echo(f"  {name:<22}{_DEFAULT if value is None else 'none' if none else text}")
