"""
`python -m ingress OPTION …`: granian, with its own options, and the front door already imported.

Granian's master forks its processes: what it has imported they share, instead of each importing it again. One that
died is back in a moment, when senders wait for it.
"""

import gc

gc.disable()  # until it is wired: imports make hardly any garbage, and looking for it is a sixth of their time

from granian.cli import entrypoint  # noqa: E402

import ingress.server  # noqa: E402, F401

entrypoint()  # type: ignore[no-untyped-call]  # granian has no types for it
