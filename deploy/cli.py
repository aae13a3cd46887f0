"""``ringpost``: every operator command. Imports nothing of a command before it is asked for, so that help is quick."""

from __future__ import annotations

from importlib import import_module
from typing import Final

import click

#: Command -> (module under deploy.commands, one line of help); a test compares the help with the command's own.
COMMANDS: Final = {
    "dev": ("dev", "Run all of Ringpost on this machine, with a simulated 8x8, and place a call."),
    "up": ("up", "Run every process of the Procfile, restarting what dies."),
    "migrate": ("migrate", "Bring the database to this version's schema."),
    "status": ("status", "Show what waits, what is under way and what is wrong."),
    "settings": ("settings", "Show every setting, secrets masked, and where it comes from."),
    "doctor": (
        "doctor",
        "Check settings, engines and 8x8 before anything depends on them, and name what waits for a person.",
    ),
    "audit": ("audit", "Prove that every message is accounted for."),
    "providers": ("providers", "Who may send, and what: create, list, limit, cap, disable."),
    "endpoints": ("endpoints", "Where providers are called back: list, rotate-secret, disable, enable."),
    "suppressions": ("suppressions", "Numbers that are not called: add, list, remove."),
    "quarantines": ("quarantines", "Ranges of numbers that are not called for now: list, release."),
    "operators": ("operators", "Who may use the dashboard: add, list, role, password, disable, enable."),
    "audit-log": ("audit_log", "List who changed what, from what and to what, the newest first."),
    "keys": ("keys", "Providers' API keys: create, list, revoke; the data key: new-data, rotate-data."),
    "messages": ("messages", "Find messages, and look into one: list, show."),
    "erase": ("erase", "Erase what is stored about a phone number; it is read from standard input."),
    "callbacks": ("callbacks", "Send callbacks to providers again."),
    "parked": ("parked", "What was set aside: list, match, resend, discard."),
    "processes": ("processes", "The processes at work: list, drain."),
    "traffic": ("traffic", "Show calls by provider and country, and how they ended."),
    "senders": ("traffic", "Show how calls of each caller id fare, and what 8x8 answers."),
    "lanes": ("lanes", "Hold back a type of message, and let it go again."),
    "stop": ("stops", "Stop calls: all, or those of a provider, lane, country, prefix or source (caller id)."),
    "go": ("stops", "End a stop: what it held is called at once, unless another stop covers it."),
    "stops": ("stops", "What operators have stopped."),
    "pace": ("pace", "How fast to dial, and how many calls to have up: show, set."),
    "failover": ("failover", "What a promoted PostgreSQL may have forgotten: show, release, discard."),
    "restore-check": ("restore_check", "After a restore from a backup: see that nothing old is dialled, or hold it."),
    "webhooks": ("webhooks", "Ringpost's addresses at 8x8: register, show, remove."),
    "voices": ("voices", "List the voices that the 8x8 subaccount may use."),
    "simulator": ("simulator", "Run the 8x8 simulator alone."),
    "listen": ("listen", "Receive callbacks here, check their signatures and print them."),
    "trigger": ("listen", "Send a signed sample callback to a receiver, as Ringpost would."),
    "bench": ("bench", "Measure Ringpost on this machine and hold it against its goals."),
    "chaos": ("chaos", "Break things on this machine and see whether every promise holds."),
}


class LazyGroup(click.Group):
    """Knows its commands by name; imports one when it is run."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """In the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import the command's module and nothing else."""
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"deploy.commands.{COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, cmd_name.replace("-", "_"))
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the help from the table, which needs no command."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> object:
        """Run a command; what an operator can understand becomes a line and an exit code, the rest a traceback."""
        try:
            return super().invoke(ctx)
        except (click.exceptions.Exit, click.ClickException, click.Abort):
            raise
        except Exception as error:
            from deploy.commands.console import explained

            problem = explained(error)
            if problem is None:
                raise
            raise problem from None


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="ringpost")
def main() -> None:
    """
    Deliver one-time passcodes as phone calls.

    Exit codes: 0 done, 1 the answer is bad news, 2 wrong usage or settings.
    """
