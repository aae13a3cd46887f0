"""Limits that 8x8 does not tell: cut by its refusals, grown back, shared by all processes, kept free for passcodes."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from shared import pacing
from shared.db.queries import backlog
from shared.db.queries import claim as claims
from shared.db.queries.pacing import Refused, open_pace, slow_down
from shared.ids import new_id
from shared.lifecycle import Lane
from shared.pacing import Pace
from tests.integration.worker_stage import staged

PACE = Pace(subaccount_id="test_voice", dials_per_second=1e6, max_in_flight=500, lease_s=30, ring_s=60)
NUMBER = "+6581234567"
#: Another call rings the phone that the passcode waits for.
BUSY = """
UPDATE messages b SET busy_destination = m.destination_key, busy_until = now() + interval '1 minute'
FROM messages m WHERE m.lane = 'otp' AND b.id = (SELECT min(id) FROM messages WHERE lane = 'notification')
"""


@pytest.fixture
def stage(settings):
    with staged(settings) as stage:
        stage.database.run(lambda connection: open_pace(connection, "test_voice", 1e6))
        yield stage


def pace(**changes):
    return Pace(**{name: changes.get(name, getattr(PACE, name)) for name in Pace.__slots__})


def claim(stage, wanted=100, *, lane=Lane.OTP, limits=PACE):
    return stage.database.run(
        lambda connection: claims.claim(connection, limits, lane, wanted=wanted, claim_id=new_id("claim")), alone=True
    )


def count(stage, wanted=100, **how):
    return len(claim(stage, wanted, **how).calls)


def keep(stage, many, **members):
    return stage.keep_all([stage.new_message(**members) for _ in range(many)])


def refuse(stage, *, lines=(), pace_=(), retry_after_s=0.0, limits=PACE):
    refused = Refused(list(lines), list(pace_), retry_after_s)
    return stage.database.run(lambda connection: slow_down(connection, limits, refused))


def account(stage):
    return stage.execute("SELECT *, now() AS now FROM subaccounts")[0]


def test_the_backlog_tells_when_each_lane_was_dialled_last(stage):
    def read():
        return stage.database.run(lambda c: backlog.read(c, "test_voice", pace=50, lines=500), alone=True)

    before = read()
    keep(stage, 2)
    claim(stage, 1)
    otp = read()
    keep(stage, 1, lane=Lane.ALERT)
    waiting = read()

    assert (before.last_dials, otp.dialed, otp.last_dials.keys()) == ({}, 1, {"otp"})
    assert 0 <= otp.at - otp.last_dial([Lane.OTP]) < 10
    assert waiting.last_dials == otp.last_dials
    assert waiting.last_dial([Lane.ALERT]) == 0


def let_go(stage, ids):
    """As if the calls had ended."""
    stage.execute("UPDATE messages SET busy_until = NULL, busy_destination = NULL WHERE id = ANY (:ids)", ids=list(ids))


# calls in flight


def test_refused_calls_cut_the_lines_to_what_is_up(stage):
    keep(stage, 80)
    calls = claim(stage, 40, limits=pace(max_in_flight=60)).calls
    let_go(stage, [call.message_id for call in calls[30:]])

    (cut,) = refuse(stage, lines=[call.attempt_id for call in calls[30:]], limits=pace(max_in_flight=60))

    assert (cut.limit, cut.was, cut.now, cut.in_flight) == ("calls_in_flight", 60, 30, 30)
    assert (account(stage).lines, account(stage).lines_refused) == (30, 60)
    assert count(stage, 50, limits=pace(max_in_flight=60)) == 0


def test_only_a_call_dialled_after_the_last_cut_cuts_again(stage):
    keep(stage, 200)
    first = [call.attempt_id for call in claim(stage, 100).calls]
    stage.execute("UPDATE subaccounts SET lines = 90, lines_refused = 100, lines_cut_at = now()")

    again = refuse(stage, lines=first[:2])
    stage.execute("UPDATE subaccounts SET lines = 102")
    second = [call.attempt_id for call in claim(stage).calls]
    (cut,) = refuse(stage, lines=second[:1])

    assert again == []
    assert (len(second), round(cut.was), round(cut.was - cut.now, 2)) == (2, 102, 1.02)


def test_lines_grow_with_each_dial_that_meets_the_limit(stage):
    keep(stage, 100)
    stage.execute("UPDATE subaccounts SET lines = 20, lines_refused = 40, lines_cut_at = now()")

    below = count(stage, 12), account(stage).lines
    at_the_limit = count(stage, 12), account(stage).lines

    assert below == (12, 20)
    assert at_the_limit == (8, pytest.approx(24, abs=0.1))
    assert count(stage) == 4


@pytest.mark.parametrize(("lines", "refused"), [(20, 40), (39, 40), (40, 40), (43, 40), (60, 40), (3, 1)])
def test_the_claim_grows_lines_as_the_pure_function_says(stage, lines, refused):
    keep(stage, lines + 5)
    stage.execute(
        "UPDATE subaccounts SET lines = :lines, lines_refused = :refused, lines_cut_at = now()",
        lines=lines,
        refused=refused,
    )

    taken = count(stage)

    expected = pacing.grown_lines(lines, refused, dials=taken)
    assert taken == lines
    assert account(stage).lines == pytest.approx(expected, rel=0.01)


def test_lines_never_grow_above_the_setting(stage):
    keep(stage, 100)
    stage.execute("UPDATE subaccounts SET lines = 49.9, lines_refused = 10, lines_cut_at = now() - interval '1 day'")

    assert count(stage, limits=pace(max_in_flight=50)) == 49
    assert count(stage, limits=pace(max_in_flight=50)) == 1
    assert account(stage).lines == 50


def test_bulk_lanes_prove_nothing_beyond_what_was_refused(stage):
    keep(stage, 100, lane=Lane.ALERT)
    stage.execute("UPDATE subaccounts SET lines = 40, lines_refused = 40, lines_cut_at = now() - interval '5 minutes'")

    assert count(stage, lane=Lane.ALERT) == 32
    assert account(stage).lines == 40


def test_two_workers_together_stay_inside_lines_that_were_cut(stage):
    keep(stage, 200)
    stage.execute("UPDATE subaccounts SET lines = 37.9, lines_refused = 39, lines_cut_at = now()")
    together = threading.Barrier(2)

    def work():
        together.wait()
        return sum(count(stage, 7) for _ in range(20))

    with ThreadPoolExecutor(2) as pool:
        dialled = sum(pool.map(lambda _: work(), range(2)))

    assert 37 <= dialled <= account(stage).lines < 38.1
    assert account(stage).dialed == dialled


# pace


def test_a_429_cuts_the_pace_once_for_all_calls_of_its_time(stage):
    keep(stage, 100)
    limits = pace(dials_per_second=100)
    attempts = [call.attempt_id for call in claim(stage, 10, limits=limits).calls]

    first = refuse(stage, pace_=attempts[:5], limits=limits)
    second = refuse(stage, pace_=attempts[5:], limits=limits)

    assert [(cut.limit, cut.was, round(cut.now)) for cut in first] == [("dials_per_second", 100, 80)]
    assert second == []
    assert account(stage).tokens <= 1


@pytest.mark.parametrize("quiet_s", [0, 60, 120, 1000])
def test_the_claim_dials_at_the_pace_that_the_pure_function_says(stage, quiet_s):
    keep(stage, 100)
    stage.execute(
        "UPDATE subaccounts SET pace_refused = 150, pace_cut_at = now() - :quiet_s * interval '1 s',"
        " tokens = 0, refilled_at = now() - interval '1 hour'",
        quiet_s=quiet_s,
    )

    expected = pacing.burst(pacing.dials_per_second(400, 150, quiet_s=quiet_s))
    assert count(stage, limits=pace(dials_per_second=400)) == pytest.approx(expected, abs=1)


def test_a_retry_after_holds_every_lane_back(stage):
    keep(stage, 5)
    keep(stage, 5, lane=Lane.ALERT)
    attempts = [call.attempt_id for call in claim(stage, 1).calls]
    refuse(stage, pace_=attempts, retry_after_s=7)

    held = claim(stage)
    other = claim(stage, lane=Lane.ALERT)
    stage.execute("UPDATE subaccounts SET held_until = now()")

    assert (held.calls, held.room, held.waiting) == ([], 0, True)
    assert 5 < held.held_s <= 7
    assert (other.calls, other.waiting) == ([], True)
    assert count(stage, 1) == 1


def test_a_worker_held_back_looks_again_in_time_and_seldom(stage):
    stage.keep_all([stage.new_message() for _ in range(3)])
    stage.simulator.set_fault("rate_limited", retry_after_s=3, count=1)
    dialer = stage.dialer()
    looks = []
    take = dialer._claim
    dialer._claim = lambda *asked: looks.append(1) or take(*asked)
    worker = threading.Thread(target=dialer, args=(Lane.OTP,))

    worker.start()
    began = time.monotonic()
    stage.simulator.wait_for(lambda ledger: len(ledger.accepted) == 2)
    worker.join()
    while not stage.execute("SELECT FROM subaccounts WHERE held_until IS NOT NULL"):  # the refusal is on record
        time.sleep(0.01)
    later = stage.keep()
    dialer(Lane.OTP)
    stage.simulator.wait_for(lambda ledger: len(ledger.accepted) >= 3)

    assert stage.message(later).status in ("dialing", "placed")
    assert time.monotonic() - began > 2.5
    assert len(looks) < 15


@pytest.mark.parametrize(
    ("knob", "options", "column"),
    [("rate_limited", {}, "pace_refused"), ("refused", {"code": -2010}, "lines_refused")],
)
def test_what_8x8_answers_to_a_callflow_slows_the_dialling_down(stage, knob, options, column):
    keep(stage, 20)
    stage.simulator.set_fault(knob, **options)

    stage.dial()

    assert stage.execute(f"SELECT {column} FROM subaccounts")[0][0] > 0
    assert {row.status for row in stage.execute("SELECT status FROM messages")} == {"queued"}


def test_a_summary_without_a_free_line_slows_the_dialling_down_once(stage):
    stage.simulator.plan(NUMBER, ["over_capacity"])
    stage.keep(NUMBER)
    keep(stage, 4)
    stage.dial()
    stage.keep_received(5)

    stage.reconcile()
    first = account(stage)
    stage.execute("UPDATE webhook_inbox SET processed_at = NULL, attempts = 0, due_at = now()")
    stage.reconcile()

    assert first.lines == 250
    assert account(stage).lines == 250


# passcodes first


def test_bulk_lanes_leave_the_last_tokens_to_passcodes(stage):
    keep(stage, 30)
    keep(stage, 30, lane=Lane.ALERT)
    stage.execute("UPDATE subaccounts SET tokens = 20")
    limits = pace(dials_per_second=100)

    def count_now(lane):
        """A token comes each 10 ms, but for while the last refill lies ahead."""
        stage.execute("UPDATE subaccounts SET refilled_at = clock_timestamp() + interval '1 minute'")
        return count(stage, lane=lane, limits=limits)

    assert count_now(Lane.ALERT) == 16
    assert count_now(Lane.ALERT) == 0
    assert count_now(Lane.OTP) == 4


def test_even_the_slowest_pace_dials_bulk_lanes(stage):
    keep(stage, 3, lane=Lane.NOTIFICATION)
    stage.execute("UPDATE subaccounts SET tokens = 1")

    assert count(stage, lane=Lane.NOTIFICATION, limits=pace(dials_per_second=1)) == 1


@pytest.mark.parametrize("lane", [Lane.ALERT, Lane.NOTIFICATION])
def test_no_other_lane_dials_while_a_passcode_waits_for_room(stage, lane):
    keep(stage, 3)
    keep(stage, 5, lane=lane)
    claim(stage, 1)

    waiting = claim(stage, lane=lane)
    claim(stage)

    assert (waiting.calls, waiting.waiting) == ([], True)
    assert count(stage, lane=lane) == 5


@pytest.mark.parametrize(
    "hindrance",
    [
        "INSERT INTO lanes (lane, paused_at) VALUES ('otp', now())",
        "UPDATE messages SET due_at = now() + interval '1 minute' WHERE lane = 'otp'",
        "INSERT INTO breakers VALUES ('source', '+6531580009', 'x', 1, false, now(), now() + interval '1 minute')",
        "UPDATE subaccounts SET otp_claimed_at = now() - interval '3 s'",
        BUSY,
    ],
)
def test_a_passcode_that_cannot_be_dialled_holds_nobody_back(stage, hindrance):
    keep(stage, 4, lane=Lane.ALERT)
    keep(stage, 1, lane=Lane.NOTIFICATION)
    stage.keep(source="+6531580009")
    stage.execute("UPDATE subaccounts SET otp_claimed_at = now()")
    before = count(stage, lane=Lane.ALERT)

    stage.execute(hindrance)

    assert (before, count(stage, lane=Lane.ALERT)) == (0, 4)


# the true trunk


def test_a_hidden_trunk_is_used_to_nine_tenths_and_hardly_ever_refuses(settings):
    trunk, settling_s, measured_s = 100, 9, 9
    played = {"trunk_capacity": trunk, "time_scale": 0.25, "outcomes_by_suffix": False}
    with staged(settings, simulator=played) as stage:
        texts = ("Code 1.", "Your code is 4, 0, 7.", "This is your bank. Your code is 4, 0, 7.")
        stage.keep_all([stage.new_message(spare_attempts=9, spoken=texts[n % 3]) for n in range(1500)])
        stop = threading.Event()
        workers = [threading.Thread(target=work, args=(stage, stop)) for work in (dial_on, reconcile_on)]
        for worker in workers:
            worker.start()
        time.sleep(settling_s)
        before = ended(stage)
        busy = []
        while len(busy) < measured_s / 0.02:
            busy.append(stage.simulator._account.sessions.trunks_in_use)
            time.sleep(0.02)
        fine, refused = (now - then for now, then in zip(ended(stage), before, strict=True))
        stop.set()
        for worker in workers:
            worker.join()

        assert sum(busy) / len(busy) >= 0.9 * trunk
        assert refused <= 0.01 * (fine + refused)


def dial_on(stage, stop):
    dialer = stage.dialer()
    threading.Thread(target=lambda: (stop.wait(), dialer.senders.stop()), daemon=True).start()
    while not stop.is_set():
        dialer(Lane.OTP)


def reconcile_on(stage, stop):
    while not stop.is_set():
        received = stage.receiver.received
        if len(received) > stage.kept:
            stage.keep_webhook(*(one.body for one in received[stage.kept :]))
            stage.kept = len(received)
            stage.reconcile()
        time.sleep(0.005)


def ended(stage):
    """Calls that came to an end, and those that found no line."""
    statuses = stage.simulator.ledger.summary()["sessionsByStatus"]
    return statuses.get("COMPLETED", 0), statuses.get("ERROR", 0)
