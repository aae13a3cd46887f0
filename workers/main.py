"""
What `python -m workers` runs in each worker process: settings, services, actors, Dramatiq's worker, and a clean end.

Dramatiq's own command line starts a master that forks one such process, and that may need a second to see it die:
here the supervisor sees it at once.
"""

from __future__ import annotations

import argparse
import math
import os
import signal
import time
from collections.abc import Collection
from typing import Any, Final

import dramatiq

from shared import collector, jobs, lifeline, log
from shared.broker import ConsumerWatch, WakeUpBroker
from shared.heartbeat import STUCK_S, Heartbeat, name_of
from shared.presence import Presence
from shared.services import Services, build_services
from shared.settings import Settings
from workers.actors import Steps, declare_actors

_ENDS: Final = frozenset({signal.SIGTERM, signal.SIGINT})
#: Longest wait for the jobs under way at the end, in milliseconds.
_DRAIN_MS: Final = 25_000


class Drain(dramatiq.Middleware):
    """SIGTERM: take nothing new, finish the requests under way, record them, let go of the connections."""

    def __init__(self) -> None:
        self.steps: Steps | None = None
        self.services: Services | None = None

    def before_worker_shutdown(self, broker: Any, worker: Any) -> None:  # noqa: ARG002
        """Take nothing new."""
        if self.steps is not None:
            self.steps.stop()

    def after_worker_shutdown(self, broker: Any, worker: Any) -> None:  # noqa: ARG002
        """Finish and record what is under way."""
        if self.steps is not None and self.services is not None:
            self.steps.drain()
            self.services.close()


def main() -> None:
    """Read the command line, then work until told to end."""
    parser = argparse.ArgumentParser(prog="python -m workers", description="Run the jobs of some queues.")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="jobs at work at once (default: 1)")
    parser.add_argument("queues", nargs="+", choices=[job.queue for job in jobs.ALL], metavar="QUEUE")
    known = parser.parse_args()
    run(known.queues, known.threads)


def run(queues: Collection[str], threads: int) -> None:
    """Work until SIGTERM or SIGINT, then drain; a second signal ends the process at once."""
    lifeline.die_with_parent()
    # Blocked in all threads, and fetched when there is something to drain: no handler interrupts anything.
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDS)
    services, steps = wire()
    worker = dramatiq.Worker(services.broker, queues=set(queues), worker_threads=threads)
    worker.start()
    Heartbeat(
        services.settings.ringpost_data_dir,
        name_of(queues),
        lambda: is_well(services.broker, steps, queues),
        watchdog=os.environ.get("NOTIFY_SOCKET", ""),
    ).start()
    for job in jobs.ALL:
        if job.queue in queues:
            services.doorbell.ring(job)  # the last ring may have died with the process before this one
    presence = Presence(services.database, ", ".join(sorted(queues)))
    presence.begin()
    services.counters.begin(services.database)
    collector.spare_the_living()
    signal.sigwait(_ENDS)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDS)
    presence.end()
    worker.stop(timeout=_DRAIN_MS)
    services.broker.close()


def is_well(broker: WakeUpBroker, steps: Steps, queues: Collection[str]) -> bool:
    """Whether every consumer looks for rings and no step's round is stuck. What is away makes nobody unwell."""
    looked_at = [broker.looked_at.get(queue, -math.inf) for queue in queues]
    return time.monotonic() - min(looked_at + steps.busy_since()) < STUCK_S


def wire() -> tuple[Services, Steps]:
    """What this process works with, its actors bound to the broker."""
    settings = Settings.load()
    log.configure(settings.log_format, settings.log_level)
    drain = Drain()
    # A worker without its consumer threads would look healthy and do nothing: end it, the supervisor restarts it.
    watch = ConsumerWatch(on_death=lambda: os._exit(1))
    services = build_services(settings, application="ringpost-worker", middleware=[drain, watch])
    drain.services = services
    drain.steps = declare_actors(services)
    return services, drain.steps
