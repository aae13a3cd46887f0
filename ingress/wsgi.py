"""The front door of an ingress process: `granian --factory ingress.wsgi:create`."""

import resource

from ingress.app import create_app
from ingress.gate import Gate
from ingress.site import build_site
from shared import collector, lifeline, log
from shared.services import build_services
from shared.settings import Settings

#: A ring must cost a request nothing: longest wait for Redis, in seconds.
_REDIS_S = 0.2


def create() -> Gate:
    """Wire this process."""
    lifeline.die_with_parent()
    _allow_connections()
    settings = Settings.load()
    log.configure(settings.log_format, settings.log_level)
    site = build_site(build_services(settings, application="ringpost-web", redis_timeout_s=_REDIS_S))
    gate = Gate(create_app(site))
    collector.spare_the_living()
    return gate


def _allow_connections() -> None:
    """As many open files as this process may have: each connection is one, and 1024 are usual."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
