"""Bugs that would break a promise, and for each the test that must notice it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

#: A file, what stands in it exactly once, and what to put there.
Change = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Bug:
    """A mistake that somebody could make, as a change of the sound code."""

    name: str
    changes: tuple[Change, ...]
    caught_by: str  # a pytest node id
    why: str


def _bug(name: str, *changes: Change, caught_by: str, why: str) -> Bug:
    return Bug(name, changes, caught_by, why)


_CALLBACKS_AT_ONCE: Final = """\
  INSERT INTO callbacks (callback_id, event_id, endpoint_id, message_id, attempts, state, due_at, finished_at)
"""
#: The second transaction of a status that is committed before its callbacks.
_CALLBACKS_LATER: Final = '''
    from sqlalchemy import text
    connection.execute(text("""
      INSERT INTO callbacks (callback_id, event_id, endpoint_id, message_id, attempts, state, due_at)
      SELECT 'cb_' || substr(f.event_id, 5) || '_1', f.event_id, e.endpoint_id, f.message_id, 0, 'due', now()
      FROM feed_events f JOIN endpoints e ON e.provider_id = f.provider_id AND f.type = ANY (e.event_types)
      WHERE NOT EXISTS (SELECT FROM callbacks c WHERE c.event_id = f.event_id)"""))
'''

_RING_FIRST: Final = """\
        for lane in {row.lane for row in rows}:
            services.doorbell.ring(jobs.PLACE_CALLS[Lane(lane)])
        return database.run(lambda c: accept.store(c, rows), alone=True, patience_s=patience_s)"""

_JOB_WITH_TEXT: Final = """\
    from shared import jobs
    accepted = take(site, owner, [body])[0]
    site.services.doorbell.ring(jobs.Job("place_calls", "place_calls.otp", ("otp", body["message"])))
"""

_RESOLVED_AGAIN: Final = """\
        found = self._route.resolve(self._dns_host, port, exchange.patience(exchange.connect_s))
        for tried, (family, kind, protocol, _, address) in enumerate(found):
"""

BUGS: Final = (
    _bug(
        "a_doubtful_dial_is_tried_again",
        (
            "shared/voice_api/client.py",
            "if verdict.disposition is Disposition.NOT_SENT:",
            "if verdict.disposition in (Disposition.NOT_SENT, Disposition.UNKNOWN):",
        ),
        caught_by="tests/integration/test_place_calls.py::test_an_answer_that_leaves_doubt_is_never_followed_by_another_dial",
        why="A lost answer may be that of a ringing phone: the customer is called twice.",
    ),
    _bug(
        "a_lapsed_lease_leads_back_to_the_queue",
        (
            "shared/lifecycle.py",
            "Event.LEASE_LAPSED: _from(Status.DIALING, to=Status.DIAL_UNKNOWN)",
            "Event.LEASE_LAPSED: _from(Status.DIALING, to=Status.QUEUED)",
        ),
        caught_by="tests/integration/test_place_calls.py"
        "::test_a_worker_that_died_while_dialling_leaves_a_doubt_and_never_a_second_call",
        why="The dead worker's callflow may have left: the customer is called twice.",
    ),
    _bug(
        "the_ring_comes_before_the_commit",
        (
            "ingress/site.py",
            "        return database.run(lambda c: accept.store(c, rows), alone=True, patience_s=patience_s)",
            _RING_FIRST,
        ),
        ("ingress/site.py", "store, after=ring_lanes, bounds", "store, bounds"),
        caught_by="tests/integration/test_make_call.py"
        "::test_workers_are_rung_for_once_the_message_is_committed_and_not_before",
        why="A worker that looks at once finds nothing, and the message waits for the sweeper.",
    ),
    _bug(
        "a_status_is_committed_before_its_callback",
        (
            "shared/db/queries/moves.py",
            _CALLBACKS_AT_ONCE,
            "",
        ),
        (
            "shared/db/queries/settle.py",
            "    told = [row for row in rows if row.lost is not None]\n",
            _CALLBACKS_LATER + "    told = [row for row in rows if row.lost is not None]\n",
        ),
        caught_by="tests/integration/test_reconcile_events.py"
        "::test_a_status_and_its_callbacks_are_written_together_or_not_at_all",
        why="Killed between the two, the message is final and nobody is ever told.",
    ),
    _bug(
        "moves_have_no_status_guard",
        (
            "shared/db/queries/moves.py",
            "  WHERE m.status = ANY (x.sources) AND (x.attempt_id IS NULL",
            "  WHERE (x.attempt_id IS NULL",
        ),
        caught_by="tests/integration/test_moves.py::test_an_event_moves_a_message_from_the_statuses_of_the_table_only",
        why="A late sweeper reopens what is final, or expires what is being dialled.",
    ),
    _bug(
        "nobody_sweeps",
        ("Procfile", "sweeper: python -m workers.sweep\n", ""),
        caught_by="tests/e2e/test_flows.py::test_a_scheduled_message_is_not_dialled_before_its_time",
        why="A lost ring, a dead worker or a missing summary leaves its message open for ever.",
    ),
    _bug(
        "each_attempt_has_a_webhook_id_of_its_own",
        (
            "workers/deliver_callbacks.py",
            "sealed, claimed.event_id, body",
            'sealed, f"{claimed.event_id}_{claimed.attempts}", body',
        ),
        caught_by="tests/integration/test_deliver_callbacks.py"
        "::test_repeats_carry_the_same_id_a_fresh_time_and_a_fresh_signature",
        why="The provider cannot tell a repeat from another event.",
    ),
    _bug(
        "a_redirect_is_taken_for_success",
        (
            "shared/callback_post.py",
            "None if 200 <= reply.status < 300",
            "None if 200 <= reply.status < 400",
        ),
        caught_by="tests/integration/test_hostile_receivers.py"
        "::test_a_redirect_is_a_failure_and_its_target_is_never_visited",
        why="A callback that nobody read counts as delivered.",
    ),
    _bug(
        "a_summary_without_its_attempt_is_not_looked_at_again",
        (
            "workers/reconcile_events.py",
            "if row.age_s > self._services.settings.unmatched_event_seconds:",
            "if row.age_s >= 0:",
        ),
        caught_by="tests/integration/test_reconcile_events.py"
        "::test_an_unknown_session_is_tried_again_ever_later_and_given_up_after_an_hour",
        why="A summary that is quicker than our own record is lost, and its message ends undetermined.",
    ),
    _bug(
        "webhooks_are_not_deduplicated",
        (
            "shared/db/migrations/versions/m0001_pipeline.py",
            "    sa.UniqueConstraint('dedupe_key', name=op.f('webhook_inbox_dedupe_key_key'))\n",
            "",
        ),
        caught_by="tests/integration/test_webhooks.py::test_the_same_event_is_kept_once_in_any_order_of_its_members",
        why="8x8 repeats its webhooks: each repeat is worked on anew.",
    ),
    _bug(
        "the_retries_of_dramatiq_are_on",
        (
            "workers/main.py",
            "middleware=[drain, watch])",
            "middleware=[drain, watch, dramatiq.middleware.Retries()])",
        ),
        caught_by="tests/integration/test_worker_process.py::test_a_step_that_fails_is_not_tried_again_by_dramatiq",
        why="A second schedule of retries, in a queue that nobody consumes and that grows with every failure.",
    ),
    _bug(
        "a_job_carries_the_text",
        (
            "ingress/make_call.py",
            "    accepted = take(site, owner, [body])[0]\n",
            _JOB_WITH_TEXT,
        ),
        caught_by="tests/integration/test_make_call.py::test_a_ring_carries_nothing_of_the_message",
        why="The passcode lies readable in Redis, and in its files.",
    ),
    _bug(
        "this_machines_clock_says_what_is_due",
        (
            "workers/place_calls.py",
            "now = call.now + timedelta(seconds=time.monotonic() - claimed_at)",
            "now = call.now.fromtimestamp(time.time(), call.now.tzinfo)",
        ),
        caught_by="tests/integration/test_clocks.py::test_a_dial_that_is_put_off_is_due_by_the_clock_of_postgresql",
        why="On a machine whose clock is off, messages are dialled at once that should wait, or wait until too late.",
    ),
    _bug(
        "a_checked_address_is_not_the_one_connected_to",
        (
            "shared/http/connection.py",
            "        for tried, (family, kind, protocol, _, address) in enumerate(found):\n",
            _RESOLVED_AGAIN,
        ),
        caught_by="tests/integration/test_http_edge.py::test_the_address_that_was_checked_is_the_one_connected_to",
        why="Whoever owns a name can point it inside our network after the check.",
    ),
)
