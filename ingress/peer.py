"""
Where a request comes from: one answer for allow-lists, throttles and logs.

Source: OWASP ASVS 5.0 4.1.3 and 15.3.4. X-Forwarded-For is a text that any sender may begin as it likes; each proxy
appends the address that it saw. So of N trusted proxies the N-th from the right wrote what can be believed, and
nothing left of that is looked at.
"""

from __future__ import annotations

import ipaddress
from typing import Final

from flask import Request, current_app

#: Where the app keeps how many proxies stand before it.
TRUSTED_PROXIES: Final = "TRUSTED_PROXIES"
_LONGEST: Final = 64  # characters of an address with brackets, a zone and a port


def client_ip(request: Request) -> str:
    """
    The address of whoever sent the request, canonical: IPv4 in IPv6 is told as IPv4, ports and zones are left out.

    Behind proxies (``TRUSTED_PROXIES``) it is the one that the outermost of them saw. Where that is missing or no
    address, it is the socket's. Empty where there is none to tell: a unix socket without a proxy.
    """
    environ = request.environ
    proxies = current_app.config.get(TRUSTED_PROXIES, 0)
    return address_of(environ.get("REMOTE_ADDR", ""), environ.get("HTTP_X_FORWARDED_FOR", ""), proxies)


def address_of(socket_peer: str, forwarded_for: str, proxies: int) -> str:
    """
    The sender's address. Pure.

    Args:
        socket_peer: Who is connected, as the server tells it.
        forwarded_for: X-Forwarded-For, several of them joined by commas in their order.
        proxies: How many there are that append to it.
    """
    told = ""
    if proxies > 0:
        hops = forwarded_for.rsplit(",", proxies)[-proxies:]
        # One short of them means that somebody came in past a proxy: its word counts for nothing.
        told = hops[0] if forwarded_for.count(",") + 1 >= proxies else ""
    return _canonical(told) or _canonical(socket_peer)


def _canonical(text: str) -> str:
    text = text.strip()
    if not text or len(text) > _LONGEST or not text.isascii():
        return ""
    if text.startswith("["):
        text = text[1:].partition("]")[0]  # [2001:db8::1]:443
    elif text.count(":") == 1:
        text = text.partition(":")[0]  # 192.0.2.1:443
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return str(address)
