"""``python -m deploy.env_example``: writes ``.env.example`` from the settings, so that the two cannot differ."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Final

from pydantic.fields import FieldInfo

from shared.settings import Settings

PATH: Final = Path(__file__).parent.parent / ".env.example"
_WIDTH: Final = 110

_HEAD: Final = """\
# Every setting of Ringpost. Copy this file to .env and fill in what is required; a line that is commented out
# shows the default. A secret may also come from a file: NAME_FILE, in the environment, holds its path. Written by
# `python -m deploy.env_example` from shared/settings.py.
"""


def render() -> str:
    """The file's text: each setting behind its description, those that are required first and left empty."""
    fields = Settings.model_fields.items()
    required = [_entry(name, field) for name, field in fields if field.is_required()]
    optional = [_entry(name, field) for name, field in fields if not field.is_required()]
    return "\n".join(
        [_HEAD, "# Required\n", *required, "# With a default\n", *optional]
    ).rstrip() + "\n"  # fmt: skip


def _entry(name: str, field: FieldInfo) -> str:
    comment = textwrap.fill(
        field.description or "", _WIDTH, initial_indent="# ", subsequent_indent="# ", break_long_words=False
    )
    line = f"{name.upper()}=" if field.is_required() else f"#{name.upper()}={default_of(field)}"
    return f"{comment}\n{line}\n"


def default_of(field: FieldInfo) -> str:
    """The default as an operator would write it; one that depends on the machine is left empty."""
    value = field.default
    if field.default_factory is not None or value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    PATH.write_text(render())
