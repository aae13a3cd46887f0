"""``python -m deploy.doc_tables``: writes into README.md and ARCHITECTURE.md what they show of the code."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from deploy.env_example import default_of
from shared import lifecycle, reasons
from shared.metrics import METRICS, Kind
from shared.settings import Settings

if TYPE_CHECKING:
    import click

_ROOT: Final = Path(__file__).parent.parent
_MARKED: Final = re.compile(r"(?s)(<!-- begin (\w+)[^>]*-->\n).*?(<!-- end \2 -->)")


def render(text: str) -> str:
    """
    *text* with each marked part as the code has it now.

    Raises:
        KeyError: A marker names a part that nobody writes.
    """
    parts = {
        "settings": _settings,
        "commands": _commands,
        "reasons": _reasons,
        "lifecycle": _lifecycle,
        "metrics": _metrics,
    }

    def written(found: re.Match[str]) -> str:
        return found[1] + "\n".join(["", *parts[found[2]](), ""]) + "\n" + found[3]

    return _MARKED.sub(written, text)


def documents() -> Mapping[Path, str]:
    """Each document with the text that it should have."""
    return {path: render(path.read_text()) for path in (_ROOT / "README.md", _ROOT / "ARCHITECTURE.md")}


def _settings() -> Iterator[str]:
    yield "| name | default | |"
    yield "|---|---|---|"
    for name, field in Settings.model_fields.items():
        default = "**required**" if field.is_required() else f"`{default_of(field)}`" if default_of(field) else ""
        yield f"| `{name.upper()}` | {default} | {_cell(field.description or '')} |"


def _commands() -> Iterator[str]:
    from deploy.cli import main

    yield "| command | |"
    yield "|---|---|"
    for words, command in _leaves("ringpost", main):
        yield f"| `{_cell(words)}` | {_cell(_sentence(command))} |"


def _leaves(words: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, with all its words and arguments."""
    import click

    context = click.Context(command)
    if not isinstance(command, click.Group):
        arguments = [part.make_metavar(context) for part in command.params if isinstance(part, click.Argument)]
        yield " ".join([words, *arguments]), command
        return
    if command.invoke_without_command:
        yield words, command
    for name in command.list_commands(context):
        child = command.get_command(context, name)
        assert child is not None
        yield from _leaves(f"{words} {name}", child)


def _sentence(command: click.Command) -> str:
    """The first paragraph of a command's help."""
    return " ".join((command.help or "").strip().partition("\n\n")[0].split())


def _reasons() -> Iterator[str]:
    yield "| reason | whose side | send it again? | |"
    yield "|---|---|---|---|"
    for reason, meaning in reasons.MEANINGS.items():
        yield f"| `{reason}` | {meaning.party} | {'yes' if meaning.retryable else 'no'} | {_cell(meaning.text)} |"


def _lifecycle() -> Iterator[str]:
    yield "```mermaid"
    yield lifecycle.mermaid()
    yield "```"


def _metrics() -> Iterator[str]:
    yield "| metric | kind | labels | |"
    yield "|---|---|---|---|"
    for metric in METRICS:
        name = metric.samples[0] if metric.kind is Kind.COUNTER else metric.name
        yield f"| `{name}` | {metric.kind} | {', '.join(metric.labels)} | {_cell(metric.meaning)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    for path, text in documents().items():
        path.write_text(text)
