"""The data key is changed while messages come in, are dialled and settled: nothing is lost, nothing comes twice."""

import base64
import json
import threading

import pytest
from pydantic import SecretStr

from shared.db.queries import sealed
from shared.db.tables import METADATA
from shared.lifecycle import Lane
from shared.sealing import Sealer, Unopened, next_data_key
from tests.integration.worker_stage import staged
from workers.pretend_calls import PretendCalls
from workers.reconcile_events import ReconcileEvents

#: Bytes that are hashes, and so belong to no key that could be changed.
HASHES = {
    ("api_keys", "secret_hash"),
    ("dial_attempts", "destination_key"),
    ("messages", "busy_destination"),
    ("messages", "destination_key"),
    ("messages", "fingerprint"),
    ("operator_sessions", "token_hash"),
    ("past_messages", "fingerprint"),
    ("quarantines", "prefix_key"),
    ("suppressions", "destination_key"),
}
BURST = 40
FIRST = 25_000  # no suffix that the simulator gives a meaning


@pytest.fixture
def stage(settings):
    with staged(settings) as stage:
        yield stage


@pytest.fixture
def old(settings):
    return settings.ringpost_data_key.get_secret_value()


@pytest.fixture
def new(old):
    return next_data_key(old)


def keys(newest, other=None):
    """Settings of a process that holds these keys."""
    return {
        "ringpost_data_key": SecretStr(newest),
        "ringpost_data_key_old": None if other is None else SecretStr(other),
    }


def rotate(ringpost, new, old, *, code=0):
    result = ringpost("keys", "rotate-data", "--json", RINGPOST_DATA_KEY=new, RINGPOST_DATA_KEY_OLD=old)
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


def test_every_column_of_bytes_is_either_sealed_anew_or_a_hash():
    columns = {
        (table.name, column.name)
        for table in METADATA.sorted_tables
        for column in table.columns
        if column.type.python_type is bytes
    }

    assert columns == {(place.table, place.column) for place in sealed.PLACES} | HASHES


def test_rotation_in_a_burst_loses_nothing_and_doubles_nothing(stage, ringpost, old, new):
    endpoint = stage.endpoint()
    secret = stage.services.sealer.seal(b"whsec_x", row=endpoint)
    stage.execute("UPDATE endpoints SET secret = :secret", secret=secret)
    both_old, both_new = stage.new_services(**keys(old, new)), stage.new_services(**keys(new, old))
    dialers = [stage.dialer(services) for services in (both_old, both_new)]
    over = threading.Event()

    def work():
        while not over.wait(0.01):
            for dialer, services in zip(dialers, (both_old, both_new), strict=True):
                dialer(Lane.OTP)
                ReconcileEvents(services)()

    def pump():
        # As step 3 does: half of what comes in is sealed with either key.
        while not over.wait(0.01):
            keep_what_came()

    def keep_what_came():
        stage.services = both_new if stage.kept % 2 else both_old
        received = stage.receiver.received[stage.kept :]
        stage.keep_webhook(*(one.body for one in received))
        stage.kept += len(received)

    threads = [threading.Thread(target=one) for one in (work, pump)]
    for thread in threads:
        thread.start()
    for place in range(BURST):
        stage.services = (both_old, both_new)[place % 2]
        stage.keep(f"+65812{FIRST + place}")
        if place % 20 == 10:
            rotate(ringpost, new, old)
    stage.receiver.wait_for(lambda all_: len(all_) >= BURST)
    while stage.execute("SELECT FROM messages WHERE finished_at IS NULL"):
        over.wait(0.02)
    over.set()
    for thread in threads:
        thread.join()
    last = rotate(ringpost, new, old)

    assert last["oldKeyMayGo"]
    assert stage.execute("SELECT status, count(*) FROM messages GROUP BY 1") == [("delivered", BURST)]
    called = [call.destination for call in stage.simulator.ledger.accepted]
    assert len(called) == len(set(called)) == BURST
    assert stage.execute("SELECT count(*), count(DISTINCT message_id) FROM callbacks") == [(BURST, BURST)]
    header = Sealer(new).header
    for place in sealed.PLACES:
        assert stage.database.run(lambda c, place=place: sealed.count_stale(c, place, header)) == 0


def test_after_it_the_new_key_alone_opens_all_and_recognises_every_number(stage, ringpost, old, new, provider_id):
    waiting, doubtful = stage.keep("+6581230001"), stage.keep("+6581230002")
    stage.execute("UPDATE messages SET due_at = now() + interval '1 hour' WHERE id = :id", id=waiting)
    stage.simulator.set_fault("reply_lost", created=True, count=1)
    stage.dial()
    stage.keep_webhook(stage.summary(doubtful, session_id="session-late"))
    told = rotate(ringpost, new, old)
    alone = stage.new_services(**keys(new))
    ReconcileEvents(alone)()
    stage.execute("UPDATE messages SET due_at = now() WHERE id = :id", id=waiting)
    stage.dial(step=stage.dialer(alone))

    assert told["resealed"] == {"endpoints": 1, "messages": 2, "webhookInbox": 1}
    assert stage.state(doubtful) == ("delivered", None)
    assert stage.state(waiting)[0] == "placed"
    [endpoint] = stage.execute("SELECT endpoint_id, secret FROM endpoints")
    assert Sealer(new).unseal(bytes(endpoint.secret), row=endpoint.endpoint_id).startswith(b"whsec_")
    with pytest.raises(Unopened):
        Sealer(old).unseal(bytes(endpoint.secret), row=endpoint.endpoint_id)


def test_a_process_without_the_key_leaves_messages_and_webhooks_to_those_that_have_it(stage, old, new):
    late, rich = stage.services, stage.new_services(**keys(new, old))
    stage.services = rich
    id_ = stage.keep()
    stage.dial(step=stage.dialer(late))
    state = stage.state(id_)
    stage.execute("UPDATE messages SET due_at = now()")
    stage.dial(step=stage.dialer(rich))
    stage.keep_webhook(stage.summary(id_))
    ReconcileEvents(late)()
    results = stage.inbox_results()
    stage.execute("UPDATE webhook_inbox SET due_at = now()")
    ReconcileEvents(rich)()

    assert state == ("queued", "key_missing")
    assert results == ["unopened"]
    assert stage.state(id_) == ("delivered", None)


def test_a_test_message_waits_for_a_process_with_the_key_too(stage, old, new):
    late, rich = stage.services, stage.new_services(**keys(new, old))
    stage.services = rich
    id_ = stage.keep(lane=Lane.TEST, test_type="otp")

    PretendCalls(late).record(PretendCalls(late).claim())
    state = stage.state(id_)
    stage.execute("UPDATE messages SET due_at = now()")
    PretendCalls(rich).record(PretendCalls(rich).claim())

    assert state == ("queued", "key_missing")
    assert stage.message(id_).status == "placed"


def test_a_row_that_neither_key_opens_is_named_and_left_as_it_is(stage, ringpost, old, new):
    [fine, strange] = stage.keep(), stage.keep()
    stage.execute("UPDATE messages SET content = 'no seal at all' WHERE id = :id", id=strange)

    told = rotate(ringpost, new, old, code=1)

    assert (told["unopened"]["messages"], told["oldKeyMayGo"]) == ([strange], False)
    assert told["resealed"]["messages"] == 1
    assert bytes(stage.message(strange).content) == b"no seal at all"
    assert bytes(stage.message(fine).content).startswith(Sealer(new).header)
    noted = stage.execute("SELECT after FROM audit_log WHERE action = 'key.rotate_data' ORDER BY audit_id")[-1]
    assert noted.after["unopened"] == 1


def test_a_rotation_that_was_killed_goes_on_where_it_was(stage, ringpost, old, new, monkeypatch):
    ids = stage.keep_all([stage.new_message() for _ in range(450)])
    done = sealed.reseal
    pages = []

    def killed(*arguments, place, **how):
        if len(pages) == 1:
            raise KeyboardInterrupt
        pages.extend([1] * (place.table == "messages"))
        return done(*arguments, place=place, **how)

    with monkeypatch.context() as patch:
        patch.setattr(sealed, "reseal", killed)
        ringpost("keys", "rotate-data", "--json", RINGPOST_DATA_KEY=new, RINGPOST_DATA_KEY_OLD=old)
    told = rotate(ringpost, new, old)

    assert told["resealed"]["messages"] < len(ids)
    assert told["oldKeyMayGo"]


def test_webhooks_in_the_spool_keep_the_old_key_needed(stage, ringpost, settings, old, new):
    settings.spool_dir.mkdir(parents=True)
    body = stage.services.sealer.seal(b"{}", row="vss:1")
    line = json.dumps(["vss:1", base64.b64encode(body).decode()])
    (settings.spool_dir / "spool_1.jsonl").write_text(line + "\n")

    assert rotate(ringpost, new, old, code=1)["spooled"] == 1


def test_a_key_that_does_not_follow_is_refused_by_name(ringpost, old):
    strange = base64.b64encode(bytes(range(100, 132))).decode()
    result = ringpost("keys", "rotate-data", RINGPOST_DATA_KEY=strange, RINGPOST_DATA_KEY_OLD=old)
    alone = ringpost("keys", "rotate-data")

    assert (result.exit_code, alone.exit_code) == (2, 2)
    assert "RINGPOST_DATA_KEY_OLD: does not belong to RINGPOST_DATA_KEY" in result.stderr
    assert old not in result.output


def test_the_next_key_is_printed(ringpost, old):
    printed = ringpost("keys", "new-data").stdout.strip()

    assert Sealer(printed).destination_key("+1") == Sealer(old).destination_key("+1")
