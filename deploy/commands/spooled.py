"""The webhooks that this machine keeps in files for PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def lines_of(folder: Path) -> Iterator[str]:
    """A line a webhook, of files that wait and of those that were set aside; a file that goes meanwhile is left out."""
    for path in (*folder.glob("*.jsonl"), *folder.glob("*.parked")):
        with suppress(OSError):
            yield from path.read_text(encoding="ascii", errors="replace").splitlines()
