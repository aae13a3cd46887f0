"""What the benchmark holds Ringpost against where nothing is stored."""

import pytest
from flask import Flask

from deploy.bench.floor import OpenGate, create_wsgi, routes
from deploy.bench.rivals import floor_command
from ingress.gate import Submission
from ingress.lean import LeanFlask
from tests.architecture.source import imports


@pytest.fixture(params=[LeanFlask, Flask])
def client(request):
    return routes(request.param("floor", static_folder=None)).test_client()


def test_the_floor_parses_and_replies(client):
    told = client.post("/api/make-call", data=b'{"messageId": "m1"}')

    assert (told.status_code, told.json["data"]["messageId"]) == (200, "m1")
    assert client.post("/api/webhooks/vss", data=b"{}").json == {"status": "ok"}


@pytest.mark.parametrize("path", ["/api/make-call", "/api/webhooks/vss"])
def test_the_floor_takes_nothing_that_it_cannot_parse(client, path):
    assert client.post(path, data=b"{").status_code == 500


def test_the_floor_reaches_no_engine():
    known = imports("deploy/bench/floor.py")

    assert not [name for name in known if name.startswith(("shared.db", "shared.services", "psycopg2", "redis"))]


def test_the_floors_gate_turns_nobody_away():
    assert not OpenGate().refuses(Submission("flood", 1_000_000, 0.0))


def test_the_floor_has_the_command_of_our_ingress_but_for_the_app():
    assert "--interface rsgi" in floor_command()
    assert floor_command().endswith(f"{create_wsgi.__module__}:create")
