"""The load generator's bookkeeping."""

import pytest

from deploy.bench.load.ledger import FIRST_PHONE, Ledger, Ledgers, Report


@pytest.fixture
def ledger():
    return Ledger("load1", FIRST_PHONE, 3)


def test_only_the_first_time_of_a_moment_counts(ledger):
    assert ledger.note("dialled", 0, 1.0)
    assert not ledger.note("dialled", 0, 2.0)
    assert ledger.moments["dialled"][0] == 1.0
    assert ledger.done["dialled"] == 1


def test_a_latency_counts_only_messages_that_have_both_moments(ledger):
    ledger.note("due", 0, 1.0)
    ledger.note("due", 1, 1.0)
    ledger.note("accepted", 0, 1.25)

    found = ledger.report().latency("accept")

    assert (found.count, found.max) == (1, 250.0)


def test_a_latency_of_nothing_meets_no_goal(ledger):
    assert ledger.report().latency("accept_to_dial").p99 == float("inf")


def test_a_second_dial_is_counted(ledger):
    ledger.dials[1] = 2

    assert ledger.report().doubled_dials == 1


def test_a_report_survives_its_way_through_json(ledger):
    from dataclasses import asdict

    ledger.note("due", 0, 1.0)
    ledger.note("accepted", 0, 1.25)
    report = ledger.report()

    assert Report.read(asdict(report)) == report


def test_a_message_is_found_by_its_phone_and_by_its_id(ledger):
    ledgers = Ledgers()
    ledgers.open(ledger)

    assert ledgers.of_phone(FIRST_PHONE + 2) == (ledger, 2)
    assert ledgers.of_phone(FIRST_PHONE + 3) is None
    assert ledgers.of_id(b"load1") is ledger
    assert ledgers.of_id(b"load2") is None


def test_a_forgotten_load_is_found_no_more(ledger):
    ledgers = Ledgers()
    ledgers.open(ledger)

    ledgers.forget(ledger)

    assert ledgers.of_phone(FIRST_PHONE) is None
    assert ledgers.of_id(b"load1") is None


def test_every_value_of_a_latency_is_told(ledger):
    for number, took_s in enumerate((0.25, 0.5)):
        ledger.note("due", number, 1.0)
        ledger.note("accepted", number, 1.0 + took_s)

    assert [*ledger.samples("accept")] == [250.0, 500.0]
