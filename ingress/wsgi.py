"""The front door of an ingress process: `granian --factory ingress.wsgi:create`."""

from flask import Flask

from ingress.app import create_app
from ingress.site import build_site
from shared import collector, lifeline, log
from shared.services import build_services
from shared.settings import Settings

#: A ring must cost a request nothing: longest wait for Redis, in seconds.
_REDIS_S = 0.2


def create() -> Flask:
    """Wire this process."""
    lifeline.die_with_parent()
    settings = Settings.load()
    log.configure(settings.log_format, settings.log_level)
    app = create_app(build_site(build_services(settings, application="ringpost-web", redis_timeout_s=_REDIS_S)))
    collector.spare_the_living()
    return app
