"""Whom a request comes from: behind so many proxies exactly, and never whom it only says."""

import pytest
from flask import Flask, request

from ingress.peer import TRUSTED_PROXIES, address_of, client_ip

PROXY = "10.0.0.9"


@pytest.mark.parametrize(
    ("socket_peer", "forwarded_for", "proxies", "sender"),
    [
        # No proxy: the header is the sender's own invention.
        ("198.51.100.7", "", 0, "198.51.100.7"),
        ("198.51.100.7", "203.0.113.1", 0, "198.51.100.7"),
        ("198.51.100.7", "203.0.113.1, 203.0.113.2", 0, "198.51.100.7"),
        # One: the last entry is what it saw; what stands before is what the sender made up.
        (PROXY, "198.51.100.7", 1, "198.51.100.7"),
        (PROXY, "203.0.113.1, 198.51.100.7", 1, "198.51.100.7"),
        (PROXY, "203.0.113.1,,,198.51.100.7", 1, "198.51.100.7"),
        (PROXY, "198.51.100.7, ", 1, PROXY),
        (PROXY, "", 1, PROXY),
        (PROXY, "unknown", 1, PROXY),
        (PROXY, "203.0.113.1, _hidden", 1, PROXY),
        (PROXY, "203.0.113.1, 1" + "9" * 5000, 1, PROXY),
        # Two.
        (PROXY, "198.51.100.7, 10.0.0.8", 2, "198.51.100.7"),
        (PROXY, "203.0.113.1, 198.51.100.7, 10.0.0.8", 2, "198.51.100.7"),
        (PROXY, "203.0.113.1", 2, PROXY),  # past the outer one
        (PROXY, "", 2, PROXY),
        (PROXY, ", 10.0.0.8", 2, PROXY),
        (PROXY, "x, 10.0.0.8", 2, PROXY),
        # Spellings.
        (PROXY, "2001:DB8::0:1", 1, "2001:db8::1"),
        (PROXY, "[2001:db8::1]:4711", 1, "2001:db8::1"),
        (PROXY, "[2001:db8::1]", 1, "2001:db8::1"),
        (PROXY, "fe80::1%eth0", 1, "fe80::1"),
        (PROXY, "198.51.100.7:4711", 1, "198.51.100.7"),
        (PROXY, "::ffff:198.51.100.7", 1, "198.51.100.7"),
        (PROXY, "[::ffff:c633:6407]:1", 1, "198.51.100.7"),
        (PROXY, "198.51.100.007", 1, PROXY),
        (PROXY, "\uff1198.51.100.7", 1, PROXY),
        (PROXY, "198.51.100.7\x00", 1, PROXY),
        ("::ffff:198.51.100.7", "", 0, "198.51.100.7"),
        # A unix socket has no address: a proxy before it tells, else nobody.
        ("", "", 0, ""),
        ("unix", "203.0.113.1", 0, ""),
        ("", "203.0.113.1, 198.51.100.7", 1, "198.51.100.7"),
    ],
)
def test_the_sender_is_who_the_outermost_trusted_proxy_saw(socket_peer, forwarded_for, proxies, sender):
    assert address_of(socket_peer, forwarded_for, proxies) == sender


def test_several_headers_count_in_their_order():
    app = Flask(__name__)
    app.config[TRUSTED_PROXIES] = 1
    told = {"REMOTE_ADDR": PROXY, "HTTP_X_FORWARDED_FOR": "203.0.113.1,198.51.100.7"}

    with app.test_request_context(environ_overrides=told):
        assert client_ip(request) == "198.51.100.7"
