"""The fault knobs: reading them, and which requests they hit."""

import random

import pytest

from deploy.simulator.faults import OPTIONS, REPLY_KNOBS, Fault, FaultError, Faults, Knob

NUMBER = "+6581234567"


def never_lucky():
    return 0.0


@pytest.mark.parametrize("knob", Knob)
def test_every_knob_can_be_turned_on_with_its_defaults(knob):
    faults = Faults(never_lucky)

    faults.replace({str(knob): True})

    fault = faults.strike(knob, NUMBER)
    assert fault is not None
    assert all(getattr(fault, name) == value for name, value in OPTIONS.get(knob, {}).items())


@pytest.mark.parametrize(
    ("knobs", "complaint"),
    [
        ({"vss_duplicate": True}, "unknown fault vss_duplicate; known are slow_reply"),
        ({"vss_duplicated": {"copy": 2}}, "unknown option copy; known are copies, count, probability"),
        ({"vss_duplicated": {"copies": "2"}}, "copies cannot be '2'"),
        ({"vss_duplicated": 3}, "must be an object"),
        ({"reply_lost": {"created": 1}}, "created cannot be 1"),
        ({"refused": {"code": None}}, "code cannot be None"),
        ({"refused": {"count": True}}, "count cannot be True"),
        ({"slow_reply": {"seconds": -1}}, "seconds cannot be -1"),
        ([], "must be an object"),
    ],
)
def test_a_wrong_knob_is_refused_by_name_and_changes_nothing(knobs, complaint):
    faults = Faults(never_lucky)
    faults.set("vss_dropped")

    with pytest.raises(FaultError, match=complaint):
        faults.replace(knobs)

    assert list(faults.everywhere) == [Knob.VSS_DROPPED]


def test_a_counted_fault_hits_that_many_requests():
    faults = Faults(never_lucky)
    faults.set("reply_lost", count=2)

    hits = [faults.strike(Knob.REPLY_LOST, NUMBER) is not None for _ in range(4)]

    assert hits == [True, True, False, False]
    assert faults.as_json()["faults"]["reply_lost"]["hits"] == 2


def test_a_probability_hits_its_share_and_repeats_with_its_seed():
    def hits(seed):
        faults = Faults(random.Random(seed).random)
        faults.set("vss_dropped", probability=0.25)
        return [faults.strike(Knob.VSS_DROPPED, NUMBER) is not None for _ in range(1000)]

    assert hits(8) == hits(8)
    assert 200 < sum(hits(8)) < 300


def test_a_destinations_own_fault_comes_before_the_general_one():
    faults = Faults(never_lucky)
    faults.set("refused", code=-1016)
    faults.set("refused", destination=NUMBER, code=-1017, count=1)

    codes = [faults.strike(Knob.REFUSED, number).code for number in (NUMBER, NUMBER, "+6581234568")]

    assert codes == [-1017, -1016, -1016]


def test_faults_of_one_destination_can_be_replaced_and_removed():
    faults = Faults(never_lucky)
    faults.replace({"vss_dropped": True}, destination=NUMBER)
    faults.replace({"vss_dropped": None}, destination=NUMBER)

    assert faults.strike(Knob.VSS_DROPPED, NUMBER) is None
    assert faults.as_json() == {"faults": {}, "destinations": {}}


def test_the_first_reply_knob_that_hits_is_the_reply():
    faults = Faults(never_lucky)
    faults.replace({"cut_body": True, "rate_limited": {"count": 1}})

    knobs = [faults.strike_first(REPLY_KNOBS, NUMBER).knob for _ in range(2)]

    assert knobs == [Knob.RATE_LIMITED, Knob.CUT_BODY]


def test_cleared_faults_hit_nobody():
    faults = Faults(never_lucky)
    faults.set("reply_lost")
    faults.set("reply_lost", destination=NUMBER)

    faults.clear()

    assert faults.strike_first(REPLY_KNOBS, NUMBER) is None


def test_a_lost_reply_hides_a_session_and_a_gateway_error_does_not():
    created = {knob: Fault.of(str(knob), {}).created for knob in REPLY_KNOBS}

    assert {knob for knob, is_created in created.items() if is_created} == {
        Knob.REPLY_LOST,
        Knob.REPLY_NEVER,
        Knob.GARBAGE_BODY,
        Knob.CUT_BODY,
    }
