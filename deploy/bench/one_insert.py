"""
For comparison only: one committed INSERT and one enqueue a request, by bare psycopg2.

`granian --factory deploy.bench.one_insert:create`.
"""

from __future__ import annotations

import json
import os
import threading
from typing import Any, Final

import dramatiq
import psycopg2
from dramatiq.brokers.redis import RedisBroker
from flask import Flask, Response, request

from shared import lifeline

_TABLE: Final = """
CREATE TABLE IF NOT EXISTS one_insert (
  id bigserial PRIMARY KEY, message_id text NOT NULL UNIQUE, phone text NOT NULL, message text NOT NULL,
  repetition int NOT NULL, status text NOT NULL, created_at timestamptz NOT NULL DEFAULT now())
"""
_INSERT: Final = """
INSERT INTO one_insert (message_id, phone, message, repetition, status) VALUES (%s, %s, %s, %s, 'queued')
ON CONFLICT DO NOTHING RETURNING id
"""


def create_table(url: str) -> None:
    """Make the table if it is missing."""
    connection = psycopg2.connect(url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(_TABLE)
    connection.close()


def create() -> Flask:
    """The application of one process."""
    lifeline.die_with_parent()
    app = Flask(__name__)
    here = threading.local()
    broker: Any = RedisBroker(url=os.environ["NAIVE_REDIS_URL"], middleware=[])  # type: ignore[no-untyped-call]

    def connection() -> Any:
        if not hasattr(here, "connection"):
            here.connection = psycopg2.connect(os.environ["NAIVE_DATABASE_URL"])
            here.connection.autocommit = True
        return here.connection

    @app.post("/api/make-call")
    def make_call() -> Response:
        body = json.loads(request.get_data(cache=False))
        row = (body["messageId"], body["customerPhone"], body["message"], body["repetition"])
        with connection().cursor() as cursor:
            cursor.execute(_INSERT, row)
            (id_,) = cursor.fetchone() or (None,)
        broker.enqueue(
            dramatiq.Message(queue_name="one_insert", actor_name="place", args=(id_,), kwargs={}, options={})
        )
        told = {"success": True, "data": {"id": id_, "messageId": body["messageId"], "status": "queued"}}
        return Response(json.dumps(told), content_type="application/json")

    @app.get("/readyz")
    def ready() -> Response:
        return Response("{}", content_type="application/json")

    return app
