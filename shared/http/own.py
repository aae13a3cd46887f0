"""
Where the service itself listens: no callback may reach that, whatever networks the operator excepted.

Requirement S1. Excepted networks are those of providers' receivers, and the service often stands among them: a callback
to its own database or to its own front door would be a request from a trusted place.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from shared.errors import ForbiddenAddress
from shared.http.addresses import Address, effective

_PORTS: Final = {"postgresql": 5432, "postgres": 5432, "redis": 6379, "rediss": 6379}

#: The addresses of a host name; none where they cannot be told.
LookUp = Callable[[str], Iterable[Address]]


@dataclass(frozen=True, slots=True)
class OwnServices:
    """Hosts and ports of ours. A host may be a name: it is looked up when a callback is about to use its port."""

    listeners: tuple[tuple[str, int], ...] = ()

    def check(self, port: int, addresses: Sequence[Address], look_up: LookUp) -> None:
        """
        Look whether one of a callback's *addresses* is ours.

        Raises:
            ForbiddenAddress: It is.
        """
        for host, own_port in self.listeners:
            if port == own_port and self._is_at(host, {effective(one) for one in addresses}, look_up):
                raise ForbiddenAddress("address_forbidden")

    @staticmethod
    def _is_at(host: str, addresses: set[Address], look_up: LookUp) -> bool:
        own = {effective(one) for one in _told(host, look_up)}
        if own & addresses:
            return True
        # What listens on one address of a machine may be reached by the others.
        return any(one.is_unspecified or _is_local(one) for one in own) and any(map(_is_local, addresses))


def own_services(host: str, port: int, *urls: str | None) -> OwnServices:
    """What listens on *host* and *port*, and what *urls* of PostgreSQL and Redis name; unix sockets have no port."""
    named = [pair for url in urls if url for pair in _named(url)]
    return OwnServices(((host, port), *named))


def _named(url: str) -> Iterable[tuple[str, int]]:
    """Host and port of a URL, or of each of several hosts that libpq takes between commas."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return
    usual = _PORTS.get(parts.scheme.partition("+")[0])
    for place in parts.netloc.rpartition("@")[2].split(","):
        host, colon, port = place.rpartition(":")
        if not colon or place.endswith("]"):
            host, port = place, ""
        number = int(port) if port.isascii() and port.isdecimal() else usual
        if host and number is not None:
            yield host.strip("[]"), number


def _told(host: str, look_up: LookUp) -> Iterable[Address]:
    try:
        return [ip_address(host)]
    except ValueError:
        return look_up(host)


def _is_local(address: Address) -> bool:
    """Whether it is this machine's: nobody can bind to another's. Sends nothing."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True
