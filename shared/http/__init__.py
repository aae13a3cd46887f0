"""The outgoing HTTP edge: what every request to 8x8 and to a provider's receiver goes through."""

from shared.http.addresses import AddressGuard, Network, check_callback_url, is_forbidden
from shared.http.connection import Route
from shared.http.edge import HttpEdge, Limits, Reply, Template, prepare

__all__ = [
    "AddressGuard",
    "HttpEdge",
    "Limits",
    "Network",
    "Reply",
    "Route",
    "Template",
    "check_callback_url",
    "is_forbidden",
    "prepare",
]
