"""What `dramatiq workers.main:start` runs in each worker process: settings, services, actors, and a clean end."""

from __future__ import annotations

import os
from typing import Any

import dramatiq

from shared import collector, lifeline, log
from shared.broker import ConsumerWatch
from shared.services import Services, build_services
from shared.settings import Settings
from workers.actors import Steps, declare_actors


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


def start() -> None:
    """Wire this process. Dramatiq calls it once in each worker process, after the fork."""
    lifeline.die_with_parent()
    settings = Settings.load()
    log.configure(settings.log_format, settings.log_level)
    drain = Drain()
    # A worker without its consumer threads would look healthy and do nothing: end it, the supervisor restarts it.
    watch = ConsumerWatch(on_death=lambda: os._exit(1))
    services = build_services(settings, application="ringpost-worker", middleware=[drain, watch])
    drain.services = services
    drain.steps = declare_actors(services)
    dramatiq.set_broker(services.broker)
    collector.spare_the_living()
