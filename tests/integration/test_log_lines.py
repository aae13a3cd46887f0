"""Each log line names what it concerns, and none holds a number, a text or a secret: every failure is played."""

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace

import pytest
from flask import Flask
from sqlalchemy.exc import DBAPIError

from deploy.receiver import Mode, ModeKind
from ingress.bodies import WEBHOOK_LIMIT
from ingress.lean import log_ids
from shared import log as logs
from shared.db.database import DatabaseAway
from shared.db.group_commit import GroupCommitter
from shared.db.queries import callbacks, claim
from shared.lifecycle import Lane
from shared.log_evidence import Shown
from shared.quiet import Quiet
from shared.sealing import Sealer, next_data_key
from shared.services import pace_of
from shared.strand import Strands, aside
from tests.architecture.log_lines import NAMED
from tests.integration.callback_stage import SHARES
from tests.integration.ingress_stage import call
from tests.integration.whole_stage import SECRET, TOKEN, whole
from tests.integration.worker_stage import vss
from tests.logging_state import forget_loggers, restored
from workers import stopped_calls, sweep
from workers.ask_log_export import AskLogExport
from workers.deliver_callbacks import DeliverCallbacks
from workers.place_calls import PlaceCalls

NUMBER, OTHER = "+6581234567", "+6581234568"
TEXT = {"message": "Your secret word is {code}.", "code": "48291", "metadata": {"order": "meta-7"}}
#: What an error of a library may say.
LEAK = f"no call to {NUMBER}"
#: Shown by ``tests/unit/test_server.py``: the server that it comes from has no part in these.
ELSEWHERE = {"answer_not_read"}


@pytest.fixture
def steps(settings):
    with whole(settings) as steps:
        yield steps


@contextmanager
def logged():
    """JSON lines as a process writes them."""
    with restored():
        logs.configure("json", "DEBUG", log_ids)
        forget_loggers()
        yield


def fail(*_, **__):
    raise ValueError(LEAK)


def ids_of(steps, id_):
    return {"message_id": id_, "attempt_id": f"att_{id_[4:]}_1"}


def ids_of_callback(steps, id_):
    (row,) = steps.stage.callbacks(id_)
    session_id = steps.stage.message(id_).session_id
    ids = {"callback_id": row.callback_id, "event_id": row.event_id, "endpoint_id": row.endpoint_id}
    return ids | {"message_id": id_, "session_id": session_id}


def ended(steps):
    """A message with its end told, and a callback that is due."""
    id_ = steps.submit(NUMBER, **TEXT)
    steps.dial()
    steps.end(id_)
    steps.reconcile()
    return id_


def claimed(steps, claim_id="claim_1"):
    """A call in hand."""
    pace = pace_of(steps.services.settings)
    return steps.stage.database.run(
        lambda connection: claim.claim(connection, pace, Lane.OTP, wanted=1, claim_id=claim_id), alone=True
    ).calls


# Each plays a failure, and tells what the line must say.


def dial_unknown(steps, _):
    steps.stage.simulator.set_fault("reply_lost", destination=NUMBER)
    id_ = steps.submit(NUMBER, **TEXT)
    steps.dial()
    return ids_of(steps, id_)


def callflow_tried_again(steps, _):
    steps.stage.simulator.set_fault("rate_limited", destination=NUMBER, count=1)
    id_ = steps.submit(NUMBER, **TEXT)
    steps.dial()
    return ids_of(steps, id_)


def data_key_missing(steps, _):
    (key,) = steps.services.settings.data_keys
    steps.stage.services = replace(steps.services, sealer=Sealer(next_data_key(key), key))
    id_ = steps.stage.keep(NUMBER)
    steps.dial()
    return ids_of(steps, id_)


def callflow_not_built(steps, _):
    id_ = steps.submit(NUMBER, **TEXT)
    content = steps.services.sealer.seal(LEAK.encode(), row=id_)
    steps.stage.execute("UPDATE messages SET content = :content", content=content)
    steps.dial()
    return ids_of(steps, id_)


def dial_failed(steps, patch):
    patch.setattr("shared.voice_api.client.VoiceApi.send_callflow", fail)
    id_ = steps.submit(NUMBER, **TEXT)
    steps.dial()
    return ids_of(steps, id_)


def dial_not_recorded(steps, patch):
    id_ = steps.submit(NUMBER, **TEXT)
    patch.setattr(GroupCommitter, "submit", fail)
    steps.dial()
    return ids_of(steps, id_)


def row_not_written(steps, patch):
    id_ = steps.submit(NUMBER, **TEXT)
    patch.setattr("shared.db.queries.dial.record", fail)
    steps.dial()
    return ids_of(steps, id_)


def group_commit_failed(steps, patch):
    id_ = steps.submit(NUMBER, **TEXT)
    patch.setattr(GroupCommitter, "_store", fail)
    steps.dial()
    return {"rows": [ids_of(steps, id_)]}


def claim_given_back(steps, _):
    id_ = steps.submit(NUMBER, **TEXT)
    claimed(steps, "claim_lost")
    step = PlaceCalls(steps.services)
    step._lost_claims.append("claim_lost")
    steps.stage.dial(step=step)
    return {"claim_id": "claim_lost", "message_ids": [id_]}


def calls_stopped(steps, _):
    id_ = steps.submit(NUMBER, **TEXT)
    stopped_calls.put_back(steps.services, [(one, Quiet(None)) for one in claimed(steps)], 1)
    return {"message_ids": [id_]}


def callback_failed(steps, _):
    id_ = ended(steps)
    steps.receiver.set_mode("/callbacks", Mode(kind=ModeKind.STATUS, status=500, body=LEAK.encode()))
    steps.call_back()
    return ids_of_callback(steps, id_)


def callback_parked(steps, _):
    id_ = ended(steps)
    steps.stage.execute("UPDATE callbacks SET attempts = 50")
    steps.receiver.set_mode("/callbacks", Mode(kind=ModeKind.STATUS, status=500))
    steps.call_back()
    return ids_of_callback(steps, id_)


def callback_not_built(steps, _):
    id_ = ended(steps)
    steps.stage.execute("UPDATE endpoints SET secret = 'no secret'")
    steps.call_back()
    return ids_of_callback(steps, id_)


def callback_not_recorded(steps, patch):
    id_ = ended(steps)
    patch.setattr(DeliverCallbacks, "_delivery", fail)
    steps.call_back()
    return ids_of_callback(steps, id_)


def callbacks_not_given_back(steps, patch):
    id_ = ended(steps)
    taken = steps.stage.database.run(
        lambda connection: callbacks.claim(connection, SHARES, lease_s=9, busy_endpoints=[])
    )

    def away(*_, **__):
        raise DatabaseAway

    step = DeliverCallbacks(replace(steps.services, database=SimpleNamespace(run=away)))
    step._release(taken)
    return {"callback_ids": [steps.stage.callbacks(id_)[0].callback_id]}


def callbacks_parked(steps, patch):
    patch.setattr("workers.sweep.poison.part_callbacks", lambda _: ["cb_1"])
    sweep._park_callbacks(steps.stage.services)
    return {"callback_ids": ["cb_1"]}


def events_parked(steps, _):
    id_ = steps.submit(NUMBER, **TEXT)
    steps.dial()
    steps.end(id_)
    (row,) = steps.stage.execute("UPDATE webhook_inbox SET attempts = 5 RETURNING inbox_id")
    steps.stage.sweep()
    return {"inbox_ids": [row.inbox_id]}


def event_contradicts(steps, _):
    id_ = steps.submit(NUMBER, **TEXT)
    steps.dial()
    steps.end(id_, destination=OTHER)
    steps.reconcile()
    (row,) = steps.stage.execute("SELECT inbox_id FROM webhook_inbox")
    return ids_of(steps, id_) | {"session_id": steps.stage.message(id_).session_id, "inbox_id": row.inbox_id}


def event_never_matched(steps, _):
    steps.webhook("vss", vss(session_id="session-of-nobody", destination=NUMBER))
    (row,) = steps.stage.execute(
        "UPDATE webhook_inbox SET received_at = now() - interval '1 day' RETURNING inbox_id, attempts"
    )
    steps.reconcile()
    return {"session_id": "session-of-nobody", "inbox_id": row.inbox_id}


def events_not_applied(steps, patch):
    id_ = steps.submit(NUMBER, **TEXT)
    steps.dial()
    steps.end(id_)
    patch.setattr("shared.db.queries.settle.write", fail)
    steps.reconcile()
    return {"session_ids": [steps.stage.message(id_).session_id]}


def message_overdue(steps, _):
    id_ = steps.submit(NUMBER, **TEXT)
    steps.dial()
    steps.stage.execute("UPDATE messages SET due_at = now() - interval '1 s'")
    steps.stage.sweep()
    return ids_of(steps, id_) | {"session_id": steps.stage.message(id_).session_id}


def message_not_swept(steps, patch):
    id_ = steps.submit(NUMBER, **TEXT)
    steps.dial()
    steps.stage.execute("UPDATE messages SET due_at = now() - interval '1 s'")

    def spoilt(_, moves):
        if moves:
            raise DBAPIError(LEAK, {}, ValueError(LEAK))
        return []

    patch.setattr("workers.sweep.moves.apply", spoilt)
    steps.stage.sweep()
    return ids_of(steps, id_) | {"session_id": steps.stage.message(id_).session_id}


def call_looked_up(steps, _):
    ids = {"message_id": "msg_1", "attempt_id": "att_1_1", "session_id": "session-1"}
    evidence = SimpleNamespace(doubt=SimpleNamespace(**ids, lookups=1), shown=Shown.NOT_SHOWN)
    AskLogExport(steps.services)._tell(SimpleNamespace(export_id="exp_1"), [evidence], [], None)
    return ids


def webhook_too_large(steps, _):
    reply = steps.webhook("vca", b"0" * (WEBHOOK_LIMIT + 1))
    return {"request_id": reply.headers["X-Request-Id"]}


def event_not_stored(steps, patch):
    patch.setattr(steps.site.events, "put", fail)
    reply = steps.webhook("vss", vss(session_id="session-1", destination=NUMBER))
    assert reply.status_code == 200
    return {"request_id": reply.headers["X-Request-Id"], "session_id": "session-1"}


def event_not_kept(steps, patch):
    patch.setattr(steps.site.events, "put", fail)
    patch.setattr("ingress.spool.Spool.append", fail)
    reply = steps.webhook("vss", vss(session_id="session-1", destination=NUMBER))
    assert reply.status_code == 503
    return {"request_id": reply.headers["X-Request-Id"], "session_id": "session-1"}


def call_action_not_kept(steps, patch):
    patch.setattr(steps.site.events, "put", fail)
    patch.setattr("ingress.spool.Spool.append", fail)
    action = {"eventType": "CALL_ACTION", "payload": {"sessionId": "session-1", "destination": NUMBER}}
    reply = steps.webhook("vca", action)
    assert reply.status_code == 200
    return {"request_id": reply.headers["X-Request-Id"], "session_id": "session-1"}


def request_failed(steps, patch):
    patch.setattr("ingress.submissions._stored", fail)
    reply = steps.http.post("/api/make-call", json=call(**TEXT), headers=steps.customer.headers)
    assert reply.status_code == 500
    return {"request_id": reply.get_json()["requestId"]}


BRANCHES = [play for name, play in list(globals().items()) if name in NAMED]


def test_every_line_that_must_name_something_is_played():
    assert {branch.__name__ for branch in BRANCHES} == NAMED.keys() - ELSEWHERE


@pytest.mark.parametrize("branch", BRANCHES, ids=lambda branch: branch.__name__)
def test_a_line_names_what_failed_and_tells_nothing_that_is_secret(steps, monkeypatch, capsys, branch):
    with logged(), monkeypatch.context() as patch:
        expected = branch(steps, patch)

    written = capsys.readouterr().err
    lines = [json.loads(line) for line in written.splitlines()]
    (line, *_) = [one for one in lines if one["event"] == branch.__name__]
    assert {name: line.get(name) for name in expected} == expected
    assert set(NAMED[branch.__name__]) <= expected.keys()
    assert_ids_are_named(lines)
    assert_nothing_is_told(steps, written)


def test_a_whole_life_tells_nothing_that_is_secret(steps, capsys):
    with logged():
        id_ = steps.submit(NUMBER, **TEXT, interruptible=True, redial={"maxAttempts": 2})
        steps.dial()
        steps.end(id_, "BUSY")
        steps.reconcile()
        steps.dial()
        steps.press(id_, key="7391846205")
        steps.reconcile()
        steps.end(id_)
        steps.reconcile(hands_over=True)
        steps.call_back()

    written = capsys.readouterr().err
    assert steps.stage.state(id_) == ("delivered", None)
    assert_ids_are_named([json.loads(line) for line in written.splitlines()])
    assert_nothing_is_told(steps, written)


@pytest.mark.parametrize(
    ("spoilt", "play", "known"),
    [
        ("shared.db.queries.accept.store", lambda steps: steps.http.post(
            "/api/make-call", json=call(**TEXT), headers=steps.customer.headers), "message_id"),
        ("shared.db.queries.inbox.keep", lambda steps: steps.webhook(
            "vss", vss(session_id="session-1", destination=NUMBER)), "session_id"),
        ("shared.db.queries.callbacks.record", lambda steps: steps.call_back(), "callback_id"),
    ],
    ids=["message", "webhook", "callback"],
)  # fmt: skip
def test_a_row_that_cannot_be_written_is_named_whatever_it_is(steps, monkeypatch, capsys, spoilt, play, known):
    ended(steps)
    with logged(), monkeypatch.context() as patch:
        patch.setattr(spoilt, fail)
        play(steps)

    written = capsys.readouterr().err
    (line,) = [one for one in map(json.loads, written.splitlines()) if one["event"] == "row_not_written"]
    assert line[known]
    assert_nothing_is_told(steps, written)


def test_what_is_done_aside_for_a_request_still_names_it():
    app, said = Flask("test"), []

    def code():
        with app.test_request_context():
            said.append(log_ids())
            said.append(aside(log_ids))

    async def run():
        with ThreadPoolExecutor(1) as threads:
            await Strands(asyncio.get_running_loop(), threads).run(code)

    asyncio.run(run())

    here, there = said
    assert here == there
    assert here["request_id"].startswith("req_")


def assert_ids_are_named(lines):
    lacking = [(line, name) for line in lines for name in NAMED.get(line["event"], ()) if name not in line]
    assert lacking == []


def assert_nothing_is_told(steps, written):
    secrets = [SECRET, TOKEN, "test-api-key", steps.customer.headers["Authorization"].split()[1]]
    texts = [NUMBER[1:], OTHER[1:], NUMBER[3:], "31580001", "secret word", "48291", "4, 8, 2", "7391846205", "meta-7"]
    assert [needle for needle in secrets + texts if needle in written] == []
