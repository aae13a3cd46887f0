"""A phone number is forgotten everywhere; what became of its messages stays, and so does a wish not to be called."""

import json

import pytest

from shared.db import conservation
from shared.db.tables import METADATA
from tests.integration.worker_stage import PROVIDER, staged, vss

NUMBER, OTHER = "+6581227001", "+6581227002"
#: Where something about a number lies: erased, except for the wish not to be called.
ERASED = {
    ("messages", "destination_key"),
    ("messages", "destination_masked"),
    ("messages", "busy_destination"),  # null in what is final
    ("dial_attempts", "destination_key"),
}
KEPT = {("suppressions", "destination_key"), ("suppressions", "destination_masked")}


@pytest.fixture
def stage(settings):
    with staged(settings) as stage:
        stage.execute("TRUNCATE suppressions, audit_log")
        yield stage


def erase(ringpost, number=NUMBER, *options, code=0):
    result = ringpost("erase", "--json", *options, answer=f"{number}\n")
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


def called(stage, number, **members):
    """A message that was heard, told and answered with a key."""
    id_ = stage.keep(number, metadata={"customer": "Ada"}, **members)
    stage.place(id_)
    stage.keep_webhook(stage.summary(id_))
    stage.reconcile()
    stage.execute("UPDATE dial_attempts SET key_pressed = '7', replied_at = now() WHERE message_id = :id", id=id_)
    stage.execute('UPDATE feed_events SET facts = facts || \'{"keyPressed": "7"}\' WHERE message_id = :id', id=id_)
    return id_


def traces(stage, number):
    """Everything in every table, for whoever knows the key."""
    key = stage.services.sealer.destination_key(number).hex()
    said = [
        str(row) for table in METADATA.sorted_tables for row in stage.execute(f"SELECT t::text FROM {table.name} t")
    ]
    return [line for line in said if key in line or number[1:] in line or "Ada" in line or '"7"' in line]


def test_every_column_about_a_number_is_erased_or_kept_on_purpose():
    columns = {
        (table.name, column.name)
        for table in METADATA.sorted_tables
        for column in table.columns
        if "destination" in column.name and not column.name.endswith("country")
    }

    assert columns == ERASED | KEPT


def test_nothing_of_the_number_is_left_and_the_outcome_is(stage, ringpost):
    stage.endpoint()
    id_, other = called(stage, NUMBER), called(stage, OTHER)
    before = len(traces(stage, NUMBER))
    kept = stage.state(id_)

    told = erase(ringpost)

    assert before >= 3
    assert (told["messages"], told["attempts"], told["legs"], told["webhooks"], told["events"]) == (1, 1, 1, 1, 1)
    assert [line for line in traces(stage, NUMBER) if other not in line and other[4:] not in line] == []
    assert stage.state(id_) == kept == ("delivered", None)
    assert stage.message(other).metadata == {"customer": "Ada"}
    assert ringpost("messages", "show", id_).exit_code == 0
    assert stage.database.run(lambda c: conservation.findings(c, 300)) == []
    assert erase(ringpost)["messages"] == 0


def test_what_waits_is_canceled_with_a_callback_and_a_call_under_way_is_told(stage, ringpost):
    stage.endpoint()
    waiting, up = stage.keep(NUMBER), stage.keep(NUMBER)
    stage.place(up)

    told = erase(ringpost, code=1)
    stage.report(up)
    again = erase(ringpost)

    assert (told["canceled"], told["messages"], told["underWay"]) == (1, 1, 1)
    assert stage.state(waiting) == ("canceled", "canceled_by_sender")
    assert len(stage.callbacks(waiting)) == 1
    assert stage.message(waiting).destination_masked == "****"
    assert (again["canceled"], again["messages"], again["underWay"]) == (0, 1, 0)


def test_only_one_providers_messages_may_be_erased(stage, ringpost):
    mine, others = called(stage, NUMBER), called(stage, NUMBER, provider_id="prov_other")

    told = erase(ringpost, NUMBER, "--provider", PROVIDER)

    assert told["messages"] == 1
    assert stage.message(mine).destination_masked == "****"
    assert stage.message(others).metadata == {"customer": "Ada"}


def test_it_is_not_done_while_this_machine_s_spool_holds_webhooks(stage, ringpost):
    called(stage, NUMBER)
    stage.settings.spool_dir.mkdir(parents=True)
    line = stage.settings.spool_dir / "spool_1.jsonl"
    line.write_text('["key", "c2VhbGVk"]\n')

    waiting = erase(ringpost, code=1)
    line.unlink()

    assert waiting["webhooksWaiting"] == 1
    assert erase(ringpost)["webhooksWaiting"] == 0


def test_webhooks_that_matched_nothing_are_found_by_what_they_say(stage, ringpost):
    strange = vss(session_id="session-of-nobody", destination=NUMBER)
    stage.keep_webhook(strange, b"not JSON, but " + NUMBER.encode(), vss(session_id="other", destination=OTHER))
    first, *_ = stage.execute("SELECT inbox_id FROM webhook_inbox ORDER BY inbox_id")
    over = "UPDATE webhook_inbox SET processed_at = now(), result = 'unmatched' WHERE inbox_id > :first"
    stage.execute(over, first=first.inbox_id)

    told = erase(ringpost, code=1)

    assert (told["webhooks"], told["webhooksWaiting"]) == (1, 1)


def test_a_wish_not_to_be_called_outlives_erasure(stage, ringpost):
    key = stage.services.sealer.destination_key(NUMBER)
    stage.execute("INSERT INTO suppressions VALUES (:id, :key, '+65****7001', 'asked')", id=PROVIDER, key=key)

    assert erase(ringpost)["suppressionsKept"] == 1
    assert stage.execute("SELECT count(*) FROM suppressions")[0].count == 1


def test_the_audit_log_tells_of_it_without_the_number(stage, ringpost):
    called(stage, NUMBER)
    erase(ringpost)

    [noted] = stage.execute("SELECT action, target, after, t::text AS line FROM audit_log t")
    assert (noted.action, noted.target, noted.after["messages"]) == ("number.erase", "everybody", 1)
    assert NUMBER[1:] not in noted.line


@pytest.mark.parametrize("told", ["", "nobody", "+65"])
def test_what_is_no_number_is_refused(ringpost, told):
    result = ringpost("erase", answer=f"{told}\n")

    assert result.exit_code == 2
    assert "the number on standard input" in result.stderr
