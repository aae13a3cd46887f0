"""
How much of what a load needs, by the figures of a whole benchmark: deploy/capacity.md.

``python -m deploy.bench.capacity`` writes it anew from the figures that the last whole run kept.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import jinja2

from deploy.bench.machine import Circumstances
from deploy.bench.result import Figure, written

_BENCH: Final = Path(__file__).resolve().parent
PAGE: Final = _BENCH.parent / "capacity.md"
FIGURES: Final = _BENCH / "results" / "figures.json"

#: What a message passes through, the figure of its processor time in ms, and what it does.
_PARTS: Final = (
    ("web", "burst.web_ms", "takes messages and webhooks"),
    ("calls-otp, calls-bulk", "burst.calls-otp_ms", "dial"),
    ("events", "burst.events_ms", "settles what 8x8 reports"),
    ("callbacks", "burst.callbacks_ms", "tells the provider"),
    ("PostgreSQL", "burst.postgres_ms", "keeps all of it"),
    ("Redis", "burst.valkey_ms", "rings"),
)
#: Those that are planned for: Redis needs next to nothing.
_PLANNED: Final = 5
_USE: Final = 0.6
#: Messages a second.
_LOADS: Final = (10, 50, 200, 500, 1000, 3000)
#: From the dial to the hang-up, where nothing else is known, in seconds.
_CALL_S: Final = 30
_DAY_S: Final = 86400


def keep(figures: Mapping[str, Figure], around: Circumstances, path: Path = FIGURES) -> None:
    """Keep a whole run's figures for :func:`page`."""
    told = {"around": asdict(around), "figures": {key: figure.value for key, figure in sorted(figures.items())}}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(told, indent=2) + "\n")


def page(kept: Mapping[str, Any]) -> str:
    """
    The page, as Markdown.

    Args:
        kept: What :func:`keep` wrote.
    """
    figures: Mapping[str, float] = kept["figures"]
    cores = int(kept["around"]["machine"].split()[0])
    around = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_BENCH),
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701  it is Markdown, of our own figures
    )
    around.filters["written"] = written
    return around.get_template("capacity.md.jinja").render(
        around=kept["around"],
        of=figures,
        parts=[{"name": name, "does": does, "ms": figures[key]} for name, key, does in _PARTS],
        loads=[_needs(rate, figures) for rate in _LOADS],
        use=_USE,
        call_s=_CALL_S,
        cores=cores,
        foreseen=cores * 1000 / (figures["burst.all_ms"] + figures["burst.generator_ms"]),
    )


def _needs(rate: int, figures: Mapping[str, float]) -> dict[str, Any]:
    return {
        "rate": rate,
        "cores": [rate * figures[key] / 1000 / _USE for _, key, _ in _PARTS[:_PLANNED]],
        "lines": rate * _CALL_S,
        "log_mib": rate * figures["burst.wal_kib"] / 1024,
        "day_gib": rate * _DAY_S * figures["burst.stored_kib"] / 1024**2,
    }


def main() -> None:
    """Write the page from what is kept."""
    PAGE.write_text(page(json.loads(FIGURES.read_text())))


if __name__ == "__main__":
    main()
