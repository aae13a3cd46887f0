"""Whom a request comes from."""

from __future__ import annotations

from flask import Request


def client_ip(request: Request) -> str:
    """The address of the socket's other end; empty where there is none."""
    return request.environ.get("REMOTE_ADDR") or ""
