"""Account-wide refusals: pause, keep the messages, probe with one, go on when 8x8 takes it."""

import pytest

from tests.integration.worker_stage import SOURCE, staged

OTHER_SOURCE = "+6531580002"


@pytest.fixture
def stage(settings):
    with staged(settings) as stage:
        yield stage


def let_probe(stage):
    """The pause is over, for the breaker and for the messages that met the refusal."""
    stage.execute("UPDATE breakers SET probe_at = now()")
    stage.execute("UPDATE messages SET due_at = now() WHERE status = 'queued'")


def statuses(stage):
    return [row.status for row in stage.execute("SELECT status FROM messages ORDER BY id")]


@pytest.mark.parametrize("code", [401, 403, 404])
def test_a_refused_account_pauses_and_its_messages_wait(stage, code):
    stage.keep_all([stage.new_message() for _ in range(10)])
    stage.simulator.set_fault("refused", code=code)

    stage.dial()
    refused = stage.simulator.ledger.refused[str(code)]
    stage.dial()

    assert statuses(stage) == ["queued"] * 10
    assert stage.simulator.ledger.refused[str(code)] == refused == 10
    assert [row.name for row in stage.execute("SELECT name FROM breakers")] == ["test_voice"]


def test_one_message_probes_a_paused_account_and_its_failure_doubles_the_pause(stage):
    stage.keep_all([stage.new_message() for _ in range(10)])
    stage.simulator.set_fault("refused", code=401)
    stage.dial()
    let_probe(stage)

    stage.dial()

    (breaker,) = stage.execute("SELECT failures, probing, probe_at - now() AS pause FROM breakers")
    assert stage.simulator.ledger.refused["401"] == 11
    assert (breaker.failures, breaker.probing) == (2, False)
    assert 25 < breaker.pause.total_seconds() <= 30


def test_a_probe_that_8x8_takes_lets_everything_be_dialled(stage):
    stage.keep_all([stage.new_message() for _ in range(10)])
    stage.simulator.set_fault("refused", code=401)
    stage.dial()
    stage.simulator.clear_faults()
    let_probe(stage)

    stage.dial()
    stage.dial()

    assert stage.execute("SELECT * FROM breakers") == []
    assert statuses(stage) == ["placed"] * 10
    assert stage.simulator.ledger.summary()["destinationsDialledMoreThanOnce"] == {}


def test_a_changed_key_is_an_account_refused(stage):
    id_ = stage.keep()
    stage.simulator.set_key("another")

    stage.dial()

    assert stage.state(id_) == ("queued", "account_refused")


def test_an_account_that_stays_refused_lets_its_messages_expire(stage):
    id_ = stage.keep()
    stage.simulator.set_fault("refused", code=403)
    stage.dial()
    stage.execute("UPDATE messages SET deadline = now()")

    stage.sweep()

    assert stage.state(id_) == ("expired", "deadline_passed")


def test_a_refused_caller_id_pauses_alone(settings):
    with staged(settings, simulator={"caller_ids": frozenset({SOURCE})}) as stage:
        refused = stage.keep(source=OTHER_SOURCE)
        fine = stage.keep()

        stage.dial()
        later = stage.keep()
        stage.dial()

        assert stage.state(refused) == ("queued", "source_not_allowed")
        assert [stage.message(id_).status for id_ in (fine, later)] == ["placed", "placed"]
        assert stage.simulator.ledger.refused["-1014"] == 1


def test_one_message_probes_a_paused_caller_id(stage):
    stage.keep_all([stage.new_message() for _ in range(10)])
    stage.simulator.set_fault("refused", code=-1014)
    stage.dial()
    let_probe(stage)

    stage.dial()

    assert stage.simulator.ledger.refused["-1014"] == 11


def test_a_caller_id_goes_on_once_a_phone_has_rung_for_it(stage):
    stage.keep_all([stage.new_message() for _ in range(5)])
    stage.simulator.set_fault("refused", code=-1014)
    stage.dial()
    stage.simulator.clear_faults()
    let_probe(stage)

    stage.dial()
    while_it_rings = statuses(stage)
    stage.keep_received()
    stage.reconcile()
    stage.dial()

    assert sorted(while_it_rings) == ["placed", *["queued"] * 4]
    assert stage.execute("SELECT * FROM breakers") == []
    assert sorted(statuses(stage)) == ["delivered", *["placed"] * 4]


def test_a_caller_id_refused_at_dial_time_pauses_until_a_probe_rings(stage):
    first, second = "+6581234001", "+6581234002"
    stage.simulator.plan(first, ["caller_id_refused", "completed"])
    stage.simulator.plan(second, ["completed"])
    refused = stage.keep(first, ttl_s=300)
    stage.dial()
    stage.keep_received()
    stage.reconcile()
    stage.keep(second)

    stage.dial()
    paused = statuses(stage)
    let_probe(stage)
    stage.dial()
    stage.keep_received()
    stage.reconcile()
    stage.dial()

    assert paused == ["queued", "queued"]
    assert stage.message(refused).status == "delivered"
    assert statuses(stage) == ["delivered", "placed"]
