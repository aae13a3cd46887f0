"""The naive design's routes: `granian --factory deploy.bench.naive.web:create`."""

from __future__ import annotations

import os

from flask import Flask, jsonify, request
from flask.typing import ResponseReturnValue
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, sessionmaker

from deploy.bench.naive.tables import Call, make_sessions
from shared import lifeline


def create() -> Flask:
    """The application of one process."""
    lifeline.die_with_parent()
    app = Flask(__name__)
    sessions = make_sessions()
    _add_make_call(app, sessions)
    _add_summary(app, sessions)

    @app.get("/readyz")
    def ready() -> ResponseReturnValue:
        return jsonify(status="ok")

    return app


def _add_make_call(app: Flask, sessions: sessionmaker[Session]) -> None:
    from deploy.bench.naive.jobs import place_call

    key = os.environ["NAIVE_KEY"]

    @app.post("/api/make-call")
    def make_call() -> ResponseReturnValue:
        if request.headers.get("Authorization") != key:
            return jsonify(error="unauthorized"), 401
        body = request.get_json()
        call = Call(
            message_id=body["messageId"],
            phone=body["customerPhone"],
            message=body["message"],
            repetition=body.get("repetition", 2),
        )
        with sessions() as db:
            db.add(call)
            try:
                db.commit()
            except IntegrityError:
                return jsonify(error="messageId was used"), 409
            place_call.send(call.id)
            return jsonify(success=True, data={"id": call.id, "messageId": call.message_id, "status": call.status})


def _add_summary(app: Flask, sessions: sessionmaker[Session]) -> None:
    from deploy.bench.naive.jobs import deliver_callback

    @app.post("/api/webhooks/vss")
    def summary() -> ResponseReturnValue:
        payload = request.get_json()["payload"]
        with sessions() as db:
            call = db.scalar(select(Call).where(Call.session_id == payload["sessionId"]))
            if call is None:
                return jsonify(error="unknown session"), 404
            call.status = payload["sessionStatus"].lower()
            db.commit()
            deliver_callback.send(call.id)
        return jsonify(status="ok")
