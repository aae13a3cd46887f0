"""Unit tests reach nothing: no network, no engines, no waiting for either."""

import socket

import pytest


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Any connection and any look-up of a name fails; pairs of connected sockets are inside the process and may be."""

    def refuse(*_arguments, **_keywords):
        raise AssertionError("a unit test must not use the network")

    for name in ("connect", "connect_ex", "bind"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
