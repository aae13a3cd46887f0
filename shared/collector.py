"""Python's cycle collector, told what a long-lived server is like."""

from __future__ import annotations

import gc
from typing import Final

#: New objects between two collections; a batch makes thousands that reference counting alone frees.
_THRESHOLD: Final = 20_000


def spare_the_living() -> None:
    """Once a process is wired: never look again at what lives as long as it does, and look less often at the rest."""
    gc.freeze()  # the little garbage of the start with it: looking for that takes a tenth of the start
    gc.set_threshold(_THRESHOLD, 20, 20)
    gc.enable()
