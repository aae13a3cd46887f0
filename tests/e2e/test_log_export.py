"""Drill: 8x8 tells nothing of a call, and the sweeper is killed again and again while it asks 8x8's log for it."""

from functools import partial

import pytest

from tests.e2e.stage import wait_until

pytestmark = pytest.mark.xdist_group("deaths")


def in_doubt(stage, name, *, created, **members):
    """A message whose answer and whose summary were lost, and whose call is over; its number and id."""
    number = stage.new_number()
    knob = "reply_lost" if created else "error_empty"
    stage.simulator.set_fault(knob, destination=number, created=created, count=1)
    stage.simulator.set_fault("vss_dropped", destination=number)
    id_ = stage.submit(name, number, type="alert", ttlSeconds=3600, **members)["id"]
    wait_until(lambda: stage.story(name)["status"] == "dial_unknown", what="the call is in doubt")
    if created:
        stage.simulator.wait_for(lambda ledger: all(entry.session_status for entry in ledger.of(number)))
    return number, id_


def let_time_pass(stage, id_):
    """The call may no longer be up."""
    stage.rows(
        "UPDATE dial_attempts SET valid_until = now() - interval '30 seconds' WHERE message_id = :id RETURNING 1",
        id=id_,
    )


def test_a_sweeper_killed_while_it_asks_the_log_neither_forgets_nor_repeats_without_end(stage):
    number, id_ = in_doubt(stage, "killed-asking", created=True)
    let_time_pass(stage, id_)

    begun = "SELECT FROM log_exports"
    for moment in (begun, f"{begun} WHERE job_id IS NOT NULL OR state <> 'open'"):
        wait_until(partial(stage.rows, moment), what=moment)
        stage.kill("sweeper")
        stage.rows("UPDATE log_exports SET due_at = now() WHERE state = 'open' RETURNING 1")  # the lease ends
    told = stage.callback("killed-asking", timeout=60)

    # On the same stage other tests leave calls in doubt, which have exports of their own: each is judged by itself.
    exports = stage.rows("SELECT jobs FROM log_exports")
    assert told["status"] == "delivered"
    assert len(stage.simulator.ledger.of(number)) == 1
    assert max(jobs for (jobs,) in exports) <= 3  # one, and another after each kill


def test_a_call_that_was_never_made_is_made_once_when_its_sender_wants_that(stage):
    number, id_ = in_doubt(stage, "never-made", created=False, redial={"maxAttempts": 2, "onUnknown": "redial"})
    waiting = stage.simulator.ledger.of(number)
    stage.simulator.clear_faults()
    let_time_pass(stage, id_)

    told = stage.callback("never-made", timeout=60)

    assert waiting == []
    assert (told["status"], told["attempts"]) == ("delivered", 2)
    assert len(stage.simulator.ledger.of(number)) == 1
