"""Test messages: the whole way of a live one, but for the call itself."""

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from deploy import fleet
from deploy.demo.surroundings import environment_of
from deploy.procfile import parse_procfile
from shared import callback, jobs
from shared.callback import event_of
from shared.db import story
from shared.db.queries import backlog, callbacks, dial
from shared.lifecycle import Lane
from shared.settings import Settings
from shared.voice_api import pretence
from tests.integration.worker_stage import PROVIDER, Stage, staged, vss
from workers.pretend_calls import PretendCalls


class Trap:
    """Stands where 8x8 should, and notes who knocks."""

    def __init__(self):
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.knocks = []
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        while True:
            try:
                peer, address = self._socket.accept()
            except OSError:
                return
            self.knocks.append(address)
            peer.close()

    def close(self):
        self._socket.close()


@pytest.fixture(scope="module")
def trap():
    trap = Trap()
    yield trap
    trap.close()


@pytest.fixture(scope="module")
def module_stage(database_url, redis_url, tmp_path_factory, trap):
    settings = Settings.load(
        _env_file=None,
        eight_x_eight_api_key="test-api-key",
        eight_x_eight_subaccount_id="test_voice",
        outbound_phone_number="+6531580001",
        webhook_auth_token="test-webhook-token",
        ringpost_data_key=base64.b64encode(bytes(range(32))).decode(),
        ringpost_data_dir=tmp_path_factory.mktemp("data"),
        database_url=database_url,
        redis_url=redis_url,
    )
    changes = {
        "eight_x_eight_base_url": trap.url,
        "eight_x_eight_export_url": trap.url,
        "test_call_seconds": 0,
        "answer_seconds": 1,
    }
    with staged(settings, **changes) as stage:
        yield stage


@pytest.fixture
def stage(module_stage):
    module_stage.empty()
    module_stage.services.doorbell.asked.clear()
    return module_stage


def number(suffix, place=0):
    return f"+65{8100 + place}{suffix}"


def new_test(stage: Stage, destination=None, *, kind=Lane.OTP, **members):
    return stage.new_message(destination, lane=Lane.TEST, test_type=kind, **members)


def keep(stage, destination=None, **members):
    return stage.keep_all([new_test(stage, destination, **members)])[0]


def pretend(stage):
    PretendCalls(stage.services)()


def settle(stage):
    """Go on until nothing waits, whatever is due later being due now."""
    waiting = 1
    while waiting:
        pretend(stage)
        stage.execute("UPDATE webhook_inbox SET due_at = now() WHERE processed_at IS NULL")
        stage.reconcile()
        waiting = stage.execute("UPDATE messages SET due_at = now() WHERE status = 'queued' AND lane = 'test'")


ENDS = {
    "1234": ("delivered", None, 1),
    "0001": ("busy", "busy", 2),
    "0002": ("no_answer", "no_answer", 2),
    "0003": ("failed", "not_reached", 1),
    "0004": ("canceled", "call_canceled", 1),
    "0007": ("delivered", None, 1),
    "0009": ("blocked", "opted_out", 1),
    "0011": ("delivered", None, 2),
    "0012": ("delivered", None, 2),
    "0016": ("expired", "expired_upstream", 1),
    "0031": ("delivered", None, 1),
    "0032": ("dial_unknown", "no_reply", 1),
    "0033": ("placed", None, 1),
    "0034": ("failed", "invalid_number", 1),
    "0041": ("delivered", None, 1),
    "0042": ("no_answer", "no_answer", 2),
}


def test_each_magic_number_ends_as_it_says_and_no_call_is_asked_for(stage, trap):
    ids = {suffix: keep(stage, number(suffix), max_attempts=2) for suffix in ENDS}

    settle(stage)

    found = {suffix: (*stage.state(id_), stage.message(id_).attempt) for suffix, id_ in ids.items()}
    assert found == ENDS
    assert ENDS.keys() == pretence.OUTCOMES.keys() | {"1234"}
    assert trap.knocks == []


def test_two_hundred_test_messages_come_to_their_ends_and_8x8_hears_of_none(stage, trap):
    stage.endpoint()
    plan = ["1234", "0001", "0003", "0007"]
    ids = stage.keep_all([new_test(stage, number(plan[place % 4], place)) for place in range(200)])

    settle(stage)
    stage.sweep()

    ends = stage.execute("SELECT status, count(*) AS messages FROM messages GROUP BY status ORDER BY status")
    assert [tuple(row) for row in ends] == [("busy", 50), ("delivered", 100), ("failed", 50)]
    assert stage.execute("SELECT count(*) FROM callbacks")[0][0] == len(ids)
    assert stage.execute("SELECT count(*) FROM messages WHERE content IS NOT NULL")[0][0] == 0
    assert trap.knocks == []


def test_no_answer_waits_in_the_inbox_until_its_time(stage):
    id_ = keep(stage, number("0041"))
    PretendCalls(stage.new_services(test_call_seconds=60.0))()
    stage.reconcile()

    ((wait_s,),) = stage.execute("SELECT EXTRACT(EPOCH FROM due_at - received_at)::int FROM webhook_inbox")
    assert (wait_s, stage.state(id_)) == (600, ("placed", None))


def test_a_refusing_8x8_a_spent_pace_and_a_full_trunk_hold_no_test_message_up(stage, trap):
    stage.execute(
        "INSERT INTO subaccounts (subaccount_id, tokens, lines, held_until)"
        " VALUES ('test_voice', 0, 1, now() + interval '1 hour')"
    )
    stage.database.run(
        lambda c: dial.open_breaker(c, "subaccount", "test_voice", reason="account_refused", pause_s=600)
    )
    stage.database.run(lambda c: dial.open_breaker(c, "source", "+6531580001", reason="refused", pause_s=600))
    live = stage.keep()
    tested = keep(stage, number("1234"))

    stage.dial()
    settle(stage)

    assert (stage.state(live)[0], stage.state(tested)[0]) == ("queued", "delivered")
    assert trap.knocks == []


def test_test_messages_take_nothing_from_live_ones(stage):
    before = backlog_of(stage)
    keep(stage, number("0033"))
    pretend(stage)
    keep(stage, number("1234"))

    assert backlog_of(stage) == before
    placed = stage.execute("SELECT * FROM messages WHERE status = 'placed'")[0]
    assert (placed.busy_destination, placed.busy_until) == (None, None)
    assert stage.execute("SELECT * FROM subaccounts") == []


def backlog_of(stage):
    read = stage.database.run(lambda c: backlog.read(c, "test_voice", pace=50, lines=500))
    return read.waiting, read.flying, read.dialed, read.last_dials


def test_the_delivery_of_a_test_proves_no_caller_id_and_closes_no_breaker(stage):
    stage.execute(
        "INSERT INTO breakers (scope, name, reason, failures, probing, probe_at)"
        " VALUES ('source', '+6531580001', 'source_not_allowed', 1, true, now() + interval '1 hour')"
    )
    tested = keep(stage, number("1234"))

    settle(stage)

    assert stage.state(tested)[0] == "delivered"
    assert len(stage.execute("SELECT * FROM breakers")) == 1


@pytest.mark.parametrize("named", [{"subaccount_id": "test_voice"}, {"subaccount_id": None}])
def test_a_summary_of_8x8_is_never_taken_for_that_of_a_pretended_call(stage, named):
    destination = number("0032")
    tested = keep(stage, destination)
    pretend(stage)

    body = vss(session_id="a-real-one", destination=destination, **named)
    stage.keep_webhook(body)
    stage.reconcile()

    assert stage.state(tested)[0] == "dial_unknown"


_DYING = """
import os, signal
from workers import actors
from workers.main import run

class Dies(actors.PretendCalls):
    def record(self, calls):
        os.kill(os.getpid(), signal.SIGKILL)

actors.PretendCalls = Dies
run(["pretend_calls"], threads=1)
"""


def worker(stage, *arguments):
    environment = os.environ | environment_of(stage.settings) | fleet.program_paths()
    return subprocess.Popen([sys.executable, *arguments], env=environment, stderr=subprocess.DEVNULL)


def test_the_procfile_s_worker_of_the_bulk_lanes_pretends_calls_too(stage, trap):
    tested = keep(stage, number("1234"))

    with worker(stage, *parse_procfile((fleet.PROJECT / "Procfile").read_text())["calls-bulk"].split()[1:]) as process:
        ends = time.monotonic() + 60
        while stage.state(tested)[0] != "placed" and time.monotonic() < ends:
            time.sleep(0.05)
        process.kill()

    assert stage.state(tested)[0] == "placed"
    assert trap.knocks == []


def test_a_worker_killed_before_its_record_leaves_a_doubt_that_is_settled_without_a_call(stage, trap):
    tested = keep(stage, number("1234"))
    with worker(stage, "-c", _DYING) as process:
        assert process.wait(60) == -signal.SIGKILL
    assert stage.state(tested)[0] == "dialing"

    stage.execute("UPDATE messages SET due_at = now() WHERE status = 'dialing'")
    stage.sweep()
    doubt = stage.state(tested)
    stage.execute("UPDATE messages SET due_at = now() WHERE status = 'dial_unknown'")
    stage.sweep()
    settle(stage)

    assert (doubt, stage.state(tested)) == (("dial_unknown", "lease_lapsed"), ("undetermined", "never_confirmed"))
    assert stage.message(tested).attempt == 1
    assert trap.knocks == []


def test_an_answer_that_comes_after_the_lease_settles_the_doubt(stage):
    tested = keep(stage, number("1234"))
    step = PretendCalls(stage.services)
    calls = step.claim()
    stage.execute("UPDATE messages SET due_at = now() WHERE status = 'dialing'")
    stage.sweep()

    step.record(calls)
    step.record(calls)  # the answer of the commit was lost
    stage.reconcile()

    assert stage.state(tested)[0] == "delivered"
    assert stage.inbox_results() == ["applied"]


def test_a_claim_whose_answer_was_lost_is_given_back(stage, monkeypatch):
    tested = keep(stage, number("1234"))
    step = PretendCalls(stage.services)
    run = step._database.run

    def lost(work, **known):
        run(work, **known)
        raise RuntimeError("the answer is lost")

    with monkeypatch.context() as patched:
        patched.setattr(step._database, "run", lost)
        with pytest.raises(RuntimeError):
            step.claim()
    assert stage.state(tested)[0] == "dialing"

    step()

    assert stage.state(tested)[0] == "placed"


def test_a_paused_lane_holds_tests_back(stage):
    stage.execute("INSERT INTO lanes (lane, paused_at) VALUES ('test', now())")
    tested = keep(stage, number("1234"))

    pretend(stage)

    assert stage.state(tested)[0] == "queued"


def test_providers_take_turns(stage):
    stage.execute("INSERT INTO providers (provider_id, name) VALUES ('prov_z', 'z')")
    stage.keep_all([new_test(stage) for _ in range(60)])
    other = keep(stage, provider_id="prov_z")

    claimed = PretendCalls(stage.services).claim()

    assert (len(claimed), other in {call.message_id for call in claimed}) == (50, True)


def test_the_sweeper_rings_for_tests_that_wait(stage):
    keep(stage, number("1234"))

    stage.sweep()

    assert jobs.PRETEND_CALLS in stage.rung


def test_a_test_s_callback_and_story_say_so_and_a_live_one_s_callback_stays_as_it_was(stage):
    stage.endpoint()
    tested = keep(stage, number("0003"), kind=Lane.ALERT)
    settle(stage)

    told = stage.database.run(lambda c: story.of_provider(c, PROVIDER, id_=tested))
    assert (told["mode"], told["type"], told["status"]) == ("test", "alert", "failed")

    shares = callbacks.Shares(9, 9, 9, 9)
    (claimed,) = stage.database.run(lambda c: callbacks.claim(c, shares, lease_s=9, busy_endpoints=[]))
    data = json.loads(callback.body(event_of(claimed)))["data"]
    assert (data["mode"], data["type"]) == ("test", "alert")


def test_what_one_may_not_speak_fails_as_it_would_with_8x8(stage):
    tested = keep(stage, number("1234"), speed=9.0)

    pretend(stage)

    assert stage.state(tested) == ("failed", "callflow_invalid")
