"""Jobs are names: what a ring carries, and where it goes."""

import pytest

from shared import jobs
from shared.lifecycle import Lane


@pytest.mark.parametrize(
    ("job", "queue", "actor", "args"),
    [
        (jobs.PLACE_CALLS[Lane.OTP], "place_calls.otp", "place_calls", ("otp",)),
        (jobs.PLACE_CALLS[Lane.ALERT], "place_calls.alert", "place_calls", ("alert",)),
        (jobs.PLACE_CALLS[Lane.NOTIFICATION], "place_calls.notification", "place_calls", ("notification",)),
        (jobs.PLACE_CALLS[Lane.TEST], "pretend_calls", "pretend_calls", ()),
        (jobs.RECONCILE_EVENTS, "reconcile_events", "reconcile_events", ()),
        (jobs.DELIVER_CALLBACKS, "deliver_callbacks", "deliver_callbacks", ()),
    ],
)
def test_a_ring_carries_a_lane_or_nothing(job, queue, actor, args):
    message = jobs.message_of(job)

    assert (message.queue_name, message.actor_name, message.args) == (queue, actor, args)
    assert (message.kwargs, message.options) == ({}, {})


def test_every_ring_is_a_message_of_its_own():
    first, second = jobs.message_of(jobs.DELIVER_CALLBACKS), jobs.message_of(jobs.DELIVER_CALLBACKS)

    assert first.message_id != second.message_id


def test_every_lane_has_a_queue_of_its_own():
    assert set(jobs.PLACE_CALLS) == set(Lane)
    assert len({job.queue for job in jobs.ALL}) == len(jobs.ALL) == len(Lane) + 2
